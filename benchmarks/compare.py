"""What a user would do without vesselrt: MONAI's sliding windows over the same network in PyTorch or ONNX Runtime.

Both columns take the same bytes to the same kind of PNG, and where there is a choice it is the one that favours them:

- Pillow decodes; only the channels that the network reads are scaled and converted.
- The factor that brings the photograph to the model's scale is given to them; finding it is vesselrt's work, and
  it is not timed. The whole photograph is scaled with it, since cutting to the field of view is vesselrt's idea too.
- MONAI's `sliding_window_inference` with windows of 512 pixels, 4 at once, and its defaults: overlap 0.25,
  constant weights.
- PyTorch is eager, f32, NCHW, in inference mode, on as many threads. It runs the shipped graph, in which
  BatchNorm is folded into the convolutions already: the network as trained would cost it more.
- The probability is scaled back (bilinear), cut at the model's threshold, and written as PNG by Pillow.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from monai.inferers.utils import sliding_window_inference
from PIL import Image as Pillow
from PIL import ImageOps
from torch import Tensor
from torch.nn import functional

from vesselrt.benchmarks.measure import Column
from vesselrt.benchmarks.twin import Twin
from vesselrt.runtime.errors import ModelError, VesselrtError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.photo.decoding import decode_photo
from vesselrt.runtime.photo.preparation import prepare

WINDOW, WINDOWS_AT_ONCE = 512, 4
TOLERANCE = 1e-4
"""Largest difference in probability between PyTorch and ONNX Runtime on the same input."""

TorchNetwork = Callable[[Tensor], Tensor]
"""(N, C, h, w) float32, 0..255 → (N, 1, h, w) float32 probability."""


class Peers:
    """The columns beside vesselrt, on one model file."""

    def __init__(self, path: Path, manifest: Manifest, threads: int) -> None:
        """Raises ModelError for a model that they can't run, VesselrtError when the two differ."""
        asked = {"CLAHE": manifest.preparation.clahe, "a fixed size": manifest.preparation.size}
        if lacking := [what for what, value in asked.items() if value is not None]:
            raise ModelError(
                f"{path}: asks for {' and '.join(lacking)}, which the columns of --compare lack. Run without --compare."
            )
        torch.set_num_threads(threads)
        self._manifest = manifest
        twin = Twin(path).eval()
        session = _load_onnx_runtime(path, threads)
        _check_agreement(twin, session, manifest)
        self._networks: dict[str, TorchNetwork] = {"pytorch+monai": twin, "onnxruntime+monai": session}

    def columns(self, data: bytes) -> dict[str, Column]:
        """The columns for one photograph, which must be the one they are called with: its scale is found here."""
        prepared = prepare(decode_photo(data).pixels, self._manifest.preparation)
        factor = max(prepared.pixels.shape[:2]) / max(prepared.box.height, prepared.box.width)
        return {name: UserPath(network, self._manifest, factor) for name, network in self._networks.items()}


@dataclass(frozen=True)
class UserPath:
    """A column: photograph → mask PNG, as anybody would write it."""

    network: TorchNetwork
    manifest: Manifest
    factor: float
    """Scale of the network's input to the photograph."""

    def __call__(self, data: bytes) -> bytes:
        photo = ImageOps.exif_transpose(Pillow.open(io.BytesIO(data))).convert("RGB")
        picked = photo.getchannel("G") if self.manifest.preparation.channels == "green" else photo
        size = (max(1, round(photo.width * self.factor)), max(1, round(photo.height * self.factor)))
        method = Pillow.Resampling.BOX if self.factor < 1 else Pillow.Resampling.BILINEAR
        scaled = np.array(picked.resize(size, method)).reshape(size[1], size[0], -1)  # (h, w, C) uint8
        side = self.manifest.tile.size if self.manifest.tile.fixed else WINDOW
        with torch.inference_mode():
            inputs = torch.from_numpy(scaled).permute(2, 0, 1)[None].float()  # (1, C, h, w)
            probability = sliding_window_inference(inputs, (side, side), WINDOWS_AT_ONCE, self.network, overlap=0.25)
            if not isinstance(probability, Tensor):
                raise TypeError(f"MONAI returned {type(probability).__name__}")
            full = functional.interpolate(probability, (photo.height, photo.width), mode="bilinear")[0, 0]
            mask = (full >= self.manifest.threshold).to(torch.uint8) * 255  # (H, W)
        encoded = io.BytesIO()
        Pillow.fromarray(mask.numpy()).save(encoded, format="PNG")
        return encoded.getvalue()


def _load_onnx_runtime(path: Path, threads: int) -> TorchNetwork:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(windows: Tensor) -> Tensor:
        # MONAI keeps its result in the type of its input, so that one is float; the graph's own is uint8.
        return torch.from_numpy(session.run(None, {name: windows.to(torch.uint8).numpy()})[0])

    return run


def _check_agreement(one: TorchNetwork, other: TorchNetwork, manifest: Manifest) -> None:
    """Raises VesselrtError when the two networks give different probabilities."""
    side = manifest.tile.size if manifest.tile.fixed else 8 * manifest.tile.multiple
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (2, manifest.channel_count, side, side), generator=generator).float()
    # Smooth content too: noise alone drives a network to one end of its range.
    smooth = functional.avg_pool2d(noise, 15, stride=1, padding=7).round()
    with torch.inference_mode():
        for inputs in (noise, smooth):
            difference = float((one(inputs) - other(inputs)).abs().max())
            if not difference <= TOLERANCE:
                raise VesselrtError(
                    f"PyTorch and ONNX Runtime differ by {difference:.2g} in probability on the same model file "
                    f"(tolerance {TOLERANCE:g}): their times would not be of the same work."
                )
