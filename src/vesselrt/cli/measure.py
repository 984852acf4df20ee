"""`vesselrt evaluate`, `compare` and `bench`: accuracy and time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vesselrt.cli.console import console, needs_extra, photo_progress, write_output
from vesselrt.cli.options import Device, Layout, Precision, Threads, Threshold, load_model
from vesselrt.runtime.errors import DataError, OptionError
from vesselrt.runtime.files import check_writable, check_writable_folder

if TYPE_CHECKING:
    from vesselrt.runtime.manifest import Manifest


def evaluate(
    model: Annotated[str, typer.Argument(help="Built-in model or model file.")],
    data: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    kind: Layout = "auto",
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="Which part.")] = "test",
    threshold: Threshold = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a report to this folder: HTML, CSV, JSON, and a picture of each photograph."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write all figures, of every photograph too, to this file.")] = None,
    record: Annotated[bool, typer.Option(help="Write the figures into the model file's manifest.")] = False,
) -> None:
    """Measure a model on annotated photographs, through the runtime, in the field of view."""
    with needs_extra("vesselrt evaluate", "evaluate"):
        from vesselrt.training.data.finding import check_kind, find
        from vesselrt.training.evaluation.evaluate import Seen, known
        from vesselrt.training.evaluation.evaluate import evaluate as run
        from vesselrt.training.evaluation.report import Report
    from vesselrt.runtime.engines.enginefile import is_engine
    from vesselrt.runtime.modelfile import find_model_file, sha256

    if report is not None:
        check_writable_folder(report)
    if json is not None:
        check_writable(json)
    samples = find(check_kind(kind, data), data, split)
    if all(sample.field_of_view is None for sample in samples):
        console.print("no field-of-view masks here: every pixel counts")
    file = find_model_file(model)
    if record and is_engine(file):
        raise OptionError(
            f"{file} is an engine: figures are recorded in its model file. Name that, with --device cuda."
        )
    pages, keep = None if report is None else Report(report), _recorder() if record else None
    with load_model(str(file), device, precision, threads) as segmenter, photo_progress(len(samples)) as advance:
        manifest = segmenter.manifest
        if keep is not None and split == "test" and (learned := known(manifest, samples)):
            raise DataError(
                f"{_knows(manifest, learned)}. --record would keep their figures as those of a test: leave it out, or "
                "say --split train."
            )

        def watch(seen: Seen) -> None:
            if pages is not None:
                pages.see(seen)
            advance()

        name = data.resolve().name
        measured = run(segmenter, samples, name=name, split=split, threshold=threshold, watch=watch)
    if measured.trained_on:
        console.print(f"not a test: {_knows(manifest, measured.trained_on)}")
    typer.echo(measured.table())
    if keep is not None and not measured.left_out:
        keep(file, manifest, {f"{name} {split}": measured.figures()})
    result = replace(measured, model_sha256=sha256(file))  # of the file as it now is
    if pages is not None:
        console.print(f"report: {pages.write(result)}")
    if json is not None:
        write_output(json, result.to_json().encode("utf-8", "backslashreplace"))
    _tell_interrupted(len(measured.images), measured.left_out)


def compare(
    models: Annotated[list[str], typer.Argument(help="Built-in models or model files.", metavar="MODEL...")],
    data: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    device: Annotated[list[str] | None, typer.Option(help="Repeat for more; default: every one there is.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="Repeat for more; default: every one there is.")] = None,
    kind: Layout = "auto",
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="Which part.")] = "test",
    threshold: Threshold = None,
    threads: Threads = None,
    runs: Annotated[int, typer.Option(min=1, help="Timed calls on each photograph.")] = 3,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
) -> None:
    """Measure accuracy against latency: models x devices x precisions, in turn, as a Markdown table."""
    with needs_extra("vesselrt compare", "evaluate"):
        from vesselrt.training.data.finding import check_kind, find
        from vesselrt.training.evaluation.comparison import NAMED_DEVICES, NAMED_PRECISIONS, Plan
        from vesselrt.training.evaluation.comparison import compare as run

    plan = Plan(models, device or NAMED_DEVICES, precision or NAMED_PRECISIONS, threshold, threads, runs)
    if json is not None:
        check_writable(json)
    samples = find(check_kind(kind, data), data, split)
    with photo_progress(len(samples)) as advance:
        result = run(plan, samples, name=data.resolve().name, split=split, advance=advance)
    typer.echo(result.to_markdown())
    if json is not None:
        write_output(json, result.to_json().encode("utf-8", "backslashreplace"))
    _tell_interrupted(len(result.photographs), result.left_out)


def bench(context: typer.Context) -> None:
    """Measure latency, throughput, memory and cold start; --compare runs the PyTorch and MONAI way beside it."""
    from vesselrt.benchmarks.bench import app as bench_app

    code = bench_app(context.args, prog_name="vesselrt bench", standalone_mode=False)
    if code:  # it was interrupted
        raise typer.Exit(code)


def _tell_interrupted(measured: int, left_out: list[str]) -> None:
    """Goes on with the Ctrl+C that left some out, now that what was measured is told."""
    if left_out:
        console.print(f"interrupted: {measured} of {measured + len(left_out)} photographs were measured")
        raise KeyboardInterrupt


def _recorder() -> "Callable[[Path, Manifest, dict[str, dict[str, float]]], None]":
    """What writes figures into a model file. Raises MissingExtraError."""
    with needs_extra("vesselrt evaluate --record", "engines"):
        from vesselrt.export.modelfile import record_metrics
    return record_metrics


def _knows(manifest: "Manifest", photographs: list[str]) -> str:
    return f"{manifest.name} was trained on {len(photographs)} of these photographs, {', '.join(photographs)}"
