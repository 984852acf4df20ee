"""What a user would do without vesselrt: MONAI's sliding windows over the same network in PyTorch, ONNX Runtime or
OpenVINO; in f32, and in vesselrt's own precision where the library has it.

All columns take the same bytes to the same kind of PNG, and where there is a choice it is the one that favours them:

- Pillow decodes; only the channels that the network reads are scaled and converted.
- The factor that brings the photograph to the model's scale is given to them; finding it is vesselrt's work, and
  it is not timed. The whole photograph is scaled with it, since cutting to the field of view is vesselrt's idea too.
- MONAI's `sliding_window_inference` with windows of 512 pixels, 4 at once, and its defaults: overlap 0.25,
  constant weights.
- PyTorch is eager, NCHW, in inference mode, on as many threads, in bf16 by autocast. It runs the shipped graph, in
  which BatchNorm is folded into the convolutions already: the network as trained would cost it more.
- OpenVINO runs as in vesselrt, compiled for each shape of window.
- The probability is scaled back (bilinear), cut at the model's threshold, and written as PNG by Pillow.
"""

import io
from collections.abc import Callable, Sequence
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

from vesselrt.benchmarks.twin import Twin
from vesselrt.runtime.backends import Info
from vesselrt.runtime.errors import DeviceError, ModelError, VesselrtError
from vesselrt.runtime.hardware import gains_by_bf16, usable_cores
from vesselrt.runtime.manifest import Manifest, Precision
from vesselrt.runtime.modelfile import int8_path, read_manifest
from vesselrt.runtime.photo.decoding import decode_photo
from vesselrt.runtime.photo.preparation import prepare

WINDOW, WINDOWS_AT_ONCE = 512, 4
TOLERANCE = 1e-4
"""Largest difference in probability between PyTorch and ONNX Runtime on the same input."""

TorchNetwork = Callable[[Tensor], Tensor]
"""(N, C, h, w) float32, 0..255 → (N, K, h, w) float32 probability of each class."""


class Peers:
    """The columns beside vesselrt, on one model file."""

    def __init__(self, path: Path, manifest: Manifest, info: Info) -> None:
        """`info`: of vesselrt, whose threads and precision they share. `left_out`: column → why there is none.

        Raises ModelError for a model that they can't run, VesselrtError when two in f32 differ.
        """
        prepared = manifest.preparation
        asked = {
            "CLAHE": prepared.clahe,
            "a fixed size": prepared.size,
            "normalisation by the photograph": prepared.normalise,
        }
        if lacking := [what for what, value in asked.items() if value is not None]:
            raise ModelError(
                f"{path}: asks for {' and '.join(lacking)}, which the columns of --compare lack. Run without --compare."
            )
        threads = info.threads or usable_cores()
        torch.set_num_threads(threads)
        self._manifest = manifest
        self._networks: dict[str, tuple[Precision, TorchNetwork]] = {}
        self.left_out: dict[str, str] = {}
        for precision in dict.fromkeys(("f32", info.precision)):
            for library, load_network in _LIBRARIES.items():
                column = f"{library}+monai" if precision == "f32" else f"{library}+monai {precision}"
                try:
                    file = _find_graph(path, precision)
                    self._networks[column] = precision, load_network(file, precision, threads)
                except DeviceError as error:
                    self.left_out[column] = str(error)
        if {"pytorch+monai", "onnxruntime+monai"} <= self._networks.keys():
            _check_agreement(self._networks["pytorch+monai"][1], self._networks["onnxruntime+monai"][1], manifest)

    def columns(self, data: bytes) -> "dict[str, UserPath]":
        """The columns for one photograph, which must be the one they are called with: its scale is found here."""
        prepared = prepare(decode_photo(data).pixels, self._manifest.preparation)
        factor = max(prepared.pixels.shape[:2]) / max(prepared.box.height, prepared.box.width)
        return {
            name: UserPath(network, self._manifest, factor, precision)
            for name, (precision, network) in self._networks.items()
        }


@dataclass(frozen=True)
class UserPath:
    """A column: photograph → mask PNG, as anybody would write it."""

    network: TorchNetwork
    manifest: Manifest
    factor: float
    """Scale of the network's input to the photograph."""
    precision: Precision = "f32"
    """That the network computes in."""

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
            full = functional.interpolate(probability, (photo.height, photo.width), mode="bilinear")[0]  # (K, H, W)
            mask = _mask_from_maps(full, self.manifest.class_thresholds)
        encoded = io.BytesIO()
        Pillow.fromarray(mask.numpy()).save(encoded, format="PNG")
        return encoded.getvalue()


def _mask_from_maps(maps: Tensor, thresholds: Sequence[float]) -> Tensor:
    """(K, H, W) probabilities → (H, W) uint8: 0 and 255, of several classes the number of the most probable one."""
    reached = maps >= torch.tensor(thresholds)[:, None, None]
    if len(maps) == 1:
        return reached[0].to(torch.uint8) * 255
    best, place = torch.where(reached, maps, -1.0).max(dim=0)
    return torch.where(best >= 0, place + 1, 0).to(torch.uint8)


def _find_graph(path: Path, precision: Precision) -> Path:
    """The file that a precision is computed from. Raises DeviceError for an f32 column of an INT8 file."""
    if read_manifest(path).precision == "int8":
        if precision == "int8":
            return path
        raise DeviceError(f"{path.name} is INT8. Name the f32 model file to measure this column.")
    return int8_path(path) if precision == "int8" else path


def _load_pytorch(path: Path, precision: Precision, threads: int) -> TorchNetwork:  # noqa: ARG001 - they are torch's
    """Raises DeviceError for INT8, and for bf16 where it is slower."""
    if precision not in ("f32", "bf16"):
        raise DeviceError(f"PyTorch in eager mode does not compute this graph in {precision} on a processor.")
    if precision == "bf16" and not gains_by_bf16():
        raise DeviceError("this processor takes longer in bf16.")
    twin = Twin(path).eval()
    if precision == "f32":
        return twin

    def run(windows: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            probability: Tensor = twin(windows)
        return probability.float()

    return run


def _load_onnx_runtime(path: Path, precision: Precision, threads: int) -> TorchNetwork:
    """Raises DeviceError for another precision than that of the graph."""
    if precision not in ("f32", "int8"):
        raise DeviceError(f"ONNX Runtime does not compute an f32 graph in {precision} on a processor.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(windows: Tensor) -> Tensor:
        # MONAI keeps its result in the type of its input, so that one is float; the graph's own is uint8.
        return torch.from_numpy(session.run(None, {name: windows.to(torch.uint8).numpy()})[0])

    return run


def _load_openvino(path: Path, precision: Precision, threads: int) -> TorchNetwork:
    """Raises DeviceError without OpenVINO, and for what it does not compute here."""
    try:
        from vesselrt.runtime.backends.openvino import OpenVinoBackend
    except ImportError:
        raise DeviceError("OpenVINO is not installed. Run: pip install openvino") from None
    backend = OpenVinoBackend(path, precision, threads)

    def run(windows: Tensor) -> Tensor:
        (answer,) = backend.infer([windows.to(torch.uint8).numpy()])
        return torch.from_numpy(answer).float() / 255

    return run


_LIBRARIES: dict[str, Callable[[Path, Precision, int], TorchNetwork]] = {
    "pytorch": _load_pytorch,
    "onnxruntime": _load_onnx_runtime,
    "openvino": _load_openvino,
}


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
