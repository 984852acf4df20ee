"""A transposed convolution as points: the same numbers, and left alone where it would not be. Copies in INT8."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from graphs import model_of
from manifests import make_manifest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from vesselrt.export.emulation import answers_of
from vesselrt.export.int8 import Int8Search, float_operations
from vesselrt.export.upsampling import upsampled_by_points


def network(kernel: tuple[int, int], bias: bool = True, **attributes: Any) -> ModelProto:
    """One transposed convolution of 5 channels to 3."""
    random = np.random.default_rng(3)
    group = attributes.get("group", 1)
    weight = random.standard_normal((5 if group == 1 else 6, 3, *kernel), np.float32)
    constants = [numpy_helper.from_array(weight, "weight")]
    if bias:
        constants.append(numpy_helper.from_array(random.standard_normal(3 * group).astype(np.float32), "bias"))
    node = helper.make_node("ConvTranspose", ["x", *(one.name for one in constants)], ["y"], name="up", **attributes)
    graph = helper.make_graph(
        [node],
        "up",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", weight.shape[0], "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3 * group, "H", "W"])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def answer_of(model: ModelProto) -> Any:
    channels = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    pixels = np.random.default_rng(4).standard_normal((2, channels, 6, 7), np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": pixels})[0]


@pytest.mark.parametrize("block", [2, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_windows_that_do_not_overlap_become_points(block: int, bias: bool) -> None:
    model = network((block, block), bias, strides=[block, block])
    points = upsampled_by_points(model)
    assert [node.op_type for node in points.graph.node] == ["Conv", "DepthToSpace"]
    np.testing.assert_allclose(answer_of(points), answer_of(model), rtol=0, atol=1e-5)
    assert [node.op_type for node in model.graph.node] == ["ConvTranspose"]  # what was given stays as it is


@pytest.mark.parametrize(
    ("kernel", "attributes"),
    [
        ((3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
        ((4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((2, 3), {"strides": [2, 3]}),
        ((1, 1), {}),
        ((2, 2), {"strides": [2, 2], "group": 2}),
        ((2, 2), {"strides": [2, 2], "dilations": [2, 2]}),
        ((2, 2), {"strides": [2, 2], "output_padding": [1, 1]}),
    ],
)
def test_others_stay(kernel: tuple[int, int], attributes: dict[str, Any]) -> None:
    model = network(kernel, **attributes)
    assert upsampled_by_points(model) is model


def test_copied_pixels_are_not_brought_to_8_bits_again() -> None:
    random = np.random.default_rng(2)
    nodes = [
        helper.make_node("Div", ["value", "most"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "coarse"], ["a"], "conv_1", pads=[0, 1, 1, 0], strides=[2, 2]),
        helper.make_node("Resize", ["a", "", "double"], ["b"], "enlarge", mode="nearest"),
        helper.make_node("Conv", ["scaled", "fine"], ["c"], "conv_2", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("Conv", ["e", "last"], ["f"], "conv_3", pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["f"], ["probability"]),
    ]
    coarse, fine = random.normal(0, 0.5, (2, 8, 1, 3, 3)).astype(np.float32)
    last = random.normal(0, 0.5, (1, 8, 3, 3)).astype(np.float32)
    double = np.array([1, 1, 2, 2], np.float32)
    model = model_of(nodes, most=np.float32(255), double=double, coarse=coarse, fine=fine, last=last)
    windows = [np.random.default_rng(seed).integers(0, 256, (1, 1, 64, 64), dtype=np.uint8) for seed in range(8)]
    expected = answers_of(model, windows)
    manifest = make_manifest(name="tiny", tile={"size": 64, "multiple": 4, "margin": 0})
    quantized = Int8Search(model, manifest, windows, windows, expected).within(1.0)
    makers = {output: node for node in quantized.graph.node for output in node.output}
    (enlarged,) = (node for node in quantized.graph.node if node.op_type == "Resize")
    (reader,) = (node for node in quantized.graph.node if enlarged.output[0] in node.input)
    assert (makers[enlarged.input[0]].op_type, reader.op_type) == ("DequantizeLinear", "Add")
    assert float_operations(quantized) == ()
    for exact, obtained in zip(expected, answers_of(quantized, windows), strict=True):
        assert abs(exact - obtained).mean() < 0.02
