"""`python -m vesselrt.benchmarks.roofline`: limits by arithmetic, and that what is measured hangs together."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from manifests import make_manifest

from vesselrt.benchmarks import peaks, roofline
from vesselrt.benchmarks.floor import ImageWork, Layer
from vesselrt.benchmarks.measure import LoadOptions
from vesselrt.benchmarks.peaks import Peaks
from vesselrt.benchmarks.photos import Photo, encode_jpeg, synthetic
from vesselrt.runtime.errors import MissingExtraError, OptionError
from vesselrt.runtime.modelfile import find_model_file, int8_path

FAST = Peaks(threads=2, operations={"f32": 1e9, "int8": 4e9}, bandwidth=1e6, bandwidth_alone=5e5)


def test_the_limit_is_the_larger_of_operations_and_memory() -> None:
    layers = [Layer("a", "Conv", 8_000_000, 1000, 3000), Layer("b", "Add", 0, 0, 6000)]
    work = ImageWork((1, 1, 64, 64), layers, weights=1000, ends=500)
    fused, layered = roofline.network_limits(work, "f32", FAST, milliseconds=20.0)
    assert (fused.stage, fused.operations, fused.bytes, fused.bound) == (
        "network, fused",
        8_000_000,
        1500,
        "operations",
    )
    assert fused.limit == pytest.approx(8.0)
    assert fused.share == pytest.approx(0.4)
    assert (layered.bytes, layered.bound) == (10_000, "operations")
    assert layered.limit == pytest.approx(8.0 + 6.0)
    fused, layered = roofline.network_limits(work, "int8", FAST, milliseconds=20.0)
    assert fused.limit == pytest.approx(2.0)
    assert layered.limit == pytest.approx(4.0 + 6.0)
    assert (fused.bound, layered.bound) == ("operations", "memory")


def test_stages_around_the_network_count_their_bytes() -> None:
    data = encode_jpeg(synthetic(90, 70)[0])
    photo = Photo("a", "synthetic", data, 90, 70)
    times = {"decode": 1.0, "prepare": 2.0, "finish": 3.0, "encode": 4.0, "infer": 9.0}
    manifest = make_manifest()  # the photograph's own size, its green channel
    limits = {s.stage: s for s in roofline.stage_limits(photo, b"mask", manifest, times, bandwidth=1e6)}
    assert {stage: limit.bytes for stage, limit in limits.items()} == {
        "decode": len(data) + 3 * 70 * 90,
        "prepare": 3 * 70 * 90 + 70 * 90,
        "finish": 2 * 70 * 90,
        "encode": 3 * 70 * 90 + 4,
    }
    for stage, limit in limits.items():
        assert limit.milliseconds == times[stage]
        assert limit.limit == pytest.approx(limit.bytes / 1e3)


@pytest.mark.parametrize("quantized", [False, True])
def test_the_peak_is_measured_on_convolutions(quantized: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs ONNX Runtime")
    monkeypatch.setattr(peaks, "CHANNELS", 4)
    monkeypatch.setattr(peaks, "SIDE", 8)
    path = peaks.write_convolutions(tmp_path / "peak.onnx", quantized=quantized)
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert kinds.count("Conv") == peaks.CONVOLUTIONS
    assert kinds.count("QuantizeLinear") == (peaks.CONVOLUTIONS if quantized else 0)
    (answer,) = onnxruntime.InferenceSession(path).run(None, {"image": np.ones((1, 4, 8, 8), np.uint8)})
    assert answer.shape == (1, 1, 8, 8)
    assert np.isfinite(answer).all()


def test_memory_of_the_triad() -> None:
    assert 1e7 < peaks.measure_bandwidth(2, runs=2, size=2**20) < 1e13


def test_a_photograph_is_measured_beside_its_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs the package onnx")
    monkeypatch.setattr(roofline, "measure_peaks", lambda _: FAST)
    photo = Photo("96x80", "synthetic", encode_jpeg(synthetic(96, 80)[0]), 96, 80)
    report = roofline.measure_roofline(LoadOptions(None, "cpu:openvino", "f32", 1), [photo], 3)
    (found,) = report.photos
    assert [stage.stage for stage in found.stages] == [
        *("decode", "prepare", "network, fused", "network, layer by layer", "finish", "encode"),
    ]
    assert found.runs == 3
    for stage in found.stages:
        assert stage.milliseconds > 0
        assert stage.limit > 0
        assert stage.stage in report.table()
    report.write(tmp_path / "roofline.json")
    written = json.loads((tmp_path / "roofline.json").read_text())
    assert written["peaks"]["operations"] == {"f32": 1e9, "int8": 4e9}
    assert {"flags", "mhz_after"} <= written["machine"].keys()


def test_what_can_not_be_counted_is_refused() -> None:
    with pytest.raises(OptionError, match=r"fundus\.int8\.onnx: operations are counted in the f32 graph"):
        roofline.measure_roofline(LoadOptions(str(int8_path(find_model_file(None))), "cpu", "auto", 1), [], 3)
    with pytest.raises(OptionError, match="the model ran on onnxruntime"):
        roofline.measure_roofline(LoadOptions(None, "cpu:onnxruntime", "f32", 1), [], 3)


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vesselrt\[engines\]'"):
        peaks.write_convolutions(tmp_path / "peak.onnx", quantized=False)
