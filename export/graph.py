"""PyTorch network + weights + manifest → one ONNX model file that carries its manifest."""

import logging
import re
import warnings
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn
from torch.export import Dim
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from vesselrt.export.head import Head
from vesselrt.export.parity import WindowError, network_answer
from vesselrt.export.proven import write_proven
from vesselrt.export.reference import Picked, TorchReference
from vesselrt.export.tiles import Draft
from vesselrt.export.wrapping import NetworkGraph, wrap_graph
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.manifest import Manifest
from vesselrt.training.networks import fold_branches

OPSET = 20


def export_model(
    network: nn.Module,
    manifest: Manifest,
    path: Path,
    photographs: list[Image],
    head: Head | None = None,
    untold: frozenset[str] = frozenset(),
) -> Manifest:
    """Writes the model file, and returns its manifest with the figures of parity and tiles in it.

    `network` maps normalised (N, C, H, W) float to (N, K, H, W), of which `head` says what it is, or to a dict, list or
    tuple that holds this; `photographs` are (H, W, 3) uint8 RGB, on which the file is compared with the network.
    `untold` are fields of `manifest.tile` that nobody told: they are found.
    Several classes out of one softmax are written as exclusive.

    A file that runs in windows of one size alone is written with a fixed tile, and a warning says so.

    Raises ExportError when the network can't be exported or the file differs from it by more than the
    manifest's tolerance; then nothing is written.
    """
    head = (head or Head()).of(manifest)
    # Of the network with all its branches: that folding them changed nothing is proven too.
    reference = TorchReference(network, manifest, head.pick)

    def trace(manifest: Manifest) -> NetworkGraph:
        channels = _channels(reference, manifest, head)
        picked = Picked(fold_branches(network.eval()), head.pick).eval()
        return NetworkGraph(onnx_from_module(picked, manifest), channels)

    return write_proven(trace, reference, head, Draft(manifest, untold), path, photographs)


def model_from_network(network: nn.Module, manifest: Manifest, head: Head | None = None) -> onnx.ModelProto:
    """The graph of a model file, unproven."""
    head = (head or Head()).of(manifest)
    channels = _channels(TorchReference(network, manifest, head.pick), manifest, head)
    traced = onnx_from_module(Picked(network, head.pick).eval(), manifest)
    return wrap_graph(NetworkGraph(traced, channels), manifest, head)


def _sides(manifest: Manifest) -> tuple[int, int]:
    """Of the example. Height and width differ, so that they aren't taken for one."""
    tile = manifest.tile
    return (tile.size, tile.size) if tile.fixed else (tile.multiple * 10, tile.multiple * 12)


def _channels(reference: TorchReference, manifest: Manifest, head: Head) -> int:
    """Those that the network gives. What is wrong with it shows here, before torch wraps it in pages of its own."""
    window = torch.zeros((1, manifest.channel_count, *_sides(manifest)), dtype=torch.uint8)
    count: int = network_answer(reference, window.numpy(), manifest).shape[1]
    head.channels(count)
    return count


def onnx_from_module(module: nn.Module, manifest: Manifest) -> onnx.ModelProto:
    """Traces a module of one tensor. The batch is dynamic; so are height and width, in multiples, without a fixed tile.

    Raises WindowError when torch can't export it.
    """
    tile = manifest.tile
    # A batch of 2: torch specialises on 1.
    example = torch.zeros((2, manifest.colour_count, *_sides(manifest)))
    dynamic = {0: Dim("batch", min=1, max=1024)}
    if not tile.fixed:
        dynamic |= {2: tile.multiple * Dim("rows", min=1, max=4096), 3: tile.multiple * Dim("columns", min=1, max=4096)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        # Attention as matrix products: of its fused kernel, the exporter takes other strides than it computes with.
        # And torch prints every graph that it gave up.
        with (
            sdpa_kernel(SDPBackend.MATH),
            _DataAsDetached(),
            redirect_stdout(StringIO()),
            redirect_stderr(StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # deprecations inside torch's exporter, of no use to its caller
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["answer"],
                dynamic_shapes={"image": dynamic},
                verbose=False,
            )
            traced = None if program is None else program.model_proto
    except Exception as error:
        cause = _cause(error)
        if isinstance(cause, ExportError):
            raise cause from None
        raise WindowError(f"torch can't export this network: {_reason(cause)}.") from error
    if traced is None:
        raise ExportError("torch exported nothing.")
    return _tidy(traced)


class _DataAsDetached(TorchFunctionMode):
    """`tensor.data` means `tensor.detach()`: of what lies behind `data` the exporter sees nothing, and would write the
    example's values as a constant.
    """

    def __torch_function__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0].detach() if call == _READS_DATA else call(*args, **(kwargs or {}))


_READS_DATA = torch.Tensor.data.__get__  # type: ignore[attr-defined]


def _cause(error: BaseException) -> BaseException:
    """The first one: the exporter wraps it in pages about itself."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


_DATA_DEPENDENT = ("data-dependent", "GuardOnDataDependent", "Dynamic control flow")
_PLACE = re.compile(r'File "(?:.*/)?([^/"]+)", line (\d+), in .*\n\s*(.+)')


def _reason(cause: BaseException) -> str:
    """One line."""
    line = str(cause).strip().partition("\n")[0].rstrip(".") or type(cause).__name__
    if any(word in line or word in type(cause).__name__ for word in _DATA_DEPENDENT):
        places = _PLACE.findall(str(cause))
        told = " ({}, line {}: {})".format(*places[-1]) if places else ""
        return (
            f"Python decides there by values of the image{told}, and a graph holds no such branch. Write it with "
            "torch.where, or take it away for evaluation"
        )
    return line


def _tidy(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drops the exporter's notes on every node (half of a small file, and paths of the exporting machine)."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    return model
