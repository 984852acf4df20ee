"""Figures of drawn photographs, worked out by hand."""

import numpy as np
import pytest
from drawn_samples import ALL_PAIRS, drawn, identity, rows, run
from hypothesis import given, settings
from hypothesis import strategies as st

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.training.evaluation.evaluate import evaluate_model


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


def test_the_threshold_rule_is_the_runtimes() -> None:
    segmenter = identity()
    levels = np.array([[63, 64, 127, 128, 255]], np.uint8)
    sample = drawn(levels, np.ones((1, 5), bool))
    for threshold, hits in ((0.5, 2), (0.25, 4), (0.0, 5), (1.0, 1), (128 / 255, 2), (127 / 255, 3)):
        assert run(sample, threshold=threshold).pooled.recall == hits / 5
        assert segmenter.segment(sample.read_image()).mask(threshold).sum() == hits


def test_the_models_own_threshold_is_the_default() -> None:
    sample = drawn(np.array([[100, 200]], np.uint8), np.ones((1, 2), bool))
    result = evaluate_model(identity(threshold=0.3), [sample], name="set", split="test")
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
