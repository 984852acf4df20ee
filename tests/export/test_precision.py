"""Converting a model file: it is proven, and one that suffers is refused."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import PIXELS, Photo, between, manifest_of, model_of, node, run, saved, tree, types

import vesselrt
from vesselrt.export import parity
from vesselrt.export.fp16 import fp16_from_f32
from vesselrt.export.precision import convert_model
from vesselrt.runtime.devices import Device
from vesselrt.runtime.errors import ExportError, ModelError, OptionError
from vesselrt.runtime.modelfile import find_model_file, read_manifest

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


def test_where_values_leave_the_range_of_fp16_f32_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nodes = [
        node("Conv", ["first", "large"], ["steep"], "steep"),
        node("Relu", ["steep"], ["kept"]),
        node("Conv", ["kept", "small"], ["last"], "back"),
    ]
    constants = {"large": np.full((1, 1, 1, 1), 1000, np.float32), "small": np.full((1, 1, 1, 1), 1e-6, np.float32)}
    source = saved(between(nodes, **constants), tmp_path / "f32.onnx")
    written = convert_model(source, tmp_path / "fp16.onnx", "fp16", [])
    assert written.provenance.float_operations == ("steep", "back")
    assert "Conv steep overflows" in caplog.text
    assert "FP32 stays where values are too large: steep, back." in caplog.text
    found = types(onnx.load(tmp_path / "fp16.onnx"))
    assert (found["steep"], found["Relu"], found["back"], found["two"]) == ("f32", "f32", "f32", "fp16")
    exact = run(onnx.load(source), PIXELS)
    assert run(onnx.load(tmp_path / "fp16.onnx"), PIXELS) == pytest.approx(exact, abs=2e-3)


def test_a_difference_over_the_tolerance_writes_nothing(tmp_path: Path) -> None:
    source = saved(ramp(0.0123), tmp_path / "f32.onnx", tolerance={"fp16": 1e-6})
    out = tmp_path / "fp16.onnx"
    out.write_bytes(b"an older file")
    with pytest.raises(ExportError, match=r"^fp16: the model file differs from the f32 model file by up to .* flip"):
        convert_model(source, out, "fp16", [])
    assert tree(tmp_path) == {"f32.onnx", "fp16.onnx"}
    assert out.read_bytes() == b"an older file"


def rounded_where_bright() -> onnx.ModelProto:
    """Sigmoid of 1.42; in FP16, where 120 × pixel + 7 loses its last digits, of anything from 1 to 2."""
    return model_of(
        [
            node("Conv", ["value", "large"], ["big"], "big"),
            node("Add", ["big", "seven"], ["more"], "more"),
            node("Sub", ["more", "big"], ["rest"], "rest"),
            node("Conv", ["rest", "small", "one"], ["logits"], "last"),
            node("Sigmoid", ["logits"], ["probability"], "sigmoid"),
        ],
        large=np.full((1, 1, 1, 1), 120, np.float32),
        seven=np.float32(7),
        small=np.full((1, 1, 1, 1), 0.06, np.float32),
        one=np.ones(1, np.float32),
    )


@pytest.mark.parametrize(("brightness", "passes"), [([8], True), ([], False), ([255], False)])
def test_photographs_decide_over_noise_in_fp16_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, brightness: list[int], *, passes: bool
) -> None:
    source, out = saved(rounded_where_bright(), tmp_path / "f32.onnx"), tmp_path / "fp16.onnx"
    photographs = [np.full((40, 36, 3), level, np.uint8) for level in brightness]
    if not passes:
        with pytest.raises(ExportError, match=r"^fp16: the model file differs .* flip\. Nothing was written\.$"):
            convert_model(source, out, "fp16", photographs)
        return
    figures = convert_model(source, out, "fp16", photographs).provenance.parity["fp16"]
    assert figures["largest_difference"] > 0.05  # of the noise, and told
    assert "On the photographs the file is exact enough; on noise: fp16: the model file differs" in caplog.text
    assert "Nothing was written" not in caplog.text


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
