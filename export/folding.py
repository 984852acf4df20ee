"""Resizing of constants, computed once: TensorRT has no antialiased Resize, and a constant needs none."""

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

_NEVER = frozenset({"Bernoulli", "Multinomial", "RandomNormal", "RandomUniform"})


def fold_resized_constants(model: ModelProto) -> ModelProto:
    """The model, changed: a Resize of constants alone, of a positional embedding say, is a constant with its result."""
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer} | {""}
    resized = []
    for node in graph.node:
        plain = not any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        if plain and node.op_type not in _NEVER and constants.issuperset(node.input):
            constants.update(node.output)
            resized += [node] if node.op_type == "Resize" else []
    if not resized:
        return model
    folded = _computed(model, resized)
    replaced = {tensor.name for tensor in folded}
    nodes = [node for node in graph.node if not replaced.intersection(node.output)]
    used = {name for node in nodes for name in node.input} | {output.name for output in graph.output}
    # What led to a constant has no reader now.
    kept = ModelProto().graph
    kept.node.extend(node for node in nodes if used.intersection(node.output))
    del graph.node[:]
    graph.node.extend(kept.node)
    graph.initializer.extend(folded)
    return model


def _computed(model: ModelProto, nodes: list[NodeProto]) -> list[TensorProto]:
    """The results of nodes that depend on constants alone."""
    copy = ModelProto()
    copy.CopyFrom(model)
    del copy.graph.input[:], copy.graph.output[:], copy.graph.value_info[:]
    names = [node.output[0] for node in nodes]
    wanted, kept = set(names), []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(node.input)
    del copy.graph.node[:]
    copy.graph.node.extend(reversed(kept))
    copy.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(copy.SerializeToString(), providers=["CPUExecutionProvider"])
    results = session.run(names, {})
    return [numpy_helper.from_array(np.asarray(r), n) for r, n in zip(results, names, strict=True)]
