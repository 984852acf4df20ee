"""The command line: the one place that knows every folder. Each command imports what it needs and no more."""

import contextlib
import glob
import logging
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vesselrt.runtime.encode import COLOUR, OPACITY, SUFFIXES, rgb
from vesselrt.runtime.errors import DataError, MissingExtraError, OptionError, VesselrtError
from vesselrt.runtime.files import draft
from vesselrt.runtime.photo.decoding import SUFFIXES as IMAGE_SUFFIXES

if TYPE_CHECKING:
    from vesselrt.runtime.engine import Engine
    from vesselrt.runtime.manifest import Manifest, Preparation
    from vesselrt.runtime.segmenter import Segmentation, Segmenter

app = typer.Typer(
    help="Segments blood vessels in eye photographs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_engine = typer.Typer(help="Look at engine files.", no_args_is_help=True)
app.add_typer(_engine, name="engine")
# No markup: paths and 'vesselrt[train]' hold brackets that are meant.
_say = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)

Format = Literal["mask", "probability", "overlay", "svg", "geojson", "json"]
Model = Annotated[str | None, typer.Option(help="Built-in model, model file or engine file; default: fundus.")]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda, or one library of these: cpu:openvino, cuda:tensorrt_rtx and so on.")
]
Precision = Annotated[str, typer.Option(help="auto, f32, bf16 or fp16.")]
Threads = Annotated[int | None, typer.Option(help="Processor cores to use; default: all that it may.")]
Threshold = Annotated[
    float | None, typer.Option(help="Vessel where probability >= threshold, 0 to 1; default: the model's.")
]


def main() -> None:
    """Runs a command; errors become one line and exit code 1."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("vesselrt").setLevel(logging.INFO)  # what takes long, and what was not to be had
    try:
        app(prog_name="vesselrt")
    except VesselrtError as error:
        _fail(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader left: no complaint at exit
        sys.exit(1)
    except OSError as error:  # a full disk, a folder that may not be written
        _fail(str(error))


@app.command()
def predict(
    photos: Annotated[list[str], typer.Argument(help="Files, globs and folders.", metavar="PHOTO...")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File (for one photo) or folder; default: this folder.")
    ] = None,
    threshold: Threshold = None,
    format: Annotated[Format, typer.Option(help="What to write.")] = "mask",  # noqa: A002 - the option's name
    colour: Annotated[str, typer.Option(help="Of the vessels in overlay and svg.")] = COLOUR,
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the vessels in overlay.")] = OPACITY,
    simplify: Annotated[
        float | None,
        typer.Option(help="With geojson: pixels by which outlines may move; up to 0.35 no pixel of the mask changes."),
    ] = None,
    model: Model = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
) -> None:
    """Segment photographs and write a file for each."""
    targets = _targets(_expand(photos), out, format)
    if threshold is not None and not 0 <= threshold <= 1:
        raise OptionError(f"threshold {threshold} is not within 0 to 1.")
    rgb(colour)
    encode = _encoder(format, simplify, colour, opacity)
    failures, times = [], []
    with _load(model, device, precision, threads) as segmenter, _progress(len(targets)) as advance:
        _say.print(f"{segmenter.manifest.name} {segmenter.manifest.version} on {segmenter.info}")
        for photo, target in targets.items():
            try:
                result = segmenter.segment(photo)
                _write(target, encode(result, threshold))
                times.append(sum(result.timings.values()))
            except (VesselrtError, OSError) as error:
                failures.append(str(error) if str(photo) in str(error) else f"{photo}: {error}")
                _say.print(f"failed: {failures[-1]}", style="red")
            advance()
    if times:
        _say.print(f"{len(times)} of {len(targets)} written, median {statistics.median(times):.0f} ms")
    if failures:
        _fail(f"{len(failures)} of {len(targets)} photographs failed")


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to listen on, 0: any free one; default: 8000.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Built-in model, model file or engine file, or NAME=MODEL. Repeat for more; default: fundus."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="As for predict; default: auto.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, f32, bf16 or fp16; default: auto.")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor cores for each worker; default: its share.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes behind the one address; default: 1.")] = None,
) -> None:
    """Serve models over HTTP, with a page at /, and /predict and /health.

    Every other setting, and these too, come from VESSELRT_ variables or a file: docs/operations.md.
    """
    from vesselrt.server import Settings
    from vesselrt.server import serve as run

    given = {
        "host": host, "port": port, "models": model, "device": device, "precision": precision, "threads": threads,
        "workers": workers,
    }  # fmt: skip
    run(Settings(**{name: value for name, value in given.items() if value is not None}))


@app.command()
def models() -> None:
    """List the built-in models and what their manifests say."""
    from vesselrt.runtime.modelfile import models as built_in

    for manifest in built_in().values():
        typer.echo(describe(manifest))


@app.command()
def evaluate(
    model: Annotated[str, typer.Argument(help="Built-in model or model file.")],
    data: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    kind: Annotated[str, typer.Option(help="Its layout: drive, chase_db1, hrf, folder, geojson, or auto.")] = "auto",
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
    with _extra("vesselrt evaluate", "evaluate"):
        from vesselrt.training.data import check_kind, find
        from vesselrt.training.evaluation import Seen, known
        from vesselrt.training.evaluation import evaluate as run
        from vesselrt.training.report import Report
    from vesselrt.runtime.engine import is_engine
    from vesselrt.runtime.modelfile import find as find_model
    from vesselrt.runtime.modelfile import sha256

    samples = find(check_kind(kind, data), data, split)
    if all(sample.field_of_view is None for sample in samples):
        _say.print("no field-of-view masks here: every pixel counts")
    file = find_model(model)
    if record and is_engine(file):
        raise OptionError(
            f"{file} is an engine: figures are recorded in its model file. Name that, with --device cuda."
        )
    pages, keep = None if report is None else Report(report), _recorder() if record else None
    with _load(str(file), device, precision, threads) as segmenter, _progress(len(samples)) as advance:
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
        _say.print(f"not a test: {_knows(manifest, measured.trained_on)}")
    typer.echo(measured.table())
    if keep is not None:
        keep(file, manifest, {f"{name} {split}": measured.figures()})
    result = replace(measured, model_sha256=sha256(file))  # of the file as it now is
    if pages is not None:
        _say.print(f"report: {pages.write(result)}")
    if json is not None:
        _write(json, result.to_json().encode("utf-8", "backslashreplace"))


@app.command()
def compare(
    models: Annotated[list[str], typer.Argument(help="Built-in models or model files.", metavar="MODEL...")],
    data: Annotated[Path, typer.Argument(help="Folder of the data set.")],
    device: Annotated[list[str] | None, typer.Option(help="Repeat for more; default: every one there is.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="Repeat for more; default: every one there is.")] = None,
    kind: Annotated[str, typer.Option(help="Its layout: drive, chase_db1, hrf, folder, geojson, or auto.")] = "auto",
    split: Annotated[Literal["train", "validation", "test"], typer.Option(help="Which part.")] = "test",
    threshold: Threshold = None,
    threads: Threads = None,
    runs: Annotated[int, typer.Option(min=1, help="Timed calls on each photograph.")] = 3,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
) -> None:
    """Measure accuracy against latency: models x devices x precisions, in turn, as a Markdown table."""
    with _extra("vesselrt compare", "evaluate"):
        from vesselrt.training.comparison import NAMED_DEVICES, NAMED_PRECISIONS, Plan
        from vesselrt.training.comparison import compare as run
        from vesselrt.training.data import check_kind, find

    plan = Plan(models, device or NAMED_DEVICES, precision or NAMED_PRECISIONS, threshold, threads, runs)
    samples = find(check_kind(kind, data), data, split)
    with _progress(len(samples)) as advance:
        result = run(plan, samples, name=data.resolve().name, split=split, advance=advance)
    typer.echo(result.to_markdown())
    if json is not None:
        _write(json, result.to_json().encode("utf-8", "backslashreplace"))


@app.command()
def outline(
    data: Annotated[Path, typer.Argument(help="Folder of a data set of masks.")],
    out: Annotated[Path, typer.Argument(help="The folder to make, of the kind geojson.")],
    kind: Annotated[str, typer.Option(help="Its layout: drive, chase_db1, hrf, folder, or auto.")] = "auto",
    simplify: Annotated[
        float, typer.Option(help="Pixels by which outlines may move; up to 0.35 no pixel of a mask changes.")
    ] = 0.35,
) -> None:
    """Write a data set of masks as GeoJSON annotations, with the same splits."""
    with _extra("vesselrt outline", "evaluate"):
        from vesselrt.training.data import check_kind
        from vesselrt.training.outlines import splits_of, write
    splits = splits_of(check_kind(kind, data), data)
    with _progress(sum(map(len, splits.values()))) as advance:
        write(splits, out, simplify, advance)
    typer.echo(f"{out}: " + ", ".join(f"{split} {len(samples)}" for split, samples in splits.items()))


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Recipe file, or the name of a built-in one (fundus).")],
    data: Annotated[Path, typer.Option(help="Folder that holds the recipe's data sets.")],
    run: Annotated[
        Path | None, typer.Option(help="Folder of the run; an interrupted run there goes on. Default: runs/NAME.")
    ] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="A field of the recipe and its value: schedule.steps=100")
    ] = None,
) -> None:
    """Train a network by a recipe; interrupted, it goes on where it stopped."""
    with _extra("vesselrt train", "train"):
        from vesselrt.training.loop import train as fit
        from vesselrt.training.recipe import Recipe
    checked = Recipe.read(_recipe(recipe), change or [])
    sys.path.append(str(Path.cwd()))  # a recipe may name a network of the user's own
    with _steps() as (report, advance):
        best = fit(checked, data, run or Path("runs") / checked.name, report, advance)
    typer.echo(f"{best}\nnext: vesselrt export {best.parent} -o {checked.name}.onnx --data {data}")


@app.command()
def export(
    out: Annotated[Path, typer.Option("-o", "--out", help="The model file to write.")],
    source: Annotated[
        str | None,
        typer.Argument(
            help="Training run, MONAI bundle, folder of segmentation_models_pytorch, .pt2 file of torch.export, or any "
            "torch.nn.Module: package.module:factory."
        ),
    ] = None,
    run: Annotated[str | None, typer.Option(hidden=True, help="SOURCE, a training run.")] = None,
    network: Annotated[str | None, typer.Option(hidden=True, help="SOURCE, package.module:factory.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Of a training run: its data; parity is measured on validation photographs.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Of a module or bundle: state dict (.pth, .pt or .safetensors).")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="What the source does not tell (scale, tile, licence), as YAML.")
    ] = None,
    output: Annotated[
        Literal["logits", "softmax", "probability"] | None,
        typer.Option(
            help="What the network gives: logits; softmax: logits of background and vessel; probability: activation "
            "built in. Default: what the source tells, else logits."
        ),
    ] = None,
    photos: Annotated[list[Path] | None, typer.Option(help="Photographs for the parity check.")] = None,
    precision: Annotated[
        Literal["f32", "fp16"], typer.Option(help="What its graph is to compute in; fp16 is for GPUs.")
    ] = "f32",
) -> None:
    """Turn a trained network into one model file, proven against PyTorch."""
    with _extra("vesselrt export", "export"):
        from vesselrt.export import sources
        from vesselrt.export.graph import export as write
        from vesselrt.export.precision import convert as to_half
    named = [name for name in (source, run, network) if name is not None]
    if len(named) != 1:
        raise OptionError("name one SOURCE, and the file to write with -o. See: vesselrt export --help")
    found = sources.find(named[0], weights, manifest, data)
    from vesselrt.runtime.photo.decoding import read_photo

    compared = [*found.photographs, *(read_photo(photo).pixels for photo in photos or [])]
    with tempfile.TemporaryDirectory() as folder:
        first = out if precision == "f32" else Path(folder) / out.name
        written = write(found.network, found.manifest, first, compared, found.shift, output or found.output)
        if precision != "f32":
            written = to_half(first, out, compared)
    typer.echo(describe(written))


@app.command()
def convert(
    model: Annotated[str, typer.Argument(help="Built-in model or model file, f32.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The model file to write.")],
    precision: Annotated[  # noqa: ARG001 - fp16 is all that there is
        Literal["fp16"], typer.Option(help="What its graph is to compute in.")
    ] = "fp16",
    photos: Annotated[list[Path] | None, typer.Option(help="Photographs for the parity check.")] = None,
    data: Annotated[Path | None, typer.Option(help="Data set for the difference in F1: its test photographs.")] = None,
) -> None:
    """Write a model file that computes in FP16, proven against the f32 one; uint8 in and float32 out stay."""
    with _extra("vesselrt convert", "export"):
        from vesselrt.export.precision import convert as write
    from vesselrt.runtime.modelfile import find
    from vesselrt.runtime.photo.decoding import read_photo

    source = _apart(find(model), out)
    f1 = None if data is None else _f1(data)
    typer.echo(describe(write(source, out, [read_photo(photo).pixels for photo in photos or []], f1)))


@app.command("compile")
def compile_model(
    model: Annotated[str, typer.Argument(help="Built-in model or model file.")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="rtx2080ti, sm75, sm86 and so on; default: current. Given twice: one engine for both, slower on sm75."
        ),
    ] = None,
    precision: Annotated[Literal["f32", "fp16"], typer.Option(help="What the engine computes in.")] = "fp16",
    max_batch: Annotated[int, typer.Option(help="Largest number of tiles that it takes at once.")] = 4,
    builder: Annotated[
        Literal["tensorrt_rtx", "tensorrt"],
        typer.Option(help="TensorRT for RTX needs no GPU; TensorRT builds for the GPU of this machine alone."),
    ] = "tensorrt_rtx",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The engine file; default: named by model, precision, targets.")
    ] = None,
) -> None:
    """Compile a model to a TensorRT engine for named GPUs; no GPU is needed here."""
    with _extra("vesselrt compile", "engines"):
        from vesselrt.export.engine import build
    from vesselrt.runtime.engine import SUFFIX
    from vesselrt.runtime.modelfile import find

    source = find(model) if out is None else _apart(find(model), out)
    engine = build(source, target or ["current"], precision, max_batch, builder)
    parts = (engine.manifest.name, engine.manifest.version, engine.manifest.precision, *engine.header.targets)
    path = out or Path("-".join(parts) + SUFFIX)
    engine.write(path)
    typer.echo(f"{path}\n{describe_engine(engine)}")


@_engine.command("info")
def engine_info(file: Annotated[Path, typer.Argument(help="Engine file.")]) -> None:
    """Say what an engine file is, and whether this machine can run it."""
    from vesselrt.runtime.engine import read
    from vesselrt.runtime.preflight import obstacles

    engine = read(file)
    typer.echo(describe_engine(engine))
    found = obstacles(engine)
    typer.echo("  here       " + ("does not run: " + " ".join(found) if found else "runs"))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)
def bench(context: typer.Context) -> None:
    """Measure latency, throughput, memory and cold start; --compare runs the PyTorch and MONAI way beside it."""
    from vesselrt.benchmarks.bench import app as bench_app

    bench_app(context.args, prog_name="vesselrt bench", standalone_mode=False)


def describe(manifest: "Manifest") -> str:
    """A manifest for people: what the model is for, how it sees, what it was trained and measured on."""
    prepared, tile, provenance = manifest.preparation, manifest.tile, manifest.provenance
    lines = [
        f"{manifest.name} {manifest.version} ({manifest.licence})",
        f"  {manifest.description}",
        f"  input      {prepared.channels}, {_scale(prepared)}; tiles of {tile.size} px, margin {tile.margin}",
        f"  threshold  {manifest.threshold}",
    ]
    lines += [f"  precision  {manifest.precision}"] if manifest.precision != "f32" else []
    lines += [f"  data       {d.name} ({d.split}): {d.terms}" for d in provenance.data]
    for name, figures in provenance.metrics.items():
        lines.append(f"  measured   {name}: " + ", ".join(f"{k} {v:.4f}" for k, v in figures.items()))
    for precision, figures in provenance.parity.items():
        lines.append(f"  parity     {precision}: " + ", ".join(f"{k} {v:.2g}" for k, v in figures.items()))
    lines += [f"  recipe     {provenance.recipe}"] if provenance.recipe else []
    lines += [f"  weights    sha256 {provenance.weights_sha256[:16]}, commit {provenance.commit[:10] or 'unknown'}"]
    return "\n".join(lines)


def _scale(prepared: "Preparation") -> str:
    if prepared.size is not None:
        return f"resized to {prepared.size[1]} × {prepared.size[0]} px"
    if isinstance(prepared.field_of_view, tuple):
        return "field of view scaled to {} to {} px".format(*prepared.field_of_view)
    return f"field of view scaled to {prepared.field_of_view} px" if prepared.field_of_view else "native resolution"


def describe_engine(engine: "Engine") -> str:
    """An engine for people: the model's manifest, and what was made of it."""
    from vesselrt.runtime.engine import NAMES

    header, precision = engine.header, engine.manifest.precision
    least, tuned, most = header.profile.batch
    lines = [
        describe(engine.manifest),
        f"  engine     {NAMES[header.flavour]} {header.version} for {', '.join(header.targets)} in {precision}",
        f"  profile    tiles of {header.profile.tile} px, batch {least} to {most}, tuned for {tuned}",
        f"  made from  model file with sha256 {header.model_sha256[:16]}",
        f"  plan       {header.plan_size / 1e6:.1f} MB, sha256 {header.plan_sha256[:16]}",
    ]
    return "\n".join(lines)


def _recorder() -> "Callable[[Path, Manifest, dict[str, dict[str, float]]], None]":
    """What writes figures into a model file. Raises MissingExtraError."""
    with _extra("vesselrt evaluate --record", "export"):
        from vesselrt.export.graph import record_metrics
    return record_metrics


def _knows(manifest: "Manifest", photographs: list[str]) -> str:
    return f"{manifest.name} was trained on {len(photographs)} of these photographs, {', '.join(photographs)}"


def _f1(data: Path) -> Callable[[Path], float]:
    """Measures the F1 of a model file on the test photographs of a data set."""
    with _extra("vesselrt convert --data", "evaluate"):
        from vesselrt.training.data import check_kind, find
        from vesselrt.training.evaluation import evaluate as run
    samples = find(check_kind("auto", data), data, "test")

    def measure(path: Path) -> float:
        # ONNX Runtime takes the graph's types as they are; OpenVINO would choose its own.
        with _load(str(path), "cpu:onnxruntime", "auto", None) as segmenter, _progress(len(samples)) as advance:
            measured = run(segmenter, samples, name=data.name, split="test", watch=lambda _: advance())
        return measured.figures()["f1"]

    return measure


def _encoder(
    form: str, simplify: float | None, colour: str, opacity: float
) -> "Callable[[Segmentation, float | None], bytes]":
    """What makes a file of a segmentation and a threshold (None: the model's)."""
    if simplify is None:
        return lambda result, threshold: result.encode(form, threshold, colour, opacity)
    if form != "geojson":
        raise OptionError(f"--simplify is for --format geojson, and the format is {form}.")
    from vesselrt.training.annotations import check_simplify, encode

    check_simplify(simplify)
    return lambda result, threshold: encode(
        result.mask(threshold), simplify, result.threshold if threshold is None else threshold
    )


def _load(model: str | None, device: str, precision: str, threads: int | None) -> "Segmenter":
    from vesselrt.runtime.segmenter import load

    return load(model, device=device, precision=precision, threads=threads)


def _expand(photos: list[str]) -> list[Path]:
    """Files as named; the images of folders and of globs that the shell left alone. Raises OptionError for nothing."""
    found: list[Path] = []
    for photo in photos:
        path = Path(photo)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
            if not inside:
                raise OptionError(f"{photo}: the folder holds no image ({', '.join(sorted(IMAGE_SUFFIXES))}).")
            # What an earlier run wrote beside its photographs is not a photograph.
            written = {_name(p, form) for p in inside for form in SUFFIXES}
            found += [p for p in inside if p.name not in written]
        elif not path.exists() and glob.has_magic(photo):
            matches = sorted(p for p in map(Path, glob.iglob(photo, recursive=True)) if p.is_file())  # noqa: PTH207 - any pattern
            if not matches:
                raise OptionError(f"{photo}: no file matches.")
            found += matches
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _name(photo: Path, form: str) -> str:
    """Of the file that is written for a photograph."""
    return f"{photo.stem}-{form}{SUFFIXES[form]}"


def _targets(photos: list[Path], out: Path | None, form: str) -> dict[Path, Path]:
    """Photograph → file to write. Raises OptionError when two would be written to one."""
    if out is not None and out.suffix and not out.is_dir():
        if len(photos) > 1:
            raise OptionError(f"{out} is one file, and there are {len(photos)} photographs. Name a folder with -o.")
        return _sparing({photos[0]: out})
    folder = out or Path()
    targets: dict[Path, Path] = {}
    for photo in photos:
        target = folder / _name(photo, form)
        if target in targets.values():
            other = next(p for p, t in targets.items() if t == target)
            raise OptionError(
                f"{photo} and {other} would both be written to {target}. Run them apart, with different -o."
            )
        targets[photo] = target
    return _sparing(targets)


def _sparing(targets: dict[Path, Path]) -> dict[Path, Path]:
    """The same. Raises OptionError when a photograph would be written over."""
    photos = {photo.resolve() for photo in targets}
    lost = [str(target) for target in targets.values() if target.resolve() in photos]
    if lost:
        raise OptionError(f"{', '.join(lost)} would be written over a photograph. Name another place with -o.")
    return targets


def _apart(source: Path, out: Path) -> Path:
    """The source. Raises OptionError when it would be written over."""
    if source.resolve() == out.resolve():
        raise OptionError(f"{out} would be written over itself. Name another file with -o.")
    return source


def _recipe(name: str) -> Path:
    from vesselrt.training.recipe import BUILT_IN

    if (BUILT_IN / f"{name}.yaml").is_file():
        return BUILT_IN / f"{name}.yaml"
    if Path(name).is_file():
        return Path(name)
    offered = ", ".join(sorted(p.stem for p in BUILT_IN.glob("*.yaml")))
    raise DataError(f"no recipe {name}: neither a file nor a built-in one. Built-in: {offered}.")


def _write(path: Path, content: bytes) -> None:
    with draft(path) as name:
        name.write_bytes(content)


def _fail(message: str) -> None:
    _say.print(f"error: {message}", style="bold red")
    sys.exit(1)


@contextlib.contextmanager
def _extra(doing: str, extra: str) -> Iterator[None]:
    """Turns a missing package into the line that installs it; a broken vesselrt import stays what it is."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vesselrt"):
            raise
        raise MissingExtraError(doing, extra) from None


@contextlib.contextmanager
def _progress(count: int) -> Iterator[Callable[[], None]]:
    """A bar on the error stream, for many photographs on a terminal."""
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=_say, disable=count < 3 or not _say.is_terminal) as bar:
        task = bar.add_task("", total=count)
        yield lambda: bar.advance(task)


@contextlib.contextmanager
def _steps() -> Iterator[tuple[Callable[[str], None], Callable[[int, int, float], None]]]:
    """Training's output: report lines, and a bar with the loss."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.4f}"), TimeRemainingColumn())
    with Progress(*columns, console=_say, disable=not _say.is_terminal) as bar:
        task = bar.add_task("", total=None, loss=0.0)
        yield (
            _say.print,
            lambda step, total, loss: bar.update(task, completed=step, total=total, loss=loss),
        )


if __name__ == "__main__":
    main()
