"""Proof that a model file computes what its PyTorch network does, and an FP16 one what its f32 one does."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Backend, to_bytes
from vesselrt.runtime.errors import DeviceError, ExportError
from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.manifest import Manifest, Precision
from vesselrt.runtime.output.encode import threshold_mask
from vesselrt.runtime.photo.preparation import prepare
from vesselrt.runtime.tiling import window_side

if TYPE_CHECKING:
    from torch import nn

F1 = Callable[[Path], float]
"""Measures a model file on a data set."""
FP16_MAX = 65504.0


def check(module: "nn.Module", manifest: Manifest, path: Path, photographs: list[Image]) -> dict[str, dict[str, float]]:
    """Compares the file with the module, on the photographs and on noise of awkward sizes and batches.

    Returns precision → `largest_difference` of probability, `flipped` share of pixels on the other side of
    the threshold, and `images`. `f32` compares the graph's own float output; `bf16`, where the processor
    has it, the 8-bit output of the backend that is shipped (its rounding alone is 0.002).

    Raises ExportError when the network can't take a window, a tolerance is exceeded or a value is not finite.
    """
    import torch  # here, so that what needs no network needs no torch

    batches = _batches(manifest, photographs)
    with torch.inference_mode():
        expected = [_answer(lambda b: module(torch.from_numpy(b)).numpy(), b, manifest) for b in batches]
    _check_probability(batches, expected)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    obtained: dict[Precision, list[Any]] = {"f32": [session.run(None, {"image": b})[0] for b in batches]}
    if "bf16" in manifest.tolerance and (backend := _backend(path, "bf16")) is not None:
        obtained["bf16"] = [levels.astype(np.float32) / 255 for levels in backend.infer(batches)]
        backend.close()
    return {p: _compare(p, expected, answers, manifest) for p, answers in obtained.items()}


def check_half(model: ModelProto, half: ModelProto, manifest: Manifest, photographs: list[Image]) -> dict[str, float]:
    """Compares a graph with FP16 inside with the f32 one that it was made from, as `check` does.

    Returns the figures of `check` and `largest_value`, the largest that is FP16 anywhere.

    Raises ExportError when a tolerance is exceeded or a value overflows: a sigmoid would hide that.
    """
    batches = _batches(manifest, photographs)
    reference, probed = _session(model), _session(emulated(half, probes=True))
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


def emulated(half: ModelProto, *, probes: bool = False) -> ModelProto:
    """A copy that does on the CPU what a GPU does that sums in FP32: each FP16 operation is computed in FP32, and its
    result rounded to FP16.

    ONNX Runtime has hardly an FP16 operation for the CPU: left alone, it computes chains of them in FP32 and rounds at
    their ends. The roundings between are written into this graph, where it keeps them.

    With `probes` there is one more output for each FP16 value `x`, `x largest`: its largest magnitude.
    """
    copy = onnx.shape_inference.infer_shapes(half)
    graph = copy.graph
    halves = {v.name for v in graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT16}
    halves |= {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT16}
    nodes = [_cast(t.name, f"{t.name} wide", TensorProto.FLOAT) for t in graph.initializer if t.name in halves]
    for node in graph.node:
        made = [name for name in node.output if name in halves]
        nodes.append(node)
        if node.op_type != "Cast":
            node.input[:] = [f"{name} wide" if name in halves else name for name in node.input]
            node.output[:] = [f"{name} exact" if name in halves else name for name in node.output]
            nodes += [_cast(f"{name} exact", name, TensorProto.FLOAT16) for name in made]
        nodes += [_cast(name, f"{name} wide", TensorProto.FLOAT) for name in made]
        if probes and made:
            nodes.append(helper.make_node("Abs", [f"{made[0]} wide"], [f"{made[0]} size"]))
            nodes.append(helper.make_node("ReduceMax", [f"{made[0]} size"], [f"{made[0]} largest"], keepdims=0))
            graph.output.append(helper.make_tensor_value_info(f"{made[0]} largest", TensorProto.FLOAT, []))
    del graph.node[:]
    graph.node.extend(nodes)
    return copy


def probability_of(model: ModelProto, pixels: Image) -> NDArray[np.float32]:
    """What a graph gives for (N, C, h, w) uint8: its probability, (N, K, h, w) float32, FP16 rounded as a GPU does."""
    probability: NDArray[np.float32] = _session(emulated(model)).run(None, {model.graph.input[0].name: pixels})[0]
    return probability


def _cast(source: str, target: str, to: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], to=to)


def _session(model: ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # As written: an optimiser may take out a Cast to FP16 and back, and the rounding with it.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = usable_cores()
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _compare(
    precision: Precision, expected: list[NDArray[np.float32]], obtained: list[NDArray[np.float32]], manifest: Manifest
) -> dict[str, float]:
    reference = "the f32 model file" if precision == "fp16" else "the network"
    if not all(np.isfinite(e).all() for e in expected):
        raise ExportError(f"{reference} itself gives NaN or infinite values. Check its weights.")
    if not all(np.isfinite(o).all() for o in obtained):
        raise ExportError(
            f"{precision}: the model file gives NaN or infinite values. Keep its fragile operations in f32."
        )
    largest = max(float(abs(e - o).max()) for e, o in zip(expected, obtained, strict=True))
    sides = [[threshold_mask(to_bytes(p), manifest.threshold) for p in answers] for answers in (expected, obtained)]
    flips = [e != o for e, o in zip(*sides, strict=True)]
    flipped = float(sum(f.sum() for f in flips) / sum(f.size for f in flips))
    tolerance = manifest.allowed(precision)
    if largest > tolerance:
        raise ExportError(
            f"{precision}: the model file differs from {reference} by up to {largest:.2g} in probability "
            f"(tolerance {tolerance:g}), {flipped:.3%} of the pixels flip. Nothing was written."
        )
    return {"largest_difference": largest, "flipped": flipped, "images": float(len(expected))}


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


def _check_probability(batches: list[Image], answers: list[NDArray[np.float32]]) -> None:
    """Raises ExportError when a network does not give (N, 1, H, W) values from 0 to 1 for (N, C, H, W).

    A softmax of two ends may exceed 1 by rounding, and NaN is told apart from this.
    """
    for batch, answer in zip(batches, answers, strict=True):
        expected = (batch.shape[0], 1, *batch.shape[2:])
        if answer.shape != expected:
            raise ExportError(
                f"the network gives {answer.shape} for {batch.shape}. Expected {expected}: as high and as wide."
            )
        if answer.min() < -1e-6 or answer.max() > 1 + 1e-6:
            raise ExportError(
                f"the network gives values from {answer.min():.3g} to {answer.max():.3g}, no probability. "
                "Say --output logits, or --output softmax for two channels."
            )


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


def _batches(manifest: Manifest, photographs: list[Image]) -> list[Image]:
    return [_input(manifest, photograph) for photograph in photographs] + _awkward(manifest)


def _awkward(manifest: Manifest) -> list[Image]:
    """Noise: the smallest window, a narrow one, an odd batch.

    Blended networks begin at twice the smallest: PyTorch's instance norm refuses what a stride has made one pixel.
    """
    random, m, tile = np.random.default_rng(0), manifest.tile.multiple, manifest.tile
    least = m if tile.blend == "exact" else 2 * m
    sides = [(tile.size, tile.size)] if tile.fixed else [(least, least), (m, 7 * m), (5 * m, 3 * m)]
    batches = [(b, manifest.channel_count, *s) for b, s in zip((1, 3, 2), sides, strict=False)]
    return [random.integers(0, 256, shape, dtype=np.uint8) for shape in batches]
