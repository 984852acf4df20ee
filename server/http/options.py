"""What a client chooses: the options of query and form, and the headers by which it chooses (RFC 9110, 12.5).

One model reads the options, and is what /openapi.json says of them.
"""

import re
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.measures.measuring import Ruler
from vesselrt.runtime.measures.zones import Disc
from vesselrt.runtime.output.classes import by_class, check_options, names_from_text
from vesselrt.runtime.output.formats import FORMATS
from vesselrt.runtime.output.outlines import MAX_SIMPLIFY
from vesselrt.runtime.output.pictures import COLOUR, OPACITY
from vesselrt.server.http.errors import RequestError

Pairs = list[tuple[str, str]]
_COLOUR = r"^#[0-9A-Fa-f]{6}$"
_NAME, _HEX = "[^:,]+:", "#[0-9A-Fa-f]{6}"
_COLOURS_SCHEMA = {"type": "string", "pattern": f"^({_HEX}|{_NAME}{_HEX}(,{_NAME}{_HEX})*)$"}
THRESHOLDS_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "string", "pattern": f"^{_NAME}[0-9.]+(,{_NAME}[0-9.]+)*$"},
    ]
}
"""Of all classes, or of some by name."""


def _known_format(value: Any) -> Any:
    if value not in FORMATS:
        raise ValueError(f"one of: {', '.join(FORMATS)}")
    return value


def _fraction_from_text(value: Any) -> Any:
    number = _number_from_text(value)
    if not 0 <= number <= 1:  # also true for NaN
        raise ValueError("a number from 0 to 1, such as 0.5")
    return number


def _fractions_from_text(value: Any) -> Any:
    return by_class(str(value), _fraction_from_text)


def _colours_from_text(value: Any) -> Any:
    return by_class(str(value), _known_colour)


def _names_from_text(value: Any) -> Any:
    return names_from_text(str(value))


def _diameter_from_text(value: Any) -> Any:
    number = _number_from_text(value)
    if not 0 < number < float("inf"):  # also true for NaN
        raise ValueError("the diameter of the field of view in pixels, such as 960")
    return number


def _distance_from_text(value: Any) -> Any:
    number = _number_from_text(value)
    if not 0 <= number < MAX_SIMPLIFY:  # also true for NaN
        raise ValueError("a distance in pixels, such as 0.35")
    return number


def _number_of_frame(value: Any) -> Any:
    if not re.fullmatch(r"[1-9][0-9]{0,5}", str(value)):
        raise ValueError("a whole number from 1, such as 2")
    return int(value)


def _length_from_text(value: Any) -> Any:
    number = _number_from_text(value)
    if not 0 < number < float("inf"):  # also true for NaN
        raise ValueError("a number above 0")
    return number


def _disc_from_text(value: Any) -> Any:
    numbers = [_number_from_text(word) for word in str(value).split(",")]
    with suppress(OptionError):
        if len(numbers) in (2, 3):
            return Disc(*numbers)
    raise ValueError("x,y or x,y,diameter of the optic disc in pixels, such as 300,250,90")


def _flag_from_text(value: Any) -> Any:
    if value not in ("true", "false"):
        raise ValueError("true or false")
    return value == "true"


def _number_from_text(value: Any) -> float:
    """NaN for what is none."""
    try:
        return float("nan" if "_" in str(value) else value)  # Python reads 0_1 as 1
    except ValueError:
        return float("nan")


def _known_colour(value: Any) -> Any:
    if not re.fullmatch(_COLOUR, str(value)):
        raise ValueError(f"red, green and blue, such as {COLOUR}")
    return value


_Flag = Annotated[bool, BeforeValidator(_flag_from_text)]
_Length = Annotated[float, Field(gt=0), BeforeValidator(_length_from_text)]
_DISC_SCHEMA = {"type": "string", "pattern": r"^[0-9.]+,[0-9.]+(,[0-9.]+)?$"}
_Names = Annotated[tuple[str, ...], BeforeValidator(_names_from_text), WithJsonSchema({"type": "string"})]


class AnswerOptions(BaseModel):
    """The options of one photograph, or of a batch."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    format: Annotated[str, BeforeValidator(_known_format)] = Field(
        default="mask", json_schema_extra={"enum": list(FORMATS)}, examples=["mask"]
    )
    """mask: 8-bit grey PNG, 0 or 255. probability: 8-bit grey PNG. spread: 8-bit grey PNG of 510 × the probability's
    standard deviation, where /models says that a model has several members. overlay: the photograph as RGB PNG with the
    vessels coloured. svg, geojson: outlines in pixels, y down, along pixel edges or simplified. json: the mask as
    COCO's RLE, vessel density in the field of view, counts, times. coco: a file for COCO's tools, an annotation for
    each class, the image called as the upload is. Of a photograph that came as DICOM: dicom-seg, its masks as a DICOM
    Segmentation; dicom-probability, its probabilities likewise; dicom-sr, its measurements as a Structured Report. Left
    out: the header Accept chooses, else it is a mask. Of several classes the mask has each pixel's class, from 1 in the
    order of /models, and probabilities and spreads lie one below the other."""
    threshold: (
        Annotated[float | dict[str, float], BeforeValidator(_fractions_from_text), WithJsonSchema(THRESHOLDS_SCHEMA)]
        | None
    ) = Field(default=None, examples=[0.4])
    """The least probability of a vessel pixel; of single classes artery:0.4,vein:0.6. Left out: the model's own."""
    colour: (
        Annotated[str | dict[str, str], BeforeValidator(_colours_from_text), WithJsonSchema(_COLOURS_SCHEMA)] | None
    ) = Field(default=None, examples=["#33ccff"])
    """Of the vessels in overlay and svg; of single classes artery:#ff2e63,vein:#4db2ff. In an address # is written %23.
    Left out: #00ff66, and of several classes those in /models."""
    opacity: Annotated[float, Field(ge=0, le=1), BeforeValidator(_fraction_from_text)] = Field(
        default=OPACITY, examples=[0.8]
    )
    """How much of the vessels' colour covers the photograph in overlay. Left out: 0.55."""
    simplify: Annotated[float, Field(ge=0, lt=MAX_SIMPLIFY), BeforeValidator(_distance_from_text)] = Field(
        default=0.0, examples=[0.35]
    )
    """Pixels by which outlines may move in svg and geojson: fewer points, and up to 0.35 the same mask. Left out: 0."""
    scale: Annotated[float, Field(gt=0), BeforeValidator(_diameter_from_text)] | None = None
    """Diameter of the field of view in pixels of the photograph, for one that was cut inside of it. Left out: it is
    found; X-Vesselrt-Scale has it."""
    frame: Annotated[int, Field(gt=0), BeforeValidator(_number_of_frame)] | None = None
    """Which photograph of a DICOM file that holds several, from 1. Left out: the only one."""
    classes: _Names | None = None
    """Of a model that tells several apart: those to show, such as artery or artery,vein. Left out: all."""
    quality: _Flag | None = None
    """Whether the photograph is judged, in X-Vesselrt-Quality and in json, and warned of. false: for those of
    ultra-wide-field cameras. Left out: as the server is set, which is true unless somebody changed it."""
    measure: _Flag = False
    """Whether json has measurements of the vessels: length, calibre, tortuosity, fractal dimensions, branching."""
    um_per_px: _Length | None = None
    """Micrometres of the retina in a pixel, such as 7.5, for measure=true. Left out: lengths are in pixels alone."""
    field_angle: _Length | None = None
    """Instead of um_per_px: degrees that the diameter of the field of view shows, such as 45."""
    disc: Annotated[Disc, BeforeValidator(_disc_from_text), WithJsonSchema(_DISC_SCHEMA)] | None = None
    """x,y or x,y,diameter of the optic disc in pixels, for measure=true: figures of the rings around it too."""
    model: str | None = None
    """One of /models. Left out: the first."""

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]], accept: str = "") -> "AnswerOptions":
        """Reads the fields of a query or form; `accept` chooses the format where they don't.

        Raises OptionError for an unknown or wrong one, or one that is given twice and not the same; RequestError when
        nothing that `accept` names is offered.
        """
        given: dict[str, str] = {}
        for name, value in pairs:
            if name not in cls.model_fields:
                *names, last = cls.model_fields
                raise OptionError(f"unknown option {name[:40]!r}. Expected {', '.join(names)} or {last}.")
            if given.setdefault(name, value) != value:
                raise OptionError(f"{name} is given more than once. Send it once, in the query or in the form.")
        if "format" not in given:
            given["format"] = format_from_accept(accept)
        try:
            options = cls.model_validate(given)
        except ValidationError as error:
            first = error.errors()[0]
            name, expected = str(first["loc"][0]), first["msg"].removeprefix("Value error, ")
            raise OptionError(f"{name} is {str(first['input'])[:40]!r}. Expected {expected}.") from None
        options.check_measuring()
        return options

    @property
    def ruler(self) -> Ruler:
        """What is known for measuring. Raises OptionError for values that don't go together."""
        return Ruler(self.um_per_px, self.field_angle, self.disc)

    def check_measuring(self) -> None:
        """Raises OptionError where options of measuring would be left unused, or can't be."""
        if self.measure and self.format != "json":
            raise OptionError(f"measure is for format=json, and the format is {self.format}.")
        if not self.measure and self.ruler != Ruler():
            raise OptionError("um_per_px, field_angle and disc are for measure=true. Send that too.")

    def check_classes(self, manifest: Manifest) -> None:
        """Raises OptionError where an option names a class that the model lacks."""
        check_options(manifest.class_names, classes=self.classes, threshold=self.threshold, colour=self.colour)

    @classmethod
    def schemas(cls) -> dict[str, dict[str, Any]]:
        """The JSON schema of each option, as a query or a form holds it.

        Without a default: generated clients would send it, in query and form, and take the choice from Accept.
        """
        found = {}
        for name, schema in cls.model_json_schema()["properties"].items():
            either, *_ = schema.pop("anyOf", [{}])  # a query has no null
            found[name] = either | {key: value for key, value in schema.items() if key not in ("default", "title")}
        return found


def weighted_names(header: str) -> list[tuple[float, str]]:
    """What a header such as Accept names, lower case, the most wanted first; weight 0: not at all."""
    names: list[tuple[float, str]] = []
    for part in header.split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        if name and re.fullmatch(r"[01](\.\d{0,3})?", quality):
            names.append((float(quality), name))
    return sorted(names, key=lambda pair: -pair[0])  # stable: of equals the first


def format_from_accept(accept: str) -> str:
    """The format for an Accept header (RFC 9110, 12.5.1): a mask where any image will do, or anything.

    Raises RequestError when none of what it names is offered.
    """
    ranges = weighted_names(accept)
    for weight, kind in ranges:
        if weight and kind in _ACCEPTED:
            return _ACCEPTED[kind]
    if not ranges:
        return "mask"
    offered = ", ".join(dict.fromkeys(spec.media_type for spec in FORMATS.values()))
    raise RequestError(
        HTTPStatus.NOT_ACCEPTABLE, f"nothing in Accept: {accept[:80]} is offered. Accept one of: {offered}."
    )


_ACCEPTED = {"*/*": "mask", "image/*": "mask", "application/*": "json", "text/html": "mask"}
_ACCEPTED |= {spec.media_type: form for form, spec in reversed(FORMATS.items())}  # image/png: the first, the mask
