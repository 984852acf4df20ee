"""Which operations of an INT8 graph stay in FP32, so that few pixels flip.

In a QDQ graph, a value is rounded on its way to the operations that read it:

    x ─► QuantizeLinear ─► DequantizeLinear ─► convolution (its weights rounded, its bias moved)

An operation that *stays in float* has the weights and the bias of before; it and its neighbours read x itself where no
other one reads the rounded value. How much an operation loses is found as is usual (AIMET, NNCF and others): it alone
is rounded, and what flips is counted. In that order, operations are rounded together while few pixels flip.
All graphs of the search are one graph whose values have a switch each: to build and load one for each of them takes
most of the time.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from vesselrt.export.emulation import session_of
from vesselrt.export.fp16 import MOVING
from vesselrt.runtime.arrays import Image

logger = logging.getLogger(__name__)

Loss = Callable[[Sequence[NDArray[np.float32]]], float]
"""What the answers to the judged windows lose: a share of the pixels."""


@dataclass(frozen=True)
class Operation:
    """One that can be rounded."""

    values: frozenset[str]
    """Rounded values that it reads."""
    constants: frozenset[str]
    """Its weights and its bias as they are when it is rounded."""


class SensitivitySearch:
    """The INT8 graphs that lie between a quantized graph and `original`, which it was made of.

    `judged` are windows (N, C, h, w) uint8, on which `loss` tells what a graph loses. What it found is remembered, so
    that another limit costs little.
    """

    def __init__(self, original: ModelProto, quantized: ModelProto, judged: Sequence[Image], loss: Loss) -> None:
        self._graph, self._judged, self._loss = _Rounded(original, quantized), judged, loss
        self._session, self._input = session_of(self._graph.with_switches()), quantized.graph.input[0].name
        self._lost: dict[frozenset[str], float] = {}

    def within(self, most: float) -> ModelProto:
        """The graph with as many operations in 8 bits as lose no more than `most`. It has no QuantizeLinear where none
        can be rounded.
        """
        operations = self._graph.operations
        rounded = operations if self._lost_by(operations) <= most else self._rounded_in_order(most)
        logger.info("%d of %d operations stay in float", len(operations) - len(rounded), len(operations))
        return self._graph.with_floats(self._graph.exact_beside(rounded))

    def _rounded_in_order(self, most: float) -> list[Operation]:
        """Those that lose least first, each if there is room for it yet."""
        ranked = sorted(self._graph.operations, key=lambda operation: self._lost_by([operation]))
        low, high = 0, len(ranked)
        while high - low > 1:  # the first `low` are few enough, the first `high` too many
            middle = (low + high) // 2
            low, high = (middle, high) if self._lost_by(ranked[:middle]) <= most else (low, middle)
        rounded = ranked[:low]
        for operation in ranked[high:]:
            if self._lost_by([*rounded, operation]) <= most:
                rounded.append(operation)
        return rounded

    def _lost_by(self, rounded: Iterable[Operation]) -> float:
        exact = self._graph.exact_beside(rounded)
        if exact not in self._lost:
            switches = {_switch(value): np.array(value in exact) for value in self._graph.exact}
            answers = [self._session.run(None, {self._input: shown, **switches})[0] for shown in self._judged]
            self._lost[exact] = self._loss(answers)
        return self._lost[exact]


class _Rounded:
    """A quantized graph beside the one that it was made of."""

    def __init__(self, original: ModelProto, quantized: ModelProto) -> None:
        self.model = ModelProto()
        self.model.CopyFrom(quantized)
        del self.model.graph.value_info[:]
        self.exact: dict[str, str] = {}
        """Rounded value, rounded weight or moved bias → what it was made of."""
        self._find_values()
        self.values = frozenset(self.exact)
        """Those between operations."""
        self.operations = list(self._find_operations(original))

    def _find_values(self) -> None:
        constants = {tensor.name for tensor in self.model.graph.initializer}
        sources = {node.output[0]: node.input[0] for node in self.model.graph.node if node.op_type == "QuantizeLinear"}
        for node in self.model.graph.node:
            source = sources.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
            if source is not None and source not in constants:
                self.exact[node.output[0]] = source

    def _find_operations(self, original: ModelProto) -> Iterable[Operation]:
        """Each with the rounded values that come to it, if need be by operations that only move them."""
        before = {node.output[0]: node for node in original.graph.node}
        old, new = ({tensor.name: tensor for tensor in m.graph.initializer} for m in (original, self.model))
        reaching = {value: frozenset({value}) for value in self.values}
        for node in self.model.graph.node:
            if node.output[0] in self.exact or node.output[0] not in before:
                continue
            values = frozenset[str]().union(*(reaching.get(name, ()) for name in node.input))
            if node.op_type in MOVING:
                reaching[node.output[0]] = values
            elif values:
                yield Operation(values, frozenset(self._exact_constants(node, before[node.output[0]], old, new)))

    def _exact_constants(
        self, node: NodeProto, before: NodeProto, old: dict[str, TensorProto], new: dict[str, TensorProto]
    ) -> Iterable[str]:
        """Names of the constants of a node that quantization changed; those of before are put into the graph."""
        for place, name in enumerate(node.input):
            was = before.input[place] if place < len(before.input) else ""
            if name in self.values or (name == was and new.get(name) == old.get(name)):
                continue
            if name not in self.exact:
                self.exact[name] = exact = was if was not in old and was else f"{name} exact"
                if exact != was:
                    value = numpy_helper.to_array(old[was]) if was else np.zeros_like(numpy_helper.to_array(new[name]))
                    self.model.graph.initializer.append(numpy_helper.from_array(value, exact))
            yield name

    def exact_beside(self, rounded: Iterable[Operation]) -> frozenset[str]:
        """Names of all that is exact when these operations alone are rounded."""
        return frozenset(self.exact).difference(*(each.values | each.constants for each in rounded))

    def with_switches(self) -> ModelProto:
        """A graph with a boolean input for each rounded value and constant: true takes the exact one."""
        copy = ModelProto()
        copy.CopyFrom(self.model)
        made = {tensor.name for tensor in copy.graph.initializer}
        nodes: list[NodeProto] = [self._switched(name) for name in self.exact if name in made]
        chosen = {name: _chosen(name) for name in self.exact}
        for node in copy.graph.node:
            _read_instead(node, chosen)
            nodes.append(node)
            nodes += [self._switched(name) for name in node.output if name in self.exact]
        del copy.graph.node[:]
        copy.graph.node.extend(nodes)
        copy.graph.input.extend(helper.make_tensor_value_info(_switch(n), TensorProto.BOOL, []) for n in self.exact)
        return copy

    def _switched(self, name: str) -> NodeProto:
        return helper.make_node("Where", [_switch(name), self.exact[name], name], [_chosen(name)])

    def with_floats(self, names: Iterable[str]) -> ModelProto:
        """The quantized graph with what these were made of in their place."""
        copy = ModelProto()
        copy.CopyFrom(self.model)
        exact = {name: self.exact[name] for name in names}
        for node in copy.graph.node:
            _read_instead(node, exact)
        drop_unused(copy)
        return copy


def drop_unused(model: ModelProto) -> None:
    """Removes the operations and constants that nothing reads."""
    graph = model.graph
    used = {output.name for output in graph.output}
    nodes = []
    for node in reversed(graph.node):  # in the order of a graph, readers come after what they read
        if not used.isdisjoint(node.output):
            used.update(node.input)
            nodes.append(node)
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(nodes))
    graph.initializer.extend(kept)


def _read_instead(node: NodeProto, other: dict[str, str]) -> None:
    for place, name in enumerate(node.input):
        node.input[place] = other.get(name, name)


def _switch(name: str) -> str:
    return f"{name} stays in float"


def _chosen(name: str) -> str:
    return f"{name} or exact"
