"""A network's graph → the graph of a model file.

image (N, C, H, W) uint8 ─► normalisation ─► [NHWC] ─► network ─► [NCHW] ─► channels of the classes ─► probability

Where the photograph was normalised by its own values before, `image` holds the bytes of these numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx
import onnx.compose
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from vesselrt.export.folding import fold_resized_constants
from vesselrt.export.head import Head
from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.photo.normalisation import UNIT

Layout = Literal["NCHW", "NHWC", "NHW"]
"""Order of axes; NHW is one channel without an axis of its own."""

_ACTIVATIONS = {"HardSigmoid", "Sigmoid", "Softmax"}
_MOVES = {"Cast", "Identity", "Slice", "Squeeze", "Transpose", "Unsqueeze"}


@dataclass(frozen=True)
class NetworkGraph:
    """A network as a graph of one input and one output."""

    model: ModelProto
    channels: int
    """Those that it gives."""
    takes: Layout = "NCHW"
    gives: Layout = "NCHW"


class _Chain:
    """Nodes of which each reads what the last one gave."""

    def __init__(self, value: str) -> None:
        self.value = value
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, kind: str, result: str, *others: Any, **attributes: Any) -> str:
        """Appends an operation on the last result and on constants, and names its result."""
        names = [
            other if isinstance(other, str) else self._constant(f"{result} {i}", other)
            for i, other in enumerate(others)
        ]
        self.nodes.append(helper.make_node(kind, [self.value, *names], [result], name=result, **attributes))
        self.value = result
        return result

    def cut(self, result: str, places: Sequence[int]) -> str:
        """Appends what takes these channels, each once."""
        if list(places) != list(range(places[0], places[0] + len(places))):
            return self.add("Gather", result, np.array(places, np.int64), axis=1)
        ends = (np.array([v], np.int64) for v in (places[0], places[-1] + 1, 1))
        return self.add("Slice", result, *ends)

    def _constant(self, name: str, values: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name


def wrap_graph(network: NetworkGraph, manifest: Manifest, head: Head) -> ModelProto:
    """The model file's graph: `image` (N, C, H, W) uint8 → `probability` (N, K, H, W) float32, K classes."""
    model = onnx.compose.add_prefix(network.model, "net/")
    graph = model.graph
    taken, given = graph.input[0], graph.output[0]
    before, after = _Chain("image"), _Chain(given.name)
    _normalise(before, manifest, taken.type.tensor_type.elem_type)
    if network.takes == "NHWC":
        before.add("Transpose", "channels last", perm=[0, 2, 3, 1])
    _make_probability(after, network, head, given.type.tensor_type.elem_type)
    before.nodes[-1].output[0] = taken.name
    after.nodes[-1].output[0] = "probability"
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*before.constants, *after.constants])
    sides = [manifest.tile.size] * 2 if manifest.tile.fixed else ["height", "width"]
    image, maps = (["batch", count, *sides] for count in (manifest.channel_count, len(head.classes)))
    taken.CopyFrom(helper.make_tensor_value_info("image", TensorProto.UINT8, image))
    given.CopyFrom(helper.make_tensor_value_info("probability", TensorProto.FLOAT, maps))
    fold_resized_constants(model)
    model.producer_name, model.producer_version = "vesselrt", ""
    onnx.checker.check_model(model, full_check=True)
    return model


def _normalise(chain: _Chain, manifest: Manifest, wanted: int) -> None:
    """Of a network that takes bytes nothing is left to do."""
    if wanted == TensorProto.UINT8:
        chain.add("Identity", "bytes")
        return
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (manifest.input.mean, manifest.input.std))
    chain.add("Cast", "pixels", to=TensorProto.FLOAT)
    if manifest.preparation.normalise is None:
        chain.add("Div", "scaled", np.float32(255))
    else:
        _join_bytes(chain, manifest.colour_count)
    chain.add("Sub", "centred", mean)
    chain.add("Div", "normalised", std)
    if wanted != TensorProto.FLOAT:
        chain.add("Cast", "as it takes them", to=wanted)


def _join_bytes(chain: _Chain, count: int) -> None:
    """The numbers of vesselrt.runtime.photo.normalisation. They are below 2^24: float32 holds each step exactly."""
    image, names = chain.value, []
    for place, name in enumerate(("high bytes", "middle bytes", "low bytes")):
        chain.value = image
        names.append(chain.cut(name, range(place * count, (place + 1) * count)))
    high, middle, low = names
    chain.value = high
    chain.add("Mul", "halves", np.float32(1 / 128))
    chain.add("Floor", "is negative")
    chain.add("Mul", "above", np.float32(-256))
    chain.add("Add", "signed bytes", high)
    chain.add("Mul", "signed bytes up", np.float32(256))
    chain.add("Add", "two bytes", middle)
    chain.add("Mul", "two bytes up", np.float32(256))
    chain.add("Add", "whole numbers", low)
    chain.add("Mul", "numbers", np.float32(1 / UNIT))


def _make_probability(chain: _Chain, network: NetworkGraph, head: Head, given: int) -> None:
    if given != TensorProto.FLOAT:
        chain.add("Cast", "answer f32", to=TensorProto.FLOAT)
    if network.gives == "NHWC":
        chain.add("Transpose", "channels first", perm=[0, 3, 1, 2])
    elif network.gives == "NHW":
        chain.add("Unsqueeze", "channels first", np.array([1], np.int64))
    count = network.channels
    places = head.channels(count)
    if head.output == "softmax" and (count > 2 or len(places) > 1):
        if head.shift:
            shift = np.zeros((count, 1, 1), np.float32)
            shift[list(places)] = head.shift
            chain.add("Add", "calibrated", shift)
        chain.add("Softmax", "shares", axis=1)
        chain.cut("vessel", places)
        return
    if head.output == "softmax":  # of two it is the sigmoid of their difference
        answer = chain.value
        other = chain.cut("background", [1 - places[0]])
        chain.value = answer
        chain.cut("vessel", places)
        chain.add("Sub", "difference", other)
    elif places != tuple(range(count)):
        chain.cut("vessel", places)
    if head.output == "probability":
        chain.add("Identity", "as it is")
        return
    if head.shift:
        chain.add("Add", "calibrated", np.float32(head.shift))
    chain.add("Sigmoid", "sigmoid")


def check_end(network: ModelProto, head: Head) -> None:
    """Raises ExportError where a network ends with an activation of its own: with ours it would be applied twice.

    A softmax after LogSoftmax is that softmax.
    """
    if head.output == "probability":
        return
    makers = {name: node for node in network.graph.node for name in node.output}
    node = makers.get(network.graph.output[0].name)
    while node is not None and node.op_type in _MOVES:
        node = makers.get(node.input[0])
    if node is not None and node.op_type in _ACTIVATIONS:
        raise ExportError(
            f"the network ends with {node.op_type}: it gives a probability already. Say --output probability."
        )
