"""Figures of small masks, worked out by hand; the runtime runs them with a network that returns its input."""

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.errors import DataError, FieldOfViewError, ImageDecodeError, OptionError
from vesselrt.runtime.manifest import Input, Manifest, Preparation, Tile
from vesselrt.runtime.photo.photograph import Photograph
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.training.data.finding import find
from vesselrt.training.data.samples import LIMITS, Sample
from vesselrt.training.evaluation.evaluate import Evaluation, Seen, evaluate
from vesselrt.training.evaluation.figures import Metrics

ALL_PAIRS = st.integers(1, 12).flatmap(
    lambda side: st.tuples(
        arrays(np.uint8, (side, 7), elements=st.sampled_from([0, 3, 127, 128, 255])), arrays(bool, (side, 7))
    )
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn(Sample):
    """A sample without files. Its photograph is the probability map that the model below gives back."""

    probability: Image
    vessel: Mask
    inside: Mask | None = None

    def photograph(self) -> Photograph:
        return Photograph(np.dstack([self.probability] * 3), LIMITS)

    def read_truth(self) -> Mask:
        return self.vessel

    def read_field_of_view(self, shape: tuple[int, ...]) -> Mask:
        return np.ones(shape, bool) if self.inside is None else self.inside


def drawn(found: NDArray[Any], vessel: NDArray[Any], inside: Mask | None = None, name: str = "a") -> Drawn:
    """`found` is a mask or a probability map."""
    probability = (found * np.uint8(255)) if found.dtype == bool else found
    return Drawn(
        name=name,
        image=Path(f"{name}.drawn"),
        truth=Path(f"{name}.truth"),
        probability=probability,
        vessel=vessel,
        inside=inside,
    )


def rows(*bars: tuple[int, int, int, int], shape: tuple[int, int] = (20, 20)) -> Mask:
    """Horizontal bars, each (first row, width, first column, end column)."""
    mask = np.zeros(shape, bool)
    for top, width, left, right in bars:
        mask[top : top + width, left:right] = True
    return mask


@pytest.fixture
def segmenter() -> Segmenter:
    return identity()


def identity(threshold: float = 0.5, diameter: int | None = None) -> Segmenter:
    """Its probability is the photograph's green channel."""
    manifest = Manifest(
        name="mirror",
        version="1.0",
        licence="CC0-1.0",
        description="gives back what it sees",
        preparation=Preparation(channels="green", field_of_view=diameter),
        input=Input(mean=(0.0,), std=(1.0,)),
        tile=Tile(size=1024, multiple=1, margin=0),
        threshold=threshold,
    )
    return Segmenter(manifest, FakeBackend())


def run(*samples: Sample, threshold: float | None = None) -> Evaluation:
    return evaluate(identity(), samples, name="set", split="test", threshold=threshold)


def test_counts_by_hand() -> None:
    vessel = rows((1, 1, 0, 6), shape=(4, 6))
    found = rows((1, 1, 0, 4), (3, 1, 0, 2), shape=(4, 6))
    m = run(drawn(found, vessel)).pooled  # TP 4, FN 2, FP 2, TN 16
    assert m.f1 == m.mean_dice == 8 / 12
    assert m.iou == 4 / 8
    assert m.precision == m.recall == 4 / 6
    assert m.specificity == 16 / 18
    assert m.accuracy == 20 / 24
    assert m.auc == pytest.approx((4 / 6 + 16 / 18) / 2)  # of a mask: the mean of recall and specificity


def test_only_the_field_of_view_counts() -> None:
    vessel, found = rows((0, 1, 0, 6), shape=(4, 6)), rows((3, 1, 0, 6), shape=(4, 6))
    vessel[1], found[1] = True, True
    inside = rows((1, 2, 0, 3), shape=(4, 6))
    m = run(drawn(found, vessel, inside)).pooled
    assert (m.f1, m.specificity, m.accuracy, m.auc, m.cldice) == (1, 1, 1, 1, 1)


def test_pixels_are_pooled_and_a_mean_is_a_mean() -> None:
    big, small = np.ones((4, 5), bool), np.ones((1, 2), bool)
    half = small.copy()
    half[0, 1] = False
    result = run(drawn(big, big, name="big"), drawn(half, small, name="small"))
    assert result.pooled.f1 == 2 * 21 / (21 + 22)
    assert result.pooled.mean_dice == (1 + 2 / 3) / 2
    assert {name: m.f1 for name, m in result.images.items()} == {"big": 1, "small": 2 / 3}


@given(st.lists(ALL_PAIRS, min_size=1, max_size=3), st.sampled_from([0.0, 0.01, 0.5, 1.0]))
@settings(max_examples=60, deadline=None)
def test_pooled_is_the_same_as_concatenated(pairs: list[tuple[Image, Mask]], threshold: float) -> None:
    pooled = run(*(drawn(p, v, name=str(i)) for i, (p, v) in enumerate(pairs)), threshold=threshold).pooled
    found = np.concatenate([p.ravel() for p, _ in pairs]) >= threshold * 255
    vessel = np.concatenate([v.ravel() for _, v in pairs])
    both = int(found.sum() + vessel.sum())
    assert pooled.f1 == (2 * int((found & vessel).sum()) / both if both else 1)
    assert pooled.accuracy == (found == vessel).mean()


@given(st.lists(ALL_PAIRS, min_size=1, max_size=2))
@settings(max_examples=60, deadline=None)
def test_auc_is_the_share_of_ordered_pairs(pairs: list[tuple[Image, Mask]]) -> None:
    pooled = run(*(drawn(p, v, name=str(i)) for i, (p, v) in enumerate(pairs))).pooled
    vessel = np.concatenate([p[v] for p, v in pairs]).astype(int)[:, None]
    background = np.concatenate([p[~v] for p, v in pairs]).astype(int)
    if vessel.size and background.size:
        assert pooled.auc == pytest.approx(((vessel > background) + 0.5 * (vessel == background)).mean(), abs=1e-12)
    else:
        assert pooled.auc is None


def test_the_threshold_rule_is_the_runtimes(segmenter: Segmenter) -> None:
    levels = np.array([[63, 64, 127, 128, 255]], np.uint8)
    sample = drawn(levels, np.ones((1, 5), bool))
    for threshold, hits in ((0.5, 2), (0.25, 4), (0.0, 5), (1.0, 1), (128 / 255, 2), (127 / 255, 3)):
        assert run(sample, threshold=threshold).pooled.recall == hits / 5
        assert segmenter.segment(sample.read_image()).mask(threshold).sum() == hits


def test_the_models_own_threshold_is_the_default() -> None:
    sample = drawn(np.array([[100, 200]], np.uint8), np.ones((1, 2), bool))
    result = evaluate(identity(threshold=0.3), [sample], name="set", split="test")
    assert (result.threshold, result.pooled.recall) == (0.3, 1)
    assert run(sample).pooled.recall == 0.5


def test_best_threshold() -> None:
    probability, vessel = np.array([[10, 60, 90, 200]], np.uint8), np.array([[False, True, False, True]])
    result = run(drawn(probability, vessel))
    assert result.pooled.f1 == 2 / 3
    # Levels 11 to 60 paint three pixels and hit both vessels: F1 4/5. Nearest to 0.5: level 60.
    assert result.best_f1 == 4 / 5
    assert result.best_threshold == pytest.approx(59.5 / 255)
    assert run(drawn(probability, vessel), threshold=result.best_threshold).pooled.f1 == result.best_f1


def test_best_threshold_stays_where_nothing_is_gained() -> None:
    mask = rows((1, 1, 0, 6), shape=(4, 6))
    assert run(drawn(mask, mask), threshold=0.5).best_threshold == pytest.approx(0.5, abs=0.5 / 255)


def test_cldice_of_identical_masks_is_one() -> None:
    mask = rows((2, 1, 1, 18), (6, 3, 1, 18), (12, 6, 3, 15))
    assert run(drawn(mask, mask)).pooled.cldice == 1


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (2, 12, 1.0),
        (5, 15, 0.7),  # 7 of its 10 lie in the truth, which has 7 of its 10 found
        (5, 10, 2 * 1 * 0.5 / 1.5),  # all of it is right, half of the truth is found
        (0, 20, 2 * 0.5 * 1 / 1.5),
        (12, 20, 0.0),
    ],
)
def test_cldice_of_a_line_moved_along_itself(left: int, right: int, expected: float) -> None:
    assert run(drawn(rows((5, 1, left, right)), rows((5, 1, 2, 12)))).pooled.cldice == pytest.approx(expected)


@pytest.mark.parametrize(("shift", "cldice", "f1"), [(0, 1, 1), (1, 1, 2 / 3), (2, 0, 1 / 3), (3, 0, 0)])
def test_cldice_of_a_line_moved_aside(shift: int, cldice: float, f1: float) -> None:
    middle = rows((0, 20, 5, 13))  # without the ends of the lines, where a skeleton is a matter of taste
    m = run(drawn(rows((5 + shift, 3, 1, 19)), rows((5, 3, 1, 19)), middle)).pooled
    assert m.cldice == cldice
    assert m.f1 == pytest.approx(f1)


def test_cldice_is_a_mean_over_photographs() -> None:
    whole, half = rows((5, 1, 2, 12)), rows((5, 1, 2, 7))
    result = run(drawn(whole, whole, name="a"), drawn(half, whole, name="b"))
    assert result.pooled.cldice == pytest.approx((1 + 2 / 3) / 2)


def test_thin_recall_of_drawn_lines() -> None:
    one, two, three, five = (1, 1, 0, 24), (4, 2, 0, 24), (8, 3, 0, 24), (14, 5, 0, 24)
    inside = rows((0, 20, 6, 18), shape=(20, 24))  # 12 columns, without the ends of the lines
    vessel = rows(one, two, three, five, shape=(20, 24))

    def thin_recall(*found: tuple[int, int, int, int], of: Mask = vessel) -> float | None:
        return run(drawn(rows(*found, shape=(20, 24)), of, inside)).pooled.thin_recall

    assert thin_recall(one, two) == 1  # lines of 3 and 5 px are not thin
    assert thin_recall(three, five) == 0
    assert thin_recall(two) == thin_recall(one) == 12 / 24
    assert thin_recall((1, 1, 0, 9), two) == (3 + 12) / 24
    assert thin_recall(five, of=rows(five, shape=(20, 24))) is None


def test_thin_recall_is_pooled() -> None:
    line, none = rows((5, 1, 0, 20)), rows()
    short = rows((5, 1, 0, 10))
    result = run(drawn(none, line, name="a"), drawn(short, short, name="b"), drawn(none, none, name="c"))
    assert result.pooled.thin_recall == 10 / 30


def test_the_field_of_view_makes_no_vessel_thin() -> None:
    vessel = rows((5, 7, 0, 20))
    cut = rows((8, 2, 5, 15))  # only two rows of the vessel are in sight, the centreline among them
    assert run(drawn(vessel, vessel, cut)).pooled.thin_recall is None


@pytest.mark.parametrize(
    ("found", "vessel", "expected"),
    [
        (False, False, {"f1": 1, "iou": 1, "precision": 1, "recall": 1, "specificity": 1, "cldice": 1, "auc": None}),
        (False, True, {"f1": 0, "iou": 0, "precision": 1, "recall": 0, "specificity": 1, "cldice": 0, "auc": None}),
        (True, False, {"f1": 0, "iou": 0, "precision": 0, "recall": 1, "specificity": 0, "cldice": 0, "auc": None}),
        (True, True, {"f1": 1, "iou": 1, "precision": 1, "recall": 1, "specificity": 1, "cldice": 1, "auc": None}),
    ],
)
def test_degenerate_cases(found: bool, vessel: bool, expected: dict[str, float | None]) -> None:
    m = run(drawn(np.full((9, 9), found), np.full((9, 9), vessel))).pooled
    assert {name: getattr(m, name) for name in expected} == expected


def test_nothing_found_on_a_photograph_with_vessels() -> None:
    m = run(drawn(rows(), rows((5, 1, 0, 10)))).pooled
    assert (m.f1, m.precision, m.recall, m.cldice, m.thin_recall, m.auc) == (0, 1, 0, 0, 0, 0.5)


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
    assert list(record) == list(Evaluation.__dataclass_fields__)
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
    seen: list[Seen] = []
    sample = drawn(np.array([[127, 128, 255]], np.uint8), np.ones((1, 3), bool), name="levels")
    evaluate(identity(), [filed, sample], name="s", split="test", watch=seen.append)
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
    assert header == ["row", "photograph", *(field.name for field in fields(Metrics))]
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
        evaluate(identity(diameter=64), [replace(filed, field_of_view=None)], name="s", split="test")
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

    def observer(samples: list[Sample]) -> Metrics:
        second = evaluate(identity(), samples, name="chase_db1", split="test").second_observer
        assert second is not None
        return second

    root = data_root / "CHASE_DB1"
    test = find("chase_db1", root, "test")
    m = observer(test)
    assert (m.f1, m.recall, m.specificity) == pytest.approx((0.797, 0.832, 0.974), abs=5e-4)
    m = observer([*find("chase_db1", root, "train"), *find("chase_db1", root, "validation"), *test])
    assert (m.thin_recall, m.cldice) == pytest.approx((0.573, 0.835), abs=5e-4)
