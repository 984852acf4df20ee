"""Model file → engine, by TensorRT for RTX for named GPUs on any machine, or by TensorRT for the GPU of this one.

The network is strongly typed: TensorRT computes each operation in the type that the graph gives it, so FP16 is written
into the graph first, and that it arrived is read from TensorRT's own network before anything is built.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from vesselrt.export.emulation import answer_of, emulated
from vesselrt.export.int8 import symmetric
from vesselrt.export.parity import MOST_FLIPPED
from vesselrt.export.precision import fp16_with_proof
from vesselrt.runtime.backends import to_bytes
from vesselrt.runtime.backends.tensorrt import make_logger
from vesselrt.runtime.engines.enginefile import (
    FLAVOUR_NAMES,
    MAX_BATCH,
    Engine,
    Flavour,
    Profile,
    import_tensorrt,
    proof_from_probability,
    proof_window,
)
from vesselrt.runtime.errors import DeviceError, ExportError, OptionError
from vesselrt.runtime.hardware import find_gpu
from vesselrt.runtime.manifest import Manifest, Precision
from vesselrt.runtime.modelfile import int8_file, read_manifest, sha256

CARDS = {"rtx2080ti": "sm75"}
"""Targets by the name on the box."""
LARGEST_BATCH = 256

_PRODUCTS = ("MATRIX_MULTIPLY", "EINSUM")
_WEIGHTED = ("CONVOLUTION", "DECONVOLUTION", *_PRODUCTS)
_FRAGILE = ("NORMALIZATION", "SOFTMAX", "REDUCE", "UNARY", "LRN", "CUMULATIVE")
"""Kinds of layers that must not give FP16."""


def build(
    path: Path,
    targets: Sequence[str],
    precision: Precision = "fp16",
    max_batch: int = MAX_BATCH,
    flavour: Flavour = "tensorrt_rtx",
) -> Engine:
    """Compiles a model file; an f32 one is brought to FP16 first where that is asked for, and compared on noise. What
    `convert` wrote was compared on photographs: compile that. For INT8 the file that `convert` made is taken, `path`
    itself or the one beside it.

    `targets`: `sm75`, `rtx2080ti`, `current` (the GPU of this machine) and the like; one engine of TensorRT for RTX
    serves them all, but made for others too it loses speed on Turing (sm75). TensorRT builds for `current` alone.
    The engine takes windows of the model's tile, bytes in and out: its output is 255 × probability, rounded.

    Raises ModelError, OptionError, DeviceError for a target or flavour that is not there, ExportError when TensorRT
    can't take the network.
    """
    builder = _EngineBuilder(flavour)
    chosen = builder.targets(targets)
    if not 1 <= max_batch <= LARGEST_BATCH:
        raise OptionError(f"a batch of {max_batch}. Expected 1 to {LARGEST_BATCH}.")
    path, model, manifest = _in_precision(path, precision)
    profile = Profile.of(manifest, max_batch)
    window = proof_window(manifest.colour_count, profile.tile, manifest.preparation.normalise)
    proof = proof_from_probability(to_bytes(answer_of(emulated(model), window[None]))[0])
    return Engine.of(
        builder.plan(model, manifest, chosen, profile, str(path)),
        manifest.model_copy(
            update={"tile": manifest.tile.model_copy(update={"fixed": True}), "content_sha256": None}  # no model file's
        ),
        flavour=flavour,
        version=builder.version,
        targets=chosen,
        profile=profile,
        model_sha256=sha256(path),
        proof=proof.tobytes().hex(),
    )


def _in_precision(path: Path, precision: Precision) -> tuple[Path, ModelProto, Manifest]:
    """The model file that an engine in this precision is made of, `path` or the one beside it, with its graph as
    TensorRT takes it. Raises OptionError, ExportError.
    """
    manifest = read_manifest(path)
    if (manifest.precision, precision) == ("f32", "fp16"):
        return path, *fp16_with_proof(onnx.load(path), manifest, [])
    if (manifest.precision, precision) == ("f32", "int8"):
        path, manifest = int8_file(path, manifest) or (path, manifest)
    if manifest.precision != precision:
        advice = (
            f"Make one: vesselrt convert {path} --precision int8 --data DATA"
            if (manifest.precision, precision) == ("f32", "int8")
            else f"Say --precision {manifest.precision}, or name the f32 model file"
        )
        raise OptionError(f"{path}: its graph is {manifest.precision}, and {precision} was asked for. {advice}.")
    if precision != "int8":
        return path, onnx.load(path), manifest
    flipped = manifest.provenance.parity.get("int8", {}).get("flipped_symmetric", 1.0)
    if flipped > MOST_FLIPPED:
        raise ExportError(
            f"{path}: TensorRT knows no zero points, and without them {flipped:.2%} of the pixels flip (at most "
            f"{MOST_FLIPPED:.2%} may). Compile it with --precision fp16."
        )
    return path, symmetric(onnx.load(path)), manifest


class _EngineBuilder:
    """TensorRT's builder of one flavour."""

    def __init__(self, flavour: Flavour) -> None:
        self.library: Any = import_tensorrt(flavour)
        self.version: str = self.library.__version__
        self.name = f"{FLAVOUR_NAMES[flavour]} {self.version}"

    def targets(self, names: Sequence[str]) -> tuple[str, ...]:
        """Compute capabilities (`sm75`), each once, in order. Raises OptionError or DeviceError for what can't be."""
        capabilities = getattr(self.library, "ComputeCapability", None)
        offered = [find_gpu().target] if capabilities is None else _offered(capabilities)
        known = ", ".join((*CARDS, *offered, "current"))
        chosen = set()
        for name in names:
            target = find_gpu().target if name == "current" else CARDS.get(name, name)
            if target not in offered:
                what = f"target {name!r}" if target == name else f"target {name!r} ({target})"
                raise OptionError(f"{what} is none that {self.name} builds for here. Expected: {known}.")
            chosen.add(target)
        if not chosen:
            raise OptionError(f"no target is named. Expected: {known}.")
        return tuple(sorted(chosen, key=offered.index))

    def plan(
        self, model: ModelProto, manifest: Manifest, targets: Sequence[str], profile: Profile, source: str
    ) -> bytes:
        """The serialized plan; `source` names the model in messages. Raises ExportError."""
        trt, log = self.library, make_logger(self.library)
        try:
            builder = trt.Builder(log)
        except TypeError:  # how pybind11 says that nothing was made
            raise DeviceError(f"{self.name} does not start: {log.reason()}. See nvidia-smi for the driver.") from None
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        self._parse(network, deployed(model, profile.tile), log, source)
        self.check_types(network, manifest, source)
        config = builder.create_builder_config()
        config.clear_flag(trt.BuilderFlag.TF32)  # f32 is f32: on GPUs after Turing the default would round it
        if hasattr(trt, "ComputeCapability"):
            config.num_compute_capabilities = len(targets)
            for index, target in enumerate(targets):
                config.set_compute_capability(trt.ComputeCapability.__members__[target.upper()], index)
            # CUDA graphs can be captured only of a network that allocates nothing while it runs.
            config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
        shapes = builder.create_optimization_profile()
        sides = (manifest.channel_count, profile.tile, profile.tile)
        shapes.set_shape(network.get_input(0).name, *((batch, *sides) for batch in profile.batch))
        config.add_optimization_profile(shapes)
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise ExportError(
                f"{source}: {self.name} can't build it for {', '.join(targets)}: {log.reason()}. "
                f"{self._advice(network, targets)}"
            )
        return bytes(plan)

    def _advice(self, network: Any, targets: Sequence[str]) -> str:
        layers = map(network.get_layer, range(network.num_layers))
        products = [
            v.name for v in layers if v.type.name in _PRODUCTS and v.get_output(0).dtype == self.library.DataType.FLOAT
        ]
        if products and "sm75" in targets:
            return f"On sm75 it has no matrix product in FP32, as {products[0]} is: compile it with --precision fp16."
        return "Change the network, its tile or the batch."

    def check_types(self, network: Any, manifest: Manifest, source: str) -> None:
        """Reads from TensorRT's network what each layer computes in; those that the manifest names may stay in FP32.

        Raises ExportError that names the layer.
        """
        types, precision, kept = self.library.DataType, manifest.precision, manifest.provenance.float_operations
        wanted = types.HALF if precision == "fp16" else types.FLOAT
        for layer in map(network.get_layer, range(network.num_layers)):
            kind = layer.type.name
            found = {layer.get_output(i).dtype for i in range(layer.num_outputs)}
            wrong = (kind in _WEIGHTED and found != {wanted} and layer.name not in kept) or (
                (kind in _FRAGILE or precision == "f32") and types.HALF in found
            )
            if wrong:
                named = ", ".join(sorted(t.name for t in found))
                raise ExportError(
                    f"{source}: {precision} was asked for, and {kind} {layer.name} would compute in {named}. "
                    "Make the model file with: vesselrt convert"
                )
        if precision == "int8":
            self._check_int8(network, source)
        ends = (network.get_input(0).dtype, network.get_output(0).dtype)
        if ends != (types.UINT8, types.UINT8):
            raise ExportError(f"{source}: in and out are {ends[0].name} and {ends[1].name}. Expected UINT8 for both.")
        window, answer = (tuple(end.shape)[1:] for end in (network.get_input(0), network.get_output(0)))
        if answer != (len(manifest.classes), *window[1:]):
            raise ExportError(
                f"{source}: of each window it gives {answer}. Expected {(len(manifest.classes), *window[1:])}, a "
                "probability of each class. Export the model again."
            )

    def _check_int8(self, network: Any, source: str) -> None:
        """Raises ExportError where no weighted layer reads what was INT8."""
        layers = [network.get_layer(i) for i in range(network.num_layers)]
        dequantized = {layer.get_output(0).name for layer in layers if layer.type.name == "DEQUANTIZE"}
        weighted = [layer for layer in layers if layer.type.name in _WEIGHTED]
        if not any(layer.get_input(0).name in dequantized for layer in weighted):
            raise ExportError(f"{source}: no layer of it would compute in INT8. Compile it with --precision fp16.")

    def _parse(self, network: Any, model: ModelProto, log: Any, source: str) -> None:
        parser = self.library.OnnxParser(network, log)
        if parser.parse(model.SerializeToString()):
            return
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        # What the parser was in the middle of fails with it: the first error is the cause.
        named = [f"{e.node_operator()} (node {e.node_name() or e.node()}), {e.code().name}" for e in errors[:1]]
        raise ExportError(
            f"{source}: {self.name} can't take {named[0] if named else 'the graph: ' + log.reason()}. "
            "Write the network without it."
        )


def _offered(capabilities: Any) -> list[str]:
    return [name.lower() for name in capabilities.__members__ if name.startswith("SM")]


def deployed(model: ModelProto, tile: int) -> ModelProto:
    """A copy that takes windows of this side and no other, the batch open, and gives bytes: 255 × probability, rounded
    to nearest (to even at a half) as `to_bytes` does. A quarter of the float probability crosses the bus.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    for side in graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_value = tile
    probability = graph.output[0].name
    scale, scaled, rounded, levels = (f"{probability} {part}" for part in ("scale", "scaled", "rounded", "levels"))
    graph.initializer.append(numpy_helper.from_array(np.array(255, np.float32), scale))
    graph.node.extend(
        [
            helper.make_node("Mul", [probability, scale], [scaled]),
            helper.make_node("Round", [scaled], [rounded]),
            helper.make_node("Cast", [rounded], [levels], to=TensorProto.UINT8),
        ]
    )
    graph.output[0].CopyFrom(helper.make_tensor_value_info(levels, TensorProto.UINT8, None))
    return copy
