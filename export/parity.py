"""Proof that a model file computes what its PyTorch network does."""

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from vesselrt.runtime.backends import Backend, to_bytes
from vesselrt.runtime.errors import DeviceError, ExportError
from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.manifest import Manifest, Precision
from vesselrt.runtime.preparation import Image, prepare
from vesselrt.runtime.tiling import window_side


def check(module: nn.Module, manifest: Manifest, path: Path, photographs: list[Image]) -> dict[str, dict[str, float]]:
    """Compares the file with the module, on the photographs and on noise of awkward sizes and batches.

    Returns precision → `largest_difference` of probability, `flipped` share of pixels on the other side of
    the threshold, and `images`. `f32` compares the graph's own float output; `bf16`, where the processor
    has it, the 8-bit output of the backend that is shipped (its rounding alone is 0.002).

    Raises ExportError when a tolerance is exceeded or a value is not finite.
    """
    batches = [_input(manifest, photograph) for photograph in photographs] + _awkward(manifest)
    with torch.inference_mode():
        expected = [module(torch.from_numpy(b)).numpy() for b in batches]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    obtained = {"f32": [session.run(None, {"image": b})[0] for b in batches]}
    for precision in ("bf16",):
        if precision in manifest.tolerance and (backend := _backend(path, precision)) is not None:
            obtained[precision] = [backend.infer(b).astype(np.float32) / 255 for b in batches]
            backend.close()
    return {p: _compare(p, expected, answers, manifest) for p, answers in obtained.items()}


def _compare(
    precision: str, expected: list[NDArray[np.float32]], obtained: list[NDArray[np.float32]], manifest: Manifest
) -> dict[str, float]:
    if not all(np.isfinite(e).all() for e in expected):
        raise ExportError("the network itself gives NaN or infinite values, in PyTorch already. Check its weights.")
    if not all(np.isfinite(o).all() for o in obtained):
        raise ExportError(
            f"{precision}: the model file gives NaN or infinite values. Keep its fragile operations in f32."
        )
    largest = max(float(abs(e - o).max()) for e, o in zip(expected, obtained, strict=True))
    level = np.ceil(manifest.threshold * 255)
    flips = [((to_bytes(e) >= level) != (to_bytes(o) >= level)) for e, o in zip(expected, obtained, strict=True)]
    flipped = float(sum(f.sum() for f in flips) / sum(f.size for f in flips))
    tolerance = manifest.tolerance.get(_as_precision(precision), 1e-4)
    if largest > tolerance:
        raise ExportError(
            f"{precision}: the model file differs from the network by up to {largest:.2g} in probability "
            f"(tolerance {tolerance:g}), {flipped:.3%} of the pixels flip. Nothing was written."
        )
    return {"largest_difference": largest, "flipped": flipped, "images": float(len(expected))}


def _as_precision(name: str) -> Precision:
    return "bf16" if name == "bf16" else "f32"


def _backend(path: Path, precision: Precision) -> Backend | None:
    try:
        from vesselrt.runtime.backends.openvino import OpenVinoBackend

        return OpenVinoBackend(path, precision, usable_cores())
    except (ImportError, DeviceError):
        return None


def _input(manifest: Manifest, photograph: Image) -> Image:
    """The photograph as one window, cut to the tile: (1, C, h, w) uint8."""
    tile = manifest.tile
    pixels = prepare(photograph, manifest.preparation).pixels[: tile.size, : tile.size]
    window = np.zeros(
        (1, pixels.shape[2], window_side(pixels.shape[0], tile), window_side(pixels.shape[1], tile)), np.uint8
    )
    window[0, :, : pixels.shape[0], : pixels.shape[1]] = pixels.transpose(2, 0, 1)
    return window


def _awkward(manifest: Manifest) -> list[Image]:
    """Noise: the smallest window, a narrow one, an odd batch."""
    random, m, tile = np.random.default_rng(0), manifest.tile.multiple, manifest.tile
    sides = [(tile.size, tile.size)] if tile.fixed else [(m, m), (m, 7 * m), (5 * m, 3 * m)]
    batches = [(b, manifest.channel_count, *s) for b, s in zip((1, 3, 2), sides, strict=False)]
    return [random.integers(0, 256, shape, dtype=np.uint8) for shape in batches]
