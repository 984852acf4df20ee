"""Accuracy against latency: the same photographs through models, devices and precisions, as one table.

All rows are measured in one process and in turn: on each photograph, run by run, one after the other. So a busy moment
of the machine hits all of them, and what one row has over another is not the hour at which it ran.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.segmenter import Segmenter, load
from vesselrt.training.data.samples import Sample
from vesselrt.training.evaluation import figures
from vesselrt.training.evaluation.evaluate import (
    check_samples,
    count_photographs,
    read_sample_truth,
    segment_sample,
    threshold_level,
)
from vesselrt.training.evaluation.figures import Counts, SegmentationMetrics, Truth

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
    """Of all photographs together."""
    flipped: float | None = None
    """Share of the pixels in the field of view at which the mask is not that of the first row with figures."""
    milliseconds: float | None = None
    """Median of the timed calls of `segment_sample`, from file to probability map."""
    infer: float | None = None
    """Median of their `infer` stage: the network, and the cutting and joining of its tiles."""


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

    def to_markdown(self) -> str:
        """A table, and under it where and with what it was measured."""
        titles = ("model", "device", "precision", "F1", "clDice", "thin", "flipped", "ms", "network ms", "remark")
        table = render_table(titles, map(_row_cells, self.rows), texts=3)
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

    counts: Counts
    flipped: int
    inside: int
    """Pixels in the field of view."""
    calls: list[dict[str, float]]
    """Stages in milliseconds of each timed call."""


@dataclass(frozen=True, eq=False)
class _Column:
    """A row that runs."""

    row: ComparisonRow
    segmenter: Segmenter
    level: int

    def call(self, sample: Sample, truth: Truth) -> Segmentation:
        """A timed call."""
        time.sleep(_PAUSE_SECONDS)
        segment_sample(self.segmenter, sample, truth)  # a user has one model: caches and threads are not another row's
        return segment_sample(self.segmenter, sample, truth)

    def finished(self, photographs: Sequence[_PhotoTimes]) -> ComparisonRow:
        """The row with its figures."""
        calls = [stages for photograph in photographs for stages in photograph.calls]
        return replace(
            self.row,
            info=self.segmenter.info,
            metrics=figures.pooled_metrics([photograph.counts for photograph in photographs], self.level),
            flipped=sum(p.flipped for p in photographs) / sum(p.inside for p in photographs),
            milliseconds=median(sum(stages.values()) for stages in calls),
            infer=median(stages["infer"] for stages in calls),
        )


@dataclass(frozen=True)
class ComparisonPlan:
    """Every model on every device in every precision, and how each is measured."""

    models: Sequence[str]
    devices: Sequence[str] = NAMED_DEVICES
    precisions: Sequence[str] = NAMED_PRECISIONS
    threshold: float | None = None
    """None: each model's own."""
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
            threshold = manifest.threshold if self.threshold is None else self.threshold
            threshold_level(threshold)  # raises for one that is out of range
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
        found = [_open_column(row, file, plan.threads, stack) for row, file in plan.rows().items()]
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
    row: ComparisonRow, file: Path, threads: int | None, stack: contextlib.ExitStack
) -> _Column | ComparisonRow:
    """The row ready to run, or with the reason why it does not."""
    try:
        device, precision = cast(Device, row.device), cast(AnyPrecision, row.precision)  # checked by the plan
        segmenter = stack.enter_context(load(file, device=device, precision=precision, threads=threads))
        segmenter.warm_up()  # a backend may refuse at the first call only
    except DeviceError as error:
        return replace(row, missing=str(error))
    measured = loaded_file(file, segmenter.manifest)  # of INT8 another file than the one that was named
    row = replace(row, model_sha256=sha256(measured))
    return _Column(row, segmenter, threshold_level(row.threshold))


def _time_photograph(columns: Sequence[_Column], sample: Sample, runs: int) -> list[_PhotoTimes]:
    """Times and counts a photograph in every row."""
    truth = read_sample_truth(sample)
    results = [column.call(sample, truth) for column in columns]
    maps = [result.probability for result in results]
    calls = [[result.timings] for result in results]
    for _ in range(runs - 1):
        for column, first, stages in zip(columns, maps, calls, strict=True):
            again = column.call(sample, truth)
            stages.append(again.timings)
            if not np.array_equal(again.probability, first):
                raise VesselrtError(
                    f"{column.row.model}, {column.row.device}, {column.row.precision}: {sample.name} gave another map "
                    "than the first time. Times of a result that changes are not reported: find out why it does."
                )
    reference = maps[0] >= columns[0].level
    inside = int(truth.inside.sum())
    photographs = []
    for column, probability, stages in zip(columns, maps, calls, strict=True):
        flipped = int((((probability >= column.level) != reference) & truth.inside).sum())
        photographs.append(_PhotoTimes(truth.count(probability, column.level), flipped, inside, stages))
    return photographs


def _row_cells(row: ComparisonRow) -> list[str]:
    m = row.metrics
    thin = m.thin_recall if m is not None else None
    numbers = (
        (m and m.f1, ".4f"),
        (m and m.cldice, ".4f"),
        (thin, ".4f"),
        (row.flipped, ".3%"),
        (row.milliseconds, ".1f"),
        (row.infer, ".1f"),
    )
    cells = ["–" if value is None else f"{value:{form}}" for value, form in numbers]
    named = (row.model, row.device, row.precision, *cells, row.missing or "")
    return [" ".join(cell.replace("|", "\\|").split()) for cell in named]
