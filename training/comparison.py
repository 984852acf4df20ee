"""Accuracy against latency: the same photographs through models, devices and precisions, as one table.

All rows are measured in one process and in turn: on each photograph, run by run, one after the other. So a busy moment
of the machine hits all of them, and what one row has over another is not the hour at which it ran.
"""

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import cast

import numpy as np

from vesselrt.runtime import hardware
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Info
from vesselrt.runtime.devices import DEVICES, PRECISIONS, AnyPrecision, Device
from vesselrt.runtime.errors import DeviceError, OptionError, VesselrtError
from vesselrt.runtime.modelfile import find, read_manifest, sha256
from vesselrt.runtime.segmenter import Segmenter, load
from vesselrt.training import figures
from vesselrt.training.data.samples import Sample
from vesselrt.training.evaluation import check, level_of, read_truth, segment
from vesselrt.training.figures import Counts, Metrics, Truth

SCHEMA = 1
NAMED_DEVICES = tuple(d for d in DEVICES if d not in ("auto", "cpu") and not d.startswith("cuda:"))
"""The libraries on a processor, and the GPU with the first that is installed for it."""
NAMED_PRECISIONS = tuple(p for p in PRECISIONS if p != "auto")

_PAUSE = 0.02  # s, before each call: idle threads of the row before stop spinning and leave the cores


@dataclass(frozen=True)
class Row:
    """A model on a device in a precision. What is not to be had on this machine has `missing` and no figures."""

    model: str
    """As asked: a built-in model or a file."""
    version: str
    """Its name and version, by its manifest."""
    model_sha256: str
    device: str
    """As asked; what was obtained is in `info`."""
    precision: str
    threshold: float
    missing: str | None = None
    """Why there are no figures."""
    info: Info | None = None
    metrics: Metrics | None = None
    """Of all photographs together."""
    flipped: float | None = None
    """Share of the pixels in the field of view at which the mask is not that of the first row with figures."""
    milliseconds: float | None = None
    """Median of the timed calls of `segment`, from file to probability map."""
    infer: float | None = None
    """Median of their `infer` stage: the network, and the cutting and joining of its tiles."""


@dataclass(frozen=True)
class Comparison:
    """The rows, and what is needed to say how they came about."""

    schema: int
    date: str
    """UTC, ISO 8601."""
    machine: dict[str, str | int | float]
    """As `vesselrt.runtime.hardware.machine` tells it before the start."""
    data: str
    split: str
    photographs: list[str]
    runs: int
    """Timed calls on each photograph."""
    rows: list[Row]

    def to_json(self) -> str:
        """Every field, unrounded; None is null."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)

    def to_markdown(self) -> str:
        """A table, and under it where and with what it was measured."""
        titles = ("model", "device", "precision", "F1", "clDice", "thin", "flipped", "ms", "network ms", "remark")
        rule = ["---"] * 3 + ["---:"] * 6 + ["---"]
        lines = [_line(titles), _line(rule), *(_line(_cells(row)) for row in self.rows)]
        machine, many = self.machine, "s" if len(self.photographs) > 1 else ""
        backends = {f"{row.info.backend} {row.info.version}" for row in self.rows if row.info}
        models = {f"{row.version} (sha256 {row.model_sha256[:12]})" for row in self.rows}
        where = (
            f"{self.data} {self.split}, {len(self.photographs)} photograph{many}, {self.runs} timed calls on each, the "
            "rows in turn; median ms from file to probability map, and of the network in it, tiles included. Thin: "
            "recall of vessels under 3 px. Flipped: pixels that are vessel in this row or in the first, not in both. "
            f"{machine['cpu']}, {machine['cores']} cores, load {machine.get('load', 'unknown')} before the start; "
            f"{machine['os']}, Python {machine['python']}, vesselrt {machine['vesselrt']}, "
            f"{', '.join(sorted(backends))}; {', '.join(sorted(models))}."
        )
        return "\n".join([*lines, "", where])


@dataclass(eq=False)
class _Column:
    """A row that runs, and what was seen of it so far."""

    row: Row
    segmenter: Segmenter
    level: int
    counts: list[Counts] = field(default_factory=list)
    flipped: int = 0
    calls: list[dict[str, float]] = field(default_factory=list)
    """Stages in milliseconds of each timed call."""

    def call(self, sample: Sample, truth: Truth) -> Image:
        """The probability map (H, W) of a timed call."""
        time.sleep(_PAUSE)
        segment(self.segmenter, sample, truth)  # a user has one model: caches and threads are not another row's
        found = segment(self.segmenter, sample, truth)
        self.calls.append(found.timings)
        return found.probability

    def finished(self, inside: int) -> Row:
        """The row with its figures; `inside` pixels lie in the fields of view."""
        return replace(
            self.row,
            info=self.segmenter.info,
            metrics=figures.pooled(self.counts, self.level),
            flipped=self.flipped / inside,
            milliseconds=median(sum(stages.values()) for stages in self.calls),
            infer=median(stages["infer"] for stages in self.calls),
        )


@dataclass(frozen=True)
class Plan:
    """Every model on every device in every precision, and how each is measured."""

    models: Sequence[str]
    devices: Sequence[str] = NAMED_DEVICES
    precisions: Sequence[str] = NAMED_PRECISIONS
    threshold: float | None = None
    """None: each model's own."""
    threads: int | None = None
    runs: int = 3

    def __post_init__(self) -> None:
        """Raises OptionError: what this machine lacks is a row, what nobody has is a mistake."""
        for given, known in ((self.devices, DEVICES), (self.precisions, PRECISIONS)):
            unknown = sorted(set(given) - set(known))
            if unknown:
                raise OptionError(f"{', '.join(unknown)}: not known. Expected of: {', '.join(known)}.")
        if self.runs < 1:
            raise OptionError(f"runs is {self.runs}. Expected 1 or more.")

    def rows(self) -> dict[Row, Path]:
        """The rows without figures, and their model files. Raises ModelError for a file that can't be used."""
        made: dict[Row, Path] = {}
        for model in self.models:
            file = find(model)
            manifest, digest = read_manifest(file), sha256(file)
            threshold = manifest.threshold if self.threshold is None else self.threshold
            level_of(threshold)  # raises for one that is out of range
            named = f"{manifest.name} {manifest.version}"
            for device in self.devices:
                rows = (Row(model, named, digest, device, precision, threshold) for precision in self.precisions)
                made |= dict.fromkeys(rows, file)
        return made


def compare(
    plan: Plan, samples: Sequence[Sample], *, name: str, split: str, advance: Callable[[], None] = lambda: None
) -> Comparison:
    """Measures every row on the photographs of the data set `name`; `advance` is called after each photograph.

    Raises what `evaluate` does, DeviceError when this machine has none of the devices and precisions, and
    VesselrtError when a row gives another result from call to call.
    """
    check(samples, f"{name} {split}")
    machine = hardware.machine()  # first: its load is that of others
    with contextlib.ExitStack() as stack:
        found = [_open(row, file, plan.threads, stack) for row, file in plan.rows().items()]
        columns = [column for column in found if isinstance(column, _Column)]
        if not columns:
            reasons = dict.fromkeys(row.missing or "" for row in found if isinstance(row, Row))
            raise DeviceError(f"nothing to compare: no row can run here. {' '.join(reasons)}")
        inside = 0
        for sample in samples:
            inside += _measure(columns, sample, plan.runs)
            advance()
        rows = [part.finished(inside) if isinstance(part, _Column) else part for part in found]
    return Comparison(
        schema=SCHEMA,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine,
        data=name,
        split=split,
        photographs=[sample.name for sample in samples],
        runs=plan.runs,
        rows=rows,
    )


def _open(row: Row, file: Path, threads: int | None, stack: contextlib.ExitStack) -> _Column | Row:
    """The row ready to run, or with the reason why it does not."""
    try:
        device, precision = cast(Device, row.device), cast(AnyPrecision, row.precision)  # checked by the plan
        segmenter = stack.enter_context(load(file, device=device, precision=precision, threads=threads))
        segmenter.warm_up()  # a backend may refuse at the first call only
    except DeviceError as error:
        return replace(row, missing=str(error))
    return _Column(row, segmenter, level_of(row.threshold))


def _measure(columns: Sequence[_Column], sample: Sample, runs: int) -> int:
    """Times and counts a photograph in every row; the number of pixels in its field of view."""
    truth = read_truth(sample)
    maps = [column.call(sample, truth) for column in columns]
    for _ in range(runs - 1):
        for column, first in zip(columns, maps, strict=True):
            if not np.array_equal(column.call(sample, truth), first):
                raise VesselrtError(
                    f"{column.row.model}, {column.row.device}, {column.row.precision}: {sample.name} gave another map "
                    "than the first time. Times of a result that changes are not reported: find out why it does."
                )
    reference = maps[0] >= columns[0].level
    for column, probability in zip(columns, maps, strict=True):
        column.counts.append(truth.count(probability, column.level))
        column.flipped += int((((probability >= column.level) != reference) & truth.inside).sum())
    return int(truth.inside.sum())


def _cells(row: Row) -> list[str]:
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
    return [row.model, row.device, row.precision, *cells, row.missing or ""]


def _line(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
