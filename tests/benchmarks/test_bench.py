"""`vesselrt bench`: what is timed, and that it hangs together."""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from bench_photos import BRIGHT, pixels, png
from typer.testing import CliRunner

from vesselrt.benchmarks import photos, process_memory
from vesselrt.benchmarks.bench_report import Effort
from vesselrt.benchmarks.bench_run import measure_photo, score_columns
from vesselrt.benchmarks.measure import (
    BURN_IN,
    MIN_RUNS,
    STAGES,
    Column,
    LoadOptions,
    Spread,
    Subject,
    Timed,
    interleave,
    measure_fresh,
)
from vesselrt.benchmarks.photos import Photo
from vesselrt.cli import app
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.errors import DataError, OptionError, VesselrtError
from vesselrt.runtime.manifest import Precision
from vesselrt.runtime.modelfile import find_model_file, loaded_file, sha256
from vesselrt.runtime.photo.decoding import decode_photo
from vesselrt.runtime.segmenter import Segmenter, load


def test_spread_interpolates_percentiles() -> None:
    assert Spread.of([10, 20]) == Spread(10, 15, 19.5, None, 50**0.5)
    assert Spread.of([7]) == Spread(7, 7, 7, None, 0)


def test_p99_is_told_from_200_runs_on() -> None:
    assert Spread.of(range(199)).p99 is None
    assert Spread.of(range(201)).p99 == 198
    assert Spread.of(range(201)).cells()[:4] == ["0.0", "100.0", "190.0", "198.0"]
    assert Spread.of([1, 2]).cells(2) == ["1.00", "1.50", "1.95", "–", "0.71"]


def test_columns_take_turns_and_the_burn_in_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, seconds = [], [0.0]
    clock = SimpleNamespace(perf_counter=lambda: seconds[0], sleep=lambda _: None)
    monkeypatch.setattr("vesselrt.benchmarks.measure.time", clock)

    def column(name: str) -> Any:
        def run(data: bytes) -> bytes:
            calls.append(name)
            seconds[0] += len(calls)  # the first call takes a second, the next one two
            return data

        return run

    timed = interleave({"a": column("a"), "b": column("b")}, b"mask", runs=2)
    assert calls == ["a", "a", "b", "b"] * (BURN_IN + 2)
    assert timed == {"a": Timed([14000, 18000], b"mask"), "b": Timed([16000, 20000], b"mask")}


def test_a_column_alone_is_called_once_a_run() -> None:
    calls: list[bytes] = []

    def alone(data: bytes) -> bytes:
        calls.append(data)
        return data

    assert len(interleave({"a": alone}, b"mask", runs=2)["a"].milliseconds) == 2
    assert calls == [b"mask"] * (BURN_IN + 2)
    assert len(interleave({"a": alone}, b"mask", runs=50, seconds=0)["a"].milliseconds) == MIN_RUNS


@pytest.mark.parametrize("changed", [2, BURN_IN, BURN_IN + 3])
def test_a_mask_that_changes_is_an_error(changed: int) -> None:
    calls = iter(range(1, 100))
    with pytest.raises(VesselrtError, match=f"^ours: call {changed} gave another mask than the first one"):
        interleave({"ours": lambda _: b"other" if next(calls) == changed else b"mask"}, b"", runs=3)


def test_a_network_that_wavers_is_an_error(noise: Photo) -> None:
    random = np.random.default_rng(0)
    wavering = FakeBackend(lambda x: random.random(x[:, :1].shape, np.float32))
    with pytest.raises(VesselrtError, match="vesselrt: call 2 gave another mask"):
        measure_photo(Subject(Segmenter(BRIGHT, wavering)), noise, Effort(3), {})


def test_measured_figures_hang_together(noise: Photo) -> None:
    def slow(windows: Any) -> Any:
        time.sleep(0.01)
        return identity(windows)

    backend = FakeBackend(slow)
    subject = Subject(Segmenter(BRIGHT, backend))
    found, mask = measure_photo(subject, noise, Effort(4), {})
    windows = len(backend.shapes) / (BURN_IN + 4)
    assert windows == 4  # 70 x 90 pixels in windows of 64 that keep 48 at an image's edge
    assert found.network.p50 >= windows * 10
    assert found.network.p50 <= found.stages["infer"].p50 <= found.end_to_end.p50
    assert list(found.stages) == list(STAGES)
    for spread in (*found.stages.values(), found.network, found.end_to_end):
        assert 0 < spread.min <= spread.p50 <= spread.p95
        assert spread.p99 is None
    assert list(found.samples) == [*STAGES, "network", "end_to_end"]
    for part, samples in found.samples.items():
        assert Spread.of(samples) == (found.stages[part] if part in found.stages else getattr(found, part))
        assert len(samples) == 4
    assert found.windows == [(1, 1, 64, 64)] * 4
    assert found.images_per_second < 1e3 / (windows * 10)
    assert found.beside_network > 0
    assert found.peers == {}
    parts = Spread.of(sum(call[stage] for stage in STAGES) for call in subject.calls[-4:])
    assert parts.p50 <= found.end_to_end.p50
    assert np.array_equal(pixels(mask), (decode_photo(noise.data).pixels[:, :, 1] >= 128) * 255)


def test_ratios_to_another_column(noise: Photo) -> None:
    subject = Subject(Segmenter(BRIGHT, FakeBackend()))
    ours = subject(noise.data)
    flipped = pixels(ours)
    flipped[:7] = 255 - flipped[:7]  # 7 of 70 rows
    other = cv2.imencode(".png", flipped)[1].tobytes()

    class Slow:
        precision: Precision = "bf16"

        def __call__(self, _: bytes) -> bytes:
            time.sleep(0.05)
            return other

    found, _ = measure_photo(subject, noise, Effort(3), {"slow": Slow()})
    peer = found.peers["slow"]
    assert (peer.precision, len(peer.samples)) == ("bf16", 3)
    assert peer.pixels_differ == pytest.approx(0.1)
    assert peer.ratio == pytest.approx(peer.end_to_end.p50 / found.end_to_end.p50)
    assert peer.ratio_of_runs > 1


def test_f1_pools_pixels_in_the_field_of_view(tmp_path: Path) -> None:
    folder = tmp_path / "HRF"
    inside, truth, first, second = (np.zeros((70, 90), np.uint8) for _ in range(4))
    inside[:, :80], truth[10, :80], first[10, :40], second[10, :] = 255, 255, 255, 255
    for name, found in {"06_dr": first, "07_h": second}.items():
        for path, content in {
            f"images/{name}.JPG": png(found),
            f"manual1/{name}.tif": cv2.imencode(".tif", truth)[1].tobytes(),
            f"mask/{name}_mask.tif": cv2.imencode(".tif", inside)[1].tobytes(),
        }.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    (folder / "images" / "01_dr.JPG").write_bytes(png(first))  # of the training split
    samples = photos.held_out(tmp_path)["HRF"]
    nothing, everything = np.zeros_like(truth), np.full_like(truth, 255)
    columns: dict[str, Column] = {
        "vesselrt": Subject(Segmenter(BRIGHT, FakeBackend())),
        "nothing": lambda _: cv2.imencode(".png", nothing)[1].tobytes(),
        "everything": lambda _: cv2.imencode(".png", everything)[1].tobytes(),
    }
    score = score_columns("HRF", samples, lambda _: columns)
    assert score.photographs == ["06_dr.JPG", "07_h.JPG"]
    assert score.f1 == {
        "vesselrt": 2 * (40 + 80) / ((40 + 80) + 2 * 80),
        "nothing": 0.0,
        "everything": 2 * (2 * 80) / (2 * 70 * 80 + 2 * 80),
    }


def test_command_measures_the_built_in_model(tmp_path: Path) -> None:
    target = tmp_path / "bench.json"
    done = CliRunner().invoke(app, ["bench", "--size", "96x80", "--runs", "3", "--starts", "1", "--json", str(target)])
    assert done.exit_code == 0, done.output
    report = json.loads(target.read_text("utf-8"))
    assert list(report) == [
        *("schema", "date", "machine", "versions", "model", "info", "effort", "photos", "scores", "left_out"),
        "mixed",
    ]
    assert {"cpu", "cores", "os", "flags", "governor", "mhz", "mhz_after", "load_after"} <= set(report["machine"])
    assert {"vesselrt", "python", "numpy", "opencv", report["info"]["backend"]} == set(report["versions"])
    with load() as segmenter:
        measured = loaded_file(find_model_file(None), segmenter.manifest)
    assert report["model"]["sha256"] == sha256(measured)
    assert report["effort"] == {"runs": 3, "duration": None, "warm_up": 3, "concurrency": 1, "batch": None}
    assert (report["scores"], report["mixed"]) == ([], None)
    (photo,) = report["photos"]
    assert (photo["photo"], photo["source"], photo["width"], photo["height"]) == ("96x80", "synthetic", 96, 80)
    assert list(photo["stages"]) == list(STAGES)
    for spread in (*photo["stages"].values(), photo["network"], photo["end_to_end"]):
        assert 0 < spread["min"] <= spread["p50"] <= spread["p95"]
        assert spread["p99"] is None
    assert {part: len(samples) for part, samples in photo["samples"].items()} == dict.fromkeys(
        [*STAGES, "network", "end_to_end"], 3
    )
    assert len(photo["fresh"]["cold_start_s"]) == 1
    assert photo["fresh"]["cold_start_s"][0] > photo["end_to_end"]["p50"] / 1e3
    assert photo["fresh"]["peak_memory_mb"] > 30
    for word in ("96x80", "p99", "deviation", "(network)", "cold start", "images/s", report["info"]["precision"]):
        assert word in done.output


def test_command_measures_files_as_they_are(noise: Photo, tmp_path: Path) -> None:
    path = tmp_path / "eye.png"
    path.write_bytes(noise.data)
    found = photos.from_file(path)
    assert found == Photo("eye.png", "eye.png", noise.data, 90, 70)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "big"], "size 'big'. Expected width x height in pixels, like 565x584."),
        (["--size", "9x9"], "size '9x9'. Expected"),
        (["--size", "96x80", "--photo", "eye.jpg"], "--size and --photo exclude each other"),
        (["--size", "96x80", "--tta", "d4", "--compare"], "neither flip nor turn. Leave out --tta or --compare."),
        (["--size", "96x80", "--device", "abacus"], "unknown device 'abacus'"),
        (
            ["--size", "96x80", "--data", "nowhere"],
            "nowhere: no test photographs. Expected the folder CHASE_DB1 or HRF",
        ),
    ],
)
def test_wrong_options_are_named(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["bench", *arguments])
    assert isinstance(done.exception, OptionError | DataError | VesselrtError)
    assert message in str(done.exception)


def test_less_than_three_runs_are_refused() -> None:
    done = CliRunner().invoke(app, ["bench", "--runs", "2"])
    assert done.exit_code == 2
    assert "--runs" in done.output


def test_help() -> None:
    done = CliRunner().invoke(app, ["bench", "--help"])
    assert done.exit_code == 0
    assert "--compare" in done.output


def test_a_fresh_process_with_another_mask_is_an_error() -> None:
    photo = photos.from_size("96x80", None)
    with pytest.raises(VesselrtError, match="96x80: a fresh process gave another mask than this one"):
        measure_fresh(LoadOptions(None, "auto", "auto", None), photo, b"other", starts=1)


def test_a_fresh_process_that_fails_says_why() -> None:
    photo = Photo("a", "test", b"not an image", 1, 1)
    with pytest.raises(VesselrtError, match=r"a fresh process failed \(vesselrt.cli\): .+"):
        measure_fresh(LoadOptions(None, "auto", "auto", None), photo, b"", starts=1)


def test_options_as_arguments() -> None:
    assert LoadOptions(None, "cpu", "f32", 2).arguments() == ["--device", "cpu", "--precision", "f32", "--threads", "2"]
    assert LoadOptions(None, "cpu", "f32", None, "d4").arguments()[-2:] == ["--tta", "d4"]


def test_flips_are_measured_as_the_maps_that_they_are(noise: Photo, tmp_path: Path) -> None:
    (tmp_path / "eye.png").write_bytes(noise.data)
    target, photo = tmp_path / "bench.json", str(tmp_path / "eye.png")
    arguments = ["--photo", photo, "--tta", "flips", "--runs", "3", "--warm-up", "0", "--starts", "0"]
    done = CliRunner().invoke(app, ["bench", *arguments, "--json", str(target)])
    assert done.exit_code == 0, done.output
    report = json.loads(target.read_text("utf-8"))
    assert report["info"]["members"] == 4
    assert sum(batch for batch, *_ in report["photos"][0]["windows"]) == 4
    assert "mean of 4 maps" in done.output


def test_peak_memory_is_of_this_process_alone() -> None:
    def peak() -> float:
        found = process_memory.peak_memory()
        assert found is not None
        return found

    before, held = peak(), np.ones(200 * 2**20, np.uint8)
    assert peak() >= 200 + held[0] - 1
    code = "from vesselrt.benchmarks.process_memory import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert before > 0
    assert 5 < float(done.stdout) < peak()
