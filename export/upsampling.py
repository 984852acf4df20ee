"""Upsampling as INT8 wants it: OpenVINO computes a transposed convolution in FP32 where a processor has no VNNI."""

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


def upsampled_by_points(model: ModelProto) -> ModelProto:
    """The same network, in which a transposed convolution whose windows don't overlap is a 1×1 convolution.

    Of a window of k × k and a stride of k, each pixel gives a block of k × k pixels of its own. A 1×1 convolution gives
    them as channels, and DepthToSpace lays them out: the same sums, bit for bit, of what INT8 has code for.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        block = _block_of(node, constants)
        nodes += [node] if block is None else _as_points(node, block, constants, graph.initializer)
    if len(nodes) == len(graph.node):
        return model
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    return copy


def _block_of(node: NodeProto, constants: dict[str, TensorProto]) -> int | None:
    """The side of its windows where they don't overlap and it can be written otherwise; else None."""
    if node.op_type != "ConvTranspose" or any(name not in constants for name in node.input[1:]):
        return None
    given: dict[str, Any] = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    *_, height, width = shape = constants[node.input[1]].dims
    fits = (
        len(shape) == 4
        and height == width
        and list(given.get("strides", [1, 1])) == [height, width]
        and not any(given.get("pads", ())) and not any(given.get("output_padding", ()))
        and set(given.get("dilations", [1])) == {1}
        and given.get("group", 1) == 1
        and given.get("auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        and "output_shape" not in given
    )  # fmt: skip
    return int(height) if fits and height > 1 else None


def _as_points(node: NodeProto, block: int, constants: dict[str, TensorProto], added: Any) -> list[NodeProto]:
    """A 1×1 convolution and DepthToSpace; their constants are put into `added`."""
    kernel = numpy_helper.to_array(constants[node.input[1]])  # (in, out, k, k)
    points = kernel.transpose(2, 3, 1, 0).reshape(-1, kernel.shape[0], 1, 1)
    names = [node.input[0], f"{node.output[0]}_points_weight"]
    added.append(numpy_helper.from_array(np.ascontiguousarray(points), names[1]))
    if len(node.input) == 3:
        names.append(f"{node.output[0]}_points_bias")
        bias = numpy_helper.to_array(constants[node.input[2]])
        added.append(numpy_helper.from_array(np.tile(bias, block * block), names[2]))
    middle = f"{node.output[0]}_points"
    return [
        helper.make_node("Conv", names, [middle], name=f"{node.name}_points", kernel_shape=[1, 1]),
        helper.make_node("DepthToSpace", [middle], [node.output[0]], name=node.name, blocksize=block, mode="DCR"),
    ]
