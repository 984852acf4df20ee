"""Network + weights + manifest → one ONNX model file that carries its manifest."""

import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.export import Dim

from vesselrt.export.deployed import Deployed, Output
from vesselrt.export.modelfile import write_model_file
from vesselrt.export.parity import SET_FIXED, WindowError, check_parity
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.manifest import Manifest
from vesselrt.training.networks import fold_branches

logger = logging.getLogger(__name__)

OPSET = 20

_ACTIVATIONS = {"HardSigmoid", "LogSoftmax", "Sigmoid", "Softmax"}


def export_model(
    network: nn.Module,
    manifest: Manifest,
    path: Path,
    photographs: list[Image],
    shift: float = 0.0,
    output: Output = "logits",
) -> Manifest:
    """Writes the model file, and returns its manifest with the parity figures in it.

    `network` maps normalised (N, C, H, W) float to (N, K, H, W), of which `output` says what it is; `photographs` are
    (H, W, 3) uint8 RGB, on which the file is compared with the network; `shift` is added to the logits (calibration).
    Several classes out of one softmax are written as exclusive.

    A file that runs in windows of one size alone is written with a fixed tile, and a warning says so.

    Raises ExportError when the network can't be exported or the file differs from it by more than the
    manifest's tolerance; then nothing is written.
    """
    if manifest.precision != "f32":
        raise ExportError(
            f"the manifest says {manifest.precision}, and export writes f32. Say f32, then: vesselrt convert"
        )
    if shift and (output == "probability" or len(manifest.classes) > 1):
        raise ExportError(f"a calibration of {shift:+.3f} is for the logits of one class.")
    if output == "softmax" and len(manifest.classes) > 1:
        manifest = manifest.model_copy(update={"exclusive": True})
    try:
        return _export_proven(Deployed(network, manifest, shift, output).eval(), manifest, path, photographs)
    except WindowError as error:
        if manifest.tile.fixed:
            raise
        logger.warning("%sThe tile is fixed, at %d pixels.", str(error).removesuffix(SET_FIXED), manifest.tile.size)
        fixed = manifest.model_copy(update={"tile": manifest.tile.model_copy(update={"fixed": True})})
        return _export_proven(Deployed(network, fixed, shift, output).eval(), fixed, path, photographs)


def _export_proven(module: Deployed, manifest: Manifest, path: Path, photographs: list[Image]) -> Manifest:
    with atomic_write(path) as name:
        model = onnx_from_module(fold_branches(module), manifest)
        if module.output != "probability":
            _check_end(model)
        write_model_file(model, manifest, name)
        # Of the module with all its branches: that folding changed nothing is proven here too.
        parity = check_parity(module, manifest, name, photographs)
        provenance = manifest.provenance.model_copy(update={"parity": parity})
        return write_model_file(model, manifest.model_copy(update={"provenance": provenance}), name)


def onnx_from_module(module: nn.Module, manifest: Manifest) -> onnx.ModelProto:
    """Traces the module. The batch is dynamic; height and width too, in multiples, unless the tile is fixed.

    Raises ExportError when torch can't export it.
    """
    tile = manifest.tile
    # A batch of 2: torch specialises on 1. Height and width differ, so that they aren't taken for one.
    sides = (tile.size, tile.size) if tile.fixed else (tile.multiple * 10, tile.multiple * 12)
    example = torch.zeros((2, manifest.channel_count, *sides), dtype=torch.uint8)
    dynamic = {0: Dim("batch", min=1, max=1024)}
    if not tile.fixed:
        dynamic |= {2: tile.multiple * Dim("rows", min=1, max=4096), 3: tile.multiple * Dim("columns", min=1, max=4096)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations inside torch's exporter, of no use to its caller
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["probability"],
                dynamic_shapes={"image": dynamic},
                verbose=False,
            )
    except Exception as error:
        cause = _cause(error)
        if isinstance(cause, ExportError):
            raise cause from None
        raise ExportError(
            f"torch can't export this network: {_reason(error)}. "
            "If its size can't vary, set tile.fixed in the manifest."
        ) from error
    if program is None:
        raise ExportError("torch exported nothing.")
    return _tidy(program.model_proto)


def _check_end(model: onnx.ModelProto) -> None:
    """Raises ExportError when the network ends with an activation of its own: with ours it would be applied twice."""
    makers = {name: node for node in model.graph.node for name in node.output}
    constants = {tensor.name for tensor in model.graph.initializer}
    ours = _before_passing(model.graph.output[0].name, makers, constants)  # our sigmoid or softmax
    node = None if ours is None else _before_passing(ours.input[0], makers, constants)
    if node is not None and node.op_type in _ACTIVATIONS:
        raise ExportError(
            f"the network ends with {node.op_type}: it gives a probability already. Say --output probability."
            if node.op_type != "LogSoftmax"
            else "the network ends with LogSoftmax. Take that away: --output softmax expects what comes before it."
        )


def _before_passing(name: str, makers: dict[str, onnx.NodeProto], constants: set[str]) -> onnx.NodeProto | None:
    """What makes a value, apart from operations of ours; None: it comes from outside of the graph."""
    while (node := makers.get(name)) is not None and _passes(node, constants):
        name = node.input[0]
    return node


def _passes(node: onnx.NodeProto, constants: set[str]) -> bool:
    """Whether an operation is of ours: the calibration, or the difference of two slices."""
    return node.op_type in ("Cast", "Identity", "Slice", "Sub") or (
        node.op_type == "Add" and node.input[1] in constants
    )


def _cause(error: BaseException) -> BaseException:
    """The first one: the exporter wraps it in pages about itself."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _reason(error: BaseException) -> str:
    """The first cause, one line."""
    error = _cause(error)
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__


def _tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drops the exporter's notes on every node (half of a small file, and paths of the exporting machine)."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    model.producer_name, model.producer_version = "vesselrt", ""
    onnx.checker.check_model(model, full_check=True)
    return model
