"""How good a model file is: the runtime runs it over annotated photographs, and its pixels are counted.

Rules that hold for every figure:

- Only pixels inside the field of view count, at the photograph's own resolution.
- Pixels are pooled over the photographs. Only `mean_dice` and `cldice` are means over photographs.
- A share of nothing, 0/0, is 1: what is not there can't be missed, and what is not painted can't be wrong.
  So nothing painted on a photograph without vessels scores 1, and on one with vessels F1 0 at precision 1.
- A centreline is the skeleton of a whole mask, made before the field of view cuts it: the cut makes no vessel
  thinner or shorter.

Photographs are read one by one and only counts are kept, so memory does not grow with the data set.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from vesselrt.runtime.backends import Info
from vesselrt.runtime.decode import SUFFIXES
from vesselrt.runtime.encode import threshold_mask
from vesselrt.runtime.errors import DataError, FieldOfViewError
from vesselrt.runtime.preparation import Image
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.training.data import Mask, Sample, read_mask

THIN = 3.0
"""Pixels: a vessel narrower than this is thin."""

Levels = NDArray[np.int64]
"""(256,) number of pixels at each level of the 8-bit probability."""
Progress = Callable[[int, int, str], None]
"""Called after each photograph with the number done, the number of all, and its name."""


@dataclass(frozen=True)
class Metrics:
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


@dataclass(frozen=True)
class Evaluation:
    """A model file on a data set, and what is needed to say how the figures came about."""

    model: str
    version: str
    info: Info
    """Backend, device and precision that were really used."""
    data: str
    split: str
    threshold: float
    pooled: Metrics
    images: dict[str, Metrics]
    """By sample name, in the order of the samples."""
    second_observer: Metrics | None
    """A second human against the same truth, on the photographs that have one; None where none has."""
    best_f1: float
    """The highest pooled F1 that any threshold gives. A diagnostic and never a result: the threshold was chosen with
    the truth in sight."""
    best_threshold: float
    """Where `best_f1` is reached, halfway between two levels; of several such places, the nearest to `threshold`."""
    milliseconds: float
    """Median over the photographs, from file to probability map."""
    model_sha256: str | None = None
    """Hash of the model file, where the caller knows the file."""

    def table(self) -> str:
        """For the terminal: a row each for the model, the second observer, and every photograph."""
        titles = ("F1", "Dice", "IoU", "precis.", "recall", "specif.", "accur.", "AUC", "clDice", "thin")
        overall = {self.model: self.pooled}
        if self.second_observer is not None:
            overall["second observer"] = self.second_observer
        width = max(len(name) for name in (*overall, *self.images))

        def row(name: str, cells: Collection[str]) -> str:
            return f"{name:{width}}" + "".join(f"{cell:>9}" for cell in cells)

        def figures(rows: dict[str, Metrics]) -> list[str]:
            return [row(n, ["-" if v is None else f"{v:.4f}" for v in asdict(m).values()]) for n, m in rows.items()]

        setting = f"{self.data} {self.split}, {len(self.images)} photographs, threshold {self.threshold:g}"
        speed = f"{self.info}, median {self.milliseconds:.0f} ms"
        best = (
            f"Best F1 {self.best_f1:.4f}, at threshold {self.best_threshold:.3f} (a diagnostic: chosen on these pixels)"
        )
        head = [f"{self.model} {self.version} on {setting}", speed, "", row("", titles)]
        return "\n".join([*head, *figures(overall), "", *figures(self.images), "", best])

    def figures(self) -> dict[str, float]:
        """The pooled figures that exist, and the threshold: what a manifest keeps."""
        known = {key: value for key, value in asdict(self.pooled).items() if value is not None}
        return {"threshold": self.threshold, **known}

    def to_json(self) -> str:
        """Every field, unrounded; None is null."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)


def evaluate(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    *,
    name: str,
    split: str,
    threshold: float | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Runs a model over the photographs of the data set `name` and holds it to their truth.

    `threshold` None: the model's own. Raises OptionError for a threshold outside 0 to 1; ImageError and DataError,
    which name the file, for a photograph or mask that can't be used, or when the two differ in size.
    """
    threshold = segmenter.manifest.threshold if threshold is None else threshold
    level = _level(threshold)
    if not samples:
        raise DataError(f"{name} {split}: no photographs to evaluate.")
    if len({sample.name for sample in samples}) < len(samples):
        raise DataError(f"{name} {split}: two photographs share a name. Figures are kept by name: rename one.")
    model: dict[str, _Counts] = {}
    observer: list[_Counts] = []
    times: list[float] = []
    for sample in samples:
        truth = _Truth.read(sample)
        known = sample.image.suffix.lower() in SUFFIXES  # STARE, for one, is published as PPM: not for the runtime
        try:
            found = segmenter.segment(sample.image if known else sample.read_image())
        except FieldOfViewError as error:  # the one ImageError that does not name the file
            raise FieldOfViewError(f"{sample.image}: {error}") from None
        model[sample.name] = truth.compare(found.probability, level, sample.image)
        if sample.second is not None:
            observer.append(truth.compare(read_mask(sample.second).astype(np.uint8), 1, sample.second))
        times.append(sum(found.timings.values()))
        if progress is not None:
            progress(len(times), len(samples), sample.name)
    best_f1, best_threshold = _best(model.values(), threshold)
    return Evaluation(
        model=segmenter.manifest.name,
        version=segmenter.manifest.version,
        info=segmenter.info,
        data=name,
        split=split,
        threshold=threshold,
        pooled=_metrics(model.values(), level),
        images={key: _metrics([counts], level) for key, counts in model.items()},
        second_observer=replace(_metrics(observer, 1), auc=None) if observer else None,
        best_f1=best_f1,
        best_threshold=best_threshold,
        milliseconds=median(times),
    )


@dataclass(frozen=True, eq=False)
class _Counts:
    """All that is kept of a photograph."""

    vessel: Levels
    background: Levels
    thin: int
    thin_found: int
    cldice: float


@dataclass(frozen=True, eq=False)
class _Truth:
    """An annotation, and what is derived from it once: each mask (H, W) bool."""

    path: Path
    vessel: Mask
    inside: Mask
    """The field of view."""
    centreline: Mask
    """Of `vessel`, inside the field of view."""
    thin: Mask
    """The part of `centreline` where the vessel is narrower than THIN."""

    @classmethod
    def read(cls, sample: Sample) -> "_Truth":
        vessel = sample.read_truth()
        inside = sample.read_field_of_view(vessel.shape)
        _agree(sample.truth, vessel, sample.field_of_view, inside)
        if not inside.any():
            raise DataError(f"{sample.field_of_view}: the mask is empty. Expected white where the field of view is.")
        centreline = _skeleton(vessel) & inside
        radius = cv2.distanceTransform(vessel.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return cls(sample.truth, vessel, inside, centreline, centreline & (2 * radius < THIN))

    def compare(self, probability: Image, level: int, source: Path) -> _Counts:
        """Counts a map (H, W) uint8 that came from `source`, in which vessel is what reaches `level`."""
        _agree(self.path, self.vessel, source, probability)
        painted = probability >= level
        centreline = _skeleton(painted) & self.inside
        precision = _share((centreline & self.vessel).sum(), centreline.sum())
        sensitivity = _share((self.centreline & painted).sum(), self.centreline.sum())
        return _Counts(
            vessel=np.bincount(probability[self.inside & self.vessel], minlength=256),
            background=np.bincount(probability[self.inside & ~self.vessel], minlength=256),
            thin=int(self.thin.sum()),
            thin_found=int((self.thin & painted).sum()),
            cldice=2 * precision * sensitivity / (precision + sensitivity) if precision + sensitivity else 0.0,
        )


def _agree(truth: Path, vessel: Mask, path: Path | None, pixels: NDArray[Any]) -> None:
    (height, width), (h, w) = vessel.shape, pixels.shape
    if (h, w) != (height, width):
        raise DataError(f"{path}: {w} × {h} pixels, but its truth {truth} has {width} × {height}. They must agree.")


def _level(threshold: float) -> int:
    """The lowest level that the runtime's rule calls vessel. Raises OptionError."""
    return int(np.argmax(threshold_mask(np.arange(256, dtype=np.uint8), threshold)))


def _metrics(photographs: Collection[_Counts], level: int) -> Metrics:
    vessel, background = _pool(photographs)
    tp, fn = int(vessel[level:].sum()), int(vessel[:level].sum())
    fp, tn = int(background[level:].sum()), int(background[:level].sum())
    thin = sum(p.thin for p in photographs)
    return Metrics(
        f1=_share(2 * tp, 2 * tp + fp + fn),
        mean_dice=fmean(f1_by_level(p.vessel, p.background)[level] for p in photographs),
        iou=_share(tp, tp + fp + fn),
        precision=_share(tp, tp + fp),
        recall=_share(tp, tp + fn),
        specificity=_share(tn, tn + fp),
        accuracy=_share(tp + tn, tp + fp + fn + tn),
        auc=_auc(vessel, background),
        cldice=fmean(p.cldice for p in photographs),
        thin_recall=_share(sum(p.thin_found for p in photographs), thin) if thin else None,
    )


def _pool(photographs: Collection[_Counts]) -> tuple[Levels, Levels]:
    return np.sum([p.vessel for p in photographs], axis=0), np.sum([p.background for p in photographs], axis=0)


def _best(photographs: Collection[_Counts], threshold: float) -> tuple[float, float]:
    """The highest F1 over all thresholds, and its threshold."""
    f1 = f1_by_level(*_pool(photographs))
    thresholds = np.maximum(np.arange(256) - 0.5, 0)[f1 == f1.max()] / 255
    return float(f1.max()), float(thresholds[np.argmin(abs(thresholds - threshold))])


def f1_by_level(vessel: Levels, background: Levels) -> NDArray[np.float64]:
    """(256,) F1 where each level is the lowest that counts as vessel."""
    hits = np.cumsum(vessel[::-1])[::-1]
    painted = hits + np.cumsum(background[::-1])[::-1]
    both = painted + vessel.sum()
    f1 = np.ones(256)
    np.divide(2 * hits, both, out=f1, where=both > 0)
    return f1


def _auc(vessel: Levels, background: Levels) -> float | None:
    pairs = float(vessel.sum()) * float(background.sum())
    outranked = np.cumsum(background) - background / 2  # by a vessel pixel of each level, equals counted half
    return float(outranked @ vessel) / pairs if pairs else None


def _skeleton(mask: Mask) -> Mask:
    """One pixel wide, by thinning (Zhang and Suen 1984)."""
    skeleton: Mask = skeletonize(mask)  # type: ignore[no-untyped-call]
    return skeleton


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else 1.0
