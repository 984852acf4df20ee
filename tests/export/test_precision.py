"""FP16 inside the graph: what is rounded, what is not, and that a graph which suffers from it is refused."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

import vesselrt
from vesselrt.export import parity
from vesselrt.export.emulation import emulated
from vesselrt.export.fp16 import fp16_from_f32
from vesselrt.export.modelfile import write
from vesselrt.export.precision import convert_model
from vesselrt.runtime.devices import Device
from vesselrt.runtime.errors import ExportError, ModelError, OptionError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import find_model_file, read_manifest

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]
Node = Callable[..., NodeProto]
node: Node = helper.make_node
NAMES = {TensorProto.FLOAT: "f32", TensorProto.FLOAT16: "fp16"}


def model_of(nodes: list[NodeProto], opset: int = 20, **constants: Any) -> onnx.ModelProto:
    """A model from `image` (n, 1, h, w) uint8 to `probability`; `value` is the image in FP32."""
    graph = helper.make_graph(
        [node("Cast", ["image"], ["value"], to=TensorProto.FLOAT), *nodes],
        "test",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 1, "h", "w"])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("house", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def between(nodes: list[NodeProto], **constants: Any) -> onnx.ModelProto:
    """A model whose nodes lead from `first` to `last`, between two convolutions that double what they see."""
    doubled = np.full((1, 1, 1, 1), 2, np.float32)
    ends = node("Conv", ["value", "one"], ["first"], "one"), node("Conv", ["last", "two"], ["probability"], "two")
    return model_of([ends[0], *nodes, ends[1]], **{"one": doubled, "two": doubled, **constants})


def manifest_of(**fields: Any) -> Manifest:
    return Manifest.from_fields(
        {
            "name": "tiny",
            "version": "0.1",
            "licence": "CC0-1.0",
            "description": "A few operations.",
            "preparation": {"channels": "green"},
            "input": {"mean": [0.0], "std": [1.0]},
            "tile": {"size": 32, "multiple": 4, "margin": 0},
            **fields,
        },
        source="test",
    )


def saved(model: onnx.ModelProto, path: Path, **fields: Any) -> Path:
    write(model, manifest_of(**fields), path)
    return path


def types(model: onnx.ModelProto) -> dict[str, str]:
    """Node's name or kind → the type of its first result."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    known = {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.output)}
    return {n.name or n.op_type: NAMES.get(known[n.output[0]], "other") for n in inferred.node}


def run(model: onnx.ModelProto, pixels: NDArray[np.uint8], level: str = "DISABLE") -> NDArray[Any]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}_ALL")
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": pixels})[0])


def half(values: Any) -> NDArray[np.float32]:
    """Rounded to FP16."""
    return np.asarray(values, np.float16).astype(np.float32)


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


PIXELS = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)


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


# A file


def ramp(factor: float) -> onnx.ModelProto:
    """Sigmoid of factor × (pixel − 127.5), through two convolutions."""
    return model_of(
        [
            node("Sub", ["value", "middle"], ["centred"], "middle"),
            node("Conv", ["centred", "weight"], ["wide"], "steep"),
            node("Relu", ["wide"], ["some"], "relu"),
            node("Conv", ["some", "one"], ["logits"], "last"),
            node("Sigmoid", ["logits"], ["probability"], "sigmoid"),
        ],
        middle=np.float32(127.5),
        weight=np.full((1, 1, 1, 1), factor, np.float32),
        one=np.ones((1, 1, 1, 1), np.float32),
    )


def test_a_converted_file(tmp_path: Path, fundus_photo: Callable[[int, int, int], Photo]) -> None:
    known = {"parity": {"f32": {"flipped": 0.0}}, "metrics": {"elsewhere test": {"f1": 0.5}}}
    source = saved(ramp(0.01234), tmp_path / "f32.onnx", provenance=known)
    out = tmp_path / "new" / "fp16.onnx"
    manifest = convert_model(source, out, "fp16", [fundus_photo(40, 36, 0)[0]])
    assert read_manifest(out) == manifest
    assert (manifest.precision, read_manifest(source).precision) == ("fp16", "f32")
    figures = manifest.provenance.parity["fp16"]
    assert figures["images"] == 4  # the photograph and three kinds of noise
    assert 0 < figures["largest_difference"] < 1e-3
    assert figures["largest_value"] == 127.5  # of a white pixel
    assert manifest.provenance.parity["f32"] == {"flipped": 0.0}
    assert manifest.provenance.metrics == {}  # they were measured on another file
    assert tree(tmp_path) == {"f32.onnx", "new", "new/fp16.onnx"}


@pytest.mark.parametrize("device", ["cpu:onnxruntime", "cpu:openvino"])
def test_the_runtime_runs_a_converted_file(tmp_path: Path, device: Device) -> None:
    convert_model(saved(ramp(0.01), tmp_path / "f32.onnx"), tmp_path / "fp16.onnx", "fp16", [])
    image = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, 2)
    with vesselrt.load(tmp_path / "fp16.onnx", device=device, precision="f32", threads=1) as segmenter:
        found = segmenter.segment(image).probability.astype(float)
    logits = np.maximum(0.01 * (image[..., 1].astype(float) - 127.5), 0)
    assert abs(found - 255 / (1 + np.exp(-logits))).max() < 0.6


def test_the_difference_in_f1_is_that_of_the_new_file(tmp_path: Path) -> None:
    source, out = saved(ramp(0.01), tmp_path / "f32.onnx"), tmp_path / "fp16.onnx"

    def judge(path: Path) -> dict[str, float]:
        rounds = any(n.op_type == "Cast" and n.output[0].endswith("_fp16") for n in onnx.load(path).graph.node)
        return {"f1": 0.5 if rounds else 0.75}

    assert convert_model(source, out, "fp16", [], judge).provenance.parity["fp16"]["f1_difference"] == -0.25
    assert read_manifest(out).provenance.parity["fp16"]["f1_difference"] == -0.25


def test_an_overflow_that_the_sigmoid_would_hide_is_named(tmp_path: Path) -> None:
    source = saved(ramp(1000), tmp_path / "f32.onnx")
    with pytest.raises(ExportError, match=r"^fp16: Conv steep overflows \(FP16 ends at 65504\)"):
        convert_model(source, tmp_path / "fp16.onnx", "fp16", [])
    assert tree(tmp_path) == {"f32.onnx"}


def test_a_difference_over_the_tolerance_writes_nothing(tmp_path: Path) -> None:
    source = saved(ramp(0.0123), tmp_path / "f32.onnx", tolerance={"fp16": 1e-6})
    out = tmp_path / "fp16.onnx"
    out.write_bytes(b"an older file")
    with pytest.raises(ExportError, match=r"^fp16: the model file differs from the f32 model file by up to .* flip"):
        convert_model(source, out, "fp16", [])
    assert tree(tmp_path) == {"f32.onnx", "fp16.onnx"}
    assert out.read_bytes() == b"an older file"


def test_a_file_that_is_fp16_already(tmp_path: Path) -> None:
    convert_model(saved(ramp(0.01), tmp_path / "f32.onnx"), tmp_path / "fp16.onnx", "fp16", [])
    with pytest.raises(OptionError, match=r"its graph is fp16 already\. Name the f32 model file\.$"):
        convert_model(tmp_path / "fp16.onnx", tmp_path / "again.onnx", "fp16", [])
    assert tree(tmp_path) == {"f32.onnx", "fp16.onnx"}


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match="not a usable ONNX model"):
        convert_model(tmp_path / "a.onnx", tmp_path / "b.onnx", "fp16", [])
    assert tree(tmp_path) == {"a.onnx"}


def test_a_reference_that_is_no_number_is_not_taken(tmp_path: Path) -> None:
    model = between([node("Sqrt", ["first"], ["root"]), node("Div", ["root", "none"], ["last"])], none=np.float32(0))
    with pytest.raises(ExportError, match=r"^the f32 model file itself gives NaN or infinite values"):
        parity.check_half(model, model, manifest_of(), [])


def test_converting_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import vesselrt.export.precision, vesselrt.export.parity"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# The built-in model


def named(model: onnx.ModelProto, kinds: Iterable[str]) -> set[str]:
    return {n.name for n in model.graph.node if n.op_type in kinds}


def test_the_built_in_model(fundus_photo: Callable[[int, int, int], Photo]) -> None:
    path = find_model_file(None)
    model = onnx.load(path)
    converted = fp16_from_f32(model)
    found = types(converted)
    # After the last convolution: the calibration, which is added to the logits, and the sigmoid.
    calibration = model.graph.node[-2]
    assert (calibration.op_type, model.graph.node[-1].op_type) == ("Add", "Sigmoid")
    ends = {*named(model, ["Cast", "Div", "Sub", "Sigmoid"]), calibration.name}
    network = set(named(model, ["Conv", "ConvTranspose", "Relu", "Add"])) - ends
    assert {found[n] for n in network} == {"fp16"}
    assert {found[n] for n in ends} == {"f32"}
    assert len(named(converted, ["Cast"])) == 3  # one each: from uint8, to FP16, from FP16
    assert [v.type.tensor_type for v in (*converted.graph.input, *converted.graph.output)] == [
        v.type.tensor_type for v in (*model.graph.input, *model.graph.output)
    ]
    assert converted.ByteSize() < 0.55 * model.ByteSize()
    figures = parity.check_half(model, converted, read_manifest(path), [fundus_photo(320, 320, 1)[0]])
    assert figures["largest_difference"] < 0.03
    assert figures["flipped"] < 1e-3
    assert figures["largest_value"] < 1000
