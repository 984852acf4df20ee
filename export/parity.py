"""Proof that a model file computes what its PyTorch network does, and one in FP16 or INT8 what its f32 one does."""

import contextlib
import logging
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

from vesselrt.export.emulation import answers_of, emulated, emulated_bf16, session_of
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import to_bytes
from vesselrt.runtime.errors import DeviceError, ExportError
from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.manifest import Manifest, Precision
from vesselrt.runtime.output.classes import ClassLayers, layers_of
from vesselrt.runtime.photo.preparation import prepare
from vesselrt.runtime.tiling import window_side

if TYPE_CHECKING:
    from vesselrt.export.deployed import Deployed

logger = logging.getLogger(__name__)

FP16_MAX = 65504.0
MOST_FLIPPED = 0.005
"""Largest share of pixels that INT8 may move over the threshold."""


def check_parity(
    module: "Deployed", manifest: Manifest, path: Path, photographs: list[Image]
) -> dict[str, dict[str, float]]:
    """Compares the file with the module, on the photographs and on noise of awkward sizes and batches.

    Returns precision → `largest_difference` of probability, `flipped` share of pixels on the other side of
    the threshold, and `images`. Of several classes `flipped` is that of the worst, and `flipped_NAME` that of each.
    `f32` compares the graph's own float output. `bf16` compares, where the processor has it, the 8-bit output of the
    backend that is shipped (its rounding alone is 0.002), elsewhere a graph that rounds as such processors do. Where
    bf16 differs too much it has no entry, unless the manifest names a tolerance for it.

    Raises ExportError when the network can't take a window, a tolerance is exceeded or a value is not finite.
    """
    import torch  # here, so that what needs no network needs no torch

    batches = _batches(manifest, photographs)
    with torch.inference_mode():
        expected = [_answer(lambda b: module(torch.from_numpy(b)).numpy(), b, manifest) for b in batches]
    _check_probability(batches, expected, manifest)
    if module.output == "logits":
        check_logits(expected, module.shift)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    figures = {"f32": _compare("f32", expected, [_file_answer(session, b) for b in batches], manifest)}
    try:
        figures["bf16"] = _compare("bf16", expected, _bf16_answers(path, batches), manifest)
    except ExportError as error:
        if "bf16" in manifest.tolerance:
            raise
        logger.warning("bf16 is not proven, so `auto` takes f32: %s", error)
    return figures


SET_FIXED = "Set tile.fixed in the manifest."


class WindowError(ExportError):
    """The file that torch exported fails on windows of another size than that of the example."""


def _file_answer(session: onnxruntime.InferenceSession, window: Image) -> NDArray[np.float32]:
    try:
        answer: NDArray[np.float32] = session.run(None, {"image": window})[0]
    except Exception as error:  # noqa: BLE001 - ONNX Runtime has no public error class
        raise WindowError(
            f"the exported file fails on a window of {window.shape[3]} × {window.shape[2]} pixels: "
            f"{' '.join(str(error).split())[:200]}. {SET_FIXED}"
        ) from None
    return answer


def check_logits(probabilities: list[NDArray[np.float32]], shift: float) -> None:
    """Raises ExportError where what was called logits, and went through a sigmoid, lay within 0 to 1 everywhere.

    It is a probability then, by a sigmoid that the graph does not end with: clamped or resized after it, say.
    `probabilities` were made of logits + `shift`.
    """
    low, high = (1 / (1 + math.exp(-(end + shift))) for end in (0, 1))
    ends = min(float(p.min()) for p in probabilities), max(float(p.max()) for p in probabilities)
    if low - 1e-6 <= ends[0] < ends[1] - 1e-6 and ends[1] <= high + 1e-6:
        raise ExportError(
            "the network gives values from 0 to 1 on every window, so it ends with an activation of its own. "
            "Say --output probability."
        )


def _bf16_answers(path: Path, batches: list[Image]) -> list[NDArray[np.float32]]:
    shipped = _shipped_answers(path, "bf16", batches)
    if shipped is not None:
        return shipped
    return answers_of(emulated_bf16(onnx.load(path)), batches)


def check_half(model: ModelProto, half: ModelProto, manifest: Manifest, photographs: list[Image]) -> dict[str, float]:
    """Compares a graph with FP16 inside with the f32 one that it was made from, as `check_parity` does.

    Returns the figures of `check_parity` and `largest_value`, the largest that is FP16 anywhere.

    Raises ExportError when a tolerance is exceeded or a value overflows: a sigmoid would hide that.
    """
    batches = _batches(manifest, photographs)
    reference, probed = session_of(model), session_of(emulated(half, probes=True))
    makers = {f"{n.output[0]} largest": f"{n.op_type} {n.name or n.output[0]}" for n in half.graph.node}
    expected = [reference.run(None, {"image": b})[0] for b in batches]
    answers = [probed.run(None, {"image": b}) for b in batches]
    largest = [max(map(float, values)) for values in list(zip(*answers, strict=True))[1:]]
    for output, value in zip(probed.get_outputs()[1:], largest, strict=True):
        if not value <= FP16_MAX:
            where = makers[output.name]
            raise ExportError(f"fp16: {where} overflows (FP16 ends at {FP16_MAX:.0f}). Keep this model in f32.")
    figures = _compare("fp16", expected, [a[0] for a in answers], manifest)
    return {**figures, "largest_value": max(largest)}


def check_int8(
    expected: list[NDArray[np.float32]], quantized: ModelProto, manifest: Manifest, windows: list[Image]
) -> dict[str, float]:
    """Compares a graph with INT8 inside with the f32 one that it was made from, which gives `expected` for (1, C, h, w)
    uint8 `windows`.

    Returns the figures of `check_parity`, each the worse of two: of the graph computed as it is written, and of the
    backend that is shipped. A processor without VNNI adds pairs of products in 16 bits, which saturate.

    Raises ExportError when a tolerance is exceeded, or more pixels flip than `MOST_FLIPPED`.
    """
    obtained = [answers_of(quantized, windows)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        onnx.save(quantized, path)
        shipped = _shipped_answers(path, "int8", windows)
    obtained += [] if shipped is None else [shipped]
    found = [_compare("int8", expected, answers, manifest) for answers in obtained]
    worst = {key: max(figures[key] for figures in found) for key in found[0]}
    if worst["flipped"] > MOST_FLIPPED:
        raise ExportError(
            f"int8: {worst['flipped']:.2%} of the pixels flip against the f32 model file (at most {MOST_FLIPPED:.2%} "
            "may). Calibrate on more photographs, such as the network was trained on, or keep this model in f32."
        )
    return worst


def _compare(
    precision: Precision, expected: list[NDArray[np.float32]], obtained: list[NDArray[np.float32]], manifest: Manifest
) -> dict[str, float]:
    reference = "the f32 model file" if precision in ("fp16", "int8") else "the network"
    if not all(np.isfinite(e).all() for e in expected):
        raise ExportError(f"{reference} itself gives NaN or infinite values. Check its weights.")
    if not all(np.isfinite(o).all() for o in obtained):
        raise ExportError(
            f"{precision}: the model file gives NaN or infinite values. Keep its fragile operations in f32."
        )
    largest = max(float(abs(e - o).max()) for e, o in zip(expected, obtained, strict=True))
    flips = flipped_shares(expected, obtained, manifest)
    flipped = max(flips.values())
    tolerance = manifest.allowed(precision)
    if largest > tolerance:
        raise ExportError(
            f"{precision}: the model file differs from {reference} by up to {largest:.2g} in probability "
            f"(tolerance {tolerance:g}), {flipped:.3%} of the pixels flip. Nothing was written."
        )
    each = {f"flipped_{name}": share for name, share in flips.items()} if len(flips) > 1 else {}
    return {"largest_difference": largest, "flipped": flipped, "images": float(len(expected)), **each}


def flipped_share(
    expected: list[NDArray[np.float32]], obtained: list[NDArray[np.float32]], manifest: Manifest
) -> float:
    """The largest of `flipped_shares`."""
    return max(flipped_shares(expected, obtained, manifest).values())


def flipped_shares(
    expected: list[NDArray[np.float32]], obtained: list[NDArray[np.float32]], manifest: Manifest
) -> dict[str, float]:
    """Of each class, the share of all pixels of maps (N, C, h, w) that belong to it in one of the two alone."""
    every = layers_of(manifest.classes, manifest.threshold)
    exclusive = manifest.exclusive and len(every) > 1
    flipped, pixels = dict.fromkeys(manifest.class_names, 0), 0
    for answers in zip(expected, obtained, strict=True):
        for maps in zip(*map(to_bytes, answers), strict=True):
            one, other = (ClassLayers(levels, every, every, exclusive) for levels in maps)
            pixels += maps[0][0].size
            for layer in every:
                flipped[layer.name] += int(np.count_nonzero(one.mask(layer) != other.mask(layer)))
    return {name: count / pixels for name, count in flipped.items()}


def _answer(network: Callable[[Image], NDArray[np.float32]], batch: Image, manifest: Manifest) -> NDArray[np.float32]:
    """What the network gives. Raises ExportError where it can't take a window of this size."""
    try:
        return network(batch)
    except ExportError:
        raise
    except Exception as error:  # noqa: BLE001 - what a network raises is its own matter
        reason = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
        multiple = manifest.tile.multiple
        raise ExportError(
            f"the network fails on a window of {batch.shape[3]} × {batch.shape[2]} pixels: {reason}. Windows may have "
            f"any sides that are multiples of tile.multiple, {multiple}. Raise it: to the network's total stride at "
            "least, to twice that where it has instance norm."
        ) from None


def _check_probability(batches: list[Image], answers: list[NDArray[np.float32]], manifest: Manifest) -> None:
    """Raises ExportError when a network does not give (N, K, H, W) values from 0 to 1 for (N, C, H, W), K classes.

    A softmax of two ends may exceed 1 by rounding, and NaN is told apart from this.
    """
    for batch, answer in zip(batches, answers, strict=True):
        expected = (batch.shape[0], len(manifest.classes), *batch.shape[2:])
        if answer.shape != expected:
            raise ExportError(
                f"the network gives {answer.shape} for {batch.shape}. Expected {expected}: as high and as wide."
            )
        if answer.min() < -1e-6 or answer.max() > 1 + 1e-6:
            raise ExportError(
                f"the network gives values from {answer.min():.3g} to {answer.max():.3g}, no probability. "
                "Say --output logits, or --output softmax where the background has a channel."
            )


def _shipped_answers(path: Path, precision: Precision, batches: list[Image]) -> list[NDArray[np.float32]] | None:
    """What the shipped backend gives, from its 8 bits; None where it is missing or does not compute so here."""
    try:
        from vesselrt.runtime.backends.openvino import OpenVinoBackend

        backend = OpenVinoBackend(path, precision, usable_cores())
    except (ImportError, DeviceError):
        return None
    with contextlib.closing(backend):
        return [np.float32(1 / 255) * levels for levels in backend.infer(batches)]


def photograph_window(manifest: Manifest, photograph: Image) -> Image:
    """The photograph as one window, of the tile at most, cut from its centre: (1, C, h, w) uint8."""
    tile = manifest.tile
    pixels = prepare(photograph, manifest.preparation).pixels
    top, left = (max(0, (side - tile.size) // 2) for side in pixels.shape[:2])
    pixels = pixels[top : top + tile.size, left : left + tile.size]
    window = np.zeros(
        (1, pixels.shape[2], window_side(pixels.shape[0], tile), window_side(pixels.shape[1], tile)), np.uint8
    )
    window[0, :, : pixels.shape[0], : pixels.shape[1]] = pixels.transpose(2, 0, 1)
    return window


def _batches(manifest: Manifest, photographs: list[Image]) -> list[Image]:
    return [photograph_window(manifest, photograph) for photograph in photographs] + _awkward(manifest)


def _awkward(manifest: Manifest) -> list[Image]:
    """Noise: the smallest window, a narrow one, an odd batch.

    Blended networks begin at twice the smallest: PyTorch's instance norm refuses what a stride has made one pixel.
    """
    random, m, tile = np.random.default_rng(0), manifest.tile.multiple, manifest.tile
    least = m if tile.blend == "exact" else 2 * m
    sides = [(tile.size, tile.size)] if tile.fixed else [(least, least), (m, 7 * m), (5 * m, 3 * m)]
    batches = [(b, manifest.channel_count, *s) for b, s in zip((1, 3, 2), sides, strict=False)]
    return [random.integers(0, 256, shape, dtype=np.uint8) for shape in batches]
