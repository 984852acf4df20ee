"""`vesselrt measure`: photographs → a table of measurements."""

import csv
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vesselrt.cli.console import console, fail, needs_extra, photo_progress
from vesselrt.cli.options import (
    Device,
    JudgeQuality,
    Models,
    Precision,
    RayAddress,
    Threads,
    Thresholds,
    fraction,
    open_model,
    read_by_class,
)
from vesselrt.cli.photos import expand_photos, path_of, split_frames
from vesselrt.runtime.errors import OptionError, VesselrtError
from vesselrt.runtime.output.classes import Thresholds as ThresholdValues
from vesselrt.runtime.output.classes import check_options, layers_of, say_thresholds
from vesselrt.runtime.photo.photograph import Frame

if TYPE_CHECKING:
    from vesselrt.runtime.cluster import Cluster
    from vesselrt.runtime.measures.rows import Columns, Row
    from vesselrt.runtime.measures.table import RowFile
    from vesselrt.runtime.measures.zones import Disc
    from vesselrt.runtime.segmentation import Segmentation
    from vesselrt.runtime.segmenter import Segmenter

_DISC_COLUMNS = ("file", "x", "y")
_Pattern = Annotated[
    str | None, typer.Option(help="What file names tell, such as '{patient}_{eye}': a column for each name.")
]
_FieldAngle = Annotated[
    float | None, typer.Option(help="Degrees that the diameter of the field of view shows, such as 45.")
]
_Discs = Annotated[
    Path | None,
    typer.Option(help="CSV file of optic discs, for figures around them: file,x,y and maybe diameter, in pixels."),
]
_FieldDiameter = Annotated[
    float | None,
    typer.Option(help="Diameter of the field of view in pixels, for photographs cut inside of it; default: found."),
]


def measure(
    photos: Annotated[list[str], typer.Argument(help="Files, globs and folders.", metavar="PHOTO...")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Table to write: results.csv, or results.parquet.")],
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Take the folders in folders too.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a table that an earlier run began.")] = False,
    pattern: _Pattern = None,
    um_per_px: Annotated[float | None, typer.Option(help="Micrometres of the retina in a pixel.")] = None,
    field_angle: _FieldAngle = None,
    discs: _Discs = None,
    scale: _FieldDiameter = None,
    threshold: Thresholds = None,
    quality: JudgeQuality = True,
    model: Models = None,
    device: Device = "auto",
    precision: Precision = "auto",
    threads: Threads = None,
    ray: RayAddress = None,
) -> None:
    """Measure the vessels of photographs: a table with a row for each. A row is kept as soon as it is there."""
    with needs_extra("vesselrt measure", "measure"):
        import skimage.morphology  # noqa: F401
    from vesselrt.runtime.measures.measuring import Ruler, figure_names
    from vesselrt.runtime.measures.rows import Columns, NamePattern
    from vesselrt.runtime.measures.table import PARQUET, RowFile

    if out.suffix not in (".csv", PARQUET):
        raise OptionError(f"{out} names no table. Expected .csv or {PARQUET}.")
    thresholds = read_by_class("threshold", threshold, fraction)
    names = NamePattern(pattern) if pattern else None
    ruler, places = Ruler(um_per_px, field_angle), _read_discs(discs) if discs else None
    files = list(split_frames(expand_photos(photos, recursive, stores=ray is not None)))
    with open_model(model, device, precision, threads, ray=ray) as segmenter:
        check_options(segmenter.manifest.class_names, threshold=thresholds)
        console.print(f"{segmenter.manifest.name} {segmenter.manifest.version} on {segmenter.info}")
        columns = Columns(figure_names(segmenter.manifest.class_names, zones=places is not None), names)

        def row_of(photo: Path | Frame, result: "Segmentation") -> "Row":
            disc = (places or {}).get(path_of(photo).name)
            found = result.measure(thresholds, um_per_px=ruler.um_per_px, field_angle=ruler.field_angle, disc=disc)
            return columns.row_of(photo, result, found)

        with RowFile(out, columns, _alike(segmenter, thresholds), resume=resume) as table:
            left = [file for file in files if str(file) not in table.done]
            outcomes = segmenter.segment_many(left, row_of, scale=scale, quality=quality)
            _fill(left, outcomes, columns, table)


def _fill(
    photos: list[Path | Frame],
    outcomes: "Generator[Row | VesselrtError | OSError]",
    columns: "Columns",
    table: "RowFile",
) -> None:
    """Writes a row for each photograph, in their order; exit code 1 at the end if some failed."""
    kept, failed = len(table.done), 0
    if kept:
        console.print(f"{kept} were measured before")
    try:
        with (
            photo_progress(len(photos)) as advance,
            closing(outcomes),
        ):
            for photo, outcome in zip(photos, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    failed += 1
                    console.print(f"failed: {outcome}", style="red")
                    table.write(columns.row_of_error(photo, outcome))
                else:
                    if outcome["warnings"]:
                        console.print(f"{photo}: {outcome['warnings']}", style="yellow")
                    table.write(outcome)
                advance()
    except KeyboardInterrupt:
        console.print(f"interrupted: {len(table.done) - kept} of {len(photos)} measured. Go on with --resume")
        raise
    console.print(f"{len(photos) - failed} of {len(photos)} measured")
    table.finish()
    if failed:
        fail(f"{failed} of {len(photos)} photographs failed; their rows have the column error")


def _alike(segmenter: "Segmenter | Cluster", thresholds: ThresholdValues | None) -> "Row":
    """What all rows share."""
    manifest, info = segmenter.manifest, segmenter.info
    layers = layers_of(manifest.classes, manifest.threshold, thresholds)
    return {
        "model": manifest.name,
        "model_version": manifest.version,
        "device": info.device,
        "precision": info.precision,
        "threshold": say_thresholds(layers, named=len(layers) > 1),
    }


def _read_discs(path: Path) -> "dict[str, Disc]":
    """The name of a photograph's file → its optic disc. Raises OptionError for a file that says something else."""
    from vesselrt.runtime.measures.zones import Disc

    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if missing := set(_DISC_COLUMNS) - set(rows.fieldnames or ()):
            raise OptionError(f"{path} lacks the columns {', '.join(sorted(missing))}. Expected file,x,y,diameter.")
        found: dict[str, Disc] = {}
        for row in rows:
            diameter = row.get("diameter")
            try:
                disc = Disc(float(row["x"]), float(row["y"]), float(diameter) if diameter else None)
            except ValueError as error:  # an OptionError too
                raise OptionError(f"{path}, line {rows.line_num}: {error}") from None
            if found.setdefault(Path(row["file"]).name, disc) is not disc:
                raise OptionError(f"{path}, line {rows.line_num}: {row['file']} is there twice.")
    return found
