"""The options of `vesselrt bench`: limits, what excludes what, and what they do."""

import json
import threading
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench_photos import BRIGHT
from bench_reports import make_photo, make_report, write_report
from typer.testing import CliRunner

from vesselrt.benchmarks.bench_report import Effort
from vesselrt.benchmarks.bench_run import measure_photo
from vesselrt.benchmarks.measure import MIN_RUNS, ColumnError, Subject
from vesselrt.benchmarks.photos import Photo
from vesselrt.benchmarks.throughput import measure_throughput
from vesselrt.cli import app
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.segmenter import Segmenter


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ("--runs 2", "--runs"),
        ("--runs 100001", "--runs"),
        ("--duration 0", "--duration"),
        ("--duration 3601", "--duration"),
        ("--duration 5 --runs 5", "--duration"),
        ("--warm-up -1", "--warm-up"),
        ("--warm-up 1001", "--warm-up"),
        ("--concurrency 0", "--concurrency"),
        ("--concurrency 257", "--concurrency"),
        ("--batch 0", "--batch"),
        ("--batch 65", "--batch"),
        ("--starts -1", "--starts"),
        ("--slower-than 5%", "--against"),
        ("--against FIGURES --slower-than five", "--slower-than"),
        ("--against FIGURES --slower-than -5%", "--slower-than"),
        ("--against FIGURES --slower-than nan", "--slower-than"),
        ("--plot eye.jpg", "--plot"),
        ("--from FIGURES --runs 5 --size 96x80", "--runs, --size"),
    ],
)
def test_wrong_options_are_refused(options: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(tmp_path / "FIGURES", make_report(make_photo("96x80", [1.0, 2.0, 3.0])))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["bench", *options.split()])
    assert done.exit_code == 2
    assert word in " ".join(done.output.replace("│", " ").split())
    assert [path.name for path in tmp_path.iterdir()] == ["FIGURES"]


def test_figures_that_were_written_are_shown_again(tmp_path: Path) -> None:
    path = write_report(tmp_path / "old.json", make_report(make_photo("96x80", [1.0, 2.0, 3.0])))
    done = CliRunner().invoke(app, ["bench", "--from", str(path), "--json", str(tmp_path / "new.json")])
    assert done.exit_code == 0
    assert "96x80 (synthetic, 1 kB)" in done.output
    assert json.loads((tmp_path / "new.json").read_text()) == json.loads(path.read_text())


def count_calls(noise: Photo, effort: Effort) -> tuple[int, int]:
    """Calls in all, and those that were timed."""
    calls = []

    class Counted(FakeBackend):
        def infer(self, batches: Any) -> Any:
            calls.append(1)
            return super().infer(batches)

    figures, _ = measure_photo(Subject(Segmenter(BRIGHT, Counted())), noise, effort, {})
    return len(calls), len(figures.samples["end_to_end"])


def test_warm_up_calls_do_not_count(noise: Photo) -> None:
    assert count_calls(noise, Effort(runs=4, warm_up=0)) == (4, 4)
    assert count_calls(noise, Effort(runs=4, warm_up=5)) == (9, 4)


def test_a_duration_takes_the_place_of_runs(noise: Photo, monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_calls(noise, Effort(duration=1e-9, warm_up=2)) == (2 + MIN_RUNS, MIN_RUNS)
    seconds = count()  # a clock that is looked at after the three runs that are always made, before each further one
    clock = SimpleNamespace(monotonic=lambda: next(seconds), perf_counter=time.perf_counter, sleep=lambda _: None)
    monkeypatch.setattr("vesselrt.benchmarks.measure.time", clock)
    assert count_calls(noise, Effort(runs=4, duration=10, warm_up=1)) == (1 + MIN_RUNS + 10, MIN_RUNS + 10)


def test_batch_is_what_the_network_is_given_at_once(noise: Photo) -> None:
    for batch, expected in ((None, [1, 1, 1, 1]), (3, [3, 1]), (64, [4])):
        backend = FakeBackend()
        figures, _ = measure_photo(Subject(Segmenter(BRIGHT, backend), batch), noise, Effort(3, batch=batch), {})
        assert [shape[0] for shape in figures.windows] == expected
        assert {shape[0] for shape in backend.shapes} == set(expected)


def test_threads_call_at_once(noise: Photo) -> None:
    together, calls = threading.Barrier(3, timeout=20), count()

    def column(data: bytes) -> bytes:
        if next(calls):  # all but the first, which says what is expected: three are needed for one to go on
            together.wait()
        return data

    effort = Effort(runs=3, warm_up=0, concurrency=3)
    found = measure_throughput("ours", column, noise.data, effort, alone=2.0)
    assert found.concurrency == 3
    assert len(found.samples) == 9
    assert found.gain == pytest.approx(found.images_per_second / 2)


def test_a_mask_that_changes_among_threads_is_an_error(noise: Photo) -> None:
    random = np.random.default_rng(0)
    with pytest.raises(ColumnError, match="ours: 2 calls at once gave another mask than one alone"):
        measure_throughput("ours", lambda _: random.bytes(4), noise.data, Effort(3, concurrency=2), 1.0)


def test_command_measures_threads_and_batches(tmp_path: Path) -> None:
    target = tmp_path / "bench.json"
    options = "--size 96x80 --runs 3 --warm-up 1 --starts 0 --concurrency 2 --batch 2"
    done = CliRunner().invoke(app, ["bench", *options.split(), "--json", str(target)])
    assert done.exit_code == 0, done.output
    report = json.loads(target.read_text("utf-8"))
    assert report["effort"] == {"runs": 3, "duration": None, "warm_up": 1, "concurrency": 2, "batch": 2}
    (photo,) = report["photos"]
    assert photo["throughput"]["concurrency"] == 2
    assert len(photo["throughput"]["samples"]) == 6
    assert "2 threads at once: " in done.output
    assert "3 runs each after 1 that do not count, up to 2 windows at once" in done.output
