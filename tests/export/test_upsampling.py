"""A transposed convolution as points: the same numbers, and left alone where it would not be."""

from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

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
