"""Proof that a model file computes what its network does, and one in FP16 or INT8 what its f32 one does."""

import contextlib
import logging
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto

from vesselrt.export.emulation import answers_of, emulated, emulated_bf16, largest_values, session_of
from vesselrt.export.flips import flipped_shares
from vesselrt.export.fp16 import FP16_MAX
from vesselrt.export.head import Answers, Head
from vesselrt.export.windows import proof_batches
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import DeviceError, ExportError
from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.manifest import Manifest, Precision

logger = logging.getLogger(__name__)

ROUNDING_FACTOR = 4.0
"""A file may be so many times as far from the exact answer as the network is in float32."""
_REPEATS_WITHIN = 1e-3
"""Of probability: threads that add in another order stay far below it."""
MOST_FLIPPED = 0.005
"""Largest share of pixels that INT8 may move over the threshold."""
NOT_WRITTEN = " Nothing was written."


class Reference(Protocol):
    """What a model file is compared with: the network that it was made of, as its own library computes it."""

    name: str
    """In messages."""

    def answer(self, batch: Image) -> Answers:
        """(N, K, h, w), as exactly as it can be computed, of (N, C, h, w) uint8."""

    def rounded(self, batch: Image) -> Answers | None:
        """The same in float32, as the network is used; None where `answer` is that."""

    def random_part(self, batch: Image) -> str:
        """The part of it that answers the same window differently each time."""

    def inner_sides(self, window: Image) -> set[int]:
        """Sides of the square maps that it computes of a square window (1, C, h, h) uint8."""


def check_parity(
    reference: Reference, head: Head, manifest: Manifest, path: Path, photographs: list[Image]
) -> dict[str, dict[str, float]]:
    """Compares the file with the network, on the photographs and on noise of awkward sizes and batches.

    Returns precision → `largest_difference` of probability, `flipped` share of pixels on the other side of
    the threshold, and `images`. Of several classes `flipped` is that of the worst, and `flipped_NAME` that of each.
    `f32` compares the graph's own float output. `bf16` compares, where the processor has it, the 8-bit output of the
    backend that is shipped (its rounding alone is 0.002), elsewhere a graph that rounds as such processors do. Where
    bf16 differs too much it has no entry, unless the manifest names a tolerance for it.

    Raises ExportError when the network can't take a window, a tolerance is exceeded or a value is not finite.
    """
    batches = proof_batches(manifest, photographs)
    answers = [network_answer(reference, batch, manifest) for batch in batches]
    head.check(answers)
    expected = [head.probability(answer) for answer in answers]
    _check_repeats(reference, head, batches[-1], expected[-1])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    obtained = [_file_answer(session, batch) for batch in batches]
    figures = {"f32": _compare_f32(_Proof(reference, head, manifest, batches, expected), obtained, len(photographs))}
    try:
        figures["bf16"] = _compare("bf16", expected, _bf16_answers(path, batches), manifest)
    except ExportError as error:
        if "bf16" in manifest.tolerance:
            raise
        logger.warning("bf16 is not proven, so `auto` takes f32: %s", error)
    return figures


@dataclass(frozen=True)
class _Proof:
    """What a file has to give."""

    reference: Reference
    head: Head
    manifest: Manifest
    batches: list[Image]
    expected: list[NDArray[np.float64]]

    def rounding(self, part: slice) -> float:
        """How far float32 is from the exact answer in the network's own library, in probability."""
        differences = [0.0]
        for batch, exact in zip(self.batches[part], self.expected[part], strict=True):
            rounded = self.reference.rounded(batch)
            if rounded is not None:
                differences.append(float(abs(self.head.probability(rounded) - exact).max()))
        return max(differences)


def _compare_f32(proof: _Proof, obtained: list[NDArray[np.float32]], photographs: int) -> dict[str, float]:
    """A file may differ by the tolerance, or by `ROUNDING_FACTOR` times what float32 itself costs this network."""

    def compare(part: slice, tolerance: float) -> dict[str, float]:
        given = proof.expected[part], obtained[part]
        return _compare("f32", *given, proof.manifest, tolerance, proof.reference.name)

    return _decided_by_photographs(compare, photographs, lambda part: ROUNDING_FACTOR * proof.rounding(part))


def _decided_by_photographs(
    compare: Callable[[slice, float], dict[str, float]], photographs: int, allowed: Callable[[slice], float]
) -> dict[str, float]:
    """What `compare` finds in all batches. The photographs come first in these, and they decide: where they pass, noise
    may differ further, as long as hardly a pixel flips.

    `compare` takes some of the batches, and how far these may differ where that is more than the manifest's tolerance.
    """
    try:
        return compare(slice(None), 0.0)
    except ExportError:
        pass  # float32 costs a second run, so only now
    seen, noise = slice(0, photographs), slice(photographs, None)
    if photographs:
        compare(seen, allowed(seen))
    try:
        compare(noise, allowed(noise))
    except ExportError as error:
        if not photographs or compare(noise, math.inf)["flipped"] > MOST_FLIPPED:
            raise
        told = str(error).removesuffix(NOT_WRITTEN)
        logger.warning("On the photographs the file is exact enough; on noise: %s", told)
    return compare(slice(None), math.inf)


def _check_repeats(reference: Reference, head: Head, batch: Image, expected: NDArray[np.float64]) -> None:
    again = head.probability(reference.answer(batch))
    if np.isfinite(expected).all() and abs(again - expected).max() > _REPEATS_WITHIN:
        raise ExportError(
            f"{reference.name} gives other values each time for the same window: {reference.random_part(batch)} is "
            "random, dropout that stays on for example. Turn it off in evaluation: F.dropout needs "
            "training=self.training."
        )


def _file_answer(session: onnxruntime.InferenceSession, window: Image) -> NDArray[np.float32]:
    try:
        answer: NDArray[np.float32] = session.run(None, {"image": window})[0]
    except Exception as error:  # noqa: BLE001 - ONNX Runtime has no public error class
        raise WindowError(
            f"the exported file fails on a window of {window.shape[3]} × {window.shape[2]} pixels: "
            f"{' '.join(str(error).split())[:200]}."
        ) from None
    return answer


class WindowError(ExportError):
    """The file fails on windows of another size than that of the example."""


class DiffersError(ExportError):
    """The file computes other values than what it was made of."""


def _bf16_answers(path: Path, batches: list[Image]) -> list[NDArray[np.float32]]:
    shipped = _shipped_answers(path, "bf16", batches)
    if shipped is not None:
        return shipped
    return answers_of(emulated_bf16(onnx.load(path)), batches)


class HalfOverflowError(ExportError):
    """A value leaves the range of FP16."""


def values_beyond_half(model: ModelProto, manifest: Manifest, photographs: list[Image]) -> dict[str, float]:
    """The values of a flat f32 graph that are over half of the largest FP16 in the batches of `check_half`: name →
    largest magnitude.
    """
    found = largest_values(model, proof_batches(manifest, photographs))
    return {name: largest for name, largest in found.items() if not largest <= FP16_MAX / 2}


def check_half(model: ModelProto, half: ModelProto, manifest: Manifest, photographs: list[Image]) -> dict[str, float]:
    """Compares a graph with FP16 inside with the f32 one that it was made from, as `check_parity` does.

    Returns the figures of `check_parity` and `largest_value`, the largest that is FP16 anywhere.

    Raises ExportError when a tolerance is exceeded or a value overflows: a sigmoid would hide that.
    """
    batches = proof_batches(manifest, photographs)
    reference, probed = session_of(model), session_of(emulated(half, probes=True))
    makers = {f"{n.output[0]} largest": f"{n.op_type} {n.name or n.output[0]}" for n in half.graph.node}
    expected = [reference.run(None, {"image": b})[0] for b in batches]
    answers = [probed.run(None, {"image": b}) for b in batches]
    largest = [max(map(float, values)) for values in list(zip(*answers, strict=True))[1:]]
    for output, value in zip(probed.get_outputs()[1:], largest, strict=True):
        if not value <= FP16_MAX:
            where = makers[output.name]
            raise HalfOverflowError(f"fp16: {where} overflows (FP16 ends at {FP16_MAX:.0f}). Keep this model in f32.")
    obtained = [a[0] for a in answers]

    def compare(part: slice, tolerance: float) -> dict[str, float]:
        return _compare("fp16", expected[part], obtained[part], manifest, tolerance)

    figures = _decided_by_photographs(compare, len(photographs), lambda _: 0.0)
    return {**figures, "largest_value": max(largest)}


class ShippedDiffersError(ExportError):
    """The backend that is shipped computes INT8 less exactly than it is written."""


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
    written = found[0]["flipped"]
    if written <= MOST_FLIPPED < worst["flipped"]:
        raise ShippedDiffersError(
            f"int8: as it is written the graph flips {written:.2%} of the pixels against the f32 model file, and as "
            f"OpenVINO computes it here {worst['flipped']:.2%} (at most {MOST_FLIPPED:.2%} may): that is a limit of "
            "OpenVINO. Keep this model in f32."
        )
    if worst["flipped"] > MOST_FLIPPED:
        raise ExportError(
            f"int8: {worst['flipped']:.2%} of the pixels flip against the f32 model file (at most {MOST_FLIPPED:.2%} "
            "may). Calibrate on more photographs, such as the network was trained on, or keep this model in f32."
        )
    return worst


def _compare(
    precision: Precision,
    expected: Sequence[Answers],
    obtained: Sequence[Answers],
    manifest: Manifest,
    tolerance: float = 0.0,
    reference: str = "",
) -> dict[str, float]:
    """`tolerance`: where it is more than the manifest's."""
    reference = reference or ("the f32 model file" if precision in ("fp16", "int8") else "the network")
    if not all(np.isfinite(e).all() for e in expected):
        raise ExportError(f"{reference} itself gives NaN or infinite values. Check its weights.")
    if not all(np.isfinite(o).all() for o in obtained):
        raise ExportError(
            f"{precision}: the model file gives NaN or infinite values. Keep its fragile operations in f32."
        )
    largest = max(float(abs(e - o).max()) for e, o in zip(expected, obtained, strict=True))
    flips = flipped_shares(expected, obtained, manifest)
    flipped = max(flips.values())
    tolerance = max(manifest.allowed(precision), tolerance)
    if largest > tolerance:
        raise DiffersError(
            f"{precision}: the model file differs from {reference} by up to {largest:.2g} in probability "
            f"(tolerance {tolerance:.2g}), {flipped:.3%} of the pixels flip.{NOT_WRITTEN}"
        )
    each = {f"flipped_{name}": share for name, share in flips.items()} if len(flips) > 1 else {}
    return {"largest_difference": largest, "flipped": flipped, "images": float(len(expected)), **each}


def network_answer(reference: Reference, batch: Image, manifest: Manifest) -> Answers:
    """What the network gives, (N, K, h, w). Raises ExportError where it can't take a window of this size."""
    height, width = batch.shape[2:]
    try:
        answer = reference.answer(batch)
    except ExportError:
        raise
    except Exception as error:  # noqa: BLE001 - what a network raises is its own matter
        reason = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
        kind, advice = _window_advice(reference, manifest)
        raise kind(f"{reference.name} fails on a window of {width} × {height} pixels: {reason}. {advice}") from None
    if answer.shape[::2] != (len(batch), height) or answer.shape[3] != width:
        raise ExportError(
            f"{reference.name} gives {answer.shape} for {batch.shape}. Expected it as high and as wide as the window: "
            f"({len(batch)}, K, {height}, {width})."
        )
    return answer


def _window_advice(reference: Reference, manifest: Manifest) -> tuple[type[ExportError], str]:
    """What to write of the tile, of sizes that were tried."""
    tile, side = manifest.tile, manifest.tile.multiple
    if tile.fixed:
        return ExportError, f"The tile is fixed at {tile.size} pixels: correct tile.size in the manifest."
    rule = f"Windows may have any sides that are multiples of tile.multiple, {tile.multiple}."
    sides = [side << power for power in range(1, 12) if side << power < tile.size]
    channels = manifest.channel_count
    taken = next((s for s in sides if takes_window(reference, channels, s, s)), None)
    if takes_window(reference, channels, tile.size, tile.size):
        if taken is not None and tile.size % taken == 0:
            return ExportError, f"{rule} It takes {taken} × {taken}: say tile.multiple {taken} in the manifest."
        return WindowError, f"It takes the tile, {tile.size} × {tile.size}, and none that is much smaller."
    if taken is not None:
        return ExportError, f"It takes {taken} × {taken}: say tile.size {taken} and tile.fixed true in the manifest."
    return ExportError, (
        f"{rule} Raise it: to the network's total stride at least, to twice that where it has instance norm."
    )


def takes_window(reference: Reference, channels: int, height: int, width: int) -> bool:
    """Whether a network answers to a window of this size, by as many pixels."""
    try:
        window = np.zeros((1, channels, height, width), np.uint8)
        return answer_as_used(reference, window).shape[2:] == (height, width)
    except Exception:  # noqa: BLE001 - what a network raises is its own matter
        return False


def answer_as_used(reference: Reference, batch: Image) -> Answers:
    """(N, K, h, w) in float32, which is several times as fast as the exact answer."""
    rounded = reference.rounded(batch)
    return reference.answer(batch) if rounded is None else rounded


def _shipped_answers(path: Path, precision: Precision, batches: list[Image]) -> list[NDArray[np.float32]] | None:
    """What the shipped backend gives, from its 8 bits; None where it is missing or does not compute so here."""
    try:
        from vesselrt.runtime.backends.openvino import OpenVinoBackend

        backend = OpenVinoBackend(path, precision, usable_cores(), once=True)
    except (ImportError, DeviceError):
        return None
    with contextlib.closing(backend):
        return [np.float32(1 / 255) * levels for levels in backend.infer(batches)]
