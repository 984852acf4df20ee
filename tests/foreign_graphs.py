"""ONNX files as other programs write them."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import onnxruntime
from exporting import manifest_of, noise
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from vesselrt.export.foreign import OnnxNetwork, export_onnx
from vesselrt.export.head import Head
from vesselrt.export.sources.onnxfile import read_onnx
from vesselrt.runtime.modelfile import read_manifest

Nodes = list[onnx.NodeProto]

RNG = np.random.default_rng(5)
WEIGHTS = RNG.normal(0, 0.4, (4, 3, 3, 3)).astype(np.float32)


def convolution(channels: int = 1, name: str = "answer") -> Nodes:
    return [helper.make_node("Conv", ["picture", f"weights {channels}"], [name], name, pads=[1, 1, 1, 1])]


def network(
    nodes: Nodes | None = None,
    constants: Mapping[str, Any] = MappingProxyType({}),
    *,
    shape: tuple[Any, ...] = ("n", 3, "h", "w"),
    kind: int = TensorProto.FLOAT,
    outputs: tuple[str, ...] = ("answer",),
    opset: int = 17,
) -> onnx.ModelProto:
    """A graph from `picture` to its outputs; `weights K` are those of a convolution to K channels."""
    known = {f"weights {k}": WEIGHTS[:k] for k in range(1, 5)} | dict(constants)
    nodes = convolution() if nodes is None else nodes
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info("picture", kind, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in known.items() if k in read],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run_graph(path: Path, feed: NDArray[Any], output: str | None = None) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output] if output else None
    return np.asarray(session.run(names, {session.get_inputs()[0].name: feed})[0])


def sigmoid(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(1 / (1 + np.exp(-values.astype(np.float64))))


def normalised(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (MANIFEST.input.mean, MANIFEST.input.std))
    return np.asarray((pixels.astype(np.float32) / 255 - mean) / std, np.float32)


MANIFEST = manifest_of("rgb", margin=4)
PIXELS = noise(3, 3, 8, 12)


def export_graph(model: onnx.ModelProto, folder: Path, head: Head | None = None, **fields: Any) -> Path:
    """The model file of a graph."""
    onnx.save(model, folder / "net.onnx")
    found = read_onnx(folder / "net.onnx").network
    assert isinstance(found, OnnxNetwork)
    manifest = MANIFEST.model_copy(update=fields)
    written = export_onnx(found, manifest, folder / "m.onnx", [], head or Head())
    assert read_manifest(folder / "m.onnx") == written
    assert written.provenance.parity["f32"]["largest_difference"] < 1e-5
    return folder / "m.onnx"
