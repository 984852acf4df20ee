"""Which operations of an INT8 graph stay in FP32."""

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from graphs import three_convolutions
from onnx import ModelProto, helper, numpy_helper

from vesselrt.export import sensitivity
from vesselrt.export.emulation import answers_of
from vesselrt.export.sensitivity import SensitivitySearch
from vesselrt.runtime.arrays import Image

SHOWN: list[Image] = [np.random.default_rng(seed).integers(0, 256, (2, 1, 16, 16), np.uint8) for seed in range(2)]


def quantized_from(model: ModelProto, bias: float = 0.0) -> ModelProto:
    """Every convolution rounded coarsely, as NNCF writes it: values between operations, weights, and a moved bias."""
    copy = ModelProto()
    copy.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in copy.graph.initializer}
    made: list[onnx.NodeProto] = []

    def put(name: str, value: np.generic) -> str:
        copy.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    for index, node in enumerate(copy.graph.node):
        if node.op_type == "Conv":
            value, weight = node.input[:2]
            scale, zero = put(f"scale {index}", np.float32(16)), put(f"zero {index}", np.int8(0))
            made.append(helper.make_node("QuantizeLinear", [value, scale, zero], [f"integers {index}"]))
            made.append(helper.make_node("DequantizeLinear", [f"integers {index}", scale, zero], [f"rounded {index}"]))
            small = put(f"small {index}", np.float32(abs(numpy_helper.to_array(constants[weight])).max() / 8))
            integers = (numpy_helper.to_array(constants[weight]) / numpy_helper.to_array(copy.graph.initializer[-1])).round()
            stored = put(f"weights {index}", integers.astype(np.int8))
            made.append(helper.make_node("DequantizeLinear", [stored, small, zero], [f"rounded weights {index}"]))
            moved = put(f"moved bias {index}", np.full(integers.shape[0], bias, np.float32))
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
        return max(float(abs(a - b).max()) for a, b in zip(expected, answers, strict=True))

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
