"""Small graphs for the tests of precisions: built node by node, run as they are written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from vesselrt.export.modelfile import write_model_file
from vesselrt.runtime.manifest import Manifest

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]

Node = Callable[..., NodeProto]

node: Node = helper.make_node

NAMES = {TensorProto.FLOAT: "f32", TensorProto.FLOAT16: "fp16"}


def model_of(nodes: list[NodeProto], opset: int = 20, **constants: Any) -> onnx.ModelProto:
    """A model from `image` (n, 1, h, w) uint8 to `probability`; `value` is the image in FP32."""
    graph = helper.make_graph(
        [node("Cast", ["image"], ["value"], to=TensorProto.FLOAT), *nodes],
        "test",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("house", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def between(nodes: list[NodeProto], **constants: Any) -> onnx.ModelProto:
    """A model whose nodes lead from `first` to `last`, between two convolutions that double what they see."""
    doubled = np.full((1, 1, 1, 1), 2, np.float32)
    ends = node("Conv", ["value", "one"], ["first"], "one"), node("Conv", ["last", "two"], ["probability"], "two")
    return model_of([ends[0], *nodes, ends[1]], **{"one": doubled, "two": doubled, **constants})


def three_convolutions(outlier: float = 1.0) -> onnx.ModelProto:
    """Dark lines are probable vessel. `outlier` multiplies one channel between the first two convolutions."""
    random = np.random.default_rng(0)
    line = np.full((1, 1, 5, 5), 1, np.float32)
    line[0, 0, :, 2] = -4
    spread = np.full(8, 1, np.float32)
    spread[3] = outlier
    constants: dict[str, Any] = {
        "most": np.array(255, np.float32),
        "first": line * spread[:, None, None, None],
        "second": (random.uniform(0.9, 1.1, (8, 8, 1, 1)) / spread[None, :, None, None]).astype(np.float32),
        "third": random.uniform(0.9, 1.1, (1, 8, 1, 1)).astype(np.float32),
        "bias": np.array([-20], np.float32),
    }
    nodes = [
        node("Div", ["value", "most"], ["scaled"]),
        node("Conv", ["scaled", "first"], ["a"], "conv_1", pads=[2, 2, 2, 2]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "second"], ["c"], "conv_2"),
        node("Relu", ["c"], ["d"]),
        node("Conv", ["d", "third", "bias"], ["e"], "conv_3"),
        node("Sigmoid", ["e"], ["probability"]),
    ]
    return model_of(nodes, **constants)


def manifest_of(**fields: Any) -> Manifest:
    return Manifest.from_fields(
        {
            "name": "tiny",
            "version": "0.1",
            "licence": "CC0-1.0",
            "description": "A few operations.",
            "preparation": {"channels": "green"},
            "input": {"mean": [0.0], "std": [1.0]},
            "tile": {"size": 32, "multiple": 4, "margin": 0},
            **fields,
        },
        source="test",
    )


def saved(model: onnx.ModelProto, path: Path, **fields: Any) -> Path:
    write_model_file(model, manifest_of(**fields), path)
    return path


def types(model: onnx.ModelProto) -> dict[str, str]:
    """Node's name or kind → the type of its first result."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    known = {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.output)}
    return {n.name or n.op_type: NAMES.get(known[n.output[0]], "other") for n in inferred.node}


def run(model: onnx.ModelProto, pixels: NDArray[np.uint8], level: str = "DISABLE") -> NDArray[Any]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}_ALL")
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": pixels})[0])


def half(values: Any) -> NDArray[np.float32]:
    """Rounded to FP16."""
    return np.asarray(values, np.float16).astype(np.float32)


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


PIXELS = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
