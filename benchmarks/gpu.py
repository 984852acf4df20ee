"""Everything that is claimed of GPUs, checked and timed in one run, on a machine that has one.

    python -m vesselrt.benchmarks.gpu --data DATA --json gpu.json

Columns take turns on the same photographs and weights, in one process:

    reference     vesselrt on the processor in f32: its masks are what the others are compared with
    torch ...     the network in PyTorch, eager in f32 and fp16 and by torch.compile in fp16 (see `twin.TorchBackend`)
    cuda:...      vesselrt on each library that runs on GPUs
    sm80 engine   on a GPU of compute capability 9.0, which TensorRT for RTX does not name: an engine for 8.0

PyTorch's columns have vesselrt's own path around the network, so that the networks alone differ. Two times are kept
apart: `engine`, in the network, from windows of bytes in the host's memory to probabilities there, the GPU waited for;
and `end_to_end`, from the bytes of a photograph to the bytes of its mask PNG. A column whose shapes are fixed computes
whole tiles; PyTorch may take smaller windows, to its advantage.

A column that can't run here, or that fails on the way, is a row with the reason, and the others go on. The exit code is
0 when there is a report, whatever it says; 1 when there is none, with the reason; 2 for a wrong option.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer

from vesselrt.benchmarks.bench import Score, score
from vesselrt.benchmarks.gpu_report import DEVICES, PEER, PROBE, REFERENCE, SCHEMA, Figures, Report, Row, Tried, judge
from vesselrt.benchmarks.measure import (
    Column,
    ColumnError,
    Options,
    Spread,
    Start,
    Subject,
    counted,
    differing,
    interleave,
    start,
)
from vesselrt.benchmarks.photos import Photo, from_file, from_size, held_out
from vesselrt.runtime.errors import DataError, DeviceError, MissingExtraError, OptionError, VesselrtError
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.hardware import find_gpu, machine
from vesselrt.runtime.modelfile import find, read_manifest, sha256
from vesselrt.runtime.segmenter import Segmenter

SIZES = ("999x960", "3504x2336")
"""Width x height: CHASE_DB1, HRF."""
SCORED = "CHASE_DB1"

_MODULES = (
    *("numpy", "cv2", "PIL", "openvino", "onnx", "onnxruntime"),
    *("torch", "triton", "tensorrt", "tensorrt_rtx", "cuda"),
)

_CACHES = ("VESSELRT_CACHE", "CUDA_CACHE_PATH", "TORCHINDUCTOR_CACHE_DIR")
"""Environment variables that name the folders of engines and kernels."""

T = TypeVar("T")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Entrant:
    """A column while it is measured. What fails is its refusal, and then it takes no further part."""

    def __init__(self, column: str, load: Callable[[], Segmenter], options: Options | None = None) -> None:
        """`options` where fresh processes can be started with them."""
        self.row, self._load, self._options = Row(column), load, options
        self.subject: Subject | None = None
        self._segmenter: Segmenter | None = None

    def enter(self, photo: Photo, starts: int) -> None:
        """Starts `starts` fresh processes, then loads here and calls once."""
        try:
            if self._options is not None and starts:
                self.row.starts = _started(self._options, photo, starts)
            began = time.perf_counter()
            self._segmenter = self._load()
            loaded = time.perf_counter()
            self.subject, self.row.info = Subject(self._segmenter), self._segmenter.info
            self.subject(photo.data)
            self.row.load_s, self.row.first_ms = loaded - began, (time.perf_counter() - loaded) * 1e3
        except Exception as error:  # noqa: BLE001 - whatever a GPU library raises, the other columns go on
            self.leave(_reason(error))

    def __call__(self, data: bytes) -> bytes:
        """Photograph → mask PNG. Raises ColumnError for whatever goes wrong."""
        if self.subject is None:
            raise ColumnError(self.row.column, self.row.refusal or "is not loaded")
        try:
            return self.subject(data)
        except Exception as error:
            raise ColumnError(self.row.column, _reason(error)) from error

    def leave(self, reason: str = "") -> None:
        """Gives everything back; with a reason, which stays in the row."""
        self.row.refusal = self.row.refusal or reason
        self.subject, segmenter, self._segmenter = None, self._segmenter, None
        if segmenter is not None:
            with suppress(Exception):  # what failed once may fail here again, and there is nothing more to lose
                segmenter.close()


@app.command()
def gpu(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WxH", help=f"Size to measure; repeat for more; default: {', '.join(SIZES)}."),
    ] = None,
    photo: Annotated[
        list[Path] | None, typer.Option(help="Photograph to measure instead of sizes; repeat for more.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Built-in model or model file; default: fundus.")] = None,
    runs: Annotated[int, typer.Option(min=3, help="Timed calls on each photograph.")] = 50,
    starts: Annotated[int, typer.Option(min=0, help="Fresh processes for each column of vesselrt; 0: none.")] = 2,
    data: Annotated[
        Path | None, typer.Option(help="Folder of CHASE_DB1 and HRF: photographs for the sizes, and F1 on CHASE_DB1.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="With --data: test photographs for F1.")] = 8,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
) -> None:
    """Build, check and time every way to run a model on this machine's GPU, side by side."""
    if size and photo:
        raise OptionError("--size and --photo exclude each other: a photograph has its own size.")
    scored: list[Path] = []
    if data is not None:
        scored = held_out(data).get(SCORED, [])[:images]
        if not scored:
            raise DataError(f"{data}: no folder {SCORED}, on which F1 is measured. Add it, or run without --data.")
    photos = [from_file(p) for p in photo] if photo else [from_size(s, data) for s in size or SIZES]
    report = run(find(model), photos, runs, starts, scored)
    typer.echo(report.table())
    if json is not None:
        with atomic_write(json) as name:
            name.write_text(report.to_json() + "\n", "utf-8")


def run(path: Path, photos: list[Photo], runs: int, starts: int, scored: list[Path]) -> Report:
    """Measures every column; progress goes to the error stream. Raises VesselrtError when the reference fails."""
    where, found = machine(), describe_gpu()
    with _fresh_caches() as folder:
        probe = _probe(path, folder / "sm80.engine") if found.get("target") == "sm90" else []
        entrants = columns(path, folder / "sm80.engine" if probe else None)
        if probe and probe[0].code:
            next(e for e in entrants if e.row.column == PROBE).row.refusal = probe[0].output.splitlines()[-1]
        scores = measure(entrants, photos, runs, 0 if "missing" in found else starts, scored)
    manifest, rows = read_manifest(path), [entrant.row for entrant in entrants]
    return Report(
        schema=SCHEMA,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=where,
        gpu=found,
        versions=_versions(),
        model={
            "name": manifest.name,
            "version": manifest.version,
            "sha256": sha256(path),
            "threshold": manifest.threshold,
        },
        runs=runs,
        photos={photo.name: photo.source for photo in photos},
        rows=rows,
        scores=scores,
        probe=probe,
        judgements=judge(rows, [photo.name for photo in photos]),
    )


def columns(path: Path, engine: Path | None) -> list[Entrant]:
    """All columns, the reference first; `engine` for `sm80 engine`."""

    def ours(column: str, model: Path, device: str, precision: str = "auto") -> Entrant:
        options = Options(str(model), device, precision, None)
        return Entrant(column, options.load, options)

    return [
        ours(REFERENCE, path, "cpu", "f32"),
        Entrant("torch eager f32", partial(_torch, path, "f32")),
        Entrant(PEER, partial(_torch, path, "fp16")),
        Entrant("torch compile fp16", partial(_torch, path, "fp16", compiled=True)),
        *([ours(PROBE, engine, "cuda")] if engine else []),
        *(ours(device, path, device) for device in DEVICES),
    ]


def measure(entrants: list[Entrant], photos: list[Photo], runs: int, starts: int, scored: list[Path]) -> list[Score]:
    """Fills the rows of the entrants, of which the first is the reference; returns F1 where photographs are `scored`.

    Raises VesselrtError when the reference fails.
    """
    for entrant in entrants:
        if not entrant.row.refusal:
            typer.echo(f"{entrant.row.column}: loading", err=True)
            entrant.enter(photos[0], starts)
    if entrants[0].row.refusal:
        raise VesselrtError(f"{REFERENCE}: {entrants[0].row.refusal}")
    for photo in photos:
        typer.echo(f"{photo.name} ({photo.source}): {runs} runs", err=True)
        _running(entrants, partial(_time, entrants, photo, runs))
    scores = []
    if scored:
        scores.append(_running(entrants, lambda running: score(SCORED, scored, lambda _: running)))
        for entrant in entrants:
            entrant.row.f1 = scores[0].f1.get(entrant.row.column)
    for entrant in entrants:
        entrant.leave()
    return scores


def _running(entrants: list[Entrant], do: Callable[[dict[str, Column]], T]) -> T:
    """`do` with the columns that run; one that fails leaves, and the others begin again."""
    while True:
        running = {entrant.row.column: entrant for entrant in entrants if not entrant.row.refusal}
        try:
            return do(dict[str, Column](running))
        except ColumnError as error:
            if error.column == REFERENCE:
                raise
            running[error.column].leave(error.reason)


def _time(entrants: list[Entrant], photo: Photo, runs: int, running: dict[str, Column]) -> None:
    """Times the running columns on a photograph, in turn."""
    for entrant in entrants:
        if entrant.subject is not None:
            entrant.subject.calls.clear()
    timed = interleave(running, photo.data, runs)
    for entrant in entrants:
        if entrant.subject is not None:
            calls, own = counted(entrant.subject, runs, len(timed)), timed[entrant.row.column]
            entrant.row.photos[photo.name] = Figures(
                end_to_end=Spread.of(own.milliseconds),
                engine=Spread.of(call["network"] for call in calls),
                codec=Spread.of(call["decode"] + call["encode"] for call in calls),
                pixels_differ=differing(own.mask, timed[REFERENCE].mask),
            )


def describe_gpu() -> dict[str, str]:
    """As in `Report.gpu`."""
    try:
        found = find_gpu()
    except DeviceError as error:
        return {"missing": str(error)}
    asked = ("driver_version", "memory.total", "clocks.max.sm", "power.limit")
    told = _run(["nvidia-smi", "--id=0", f"--query-gpu={','.join(asked)}", "--format=csv,noheader"])
    values = [] if told.code else told.output.split(", ")
    return {"name": found.name, "target": found.target, **dict(zip(asked, values, strict=False))}


def _torch(path: Path, precision: Literal["f32", "fp16"], *, compiled: bool = False) -> Segmenter:
    try:
        from vesselrt.benchmarks.twin import TorchBackend
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vesselrt"):
            raise
        raise MissingExtraError.of("PyTorch's columns", "bench") from None
    return Segmenter(read_manifest(path), TorchBackend(path, precision, compiled=compiled))


def _probe(path: Path, engine: Path) -> list[Tried]:
    """Compiles an engine for sm80, and asks whether it runs here."""
    vesselrt = [sys.executable, "-m", "vesselrt.cli"]
    made = _run([*vesselrt, "compile", str(path), "--target", "sm80", "-o", str(engine)])
    return [made] if made.code else [made, _run([*vesselrt, "engine", "info", str(engine)])]


def _run(command: list[str]) -> Tried:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        return Tried(command, 127, str(error))
    return Tried(command, done.returncode, (done.stdout + done.stderr).strip())


@contextmanager
def _fresh_caches() -> Iterator[Path]:
    """A folder for engines and kernels that is empty now and gone afterwards, for this process and those it starts."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        given = {
            name: str(Path(folder) / name) for name in ("VESSELRT_CACHE", "CUDA_CACHE_PATH", "TORCHINDUCTOR_CACHE_DIR")
        }
        before = {name: os.environ.get(name) for name in given}
        os.environ.update(given)
        try:
            yield Path(folder)
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


def _started(options: Options, photo: Photo, starts: int) -> list[Start]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photo"
        source.write_bytes(photo.data)
        return [start(options, source) for _ in range(starts)]


def _reason(error: Exception) -> str:
    """What vesselrt says as it is; of other libraries the kind of error too, and the first line."""
    if isinstance(error, VesselrtError):
        return str(error)
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _versions() -> dict[str, str]:
    """Of what is installed and bears on the figures."""
    names = packages_distributions()
    return {"vesselrt": version("vesselrt"), "python": sys.version.split()[0]} | {
        name: version(name) for module in _MODULES for name in names.get(module, ())
    }


def main() -> None:
    """`python -m vesselrt.benchmarks.gpu`: errors become one line and exit code 1."""
    try:
        app()
    except VesselrtError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
