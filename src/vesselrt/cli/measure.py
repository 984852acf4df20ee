"""`vesselrt evaluate`, `compare` and `bench`: accuracy and time."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vesselrt.cli.console import console, needs_extra, photo_progress, write_output
from vesselrt.cli.options import (
    Device,
    Layout,
    Precision,
    TestTimeAugmentation,
    Threads,
    Thresholds,
    fraction,
    load_model,
    read_by_class,
)
from vesselrt.runtime.errors import DataError, OptionError
from vesselrt.runtime.files import check_writable, check_writable_folder

if TYPE_CHECKING:
    from vesselrt.runtime.manifest import Manifest
    from vesselrt.training.data.samples import Sample
    from vesselrt.training.evaluation.evaluate import EvaluatedPhoto, Watch
    from vesselrt.training.evaluation.report import EvaluationReport


_Part = Annotated[Literal["train", "validation", "test"], typer.Option(help="Which part.")]
_Others = Annotated[
    list[str] | None, typer.Option("-m", "--model", help="Another model, averaged with the first; repeat for more.")
]
_Report = Annotated[
    Path | None, typer.Option(help="Write a report to this folder: HTML, CSV, JSON, and a picture of each photograph.")
]


def evaluate(
    model: Annotated[str, typer.Argument(help="Built-in model, model file or https address, as of predict.")],
    data: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    others: _Others = None,
    tta: TestTimeAugmentation = "none",
    kind: Layout = "auto",
    split: _Part = "test",
    threshold: Thresholds = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    report: _Report = None,
    json: Annotated[Path | None, typer.Option(help="Write all figures, of every photograph too, to this file.")] = None,
    record: Annotated[bool, typer.Option(help="Write the figures into the model file's manifest.")] = False,
) -> None:
    """Measure a model on annotated photographs, through the runtime, in the field of view."""
    with needs_extra("vesselrt evaluate", "evaluate"):
        from vesselrt.training.data.finding import list_samples, resolve_kind
        from vesselrt.training.evaluation.evaluate import evaluate_model
        from vesselrt.training.evaluation.report import EvaluationReport
    from vesselrt.runtime.modelfile import find_model_file, loaded_file, sha256

    thresholds = read_by_class("threshold", threshold, fraction)
    _check_outputs(report, json)
    samples = list_samples(resolve_kind(kind, data), data, split)
    if all(sample.field_of_view is None for sample in samples):
        console.print("no field-of-view masks here: every pixel counts")
    file, name, models = find_model_file(model), data.resolve().name, [model, *(others or [])]
    record_metrics = _recorder(file, averaged=bool(others) or tta != "none") if record else None
    pages = EvaluationReport(report) if report else None
    with load_model(models, device, precision, threads, tta) as segmenter, photo_progress(len(samples)) as advance:
        if record and split == "test":
            _refuse_training_overlap(segmenter.manifest, samples)
        watch = _watching(pages, advance)
        measured = evaluate_model(segmenter, samples, name=name, split=split, threshold=thresholds, watch=watch)
    file = file if others else loaded_file(file, segmenter.manifest)  # `auto` may have taken the INT8 file beside it
    if measured.trained_on:
        console.print(f"not a test: {_describe_overlap(segmenter.manifest, measured.trained_on)}")
    typer.echo(measured.table())
    if record_metrics is not None and not measured.left_out:
        record_metrics(file, measured.records())
    result = replace(measured, model_sha256=None if others else sha256(file))  # of the file as it now is
    if pages is not None:
        console.print(f"report: {pages.write(result)}")
    _write_json(json, result.to_json())
    _tell_interrupted(len(measured.images), measured.left_out)


def compare(
    models: Annotated[list[str], typer.Argument(help="Built-in models or model files.", metavar="MODEL...")],
    data: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    device: Annotated[list[str] | None, typer.Option(help="Repeat for more; default: every one there is.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="Repeat for more; default: every one there is.")] = None,
    kind: Layout = "auto",
    split: _Part = "test",
    threshold: Thresholds = None,
    threads: Threads = None,
    runs: Annotated[int, typer.Option(min=1, help="Timed calls on each photograph.")] = 3,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
) -> None:
    """Measure accuracy against latency: models x devices x precisions, in turn, as a Markdown table."""
    with needs_extra("vesselrt compare", "evaluate"):
        from vesselrt.benchmarks.model_comparison import (
            NAMED_DEVICES,
            NAMED_PRECISIONS,
            ComparisonPlan,
            compare_models,
        )
        from vesselrt.training.data.finding import list_samples, resolve_kind

    thresholds = read_by_class("threshold", threshold, fraction)
    plan = ComparisonPlan(models, device or NAMED_DEVICES, precision or NAMED_PRECISIONS, thresholds, threads, runs)
    _check_outputs(None, json)
    samples = list_samples(resolve_kind(kind, data), data, split)
    with photo_progress(len(samples)) as advance:
        result = compare_models(plan, samples, name=data.resolve().name, split=split, advance=advance)
    typer.echo(result.to_markdown())
    _write_json(json, result.to_json())
    _tell_interrupted(len(result.photographs), result.left_out)


def bench(context: typer.Context) -> None:
    """Measure latency, throughput, memory and cold start; --compare runs the PyTorch and MONAI way beside it."""
    from vesselrt.benchmarks.bench import app as bench_app

    code = bench_app(context.args, prog_name="vesselrt bench", standalone_mode=False)
    if code:  # it was interrupted
        raise typer.Exit(code)


def _watching(pages: "EvaluationReport | None", advance: Callable[[], None]) -> "Watch":
    """Draws each class of a photograph, where there is to be a report, and tells of progress."""

    def watch(classes: "Sequence[EvaluatedPhoto]") -> None:
        if pages is not None:
            for photo in classes:
                pages.see(photo)
        advance()

    return watch


def _tell_interrupted(measured: int, left_out: list[str]) -> None:
    """After a Ctrl+C that left photographs out: says so, and raises KeyboardInterrupt again."""
    if left_out:
        console.print(f"interrupted: {measured} of {measured + len(left_out)} photographs were measured")
        raise KeyboardInterrupt


def _check_outputs(report: Path | None, json: Path | None) -> None:
    """Raises OSError now, and not after an hour of work, for a folder or file that can't be written."""
    if report is not None:
        check_writable_folder(report)
    if json is not None:
        check_writable(json)


def _write_json(path: Path | None, text: str) -> None:
    """Into the file that --json names, if any. Names of photographs that are no UTF-8 are written as escapes."""
    if path is not None:
        write_output(path, text.encode("utf-8", "backslashreplace"))


def _recorder(file: Path, *, averaged: bool) -> "Callable[[Path, dict[str, dict[str, float]]], None]":
    """What writes figures into a model file. Raises MissingExtraError, OptionError for an engine, and for figures that
    are those of a mean.
    """
    from vesselrt.runtime.engines.enginefile import is_engine

    if averaged:
        raise OptionError("--record is for one model that sees each photograph once. Leave out --model and --tta.")
    if is_engine(file):
        raise OptionError(
            f"{file} is an engine: figures are recorded in its model file. Name that, with --device cuda."
        )
    with needs_extra("vesselrt evaluate --record", "engines"):
        from vesselrt.export.modelfile import record_metrics
    return record_metrics


def _refuse_training_overlap(manifest: "Manifest", samples: "Sequence[Sample]") -> None:
    """Raises DataError where the model was trained on some of the photographs that are to be its test."""
    from vesselrt.training.evaluation.evaluate import training_overlap

    if overlap := training_overlap(manifest, samples):
        raise DataError(
            f"{_describe_overlap(manifest, overlap)}. --record would keep their figures as those of a test: leave it "
            "out, or say --split train."
        )


def _describe_overlap(manifest: "Manifest", photographs: list[str]) -> str:
    return f"{manifest.name} was trained on {len(photographs)} of these photographs, {', '.join(photographs)}"
