"""The benchmark of GPUs, as far as it goes without one: refusals, columns that fail, its arithmetic and its JSON."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from manifests import make_manifest

from vesselrt.benchmarks import gpu, gpu_columns
from vesselrt.benchmarks.bench_report import Score
from vesselrt.benchmarks.gpu_columns import Entrant, GpuPlan, TimeBudget, measure_columns
from vesselrt.benchmarks.gpu_layer import Check
from vesselrt.benchmarks.gpu_report import AROUND, FASTER, PEER, REFERENCE, Figures, GpuReport, GpuRow, Judgement, judge
from vesselrt.benchmarks.measure import FreshStart, LoadOptions, Spread
from vesselrt.benchmarks.photos import Photo, held_out
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.errors import DataError, DeviceError, OptionError, VesselrtError
from vesselrt.runtime.manifest import Preparation
from vesselrt.runtime.modelfile import find_model_file, sha256
from vesselrt.runtime.segmenter import Segmenter, load
from vesselrt.training.data.samples import Sample

BRIGHT = make_manifest()  # its stand-in takes brightness for a probability


def png(pixels: Any) -> bytes:
    return cv2.imencode(".png", np.asarray(pixels, np.uint8))[1].tobytes()


@pytest.fixture
def half_bright() -> Photo:
    """60 x 50 pixels (width x height): grey levels of 200 above, of 100 below."""
    pixels = np.full((50, 60, 3), 200)
    pixels[25:] = 100
    return Photo("half", "test", png(pixels), 60, 50)


def column(name: str, network: Callable[[Any], Any] = identity) -> Entrant:
    return Entrant(name, lambda: Segmenter(BRIGHT, FakeBackend(network)))


def measured(entrants: list[Entrant], photo: Photo, scored: list[Sample], seconds: float = 60) -> list[Score]:
    plan = GpuPlan(find_model_file(None), [photo], runs=3, starts=0, scored=scored)
    told: list[int] = []
    scores = measure_columns(entrants, plan, TimeBudget(seconds), lambda: told.append(1))
    assert len(told) == len(entrants) + 1
    return scores


def fail() -> Any:
    raise DeviceError("no such device here.")


class Ageing:
    """A network that becomes another after so many windows."""

    def __init__(self, windows: int, then: Callable[[Any], Any]) -> None:
        self.left, self.then = windows, then

    def __call__(self, windows: Any) -> Any:
        self.left -= 1
        return identity(windows) if self.left >= 0 else self.then(windows)


def overflow(_: Any) -> Any:
    raise RuntimeError("CUDA error: out of memory\nand a page of advice")


def test_a_column_that_fails_is_a_row_and_the_others_go_on(half_bright: Photo) -> None:
    entrants = [
        column(REFERENCE),
        Entrant("absent", fail),
        column("breaks", Ageing(5, overflow)),
        column("wavers", Ageing(10, lambda x: 1 - identity(x))),
        column("brighter", lambda x: np.minimum(identity(x) + 0.3, 1)),
    ]
    assert measured(entrants, half_bright, []) == []
    rows = {entrant.row.column: entrant.row for entrant in entrants}
    refusals = {name: row.refusal for name, row in rows.items()}
    assert refusals["absent"] == "no such device here."
    assert refusals["breaks"] == "RuntimeError: CUDA error: out of memory"
    assert "gave another mask than the first one" in refusals["wavers"]
    assert {name for name, reason in refusals.items() if not reason} == {REFERENCE, "brighter"}
    assert {name for name, row in rows.items() if row.photos} == {REFERENCE, "brighter"}
    assert rows[REFERENCE].photos["half"].pixels_differ == 0
    assert rows["brighter"].photos["half"].pixels_differ == 0.5  # 100 is vessel too: 100 / 255 + 0.3 > 0.5
    for row in (rows[REFERENCE], rows["brighter"]):
        found = row.photos["half"]
        assert 0 < found.engine.p50 < found.end_to_end.p50
        assert 0 < found.codec.p50 < found.end_to_end.p50
        assert row.load_s is not None
        assert row.first_ms is not None
        assert row.info is not None
    assert all(entrant.subject is None for entrant in entrants)


def test_f1_is_that_of_every_column_that_runs(tmp_path: Path) -> None:
    truth = np.zeros((50, 60))
    truth[:20] = 255
    photo = Photo("bright above", "test", png(np.where(truth[..., None] > 0, [200] * 3, 100)), 60, 50)
    folder = tmp_path / "CHASE_DB1"
    folder.mkdir()
    (folder / "Image_11L.jpg").write_bytes(photo.data)
    (folder / "Image_11L_1stHO.png").write_bytes(png(truth))
    entrants = [
        column(REFERENCE),
        column("everything", lambda x: identity(x) * 0 + 1),
        column("breaks", Ageing(2 * 6 + 1, overflow)),  # the first call, all that are timed, and then no more
    ]
    (score,) = measured(entrants, photo, held_out(tmp_path)["CHASE_DB1"])
    assert score.f1 == {REFERENCE: 1.0, "everything": 4 / 7}
    assert [entrant.row.f1 for entrant in entrants] == [1.0, 4 / 7, None]
    assert [bool(entrant.row.photos) for entrant in entrants] == [True, True, True]
    assert entrants[2].row.refusal == "RuntimeError: CUDA error: out of memory"


@pytest.mark.parametrize("reference", [Entrant(REFERENCE, fail), column(REFERENCE, Ageing(5, overflow))])
def test_without_a_reference_there_is_no_report(reference: Entrant, half_bright: Photo) -> None:
    with pytest.raises(VesselrtError, match=r"^reference: "):
        measured([reference, column("other")], half_bright, [])


def row(name: str, end_to_end: float, engine: float, codec: float) -> GpuRow:
    def spread(p50: float) -> Spread:
        return Spread(p50, p50, 10 * p50, 20 * p50, 0.0)

    return GpuRow(name, photos={"eye": Figures(spread(end_to_end), spread(engine), spread(codec), 0.0, 3)})


def test_judgements() -> None:
    rows = [
        row(REFERENCE, 50, 45, 4),
        row(PEER, 9, 6, 4),
        row("cuda:onnxruntime", 7.8, 2.5, 6),  # 7.8 / 6 and 6 / 2.5
        row("cuda:tensorrt_rtx", 7, 2, 5),  # 7 / 5 and 6 / 2
        GpuRow("cuda:tensorrt", refusal="not installed."),
    ]
    assert judge(rows, ["eye"]) == [
        Judgement(AROUND, "cuda:onnxruntime", "eye", 7.8 / 6, True),
        Judgement(FASTER, "cuda:onnxruntime", "eye", 2.4, False),
        Judgement(AROUND, "cuda:tensorrt_rtx", "eye", 1.4, False),
        Judgement(FASTER, "cuda:tensorrt_rtx", "eye", 3.0, True),
        Judgement(AROUND, "cuda:tensorrt", "eye", None, None),
        Judgement(FASTER, "cuda:tensorrt", "eye", None, None),
    ]
    rows[1] = GpuRow(PEER, refusal="no GPU.")
    found = judge(rows, ["eye"])
    assert [j.holds for j in found if j.claim == FASTER] == [None] * 3
    assert [j.holds for j in found if j.claim == AROUND] == [True, False, None]


def benchmark(folder: Path, *options: str, **environment: str) -> tuple[str, Any]:
    """What the command prints, and its JSON."""
    command = [sys.executable, "-m", "vesselrt.benchmarks.gpu", *options, "--json", str(folder / "gpu.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((folder / "gpu.json").read_text("utf-8"))


def test_without_a_gpu_every_column_says_why(tmp_path: Path) -> None:
    printed, report = benchmark(tmp_path, "--size", "96x80", "--runs", "3", CUDA_VISIBLE_DEVICES="")
    assert list(report) == [
        *("schema", "date", "machine", "versions", "model", "gpu", "runs", "photos", "layer", "rows", "scores"),
        *("seconds", "judgements"),
    ]
    assert list(report["gpu"]) == ["missing"]
    assert report["model"]["sha256"] == sha256(find_model_file(None))
    assert {"vesselrt", "python", "numpy"} <= set(report["versions"])
    assert (report["runs"], report["photos"], report["scores"], report["layer"]) == (3, {"96x80": "synthetic"}, [], [])
    reference, *others = report["rows"]
    assert [row["column"] for row in others] == [
        *("torch eager f32", "torch eager fp16"),
        *("cuda:onnxruntime", "cuda:tensorrt_rtx", "cuda:tensorrt", "torch compile fp16"),
    ]
    assert (reference["column"], reference["refusal"], reference["info"]["precision"]) == (REFERENCE, "", "f32")
    assert set(reference["photos"]["96x80"]) == {"end_to_end", "engine", "codec", "pixels_differ", "runs"}
    for row in others:
        assert (row["info"], row["photos"], row["starts"]) == (None, {}, [])
        assert len(row["refusal"]) > 20
        assert re.search(rf"^\| {row['column']} +\| +{re.escape(row['refusal'])} *\|$", printed, re.MULTILINE)
    assert [j["holds"] for j in report["judgements"]] == [None] * 6
    assert printed.count("not judged") == 6


def measurement(monkeypatch: pytest.MonkeyPatch, photo: Photo, entrants: list[Entrant], seconds: float) -> Any:
    """On a machine that seems to have a GPU; and the reports that were kept on the way."""
    monkeypatch.setattr(gpu, "describe_gpu", lambda: {"name": "H100", "target": "sm90"})
    monkeypatch.setattr(
        gpu, "run_in_processes", lambda seconds: [Check("it holds", holds=True, figures={"a_ms": seconds})]
    )
    monkeypatch.setattr(gpu, "list_columns", lambda _: entrants)
    kept: list[GpuReport] = []
    plan = GpuPlan(find_model_file(None), [photo], runs=50, starts=0, scored=[])
    return gpu.Measurement(plan, TimeBudget(seconds), kept.append), kept


def test_the_report_is_kept_after_every_part(monkeypatch: pytest.MonkeyPatch, half_bright: Photo) -> None:
    entrants = [column(REFERENCE), column(PEER)]
    measuring, kept = measurement(monkeypatch, half_bright, entrants, 120)
    report = measuring.run()
    assert [len(json.loads(part.to_json())["layer"]) for part in kept] == [1] * 5  # layer, two columns, photo, end
    assert kept[-1].layer == report.layer == [Check("it holds", holds=True, figures={"a_ms": 30.0})]
    assert re.search(r"^\| it holds +\| holds +\| a_ms 30 +\|$", report.table(), re.MULTILINE)
    assert report.rows[1].photos["half"].runs == 50


class Set(TimeBudget):
    """A clock that is set and does not run."""

    passed = 0.0


def test_what_has_no_time_left_says_so(half_bright: Photo) -> None:
    clock = Set(100)

    def slow() -> Segmenter:
        clock.passed = 61
        return Segmenter(BRIGHT, FakeBackend())

    entrants = [column(REFERENCE), Entrant(PEER, slow), Entrant("late", fail)]
    plan = GpuPlan(find_model_file(None), [half_bright], runs=3, starts=0, scored=[])
    measure_columns(entrants, plan, clock, lambda: None)
    assert [entrant.row.refusal for entrant in entrants[:2]] == ["", ""]
    assert entrants[2].row.refusal == "no time was left for it in 1.7 minutes. Give more with --minutes."


def test_fresh_processes_are_started_while_there_is_time(monkeypatch: pytest.MonkeyPatch, half_bright: Photo) -> None:
    clock, allowed = Set(100), list[float]()

    def start(options: LoadOptions, photo: Path, seconds: float) -> FreshStart:
        allowed.append(seconds)
        clock.passed += 15
        return FreshStart(15, 1, 1, None)

    monkeypatch.setattr(gpu_columns, "start_fresh", start)
    options = LoadOptions(None, "cpu", "auto", None)
    assert len(gpu_columns._start_fresh_processes(options, half_bright, 2, clock)) == 2
    assert len(gpu_columns._start_fresh_processes(options, half_bright, 2, clock)) == 1
    assert allowed == [60, 45, 30]


def test_a_library_that_does_not_come_back_is_left_behind(tmp_path: Path) -> None:
    code = (
        "import time\n"
        "from vesselrt.benchmarks import gpu, gpu_columns\n"
        "from vesselrt.benchmarks.gpu_columns import Entrant\n"
        "from vesselrt.runtime.backends.fake import FakeBackend\n"
        "from vesselrt.runtime.modelfile import read_manifest\n"
        "from vesselrt.runtime.segmenter import Segmenter\n"
        "gpu._GRACE_SECONDS, gpu_columns._SHARE_FOR_PHOTOS = 0, 0\n"
        "gpu.list_columns = lambda path: [Entrant('reference', lambda: Segmenter(read_manifest(path), FakeBackend())),"
        " Entrant('torch eager fp16', lambda: time.sleep(600))]\n"
        "gpu.main()\n"
    )
    command = [sys.executable, "-c", code, "--size", "96x80", "--runs", "3", "--minutes", "0.1"]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "gpu.json")], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    reason = "the time was over before it was loaded."
    assert [row["refusal"] for row in json.loads((tmp_path / "gpu.json").read_text("utf-8"))["rows"]] == ["", reason]
    assert reason in done.stdout


def test_caches_are_empty_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_CACHE_PATH", "/mine")
    monkeypatch.delenv("VESSELRT_CACHE", raising=False)
    with gpu._fresh_caches() as folder:
        assert os.environ["VESSELRT_CACHE"] == str(folder / "VESSELRT_CACHE")
        assert list(folder.iterdir()) == []
    assert not folder.exists()
    assert os.environ["CUDA_CACHE_PATH"] == "/mine"
    assert "VESSELRT_CACHE" not in os.environ


def test_wrong_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--size and --photo exclude each other"):
        gpu.app(["--size", "96x80", "--photo", "eye.png"], standalone_mode=False)
    (tmp_path / "HRF" / "images").mkdir(parents=True)
    (tmp_path / "HRF" / "images" / "06_dr.jpg").touch()
    with pytest.raises(DataError, match="no folder CHASE_DB1, on which F1 is measured"):
        gpu.app(["--data", str(tmp_path)], standalone_mode=False)


# PyTorch's columns


@pytest.fixture
def twin() -> Any:
    pytest.importorskip("torch", reason="PyTorch's columns need the extra bench")
    pytest.importorskip("onnx", reason="PyTorch's columns need the extra bench")
    from vesselrt.benchmarks import twin

    return twin


@pytest.mark.parametrize(("precision", "allowed"), [("f32", 1), ("fp16", 6)])
def test_torch_gives_the_probability_of_vesselrt(twin: Any, precision: Any, allowed: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 60, 3), np.uint8)
    image = cv2.GaussianBlur(noise, (0, 0), 2).astype(np.uint8)
    with load(device="cpu:onnxruntime", precision="f32") as loaded:
        native = loaded.manifest.model_copy(update={"preparation": Preparation(channels="green")})
        expected = Segmenter(native, loaded._members.networks[0].backend).segment(image).probability
    found = Segmenter(native, twin.TorchBackend(find_model_file(None), precision, device="cpu")).segment(image)
    assert (found.info.backend, found.info.precision) == ("torch", precision)
    assert expected.std() > 1
    assert np.abs(found.probability.astype(int) - expected).max() <= allowed


def test_torch_without_a_gpu_is_refused(twin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(DeviceError, match=r"^PyTorch .* finds no GPU here"):
        twin.TorchBackend(find_model_file(None), "fp16")


def test_torch_compile_takes_the_network_whole(twin: Any) -> None:
    import torch

    network = twin.Twin(find_model_file(None), memory_format=torch.channels_last)
    pixels = torch.randint(0, 256, (1, 1, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        compiled: Any = torch.compile(network, backend="eager", fullgraph=True)
        assert torch.equal(compiled(pixels), network(pixels))


@pytest.mark.gpu
def test_on_a_gpu_the_columns_agree(tmp_path: Path) -> None:
    _, report = benchmark(tmp_path, "--size", "565x584", "--runs", "3", "--starts", "1")
    assert {"name", "target"} <= set(report["gpu"])
    ran = [row for row in report["rows"] if not row["refusal"]]
    assert len(ran) > 1, [row["refusal"] for row in report["rows"]]
    for row in ran:
        assert row["photos"]["565x584"]["pixels_differ"] < 0.01, row["column"]
