"""FP16 inside the graph of a model file; what goes in and what comes out stay as they are.

    image uint8 ─► scaling FP32 ─► Cast ─► network FP16 ─► Cast ─► sigmoid FP32 ─► probability float32

TensorRT's strongly typed networks compute in the types that the graph names, so FP16 is written there:

- An operation computes in FP16 if its kind is in `HALF` and it lies between the first and the last weighted operation
  (convolution, matrix product). Before and after, where pixels are scaled and probabilities made, is FP32.
- Every other operation, of a kind unknown here too, stays in FP32 between Casts: normalisations, reductions, softmax,
  division, exponentials and powers lose their digits in FP16 or leave its range.
- Where values of a network leave the range of FP16, the operations that read or give them are kept in FP32 too. Matrix
  products are not: `scale_products` divides their factors first.
- A constant that FP16 can't hold keeps its operation in FP32 (the bounds of a Clip, an epsilon). A weight that is too
  large for FP16 is an error.

The converters of onnxconverter-common and ONNX Runtime turn this round: they take every operation that is not on a list
of exceptions, and clip weights without a word.
"""

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.inliner import inline_local_functions

from vesselrt.runtime.errors import ExportError

FP16_MAX = 65504.0
PRODUCTS = frozenset({"Einsum", "Gemm", "MatMul"})
WEIGHTED = PRODUCTS | {"Conv", "ConvTranspose"}
MOVING = frozenset(
    {"Concat", "DepthToSpace", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Reshape", "Slice"}
    | {"SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"}
)
"""Operations that give the values that they read, in whatever type these are."""
_ARITHMETIC = frozenset(
    {"Add", "AveragePool", "Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Max", "Min", "Mul", "PRelu", "Relu"}
    | {"Resize", "Sigmoid", "Sub", "Tanh"}
)
HALF = WEIGHTED | MOVING | _ARITHMETIC
"""Kinds of operations that FP16 serves as well as FP32."""


def fp16_from_f32(model: ModelProto, kept: Collection[str] = ()) -> ModelProto:
    """The same network with FP16 weights and arithmetic; the types of its inputs and outputs are the same.

    `kept`: values, by name, that FP16 can't hold: what reads or gives one of them stays in FP32.

    Raises ExportError when a weight is too large for FP16 or nothing would compute in FP16.
    """
    flat = flatten(model)
    rewriting = _Rewriting(flat, frozenset(kept))
    for index, node in enumerate(flat.graph.node):
        rewriting.add(index, node)
    return rewriting.finish()


def flatten(model: ModelProto) -> ModelProto:
    """A copy whose functions are inlined and whose constants are initializers, with the type of every value."""
    copy = inline_local_functions(model)
    nodes = []
    for node in copy.graph.node:
        if node.op_type == "Constant" and node.domain == "" and node.attribute[0].name == "value":
            tensor = copy.graph.initializer.add()
            tensor.CopyFrom(node.attribute[0].t)
            tensor.name = node.output[0]
        else:
            nodes.append(node)
    _replace(copy.graph.node, nodes)
    return onnx.shape_inference.infer_shapes(copy)


class _Rewriting:
    """Goes through the nodes in their order.

    Each FP32 value of the old graph may have a copy in FP16, by another name; a Cast makes either from the other where
    a node asks for it.
    """

    def __init__(self, model: ModelProto, kept: frozenset[str]) -> None:
        self.model, self.kept = model, kept
        graph = model.graph
        self.opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        self.constants = {t.name: t for t in graph.initializer}
        self.floats = _floats(graph)
        self.between = between_weighted(graph)
        self.nodes: list[NodeProto] = []
        self.half: dict[str, str] = {}
        """FP32 name → FP16 name, of values that are there in FP16."""
        self.only_half: set[str] = set()
        """FP32 names of values that are there in FP16 alone."""
        self.taken = self.floats | {n for node in graph.node for n in (*node.input, *node.output, node.name)}

    def add(self, index: int, node: NodeProto) -> None:
        slots = _slots(node, self.opset, self.floats) if index in self.between and node.op_type in HALF else None
        large = not self.kept.isdisjoint((*node.input, *node.output))
        if slots is None or large or not self._constants_fit(node, slots[0]):
            self._restore(read_names(node))
            self.nodes.append(node)
            return
        inputs, outputs = slots
        self._restore(name for i, name in enumerate(node.input) if i not in inputs)
        for i in inputs:
            node.input[i] = self._halved(node.input[i])
        for o in outputs:
            name = node.output[o]
            self.half[name] = node.output[o] = self._fresh(name + "_fp16")
            self.only_half.add(name)
        self.nodes.append(node)

    def finish(self) -> ModelProto:
        """The model, checked."""
        if not self.half:
            raise ExportError("the graph holds no FP32 convolution or matrix product, so nothing to compute in FP16.")
        graph = self.model.graph
        self._restore(output.name for output in graph.output)
        used = {name for node in self.nodes for name in read_names(node)} | {output.name for output in graph.output}
        _replace(graph.initializer, [t for t in self.constants.values() if t.name in used])
        _replace(graph.node, self.nodes)
        del graph.value_info[:]
        onnx.checker.check_model(self.model, full_check=True)
        return self.model

    def _constants_fit(self, node: NodeProto, inputs: list[int]) -> bool:
        """Raises ExportError for a weight that doesn't."""
        for name in (node.input[i] for i in inputs):
            if name not in self.constants:
                continue
            values = numpy_helper.to_array(self.constants[name])
            half = _rounded(values)
            too_large = np.isfinite(values) & ~np.isfinite(half)
            if too_large.any() and node.op_type in WEIGHTED:
                largest = abs(values[too_large]).max()
                raise ExportError(
                    f"{node.op_type} {node.name or node.output[0]}: its weight {name} reaches {largest:.3g}, "
                    "FP16 ends at 65504. Keep this model in f32, or train it with weight decay."
                )
            vanished = (values != 0) & (half == 0)
            if too_large.any() or (vanished.any() and node.op_type not in WEIGHTED):
                return False
        return True

    def _halved(self, name: str) -> str:
        """The value's name in FP16."""
        if name not in self.half:
            self.half[name] = target = self._fresh(name + "_fp16")
            if name in self.constants:
                values = _rounded(numpy_helper.to_array(self.constants[name]))
                self.constants[target] = numpy_helper.from_array(values, target)
            else:
                self.nodes.append(self._cast(name, target, TensorProto.FLOAT16))
        return self.half[name]

    def _restore(self, names: Iterable[str]) -> None:
        """Makes values that are there in FP16 alone readable in FP32, under their old names."""
        for name in names:
            if name in self.only_half:
                self.only_half.remove(name)
                self.nodes.append(self._cast(self.half[name], name, TensorProto.FLOAT))

    def _cast(self, source: str, target: str, to: int) -> NodeProto:
        return helper.make_node("Cast", [source], [target], name=self._fresh(f"cast_{target}"), to=to)

    def _fresh(self, name: str) -> str:
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name


def _floats(graph: GraphProto) -> set[str]:
    """Names of all FP32 values."""
    described = (*graph.input, *graph.output, *graph.value_info)
    values = {v.name for v in described if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    return values | {t.name for t in graph.initializer if t.data_type == TensorProto.FLOAT}


def between_weighted(graph: GraphProto) -> set[int]:
    """Indices of the nodes between the first and the last weighted operation, those included.

    Followed along FP32 values only: arithmetic on shapes, which a convolution's result has too, needs its digits.
    """
    floats = _floats(graph)
    after, before = set(), set()
    active: set[str] = set()
    for index, node in enumerate(graph.node):
        if node.op_type in WEIGHTED or active.intersection(read_names(node)):
            after.add(index)
            active |= floats.intersection(node.output)
    wanted: set[str] = set()
    for index, node in reversed(list(enumerate(graph.node))):
        if node.op_type in WEIGHTED or wanted.intersection(node.output):
            before.add(index)
            wanted |= floats.intersection(read_names(node))
    return after & before


def _slots(node: NodeProto, opset: int, floats: set[str]) -> tuple[list[int], list[int]] | None:
    """Positions of the inputs and outputs that share the type of the node's result; None if that can't be FP16.

    Others stay as they are: the scales of a Resize are FP32 whatever it resizes.
    """
    if node.domain not in ("", "ai.onnx") or node.output[0] not in floats:
        return None
    schema = onnx.defs.get_schema(node.op_type, opset)
    kind = schema.outputs[0].type_str
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    if "tensor(float16)" not in allowed.get(kind, ()):
        return None

    def positions(names: Iterable[str], formal: list[onnx.defs.OpSchema.FormalParameter]) -> list[int]:
        # The last parameter may stand for any number of values.
        return [i for i, n in enumerate(names) if n and formal[min(i, len(formal) - 1)].type_str == kind]

    return positions(node.input, list(schema.inputs)), positions(node.output, list(schema.outputs))


def read_names(node: NodeProto) -> set[str]:
    """Every value that the node reads, in its branches too."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            names |= {name for inner in graph.node for name in read_names(inner)} | {o.name for o in graph.output}
    return names


def _rounded(values: NDArray[np.float32]) -> NDArray[np.float16]:
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(values, np.float16)


def _replace(field: Any, items: list[NodeProto] | list[TensorProto]) -> None:
    del field[:]
    field.extend(items)
