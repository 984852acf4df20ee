"""The columns of `benchmarks.gpu`, and how they are measured within a given time."""

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import typer

from vesselrt.benchmarks.bench_report import Score
from vesselrt.benchmarks.bench_run import score_columns
from vesselrt.benchmarks.gpu_report import DEVICES, PEER, REFERENCE, Figures, GpuRow
from vesselrt.benchmarks.measure import (
    Column,
    ColumnError,
    FreshStart,
    LoadOptions,
    Spread,
    Subject,
    interleave,
    share_differing,
    start_fresh,
    timed_calls,
)
from vesselrt.benchmarks.photos import Photo
from vesselrt.runtime.errors import MissingExtraError, VesselrtError
from vesselrt.runtime.modelfile import read_manifest
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.training.data.samples import Sample

SCORED = "CHASE_DB1"
"""The data set on which F1 is measured."""

_SHARE_FOR_PHOTOS = 0.4
"""Share of the time that is kept for the photographs: what loads longer finds none left."""

T = TypeVar("T")


class TimeBudget:
    """The time that the whole measurement may take."""

    def __init__(self, seconds: float) -> None:
        self.whole, self._began = seconds, time.monotonic()

    @property
    def passed(self) -> float:
        """Seconds."""
        return time.monotonic() - self._began

    def left(self, kept: float = 0.0) -> float:
        """Seconds, less the share of the whole that is kept for later; 0 where there are none."""
        return max(0.0, self.whole * (1 - kept) - self.passed)


@dataclass(frozen=True)
class GpuPlan:
    """What to measure."""

    model: Path
    photos: list[Photo]
    runs: int
    starts: int
    scored: list[Sample]
    """Photographs for F1."""


class Entrant:
    """A column while it is measured. What fails is its refusal, and then it takes no further part."""

    def __init__(self, column: str, load: Callable[[], Segmenter], options: LoadOptions | None = None) -> None:
        """`options` where fresh processes can be started with them."""
        self.row, self._load, self._options = GpuRow(column), load, options
        self.subject: Subject | None = None
        self._segmenter: Segmenter | None = None

    def enter(self, photo: Photo, starts: int, budget: TimeBudget) -> None:
        """Starts `starts` fresh processes while there is time, then loads here and calls once."""
        if not budget.left(_SHARE_FOR_PHOTOS) and self.row.column != REFERENCE:
            self.leave(f"no time was left for it in {budget.whole / 60:.2g} minutes. Give more with --minutes.")
            return
        try:
            if self._options is not None and starts:
                self.row.starts = _start_fresh_processes(self._options, photo, starts, budget)
            began = time.perf_counter()
            self._segmenter = self._load()
            loaded = time.perf_counter()
            self.subject, self.row.info = Subject(self._segmenter), self._segmenter.info
            self.subject(photo.data)
            self.row.load_s, self.row.first_ms = loaded - began, (time.perf_counter() - loaded) * 1e3
        except Exception as error:  # noqa: BLE001 - whatever a GPU library raises, the other columns go on
            self.leave(_describe_error(error))

    def __call__(self, data: bytes) -> bytes:
        """Photograph → mask PNG. Raises ColumnError for whatever goes wrong."""
        if self.subject is None:
            raise ColumnError(self.row.column, self.row.refusal or "is not loaded")
        try:
            return self.subject(data)
        except Exception as error:
            raise ColumnError(self.row.column, _describe_error(error)) from error

    def leave(self, reason: str = "") -> None:
        """Gives everything back; with a reason, which stays in the row."""
        self.row.refusal = self.row.refusal or reason
        self.subject, segmenter, self._segmenter = None, self._segmenter, None
        if segmenter is not None:
            with suppress(Exception):  # what failed once may fail here again, and there is nothing more to lose
                segmenter.close()


def list_columns(path: Path) -> list[Entrant]:
    """All columns, the reference first, what takes longest to load last."""

    def ours(column: str, device: str, precision: str = "auto") -> Entrant:
        options = LoadOptions(str(path), device, precision, None)
        return Entrant(column, options.load, options)

    return [
        ours(REFERENCE, "cpu", "f32"),
        Entrant("torch eager f32", partial(_load_torch, path, "f32")),
        Entrant(PEER, partial(_load_torch, path, "fp16")),
        *(ours(device, device) for device in DEVICES),
        Entrant("torch compile fp16", partial(_load_torch, path, "fp16", compiled=True)),
    ]


def measure_columns(
    entrants: list[Entrant], plan: GpuPlan, budget: TimeBudget, tell: Callable[[], None]
) -> list[Score]:
    """Fills the rows of the entrants, of which the first is the reference; returns F1 where photographs are scored.

    `tell` is called after every part. Raises VesselrtError when the reference fails.
    """
    for entrant in entrants:
        typer.echo(f"{entrant.row.column}: loading", err=True)
        entrant.enter(plan.photos[0], plan.starts, budget)
        tell()
    if entrants[0].row.refusal:
        raise VesselrtError(f"{REFERENCE}: {entrants[0].row.refusal}")
    parts = len(plan.photos) + bool(plan.scored)
    for done, photo in enumerate(plan.photos):
        typer.echo(f"{photo.name} ({photo.source}): up to {plan.runs} runs", err=True)
        seconds = budget.left() / (parts - done)
        _with_running(entrants, partial(_time_columns, entrants, photo, plan.runs, seconds))
        tell()
    scores, scored = [], plan.scored if budget.left() else []
    if scored:
        scores.append(_with_running(entrants, lambda running: score_columns(SCORED, scored, lambda _: running)))
        for entrant in entrants:
            entrant.row.f1 = scores[0].f1.get(entrant.row.column)
    for entrant in entrants:
        entrant.leave()
    return scores


def _with_running(entrants: list[Entrant], do: Callable[[dict[str, Column]], T]) -> T:
    """`do` with the columns that run; one that fails leaves, and the others begin again."""
    while True:
        running = {entrant.row.column: entrant for entrant in entrants if not entrant.row.refusal}
        try:
            return do(dict[str, Column](running))
        except ColumnError as error:
            if error.column == REFERENCE:
                raise
            running[error.column].leave(error.reason)


def _time_columns(entrants: list[Entrant], photo: Photo, runs: int, seconds: float, running: dict[str, Column]) -> None:
    """Times the running columns on a photograph, in turn, for so many seconds."""
    for entrant in entrants:
        if entrant.subject is not None:
            entrant.subject.calls.clear()
    timed = interleave(running, photo.data, runs, seconds)
    for entrant in entrants:
        if entrant.subject is not None:
            own = timed[entrant.row.column]
            calls = timed_calls(entrant.subject, len(own.milliseconds), len(timed))
            entrant.row.photos[photo.name] = Figures(
                end_to_end=Spread.of(own.milliseconds),
                engine=Spread.of(call["network"] for call in calls),
                codec=Spread.of(call["decode"] + call["encode"] for call in calls),
                pixels_differ=share_differing(own.mask, timed[REFERENCE].mask),
                runs=len(own.milliseconds),
            )


def _load_torch(path: Path, precision: Literal["f32", "fp16"], *, compiled: bool = False) -> Segmenter:
    try:
        from vesselrt.benchmarks.twin import TorchBackend
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vesselrt"):
            raise
        raise MissingExtraError.of("PyTorch's columns", "bench") from None
    return Segmenter(read_manifest(path), TorchBackend(path, precision, compiled=compiled))


def _start_fresh_processes(options: LoadOptions, photo: Photo, starts: int, budget: TimeBudget) -> list[FreshStart]:
    """As many as there is time for. Raises VesselrtError when the first one fails or takes all the time."""
    done: list[FreshStart] = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photo"
        source.write_bytes(photo.data)
        while len(done) < starts and (not done or budget.left(_SHARE_FOR_PHOTOS) > 2 * done[-1].process_s):
            done.append(start_fresh(options, source, max(10.0, budget.left(_SHARE_FOR_PHOTOS))))
    return done


def _describe_error(error: Exception) -> str:
    """What vesselrt says as it is; of other libraries the kind of error too, and the first line."""
    if isinstance(error, VesselrtError):
        return str(error)
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
