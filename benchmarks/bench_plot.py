"""A plot of `vesselrt bench`: every run as a dot, a row for each part of the time, a panel for each photograph."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from vesselrt.benchmarks.bench_report import END_TO_END, NETWORK, BenchReport, PhotoFigures
from vesselrt.benchmarks.measure import STAGES
from vesselrt.runtime.errors import MissingExtraError
from vesselrt.runtime.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg")
_STAGE, _WHOLE, _PEER, _INK = "#26a69a", "#00695c", "#757575", "#212121"
_ROW, _HEAD, _WIDTH = 0.27, 0.5, 8.0  # inches: of a row, of a panel's title, of the picture


@dataclass(frozen=True)
class PlotRow:
    """One row of a panel."""

    title: str
    samples: list[float]
    """ms of each run."""
    colour: str


def check_plot(path: Path) -> None:
    """Raises BadParameter for another kind of file, MissingExtraError without matplotlib."""
    if path.suffix.lower() not in SUFFIXES:
        raise typer.BadParameter(f"{path}: expected a file that ends with .png or .svg.", param_hint="--plot")
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vesselrt"):
            raise
        raise MissingExtraError.of("vesselrt bench --plot", "bench") from None


def draw_plot(report: BenchReport, path: Path) -> None:
    """Writes the plot, whole or not at all. Raises what `check_plot` does, OSError."""
    check_plot(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    panels = [list(plot_rows(photo)) for photo in report.photos]
    heights = [len(rows) * _ROW + _HEAD for rows in panels]
    figure = Figure(figsize=(_WIDTH, sum(heights) + 1), layout="constrained")
    axes = figure.subplots(len(panels), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for photo, rows, axis in zip(report.photos, panels, axes, strict=True):
        _draw_panel(axis, photo, rows)
    axes[-1].set_xlabel("ms (logarithmic); the bar is the median", color=_INK, fontsize=9)
    figure.suptitle(_describe_run(report), fontsize=9, color=_INK)
    # The same figures give the same file: no date, no random names.
    metadata = {"Date": None} if path.suffix.lower() == ".svg" else {"Software": None}
    with mpl.rc_context({"svg.hashsalt": "vesselrt"}), atomic_write(path) as name:
        figure.savefig(name, format=path.suffix.lower()[1:], dpi=150, metadata=metadata, facecolor="white")


def plot_rows(photo: PhotoFigures) -> Iterator[PlotRow]:
    """From top to bottom: the stages, the whole, the columns of --compare."""
    for stage in STAGES:
        yield PlotRow(stage, photo.samples[stage], _STAGE)
        if stage == "infer":
            yield PlotRow("infer: the network", photo.samples[NETWORK], _STAGE)
    yield PlotRow("end to end", photo.samples[END_TO_END], _WHOLE)
    for name, peer in photo.peers.items():
        title = name if name.endswith(peer.precision) else f"{name} {peer.precision}"
        yield PlotRow(title, peer.samples, _PEER)


def _draw_panel(axis: "Axes", photo: PhotoFigures, rows: list[PlotRow]) -> None:
    random = np.random.default_rng(0)
    for place, row in enumerate(rows):
        middle = float(np.median(row.samples))
        heights = place + random.uniform(-0.22, 0.22, len(row.samples))
        axis.scatter(row.samples, heights, s=14, color=row.colour, alpha=0.5, linewidths=0)
        axis.plot([middle, middle], [place - 0.36, place + 0.36], color=_INK, linewidth=1.6, solid_capstyle="butt")
        told = f"{middle:.0f}" if middle >= 100 else f"{middle:.3g}"
        axis.annotate(told, (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=_INK)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_yticks(range(len(rows)), [row.title for row in rows], fontsize=8)
    axis.set_ylim(len(rows) - 0.5, -0.5)
    axis.grid(axis="x", color="#eeeeee")
    axis.set_axisbelow(True)
    axis.tick_params(axis="x", labelsize=8)
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    title = f"{photo.width} × {photo.height}, {len(photo.samples[END_TO_END])} runs"
    axis.set_title(
        title if photo.photo == f"{photo.width}x{photo.height}" else f"{photo.photo}, {title}",
        loc="left",
        fontsize=9,
        color=_INK,
    )
    axis.annotate(
        "p50", (1.01, -0.9), xycoords=("axes fraction", "data"), fontsize=8, color=_INK, annotation_clip=False
    )


def _describe_run(report: BenchReport) -> str:
    model, machine, info = report.model, report.machine, report.info
    where = f"{info.threads} threads of {machine['cpu']}" if info.threads else info.device_name
    return f"{model['name']} {model['version']}, {info.precision}, {info.backend} {info.version}, {where}"
