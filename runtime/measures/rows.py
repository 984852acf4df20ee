"""A cohort as a table: one row for each photograph, with what a study needs beside its figures."""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.measures.figures import NO_SCALE, Measurements
from vesselrt.runtime.photo.origin import Origin
from vesselrt.runtime.photo.photograph import Frame
from vesselrt.runtime.segmentation import Segmentation

Cell = str | int | float
Row = dict[str, Cell]
"""Column → cell; what is missing is an empty cell."""

COUNTS = ("width", "height")
"""Columns of whole numbers."""
LENGTHS = ("field_diameter_px", "um_per_px")
"""Columns of other numbers, beside the figures."""
_ABOUT = ("file", "sha256")
_EYE = ("laterality", "width", "height", "field_diameter_px", "scale", "um_per_px")
_MODEL = ("model", "model_version", "device", "precision", "threshold")
_DOUBTS = ("reasons", "quality", "quality_reasons", "warnings", "error")
_SIDES = {"l": "L", "left": "L", "os": "L", "r": "R", "right": "R", "od": "R"}
_OF_SIDES = {"eye", "laterality"}
"""Fields of a pattern that tell the side."""


@dataclass(frozen=True)
class NamePattern:
    """What file names tell: '{patient}_{eye}' of P017_OD.jpg that the patient is P017 and the eye OD."""

    text: str

    def __post_init__(self) -> None:
        names = self.fields
        if not names or len(set(names)) < len(names) or not all(name.isidentifier() for name in names):
            raise OptionError(f"the pattern is {self.text!r}. Expected names in braces, once each: {{patient}}_{{eye}}")
        taken = {*_ABOUT, *_EYE, *_MODEL, *_DOUBTS} - {"laterality"}
        if other := taken & set(names):
            raise OptionError(f"the pattern names {', '.join(sorted(other))}, which is a column of its own.")
        if touching := [pair for pair in self._touching() if not _OF_SIDES & set(pair)]:
            first, second = touching[0]
            raise OptionError(
                f"nothing stands between {{{first}}} and {{{second}}}, so nobody knows where one ends. Expected a "
                f"letter between them: {{{first}}}_{{{second}}}"
            )

    def _touching(self) -> list[tuple[str, str]]:
        """The fields with nothing between them."""
        return re.findall(r"{([^{}]*)}(?={([^{}]*)})", self.text)

    @property
    def fields(self) -> tuple[str, ...]:
        """The names in braces."""
        return tuple(re.findall(r"{([^{}]*)}", self.text))

    def read(self, path: Path) -> dict[str, str] | None:
        """What the file's name, without its suffix, says of each field; None where it isn't of this pattern."""
        parts = re.split(r"{([^{}]*)}", self.text)
        # An eye that nothing parts from the patient is a side and no more: P17OD is the patient P17.
        sides = _OF_SIDES & {name for pair in self._touching() for name in pair}
        kinds = {name: f"(?i:{'|'.join(_SIDES)})" if name in sides else ".+?" for name in self.fields}
        wanted = "".join(
            f"(?P<{part}>{kinds[part]})" if number % 2 else re.escape(part) for number, part in enumerate(parts)
        )
        found = re.fullmatch(wanted, path.stem)
        return None if found is None else found.groupdict()


def laterality_from(fields: Mapping[str, str]) -> str:
    """L or R, as the field `laterality` or `eye` says it (L, R, OS, OD, left, right); empty where neither does."""
    said = fields.get("laterality", fields.get("eye", ""))
    return _SIDES.get(said.lower(), "")


@dataclass(frozen=True)
class Columns:
    """The columns of a table."""

    figures: tuple[str, ...]
    """The names of `Measurements.figures`."""
    pattern: NamePattern | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in their order."""
        given = self.pattern.fields if self.pattern else ()
        return (*_ABOUT, *(name for name in given if name != "laterality"), *_EYE, *_MODEL, *self.figures, *_DOUBTS)

    def row_of_file(self, photo: Path | Frame) -> Row:
        """What the name tells."""
        given = (self.pattern.read(_path_of(photo)) if self.pattern else None) or {}
        own = {name: value for name, value in given.items() if name != "laterality"}
        return {"file": str(photo), **own, "laterality": laterality_from(given)}

    def row_of(self, photo: Path | Frame, result: Segmentation, found: Measurements) -> Row:
        """The row of a photograph that was measured."""
        warnings = list(result.warnings)
        if self.pattern is not None and self.pattern.read(_path_of(photo)) is None:
            warnings.append(f"The file's name is not of the pattern {self.pattern.text}.")
        height, width = result.shape
        row, origin = self.row_of_file(photo), result.photograph.origin
        return {
            **row,
            "laterality": row["laterality"] or _side_of(origin),
            "sha256": hashlib.sha256(result.photograph.content or b"").hexdigest(),
            "width": width,
            "height": height,
            "field_diameter_px": result.scale.diameter,
            "scale": result.scale.source,
            "um_per_px": found.um_per_px,
            **found.figures(),
            "reasons": _reasons(found, self.figures),
            "quality": result.quality.verdict if result.quality else "",
            "quality_reasons": " ".join(result.quality.reasons) if result.quality else "",
            "warnings": " ".join(warnings),
        }

    def row_of_error(self, photo: Path | Frame, error: Exception) -> Row:
        """The row of a photograph that could not be used."""
        return {**self.row_of_file(photo), "sha256": _sha256_of(_path_of(photo)), "error": str(error)}


def _reasons(found: Measurements, columns: Sequence[str]) -> str:
    """Why cells are empty: `names: reason; names: reason`. What is known in px alone has one reason for all."""
    reasons = {name: why for name, why in found.reasons().items() if why != NO_SCALE}
    reasons |= dict.fromkeys(set(columns) - found.figures().keys(), "the disc is not told")
    by_reason: dict[str, list[str]] = {NO_SCALE: ["um_per_px"]} if math.isnan(found.um_per_px) else {}
    for name in columns:
        if name in reasons:
            by_reason.setdefault(reasons[name], []).append(name)
    return "; ".join(f"{' '.join(names)}: {why}" for why, names in by_reason.items())


def _side_of(origin: Origin | None) -> str:
    """L or R, as a DICOM file says it; empty where it does not, or shows both eyes."""
    return origin.laterality if origin is not None and origin.laterality in ("L", "R") else ""


def _path_of(photo: Path | Frame) -> Path:
    return photo.path if isinstance(photo, Frame) else photo


def _sha256_of(path: Path) -> str:
    """Of a file that may not be there."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
