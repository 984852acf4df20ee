"""`vesselrt export`, `convert` and `compile`: from a trained network to a model file, FP16 and engines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vesselrt.cli.console import needs_extra, photo_progress
from vesselrt.cli.models import describe_engine, describe_model
from vesselrt.cli.options import load_model
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.files import check_writable

if TYPE_CHECKING:
    from vesselrt.export.precision import Judge, Scores
    from vesselrt.training.data.samples import Sample
    from vesselrt.training.data.splits import Split


Output = Annotated[
    Literal["logits", "softmax", "sigmoid", "probability"] | None,
    typer.Option(
        help="What the network gives: logits, a channel for each class; softmax: logits of channels that exclude each "
        "other, as background and vessel do; sigmoid: logits of channels on their own; probability: activation built "
        "in. Default: what the source tells, else logits."
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="Of a module or bundle: state dict (.pth, .pt or .safetensors). A factory may load its own instead."
    ),
]
Fold = Annotated[
    str | None,
    typer.Option(help="Of nnU-Net: 0, or 0,1,2, whose mean is taken, or all. Default: all that have a number."),
]
Pick = Annotated[str | None, typer.Option(help="Of several outputs the one with the mask: key, name or index (0, -1).")]
Vessel = Annotated[
    str | None, typer.Option(help="Of several channels the vessel's, from 0; of several classes: artery=1,vein=2.")
]


def export(
    out: Annotated[Path, typer.Option("-o", "--out", help="The model file to write.")],
    source: Annotated[
        str | None,
        typer.Argument(
            help="Training run, MONAI bundle, folder of nnU-Net v2, transformers (Hugging Face) or "
            "segmentation_models_pytorch, ONNX file, .pt2 file of torch.export, or any torch.nn.Module: "
            "package.module:factory."
        ),
    ] = None,
    run: Annotated[str | None, typer.Option(hidden=True, help="SOURCE, a training run.")] = None,
    network: Annotated[str | None, typer.Option(hidden=True, help="SOURCE, package.module:factory.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Of a training run: its data; parity is measured on validation photographs.")
    ] = None,
    weights: Weights = None,
    fold: Fold = None,
    manifest: Annotated[
        Path | None,
        typer.Option("-m", "--manifest", help="What the source does not tell (scale, tile, licence), as YAML."),
    ] = None,
    output: Output = None,
    pick: Pick = None,
    vessel: Vessel = None,
    photos: Annotated[list[Path] | None, typer.Option(help="Photographs for the parity check.")] = None,
    precision: Annotated[
        Literal["f32", "fp16"],
        typer.Option(help="What its graph is to compute in; fp16 is for GPUs. For int8: vesselrt convert."),
    ] = "f32",
) -> None:
    """Turn a trained network into one model file, proven against PyTorch, or against the ONNX file that it comes in."""
    named = [name for name in (source, run, network) if name is not None]
    if len(named) != 1:
        raise OptionError("name one SOURCE, and the file to write with -o. See: vesselrt export --help")
    with needs_extra("vesselrt export", "engines" if named[0].endswith(".onnx") else "export"):
        from vesselrt.export.head import Head
        from vesselrt.export.precision import export_in_precision
        from vesselrt.export.sources.finding import find_source
    check_writable(out)
    if source is not None:
        _apart(Path(source), out)
    with needs_extra("vesselrt export", "export"):
        found = find_source(named[0], weights, manifest, data, fold)
    from vesselrt.runtime.photo.decoding import read_photo

    compared = [*found.photographs, *(read_photo(photo).pixels for photo in photos or [])]
    head = Head(output or found.output, pick, _vessel_channel(vessel), found.shift)
    typer.echo(describe_model(export_in_precision(found, out, precision, compared, head)))


def convert(
    model: Annotated[str, typer.Argument(help="Built-in model or model file, f32.")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="The model file to write; of int8 by default NAME.int8.onnx beside MODEL."),
    ] = None,
    precision: Annotated[
        Literal["fp16", "int8"], typer.Option(help="What its graph is to compute in; int8 is for processors.")
    ] = "fp16",
    photos: Annotated[
        list[Path] | None, typer.Option(help="Photographs for the parity check, and to calibrate int8 on.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Data sets: int8 is calibrated on the training photographs; on the test photographs of the first, the "
            "difference in F1 is measured."
        ),
    ] = None,
) -> None:
    """Write a model file that computes in FP16 or INT8, proven against the f32 one; uint8 in and float32 out stay."""
    with needs_extra("vesselrt convert", "engines"):
        from vesselrt.export.precision import convert_model
    from vesselrt.runtime.modelfile import BUILT_IN, find_model_file, int8_path
    from vesselrt.runtime.photo.decoding import read_photo

    source = find_model_file(model)
    if out is None:
        if precision != "int8" or source.parent == BUILT_IN:
            raise OptionError(
                "name the file to write with -o. Only that of int8, of your own model, has a name already."
            )
        out = int8_path(source)
    _apart(source, out)
    check_writable(out)
    compared = [read_photo(photo).pixels for photo in photos or []]
    if precision == "int8":
        compared += [sample.read_image() for folder in data or [] for sample in _samples(folder, "train")]
    written = convert_model(source, out, precision, compared, _judge(data[0]) if data else None)
    typer.echo(f"{out}\n{describe_model(written)}")


def compile_model(
    model: Annotated[str, typer.Argument(help="Built-in model or model file.")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="rtx2080ti, sm75, sm86 and so on; default: current. Given twice: one engine for both, slower on sm75."
        ),
    ] = None,
    precision: Annotated[Literal["f32", "fp16", "int8"], typer.Option(help="What the engine computes in.")] = "fp16",
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
    from vesselrt.runtime.engines.enginefile import ENGINE_SUFFIX
    from vesselrt.runtime.modelfile import find_model_file

    source = find_model_file(model) if out is None else _apart(find_model_file(model), out)
    if out is not None:
        check_writable(out)
    engine = build(source, target or ["current"], precision, max_batch, builder)
    parts = (engine.manifest.name, engine.manifest.version, engine.manifest.precision, *engine.header.targets)
    path = out or Path("-".join(parts) + ENGINE_SUFFIX)
    engine.write(path)
    typer.echo(f"{path}\n{describe_engine(engine)}")


_JUDGED = ("f1", "thin_recall")
"""Figures that two precisions are compared by."""


def _samples(data: Path, split: "Split") -> "list[Sample]":
    with needs_extra("vesselrt convert --data", "evaluate"):
        from vesselrt.training.data.finding import list_samples, resolve_kind
    return list_samples(resolve_kind("auto", data), data, split)


def _judge(data: Path) -> "Judge":
    """Measures F1 and the recall of thin vessels of a model file on the test photographs of a data set."""
    with needs_extra("vesselrt convert --data", "evaluate"):
        from vesselrt.training.evaluation.evaluate import evaluate_model
    from vesselrt.runtime.modelfile import read_manifest

    samples = _samples(data, "test")

    def measure(path: Path) -> "Scores":
        # ONNX Runtime takes the graph's types as they are; OpenVINO would choose its own. Named, so that of an f32 file
        # no INT8 file beside it is taken.
        precision = "int8" if read_manifest(path).precision == "int8" else "f32"
        with (
            load_model([str(path)], "cpu:onnxruntime", precision, None) as segmenter,
            photo_progress(len(samples)) as advance,
        ):
            measured = evaluate_model(segmenter, samples, name=data.name, split="test", watch=lambda _: advance())
        if measured.left_out:  # Ctrl+C: figures of fewer photographs say nothing beside those of all
            raise KeyboardInterrupt
        each = {f"_{name}": measured.of_class(name) for name in measured.classes}
        found = {
            f"{key}{name}": own.figures().get(key) for name, own in {"": measured, **each}.items() for key in _JUDGED
        }
        return {key: value for key, value in found.items() if value is not None}

    return measure


def _vessel_channel(said: str | None) -> int | dict[str, int] | None:
    """Of `--vessel`. Raises OptionError."""
    try:
        if said is None or "=" not in said:
            return None if said is None else int(said)
        parts = [part.partition("=") for part in said.split(",")]
        return {name.strip(): int(channel) for name, _, channel in parts}
    except ValueError:
        raise OptionError(
            f"--vessel {said}: expected the number of a channel, from 0, or of each class, as in artery=1,vein=2."
        ) from None


def _apart(source: Path, out: Path) -> Path:
    """The source. Raises OptionError when it would be written over."""
    if source.resolve() == out.resolve():
        raise OptionError(f"{out} would be written over itself. Name another file with -o.")
    return source
