"""The measurement of mixed cameras, with a network that costs nothing."""

from pathlib import Path

import numpy as np
import pytest

from vesselrt.benchmarks import mixed
from vesselrt.benchmarks.bench_report import Effort, read_bench_report
from vesselrt.benchmarks.bench_run import BenchPlan, run_bench
from vesselrt.benchmarks.bench_table import table_from_report
from vesselrt.benchmarks.measure import LoadOptions
from vesselrt.benchmarks.mixed import CAMERAS, MixedCameras, draw_camera, measure_mixed
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.modelfile import find_model_file, read_manifest
from vesselrt.runtime.photo.decoding import decode_photo
from vesselrt.runtime.segmenter import Segmenter


def test_each_camera_follows_another_one_and_itself() -> None:
    backend = FakeBackend()
    photos = [draw_camera(96, 80, 90), draw_camera(120, 120, 100)]
    with Segmenter(read_manifest(find_model_file(None)), backend) as segmenter:
        found = measure_mixed(segmenter, photos, rounds=2)
    windows = [shape[2:] for shape in backend.shapes[-4:]]
    assert windows[0] == windows[1] != windows[2] == windows[3]
    for times in (found.alone, found.mixed, found.first):
        assert list(times) == ["96x80", "120x120"]
        assert min(times.values()) > 0


def test_bench_measures_and_keeps_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mixed, "CAMERAS", ((96, 80, 90), (120, 120, 100)))
    load = LoadOptions(None, "cpu:openvino", "f32", None)
    report = run_bench(BenchPlan(load, [], Effort(1), 0, mixed=True))
    assert report.mixed is not None
    assert f"takes {report.mixed.ratio:.2f} × folders of one camera each" in table_from_report(report)
    report.write(tmp_path / "bench.json")
    assert read_bench_report(tmp_path / "bench.json").mixed == report.mixed


def test_the_ratio_is_that_of_the_sums() -> None:
    assert MixedCameras({"a": 10, "b": 30}, {"a": 12, "b": 32}, {"a": 99, "b": 99}).ratio == pytest.approx(1.1)


def test_a_cameras_field_of_view_is_cut_where_the_sensor_ends() -> None:
    photo = draw_camera(96, 64, 90)
    pixels = decode_photo(photo.data).pixels
    assert pixels.shape == (64, 96, 3)
    lit = pixels.max(axis=2) > 40
    assert lit[0].any()
    assert lit[-1].any()
    assert not lit[:, 0].any()
    assert not lit[:, -1].any()
    assert len({(width, height) for width, height, _ in CAMERAS}) == len(CAMERAS)
    assert np.unique(pixels).size > 10
