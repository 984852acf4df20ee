"""Accuracy against latency: rows worked out by hand, with networks that are functions."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from several_classes import colours

from vesselrt.benchmarks import model_comparison
from vesselrt.benchmarks.model_comparison import Comparison, ComparisonPlan, ComparisonRow, compare_models
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.devices import PRECISIONS
from vesselrt.runtime.errors import DataError, DeviceError, ModelNotFoundError, OptionError, VesselrtError
from vesselrt.runtime.manifest import ClassFacts, Input, Manifest, Preparation, Tile
from vesselrt.runtime.modelfile import find_model_file, int8_path, sha256
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.training.data.classes import ARTERY_VEIN
from vesselrt.training.data.finding import list_samples
from vesselrt.training.data.samples import Sample

Network = Callable[[Image], NDArray[np.floating[Any]]]

MIRROR = Manifest(
    name="mirror",
    version="1.0",
    licence="CC0-1.0",
    description="gives back what it sees",
    preparation=Preparation(channels="green"),
    input=Input(mean=(0.0,), std=(1.0,)),
    tile=Tile(size=64, multiple=1, margin=0),
)

RGB = Input(mean=(0.0,) * 3, std=(1.0,) * 3)


class Machine:
    """What can be loaded: networks by device and precision. Nothing else can be loaded."""

    def __init__(self) -> None:
        self.networks: dict[tuple[str, str], Network] = {("cpu:openvino", "f32"): identity}
        self.manifest = MIRROR
        self.backends: list[FakeBackend] = []
        self.calls: list[str] = []

    def load(self, file: Path, *, device: str, precision: str, threads: int | None) -> Segmenter:
        assert file.suffix == ".onnx"
        network = self.networks.get((device, precision))
        if network is None:
            raise DeviceError(f"no {device} here | in {precision}")

        def recorded(pixels: Image) -> NDArray[np.floating[Any]]:
            self.calls.append(f"{device} {precision}")
            return network(pixels)

        self.backends.append(FakeBackend(recorded))
        taken = "int8" if precision == "int8" else "f32"
        return Segmenter(self.manifest.model_copy(update={"precision": taken}), self.backends[-1])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Two rows that run, six that do not."""
    made = Machine()
    monkeypatch.setattr(model_comparison, "load", made.load)
    return made


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    """Two photographs of 8 x 10 pixels, of which the last row is outside; 3 of 4 vessel pixels found in each."""
    for name in ("a", "b"):
        found, truth, inside = np.zeros((8, 10)), np.zeros((8, 10)), np.full((8, 10), 255)
        found[2, :3], truth[2, :4], inside[7] = 200, 255, 0
        for folder, pixels in (("images", np.dstack([found] * 3)), ("masks", truth), ("fov", inside)):
            (tmp_path / "eyes" / folder).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(tmp_path / "eyes" / folder / f"{name}.png"), pixels.astype(np.uint8))
    return list_samples("folder", tmp_path / "eyes", "test")


def run(samples: list[Sample], **given: Any) -> Comparison:
    return compare_models(ComparisonPlan(**{"models": ["fundus"], **given}), samples, name="eyes", split="test")


def generous(pixels: Image) -> NDArray[np.floating[Any]]:
    """The vessel's fourth pixel too, one beside it, and one outside the field of view."""
    answer = identity(pixels)
    for row, column in ((2, 3), (2, 4), (7, 0)):
        answer[:, :, row, column] = 0.5
    return answer


def test_rows_by_hand(machine: Machine, samples: list[Sample]) -> None:
    machine.networks["cpu:onnxruntime", "f32"] = generous
    result = run(samples, devices=["cpu:openvino", "cuda", "cpu:onnxruntime"], precisions=["f32"])
    first, missing, second = result.rows
    assert (first.device, missing.device, second.device) == ("cpu:openvino", "cuda", "cpu:onnxruntime")
    assert first.metrics is not None
    assert second.metrics is not None
    assert (first.metrics.f1, second.metrics.f1) == (6 / 7, 8 / 9)
    assert (first.flipped, second.flipped) == (0, 2 / 70)
    assert (first.model, first.version, first.threshold) == ("fundus", "fundus 1.2.0", 0.5)
    for row in (first, second):
        assert row.info is not None
        assert row.info.backend == "fake"
        assert row.infer is not None
        assert row.milliseconds is not None
        assert 0 < row.infer < row.milliseconds
    assert missing.missing == "no cuda here | in f32"
    figures = (missing.info, missing.metrics, missing.flipped, missing.milliseconds, missing.infer)
    assert figures == (None,) * 5
    assert (result.data, result.split, result.photographs, result.runs) == ("eyes", "test", ["a", "b"], 3)


def test_a_row_in_int8_names_the_file_that_was_measured(machine: Machine, samples: list[Sample]) -> None:
    machine.networks["cpu:openvino", "int8"] = identity
    rows = run(samples, devices=["cpu:openvino"], precisions=["f32", "int8"], runs=1).rows
    file = find_model_file("fundus")
    assert [row.model_sha256 for row in rows] == [sha256(file), sha256(int8_path(file))]


def test_every_device_and_precision_has_a_row(machine: Machine, samples: list[Sample]) -> None:
    rows = run(samples, runs=1).rows
    asked = [(row.device, row.precision) for row in rows]
    devices = ("cpu:openvino", "cpu:onnxruntime", "cuda")
    assert asked == [(d, p) for d in devices for p in PRECISIONS if p != "auto"]
    assert [row.missing is None for row in rows].count(True) == 1
    assert all(row.missing == f"no {row.device} here | in {row.precision}" for row in rows if row.metrics is None)


def test_rows_are_measured_in_turn_each_call_after_one_that_does_not_count(
    machine: Machine, samples: list[Sample]
) -> None:
    machine.networks["cuda", "f32"] = identity
    result = run(samples, devices=["cpu:openvino", "cuda"], precisions=["f32"], runs=2)
    one, other = "cpu:openvino f32", "cuda f32"
    assert machine.calls == [one, one, other, other, *[one, one, other, other] * 2 * len(samples)]  # first: warming up
    assert [row.missing for row in result.rows] == [None, None]
    assert [backend.closed for backend in machine.backends] == [True, True]


def test_a_row_that_refuses_at_its_first_call_says_why(machine: Machine, samples: list[Sample]) -> None:
    def refusing(pixels: Image) -> NDArray[np.floating[Any]]:
        raise DeviceError("told to compute in bf16 and took f32")

    machine.networks["cpu:openvino", "bf16"] = refusing
    rows = run(samples, devices=["cpu:openvino"], precisions=["bf16", "f32"], runs=1).rows
    assert rows[0].missing == "told to compute in bf16 and took f32"
    assert rows[1].flipped == 0
    assert all(backend.closed for backend in machine.backends)


def test_a_result_that_changes_is_not_timed(machine: Machine, samples: list[Sample]) -> None:
    answers: Iterator[float] = iter(np.linspace(0, 1, 40))
    machine.networks["cpu:openvino", "f32"] = lambda pixels: np.full((len(pixels), 1, 8, 10), next(answers), np.float32)
    machine.networks["cpu:openvino", "f32"] = wavering(machine.networks["cpu:openvino", "f32"])
    with pytest.raises(VesselrtError, match="fundus, cpu:openvino, f32: a gave another map than the first time"):
        run(samples, devices=["cpu:openvino"], precisions=["f32"])


def wavering(network: Network) -> Network:
    """For photographs only: while it warms up, the pixels are of another size."""
    return lambda pixels: network(pixels) if pixels.shape[2:] == (8, 10) else identity(pixels)


def test_where_nothing_runs_the_reasons_are_the_error(machine: Machine, samples: list[Sample]) -> None:
    with pytest.raises(DeviceError, match=r"nothing to compare: no row can run here\. no cuda here \| in f32 no cuda"):
        run(samples, devices=["cuda"])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"devices": ["gpu", "cuda"]}, OptionError, "gpu: not known. Expected of: auto, cpu, "),
        ({"precisions": ["int4"]}, OptionError, "int4: not known. Expected of: auto, f32, "),
        ({"runs": 0}, OptionError, "runs is 0. Expected 1 or more."),
        ({"threshold": 1.5}, OptionError, "threshold 1.5 is not within 0 to 1."),
        ({"models": ["fundus", "nothing"]}, ModelNotFoundError, "no model nothing"),
    ],
)
def test_mistakes_are_no_rows(
    machine: Machine, samples: list[Sample], given: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        run(samples, **given)
    assert machine.backends == []


def test_no_photographs(machine: Machine) -> None:
    with pytest.raises(DataError, match="eyes test: no photographs to evaluate"):
        run([])


def test_another_threshold(machine: Machine, samples: list[Sample]) -> None:
    machine.networks["cuda", "f32"] = generous
    result = run(samples, devices=["cpu:openvino", "cuda"], precisions=["f32"], threshold=0.6, runs=1)
    assert [row.flipped for row in result.rows] == [0, 0]  # what `generous` adds stays below
    assert [row.threshold for row in result.rows] == [0.6, 0.6]


def test_the_table(machine: Machine, samples: list[Sample]) -> None:
    result = run(samples, devices=["cpu:openvino", "cuda"], precisions=["f32"], runs=1)
    *table, blank, where = result.to_markdown().splitlines()
    header, rule, first, missing = (" ".join(line.split()) for line in table)
    assert header == "| model | device | precision | F1 | clDice | thin | flipped | ms | network ms | remark |"
    assert re.fullmatch(r"(\|-+){10}\|", rule)
    figures = r"0\.8571 \| 0\.8571 \| 0\.7500 \| 0\.000% \| [\d.]+ \| [\d.]+"
    assert re.fullmatch(rf"\| fundus \| cpu:openvino \| f32 \| {figures} \| \|", first)
    assert missing == r"| fundus | cuda | f32 | – | – | – | – | – | – | no cuda here \| in f32 |"
    assert blank == ""
    assert where.startswith("eyes test, 2 photographs, 1 timed calls on each, the rows in turn; ")
    for word in ("cores, load", "Python 3", "fake 0", "fundus 1.2.0 (sha256 "):
        assert word in where


def test_the_record(machine: Machine, samples: list[Sample]) -> None:
    result = run(samples, devices=["cpu:openvino", "cuda"], precisions=["f32"], runs=1)
    record = json.loads(result.to_json())
    assert list(record) == list(Comparison.__dataclass_fields__)
    assert record["schema"] == 2
    assert {"cpu", "cores", "os", "python", "vesselrt"} <= set(record["machine"])
    fields = [name for name in ComparisonRow.__dataclass_fields__ if name != "classes"]  # which are told of several
    assert [list(row) for row in record["rows"]] == [fields] * 2
    assert record["rows"][0]["metrics"]["f1"] == 6 / 7
    assert record["rows"][1]["metrics"] is None


def test_progress_is_told_after_each_photograph(machine: Machine, samples: list[Sample]) -> None:
    told: list[int] = []
    plan = ComparisonPlan(["fundus"], ["cpu:openvino"], ["f32"], runs=1)
    compare_models(plan, samples, name="eyes", split="test", advance=lambda: told.append(len(machine.calls)))
    assert told == [2 + 2, 2 + 4]


def test_several_classes_have_a_line_each(machine: Machine, tmp_path: Path) -> None:
    classes = (ClassFacts(name="artery"), ClassFacts(name="vein"))
    machine.manifest = MIRROR.model_copy(update={"classes": classes, "preparation": Preparation(), "input": RGB})
    photo, mask = np.zeros((8, 10, 3)), np.zeros((8, 10, 3))
    photo[2, :3, 2], photo[5, :, 1] = 255, 255  # red and green of BGR
    mask[2, :4, 2], mask[5, :, 0] = 255, 255  # red: artery, blue: vein
    for folder, pixels in (("images", photo), ("masks", mask)):
        (tmp_path / folder).mkdir()
        assert cv2.imwrite(str(tmp_path / folder / "a.png"), pixels.astype(np.uint8))
    machine.networks = {
        ("cpu:openvino", "f32"): lambda pixels: colours(pixels)[:, :2],
        ("cpu:onnxruntime", "f32"): lambda pixels: colours(pixels)[:, :2] * np.array([0, 1], np.float32)[:, None, None],
    }
    samples = list_samples("folder", tmp_path, "test", ARTERY_VEIN)
    result = run(samples, devices=["cpu:openvino", "cpu:onnxruntime"], precisions=["f32"], runs=1)
    first, second = result.rows
    assert first.metrics is not None
    assert first.classes is not None
    assert second.classes is not None
    assert (first.classes["artery"].f1, first.classes["vein"].f1) == (6 / 7, 1)
    assert first.metrics.recall == 13 / 14  # of both together
    assert (second.classes["artery"].recall, second.classes["vein"].recall) == (0, 1)
    assert (first.flipped, second.flipped) == (0, 3 / 80)  # of the class that moves most
    lines = [line.split("|")[1].strip() for line in result.to_markdown().splitlines()[2:8]]
    assert lines == ["fundus", "fundus artery", "fundus vein"] * 2
    assert json.loads(result.to_json())["rows"][0]["classes"]["artery"]["f1"] == 6 / 7
