"""INT8 inside the graph: what is quantized, what is refused, and which precision a machine takes of a model."""

import contextlib
import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from graphs import model_of, three_convolutions
from manifests import make_manifest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

import vesselrt
from vesselrt.export import engine, int8, parity
from vesselrt.export.emulation import answer_of, answers_of
from vesselrt.export.flips import flipped_share
from vesselrt.export.int8 import Int8Search, float_operations, symmetric
from vesselrt.export.modelfile import record_metrics, write_model_file
from vesselrt.export.precision import convert_model
from vesselrt.runtime import devices
from vesselrt.runtime.backends.openvino import OpenVinoBackend
from vesselrt.runtime.devices import fastest_precision
from vesselrt.runtime.errors import DeviceError, ExportError, ManifestError, MissingExtraError, OptionError
from vesselrt.runtime.manifest import Manifest, Precision
from vesselrt.runtime.modelfile import int8_file, loaded_file, read_manifest, sha256


def manifest_of(**fields: object) -> Manifest:
    return make_manifest(name="tiny", tile={"size": 64, "multiple": 4, "margin": 0}, **fields)


def photograph(seed: int) -> NDArray[np.uint8]:
    """(64, 64, 3) uint8: a grey ground with dark lines."""
    random = np.random.default_rng(seed)
    pixels = random.normal(180, 6, (64, 64))
    pixels[:, random.choice(60, 6)] -= 90
    return np.repeat(pixels.clip(0, 255).astype(np.uint8)[:, :, None], 3, 2)


def windows(count: int) -> list[NDArray[np.uint8]]:
    return [np.ascontiguousarray(photograph(seed)[None, None, :, :, 1]) for seed in range(count)]


def quantized_from(model: ModelProto) -> ModelProto:
    judged = windows(3)
    return Int8Search(model, manifest_of(), windows(8), judged, answers_of(model, judged)).within(parity.MOST_FLIPPED)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model file, and the INT8 one beside it."""
    folder = tmp_path_factory.mktemp("int8")
    source, out = folder / "tiny.onnx", folder / "tiny.int8.onnx"
    write_model_file(three_convolutions(), manifest_of(), source)
    convert_model(source, out, "int8", [photograph(seed) for seed in range(10)])
    return source, out


def test_every_convolution_is_int8_and_the_manifest_says_how_good_it_is(files: tuple[Path, Path]) -> None:
    manifest, model = read_manifest(files[1]), onnx.load(files[1])
    assert manifest.precision == "int8"
    assert float_operations(model) == manifest.provenance.float_operations == ()
    figures = manifest.provenance.parity["int8"]
    assert figures["images"] == 2  # of ten photographs every fifth is kept for the proof
    assert figures["flipped"] <= parity.MOST_FLIPPED
    assert 0 < figures["largest_difference"] < 1
    assert 0 < figures["flipped_symmetric"] < 0.05


@pytest.mark.parametrize("device", ["cpu:openvino", "cpu:onnxruntime"])
def test_both_libraries_run_the_same_file(files: tuple[Path, Path], device: devices.Device) -> None:
    source, _ = files
    with (
        vesselrt.load(source, device=device, precision="f32") as exact,
        vesselrt.load(source, device=device, precision="int8") as quantized,
    ):
        assert (exact.info.precision, quantized.info.precision) == ("f32", "int8")
        maps = [s.segment(photograph(99), scale=64).probability for s in (exact, quantized)]
    assert 0.02 < (maps[0] >= 128).mean() < 0.5
    assert ((maps[0] >= 128) != (maps[1] >= 128)).mean() < 0.01


def test_without_zero_points_nearly_the_same_comes_out(files: tuple[Path, Path]) -> None:
    model = onnx.load(files[1])
    plain = symmetric(model)
    constants = {t.name: numpy_helper.to_array(t) for t in plain.graph.initializer}
    zeros = [constants[n.input[2]] for n in plain.graph.node if n.op_type.endswith("eLinear") and len(n.input) > 2]
    assert zeros
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    window = windows(1)[0]
    assert flipped_share([answer_of(model, window)], [answer_of(plain, window)], manifest_of()) < 0.05


def test_int8_is_calibrated_at_the_sides_of_a_photograph_too(tmp_path: Path) -> None:
    """Its window in the centre is dull here, and all that is bright lies beside it."""
    source, out = tmp_path / "tiny.onnx", tmp_path / "tiny.int8.onnx"
    write_model_file(three_convolutions(), manifest_of(), source)
    wide = [np.hstack([photograph(seed), photograph(seed + 1) // 5, photograph(seed + 2)]) for seed in range(6)]
    convert_model(source, out, "int8", wide)
    with (
        vesselrt.load(source, device="cpu:onnxruntime", precision="f32") as exact,
        vesselrt.load(source, device="cpu:onnxruntime", precision="int8") as quantized,
    ):
        masks = [s.segment(wide[0], scale=64).mask() for s in (exact, quantized)]
    assert 0.02 < masks[0].mean() < 0.5
    assert (masks[0] != masks[1]).mean() <= 2 * parity.MOST_FLIPPED


def joined() -> ModelProto:
    """Values of both signs, pooled and joined before a convolution: a U-Net in small."""
    random = np.random.default_rng(1)
    padded = [1, 1, 1, 1]
    one, other = random.normal(0, 0.5, (2, 8, 1, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Div", ["value", "most"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "centre"], ["centred"]),
        helper.make_node("Conv", ["centred", "one"], ["a"], "conv_1", pads=padded),
        helper.make_node("Conv", ["centred", "other"], ["b"], "conv_2", pads=padded),
        helper.make_node("MaxPool", ["b"], ["c"], "pool", kernel_shape=[3, 3], pads=padded),
        helper.make_node("Concat", ["a", "c"], ["d"], "join", axis=1),
        helper.make_node("Conv", ["d", "last"], ["e"], "conv_3", pads=padded),
        helper.make_node("Sigmoid", ["e"], ["probability"]),
    ]
    last = random.normal(0, 0.5, (1, 16, 3, 3)).astype(np.float32)
    return model_of(nodes, most=np.float32(255), centre=np.float32(0.5), one=one, other=other, last=last)


def test_openvino_computes_joined_values_of_both_signs_as_they_are_written(tmp_path: Path) -> None:
    """It is wrong by a tenth where they are signed integers."""
    model = joined()
    quantized = quantized_from(model)
    assert float_operations(quantized) == ()
    onnx.save(quantized, tmp_path / "joined.int8.onnx")
    with contextlib.closing(OpenVinoBackend(tmp_path / "joined.int8.onnx", "int8", 1)) as backend:
        obtained = list(backend.infer(windows(3)))
    for written, shipped in zip(answers_of(quantized, windows(3)), obtained, strict=True):
        assert abs(255 * written - shipped).mean() < 0.6  # of 255: its own rounding


def test_weights_have_seven_bits(files: tuple[Path, Path]) -> None:
    """Two products of 8 bits saturate in 16, where the processor has no VNNI."""
    constants = {t.name: numpy_helper.to_array(t) for t in onnx.load(files[1]).graph.initializer}
    weights = [value for value in constants.values() if value.dtype == np.int8 and value.ndim == 4]
    assert len(weights) == 3
    assert all(np.abs(weight.astype(int)).max() <= 64 for weight in weights)


def test_what_int8_would_spoil_stays_in_float_and_is_named() -> None:
    model = three_convolutions(outlier=4000)  # beside this channel the others vanish in 8 bits
    quantized = quantized_from(model)
    kept = float_operations(quantized)
    assert "conv_2" in kept
    assert len(kept) < 3
    flips = [flipped_share([answer_of(model, w)], [answer_of(quantized, w)], manifest_of()) for w in windows(3)]
    assert np.mean(flips) <= parity.MOST_FLIPPED


@pytest.mark.parametrize(("level", "shown"), [(logging.INFO, True), (logging.WARNING, False)])
def test_progress_is_shown_where_the_log_tells_what_happens(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, level: int, shown: bool
) -> None:
    import nncf

    def quantize(model: ModelProto, *_: object, **__: object) -> ModelProto:
        print("37 %")
        raise RuntimeError("far enough")

    monkeypatch.setattr(nncf, "quantize", quantize)
    monkeypatch.setattr(int8.logger, "level", level)
    with pytest.raises(ExportError):
        Int8Search(three_convolutions(), manifest_of(), windows(1), windows(1), [])
    assert ("37 %" in capsys.readouterr().err) is shown


def test_int8_that_flips_too_much_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source, out = tmp_path / "f32.onnx", tmp_path / "int8.onnx"
    write_model_file(three_convolutions(), manifest_of(), source)
    other = three_convolutions()
    other.graph.initializer[-1].CopyFrom(numpy_helper.from_array(np.array([-30], np.float32), "bias"))
    monkeypatch.setattr(Int8Search, "within", lambda *_: other)
    with pytest.raises(ExportError, match=r"^int8: .*% of the pixels flip against the f32 model file \(at most 0\.50%"):
        convert_model(source, out, "int8", [photograph(0)])
    assert not out.exists()


def test_int8_needs_photographs_and_nncf(monkeypatch: pytest.MonkeyPatch, files: tuple[Path, Path]) -> None:
    with pytest.raises(OptionError, match="calibrated on photographs such as the network was trained on: give"):
        convert_model(files[0], files[1], "int8", [])
    monkeypatch.setitem(__import__("sys").modules, "nncf", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vesselrt\[int8\]'$"):
        Int8Search(three_convolutions(), manifest_of(), windows(1), windows(1), [])


@pytest.mark.parametrize(
    ("gains", "asked", "taken"),
    [(True, "auto", "int8"), (False, "auto", "f32"), (True, "f32", "f32"), (False, "int8", "int8")],
)
def test_auto_takes_int8_where_the_processor_gains_by_it(
    monkeypatch: pytest.MonkeyPatch, files: tuple[Path, Path], gains: bool, asked: devices.AnyPrecision, taken: str
) -> None:
    monkeypatch.setattr(devices, "gains_by_int8", lambda: gains)
    with vesselrt.load(files[0], device="cpu", precision=asked) as segmenter:
        assert segmenter.info.precision == segmenter.manifest.precision == taken


def test_an_int8_file_of_another_model_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, files: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices, "gains_by_int8", lambda: True)
    source = tmp_path / "tiny.onnx"
    write_model_file(three_convolutions(), manifest_of(version="0.2"), source)
    (tmp_path / "tiny.int8.onnx").write_bytes(files[1].read_bytes())
    with vesselrt.load(source, device="cpu") as segmenter:
        assert segmenter.info.precision == "f32"
    assert "tiny.int8.onnx is not used: it was not made of tiny.onnx as that is now. Convert it again." in caplog.text


def test_figures_that_are_recorded_later_do_not_part_the_two_files(files: tuple[Path, Path]) -> None:
    manifest = read_manifest(files[0])
    provenance = manifest.provenance.model_copy(update={"metrics": {"a test": {"f1": 0.8}}})
    found = int8_file(files[0], manifest.model_copy(update={"provenance": provenance, "content_sha256": "0" * 64}))
    assert found is not None
    assert found[0] == files[1]


def test_an_int8_file_of_another_graph_with_the_same_weights_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, files: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices, "gains_by_int8", lambda: True)
    other = three_convolutions()
    other.graph.node[-1].op_type = "HardSigmoid"
    write_model_file(other, manifest_of(), tmp_path / "tiny.onnx")
    (tmp_path / "tiny.int8.onnx").write_bytes(files[1].read_bytes())
    with vesselrt.load(tmp_path / "tiny.onnx", device="cpu") as segmenter:
        assert segmenter.info.precision == "f32"
    assert "was not made of tiny.onnx as that is now" in caplog.text


def test_a_foreign_file_of_that_name_is_passed_over_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, files: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices, "gains_by_int8", lambda: True)
    source = tmp_path / "tiny.onnx"
    source.write_bytes(files[0].read_bytes())
    onnx.save(three_convolutions(), tmp_path / "tiny.int8.onnx")
    with vesselrt.load(source, device="cpu") as segmenter:
        assert segmenter.info.precision == "f32"
    assert "the int8 file beside tiny.onnx is not used" in caplog.text
    with pytest.raises(ManifestError, match=r"tiny\.int8\.onnx: an ONNX model without a vesselrt manifest"):
        vesselrt.load(source, device="cpu", precision="int8")


def test_figures_are_recorded_in_the_file_that_was_measured(files: tuple[Path, Path], tmp_path: Path) -> None:
    source, beside = tmp_path / "tiny.onnx", tmp_path / "tiny.int8.onnx"
    source.write_bytes(files[0].read_bytes())
    beside.write_bytes(files[1].read_bytes())
    for precision, measured in (("f32", source), ("int8", beside)):
        with vesselrt.load(source, device="cpu", precision=precision) as segmenter:  # type: ignore[arg-type]
            assert loaded_file(source, segmenter.manifest) == measured
        record_metrics(measured, {"a test": {"f1": 0.5}})
    assert (read_manifest(source).precision, read_manifest(beside).precision) == ("f32", "int8")
    assert int8_file(source, read_manifest(source)) is not None  # they still belong together


def test_int8_by_name_where_there_is_no_such_file(tmp_path: Path) -> None:
    source = tmp_path / "alone.onnx"
    write_model_file(three_convolutions(), manifest_of(), source)
    with pytest.raises(DeviceError, match=r"no int8 file beside it\. Make one: vesselrt convert .* --precision int8"):
        vesselrt.load(source, device="cpu", precision="int8")


def test_an_int8_file_is_not_computed_in_f32(files: tuple[Path, Path]) -> None:
    with pytest.raises(DeviceError, match=r"its graph is int8, and can't be computed in f32\. Name the f32 model file"):
        vesselrt.load(files[1], device="cpu", precision="f32")


@pytest.mark.parametrize(
    ("parity_of", "computed", "gains", "taken"),
    [
        ("f32 bf16", ("f32", "bf16"), True, "bf16"),
        ("f32", ("f32", "bf16"), True, "f32"),  # never proven for this file
        ("f32 bf16", ("f32", "bf16"), False, "f32"),
        ("f32 bf16", ("f32",), True, "f32"),
    ],
)
def test_auto_takes_bf16_only_where_it_was_proven_for_the_file(
    monkeypatch: pytest.MonkeyPatch, parity_of: str, computed: tuple[Precision, ...], gains: bool, taken: str
) -> None:
    monkeypatch.setattr(devices, "gains_by_bf16", lambda: gains)
    parity = {precision: {"flipped": 0.0} for precision in parity_of.split()}
    assert fastest_precision(manifest_of(provenance={"parity": parity}), computed) == taken


def test_an_engine_in_int8_is_built_without_a_gpu(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel here")
    monkeypatch.setattr(engine, "MOST_FLIPPED", 0.05)
    built = engine.build(files[0], ["rtx2080ti"], "int8", max_batch=1)
    assert (built.manifest.precision, built.header.targets) == ("int8", ("sm75",))
    assert built.header.model_sha256 == sha256(files[1])


def test_an_engine_that_would_flip_too_much_without_zero_points_is_refused(files: tuple[Path, Path]) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel here")
    with pytest.raises(
        ExportError, match=r"without them .*% of the pixels flip .* Compile it with --precision fp16\.$"
    ):
        engine.build(files[1], ["sm75"], "int8")


def test_an_f32_file_with_no_int8_file_beside_it_makes_no_int8_engine(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX has no wheel here")
    source = tmp_path / "alone.onnx"
    write_model_file(three_convolutions(), manifest_of(), source)
    with pytest.raises(OptionError, match=r"is f32, and int8 was asked for\. Make one: vesselrt convert .*alone\.onnx"):
        engine.build(source, ["sm75"], "int8")


@pytest.mark.parametrize(("scales", "moved", "misplaced"), [(4, False, False), (4, True, True), (1, True, False)])
def test_a_scale_for_each_token_is_not_taken_for_one_of_each_channel(scales: int, moved: bool, misplaced: bool) -> None:
    scale = numpy_helper.from_array(np.full(scales, 0.1, np.float32), "scale")
    zero = numpy_helper.from_array(np.zeros(scales, np.uint8), "zero")
    weight = numpy_helper.from_array(np.ones((4, 1, 3, 3), np.float32), "weight")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"], axis=1),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"], axis=1),
        *([helper.make_node("Transpose", ["d"], ["m"], perm=[0, 2, 1, 3])] if moved else []),
        helper.make_node("Conv", ["m" if moved else "d", "weight"], ["y"], group=4),
    ]
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 4, 8])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "tokens", [value], [answer], [scale, zero, weight])
    assert int8._has_misplaced_scales(helper.make_model(graph)) == misplaced
