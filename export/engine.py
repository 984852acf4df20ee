"""Model file → engine for named GPUs, made by TensorRT for RTX on any machine: no GPU is needed.

The network is strongly typed: TensorRT computes each operation in the type that the graph gives it, so FP16 is written
into the graph first, and that it arrived is read from TensorRT's own network before anything is built.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import onnx
import tensorrt_rtx as trt

from vesselrt.export.precision import half_from_model
from vesselrt.runtime.engine import NAMES, Engine, Profile
from vesselrt.runtime.errors import ExportError, OptionError
from vesselrt.runtime.hardware import find_gpu
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import read_manifest, sha256

VERSION: str = trt.__version__
CARDS = {"rtx2080ti": "sm75"}
"""Targets by the name on the box."""
MAX_BATCH = 4
LARGEST_BATCH = 256
_BUILDER = f"{NAMES['tensorrt_rtx']} {VERSION}"

_WEIGHTED = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
_FRAGILE = ("NORMALIZATION", "SOFTMAX", "REDUCE", "UNARY", "LRN", "CUMULATIVE")
"""Kinds of layers that must not give FP16."""


def build(
    path: Path, targets: Sequence[str], precision: Literal["f32", "fp16"] = "fp16", max_batch: int = MAX_BATCH
) -> Engine:
    """Compiles a model file; an f32 one is brought to FP16 first where that is asked for, and compared on noise. What
    `convert` wrote was compared on photographs: compile that.

    `targets`: `sm75`, `rtx2080ti`, `current` (the GPU of this machine) and the like; one engine serves them all, but
    made for others too it loses speed on Turing (sm75).
    Raises ModelError, OptionError, DeviceError for a target that is not to be had, ExportError when TensorRT can't take
    the network.
    """
    chosen = targets_from_names(targets)
    if not 1 <= max_batch <= LARGEST_BATCH:
        raise OptionError(f"a batch of {max_batch}. Expected 1 to {LARGEST_BATCH}.")
    manifest, model = read_manifest(path), onnx.load(path)
    if (manifest.precision, precision) == ("f32", "fp16"):
        model, manifest = half_from_model(model, manifest, [])
    elif manifest.precision != precision:
        raise OptionError(f"{path}: its graph is {manifest.precision}, {precision} can't be had from it. Name another.")
    # A photograph at a model's scale is one tile most often: that batch is the one to be fast.
    profile = Profile(tile=manifest.tile.size, batch=(1, 1, max_batch))
    return Engine.of(
        plan_from_model(model, manifest, chosen, profile, str(path)),
        manifest,
        flavour="tensorrt_rtx",
        version=VERSION,
        targets=chosen,
        profile=profile,
        model_sha256=sha256(path),
    )


def targets_from_names(names: Sequence[str]) -> tuple[str, ...]:
    """Compute capabilities (`sm75`), each once, in order. Raises OptionError or DeviceError for one that can't be."""
    offered = [name.lower() for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    chosen = set()
    for name in names:
        target = find_gpu().target if name == "current" else CARDS.get(name, name)
        if target not in offered:
            known = ", ".join((*CARDS, *offered, "current"))
            what = f"target {name!r}" if target == name else f"target {name!r} ({target})"
            raise OptionError(f"{what} is none that {_BUILDER} builds for. Expected: {known}.")
        chosen.add(target)
    if not chosen:
        raise OptionError(f"no target is named. Expected: {', '.join((*CARDS, *offered, 'current'))}.")
    return tuple(sorted(chosen, key=offered.index))


def plan_from_model(
    model: onnx.ModelProto, manifest: Manifest, targets: Sequence[str], profile: Profile, source: str
) -> bytes:
    """The serialized plan; `source` names the model in messages. Raises ExportError."""
    log = _Log()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(network, _tiled(model, profile.tile), log, source)
    check_types(network, manifest.precision, source)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # f32 is f32: on GPUs after Turing the default would round it
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        config.set_compute_capability(trt.ComputeCapability.__members__[target.upper()], index)
    shapes = builder.create_optimization_profile()
    sides = (manifest.channel_count, profile.tile, profile.tile)
    shapes.set_shape(network.get_input(0).name, *((batch, *sides) for batch in profile.batch))
    config.add_optimization_profile(shapes)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(
            f"{source}: {_BUILDER} can't build it for {', '.join(targets)}: {log.reason()}. "
            "Change the network, its tile or the batch."
        )
    return bytes(plan)


def check_types(network: Any, precision: str, source: str) -> None:
    """Reads from TensorRT's network what each layer computes in. Raises ExportError that names the layer."""
    wanted = trt.DataType.HALF if precision == "fp16" else trt.DataType.FLOAT
    for layer in map(network.get_layer, range(network.num_layers)):
        kind = layer.type.name
        types = {layer.get_output(i).dtype for i in range(layer.num_outputs)}
        wrong = (kind in _WEIGHTED and types != {wanted}) or (
            (kind in _FRAGILE or precision == "f32") and trt.DataType.HALF in types
        )
        if wrong:
            found = ", ".join(sorted(t.name for t in types))
            raise ExportError(
                f"{source}: {precision} was asked for, and {kind} {layer.name} would compute in {found}. "
                "Make the model file with: vesselrt convert"
            )
    ends = (network.get_input(0).dtype, network.get_output(0).dtype)
    if ends != (trt.DataType.UINT8, trt.DataType.FLOAT):
        raise ExportError(f"{source}: in and out are {ends[0].name} and {ends[1].name}. Expected UINT8 and FLOAT.")


def _parse(network: Any, model: onnx.ModelProto, log: "_Log", source: str) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse(model.SerializeToString()):
        return
    errors = [parser.get_error(i) for i in range(parser.num_errors)]
    # What the parser was in the middle of fails with it: the first error is the cause.
    named = [f"{e.node_operator()} (node {e.node_name() or e.node()}), {e.code().name}" for e in errors[:1]]
    raise ExportError(
        f"{source}: {_BUILDER} can't take {named[0] if named else 'the graph: ' + log.reason()}. "
        "Write the network without it."
    )


def _tiled(model: onnx.ModelProto, tile: int) -> onnx.ModelProto:
    """A copy that takes windows of this side and no other; the batch stays open."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    shape = copy.graph.input[0].type.tensor_type.shape
    for side in shape.dim[2:]:
        side.dim_value = tile
    for output in copy.graph.output:
        output.type.tensor_type.ClearField("shape")
    return copy


class _Log(trt.ILogger):  # type: ignore[misc]
    """Keeps what TensorRT complains of; nothing is printed."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
            self.errors.append(" ".join(message.split()))

    def reason(self) -> str:
        return self.errors[0].rstrip(".") if self.errors else "it gives no reason"
