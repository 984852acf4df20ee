"""Accuracy against latency: the same photographs through models, devices and precisions, as one table.

All rows are measured in one process and in turn: on each photograph, run by run, one after the other. So a busy moment
of the machine hits all of them, and what one row has over another is not the hour at which it ran.
"""

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import cast

import numpy as np

from vesselrt.benchmarks.reports import JsonReport
from vesselrt.benchmarks.tables import render_table
from vesselrt.runtime import hardware
from vesselrt.runtime.backends import Info
from vesselrt.runtime.devices import DEVICES, PRECISIONS, AnyPrecision, Device
from vesselrt.runtime.errors import DeviceError, OptionError, VesselrtError
from vesselrt.runtime.modelfile import find_model_file, loaded_file, read_manifest, sha256
from vesselrt.runtime.output.classes import ClassLayers, Thresholds
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.segmenter import Segmenter, load
from vesselrt.training.data.samples import Sample
from vesselrt.training.evaluation import figures
from vesselrt.training.evaluation.evaluate import (
    check_samples,
    read_sample_truths,
    segment_sample,
    thresholds_of,
)
from vesselrt.training.evaluation.figures import Counts, SegmentationMetrics, Truth
from vesselrt.training.evaluation.result import count_photographs

SCHEMA = 2
"""Of the JSON. 1 had no `left_out`."""
NAMED_DEVICES = tuple(d for d in DEVICES if d not in ("auto", "cpu") and not d.startswith("cuda:"))
"""The libraries on a processor, and the GPU with the first that is installed for it."""
NAMED_PRECISIONS = tuple(p for p in PRECISIONS if p != "auto")

_PAUSE_SECONDS = 0.02  # s, before each call: idle threads of the row before stop spinning and leave the cores


@dataclass(frozen=True)
class ComparisonRow:
    """A model on a device in a precision. What this machine lacks has `missing` and no figures."""

    model: str
    """As asked: a built-in model or a file."""
    version: str
    """Its name and version, by its manifest."""
    model_sha256: str
    """Of the file that was measured; of a row without figures, of the one that was named."""
    device: str
    """As asked; what was obtained is in `info`."""
    precision: str
    threshold: float
    missing: str | None = None
    """Why there are no figures."""
    info: Info | None = None
    metrics: SegmentationMetrics | None = None
    """Of all photographs together, and of several classes of all of them."""
    flipped: float | None = None
    """Share of the pixels in the field of view at which the mask is not that of the first row with figures; of several
    classes the largest. None where that row has other classes."""
    milliseconds: float | None = None
    """Median of the timed calls of `segment_sample`, from file to probability map."""
    infer: float | None = None
    """Median of their `infer` stage: the network, and the cutting and joining of its tiles."""
    classes: dict[str, SegmentationMetrics] | None = None
    """Of a model that tells several apart, each by itself. None, and not in the JSON, of one class."""


@dataclass(frozen=True)
class Comparison(JsonReport):
    """The rows, and what is needed to say how they came about."""

    schema: int
    date: str
    """UTC, ISO 8601."""
    machine: dict[str, str | int | float]
    """As `vesselrt.runtime.hardware.machine` tells it before the start."""
    data: str
    split: str
    photographs: list[str]
    left_out: list[str]
    """Photographs of the split that were not measured: it was interrupted."""
    runs: int
    """Timed calls on each photograph."""
    rows: list[ComparisonRow]

    def to_json(self) -> str:
        """Every field, unrounded."""
        found = asdict(self)
        for row in found["rows"]:
            if row["classes"] is None:
                del row["classes"]
        return json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False)

    def to_markdown(self) -> str:
        """A table, and under it where and with what it was measured."""
        titles = ("model", "device", "precision", "F1", "clDice", "thin", "flipped", "ms", "network ms", "remark")
        table = render_table(titles, (cells for row in self.rows for cells in _cells_of_row(row)), texts=3)
        machine, many = self.machine, count_photographs(len(self.photographs), len(self.left_out))
        backends = {f"{row.info.backend} {row.info.version}" for row in self.rows if row.info}
        models = {f"{row.version} (sha256 {row.model_sha256[:12]})" for row in self.rows}
        where = (
            f"{self.data} {self.split}, {many}, {self.runs} timed calls on each, the "
            "rows in turn; median ms from file to probability map, and of the network in it, tiles included. Thin: "
            "recall of vessels under 3 px. Flipped: pixels that are vessel in this row or in the first, not in both. "
            f"{machine['cpu']}, {machine['cores']} cores, load {machine.get('load', 'unknown')} before the start; "
            f"{machine['os']}, Python {machine['python']}, vesselrt {machine['vesselrt']}, "
            f"{', '.join(sorted(backends))}; {', '.join(sorted(models))}."
        )
        return f"{table}\n\n{where}"


@dataclass(frozen=True, eq=False)
class _PhotoTimes:
    """What a row gave on a photograph."""

    counts: dict[str, Counts]
    """Of each class."""
    flipped: dict[str, int] | None
    """Of each class; None where the first row has other classes."""
    inside: int
    """Pixels in the field of view."""
    calls: list[dict[str, float]]
    """Stages in milliseconds of each timed call."""


@dataclass(frozen=True, eq=False)
class _Column:
    """A row that runs."""

    row: ComparisonRow
    segmenter: Segmenter
    thresholds: dict[str, float]
    """Of each class."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of its classes."""
        return tuple(self.thresholds)

    def call(self, sample: Sample, truth: Truth) -> Segmentation:
        """A timed call."""
        time.sleep(_PAUSE_SECONDS)
        segment_sample(self.segmenter, sample, truth)  # a user has one model: caches and threads are not another row's
        return segment_sample(self.segmenter, sample, truth)

    def finished(self, photographs: Sequence[_PhotoTimes]) -> ComparisonRow:
        """The row with its figures."""
        calls = [stages for photograph in photographs for stages in photograph.calls]
        each = {name: [photograph.counts[name] for photograph in photographs] for name in self.names}
        pooled = {name: figures.pooled_metrics(counts) for name, counts in each.items()}
        several = len(each) > 1
        together = [figures.add_counts(counts) for counts in zip(*each.values(), strict=True)] if several else []
        return replace(
            self.row,
            info=self.segmenter.info,
            metrics=figures.pooled_metrics(together) if several else pooled[self.names[0]],
            flipped=_flipped_share(photographs, self.names),
            classes=pooled if several else None,
            milliseconds=median(sum(stages.values()) for stages in calls),
            infer=median(stages["infer"] for stages in calls),
        )


@dataclass(frozen=True)
class ComparisonPlan:
    """Every model on every device in every precision, and how each is measured."""

    models: Sequence[str]
    devices: Sequence[str] = NAMED_DEVICES
    precisions: Sequence[str] = NAMED_PRECISIONS
    threshold: Thresholds | None = None
    """Of all classes, or by their names; None: each model's own."""
    threads: int | None = None
    runs: int = 3

    def __post_init__(self) -> None:
        """Raises OptionError for unknown devices and precisions. What only this machine lacks becomes a row."""
        for given, known in ((self.devices, DEVICES), (self.precisions, PRECISIONS)):
            unknown = sorted(set(given) - set(known))
            if unknown:
                raise OptionError(f"{', '.join(unknown)}: not known. Expected of: {', '.join(known)}.")
        if self.runs < 1:
            raise OptionError(f"runs is {self.runs}. Expected 1 or more.")

    def rows(self) -> dict[ComparisonRow, Path]:
        """The rows without figures, and their model files. Raises ModelError for a file that can't be used."""
        made: dict[ComparisonRow, Path] = {}
        for model in self.models:
            file = find_model_file(model)
            manifest, digest = read_manifest(file), sha256(file)
            thresholds = thresholds_of(manifest, self.threshold)  # raises for one that is out of range
            threshold = manifest.threshold if len(thresholds) > 1 else thresholds[manifest.class_names[0]]
            named = f"{manifest.name} {manifest.version}"
            for device in self.devices:
                rows = (
                    ComparisonRow(model, named, digest, device, precision, threshold) for precision in self.precisions
                )
                made |= dict.fromkeys(rows, file)
        return made


def compare_models(
    plan: ComparisonPlan,
    samples: Sequence[Sample],
    *,
    name: str,
    split: str,
    advance: Callable[[], None] = lambda: None,
) -> Comparison:
    """Measures every row on the photographs of the data set `name`; `advance` is called after each photograph.

    After Ctrl+C the figures are those of the photographs until then, and the others are `left_out`; before the first
    one KeyboardInterrupt is raised. Raises what `evaluate` does, DeviceError when this machine has none of the devices
    and precisions, and VesselrtError when a row gives another result from call to call.
    """
    check_samples(samples, f"{name} {split}")
    machine = hardware.machine()  # first: its load must not be our own
    with contextlib.ExitStack() as stack:
        found = [_open_column(row, file, plan, stack) for row, file in plan.rows().items()]
        columns = [column for column in found if isinstance(column, _Column)]
        if not columns:
            reasons = dict.fromkeys(row.missing or "" for row in found if isinstance(row, ComparisonRow))
            raise DeviceError(f"nothing to compare: no row can run here. {' '.join(reasons)}")
        measured: list[list[_PhotoTimes]] = []
        try:
            for sample in samples:
                measured.append(_time_photograph(columns, sample, plan.runs))
                advance()
        except KeyboardInterrupt:  # Ctrl+C: what was measured is worth its minutes
            if not measured:
                raise
        by_column = zip(*measured, strict=True)
        rows = [part.finished(next(by_column)) if isinstance(part, _Column) else part for part in found]
    return Comparison(
        schema=SCHEMA,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        data=name,
        split=split,
        photographs=[sample.name for sample in samples[: len(measured)]],
        left_out=[sample.name for sample in samples[len(measured) :]],
        runs=plan.runs,
        rows=rows,
    )


def _open_column(
    row: ComparisonRow, file: Path, plan: ComparisonPlan, stack: contextlib.ExitStack
) -> _Column | ComparisonRow:
    """The row ready to run, or with the reason why it does not."""
    try:
        device, precision = cast(Device, row.device), cast(AnyPrecision, row.precision)  # checked by the plan
        segmenter = stack.enter_context(load(file, device=device, precision=precision, threads=plan.threads))
        segmenter.warm_up()  # a backend may refuse at the first call only
    except DeviceError as error:
        return replace(row, missing=str(error))
    measured = loaded_file(file, segmenter.manifest)  # of INT8 another file than the one that was named
    row = replace(row, model_sha256=sha256(measured))
    return _Column(row, segmenter, thresholds_of(segmenter.manifest, plan.threshold))


def _time_photograph(columns: Sequence[_Column], sample: Sample, runs: int) -> list[_PhotoTimes]:
    """Times and counts a photograph in every row."""
    truths = {names: read_sample_truths(sample, names) for names in dict.fromkeys(c.names for c in columns)}
    anyone = [next(iter(truths[column.names].values())) for column in columns]
    results = [column.call(sample, truth) for column, truth in zip(columns, anyone, strict=True)]
    calls = [[result.timings] for result in results]
    for _ in range(runs - 1):
        for column, truth, first, stages in zip(columns, anyone, results, calls, strict=True):
            again = column.call(sample, truth)
            stages.append(again.timings)
            if not np.array_equal(again.probability, first.probability):
                raise VesselrtError(
                    f"{column.row.model}, {column.row.device}, {column.row.precision}: {sample.name} gave another map "
                    "than the first time. Times of a result that changes are not reported: find out why it does."
                )
    layers = [result.layers(column.thresholds) for column, result in zip(columns, results, strict=True)]
    return [
        _PhotoTimes(
            _count_classes(found, truths[column.names]),
            _count_flipped(found, layers[0], truths[column.names]) if column.names == columns[0].names else None,
            int(truth.inside.sum()),
            stages,
        )
        for column, found, truth, stages in zip(columns, layers, anyone, calls, strict=True)
    ]


def _count_classes(found: ClassLayers, truths: dict[str, Truth]) -> dict[str, Counts]:
    maps = found.probability
    return {layer.name: truths[layer.name].count_mask(maps[layer.number - 1], mask) for layer, mask in found.masks()}


def _count_flipped(found: ClassLayers, first: ClassLayers, truths: dict[str, Truth]) -> dict[str, int]:
    pairs = zip(found.masks(), first.masks(), strict=True)
    return {layer.name: int(((mask != other) & truths[layer.name].inside).sum()) for (layer, mask), (_, other) in pairs}


def _flipped_share(photographs: Sequence[_PhotoTimes], names: Sequence[str]) -> float | None:
    """Of the class of which the most pixels flip."""
    flipped = [photograph.flipped for photograph in photographs if photograph.flipped is not None]
    if not flipped:
        return None
    return max(sum(each[name] for each in flipped) for name in names) / sum(p.inside for p in photographs)


def _cells_of_row(row: ComparisonRow) -> list[list[str]]:
    """The cells of a row; of several classes a further line for each one's figures."""
    times: list[tuple[float | None, str]] = [(row.flipped, ".3%"), (row.milliseconds, ".1f"), (row.infer, ".1f")]
    named = (row.model, row.device, row.precision)
    lines = [_line_of_cells(named, row.metrics, times, row.missing or "")]
    nothing: list[tuple[float | None, str]] = [(None, "")] * len(times)
    for name, metrics in (row.classes or {}).items():
        lines.append(_line_of_cells((f"{row.model} {name}", row.device, row.precision), metrics, nothing, ""))
    return lines


def _line_of_cells(
    named: Sequence[str], m: SegmentationMetrics | None, times: Sequence[tuple[float | None, str]], remark: str
) -> list[str]:
    shown = (None, None, None) if m is None else (m.f1, m.cldice, m.thin_recall)
    numbers = [*((value, ".4f") for value in shown), *times]
    cells = ["–" if value is None else f"{value:{form}}" for value, form in numbers]
    return [" ".join(cell.replace("|", "\\|").split()) for cell in (*named, *cells, remark)]
