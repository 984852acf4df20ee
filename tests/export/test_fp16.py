"""FP16 inside the graph: what is rounded, and what is not."""

from typing import Any

import numpy as np
import onnx
import pytest
from graphs import NAMES, PIXELS, between, half, model_of, node, run, types
from onnx import NodeProto, TensorProto, helper, numpy_helper

from vesselrt.export.emulation import emulated
from vesselrt.export.fp16 import fp16_from_f32
from vesselrt.runtime.errors import ExportError

# What is rounded


@pytest.mark.parametrize("level", ["DISABLE", "ENABLE"])
def test_each_operation_rounds_once_and_the_ends_are_f32(level: str) -> None:
    scale, weight, bias, second = 1 / 255, 0.3337, 0.1234, 1.7771
    model = model_of(
        [
            node("Mul", ["value", "scale"], ["scaled"], "scale"),
            node("Conv", ["scaled", "weight", "bias"], ["a"], "conv"),
            node("Relu", ["a"], ["b"], "relu"),
            node("Conv", ["b", "second"], ["c"], "second"),
            node("Sigmoid", ["c"], ["probability"], "sigmoid"),
        ],
        scale=np.float32(scale),
        weight=np.full((1, 1, 1, 1), weight, np.float32),
        bias=np.array([bias], np.float32),
        second=np.full((1, 1, 1, 1), second, np.float32),
    )
    converted = fp16_from_f32(model)
    assert types(converted) == {
        "Cast": "f32",
        "scale": "f32",
        "cast_scaled_fp16": "fp16",
        "conv": "fp16",
        "relu": "fp16",
        "second": "fp16",
        "cast_c": "f32",
        "sigmoid": "f32",
    }
    scaled = half(PIXELS.astype(np.float32) * np.float32(scale))
    logits = half(half(scaled * half(weight) + half(bias)) * half(second))
    found = run(emulated(converted), PIXELS, level)
    assert found == pytest.approx(1 / (1 + np.exp(-logits.astype(np.float64))), abs=1e-6)
    assert abs(found - run(model, PIXELS)).max() > 1e-5  # it does round


def test_the_model_that_was_given_is_not_touched() -> None:
    model = between([node("Relu", ["first"], ["last"])])
    before = model.SerializeToString(deterministic=True)
    fp16_from_f32(model)
    assert model.SerializeToString(deterministic=True) == before


CHANNEL = np.ones(1, np.float32)


FRAGILE = [
    (node("InstanceNormalization", ["first", "c", "c"], ["last"]), {"c": CHANNEL}),
    (node("BatchNormalization", ["first", "c", "c", "c", "c"], ["last"]), {"c": CHANNEL}),
    (node("LayerNormalization", ["first", "c"], ["last"]), {"c": np.ones(16, np.float32)}),
    (node("Softmax", ["first"], ["last"]), {}),
    (node("Exp", ["first"], ["last"]), {}),
    (node("Pow", ["first", "c"], ["last"]), {"c": np.float32(2)}),
    (node("Sqrt", ["first"], ["last"]), {}),
    (node("Div", ["first", "c"], ["last"]), {"c": np.float32(3)}),
    (node("Erf", ["first"], ["last"]), {}),
    (node("GlobalAveragePool", ["first"], ["last"]), {}),
    (node("ReduceMean", ["first"], ["last"], keepdims=1), {}),
    (node("Clip", ["first", "", "c"], ["last"]), {"c": np.float32(3e38)}),  # FP16 would make it infinite
    (node("Add", ["first", "c"], ["last"]), {"c": np.float32(1e-9)}),  # FP16 would make it 0
    (node("Neg", ["first"], ["last"]), {}),  # of no kind that is known to be safe
]


@pytest.mark.parametrize(("fragile", "constants"), FRAGILE, ids=[n.op_type for n, _ in FRAGILE])
def test_fragile_operations_stay_f32_between_casts(fragile: NodeProto, constants: dict[str, Any]) -> None:
    fragile.name = "fragile"
    converted = fp16_from_f32(between([fragile], **constants))
    assert types(converted) == {
        "Cast": "f32",
        "cast_value_fp16": "fp16",
        "one": "fp16",
        "cast_first": "f32",
        "fragile": "f32",
        "cast_last_fp16": "fp16",
        "two": "fp16",
        "cast_probability": "f32",
    }


SAFE = [
    (node("Relu", ["first"], ["last"]), {}),
    (node("PRelu", ["first", "c"], ["last"]), {"c": np.full((1, 1, 1), 0.1, np.float32)}),
    (node("Add", ["first", "c"], ["last"]), {"c": np.float32(0.5)}),
    (node("Concat", ["first", "first"], ["last"], axis=3), {}),
    (node("Clip", ["first", "", "c"], ["last"]), {"c": np.float32(6)}),
    (node("Pad", ["first", "c"], ["last"]), {"c": np.array([0, 0, 1, 1, 0, 0, 1, 1])}),
    (node("Resize", ["first", "", "c"], ["last"]), {"c": np.array([1, 1, 2, 2], np.float32)}),
    (node("ConvTranspose", ["first", "c"], ["last"]), {"c": np.ones((1, 1, 2, 2), np.float32)}),
    (node("MatMul", ["first", "c"], ["last"]), {"c": np.eye(16, dtype=np.float32)}),
    (node("Slice", ["first", "a", "c"], ["last"]), {"a": np.array([0, 0, 0, 0]), "c": np.array([9, 9, 4, 4])}),
]


@pytest.mark.parametrize(("safe", "constants"), SAFE, ids=[n.op_type for n, _ in SAFE])
def test_safe_operations_are_fp16_without_casts_around(safe: NodeProto, constants: dict[str, Any]) -> None:
    safe.name = "safe"
    model = between([safe], **constants)
    converted = fp16_from_f32(model)
    assert types(converted) == {
        "Cast": "f32",
        "cast_value_fp16": "fp16",
        "one": "fp16",
        "safe": "fp16",
        "two": "fp16",
        "cast_probability": "f32",
    }
    small = PIXELS // 16  # whole numbers of this size are exact in both
    assert run(converted, small) == pytest.approx(run(model, small), rel=1e-3)


def test_a_value_is_cast_once_for_all_who_read_it() -> None:
    nodes = [
        node("Exp", ["first"], ["e"]),
        node("Sqrt", ["first"], ["s"]),
        node("Add", ["e", "s"], ["x"], "add"),
        node("Mul", ["x", "e"], ["last"], "mul"),
    ]
    converted = fp16_from_f32(between(nodes))
    casts = [n.input[0] for n in converted.graph.node if n.op_type == "Cast"]
    assert sorted(casts) == ["e", "first_fp16", "image", "probability_fp16", "s", "value"]


def test_arithmetic_on_shapes_keeps_its_digits() -> None:
    nodes = [
        node("Shape", ["first"], ["shape"]),
        node("Cast", ["shape"], ["sides"], "sides", to=TensorProto.FLOAT),
        node("Mul", ["sides", "two_thousand"], ["scaled"], "scaled"),
        node("Add", ["scaled", "one_more"], ["more"], "more"),
        node("Div", ["more", "scaled"], ["scales"], "scales"),
        node("Resize", ["first", "", "scales"], ["last"], "resize"),
    ]
    constants = {"two_thousand": np.float32(5000), "one_more": np.float32(1)}
    found = types(fp16_from_f32(between(nodes, **constants)))
    assert {found[n] for n in ("sides", "scaled", "more", "scales")} == {"f32"}
    assert found["resize"] == "fp16"


def test_scales_that_the_network_computes_are_read_in_f32() -> None:
    nodes = [
        node("Reshape", ["first", "flat"], ["row"]),
        node("Slice", ["row", "from", "to"], ["part"], "part"),
        node("Mul", ["part", "share"], ["scales"], "scales"),
        node("Resize", ["first", "", "scales"], ["last"], "resize"),
    ]
    constants = {
        "flat": np.array([-1]),
        "from": np.array([0]),
        "to": np.array([4]),
        "share": np.array([0.5, 0.5, 1, 1], np.float32),
    }
    converted = fp16_from_f32(between(nodes, **constants))
    assert {types(converted)[n] for n in ("part", "scales", "resize")} == {"fp16"}
    assert run(converted, np.ones((1, 1, 8, 8), np.uint8)).shape == (1, 1, 16, 16)


def test_branches_read_what_they_read_before() -> None:
    def branch(kind: str) -> onnx.GraphProto:
        inside = node(kind, ["shown"], [kind])
        return helper.make_graph([inside], kind, [], [helper.make_tensor_value_info(kind, TensorProto.FLOAT, None)])

    nodes = [
        node("Relu", ["first"], ["shown"], "shown"),
        node("If", ["yes"], ["last"], "if", then_branch=branch("Exp"), else_branch=branch("Neg")),
    ]
    model = between(nodes, yes=np.array(False))
    converted = fp16_from_f32(model)
    assert types(converted)["shown"] == "fp16"
    assert np.array_equal(run(converted, PIXELS), run(model, PIXELS))  # whole numbers below 2048: exact


def test_constants_as_nodes_functions_and_taken_names() -> None:
    inside = [node("Relu", ["x"], ["first_fp16"]), node("Mul", ["first_fp16", "x"], ["y"], "square")]
    square = helper.make_function("house", "Square", ["x"], ["y"], inside, [helper.make_opsetid("", 20)])
    number = numpy_helper.from_array(np.array(3, np.float32))
    nodes = [
        node("Constant", [], ["three"], value=number),
        node("Add", ["first", "three"], ["value_fp16"], "add"),
        node("Square", ["value_fp16"], ["last"], domain="house"),
    ]
    model = between(nodes)
    model.functions.append(square)
    converted = fp16_from_f32(model)
    assert types(converted)["add"] == "fp16"
    assert not converted.functions
    few = PIXELS % 5
    assert np.array_equal(run(converted, few), run(model, few))
    assert run(converted, few)[0, 0, 0, 1] == 2 * (2 * 1 + 3) ** 2


def test_constants_that_nobody_reads_any_more_are_gone() -> None:
    converted = fp16_from_f32(between([node("Relu", ["first"], ["last"])]))
    assert {t.name: NAMES[t.data_type] for t in converted.graph.initializer} == {"one_fp16": "fp16", "two_fp16": "fp16"}


def test_a_graph_with_nothing_to_convert() -> None:
    with pytest.raises(ExportError, match="no FP32 convolution or matrix product"):
        fp16_from_f32(model_of([node("Sigmoid", ["value"], ["probability"])]))


def test_a_weight_that_fp16_can_not_hold_is_named() -> None:
    model = between([node("Relu", ["first"], ["last"])], two=np.full((1, 1, 1, 1), 1e5, np.float32))
    with pytest.raises(ExportError, match=r"^Conv two: its weight two reaches 1e\+05, FP16 ends at 65504\."):
        fp16_from_f32(model)
