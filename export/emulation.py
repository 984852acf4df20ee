"""Graphs computed on this processor as another one computes them: every rounding is written into the graph."""

from collections.abc import Iterable

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper
from onnx.inliner import inline_local_functions

from vesselrt.export.fp16 import WEIGHTED, between_weighted
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.hardware import usable_cores


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
            nodes += _probe(graph, f"{made[0]} wide", made[0])
    del graph.node[:]
    graph.node.extend(nodes)
    return copy


def largest_values(flat: ModelProto, batches: Iterable[Image]) -> dict[str, float]:
    """Largest magnitude of each float32 value that an operation gives, over (N, C, h, w) uint8 batches. The graph is
    one of `flatten`.
    """
    copy = ModelProto()
    copy.CopyFrom(flat)
    graph = copy.graph
    floats = {v.name for v in graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    names = [name for node in graph.node for name in node.output if name in floats]
    for name in names:
        graph.node.extend(_probe(graph, name, name))
    session, ends = session_of(copy), [f"{name} largest" for name in names]
    found = [session.run(ends, {graph.input[0].name: pixels}) for pixels in batches]
    return {name: max(map(float, values)) for name, values in zip(names, zip(*found, strict=True), strict=True)}


def _probe(graph: GraphProto, source: str, name: str) -> list[NodeProto]:
    """Nodes that give the largest magnitude of the value `source` as a further output of the graph, `NAME largest`."""
    graph.output.append(helper.make_tensor_value_info(f"{name} largest", TensorProto.FLOAT, []))
    return [
        helper.make_node("Abs", [source], [f"{name} size"]),
        helper.make_node("ReduceMax", [f"{name} size"], [f"{name} largest"], keepdims=0),
    ]


def emulated_bf16(model: ModelProto) -> ModelProto:
    """A copy of an f32 graph that does what a processor with bf16 does: both factors of a weighted operation are
    rounded to bf16, and so is every value that an operation gives between the first and the last weighted one. Sums
    stay in FP32.
    """
    copy = onnx.shape_inference.infer_shapes(inline_local_functions(model))
    graph = copy.graph
    inside = between_weighted(graph)
    floats = {v.name for v in graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT}
    made: set[str] = set()
    """Values and weights that are rounded already."""
    nodes: list[NodeProto] = []
    for index, node in enumerate(graph.node):
        if index not in inside:
            nodes.append(node)
            continue
        for place, name in enumerate(node.input[:2] if node.op_type in WEIGHTED else ()):
            if name not in made:  # a weight, in whatever way the graph holds it, or what the first operation reads
                node.input[place] = rounded = f"{name} rounded"
                if rounded not in made:
                    nodes += _rounding(name, f"{name} bf16", rounded)
                    made.add(rounded)
        nodes.append(node)
        for place, name in enumerate(node.output):
            if name in floats:
                node.output[place] = f"{name} exact"
                nodes += _rounding(f"{name} exact", f"{name} bf16", name)
                made.add(name)
    del graph.node[:]
    graph.node.extend(nodes)
    return copy


def _rounding(source: str, between: str, target: str) -> list[NodeProto]:
    return [_cast(source, between, TensorProto.BFLOAT16), _cast(between, target, TensorProto.FLOAT)]


def answers_of(model: ModelProto, batches: Iterable[Image]) -> list[NDArray[np.float32]]:
    """What a graph gives for each (N, C, h, w) uint8, computed as it is written: probability, (N, K, h, w) float32."""
    session, name = session_of(model), model.graph.input[0].name
    return [session.run(None, {name: pixels})[0] for pixels in batches]


def answer_of(model: ModelProto, pixels: Image) -> NDArray[np.float32]:
    """The same for one batch."""
    return answers_of(model, [pixels])[0]


def session_of(model: ModelProto) -> onnxruntime.InferenceSession:
    """A session that computes the graph as it is written: an optimiser may take out a Cast to FP16 and back, and the
    rounding with it.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = usable_cores()
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _cast(source: str, target: str, to: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], to=to)
