"""INT8 inside the graph of a model file, by NNCF after training; what goes in and what comes out stay as they are.

    image uint8 ─► scaling FP32 ─► Quantize ─► convolution INT8 … ─► Dequantize ─► sigmoid FP32 ─► probability float32

- Weights have one scale a channel, and 7 bits: without VNNI, a processor sums two products in 16 bits, where those of
  8 bits saturate. Values between operations have one scale and one zero point (NNCF's preset MIXED), and are unsigned.
- NNCF reads the ranges of values from photographs, and adds to each bias what rounding takes away on average.
- A transposed convolution whose windows don't overlap is written as a 1×1 convolution first, see `upsampled_by_points`.
- Where too many pixels flip, operations stay in FP32 until few do: see `SensitivitySearch`.

In the file, QuantizeLinear and DequantizeLinear stand around FP32 operations (QDQ), which OpenVINO, ONNX Runtime and
TensorRT read. TensorRT knows no zero points: for it, `symmetric` takes them out.
"""

import contextlib
import io
import logging
import sys
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper
from onnx.inliner import inline_local_functions

from vesselrt.export.flips import flipped_share
from vesselrt.export.fp16 import MOVING, WEIGHTED
from vesselrt.export.sensitivity import SensitivitySearch, drop_unused
from vesselrt.export.upsampling import upsampled_by_points
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ExportError, MissingExtraError, first_line
from vesselrt.runtime.manifest import Manifest

logger = logging.getLogger(__name__)

_TOGETHER = 2**17
"""Pixels of the windows that are judged at once; their values take memory."""


class Int8Search:
    """The same network in INT8; the types of its inputs and outputs are the same.

    `calibration` and `judged` are windows (1, C, h, w) uint8. The first give the ranges of values; the second
    tell which operations lose too much: `expected` is what the f32 graph gives for each.

    Raises MissingExtraError without NNCF, ExportError when NNCF can't quantize the graph.
    """

    def __init__(
        self,
        model: ModelProto,
        manifest: Manifest,
        calibration: list[Image],
        judged: list[Image],
        expected: list[NDArray[np.float32]],
    ) -> None:
        try:
            import nncf
        except ImportError:
            raise MissingExtraError.of("INT8", "int8") from None
        logging.getLogger("nncf").setLevel(logging.ERROR)
        original = upsampled_by_points(inline_local_functions(model))
        progress = sys.stderr if logger.isEnabledFor(logging.INFO) else io.StringIO()
        try:
            with contextlib.redirect_stdout(progress):
                quantized = _quantized(original, calibration)
        except Exception as error:
            raise ExportError(
                f"NNCF {nncf.__version__} can't quantize the network: {first_line(error)}. Keep this model in f32."
            ) from error
        batches = _batches(judged, model)
        together = [np.concatenate([expected[i] for i in batch]) for batch in batches]
        shown = [np.concatenate([judged[i] for i in batch]) for batch in batches]
        self._search = SensitivitySearch(
            original, quantized, shown, lambda answers: flipped_share(together, answers, manifest)
        )

    def within(self, most_flipped: float) -> ModelProto:
        """The graph in which at most a share of `most_flipped` of the judged pixels moves over the threshold.

        Raises ExportError when no part of the network can be INT8.
        """
        found = self._search.within(most_flipped)
        if len(float_operations(found)) == sum(node.op_type in WEIGHTED for node in found.graph.node):
            raise ExportError(
                f"int8: 8 bits are too few for this network: whatever part of it is INT8, more than {most_flipped:.2%} "
                "of the pixels flip. Keep this model in f32."
            )
        unsigned = _unsigned(found)
        onnx.checker.check_model(unsigned, full_check=True)
        return unsigned


def _batches(windows: list[Image], model: ModelProto) -> list[list[int]]:
    """Places of windows that the graph is asked for together: of small ones, reading the weights takes the time."""
    batch = model.graph.input[0].type.tensor_type.shape.dim[0]
    batches: list[list[int]] = []
    for place, window in enumerate(windows):
        last = batches[-1] if batches else []
        fits = (len(last) + 1) * window[0, 0].size <= _TOGETHER and not batch.HasField("dim_value")
        if last and fits and windows[last[0]].shape == window.shape:
            last.append(place)
        else:
            batches.append([place])
    return batches


def _quantized(model: ModelProto, calibration: list[Image]) -> ModelProto:
    """What NNCF makes of it: values have one scale, but those that go into depthwise convolutions one for each channel
    where NNCF knows the channels.
    """
    import nncf
    from nncf.quantization.advanced_parameters import QuantizationParameters

    name = model.graph.input[0].name

    def quantize(of_values: QuantizationParameters | None = None) -> ModelProto:
        quantized: ModelProto = nncf.quantize(
            model,
            nncf.Dataset(calibration, lambda window: {name: window}),
            preset=nncf.QuantizationPreset.MIXED,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE, activations_quantization_params=of_values
            ),
            subset_size=len(calibration),
        )
        return quantized

    quantized = quantize()
    if _has_misplaced_scales(quantized):
        quantized = quantize(QuantizationParameters(per_channel=False))
    return _quantized_once(quantized)


def _quantized_once(model: ModelProto) -> ModelProto:
    """The same graph, in which what has 8 bits before `Resize` copies pixels is not brought to 8 bits again after it.

    NNCF (3.4) does that, with the same scale, and OpenVINO (2026.4) computes it in floats: a sixth of the time of a
    network that enlarges by copies.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    makers = {output: node for node in copy.graph.node for output in node.output}

    def already(name: str) -> str:
        """Of a value that is brought to 8 bits again: the one before; else the value itself."""
        rounding = makers[name].input[0] if name in makers and makers[name].op_type == "DequantizeLinear" else ""
        source = makers[rounding].input[0] if rounding in makers else ""
        if source not in makers or not _copies_pixels(makers[source]):
            return name
        earlier = makers.get(makers[source].input[0])
        return source if earlier is not None and earlier.op_type == "DequantizeLinear" else name

    for node in copy.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = already(name)
    drop_unused(copy)
    return copy


def _copies_pixels(node: NodeProto) -> bool:
    return node.op_type == "Resize" and any(a.name == "mode" and a.s == b"nearest" for a in node.attribute)


def _has_misplaced_scales(model: ModelProto) -> bool:
    """Whether values have a scale for each of something else than the channels of a convolution.

    For a depthwise convolution NNCF (3.4) gives values a scale a channel, and puts it before what only moves them. In a
    transformer that is where tokens stand in place of channels: the file would hold for windows of one size.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for value in node.input:
            readers.setdefault(value, []).append(node)
    return any(
        node.op_type == "DequantizeLinear"
        and node.input[0] not in constants
        and max(constants[node.input[1]].dims, default=1) > 1
        and any(reader.op_type != "Conv" for reader in readers.get(node.output[0], ()))
        for node in model.graph.node
    )


def _unsigned(model: ModelProto) -> ModelProto:
    """The same graph, in which -128 to 127 between operations are 0 to 255, and zero points 128 more.

    OpenVINO 2026.4 computes a convolution wrongly, by a tenth, whose input it concatenates from signed integers.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]  # which call the integers signed
    constants = {t.name: t for t in copy.graph.initializer}
    for index, node in enumerate(copy.graph.node):
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] not in constants:  # not a weight
            zero = numpy_helper.to_array(constants[node.input[2]])
            if zero.dtype == np.int8:
                moved = (zero.astype(np.int16) + 128).astype(np.uint8)
                node.input[2] = name = f"unsigned_{index}_zero"
                copy.graph.initializer.append(numpy_helper.from_array(moved, name))
    drop_unused(copy)
    return copy


def float_operations(model: ModelProto) -> tuple[str, ...]:
    """Names of the convolutions and matrix products of a QDQ graph that stay in FP32, in the graph's order."""
    integers: set[str] = set()
    """Values that are integers until their last step: what pools, joins and moves them leaves them so."""
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" or (
            node.op_type in MOVING and integers.issuperset(node.input[: None if node.op_type == "Concat" else 1])
        ):
            integers.update(node.output)
    weighted = (node for node in model.graph.node if node.op_type in WEIGHTED)
    return tuple(n.name or n.output[0] for n in weighted if not integers.issuperset(n.input[:2]))


def symmetric(model: ModelProto) -> ModelProto:
    """A copy without zero points and unsigned integers: [low, high] of each value becomes [-m, m], m its larger end."""
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]  # which call the integers unsigned
    constants = {t.name: t for t in copy.graph.initializer}
    for index, node in enumerate(copy.graph.node):
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and len(node.input) > 2:
            scale, zero = (numpy_helper.to_array(constants[name]) for name in node.input[1:3])
            if zero.any() or zero.dtype != np.int8:
                _put_symmetric(copy, node, _symmetric_scale(scale, zero), f"symmetric_{index}")
    drop_unused(copy)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def _symmetric_scale(scale: NDArray[np.float32], zero: NDArray[Any]) -> NDArray[np.float32]:
    """The scale with which -127 to 127 hold all that the integers of `zero`'s type held."""
    ends = np.iinfo(zero.dtype)
    low, high = (float(end) - zero.astype(np.float32) for end in (ends.min, ends.max))
    return np.asarray(np.maximum(np.abs(low), np.abs(high)) * scale / 127, np.float32)


def _put_symmetric(model: ModelProto, node: NodeProto, scale: NDArray[np.float32], prefix: str) -> None:
    names = f"{prefix}_scale", f"{prefix}_zero"
    model.graph.initializer.append(numpy_helper.from_array(scale, names[0]))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(scale.shape, np.int8), names[1]))
    node.input[1:3] = names
