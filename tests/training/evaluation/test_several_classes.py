"""Figures of several classes: each by itself, all together, without what does not count; table, JSON, CSV and page."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from drawn_samples import Drawn, drawn, rows
from several_classes import colours

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.errors import DataError, OptionError
from vesselrt.runtime.manifest import ClassFacts, Input, Manifest, Preparation, Tile
from vesselrt.runtime.photo.photograph import Photograph
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.training.data.classes import ARTERY_VEIN, ClassTruth, MarkedMasks
from vesselrt.training.data.samples import LIMITS
from vesselrt.training.evaluation import figures
from vesselrt.training.evaluation.evaluate import evaluate_model
from vesselrt.training.evaluation.report import EvaluationReport
from vesselrt.training.evaluation.result import Evaluation

ARTERY, VEIN = rows((5, 2, 0, 20)), rows((12, 3, 0, 10))
HERE = Path("a.drawn")


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnClasses(Drawn):
    """Red of the photograph is the probability of an artery, green of a vein; the truth is ARTERY and VEIN."""

    shown: Image
    ignored: np.ndarray | None = None

    def photograph(self) -> Photograph:
        return Photograph(self.shown, LIMITS)

    def read_classes(self, wanted: object) -> ClassTruth:
        assert wanted == ("artery", "vein")
        return ClassTruth(np.stack([ARTERY, VEIN]), self.ignored)


def sample(artery: np.ndarray, vein: np.ndarray, name: str = "a", ignored: np.ndarray | None = None) -> DrawnClasses:
    levels = [np.where(mask, 255, 0).astype(np.uint8) for mask in (artery, vein, vein & False)]
    return DrawnClasses(
        name=name,
        image=HERE,
        truth=HERE,
        probability=levels[0],
        vessel=ARTERY | VEIN,
        shown=np.dstack(levels),
        ignored=ignored,
        marked=MarkedMasks(ARTERY_VEIN, HERE, HERE.parent, name),
    )


def model(exclusive: bool = False) -> Segmenter:
    manifest = Manifest(
        name="colours",
        version="1.0",
        licence="CC0-1.0",
        description="gives back what it sees",
        preparation=Preparation(),
        input=Input(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        tile=Tile(size=1024, multiple=1, margin=0),
        classes=(ClassFacts(name="artery"), ClassFacts(name="vein", threshold=0.4)),
        exclusive=exclusive,
    )
    return Segmenter(manifest, FakeBackend(lambda pixels: colours(pixels)[:, :2]))


def run(*samples: DrawnClasses, exclusive: bool = False, **options: object) -> Evaluation:
    return evaluate_model(model(exclusive), samples, name="set", split="test", **options)  # type: ignore[arg-type]


def test_each_class_is_counted_by_itself_and_all_together() -> None:
    result = run(sample(ARTERY, rows((12, 3, 0, 20))))  # every artery right, of the veins' pixels half
    artery, vein = result.classes["artery"], result.classes["vein"]
    assert (artery.pooled.f1, artery.pooled.precision, artery.threshold) == (1.0, 1.0, 0.5)
    assert (vein.pooled.recall, vein.pooled.precision, vein.threshold) == (1.0, 0.5, 0.4)
    assert result.pooled.precision == 70 / 100  # 40 + 30 of 40 + 60
    assert result.pooled.mean_dice == result.pooled.f1 == 2 * 70 / (70 + 100)
    assert result.pooled.cldice == pytest.approx((artery.pooled.cldice + vein.pooled.cldice) / 2)
    assert sum(result.vessel_levels) == 70
    assert result.title() == "colours 1.0 on set test, 1 photograph, thresholds artery 0.5, vein 0.4"


def test_thresholds_are_by_class_and_exclusive_classes_share_no_pixel() -> None:
    both = sample(ARTERY | VEIN, VEIN)
    shown = both.shown.copy()
    shown[:, :, 0][VEIN] = 200  # less probable than the vein there
    one = run(DrawnClasses(**{**vars(both), "shown": shown}))
    other = run(DrawnClasses(**{**vars(both), "shown": shown}), exclusive=True)
    assert one.classes["artery"].pooled.precision == 40 / 70
    assert other.classes["artery"].pooled.precision == 1.0
    assert one.classes["artery"].pooled.auc == other.classes["artery"].pooled.auc  # of the probability, not the mask
    strict = run(DrawnClasses(**{**vars(both), "shown": shown}), threshold={"artery": 0.9})
    assert strict.classes["artery"].pooled.precision == 1.0
    assert strict.classes["vein"].threshold == 0.4
    with pytest.raises(OptionError, match="threshold names 'disc'"):
        run(both, threshold={"disc": 0.5})


def test_what_is_ignored_does_not_count() -> None:
    ignored = rows((12, 3, 10, 20))
    result = run(sample(ARTERY, rows((12, 3, 0, 20)), ignored=ignored))
    assert result.classes["vein"].pooled.precision == 1.0
    assert sum(result.classes["vein"].background_levels) == 400 - 30 - 30


def test_a_data_set_that_does_not_tell_the_classes_is_refused() -> None:
    with pytest.raises(DataError, match="which pixels are artery and vein is not said"):
        evaluate_model(model(), [drawn(ARTERY, ARTERY)], name="set", split="test")


def test_adding_counts_pools_pixels() -> None:
    counts = [figures.Truth.of(m, m | True).count(m.astype(np.uint8) * np.uint8(255), 128) for m in (ARTERY, VEIN)]
    both = figures.add_counts(counts)
    assert (both.hits, both.alarms, both.cldice) == (70, 0, 1.0)
    assert both.thin == sum(c.thin for c in counts)
    assert both.vessel[255] == 70


def test_table_json_csv_and_records_have_each_class() -> None:
    result = run(sample(ARTERY, VEIN, "eye"), sample(ARTERY, rows((12, 3, 0, 20)), "other"))
    lines = [line.split("  ")[0] for line in result.table().splitlines()]
    assert lines[4] == "colours"
    assert [line for line in lines if line.startswith("colours ")][1:] == ["colours artery", "colours vein"]
    assert [line for line in lines if line.startswith(("eye", "other"))] == [
        "eye artery",
        "eye vein",
        "other artery",
        "other vein",
    ]
    assert result.table().splitlines()[-1].startswith("Best F1 of vein ")
    record = json.loads(result.to_json())
    assert list(record)[-1] == "classes"
    assert list(record["classes"]["vein"]) == list(type(result.classes["vein"]).__dataclass_fields__)
    table = list(csv.DictReader(result.to_csv().splitlines()))
    assert [(row["row"], row["photograph"], row["class"]) for row in table[:4]] == [
        ("image", "eye", "artery"),
        ("image", "eye", "vein"),
        ("image", "other", "artery"),
        ("image", "other", "vein"),
    ]
    assert [row["class"] for row in table if row["row"] == "pooled"] == ["artery", "vein", ""]
    assert list(result.records()) == ["set test", "set test artery", "set test vein"]
    assert result.records()["set test vein"]["threshold"] == 0.4


def test_the_page_has_a_part_and_pictures_of_each_class(tmp_path: Path) -> None:
    report = EvaluationReport(tmp_path)

    def watch(classes: object) -> None:
        for photo in classes:  # type: ignore[attr-defined]
            report.see(photo)

    result = run(sample(ARTERY, VEIN, "eye"), sample(ARTERY, rows((12, 3, 0, 20)), "other"), watch=watch)
    html = report.write(result).read_text("utf-8")
    pictures = sorted(path.name for path in (tmp_path / "overlays").iterdir())
    assert pictures == ["eye.artery.jpg", "eye.vein.jpg", "other.artery.jpg", "other.vein.jpg"]
    assert all(f"overlays/{name}" in html for name in pictures)
    assert "<h1>artery</h1>" in html
    assert "vein, missed" in html
    assert "vein 100.0% and 66.7% (threshold 0.4)" in html
