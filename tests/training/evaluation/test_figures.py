"""Figures of counts, worked out by hand: calibration, intervals, and one formula for many weightings."""

import math
from dataclasses import asdict

import numpy as np
import pytest

from vesselrt.training.evaluation import figures
from vesselrt.training.evaluation.figures import Bin, Counts, SegmentationMetrics, Truth

HALF = 128


def counts(
    vessel: dict[int, int],
    background: dict[int, int],
    *,
    thin: tuple[int, int] = (0, 0),
    cldice: float = 1.0,
    level: int = HALF,
) -> Counts:
    """Pixels at some levels, painted from `level` on; `thin`: all and found."""
    levels = np.zeros((2, 256), np.int64)
    for row, given in zip(levels, (vessel, background), strict=True):
        row[list(given)] = list(given.values())
    hits, alarms = (int(row[level:].sum()) for row in levels)
    return Counts(levels[0], levels[1], hits, alarms, *thin, cldice)


RIGHT = counts({255: 10}, {0: 90}, thin=(4, 4))
"""Every pixel right: all figures 1, calibration error 0."""
WRONG = counts({0: 10}, {255: 90}, thin=(6, 0), cldice=0.0)
"""Every pixel wrong."""


# Calibration


def test_calibration_error_by_hand() -> None:
    # Bin 0 holds levels 0 to 16, bin 7 levels 119 to 135, bin 14 levels 238 to 255.
    photograph = counts({135: 3, 255: 4, 238: 1}, {0: 10, 17: 5, 119: 1, 254: 1})
    gaps = [
        0,  # bin 0: 10 pixels at 0, none of them vessel
        5 * 17 / 255,  # bin 1
        abs((3 * 135 + 119) / 255 - 3),  # bin 7
        abs((4 * 255 + 238 + 254) / 255 - 5),  # bin 14
    ]
    assert figures.pooled_metrics([photograph]).ece == pytest.approx(sum(gaps) / 25, abs=1e-15)


def test_calibration_error_at_its_ends() -> None:
    assert figures.pooled_metrics([RIGHT]).ece == 0
    assert figures.pooled_metrics([WRONG]).ece == 1
    honest = counts({51: 2, 204: 8}, {51: 8, 204: 2})  # 20 % and 80 %
    assert figures.pooled_metrics([honest]).ece == pytest.approx(0, abs=1e-15)


def test_calibration_error_is_of_pooled_pixels() -> None:
    """Two errors in opposite directions are none when the pixels are pooled."""
    over, under = counts({102: 3}, {102: 7}), counts({102: 5}, {102: 5})  # 40 %: of ten, 3 and 5 are vessel
    assert [m.ece for m in figures.metrics_by_photograph([over, under])] == pytest.approx([0.1, 0.1])
    assert figures.pooled_metrics([over, under]).ece == pytest.approx(0, abs=1e-15)


def test_reliability_has_every_level_in_its_bin() -> None:
    bins = figures.reliability_bins(np.arange(256), np.full(256, 2))
    assert [b.pixels for b in bins] == [
        sum(range(17 * i, 17 * i + n)) + 2 * n for i in range(15) for n in [17 + (i == 14)]
    ]
    for i, found in enumerate(bins):
        assert found.probability is not None
        assert i / 15 <= found.probability <= (i + 1) / 15


def test_an_empty_bin_has_no_place_on_the_curve() -> None:
    bins = figures.reliability_bins(*figures.pool_counts([RIGHT]))
    assert (bins[0], bins[14]) == (Bin(90, 0.0, 0.0), Bin(10, 1.0, 1.0))
    assert set(bins[1:14]) == {Bin(0, None, None)}


# Intervals


def test_photographs_that_are_alike_leave_nothing_to_chance() -> None:
    photograph = counts({50: 3, 200: 5}, {0: 40, 130: 2}, thin=(4, 1), cldice=0.7)
    interval = figures.bootstrap_interval([photograph] * 5)
    assert interval is not None
    expected = pytest.approx(asdict(figures.pooled_metrics([photograph])), abs=1e-12)
    assert asdict(interval.low) == asdict(interval.high) == expected


def test_of_two_photographs_every_draw_is_known() -> None:
    """Both are the first or both the second with a chance of one in four each: far more than 2.5 %."""
    interval = figures.bootstrap_interval([RIGHT, WRONG])
    assert interval is not None
    assert (set(asdict(interval.low).values()), set(asdict(interval.high).values())) == ({0}, {1})


def test_a_mean_of_many_has_the_width_of_the_normal_approximation() -> None:
    photographs = [RIGHT] * 60 + [WRONG] * 40
    interval = figures.bootstrap_interval(photographs)
    assert interval is not None
    spread = 1.96 * math.sqrt(0.6 * 0.4 / 100)
    assert (interval.low.mean_dice, interval.high.mean_dice) == pytest.approx((0.6 - spread, 0.6 + spread), abs=0.011)
    assert (interval.low.cldice, interval.high.cldice) == (interval.low.mean_dice, interval.high.mean_dice)


def test_the_draws_are_the_same_every_time() -> None:
    photographs = [counts({200: n, 9: 3}, {0: 50, 180: n % 4}, cldice=n / 10) for n in range(1, 8)]
    first = figures.bootstrap_interval(photographs)
    assert first is not None
    assert first == figures.bootstrap_interval(photographs)
    for name, value in asdict(figures.pooled_metrics(photographs)).items():
        if value is not None:
            assert getattr(first.low, name) <= value <= getattr(first.high, name)


def test_one_photograph_has_no_interval() -> None:
    assert figures.bootstrap_interval([RIGHT]) is None
    assert figures.bootstrap_interval([]) is None


def test_a_figure_that_some_draws_lack_is_taken_of_the_others() -> None:
    without = counts({}, {0: 50})
    interval = figures.bootstrap_interval([RIGHT, without])
    assert interval is not None
    assert (interval.low.thin_recall, interval.high.thin_recall) == (1, 1)
    assert (interval.low.auc, interval.high.auc) == (1, 1)
    none = figures.bootstrap_interval([without, without])
    assert none is not None
    assert none.low.thin_recall is none.high.auc is None


# One formula


def test_each_is_what_it_is_alone() -> None:
    photographs = [counts({200: n, 9: 3}, {0: 50, 180: n % 4}, thin=(n, 1), cldice=n / 10) for n in range(1, 8)]
    assert figures.metrics_by_photograph(photographs) == [figures.pooled_metrics([p]) for p in photographs]


def test_pooling_counts_each_photograph_once() -> None:
    assert figures.pooled_metrics([RIGHT, WRONG]) == SegmentationMetrics(
        f1=2 * 10 / (10 + 10 + 90 + 10),
        mean_dice=0.5,
        iou=10 / 110,
        precision=0.1,
        recall=0.5,
        specificity=0.5,
        accuracy=0.5,
        auc=0.5,
        cldice=0.5,
        thin_recall=0.4,
        ece=0.5,  # 100 pixels at each end, 10 of them vessel: 10 wrong at 0, 90 at 1
    )


def test_a_mask_has_neither_ranking_nor_calibration() -> None:
    mask = counts({1: 10}, {0: 90}, level=1)
    found = figures.pooled_metrics([mask], ranked=False)
    assert (found.f1, found.auc, found.ece) == (1, None, None)
    interval = figures.bootstrap_interval([mask, mask], ranked=False)
    assert interval is not None
    assert (interval.high.f1, interval.high.auc, interval.high.ece) == (1, None, None)


def test_reaching_counts_every_level_and_above() -> None:
    levels = np.zeros(256, np.int64)
    levels[[0, 3, 255]] = 5, 2, 1
    found = figures.count_reaching(levels)
    assert found.shape == (257,)
    assert found[[0, 1, 3, 4, 255, 256]].tolist() == [8, 3, 3, 1, 1, 0]


def test_a_truth_without_vessels_has_nothing_thin() -> None:
    truth = Truth.of(np.zeros((6, 6), bool), np.ones((6, 6), bool))
    found = truth.count(np.zeros((6, 6), np.uint8), HALF)
    assert (found.vessel.sum(), found.background.sum(), found.thin, found.thin_found, found.cldice) == (0, 36, 0, 0, 1)
