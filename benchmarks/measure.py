"""What a measurement is: timed calls that are checked, their spread, and fresh processes.

A column maps the bytes of a photograph to the bytes of a mask PNG. Every timed mask must equal the first one.
"""

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields
from json import dumps, loads
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np

from vesselrt.benchmarks.photos import Photo
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Backend
from vesselrt.runtime.devices import AnyPrecision, Device
from vesselrt.runtime.errors import VesselrtError
from vesselrt.runtime.manifest import Precision
from vesselrt.runtime.segmenter import Segmenter, load
from vesselrt.runtime.symmetry import Tta

Column = Callable[[bytes], bytes]
"""Photograph as encoded bytes → mask as PNG bytes."""


class PeerColumn(Protocol):
    """A column beside vesselrt."""

    @property
    def precision(self) -> Precision: ...

    def __call__(self, data: bytes, /) -> bytes: ...


STAGES = ("decode", "prepare", "infer", "finish", "encode")
BURN_IN = 3
"""Calls before the first that counts: threads start, kernels are chosen, memory is drawn."""

MIN_RUNS = 3
"""Runs that are timed however long they take."""

RUNS_FOR_P99 = 200
"""Of fewer, p99 would be told by the one or two slowest."""

_PAUSE_SECONDS = 0.02  # between timed calls: idle threads of the library before stop spinning and leave the cores


@dataclass(frozen=True)
class Spread:
    """How the times of several runs lie, in milliseconds. Percentiles are interpolated linearly between the runs."""

    min: float
    p50: float
    p95: float
    p99: float | None
    """None of fewer than `RUNS_FOR_P99` runs."""
    deviation: float
    """Standard deviation of the sample; 0 of a single run."""

    @classmethod
    def of(cls, milliseconds: Iterable[float]) -> "Spread":
        times = np.array(list(milliseconds), np.float64)
        p50, p95, p99 = (float(p) for p in np.percentile(times, (50, 95, 99)))
        deviation = float(times.std(ddof=1)) if len(times) > 1 else 0.0
        return cls(float(times.min()), p50, p95, p99 if len(times) >= RUNS_FOR_P99 else None, deviation)

    def cells(self, digits: int = 1) -> list[str]:
        """As in a table, under `SPREAD_TITLES`; a dash for what is not told."""
        return ["–" if value is None else f"{value:.{digits}f}" for value in asdict(self).values()]


SPREAD_TITLES = tuple(part.name for part in fields(Spread))


class Subject:
    """vesselrt as a column.

    `calls` has the ms of each call's stages, and of `network`: the part of `infer` that is spent in the backend.
    `windows` has the shape of each batch that the network was given in the last call.
    """

    def __init__(self, segmenter: Segmenter, batch: int | None = None) -> None:
        """`batch`: windows that the network is given at once; None: what suits the device."""
        # The stage `infer` is more than the network: windows are cut and joined there too.
        self._watch = _Stopwatch()
        self._segmenter = segmenter.wrapped(lambda backend: _TimedBackend(backend, self._watch, batch))
        self.calls: list[dict[str, float]] = []

    @property
    def windows(self) -> list[tuple[int, ...]]:
        return self._watch.shapes

    def __call__(self, data: bytes) -> bytes:
        self._watch.start()
        result = self._segmenter.segment(data)
        started = time.perf_counter()
        mask = result.encode("mask")
        encode = (time.perf_counter() - started) * 1e3
        self.calls.append({**result.timings, "encode": encode, "network": self._watch.milliseconds})
        return mask

    def segment_unrecorded(self, data: bytes) -> bytes:
        """The same call without a record of its times: threads may make it at once."""
        return self._segmenter.segment(data).encode("mask")


@dataclass
class _Stopwatch:
    milliseconds: float = 0.0
    shapes: list[tuple[int, ...]] = field(default_factory=list)

    def start(self) -> None:
        self.milliseconds, self.shapes = 0.0, []


class _TimedBackend:
    """Adds to a watch the time spent in another backend, less what it waits for its next batch."""

    def __init__(self, backend: Backend, watch: _Stopwatch, batch: int | None) -> None:
        self.info, self.batch = backend.info, batch or backend.batch
        self._backend, self._watch = backend, watch

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        answers = self._backend.infer(self._untimed(batches))
        while True:
            started = time.perf_counter()
            answer = next(answers, None)
            self._watch.milliseconds += (time.perf_counter() - started) * 1e3
            if answer is None:
                return
            yield answer

    def _untimed(self, batches: Iterable[Image]) -> Iterator[Image]:
        """The same batches; cutting them is the caller's time."""
        started = time.perf_counter()
        for pixels in batches:
            self._watch.milliseconds -= (time.perf_counter() - started) * 1e3
            self._watch.shapes.append(pixels.shape)
            yield pixels
            started = time.perf_counter()
        self._watch.milliseconds -= (time.perf_counter() - started) * 1e3

    def close(self) -> None:
        self._backend.close()


class ColumnError(VesselrtError):
    """What one column gives can't be reported."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"{column}: {reason}")
        self.column, self.reason = column, reason


@dataclass(frozen=True)
class Timed:
    """One column on one photograph."""

    milliseconds: list[float]
    """Of each run, end to end."""
    mask: bytes
    """PNG; the same in every run."""


def interleave(
    columns: dict[str, Column], data: bytes, runs: int, seconds: float | None = None, *, warm_up: int = BURN_IN
) -> dict[str, Timed]:
    """Times the columns run by run in turn, so that a busy moment of the machine hits all of them.

    Where there are several, each calls once before the call that counts: a user has one of them, and its caches and
    threads are not another's. The first `warm_up` runs do not count. After so many `seconds`, warm-up included, no
    further run begins, but at least `MIN_RUNS` are made.

    Raises ColumnError when a run gives another mask than the first one did.
    """
    masks: dict[str, bytes] = {}
    times: dict[str, list[float]] = {name: [] for name in columns}
    end = math.inf if seconds is None else time.monotonic() + seconds
    for run in range(warm_up + runs):
        if run >= warm_up + MIN_RUNS and time.monotonic() > end:
            break
        for name, column in columns.items():
            time.sleep(_PAUSE_SECONDS)
            if len(columns) > 1:
                column(data)
            started = time.perf_counter()
            mask = column(data)
            times[name].append((time.perf_counter() - started) * 1e3)
            if mask != masks.setdefault(name, mask):
                raise ColumnError(
                    name,
                    f"call {run + 1} gave another mask than the first one. Times of a result that changes are not "
                    "reported: find out why it does.",
                )
    return {name: Timed(times[name][warm_up:], masks[name]) for name in columns}


def timed_calls(subject: Subject, runs: int, columns: int) -> list[dict[str, float]]:
    """The calls of a subject that `interleave` timed, when it was the last that called it, among so many columns."""
    turn = 2 if columns > 1 else 1
    return subject.calls[turn - 1 :: turn][-runs:]


def share_differing(one: bytes, other: bytes) -> float:
    """Share of the pixels at which two mask PNGs differ."""
    return float((levels_from_png(one) != levels_from_png(other)).mean())


def levels_from_png(mask: bytes) -> Image:
    """A mask PNG as (H, W) uint8: 0 and 255, of several classes 0 and the number of each pixel's class."""
    decoded = cv2.imdecode(np.frombuffer(mask, np.uint8), cv2.IMREAD_GRAYSCALE)
    if decoded is None:
        raise VesselrtError("a column returned something that is not a PNG.")
    return np.asarray(decoded, np.uint8)


@dataclass(frozen=True)
class FreshStart:
    """A process of its own, from its start to its end, and what it saw in it."""

    process_s: float
    load_s: float
    """Of the model, libraries included."""
    first_ms: float
    """The first call."""
    peak_memory_mb: float | None
    """As in `Fresh`."""


def start_fresh(options: "LoadOptions", photo: Path, seconds: float | None = None) -> FreshStart:
    """Starts a process that loads vesselrt and segments a photograph a few times.

    Raises VesselrtError if it fails, or does not end within so many `seconds`.
    """
    started = time.perf_counter()
    printed = loads(_run_module(["vesselrt.benchmarks.start", str(photo), dumps(asdict(options))], seconds))
    return FreshStart(time.perf_counter() - started, **printed)


@dataclass(frozen=True)
class Fresh:
    """What processes of their own show: nothing was loaded in them before."""

    cold_start_s: list[float]
    """Of each start: `vesselrt predict PHOTO -o MASK` as a user types it, from the start of the process to its end."""
    peak_memory_mb: float | None
    """Peak resident memory (2**20 bytes) of a process that segments the photograph a few times, libraries and model
    included; None where the system does not tell."""


def measure_fresh(options: "LoadOptions", photo: Photo, mask: bytes, starts: int) -> Fresh:
    """Starts `starts` processes to the first mask, and one for its memory.

    Raises VesselrtError when one fails, or when the first mask is not `mask`.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "photo.jpg", Path(folder) / "mask.png"
        source.write_bytes(photo.data)
        times = []
        for _ in range(starts):
            target.unlink(missing_ok=True)
            command = ["vesselrt.cli", "predict", str(source), "-o", str(target), *options.arguments()]
            started = time.perf_counter()
            _run_module(command)
            times.append(time.perf_counter() - started)
            if target.read_bytes() != mask:
                raise VesselrtError(f"{photo.name}: a fresh process gave another mask than this one. Find out why.")
        return Fresh(times, start_fresh(options, source).peak_memory_mb)


@dataclass(frozen=True)
class LoadOptions:
    """How vesselrt is loaded, here and in fresh processes."""

    model: str | None
    device: str
    precision: str
    threads: int | None
    tta: Tta = "none"

    def load(self) -> Segmenter:
        """Raises what `vesselrt.load` does."""
        device, precision = cast(Device, self.device), cast(AnyPrecision, self.precision)  # load checks them
        return load(self.model, device=device, precision=precision, threads=self.threads, tta=self.tta)

    def arguments(self) -> list[str]:
        """As options of the command line."""
        given = {**asdict(self), "tta": None if self.tta == "none" else self.tta}
        return [text for name, value in given.items() if value is not None for text in (f"--{name}", str(value))]


def _run_module(arguments: list[str], seconds: float | None = None) -> str:
    """The standard output of `python -m ...`."""
    return run_python(arguments[0], ["-m", *arguments], seconds)


def run_python(name: str, arguments: list[str], seconds: float | None = None) -> str:
    """The standard output of a process of its own. Raises VesselrtError when it fails or takes longer than `seconds`.

    `name`: of what it runs, for the error.
    """
    command = [sys.executable, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise VesselrtError(f"a fresh process was not done within {seconds:.0f} s ({name}).") from None
    if done.returncode:
        reason = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise VesselrtError(f"a fresh process failed ({name}): {reason[-1]}")
    return done.stdout
