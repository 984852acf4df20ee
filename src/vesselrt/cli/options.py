"""The options that several commands share, and the model that they name."""

import functools
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from vesselrt.cli.console import console
from vesselrt.runtime.devices import AnyPrecision
from vesselrt.runtime.devices import Device as DeviceName
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.output.classes import by_class
from vesselrt.runtime.output.statistics import lowest_vessel_level
from vesselrt.runtime.symmetry import Tta

if TYPE_CHECKING:
    from vesselrt.runtime.cluster import Cluster
    from vesselrt.runtime.segmenter import Segmenter

T = TypeVar("T")
Models = Annotated[
    list[str] | None,
    typer.Option(
        "-m",
        "--model",
        help="Built-in model, model file, engine file or https address; MODEL#sha256=... is the file of this hash, "
        "which an address needs. Repeat to average several; default: fundus.",
    ),
]
TestTimeAugmentation = Annotated[
    Tta,
    typer.Option(
        "--tta",
        help="Average the maps of each photograph flipped (flips, 4 of them), or flipped and turned (d4, 8). That "
        "takes as many times as long.",
    ),
]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda, or one library of these: cpu:openvino, cuda:tensorrt_rtx and so on.")
]
Precision = Annotated[str, typer.Option(help="auto, f32, bf16, fp16 or int8.")]
Threads = Annotated[int | None, typer.Option(help="Processor cores to use; default: all that it may.")]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Segment on the machines of a Ray cluster: auto, HOST:PORT, or local (this machine, a worker for each GPU "
        "or 4 cores). PHOTO may then be an address such as s3://bucket/folder.",
    ),
]
Thresholds = Annotated[
    str | None,
    typer.Option(
        help="Vessel where probability >= threshold, 0 to 1; of single classes artery:0.4,vein:0.6; default: the "
        "model's."
    ),
]
JudgeQuality = Annotated[
    bool,
    typer.Option(
        "--quality/--no-quality",
        help="Judge each photograph (good, usable, reject) and warn; no, for ultra-wide-field cameras.",
    ),
]
MASK_KINDS = "drive, chase_db1, hrf, stare, fives, les_av, iostar, dr_hagis, rite, folder"
"""Layouts of data sets of masks; training, which knows them, is imported late."""
Layout = Annotated[str, typer.Option(help=f"Layout of the data set: auto, or one of {MASK_KINDS}, geojson.")]

Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say what happens inside, too.")]


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """The command with -q and -v, which every one has."""

    @functools.wraps(command)
    def run(*arguments: Any, quiet: bool, verbose: bool, **options: Any) -> None:
        if quiet and verbose:
            raise OptionError("-q and -v exclude each other.")
        console.quiet = quiet
        level = logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO
        logging.getLogger("vesselrt").setLevel(level)
        command(*arguments, **options)

    signature, keyword = inspect.signature(command), inspect.Parameter.KEYWORD_ONLY
    added = {"quiet": Quiet, "verbose": Verbose}
    parameters = [inspect.Parameter(name, keyword, default=False, annotation=kind) for name, kind in added.items()]
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[*signature.parameters.values(), *parameters]
    )
    run.__annotations__ = {**command.__annotations__, **added}
    return run


def load_model(
    models: Sequence[str] | None, device: str, precision: str, threads: int | None, tta: Tta = "none"
) -> "Segmenter":
    """The model that the options name, or the mean of several."""
    from vesselrt.runtime.segmenter import load

    # load checks both, and its error lists what there is.
    return load(
        models or None,
        device=cast(DeviceName, device),
        precision=cast(AnyPrecision, precision),
        threads=threads,
        tta=tta,
    )


def open_model(
    models: Sequence[str] | None,
    device: str,
    precision: str,
    threads: int | None,
    tta: Tta = "none",
    *,
    ray: str | None = None,
) -> "Segmenter | Cluster":
    """The same, or on the cluster of Ray at an address."""
    if ray is None:
        return load_model(models, device, precision, threads, tta)
    from vesselrt.runtime.cluster import Cluster, ModelChoice

    kept = ModelChoice(tuple(models or ()), cast(DeviceName, device), cast(AnyPrecision, precision), threads, tta)
    return Cluster(ray, kept)


def read_by_class(name: str, text: str | None, convert: Callable[[str], T]) -> T | dict[str, T] | None:
    """What an option says of all classes, or of some by name. Raises OptionError, BadParameter."""
    if text is None:
        return None
    try:
        return by_class(text, convert)
    except OptionError:
        raise
    except ValueError as error:
        raise typer.BadParameter(f"{text[:40]!r}. Expected {error}.", param_hint=f"--{name}") from None


def fraction(text: str) -> float:
    """A threshold. Raises ValueError for a text that is no number, OptionError for one out of range."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError("a number from 0 to 1, such as 0.5; of single classes artery:0.4,vein:0.6") from None
    lowest_vessel_level(value)
    return value
