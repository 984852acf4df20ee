"""How good a model file is: the runtime runs it over annotated photographs, and its pixels are counted.

What each figure means, and the rules that hold for all: `vesselrt.training.evaluation.figures`. Photographs are read
one by one and only counts are kept, so memory does not grow with the data set.
"""

import csv
import io
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median

import numpy as np

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.backends import Info
from vesselrt.runtime.errors import DataError, ImageError, OptionError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.output.statistics import threshold_mask
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.training.data.samples import Sample, check_same_size, hash_photograph, read_inside
from vesselrt.training.evaluation import figures
from vesselrt.training.evaluation.figures import Bin, Counts, Interval, SegmentationMetrics, Truth

SCHEMA = 4
"""Of the JSON. 1 had no intervals, calibration and levels; 2 no `trained_on`; 3 no `left_out`."""
TITLES = {
    "f1": "F1",
    "mean_dice": "Dice",
    "iou": "IoU",
    "precision": "precis.",
    "recall": "recall",
    "specificity": "specif.",
    "accuracy": "accur.",
    "auc": "AUC",
    "cldice": "clDice",
    "thin_recall": "thin",
    "ece": "ECE",
}
"""Field of Metrics → the head of its column."""


@dataclass(frozen=True, eq=False)
class EvaluatedPhoto:
    """A photograph that has just been evaluated, for progress and pictures; nothing of it is kept."""

    name: str
    image: Image
    """(H, W, 3) uint8 RGB."""
    truth: Truth
    painted: Mask
    """(H, W) bool: what the model calls vessel."""


Watch = Callable[[EvaluatedPhoto], None]


@dataclass(frozen=True)
class Evaluation:
    """A model file on a data set, and what is needed to say how the figures came about."""

    schema: int
    model: str
    version: str
    info: Info
    """Backend, device and precision that were really used."""
    data: str
    split: str
    threshold: float
    pooled: SegmentationMetrics
    interval: Interval | None
    """Of `pooled`, 95 %, photographs resampled; None for a single photograph."""
    images: dict[str, SegmentationMetrics]
    """By sample name, in the order of the samples."""
    left_out: list[str]
    """Photographs of the split that were not measured: it was interrupted. With any of them the figures are not those
    of the split."""
    trained_on: list[str]
    """Those of the photographs that the model was trained on or chosen by: with any of them this is no test."""
    second_observer: SegmentationMetrics | None
    """A second human against the same truth, on the photographs that have one; None where none has."""
    second_observer_interval: Interval | None
    best_f1: float
    """The highest pooled F1 that any threshold gives. A diagnostic and never a result: the threshold was chosen with
    the truth in sight."""
    best_threshold: float
    """Where `best_f1` is reached, halfway between two levels; of several such places, the nearest to `threshold`."""
    reliability: list[Bin]
    """Bins of equal width, from improbable to probable."""
    vessel_levels: list[int]
    """256 numbers: pooled vessel pixels at each level of the 8-bit probability. With `background_levels`, all that the
    curves are drawn from."""
    background_levels: list[int]
    milliseconds: float
    """Median over the photographs, from the bytes of the file to the probability map."""
    model_sha256: str | None = None
    """Hash of the model file, where the caller knows the file."""

    def table(self) -> str:
        """For the terminal: a row each for the model, the second observer, and every photograph."""
        low, high = "  95 % from", "  95 % to"
        overall = {self.model: self.pooled}
        if self.interval is not None:
            overall |= {low: self.interval.low, high: self.interval.high}
        if self.second_observer is not None:
            overall["second observer"] = self.second_observer
        width = max(len(name) for name in (*overall, *self.images))

        def row(name: str, cells: Collection[str]) -> str:
            return f"{name:{width}}" + "".join(f"{cell:>8}" for cell in cells)

        def lines(rows: dict[str, SegmentationMetrics]) -> list[str]:
            return [row(n, ["-" if v is None else f"{v:.4f}" for v in asdict(m).values()]) for n, m in rows.items()]

        best = (
            f"Best F1 {self.best_f1:.4f}, at threshold {self.best_threshold:.3f} (a diagnostic: chosen on these pixels)"
        )
        spread = [] if self.interval else ["One photograph: how the figures vary is unknown, so they have no interval."]
        head = [f"{self.title()}", f"{self.info}, median {self.milliseconds:.0f} ms", "", row("", TITLES.values())]
        return "\n".join([*head, *lines(overall), "", *lines(self.images), "", *spread, best])

    def title(self) -> str:
        """Model, data and setting in one line."""
        many = count_photographs(len(self.images), len(self.left_out))
        return f"{self.model} {self.version} on {self.data} {self.split}, {many}, threshold {self.threshold:g}"

    def figures(self) -> dict[str, float]:
        """The pooled figures that exist, and the threshold: what a manifest keeps."""
        known = {key: value for key, value in asdict(self.pooled).items() if value is not None}
        return {"threshold": self.threshold, **known}

    def to_json(self) -> str:
        """Every field, unrounded; None is null."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)

    def to_csv(self) -> str:
        """A row of figures for each photograph, then the pooled ones; unrounded, empty where undefined.

        The first column says what the row is: image, pooled, pooled_low, pooled_high, and the same of the
        second_observer where there is one. A name that a spreadsheet takes for a formula has an apostrophe before it.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["row", "photograph", *(field.name for field in fields(SegmentationMetrics))])
        rows: list[tuple[str, str, SegmentationMetrics]] = [
            ("image", name, metrics) for name, metrics in self.images.items()
        ]
        for row, metrics, interval in (
            ("pooled", self.pooled, self.interval),
            ("second_observer", self.second_observer, self.second_observer_interval),
        ):
            rows += [(row, "", metrics)] if metrics is not None else []
            rows += [(f"{row}_low", "", interval.low), (f"{row}_high", "", interval.high)] if interval else []
        names = {name: f"'{name}" if name.startswith(("=", "+", "-", "@")) else name for _, name, _ in rows}
        writer.writerows([row, names[name], *asdict(metrics).values()] for row, name, metrics in rows)
        return text.getvalue()


def evaluate_model(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    *,
    name: str,
    split: str,
    threshold: float | None = None,
    watch: Watch | None = None,
) -> Evaluation:
    """Runs a model on the photographs of the data set `name` and compares it with their truth.

    `watch` is called with each photograph when it is done. `threshold` None: the model's own. After Ctrl+C the figures
    are those of the photographs until then, and the others are `left_out`; before the first one KeyboardInterrupt is
    raised.

    Raises OptionError for a threshold outside 0 to 1, and for a model of several classes; ImageError and DataError,
    which name the file, for a photograph or mask that can't be used, or when the two differ in size.
    """
    threshold = segmenter.manifest.threshold if threshold is None else threshold
    threshold_level(threshold)  # raises for one that is out of range
    _check_one_class(segmenter.manifest)
    check_samples(samples, f"{name} {split}")
    measured: list[_PhotoResult] = []
    try:
        for sample in samples:
            photograph, seen = _evaluate_photo(segmenter, sample, threshold)
            if watch is not None:
                watch(seen)
            measured.append(photograph)
    except KeyboardInterrupt:  # Ctrl+C: what was measured is worth its minutes
        if not measured:
            raise
    return _summarise(segmenter, samples, measured, name=name, split=split, threshold=threshold)


@dataclass(frozen=True, eq=False)
class _PhotoResult:
    """What is kept of a photograph."""

    model: Counts
    observer: Counts | None
    milliseconds: float


def _check_one_class(manifest: Manifest) -> None:
    if len(manifest.classes) > 1:
        named = ", ".join(manifest.class_names)
        raise OptionError(
            f"{manifest.name} has the classes {named}. Data sets are read as vessels alone: name a model of them."
        )


def _evaluate_photo(segmenter: Segmenter, sample: Sample, threshold: float) -> tuple[_PhotoResult, EvaluatedPhoto]:
    truth = read_sample_truth(sample)
    found = segment_sample(segmenter, sample, truth)
    observer = None
    if (second := sample.read_second()) is not None:
        check_same_size(sample, truth.vessel, sample.second, second)
        observer = truth.count(second.astype(np.uint8), 1)
    counts = truth.count(found.probability, threshold_level(threshold))
    measured = _PhotoResult(counts, observer, sum(found.timings.values()))
    return measured, EvaluatedPhoto(sample.name, found.image, truth, found.mask(threshold))


def _summarise(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    measured: Sequence[_PhotoResult],
    *,
    name: str,
    split: str,
    threshold: float,
) -> Evaluation:
    """The figures of the first photographs, which were measured; further samples are `left_out`."""
    level = threshold_level(threshold)
    done, left_out = samples[: len(measured)], samples[len(measured) :]
    counts = [photograph.model for photograph in measured]
    observer = [photograph.observer for photograph in measured if photograph.observer is not None]
    vessel, background = figures.pool_counts(counts)
    best_f1, best_threshold = figures.best_f1(vessel, background, threshold)
    return Evaluation(
        schema=SCHEMA,
        model=segmenter.manifest.name,
        version=segmenter.manifest.version,
        info=segmenter.info,
        data=name,
        split=split,
        threshold=threshold,
        pooled=figures.pooled_metrics(counts, level),
        interval=figures.bootstrap_interval(counts, level),
        images=dict(zip((sample.name for sample in done), figures.metrics_by_photograph(counts, level), strict=True)),
        left_out=[sample.name for sample in left_out],
        trained_on=training_overlap(segmenter.manifest, done),
        second_observer=figures.pooled_metrics(observer, 1, ranked=False) if observer else None,
        second_observer_interval=figures.bootstrap_interval(observer, 1, ranked=False),
        best_f1=best_f1,
        best_threshold=best_threshold,
        reliability=figures.reliability_bins(vessel, background),
        vessel_levels=vessel.tolist(),
        background_levels=background.tolist(),
        milliseconds=median(photograph.milliseconds for photograph in measured),
    )


def count_photographs(measured: int, left_out: int) -> str:
    """How many there are, for a line of text; and that there would have been more."""
    if left_out:
        return f"PARTIAL, interrupted: {measured} of {measured + left_out} photographs"
    return f"{measured} photograph{'s' if measured > 1 else ''}"


def training_overlap(manifest: Manifest, samples: Iterable[Sample]) -> list[str]:
    """The names of the photographs that the model was trained on or chosen by, under whatever name it saw them."""
    seen = {photograph for source in manifest.provenance.data for photograph in source.photographs}
    return [s.name for s in samples if seen and hash_photograph(s.image) in seen]


def check_samples(samples: Sequence[Sample], source: str) -> None:
    """Raises DataError when there is nothing to evaluate, or two photographs share a name."""
    if not samples:
        raise DataError(f"{source}: no photographs to evaluate.")
    if len({sample.name for sample in samples}) < len(samples):
        raise DataError(f"{source}: two photographs share a name. Figures are kept by name: rename one.")


def read_sample_truth(sample: Sample) -> Truth:
    """Raises DataError when a mask can't be read, the two differ in size, or the field of view is empty."""
    vessel = sample.read_truth()
    return Truth.of(vessel, read_inside(sample, vessel))


def segment_sample(segmenter: Segmenter, sample: Sample, truth: Truth) -> Segmentation:
    """Raises ImageError when the photograph can't be used, DataError when its truth is of another size."""
    try:
        found = segmenter.segment(sample.photograph())
    except ImageError as error:
        raise type(error)(f"{sample.image}: {error}") from None
    check_same_size(sample, truth.vessel, sample.image, found.probability)
    return found


def threshold_level(threshold: float) -> int:
    """The lowest level that the runtime's rule calls vessel. Raises OptionError."""
    return int(np.argmax(threshold_mask(np.arange(256, dtype=np.uint8), threshold)))
