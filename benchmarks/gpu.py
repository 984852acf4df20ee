"""Everything that is claimed of GPUs, checked and timed in one run, on a machine that has one.

    python -m vesselrt.benchmarks.gpu --data DATA --json gpu.json

Columns take turns on the same photographs and weights, in one process:

    reference     vesselrt on the processor in f32: its masks are what the others are compared with
    torch ...     the network in PyTorch, eager in f32 and fp16 and by torch.compile in fp16 (see `twin.TorchBackend`)
    cuda:...      vesselrt on each library that runs on GPUs

PyTorch's columns have vesselrt's own path around the network, so that the networks alone differ. Two times are kept
apart: `engine`, in the network, from windows of bytes in the host's memory to probabilities there, the GPU waited for;
and `end_to_end`, from the bytes of a photograph to the bytes of its mask PNG. A column whose shapes are fixed computes
whole tiles; PyTorch may take smaller windows, to its advantage.

Before them the way to the GPU and back is checked with a network that needs no TensorRT (see `gpu_layer`): so the card
proves something of vesselrt where TensorRT for RTX builds no engine for it, as for an H100.

A column that can't run here, or that fails on the way, is a row with the reason, and the others go on. All of it takes
`--minutes` at the most, without a network: what has no time left is a row that says so, and the report is written anew
after every part. The exit code is 0 when there is a report, whatever it says; 1 when there is none, with the reason; 2
for a wrong option.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import packages_distributions, version
from pathlib import Path
from threading import Timer
from typing import Annotated

import typer

from vesselrt.benchmarks.bench_report import Score
from vesselrt.benchmarks.gpu_columns import SCORED, GpuPlan, TimeBudget, list_columns, measure_columns
from vesselrt.benchmarks.gpu_layer import Check, run_in_processes
from vesselrt.benchmarks.gpu_report import SCHEMA, GpuReport, judge
from vesselrt.benchmarks.options import ModelName, PhotoFiles
from vesselrt.benchmarks.photos import choose_photos, held_out
from vesselrt.benchmarks.reports import report_head
from vesselrt.runtime.errors import DataError, DeviceError, as_command
from vesselrt.runtime.files import check_writable
from vesselrt.runtime.hardware import find_gpu, machine
from vesselrt.runtime.modelfile import find_model_file, read_manifest
from vesselrt.training.data.samples import Sample

SIZES = ("999x960", "3504x2336")
"""Width x height: CHASE_DB1, HRF."""

_MODULES = (
    *("numpy", "cv2", "PIL", "openvino", "onnx", "onnxruntime"),
    *("torch", "triton", "tensorrt", "tensorrt_rtx", "cuda"),
)

_CACHES = ("VESSELRT_CACHE", "CUDA_CACHE_PATH", "TORCHINDUCTOR_CACHE_DIR")
"""Environment variables that name the folders of engines and kernels."""

_SHARE_FOR_LAYER = 0.25
"""Share of the time."""
_GRACE_SECONDS = 45
"""After the time is over, until a library that does not come back is left behind."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def gpu_command(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WxH", help=f"Size to measure; repeat for more; default: {', '.join(SIZES)}."),
    ] = None,
    photo: PhotoFiles = None,
    model: ModelName = None,
    runs: Annotated[int, typer.Option(min=3, help="Timed calls on each photograph.")] = 50,
    starts: Annotated[int, typer.Option(min=0, help="Fresh processes for each column of vesselrt; 0: none.")] = 2,
    data: Annotated[
        Path | None, typer.Option(help="Folder of CHASE_DB1 and HRF: photographs for the sizes, and F1 on CHASE_DB1.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="With --data: test photographs for F1.")] = 8,
    minutes: Annotated[float, typer.Option(min=0.1, help="For everything.")] = 6.5,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file, anew after every part.")] = None,
) -> None:
    """Build, check and time every way to run a model on this machine's GPU, side by side."""
    budget = TimeBudget(minutes * 60)
    if json is not None:
        check_writable(json)
    scored: list[Sample] = []
    if data is not None:
        scored = held_out(data).get(SCORED, [])[:images]
        if not scored:
            raise DataError(f"{data}: no folder {SCORED}, on which F1 is measured. Add it, or run without --data.")
    photos = choose_photos(size, photo, data, SIZES)
    plan = GpuPlan(find_model_file(model), photos, runs, starts, scored)
    typer.echo(Measurement(plan, budget, lambda report: report.write(json)).run().table())


class Measurement:
    """Everything that is measured, and how far it has come."""

    def __init__(self, plan: GpuPlan, budget: TimeBudget, keep: Callable[[GpuReport], None]) -> None:
        """`keep` gets the report after every part."""
        self._plan, self._budget, self._keep = plan, budget, keep
        self._machine, self._gpu = machine(), describe_gpu()
        self._layer: list[Check] = []
        self._entrants = list_columns(plan.model)
        self._scores: list[Score] = []

    def run(self) -> GpuReport:
        """Progress goes to the error stream. Raises VesselrtError when the reference fails."""
        on_gpu = "missing" not in self._gpu
        watch = Timer(self._budget.left() + _GRACE_SECONDS, self._give_up)
        watch.daemon = True
        watch.start()
        try:
            with _fresh_caches():
                if on_gpu:
                    typer.echo("the way to the GPU", err=True)
                    self._layer = run_in_processes(self._budget.whole * _SHARE_FOR_LAYER)
                    self._keep(self.report())
                plan = self._plan if on_gpu else replace(self._plan, starts=0)
                self._scores = measure_columns(self._entrants, plan, self._budget, lambda: self._keep(self.report()))
        finally:
            watch.cancel()
        self._keep(self.report())
        return self.report()

    def report(self) -> GpuReport:
        """As far as it is known."""
        plan, rows = self._plan, [entrant.row for entrant in self._entrants]
        head = report_head(SCHEMA, self._machine, plan.model, read_manifest(plan.model), _installed_versions())
        return GpuReport(
            **head,
            gpu=self._gpu,
            runs=plan.runs,
            photos={photo.name: photo.source for photo in plan.photos},
            layer=self._layer,
            rows=rows,
            scores=self._scores,
            seconds=round(self._budget.passed, 1),
            judgements=judge(rows, [photo.name for photo in plan.photos]),
        )

    def _give_up(self) -> None:
        """A library call does not return: reports what is known and ends the process."""
        for entrant in self._entrants:
            if entrant.row.info is None and not entrant.row.refusal:
                entrant.row.refusal = "the time was over before it was loaded."
        report = self.report()
        self._keep(report)
        typer.echo(report.table())
        sys.stdout.flush()
        os._exit(0)


def describe_gpu() -> dict[str, str]:
    """As in `GpuReport.gpu`."""
    try:
        found = find_gpu()
    except DeviceError as error:
        return {"missing": str(error)}
    asked = ("driver_version", "memory.total", "clocks.max.sm", "power.limit")
    command = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(asked)}", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        told = ""
    values = told.strip().split(", ") if told else []
    return {"name": found.name, "target": found.target, **dict(zip(asked, values, strict=False))}


@contextmanager
def _fresh_caches() -> Iterator[Path]:
    """A folder for engines and kernels that is empty now and gone afterwards, for this process and those it starts."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        given = {name: str(Path(folder) / name) for name in _CACHES}
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


def _installed_versions() -> dict[str, str]:
    """Versions of the installed packages that bear on the figures."""
    names = packages_distributions()
    return {name: version(name) for module in _MODULES for name in names.get(module, ())}


def main() -> None:
    """`python -m vesselrt.benchmarks.gpu`: errors become one line and exit code 1."""
    with as_command():
        app()


if __name__ == "__main__":
    main()
