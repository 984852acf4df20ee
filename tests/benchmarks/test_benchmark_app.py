"""OpenVINO's benchmark_app as a judge: what it is asked, and what is made of its answer."""

import sys
from pathlib import Path
from typing import Any

import pytest
from bench_photos import BRIGHT
from bench_reports import make_photo

from vesselrt.benchmarks import benchmark_app
from vesselrt.benchmarks.bench_run import _judge
from vesselrt.runtime.backends import Info
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.errors import VesselrtError
from vesselrt.runtime.segmenter import Segmenter

INFO = Info("openvino", "2026.4.1", "cpu", "a processor", "int8", 2)


def test_it_is_asked_for_the_same_work(tmp_path: Path) -> None:
    found = benchmark_app.arguments_of(Path("m.onnx"), INFO, (1, 1, 64, 32), 5, tmp_path)
    asked = dict(zip(found[::2], found[1::2], strict=False))
    assert asked["-m"] == "m.onnx"
    assert asked["-shape"] == "[1, 1, 64, 32]"
    assert (asked["-infer_precision"], asked["-nthreads"], asked["-niter"]) == ("f32", "2", "5")
    assert (asked["-api"], asked["-nstreams"], asked["-hint"]) == ("sync", "1", "none")


def test_the_windows_of_a_photograph_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(model: Path, info: Info, shape: tuple[int, ...], runs: int) -> tuple[float, float]:
        asked.append((shape, runs))
        return (10.0, 9.0) if shape[0] == 2 else (6.0, 5.0)

    monkeypatch.setattr(benchmark_app, "_run_benchmark_app", run)
    windows = [(2, 1, 8, 8), (2, 1, 8, 8), (1, 1, 8, 8)]
    found = benchmark_app.judge_network(Path("m.onnx"), INFO, windows, 20, network=39.0)
    assert asked == [((2, 1, 8, 8), 20), ((1, 1, 8, 8), 20)]
    assert (found.p50, found.min, found.runs, found.ratio) == (26.0, 23.0, 20, 1.5)


def test_what_it_can_not_judge_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert benchmark_app.find_objection(INFO) is None
    left_out: dict[str, str] = {}
    photo = make_photo("96x80", [1.0, 2.0, 3.0])
    assert _judge(Path("m.onnx"), Segmenter(BRIGHT, FakeBackend()), photo, left_out) is None
    assert left_out == {"benchmark_app": "it knows OpenVINO alone, and vesselrt ran on fake."}
    monkeypatch.setitem(sys.modules, "openvino.tools.benchmark", None)
    assert "pip install openvino" in str(benchmark_app.find_objection(INFO))


def test_a_judge_that_fails_does_not_end_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise VesselrtError("a fresh process failed (benchmark_app): no memory")

    monkeypatch.setattr(benchmark_app, "_run_benchmark_app", fail)
    backend = FakeBackend()
    backend.info = INFO
    left_out: dict[str, str] = {}
    photo = make_photo("96x80", [1.0, 2.0, 3.0])
    assert _judge(Path("m.onnx"), Segmenter(BRIGHT, backend), photo, left_out) is None
    assert left_out == {"benchmark_app": "a fresh process failed (benchmark_app): no memory"}
