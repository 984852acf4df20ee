"""How good a model file is: the runtime runs it over annotated photographs, and its pixels are counted.

What each figure means, and the rules that hold for all: `vesselrt.training.evaluation.figures`. Photographs are read
one by one and only counts are kept, so memory does not grow with the data set.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.errors import DataError, ImageError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.output.classes import Thresholds, layers_of
from vesselrt.runtime.output.statistics import threshold_mask
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.training.data.samples import (
    Sample,
    check_same_size,
    hash_photograph,
    read_inside,
    read_truth_of,
)
from vesselrt.training.evaluation import figures
from vesselrt.training.evaluation.figures import Counts, Truth
from vesselrt.training.evaluation.result import SCHEMA, ClassFigures, Evaluation


@dataclass(frozen=True, eq=False)
class EvaluatedPhoto:
    """One class of a photograph that has just been evaluated, for pictures; nothing of it is kept."""

    name: str
    image: Image
    """(H, W, 3) uint8 RGB."""
    truth: Truth
    painted: Mask
    """(H, W) bool: what the model calls vessel."""
    class_: str = ""
    """The class, of a model that has several."""


Watch = Callable[[Sequence[EvaluatedPhoto]], None]


def evaluate_model(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    *,
    name: str,
    split: str,
    threshold: Thresholds | None = None,
    watch: Watch = lambda _: None,
) -> Evaluation:
    """Runs a model on the photographs of the data set `name` and compares it with their truth.

    `watch` is called with the classes of each photograph when it is done. `threshold`: of all classes, or by their
    names; None: the model's own. After Ctrl+C the figures are those of the photographs until then, and the others are
    `left_out`; before the first one KeyboardInterrupt is raised.

    Raises OptionError for a threshold outside 0 to 1 or of another class; ImageError and DataError, which name the
    file, for a photograph or mask that can't be used, or when the two differ in size, and where the data set does not
    tell the model's classes apart.
    """
    setting = _Setting(name, split, thresholds_of(segmenter.manifest, threshold))
    check_samples(samples, f"{name} {split}")
    measured: list[_PhotoResult] = []
    try:
        for sample in samples:
            photograph, seen = _evaluate_photo(segmenter, sample, setting.thresholds)
            watch(seen)
            measured.append(photograph)
    except KeyboardInterrupt:  # Ctrl+C: what was measured is worth its minutes
        if not measured:
            raise
    return _summarise(segmenter, samples, measured, setting)


@dataclass(frozen=True)
class _Setting:
    """What is measured, and at which thresholds."""

    data: str
    split: str
    thresholds: dict[str, float]
    """Of each class."""


@dataclass(frozen=True, eq=False)
class _PhotoResult:
    """What is kept of a photograph."""

    classes: dict[str, Counts]
    observer: Counts | None
    milliseconds: float

    @property
    def all_classes(self) -> Counts:
        counts = list(self.classes.values())
        return counts[0] if len(counts) == 1 else figures.add_counts(counts)


def thresholds_of(manifest: Manifest, threshold: Thresholds | None = None) -> dict[str, float]:
    """The threshold of each class. Raises OptionError for one out of range, and of a class that the model lacks."""
    found = {layer.name: layer.threshold for layer in layers_of(manifest.classes, manifest.threshold, threshold)}
    for value in found.values():
        threshold_level(value)
    return found


def _evaluate_photo(
    segmenter: Segmenter, sample: Sample, thresholds: dict[str, float]
) -> tuple[_PhotoResult, list[EvaluatedPhoto]]:
    truths = read_sample_truths(sample, tuple(thresholds))
    found = segment_sample(segmenter, sample, next(iter(truths.values())))
    observer = None
    if len(truths) == 1 and (second := sample.read_second()) is not None:
        (truth,) = truths.values()
        check_same_size(sample, truth.vessel, sample.second, second)
        observer = truth.count(second.astype(np.uint8), 1)
    counts, seen, several = {}, [], len(truths) > 1
    for (layer, mask), truth in zip(found.layers(thresholds).masks(), truths.values(), strict=True):
        counts[layer.name] = truth.count_mask(found.class_map(layer.name), mask)
        seen.append(EvaluatedPhoto(sample.name, found.image, truth, mask, layer.name if several else ""))
    return _PhotoResult(counts, observer, sum(found.timings.values())), seen


def _summarise(
    segmenter: Segmenter, samples: Sequence[Sample], measured: Sequence[_PhotoResult], setting: _Setting
) -> Evaluation:
    """The figures of the first photographs, which were measured; further samples are `left_out`."""
    manifest, thresholds = segmenter.manifest, setting.thresholds
    done, left_out = samples[: len(measured)], samples[len(measured) :]
    names = [sample.name for sample in done]
    observer = [photograph.observer for photograph in measured if photograph.observer is not None]
    common = next(iter(thresholds.values())) if len(thresholds) == 1 else manifest.threshold
    whole = _figures_of([photograph.all_classes for photograph in measured], names, common)
    each = {name: [photograph.classes[name] for photograph in measured] for name in thresholds}
    return Evaluation(
        schema=SCHEMA,
        model=manifest.name,
        version=manifest.version,
        info=segmenter.info,
        data=setting.data,
        split=setting.split,
        left_out=[sample.name for sample in left_out],
        trained_on=training_overlap(manifest, done),
        second_observer=figures.pooled_metrics(observer, ranked=False) if observer else None,
        second_observer_interval=figures.bootstrap_interval(observer, ranked=False),
        milliseconds=median(photograph.milliseconds for photograph in measured),
        classes={name: _figures_of(counts, names, thresholds[name]) for name, counts in each.items()}
        if len(each) > 1
        else {},
        **vars(whole),
    )


def _figures_of(counts: Sequence[Counts], names: Sequence[str], threshold: float) -> ClassFigures:
    """The figures of photographs of these names."""
    vessel, background = figures.pool_counts(counts)
    best_f1, best_threshold = figures.best_f1(vessel, background, threshold)
    return ClassFigures(
        threshold=threshold,
        pooled=figures.pooled_metrics(counts),
        interval=figures.bootstrap_interval(counts),
        images=dict(zip(names, figures.metrics_by_photograph(counts), strict=True)),
        best_f1=best_f1,
        best_threshold=best_threshold,
        reliability=figures.reliability_bins(vessel, background),
        vessel_levels=vessel.tolist(),
        background_levels=background.tolist(),
    )


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


def read_sample_truths(sample: Sample, names: Sequence[str]) -> dict[str, Truth]:
    """The truth of each of a model's classes, without what does not count.

    Raises DataError when a mask can't be read, two differ in size, the field of view is empty, or the data set does not
    tell these classes apart.
    """
    found = read_truth_of(sample, names)
    inside = read_inside(sample, found.masks[0])
    counted = inside if found.ignored is None else inside & ~found.ignored
    return {name: Truth.of(mask, counted) for name, mask in zip(names, found.masks, strict=True)}


def segment_sample(segmenter: Segmenter, sample: Sample, truth: Truth) -> Segmentation:
    """Raises ImageError when the photograph can't be used, DataError when its truth is of another size."""
    try:
        found = segmenter.segment(sample.photograph())
    except ImageError as error:
        raise type(error)(f"{sample.image}: {error}") from None
    check_same_size(sample, truth.vessel, sample.image, found.class_map(found.classes[0]))
    return found


def threshold_level(threshold: float) -> int:
    """The lowest level that the runtime's rule calls vessel. Raises OptionError."""
    return int(np.argmax(threshold_mask(np.arange(256, dtype=np.uint8), threshold)))
