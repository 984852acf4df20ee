"""The evaluation of files: what is recorded, told, and refused."""

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from drawn_samples import drawn, identity, rows, run
from numpy.typing import NDArray

from vesselrt.runtime.errors import DataError, FieldOfViewError, ImageDecodeError, OptionError
from vesselrt.training.data.finding import list_samples
from vesselrt.training.data.samples import Sample
from vesselrt.training.evaluation.evaluate import EvaluatedPhoto, evaluate_model
from vesselrt.training.evaluation.figures import SegmentationMetrics
from vesselrt.training.evaluation.result import Evaluation

# Through files


@pytest.fixture
def filed(tmp_path: Path) -> Sample:
    """A photograph of two lines, its truth of the first, and a second observer who saw both."""
    paths = {kind: tmp_path / f"{kind}.png" for kind in ("image", "truth", "fov", "second")}
    one, both = rows((5, 1, 0, 20)), rows((5, 1, 0, 20), (9, 1, 0, 20))
    save(paths["image"], np.dstack([both * 200] * 3))
    save(paths["truth"], one * 255)
    save(paths["fov"], np.full((20, 20), 255))
    save(paths["second"], both * 250 + 3)
    return Sample("eye", paths["image"], paths["truth"], paths["fov"], paths["second"])


def save(path: Path, pixels: NDArray[Any]) -> None:
    assert cv2.imwrite(str(path), pixels.astype(np.uint8))


def test_from_files_with_a_second_observer(filed: Sample) -> None:
    alone = drawn(rows(), rows((5, 1, 0, 20)), name="alone")
    result = run(filed, alone)
    assert result.images["eye"].f1 == 2 / 3
    assert result.pooled.f1 == 2 * 20 / (40 + 40)
    assert result.second_observer is not None
    assert result.second_observer.f1 == 2 / 3  # on the one photograph that has a second observer
    assert result.second_observer.auc is None
    assert run(alone).second_observer is None


def test_the_record(filed: Sample) -> None:
    result = run(filed)
    assert (result.model, result.version, result.data, result.split) == ("mirror", "1.0", "set", "test")
    assert result.info.backend == "fake"
    assert result.milliseconds > 0
    record = json.loads(result.to_json())
    assert record["info"]["precision"] == "f32"
    assert record["images"]["eye"]["f1"] == 2 / 3
    assert record["second_observer"]["auc"] is None
    assert list(record) == [name for name in Evaluation.__dataclass_fields__ if name != "classes"]
    assert record["schema"] == 4
    assert record["trained_on"] == []
    assert record["vessel_levels"] == [0] * 200 + [20] + [0] * 55
    assert record["background_levels"] == [360] + [0] * 199 + [20] + [0] * 55
    assert record["reliability"][11] == {"pixels": 40, "probability": 200 / 255, "vessel": 0.5}
    assert record["reliability"][14] == {"pixels": 0, "probability": None, "vessel": None}


def test_the_table(filed: Sample) -> None:
    result = replace(run(filed, drawn(rows(), rows(), name="without vessels")), milliseconds=41.7)
    assert result.table().splitlines() == [
        "mirror 1.0 on set test, 2 photographs, threshold 0.5",
        f"{result.info}, median 42 ms",
        "",
        "                     F1    Dice     IoU precis.  recall specif.  accur.     AUC  clDice    thin     ECE",
        "mirror           0.6667  0.8333  0.5000  0.5000  1.0000  0.9744  0.9750  0.9872  0.8333  1.0000  0.0142",
        "  95 % from      0.6667  0.6667  0.5000  0.5000  1.0000  0.9474  0.9500  0.9737  0.6667  1.0000  0.0000",
        "  95 % to        1.0000  1.0000  1.0000  1.0000  1.0000  1.0000  1.0000  0.9872  1.0000  1.0000  0.0284",
        "second observer  0.6667  0.6667  0.5000  0.5000  1.0000  0.9474  0.9500       -  0.6667  1.0000       -",
        "",
        "eye              0.6667  0.6667  0.5000  0.5000  1.0000  0.9474  0.9500  0.9737  0.6667  1.0000  0.0284",
        "without vessels  1.0000  1.0000  1.0000  1.0000  1.0000  1.0000  1.0000       -  1.0000       -  0.0000",
        "",
        "Best F1 0.6667, at threshold 0.500 (a diagnostic: chosen on these pixels)",
    ]


def test_each_photograph_is_seen_when_it_is_done(filed: Sample) -> None:
    seen: list[EvaluatedPhoto] = []
    sample = drawn(np.array([[127, 128, 255]], np.uint8), np.ones((1, 3), bool), name="levels")
    evaluate_model(identity(), [filed, sample], name="s", split="test", watch=seen.extend)
    assert [s.name for s in seen] == ["eye", "levels"]
    assert seen[1].painted.tolist() == [[False, True, True]]
    assert np.array_equal(seen[0].image[:, :, 1] > 0, rows((5, 1, 0, 20), (9, 1, 0, 20)))
    assert np.array_equal(seen[0].truth.vessel, rows((5, 1, 0, 20)))


def test_a_single_photograph_has_no_interval_and_says_so(filed: Sample) -> None:
    result = run(filed)
    assert result.interval is result.second_observer_interval is None
    assert "One photograph: how the figures vary is unknown, so they have no interval." in result.table()
    assert "95 %" not in result.table()
    assert [line.split(",")[0] for line in result.to_csv().splitlines()] == [
        "row",
        "image",
        "pooled",
        "second_observer",
    ]
    assert json.loads(result.to_json())["interval"] is None


def test_the_csv_has_a_row_for_each_photograph_and_then_all_of_them(filed: Sample) -> None:
    result = run(filed, replace(filed, name='=1+1, "so"'), drawn(rows(), rows(), name="none"))
    header, *found = csv.reader(io.StringIO(result.to_csv()))
    assert header == ["row", "photograph", *(field.name for field in fields(SegmentationMetrics))]
    assert [row[:2] for row in found] == [
        *(["image", name] for name in ("eye", '\'=1+1, "so"', "none")),
        *([row, ""] for row in ("pooled", "pooled_low", "pooled_high")),
        *([row, ""] for row in ("second_observer", "second_observer_low", "second_observer_high")),
    ]
    by_name = {row[1] or row[0]: dict(zip(header, row, strict=True)) for row in found}
    assert float(by_name["pooled"]["f1"]) == result.pooled.f1  # unrounded
    assert (by_name["none"]["f1"], by_name["none"]["thin_recall"], by_name["none"]["auc"]) == ("1.0", "", "")
    assert by_name["second_observer"]["auc"] == by_name["second_observer"]["ece"] == ""


@pytest.mark.parametrize("kind", ["image", "fov", "second"])
def test_sizes_that_disagree_are_named(filed: Sample, kind: str) -> None:
    path = filed.truth.with_name(f"{kind}.png")
    save(path, np.full((20, 30, 3), 0 if kind == "second" else 255))
    with pytest.raises(DataError, match=rf"{kind}\.png: 30 × 20 pixels, but its truth .*truth\.png has 20 × 20"):
        run(filed)


def test_files_that_cannot_be_used_are_named(filed: Sample) -> None:
    save(filed.truth.with_name("fov.png"), np.zeros((20, 20)))
    with pytest.raises(DataError, match=r"fov\.png: the mask is empty"):
        run(filed)
    save(filed.image, np.zeros((20, 20, 3)))
    with pytest.raises(FieldOfViewError, match=r"image\.png: the photograph is black"):
        evaluate_model(identity(diameter=64), [replace(filed, field_of_view=None)], name="s", split="test")
    filed.image.write_bytes(b"no image")
    with pytest.raises(ImageDecodeError, match=r"image\.png"):
        run(replace(filed, field_of_view=None))


def test_a_packed_photograph(filed: Sample) -> None:
    image = filed.image.with_suffix(".png.gz")
    save(filed.image, np.dstack([rows((5, 1, 0, 20)) * 200] * 3))
    image.write_bytes(gzip.compress(filed.image.read_bytes()))
    assert run(replace(filed, image=image)).pooled.f1 == 1


@pytest.mark.parametrize("threshold", [1.5, -0.1, float("nan")])
def test_a_threshold_out_of_range(threshold: float) -> None:
    mask = rows((5, 1, 0, 20))
    with pytest.raises(OptionError, match="threshold"):
        run(drawn(mask, mask), threshold=threshold)


@pytest.mark.parametrize(("names", "message"), [("", "no photographs"), ("aa", "share a name")])
def test_samples_that_make_no_evaluation(names: Sequence[str], message: str) -> None:
    mask = rows((5, 1, 0, 20))
    with pytest.raises(DataError, match=f"set test: .*{message}"):
        run(*(drawn(mask, mask, name=name) for name in names))


def test_evaluation_needs_no_torch() -> None:
    code = "import sys, vesselrt.training.evaluation.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.data
def test_second_observer_of_chase_db1_as_measured_by_others(data_root: Path) -> None:
    """The figures in the data folder's README, which other code computed."""

    def observer(samples: list[Sample]) -> SegmentationMetrics:
        second = evaluate_model(identity(), samples, name="chase_db1", split="test").second_observer
        assert second is not None
        return second

    root = data_root / "CHASE_DB1"
    test = list_samples("chase_db1", root, "test")
    m = observer(test)
    assert (m.f1, m.recall, m.specificity) == pytest.approx((0.797, 0.832, 0.974), abs=5e-4)
    m = observer([*list_samples("chase_db1", root, "train"), *list_samples("chase_db1", root, "validation"), *test])
    assert (m.thin_recall, m.cldice) == pytest.approx((0.573, 0.835), abs=5e-4)
