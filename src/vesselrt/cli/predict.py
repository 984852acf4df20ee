"""`vesselrt predict`: photographs → files."""

import statistics
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from vesselrt.cli.console import STDOUT, console, fail, photo_progress, write_output
from vesselrt.cli.options import (
    Device,
    JudgeQuality,
    Models,
    Precision,
    RayAddress,
    TestTimeAugmentation,
    Threads,
    Thresholds,
    fraction,
    open_model,
    read_by_class,
)
from vesselrt.cli.photos import expand_photos, path_of, split_frames, stem_of
from vesselrt.runtime.errors import OptionError, VesselrtError
from vesselrt.runtime.files import check_writable_folder
from vesselrt.runtime.output.classes import check_options, names_from_text
from vesselrt.runtime.output.formats import FORMATS, OutputFormat, no_spread, output_name
from vesselrt.runtime.output.outlines import check_simplify
from vesselrt.runtime.output.pictures import COLOUR, OPACITY, rgb_from_colour
from vesselrt.runtime.photo.photograph import Frame

if TYPE_CHECKING:
    from vesselrt.runtime.cluster import Cluster
    from vesselrt.runtime.segmentation import Segmentation
    from vesselrt.runtime.segmenter import Segmenter

_Colours = Annotated[
    str | None,
    typer.Option(help=f"Of the vessels in overlay and svg, such as {COLOUR}, or vein:{COLOUR}; default: the model's."),
]
_Classes = Annotated[
    str | None,
    typer.Option(help="Of a model that tells several apart: those to show, such as artery,vein; default: all."),
]


Targets = dict[Path | Frame, Path]
"""Photograph → the file to write, or the folder below the output that it belongs to."""
_Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Take the folders in folders too, and keep their tree.")
]


class _Encoded(NamedTuple):
    content: bytes
    milliseconds: float
    warnings: tuple[str, ...]


def predict(
    photos: Annotated[list[str], typer.Argument(help="Files, globs and folders.", metavar="PHOTO...")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="File (for one photo), - (standard output), or folder; default: this folder."),
    ] = None,
    recursive: _Recursive = False,
    threshold: Thresholds = None,
    format: Annotated[  # noqa: A002 - the option's name
        OutputFormat | None,
        typer.Option(help="What to write; default: as -o is named (.svg, .geojson, .json), else mask."),
    ] = None,
    colour: _Colours = None,
    opacity: Annotated[float, typer.Option(min=0, max=1, help="Of the vessels in overlay.")] = OPACITY,
    simplify: Annotated[
        float,
        typer.Option(
            help="Pixels by which outlines in svg and geojson may move; up to 0.35 no pixel of a mask changes."
        ),
    ] = 0.0,
    scale: Annotated[
        float | None,
        typer.Option(help="Diameter of the field of view in pixels, for photographs cut inside of it; default: found."),
    ] = None,
    classes: _Classes = None,
    quality: JudgeQuality = True,
    model: Models = None,
    tta: TestTimeAugmentation = "none",
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    ray: RayAddress = None,
) -> None:
    """Segment photographs and write a file for each; warnings go to stderr."""
    form = _choose_format(format, out)
    targets = _choose_targets(split_frames(expand_photos(photos, recursive, stores=ray is not None)), out, form)
    by_name = _read_classes(threshold, colour, classes)
    if simplify and form not in ("svg", "geojson"):
        raise OptionError(f"--simplify is for --format svg and geojson, and the format is {form}.")
    check_simplify(simplify)
    for folder in {target.parent for target in targets.values() if target != STDOUT}:
        check_writable_folder(folder)

    def encode(result: "Segmentation") -> bytes:
        return result.encode(form, opacity=opacity, simplify=simplify, **by_name)

    with open_model(model, device, precision, threads, tta, ray=ray) as segmenter:
        _check_wanted(segmenter, form, by_name)
        console.print(f"{segmenter.manifest.name} {segmenter.manifest.version} on {segmenter.info}")
        _write_results(segmenter, targets, encode, scale=scale, quality=quality)


def _check_wanted(segmenter: "Segmenter | Cluster", form: OutputFormat, by_name: dict[str, Any]) -> None:
    """Raises OptionError for classes and a spread that the model has not."""
    check_options(segmenter.manifest.class_names, **by_name)
    if form == "spread" and segmenter.info.members == 1:
        raise no_spread()


def _read_classes(threshold: str | None, colour: str | None, classes: str | None) -> dict[str, Any]:
    """What the options say of the classes, as `Segmentation.encode` takes it. Raises OptionError, BadParameter."""
    return {
        "threshold": read_by_class("threshold", threshold, fraction),
        "colour": read_by_class("colour", colour, _checked_colour),
        "classes": None if classes is None else names_from_text(classes),
    }


def _checked_colour(text: str) -> str:
    rgb_from_colour(text)
    return text


def _write_results(
    segmenter: "Segmenter | Cluster",
    targets: Targets,
    encode: "Callable[[Segmentation], bytes]",
    *,
    scale: float | None,
    quality: bool,
) -> None:
    """Segments the photographs and writes their files; exit code 1 at the end if some failed."""
    failures: list[str] = []
    written: list[float] = []  # ms of each photograph whose file is there

    def encoded(_: Path | Frame, result: "Segmentation") -> _Encoded:
        """Where it was segmented, so that encoding overlaps with the network of other photographs."""
        return _Encoded(encode(result), sum(result.timings.values()), result.warnings)

    try:
        with (
            photo_progress(len(targets)) as advance,
            closing(segmenter.segment_many(targets, encoded, scale=scale, quality=quality)) as outcomes,
        ):
            for (photo, target), outcome in zip(targets.items(), outcomes, strict=True):
                try:
                    if isinstance(outcome, Exception):
                        raise outcome
                    write_output(target, outcome.content)
                except (VesselrtError, OSError) as error:
                    failures.append(str(error) if str(photo) in str(error) else f"{photo}: {error}")
                    console.print(f"failed: {failures[-1]}", style="red")
                else:
                    written.append(outcome.milliseconds)
                    if outcome.warnings:
                        console.print(f"{photo}: {' '.join(outcome.warnings)}", style="yellow")
                advance()
    except KeyboardInterrupt:  # Ctrl+C: what was written stays
        console.print(f"interrupted: {len(written)} of {len(targets)} written")
        raise
    if written:
        console.print(f"{len(written)} of {len(targets)} written, median {statistics.median(written):.0f} ms")
    if failures:
        fail(f"{len(failures)} of {len(targets)} photographs failed")


def _choose_format(named: OutputFormat | None, out: Path | None) -> OutputFormat:
    """The format that is named, or that of the file to write. Raises OptionError where the two contradict."""
    is_file = out is not None and out != STDOUT and out.suffix != "" and not out.is_dir()
    suffix = out.suffix.lower() if is_file and out is not None else ""
    suffixes = {form: spec.suffix for form, spec in FORMATS.items()}
    if named is None:
        named = next((form for form in FORMATS if suffix in {"", suffixes[form]}), None)
        if named is None:
            known = ", ".join(sorted(set(suffixes.values())))
            raise OptionError(f"{out} names no format. Expected one of {known}, or --format.")
    elif suffix in suffixes.values() and suffix != suffixes[named]:
        raise OptionError(
            f"{out} is to be {suffix}, and the format is {named} ({suffixes[named]}). Leave out --format."
        )
    return named


def _choose_targets(photos: Targets, out: Path | None, form: OutputFormat) -> Targets:
    """Photograph → file to write. Raises OptionError when two would be written to one."""
    if out is not None and (out == STDOUT or (out.suffix and not out.is_dir())):
        if len(photos) > 1:
            raise OptionError(f"{out} is one file, and there are {len(photos)} photographs. Name a folder with -o.")
        return _check_overwritten(dict.fromkeys(photos, out))
    targets: Targets = {}
    for photo, below in photos.items():
        target = (out or Path()) / below / output_name(stem_of(photo), form)
        if target in targets.values():
            other = next(p for p, t in targets.items() if t == target)
            raise OptionError(
                f"{photo} and {other} would both be written to {target}. Run them apart, with different -o."
            )
        targets[photo] = target
    return _check_overwritten(targets)


def _check_overwritten(targets: Targets) -> Targets:
    """The same. Raises OptionError when a photograph would be written over."""
    photos = {path_of(photo).resolve() for photo in targets}
    lost = [str(target) for target in targets.values() if target.resolve() in photos]
    if lost:
        raise OptionError(f"{', '.join(lost)} would be written over a photograph. Name another place with -o.")
    return targets
