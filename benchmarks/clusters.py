"""What Ray costs on one machine: photographs from files to masks by a Segmenter, and by workers of a cluster.

    python -m vesselrt.benchmarks.clusters PHOTOS --turns 3

The ways take turns, so that a busy moment of the machine hits all of them, and the best of each counts. The start is
apart: for a Segmenter the loading of the model, for a cluster its processes too. All masks are compared. Ray gives way
to all other processes with its workers (niceness 15); here they have the same rights.
"""

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from vesselrt.benchmarks.measure import ColumnError
from vesselrt.benchmarks.options import DeviceName, ModelName, PrecisionName, ThreadCount
from vesselrt.benchmarks.tables import render_table
from vesselrt.runtime.cluster import Cluster, ModelChoice
from vesselrt.runtime.errors import as_command
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.segmenter import Segmenter

TITLES = ("way", "start s", "photographs/s", "of alone")
Way: TypeAlias = Callable[[], AbstractContextManager[Segmenter | Cluster]]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def clusters_command(
    photos: Annotated[list[Path], typer.Argument(help="Photographs, as files.")],
    model: ModelName = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    threads: ThreadCount = None,
    turns: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """Measure what Ray costs on one machine."""
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - Ray's own spelling
    choice = ModelChoice((model,) if model else (), device, precision, threads)  # type: ignore[arg-type]  # it says so
    ways: dict[str, Way] = {"alone": choice.load, "--ray local": lambda: Cluster("local", choice)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    expected: list[bytes] | None = None
    for _ in range(turns):
        for name, way in ways.items():
            masks, start, rate = _run(name, way, photos)
            found[name].append((start, rate))
            expected = expected or masks
            if masks != expected:
                raise ColumnError(name, "it gave other masks than the first way. Find out why.")
    best = {name: (min(start for start, _ in runs), max(rate for _, rate in runs)) for name, runs in found.items()}
    alone = best["alone"][1]
    rows = [(name, f"{start:.1f}", f"{rate:.2f}", f"{rate / alone:.2f}") for name, (start, rate) in best.items()]
    typer.echo(render_table(TITLES, rows))


def _run(name: str, way: Way, photos: list[Path]) -> tuple[list[bytes], float, float]:
    """Masks, seconds of the start, and photographs a second after it. Raises ColumnError where one fails."""
    began = time.perf_counter()
    with way() as segmenter:
        ready = time.perf_counter()
        outcomes = list(segmenter.segment_many(photos, _mask_of))
        took = time.perf_counter() - ready
    masks = [outcome for outcome in outcomes if isinstance(outcome, bytes)]
    if len(masks) < len(photos):
        raise ColumnError(name, str(next(one for one in outcomes if not isinstance(one, bytes))))
    return masks, ready - began, len(photos) / took


def _mask_of(_: Path, result: Segmentation) -> bytes:
    return result.encode("mask")


if __name__ == "__main__":
    with as_command():
        app()
