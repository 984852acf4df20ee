"""Many photographs: how many a second, by each way to work on them that docs/processes.md names.

    python -m vesselrt.benchmarks.many --data DATA --json many.json

The ways take turns, round by round, so that a busy moment of the machine hits all of them. Every mask is compared with
the first one. Beside the photographs a second stand the processor's seconds for each: what a machine with nothing else
to do can't fall below, divided by its cores.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.pool import Pool
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

from vesselrt.benchmarks.measure import ColumnError, LoadOptions
from vesselrt.benchmarks.options import (
    DeviceName,
    JsonFile,
    ModelName,
    PhotoFiles,
    PrecisionName,
    ThreadCount,
    check_choices,
)
from vesselrt.benchmarks.photos import choose_photos
from vesselrt.benchmarks.reports import MeasurementReport, report_head
from vesselrt.benchmarks.tables import growing_table
from vesselrt.runtime.errors import as_command
from vesselrt.runtime.hardware import machine, usable_cores
from vesselrt.runtime.modelfile import find_model_file
from vesselrt.runtime.segmenter import Segmenter

SCHEMA = 1
SIZES = ("565x584", "999x960", "3504x2336")
WAYS = ("one after the other", "segment_many", "threads", "processes")
"""`threads`: as many as cores call one Segmenter. `processes`: as many as cores, of one thread each."""
TITLES = ("photograph", "way", "photographs/s", "of one after the other", "processor ms", "at best/s")

Way = Callable[[bytes, int], tuple[list[bytes], float]]
"""Photograph and number of times → a mask PNG for each, and the seconds of the processor that all took."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class WayRow:
    """One way on one photograph. Lists have a value for each round."""

    photograph: str
    source: str
    way: str
    per_s: list[float]
    """Photographs a second."""
    ratio: list[float]
    """`per_s` over that of one after the other in the same round."""
    processor_ms: list[float]
    """Of a photograph, of all threads and processes."""

    def cells(self) -> list[str]:
        """As in the table: medians; at best: what the least time of the processor allows on these cores."""
        best = usable_cores() / min(self.processor_ms) * 1e3
        rates = f"{median(self.per_s):.2f}", f"{median(self.ratio):.2f}"
        return [self.photograph, self.way, *rates, f"{median(self.processor_ms):.0f}", f"{best:.2f}"]


@dataclass(frozen=True, kw_only=True)
class ManyReport(MeasurementReport):
    """All figures."""

    device: str
    rows: list[WayRow]


@app.command()
def many_command(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    model: ModelName = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    threads: ThreadCount = None,
    data: Annotated[Path | None, typer.Option(help="Folder of CHASE_DB1 or HRF; default: drawn photographs.")] = None,
    size: Annotated[
        list[str] | None, typer.Option(metavar="WxH", help=f"Of a photograph; repeat; default: {', '.join(SIZES)}.")
    ] = None,
    photo: PhotoFiles = None,
    way: Annotated[list[str] | None, typer.Option(help=f"Repeat for more; default: {', '.join(WAYS)}.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Photographs of each way in a round.")] = 16,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    json: JsonFile = None,
) -> None:
    """Measure how many photographs a second each way to work on many gives."""
    where, options = machine(), LoadOptions(model, device, precision, threads)
    chosen = check_choices("--way", way, WAYS)
    with options.load() as segmenter, _open_ways(segmenter, options, chosen) as ways, growing_table(*TITLES) as add_row:
        head = report_head(SCHEMA, where, find_model_file(model), segmenter.manifest, {})
        report = ManyReport(**head, device=str(segmenter.info), rows=[])
        for one in choose_photos(size, photo, data, SIZES):
            rates: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for number in range(rounds + 1):  # the first does not count: shapes are compiled in it
                for name, rate in _run_round(ways, one.data, count).items():
                    rates[name] += [rate] if number else []
            base = [per_s for per_s, _ in rates[WAYS[0]]]
            for name in chosen:
                per_s, processor = ([rate[place] for rate in rates[name]] for place in (0, 1))
                ratio = [found / alone for found, alone in zip(per_s, base, strict=True)]
                report.rows.append(WayRow(one.name, one.source, name, per_s, ratio, processor))
                add_row(*report.rows[-1].cells())
    report.write(json)


def _run_round(ways: dict[str, Way], data: bytes, count: int) -> dict[str, tuple[float, float]]:
    """Of each way: photographs a second, and the processor's ms for each. Raises ColumnError where masks differ."""
    found, expected = {}, None
    for name, way in ways.items():
        started = time.perf_counter()
        masks, seconds = way(data, count)
        found[name] = (count / (time.perf_counter() - started), seconds / count * 1e3)
        expected = expected or masks[0]
        if masks != [expected] * count:
            raise ColumnError(name, "it gave another mask than one photograph after the other. Find out why.")
    return found


@contextmanager
def _open_ways(segmenter: Segmenter, options: LoadOptions, chosen: list[str]) -> Iterator[dict[str, Way]]:
    """Those that are chosen, and the one that they are compared with, which is the first."""
    cores = segmenter.info.threads or usable_cores()

    def mask_of(data: bytes) -> bytes:
        return segmenter.segment(data).encode()

    def many(data: bytes, count: int) -> list[bytes]:
        masks = segmenter.segment_many([data] * count, lambda _, result: result.encode())
        return [mask for mask in masks if isinstance(mask, bytes)]

    with ExitStack() as opened:
        ways = {
            WAYS[0]: _timed_here(lambda data, count: [mask_of(data) for _ in range(count)]),
            WAYS[1]: _timed_here(many),
        }
        if WAYS[2] in chosen:
            pool = opened.enter_context(ThreadPoolExecutor(cores))
            ways[WAYS[2]] = _timed_here(lambda data, count: list(pool.map(mask_of, [data] * count)))
        if WAYS[3] in chosen:
            alone = LoadOptions(options.model, options.device, options.precision, 1)
            context = multiprocessing.get_context("spawn")  # a Segmenter does not survive a fork
            ways[WAYS[3]] = _timed_there(opened.enter_context(context.Pool(cores, _load_in_process, [alone])))
        yield {name: way for name, way in ways.items() if name in (WAYS[0], *chosen)}


def _timed_here(run: Callable[[bytes, int], list[bytes]]) -> Way:
    def way(data: bytes, count: int) -> tuple[list[bytes], float]:
        before = time.process_time()
        masks = run(data, count)
        return masks, time.process_time() - before

    return way


def _timed_there(pool: Pool) -> Way:
    def way(data: bytes, count: int) -> tuple[list[bytes], float]:
        done = pool.map(_mask_in_process, [data] * count, chunksize=1)
        return [mask for mask, _ in done], sum(seconds for _, seconds in done)

    return way


_loaded: list[Segmenter] = []
"""In a process of the pool: its own."""


def _load_in_process(options: LoadOptions) -> None:
    _loaded.append(options.load())


def _mask_in_process(data: bytes) -> tuple[bytes, float]:
    """The mask PNG, and the seconds of the processor."""
    before = time.process_time()
    mask = _loaded[0].segment(data).encode()
    return mask, time.process_time() - before


if __name__ == "__main__":
    with as_command():
        app()
