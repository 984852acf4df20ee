"""bf16 as a processor that has it would compute, on one that has not."""

import numpy as np
import onnx
import onnxruntime
from graphs import model_of, node, three_convolutions
from onnx import TensorProto, helper, numpy_helper

from vesselrt.export.emulation import answer_of, emulated_bf16


def test_every_value_is_rounded_to_eight_bits() -> None:
    model = three_convolutions()
    rounded = emulated_bf16(model)
    window = np.random.default_rng(0).normal(180, 6, (1, 1, 64, 64)).astype(np.uint8)
    window[..., 8::16] -= 90  # dark lines
    exact, found = answer_of(model, window), answer_of(rounded, window)
    assert 1e-4 < abs(exact - found).max() < 0.2
    probed = onnx.shape_inference.infer_shapes(rounded)
    probed.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])
    value = session.run(["c"], {"image": window})[0]
    assert not (value.view(np.uint32) & 0xFFFF).any()  # bf16 is the upper half of an f32


def test_the_first_input_and_weights_that_stand_in_a_node_are_rounded() -> None:
    """1 + 2⁻¹⁰ is 1 in bf16: the product of an input of 1/255 steps and this weight differs from the exact one."""
    weight = numpy_helper.from_array(np.full((1, 1, 1, 1), 1 + 2**-10, np.float32))
    nodes = [node("Constant", [], ["weight"], value=weight), node("Conv", ["value", "weight"], ["probability"])]
    model = model_of(nodes)
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert np.array_equal(answer_of(emulated_bf16(model), pixels), pixels.astype(np.float32))
    assert not np.array_equal(answer_of(model, pixels), pixels.astype(np.float32))
