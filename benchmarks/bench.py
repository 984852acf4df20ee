"""`vesselrt bench`: latency, throughput, memory and cold start of vesselrt, as tables, as JSON and as a plot."""

import logging
from pathlib import Path

import typer

from vesselrt.benchmarks import bench_options as options
from vesselrt.benchmarks.against import compare_reports, slower_photographs, table_from_ratios
from vesselrt.benchmarks.bench_plot import check_plot, draw_plot
from vesselrt.benchmarks.bench_report import BenchReport, read_bench_report
from vesselrt.benchmarks.bench_run import BenchPlan, run_bench
from vesselrt.benchmarks.bench_table import table_from_report
from vesselrt.benchmarks.measure import BURN_IN, LoadOptions
from vesselrt.benchmarks.options import DeviceName, JsonFile, ModelName, PhotoFiles, PrecisionName, ThreadCount
from vesselrt.benchmarks.photos import SIZES, choose_photos, held_out
from vesselrt.runtime.errors import as_command
from vesselrt.runtime.files import check_writable

logger = logging.getLogger(__name__)

INTERRUPTED, SLOWER = 130, 1
"""Exit codes: after Ctrl+C, as of a shell (128 + SIGINT); over --slower-than."""

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def bench_command(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    context: typer.Context,
    size: options.Sizes = None,
    photo: PhotoFiles = None,
    model: ModelName = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    threads: ThreadCount = None,
    runs: options.Runs = None,
    duration: options.Duration = None,
    warm_up: options.WarmUp = BURN_IN,
    starts: options.Starts = 3,
    concurrency: options.Concurrency = 1,
    batch: options.Batch = None,
    tta: options.TestTimeAugmentation = "none",
    compare: options.Compare = False,
    mixed: options.Mixed = False,
    data: options.DataFolder = None,
    images: options.Images = 2,
    json: JsonFile = None,
    plot: options.Plot = None,
    source: options.From = None,
    against: options.Against = None,
    slower_than: options.SlowerThan = None,
) -> None:
    """Measure latency, throughput, memory and cold start, from the bytes of a photograph to the bytes of its mask.

    Sizes are made from a real photograph with --data, else from a synthetic one. Every timed mask is checked.
    """
    effort = options.effort_from_options(runs, duration, warm_up, concurrency, batch)
    limit = options.limit_from_percent(slower_than, against)
    old = None if against is None else read_bench_report(against)
    _check_outputs(json, plot)
    if source is not None:
        options.check_only_read(context)
        _give(read_bench_report(source), json, plot, old, limit)
        return
    scored = {name: s[:images] for name, s in held_out(data).items()} if compare and data is not None else {}
    photos, load = choose_photos(size, photo, data, SIZES), LoadOptions(model, device, precision, threads, tta)
    report = run_bench(BenchPlan(load, photos, effort, starts, compare, scored, mixed, old))
    whole = len(report.photos) == len(photos) and len(report.scores) == len(scored)
    _give(report, json, plot, old, limit if whole else None)
    if not whole:
        logger.info("interrupted: %d of %d photographs were measured", len(report.photos), len(photos))
        raise typer.Exit(INTERRUPTED)


def _check_outputs(json: Path | None, plot: Path | None) -> None:
    """Raises OSError, OptionError or MissingExtraError now, and not after minutes of measuring."""
    for path in (json, plot):
        if path is not None:
            check_writable(path)
    if plot is not None:
        check_plot(plot)


def _give(
    report: BenchReport, json: Path | None, plot: Path | None, old: BenchReport | None, limit: float | None
) -> None:
    """Prints and writes what was asked for. Raises Exit where a photograph takes longer than before by over `limit`."""
    ratios = [] if old is None else compare_reports(old, report)  # first: it may refuse
    typer.echo(table_from_report(report))
    if ratios:
        typer.echo(f"\n{table_from_ratios(ratios)}")
    report.write(json)
    if plot is not None:
        draw_plot(report, plot)
    if limit is not None and (slower := slower_photographs(ratios, limit)):
        logger.warning("over %g %% slower end to end, surely: %s", 100 * limit, ", ".join(slower))
        raise typer.Exit(SLOWER)


def main() -> None:
    """`python -m vesselrt.benchmarks.bench`: errors become one line and exit code 1."""
    with as_command():
        app()


if __name__ == "__main__":
    main()
