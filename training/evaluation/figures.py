"""Figures of segmentation: pixels are counted photograph by photograph, and shares are made of the counts.

Rules that hold for every figure:

- Only pixels inside the field of view count, at the photograph's own resolution.
- Pixels are pooled over the photographs. Only `mean_dice` and `cldice` are means over photographs.
- A share of nothing, 0/0, is 1: what is not there can't be missed, and what is not painted can't be wrong.
  So nothing painted on a photograph without vessels scores 1, and on one with vessels F1 0 at precision 1.
- A centreline is the skeleton of a whole mask, made before the field of view cuts it: the cut makes no vessel
  thinner or shorter.

Each figure is written once, for many weightings of the photographs at a time: every photograph once gives the pooled
figures, one photograph alone gives its own, and random draws give the intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from vesselrt.runtime.arrays import Image, Mask

THIN = 3.0
"""Pixels: a vessel narrower than this is thin."""
CONFIDENCE = 0.95
RESAMPLES = 2000
SEED = 20260101
"""Of the draws for the intervals: the same counts give the same intervals."""
BINS = 15
"""Of equal width, as in Guo et al. 2017. 255 / 15 is whole: each bin holds 17 levels, the last one 255 too."""

Levels = NDArray[np.int64]
"""(256,) number of pixels at each level of the 8-bit probability."""
Shares = NDArray[np.float64]


@dataclass(frozen=True)
class SegmentationMetrics:
    """Figures of one photograph or of many, each from 0 to 1. TP, FP, FN, TN are pixels; vessel is positive."""

    f1: float
    """2 TP / (2 TP + FP + FN). Of pooled pixels it is the pooled Dice too."""
    mean_dice: float
    """Mean over the photographs of each one's F1."""
    iou: float
    """TP / (TP + FP + FN), the Jaccard index."""
    precision: float
    """TP / (TP + FP)."""
    recall: float
    """TP / (TP + FN), also called sensitivity."""
    specificity: float
    """TN / (TN + FP)."""
    accuracy: float
    """(TP + TN) / (TP + FP + FN + TN)."""
    auc: float | None
    """Area under the ROC curve: how often a vessel pixel is more probable than a background pixel, ties counted half
    (Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747). Exact on the 256 levels of the probability.
    None for a human's mask, which has no ranking, and where all pixels are of one kind."""
    cldice: float
    """Centreline Dice (Shit et al. 2021, arXiv:2003.07311), mean over the photographs: harmonic mean of the share of
    the found centreline that lies in true vessels and the share of the true centreline that lies in found vessels."""
    thin_recall: float | None
    """Share of the true centreline that lies in found vessels, where the true vessel is thin: twice the Euclidean
    distance from the centreline to the nearest background pixel is below 3 pixels. None where no vessel is thin."""
    ece: float | None
    """Expected calibration error (Guo et al. 2017, arXiv:1706.04599) of the probability of vessel: |mean probability -
    share of vessel| of the pixels in each of 15 bins, averaged over the pixels. 0 is best. None for a human's mask."""


@dataclass(frozen=True)
class Interval:
    """Percentile bootstrap (Efron 1979) of each figure, 95 %: of sets as large, drawn with replacement from the
    photographs. It tells how much the choice of photographs matters. Two eyes of one person count as two photographs,
    so that where they are alike it is too narrow.
    """

    low: SegmentationMetrics
    high: SegmentationMetrics


@dataclass(frozen=True)
class Bin:
    """Pixels of similar probability, for the reliability curve."""

    pixels: int
    probability: float | None
    """Their mean. None for an empty bin."""
    vessel: float | None
    """Share of them that is vessel. None for an empty bin."""


@dataclass(frozen=True, eq=False)
class Counts:
    """All that is kept of a photograph."""

    vessel: Levels
    background: Levels
    hits: int
    """Vessel pixels that are painted."""
    alarms: int
    """Background pixels that are painted."""
    thin: int
    thin_found: int
    cldice: float


@dataclass(frozen=True, eq=False)
class Truth:
    """An annotation, and what is derived from it once: each mask (H, W) bool."""

    vessel: Mask
    inside: Mask
    """The field of view."""
    centreline: Mask
    """Of `vessel`, inside the field of view."""
    thin: Mask
    """The part of `centreline` where the vessel is narrower than THIN."""

    @classmethod
    def of(cls, vessel: Mask, inside: Mask) -> "Truth":
        centreline = _skeleton(vessel) & inside
        radius = cv2.distanceTransform(vessel.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return cls(vessel, inside, centreline, centreline & (2 * radius < THIN))

    def count(self, probability: Image, level: int) -> Counts:
        """Holds a map (H, W) uint8, in which vessel is what reaches `level`, to this truth."""
        return self.count_mask(probability, probability >= level)

    def count_mask(self, probability: Image, painted: Mask) -> Counts:
        """Holds a map (H, W) uint8, and the mask (H, W) that came of it, to this truth."""
        centreline = _skeleton(painted) & self.inside
        precision = _ratio((centreline & self.vessel).sum(), centreline.sum())
        sensitivity = _ratio((self.centreline & painted).sum(), self.centreline.sum())
        both = precision + sensitivity
        return Counts(
            vessel=np.bincount(probability[self.inside & self.vessel], minlength=256),
            background=np.bincount(probability[self.inside & ~self.vessel], minlength=256),
            hits=int((self.inside & self.vessel & painted).sum()),
            alarms=int((self.inside & ~self.vessel & painted).sum()),
            thin=int(self.thin.sum()),
            thin_found=int((self.thin & painted).sum()),
            cldice=float(2 * precision * sensitivity / both) if both else 0.0,
        )


def add_counts(classes: Sequence[Counts]) -> Counts:
    """Several classes of one photograph together: their pixels are pooled, and clDice is the mean of theirs."""
    return Counts(
        vessel=np.sum([c.vessel for c in classes], axis=0),
        background=np.sum([c.background for c in classes], axis=0),
        hits=sum(c.hits for c in classes),
        alarms=sum(c.alarms for c in classes),
        thin=sum(c.thin for c in classes),
        thin_found=sum(c.thin_found for c in classes),
        cldice=float(np.mean([c.cldice for c in classes])),
    )


def pooled_metrics(photographs: Sequence[Counts], *, ranked: bool = True) -> SegmentationMetrics:
    """Figures of the photographs together; `ranked` False: of human masks."""
    return _metrics_from_columns(_metric_columns(photographs, np.ones((1, len(photographs)), np.int64), ranked=ranked))[
        0
    ]


def metrics_by_photograph(photographs: Sequence[Counts]) -> list[SegmentationMetrics]:
    """Figures of every photograph alone."""
    return _metrics_from_columns(_metric_columns(photographs, np.eye(len(photographs), dtype=np.int64)))


def bootstrap_interval(photographs: Sequence[Counts], *, ranked: bool = True) -> Interval | None:
    """Where the pooled figures lie with other photographs of the kind; None for a single photograph: its spread is
    unknown. A figure that some draws do not have (no vessel in them is thin) is taken of the others.
    """
    count = len(photographs)
    if count < 2:
        return None
    draws = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    drawn = _metric_columns(photographs, draws, ranked=ranked)
    tail = (1 - CONFIDENCE) / 2
    known = {name: values[~np.isnan(values)] for name, values in drawn.items()}
    ends = {name: np.quantile(v, (tail, 1 - tail)) if v.size else np.full(2, np.nan) for name, v in known.items()}
    return Interval(*_metrics_from_columns(ends))


def pool_counts(photographs: Sequence[Counts]) -> tuple[Levels, Levels]:
    """Vessel and background pixels of all photographs at each level."""
    return np.sum([p.vessel for p in photographs], axis=0), np.sum([p.background for p in photographs], axis=0)


def count_reaching(levels: Levels) -> Levels:
    """(..., 257) number of pixels that reach each level: all of them level 0, none level 256."""
    none = np.zeros_like(levels[..., :1])
    return np.concatenate([levels[..., ::-1].cumsum(-1)[..., ::-1], none], -1)


def f1_by_level(vessel: Levels, background: Levels) -> Shares:
    """(256,) F1 where each level is the lowest that counts as vessel."""
    hits = count_reaching(vessel)[:256]
    painted = hits + count_reaching(background)[:256]
    return _ratio(2 * hits, painted + vessel.sum())


def best_f1(vessel: Levels, background: Levels, threshold: float) -> tuple[float, float]:
    """The highest F1 over all thresholds, and its threshold, halfway between levels: of several, that nearest to
    `threshold`.
    """
    f1 = f1_by_level(vessel, background)
    thresholds = np.maximum(np.arange(256) - 0.5, 0)[f1 == f1.max()] / 255
    return float(f1.max()), float(thresholds[np.argmin(abs(thresholds - threshold))])


def reliability_bins(vessel: Levels, background: Levels) -> list[Bin]:
    """How often what the model calls 70 % is vessel: by bin, from improbable to probable."""
    pixels, probability, observed = _bin_sums(vessel, background)
    return [
        Bin(int(n), float(p / n), float(v / n)) if n else Bin(0, None, None)
        for n, p, v in zip(pixels, probability, observed, strict=True)
    ]


def _metric_columns(
    photographs: Sequence[Counts], weights: NDArray[np.int64], *, ranked: bool = True
) -> dict[str, Shares]:
    """Each figure (R,) of R weightings (R, N) of the N photographs: how often each is counted. NaN: undefined."""
    vessels = np.array([p.vessel for p in photographs])  # (N, 256)
    backgrounds = np.array([p.background for p in photographs])
    vessel, background = weights @ vessels, weights @ backgrounds  # (R, 256)
    hits, alarms = (np.array([getattr(p, name) for p in photographs]) for name in ("hits", "alarms"))  # (N,)
    tp, fp = weights @ hits, weights @ alarms  # (R,)
    fn, tn = vessel.sum(1) - tp, background.sum(1) - fp
    thin = weights @ np.array([p.thin for p in photographs])
    thin_found = weights @ np.array([p.thin_found for p in photographs])
    dice = _ratio(2 * hits, hits + alarms + vessels.sum(1))  # (N,)
    counted, undefined = weights.sum(1), np.full(len(weights), np.nan)
    return {
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "mean_dice": (weights * dice).sum(1) / counted,
        "iou": _ratio(tp, tp + fp + fn),
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "specificity": _ratio(tn, tn + fp),
        "accuracy": _ratio(tp + tn, tp + fp + fn + tn),
        "auc": _area_under_roc(vessel, background) if ranked else undefined,
        "cldice": (weights * np.array([p.cldice for p in photographs])).sum(1) / counted,
        "thin_recall": np.where(thin > 0, _ratio(thin_found, thin), np.nan),
        "ece": _calibration_error(vessel, background) if ranked else undefined,
    }


def _metrics_from_columns(figures: dict[str, Shares]) -> list[SegmentationMetrics]:
    """Columns (R,) → R records; NaN is None."""
    columns = [figures[field.name] for field in fields(SegmentationMetrics)]
    rows = [[None if np.isnan(value) else float(value) for value in row] for row in zip(*columns, strict=True)]
    return [SegmentationMetrics(*row) for row in rows]  # type: ignore[arg-type]


def _area_under_roc(vessel: Levels, background: Levels) -> Shares:
    pairs = vessel.sum(-1).astype(float) * background.sum(-1)
    outranked = background.cumsum(-1) - background / 2  # by a vessel pixel of each level, equals counted half
    area: Shares = np.full(pairs.shape, np.nan)
    np.divide((outranked * vessel).sum(-1), pairs, out=area, where=pairs > 0)
    return area


def _calibration_error(vessel: Levels, background: Levels) -> Shares:
    pixels, probability, observed = _bin_sums(vessel, background)
    gap: Shares = abs(probability - observed).sum(-1) / pixels.sum(-1)
    return gap


def _bin_sums(vessel: Levels, background: Levels) -> tuple[Levels, Shares, Levels]:
    """(..., BINS) of each bin: pixels, the sum of their probabilities, those that are vessel."""
    starts = np.arange(BINS) * (255 // BINS)
    pixels = vessel + background
    probability = np.add.reduceat(pixels * np.arange(256), starts, -1) / 255
    return np.add.reduceat(pixels, starts, -1), probability, np.add.reduceat(vessel, starts, -1)


def _skeleton(mask: Mask) -> Mask:
    """One pixel wide, by thinning (Zhang and Suen 1984)."""
    skeleton: Mask = skeletonize(mask)  # type: ignore[no-untyped-call]
    return skeleton


def _ratio(part: Any, whole: Any) -> Shares:
    """Element by element; 1 where `whole` is 0."""
    part, whole = np.asarray(part), np.asarray(whole)
    share: Shares = np.ones(whole.shape)
    np.divide(part, whole, out=share, where=whole > 0)
    return share
