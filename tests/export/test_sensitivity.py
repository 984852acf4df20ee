"""Which operations of an INT8 graph stay in FP32."""

from itertools import combinations

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from graphs import three_convolutions
from onnx import ModelProto, helper, numpy_helper

from vesselrt.export import sensitivity
from vesselrt.export.emulation import answers_of, session_of
from vesselrt.export.sensitivity import SensitivitySearch
from vesselrt.runtime.arrays import Image

SHOWN: list[Image] = [np.random.default_rng(seed).integers(0, 256, (2, 1, 16, 16), np.uint8) for seed in range(2)]


STEPS = {"scaled": 0.01, "b": 0.2, "d": 1}
"""Value that a convolution reads → the step of its integers."""


def quantized_from(model: ModelProto, bias: float = 0.0) -> ModelProto:
    """Every convolution rounded as NNCF writes it: values between operations, weights, and a moved bias."""
    copy = ModelProto()
    copy.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in copy.graph.initializer}
    made: list[onnx.NodeProto] = []

    def put(name: str, value: npt.ArrayLike) -> str:
        copy.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    for index, node in enumerate(copy.graph.node):
        if node.op_type == "Conv":
            value, weight = node.input[:2]
            scale, zero = put(f"scale {index}", np.float32(STEPS[value])), put(f"zero {index}", np.int8(0))
            made.append(helper.make_node("QuantizeLinear", [value, scale, zero], [f"integers {index}"]))
            made.append(helper.make_node("DequantizeLinear", [f"integers {index}", scale, zero], [f"rounded {index}"]))
            small = put(f"small {index}", np.float32(abs(numpy_helper.to_array(constants[weight])).max() / 64))
            integers = (
                numpy_helper.to_array(constants[weight]) / numpy_helper.to_array(copy.graph.initializer[-1])
            ).round()
            stored = put(f"weights {index}", integers.astype(np.int8))
            made.append(helper.make_node("DequantizeLinear", [stored, small, zero], [f"rounded weights {index}"]))
            old = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else 0
            moved = put(f"moved bias {index}", np.full(integers.shape[0], old + bias, np.float32))
            node.input[:] = [f"rounded {index}", f"rounded weights {index}", moved]
        made.append(node)
    del copy.graph.node[:]
    copy.graph.node.extend(made)
    onnx.checker.check_model(copy, full_check=True)
    return copy


@pytest.fixture
def model() -> ModelProto:
    return three_convolutions()


def search(model: ModelProto, quantized: ModelProto, seen: list[int] | None = None) -> SensitivitySearch:
    expected = answers_of(model, SHOWN)

    def loss(answers: "list[np.ndarray]") -> float:
        if seen is not None:
            seen.append(1)
        return float(np.mean([abs(a - b).mean() for a, b in zip(expected, answers, strict=True)]))

    return SensitivitySearch(model, quantized, SHOWN, loss)  # type: ignore[arg-type]


def integers(model: ModelProto) -> int:
    return sum(node.op_type == "QuantizeLinear" for node in model.graph.node)


def test_a_limit_that_holds_leaves_the_graph_as_it_is(model: ModelProto) -> None:
    quantized = quantized_from(model, bias=0.5)
    seen: list[int] = []
    found = search(model, quantized, seen).within(np.inf)
    assert (integers(found), len(seen)) == (3, 1)
    for one, other in zip(answers_of(found, SHOWN), answers_of(quantized, SHOWN), strict=True):
        np.testing.assert_array_equal(one, other)


def test_where_nothing_may_be_lost_the_graph_is_the_one_of_before(model: ModelProto) -> None:
    found = search(model, quantized_from(model, bias=0.5)).within(0)
    assert integers(found) == 0
    assert not [node for node in found.graph.node if node.op_type == "DequantizeLinear"]
    for one, other in zip(answers_of(found, SHOWN), answers_of(model, SHOWN), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_loses_most_stays_in_float_and_the_rest_does_not(model: ModelProto) -> None:
    quantized = quantized_from(model)
    spoiled = next(tensor for tensor in quantized.graph.initializer if tensor.name == "scale 4")
    spoiled.CopyFrom(
        numpy_helper.from_array(np.array(1e4, np.float32), "scale 4")
    )  # all that the second one reads becomes 0
    seen: list[int] = []
    both = search(model, quantized, seen)
    alone = {2: both.within(np.inf), 1: both.within(0.2)}
    assert [integers(graph) for graph in alone.values()] == [3, 2]
    assert "integers 4" not in {name for node in alone[1].graph.node for name in node.input}
    lost = [abs(a - b).mean() for a, b in zip(answers_of(alone[1], SHOWN), answers_of(model, SHOWN), strict=True)]
    assert np.mean(lost) < 0.2
    asked = len(seen)
    both.within(0.2)
    assert len(seen) == asked, "what was found is remembered"


def test_one_graph_with_switches_computes_what_each_graph_of_its_own_does(model: ModelProto) -> None:
    graph = sensitivity._Rounded(model, quantized_from(model, bias=0.5))
    together = session_of(graph.with_switches())
    assert len(graph.operations) == 3
    for count in range(4):
        for rounded in combinations(graph.operations, count):
            exact = graph.exact_beside(rounded)
            switches = {f"{name} stays in float": np.array(name in exact) for name in graph.exact}
            own = answers_of(graph.with_floats(exact), SHOWN)
            for shown, answer in zip(SHOWN, own, strict=True):
                np.testing.assert_array_equal(together.run(None, {"image": shown, **switches})[0], answer)
