"""A model file in another precision: made from the f32 one, proven against it, and never written unproven."""

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from onnx import ModelProto

from vesselrt.export.emulation import answers_of, emulated
from vesselrt.export.flips import flipped_share
from vesselrt.export.foreign import OnnxNetwork, export_onnx
from vesselrt.export.fp16 import PRODUCTS, WEIGHTED, flatten, fp16_from_f32
from vesselrt.export.head import Head
from vesselrt.export.int8 import Int8Search, float_operations, symmetric
from vesselrt.export.modelfile import write_model_file
from vesselrt.export.parity import (
    MOST_FLIPPED,
    HalfOverflowError,
    ShippedDiffersError,
    check_half,
    check_int8,
    values_beyond_half,
)
from vesselrt.export.scaling import scale_products
from vesselrt.export.windows import photograph_windows
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ExportError, OptionError
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.manifest import Manifest, Precision
from vesselrt.runtime.modelfile import graph_sha256, read_manifest

if TYPE_CHECKING:
    from vesselrt.export.sources.source import Source

logger = logging.getLogger(__name__)

Scores = dict[str, float]
Judge = Callable[[Path], Scores]
"""Measures a model file on annotated photographs: name of a figure → its value."""
JUDGED_EACH = 5
"""Of so many photographs INT8 is calibrated on all but one, and judged on that one."""


def export_in_precision(
    source: "Source", out: Path, precision: Precision, photographs: list[Image], head: Head
) -> Manifest:
    """Writes the model file of a network, in f32 or converted from that. Raises what the two steps raise."""
    with tempfile.TemporaryDirectory() as folder:
        first = out if precision == "f32" else Path(folder) / out.name
        if isinstance(source.network, OnnxNetwork):
            written = export_onnx(source.network, source.manifest, first, photographs, head, source.untold)
        else:
            from vesselrt.export.graph import export_model  # here, so that all else needs no torch

            written = export_model(source.network, source.manifest, first, photographs, head, source.untold)
        return written if precision == "f32" else convert_model(first, out, precision, photographs)


def convert_model(
    source: Path, out: Path, precision: Precision, photographs: list[Image], judge: Judge | None = None
) -> Manifest:
    """Writes the model file `out`: `source` with FP16 or INT8 inside. Returns its manifest, the parity figures in it.

    `photographs` are (H, W, 3) uint8 RGB, on which both files are compared; INT8 is calibrated on some of them, and
    needs one at least. `judge` measures both files, and the differences stand in the manifest too.

    Raises ModelError for a file that is none; OptionError for one that is not f32, and for INT8 without photographs;
    MissingExtraError for INT8 without NNCF; ExportError when the precision overflows or differs too much from f32. Then
    nothing is written.
    """
    manifest = read_manifest(source)
    if manifest.precision != "f32":
        raise OptionError(f"{source}: its graph is {manifest.precision} already. Name the f32 model file.")
    with atomic_write(out) as name:
        if precision == "int8":
            model, manifest = _int8_with_proof(source, manifest, photographs)
            measured = model
        else:
            model, manifest = fp16_with_proof(onnx.load(source), manifest, photographs)
            measured = emulated(model)
        if judge is not None:
            write_model_file(measured, manifest, name)
            before, after = judge(source), judge(name)
            manifest = _with_parity(manifest, {f"{key}_difference": after[key] - before[key] for key in before})
        return write_model_file(model, manifest, name)


def fp16_with_proof(model: ModelProto, manifest: Manifest, photographs: list[Image]) -> tuple[ModelProto, Manifest]:
    """A model with FP16 inside and its manifest, proven against the one given. Raises ExportError.

    Where values leave the range of FP16, the operations around them stay in FP32, and the manifest names those of them
    that have weights; matrix products compute in FP16 with smaller factors.
    """
    half = fp16_from_f32(model)
    kept: tuple[str, ...] = ()
    try:
        figures = check_half(model, half, manifest, photographs)
    except HalfOverflowError as error:
        half, kept = _mixed(model, manifest, photographs, error)
        figures = check_half(model, half, manifest, photographs)
    converted = _in_precision(manifest, "fp16")
    provenance = converted.provenance.model_copy(update={"float_operations": kept})
    return half, _with_parity(converted.model_copy(update={"provenance": provenance}), figures)


def _mixed(
    model: ModelProto, manifest: Manifest, photographs: list[Image], overflow: HalfOverflowError
) -> tuple[ModelProto, tuple[str, ...]]:
    """A model with FP16 where its values fit, and the names of the weighted operations that stay in FP32."""
    flat = flatten(model)
    large = values_beyond_half(flat, manifest, photographs)
    try:
        half = fp16_from_f32(scale_products(flat, large), large)
    except ExportError:
        raise overflow from None  # nothing would be left of it
    weighted = [n for n in flat.graph.node if n.op_type in WEIGHTED and not {*n.input, *n.output}.isdisjoint(large)]
    kept, scaled = (
        tuple(n.name or n.output[0] for n in weighted if (n.op_type in PRODUCTS) == product)
        for product in (False, True)
    )
    told = [f" FP32 stays where values are too large: {', '.join(kept)}."] if kept else []
    told += [f" Factors are scaled where products are too large: {', '.join(scaled)}."] if scaled else []
    logger.warning("%s%s", str(overflow).partition(" Keep this")[0], "".join(told))
    return half, kept


def _int8_with_proof(source: Path, manifest: Manifest, photographs: list[Image]) -> tuple[ModelProto, Manifest]:
    if not photographs:
        raise OptionError(
            "INT8 is calibrated on photographs such as the network was trained on: give --photos or --data."
        )
    # Of all parts of a photograph: a network answers other values at the eye's rim than in its centre.
    windows = [photograph_windows(manifest, photograph) for photograph in photographs]
    judged = [window for each in windows[::JUDGED_EACH] for window in each]
    calibration = [window for i, each in enumerate(windows) if i % JUDGED_EACH for window in each] or judged
    model = onnx.load(source)
    expected = answers_of(model, judged)

    search = Int8Search(model, manifest, calibration, judged, expected)

    def quantize(most_flipped: float) -> tuple[ModelProto, dict[str, float]]:
        quantized = search.within(most_flipped)
        return quantized, check_int8(expected, quantized, manifest, judged)

    try:
        quantized, figures = quantize(MOST_FLIPPED)
    except ShippedDiffersError as error:
        try:  # with room for what the backend rounds another way
            quantized, figures = quantize(MOST_FLIPPED / 2)
        except ExportError:
            raise error from None
    # As TensorRT computes it, without zero points.
    without = answers_of(symmetric(quantized), judged)
    figures |= {"flipped_symmetric": flipped_share(expected, without, manifest)}
    converted = _in_precision(manifest, "int8")
    told = {"float_operations": float_operations(quantized), "f32_graph_sha256": graph_sha256(source)}
    provenance = converted.provenance.model_copy(update=told)
    return quantized, _with_parity(converted.model_copy(update={"provenance": provenance}), figures)


def _in_precision(manifest: Manifest, precision: Precision) -> Manifest:
    """What was measured on the f32 file is not a fact about this one."""
    provenance = manifest.provenance.model_copy(update={"metrics": {}})
    return manifest.model_copy(update={"precision": precision, "provenance": provenance})


def _with_parity(manifest: Manifest, figures: dict[str, float]) -> Manifest:
    provenance, precision = manifest.provenance, manifest.precision
    parity = {**provenance.parity, precision: {**provenance.parity.get(precision, {}), **figures}}
    return manifest.model_copy(update={"provenance": provenance.model_copy(update={"parity": parity})})
