"""`vesselrt export`, `convert` and `compile`: from a trained network to a model file, FP16 and engines."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from vesselrt.cli.console import needs_extra, photo_progress
from vesselrt.cli.models import describe_engine, describe_model
from vesselrt.cli.options import load_model
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.files import check_writable


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
    with needs_extra("vesselrt export", "export"):
        from vesselrt.export.graph import export as write
        from vesselrt.export.precision import convert as to_half
        from vesselrt.export.sources import networks as sources
    named = [name for name in (source, run, network) if name is not None]
    if len(named) != 1:
        raise OptionError("name one SOURCE, and the file to write with -o. See: vesselrt export --help")
    check_writable(out)
    found = sources.find(named[0], weights, manifest, data)
    from vesselrt.runtime.photo.decoding import read_photo

    compared = [*found.photographs, *(read_photo(photo).pixels for photo in photos or [])]
    with tempfile.TemporaryDirectory() as folder:
        first = out if precision == "f32" else Path(folder) / out.name
        written = write(found.network, found.manifest, first, compared, found.shift, output or found.output)
        if precision != "f32":
            written = to_half(first, out, compared)
    typer.echo(describe_model(written))


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
    with needs_extra("vesselrt convert", "engines"):
        from vesselrt.export.precision import convert as write
    from vesselrt.runtime.modelfile import find
    from vesselrt.runtime.photo.decoding import read_photo

    source = _apart(find(model), out)
    check_writable(out)
    f1 = None if data is None else _f1(data)
    typer.echo(describe_model(write(source, out, [read_photo(photo).pixels for photo in photos or []], f1)))


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
    with needs_extra("vesselrt compile", "tensorrt"):  # which brings what the extra `engines` holds
        from vesselrt.export.engine import build
    from vesselrt.runtime.engines.enginefile import SUFFIX
    from vesselrt.runtime.modelfile import find

    source = find(model) if out is None else _apart(find(model), out)
    if out is not None:
        check_writable(out)
    engine = build(source, target or ["current"], precision, max_batch, builder)
    parts = (engine.manifest.name, engine.manifest.version, engine.manifest.precision, *engine.header.targets)
    path = out or Path("-".join(parts) + SUFFIX)
    engine.write(path)
    typer.echo(f"{path}\n{describe_engine(engine)}")


def _f1(data: Path) -> Callable[[Path], float]:
    """Measures the F1 of a model file on the test photographs of a data set."""
    with needs_extra("vesselrt convert --data", "evaluate"):
        from vesselrt.training.data.finding import check_kind, find
        from vesselrt.training.evaluation.evaluate import evaluate as run
    samples = find(check_kind("auto", data), data, "test")

    def measure(path: Path) -> float:
        # ONNX Runtime takes the graph's types as they are; OpenVINO would choose its own.
        with (
            load_model(str(path), "cpu:onnxruntime", "auto", None) as segmenter,
            photo_progress(len(samples)) as advance,
        ):
            measured = run(segmenter, samples, name=data.name, split="test", watch=lambda _: advance())
        return measured.figures()["f1"]

    return measure


def _apart(source: Path, out: Path) -> Path:
    """The source. Raises OptionError when it would be written over."""
    if source.resolve() == out.resolve():
        raise OptionError(f"{out} would be written over itself. Name another file with -o.")
    return source
