"""The server under load, over real HTTP, beside what one would write otherwise: same run, same photographs.

    python -m vesselrt.benchmarks.load --minutes 10 --json load.json

Each column is a server in a process of its own, asked by 1 to 64 clients at once. By turns with vesselrt's server the
library is called in this process, one photograph after another, so that what else the machine does slows both. Of
vesselrt's server every mask is compared with the library's; the others' masks must not change. Then vesselrt's server
is sent good and hostile requests for some minutes: each must be answered, and its memory must not grow.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from subprocess import Popen
from typing import Annotated

import typer

from vesselrt.benchmarks.load_clients import PhotoRequest, Tally, ask_once, run_clients
from vesselrt.benchmarks.load_soak import SoakReport, soak
from vesselrt.benchmarks.measure import LoadOptions, Spread
from vesselrt.benchmarks.options import DeviceName, JsonFile, ModelName, PrecisionName, ThreadCount, check_choices
from vesselrt.benchmarks.photos import from_size
from vesselrt.benchmarks.reports import MeasurementReport, report_head
from vesselrt.benchmarks.serving import serve_module
from vesselrt.benchmarks.tables import growing_table
from vesselrt.runtime.errors import VesselrtError, as_command
from vesselrt.runtime.hardware import machine
from vesselrt.runtime.modelfile import find_model_file
from vesselrt.runtime.segmenter import Segmenter

SCHEMA = 3
"""Of the JSON. 1 had neither schema, date, versions nor model; 2 no least time, and p99 of any number of answers."""
SIZES = ("565x584", "999x960")
CONCURRENCY = (1, 2, 4, 8, 16, 32, 64)
NEEDED: dict[str, tuple[str, ...]] = {
    "vesselrt": (),
    "fastapi+monai": ("monai",),
    "litserve+monai": ("litserve", "monai"),
    "ray serve+monai": ("ray.serve", "monai"),
}
"""Column → the packages without which it is left out."""
_TURNS = 3
"""Of the library and of the server, in one row."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class LoadRow:
    """One column at one concurrency."""

    column: str
    concurrency: int
    answers: int
    per_s: float
    milliseconds: Spread | None
    """None where none was answered."""
    refused: int
    """503 within the time; clients asked again after what Retry-After said."""
    errors: int
    of_library: float | None
    """`per_s` over that of the library's turns beside it; None for peers."""
    http: float | None
    """ms, p50 of a client's time less that of the photograph's stages; None where others wait, or it is not told."""
    wrong: int
    """Masks that differ from the library's, or of a peer from its first."""

    def cells(self) -> list[str]:
        """As in the table."""
        share = "–" if self.of_library is None else f"{self.of_library:.2f}"
        http_ms = "–" if self.http is None else f"{self.http:.1f}"
        _, p50, _, p99, _ = self.milliseconds.cells() if self.milliseconds else "–––––"
        times = (p50, p99, http_ms)
        counts = (self.refused, self.errors, self.wrong)
        return [self.column, str(self.concurrency), f"{self.per_s:.2f}", share, *times, *map(str, counts)]


TITLES = ("column", "clients", "photographs/s", "of library's", "p50 ms", "p99 ms", "of it HTTP", "refused", "errors",
          "wrong", "")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LoadReport(MeasurementReport):
    """All figures."""

    device: str
    """What the library ran on beside the server."""
    rows: list[LoadRow] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Column → why it was not measured."""
    soak: SoakReport | None = None


@dataclass(frozen=True)
class LoadPlan:
    """What to measure, and how."""

    load: LoadOptions
    workers: int
    """Of vesselrt's server."""
    concurrency: list[int]
    seconds: float
    """Of each row."""

    def serve(self, column: str) -> "AbstractContextManager[tuple[int, Popen[bytes]]]":
        """A column's server, when it is ready: its port and the process."""
        if column == "vesselrt":
            return serve_module("vesselrt.cli", ["serve", *self.load.arguments(), f"--workers={self.workers}"])
        given = {"--model": self.load.model, "--threads": self.load.threads}
        options = [f"{name}={value}" for name, value in given.items() if value]
        return serve_module("vesselrt.benchmarks.peers", [column.split("+", maxsplit=1)[0], *options])


@app.command()
def load_command(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    model: ModelName = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    threads: ThreadCount = None,
    workers: Annotated[int, typer.Option(help="Processes of vesselrt's server.")] = 1,
    data: Annotated[Path | None, typer.Option(help="Folder of CHASE_DB1 or HRF; default: drawn photographs.")] = None,
    size: Annotated[
        list[str] | None, typer.Option(metavar="WxH", help=f"Of a photograph; repeat; default: {', '.join(SIZES)}.")
    ] = None,
    column: Annotated[list[str] | None, typer.Option(help=f"Repeat for more; default: {', '.join(NEEDED)}.")] = None,
    concurrency: Annotated[
        list[int] | None, typer.Option(help=f"Clients at once; repeat; default: {', '.join(map(str, CONCURRENCY))}.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Of each row.")] = 10,
    minutes: Annotated[float, typer.Option(help="Of mixed good and hostile traffic; 0: none.")] = 10,
    json: JsonFile = None,
) -> None:
    """Measure the server under load, over real HTTP, beside what one would write otherwise."""
    where = machine()
    plan = LoadPlan(LoadOptions(model, device, precision, threads), workers, list(concurrency or CONCURRENCY), seconds)
    columns = check_choices("--column", column, NEEDED)
    with plan.load.load() as segmenter:
        requests = [PhotoRequest.of(from_size(one, data), segmenter) for one in size or SIZES]
        head = report_head(SCHEMA, where, find_model_file(model), segmenter.manifest, {})
        report = LoadReport(**head, device=str(segmenter.info))
        with growing_table(*TITLES) as add_row:
            if "vesselrt" in columns:
                _measure_server(plan, segmenter, requests, report, add_row)
            for peer in (name for name in columns if name != "vesselrt"):
                _measure_peer(plan, peer, requests, report, add_row)
    if minutes:
        with plan.serve("vesselrt") as (port, process):
            report = replace(report, soak=soak(port, process, requests, minutes))
        typer.echo(f"\n{report.soak}")
    report.write(json)


def _measure_server(
    plan: LoadPlan, segmenter: Segmenter, requests: list[PhotoRequest], report: LoadReport, add_row: Callable[..., None]
) -> None:
    """Vesselrt's server, in turns with the library's own calls in this process."""
    with plan.serve("vesselrt") as (port, _):
        for concurrency in plan.concurrency:
            for row in _measure_beside_library(segmenter, port, requests, concurrency, plan.seconds):
                report.rows.append(row)
                add_row(*row.cells())


def _measure_peer(
    plan: LoadPlan, column: str, requests: list[PhotoRequest], report: LoadReport, add_row: Callable[..., None]
) -> None:
    """A peer's server; one that can't be measured is a row with the reason."""
    reason = _find_lack(column)
    try:
        if not reason:
            with plan.serve(column) as (port, _):
                own = [replace(request, mask=ask_once(column, port, request)) for request in requests]
                for concurrency in plan.concurrency:
                    tally = run_clients(column, port, own, concurrency, plan.seconds)
                    row = row_from_tallies(column, concurrency, [tally])
                    report.rows.append(row)
                    add_row(*row.cells())
    except VesselrtError as error:  # a peer that does not start takes no other column with it
        reason = str(error)
    if reason:
        report.skipped[column] = reason
        add_row(column, *["–"] * (len(TITLES) - 2), reason)


def _measure_beside_library(
    segmenter: Segmenter, port: int, requests: list[PhotoRequest], concurrency: int, seconds: float
) -> tuple[LoadRow, LoadRow]:
    """The library's own calls, and vesselrt's server, in turns of `seconds` in all."""
    library, server = [], []
    for _ in range(_TURNS):
        library.append(_call_library(segmenter, requests, seconds / _TURNS))
        server.append(run_clients("vesselrt", port, requests, concurrency, seconds / _TURNS))
    beside = row_from_tallies("library, no HTTP", 1, library)
    row = row_from_tallies("vesselrt", concurrency, server)
    return beside, replace(row, of_library=row.per_s / beside.per_s)


def _call_library(segmenter: Segmenter, requests: list[PhotoRequest], seconds: float) -> Tally:
    """The library's own call, one photograph after another."""
    segmenter.segment(requests[0].data)  # wakes its threads, which the server's turn has put to sleep
    tally, started = Tally(), time.perf_counter()
    for request in cycle(requests):
        begun = time.perf_counter()
        tally.wrong += segmenter.segment(request.data).encode("mask") != request.mask
        tally.milliseconds.append((time.perf_counter() - begun) * 1e3)
        if time.perf_counter() > started + seconds:
            break
    tally.seconds = time.perf_counter() - started
    return tally


def row_from_tallies(column: str, concurrency: int, turns: list[Tally]) -> LoadRow:
    """The figures of all turns together."""
    total = Tally.sum(turns)
    answers = len(total.milliseconds)
    return LoadRow(
        column,
        concurrency,
        answers,
        per_s=answers / total.seconds,
        milliseconds=Spread.of(total.milliseconds) if answers else None,
        refused=total.refused,
        errors=total.errors,
        of_library=None,
        http=Spread.of(total.http).p50 if concurrency == 1 and total.http else None,
        wrong=total.wrong,
    )


def _find_lack(column: str) -> str:
    """Why a column can't be measured here; empty where it can."""
    for package in NEEDED[column]:
        try:
            there = find_spec(package) is not None
        except ModuleNotFoundError:
            there = False
        if not there:
            return f"{package} is not installed"
    return ""


if __name__ == "__main__":
    with as_command():
        app()
