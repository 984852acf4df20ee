"""The formats of a result: name → suffix, media type, writer.

This is the only table of them. The library, the command line, the client and the server read it; the page's own list is
compared with it by a test.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.output.outlines import geojson_from_mask, svg_from_mask
from vesselrt.runtime.output.pictures import COLOUR, OPACITY, draw_overlay, encode_mask_png, encode_png
from vesselrt.runtime.output.statistics import lowest_vessel_level, threshold_mask

OutputFormat = Literal["mask", "probability", "overlay", "svg", "geojson", "json"]


@dataclass(frozen=True)
class Style:
    """How vessels are drawn. What a format has no use for is ignored."""

    colour: str = COLOUR
    """Of the vessels in "overlay" and "svg", as "#rrggbb"."""
    opacity: float = OPACITY
    """0..1: the colour's share of a vessel pixel in "overlay"."""
    simplify: float = 0.0
    """Pixels by which outlines may move in "svg" and "geojson"; 0: they follow the pixel edges."""


@dataclass(frozen=True, eq=False)
class Rendering:
    """What a writer gets."""

    probability: Image
    """(H, W) uint8, 255 × the probability of vessel."""
    photo: Callable[[], Image]
    """Gives the photograph, (H, W, 3) uint8 RGB: only "overlay" needs it, and it may have to be decoded."""
    document: Callable[[], dict[str, Any]]
    """Gives the fields of "json"."""
    threshold: float
    """0..1."""
    style: Style

    @property
    def mask(self) -> Mask:
        """(H, W) bool. Raises OptionError."""
        return threshold_mask(self.probability, self.threshold)


@dataclass(frozen=True)
class FormatSpec:
    """One format of a result."""

    suffix: str
    """Of a file's name."""
    media_type: str
    write: Callable[[Rendering], bytes]
    """The content of a file. Raises OptionError for a threshold or style that can't be."""


def _write_mask(result: Rendering) -> bytes:
    """8-bit grey PNG, 255 is vessel."""
    return encode_mask_png(result.probability, lowest_vessel_level(result.threshold))


def _write_probability(result: Rendering) -> bytes:
    """8-bit grey PNG."""
    return encode_png(result.probability)


def _write_overlay(result: Rendering) -> bytes:
    """RGB PNG."""
    return encode_png(draw_overlay(result.photo(), result.mask, result.style.colour, result.style.opacity))


def _write_svg(result: Rendering) -> bytes:
    return svg_from_mask(result.mask, result.style.colour, result.style.simplify)


def _write_geojson(result: Rendering) -> bytes:
    return geojson_from_mask(result.mask, result.threshold, result.style.simplify)


def _write_json(result: Rendering) -> bytes:
    return json.dumps(result.document(), separators=(",", ":")).encode()


FORMATS: dict[OutputFormat, FormatSpec] = {
    "mask": FormatSpec(".png", "image/png", _write_mask),
    "probability": FormatSpec(".png", "image/png", _write_probability),
    "overlay": FormatSpec(".png", "image/png", _write_overlay),
    "svg": FormatSpec(".svg", "image/svg+xml", _write_svg),
    "geojson": FormatSpec(".geojson", "application/geo+json", _write_geojson),
    "json": FormatSpec(".json", "application/json", _write_json),
}


def format_spec(name: str) -> FormatSpec:
    """The format of this name. Raises OptionError where there is none."""
    for known, spec in FORMATS.items():
        if known == name:
            return spec
    raise OptionError(f"unknown format {name!r}. Expected one of: {', '.join(FORMATS)}.")


def output_name(stem: str, name: str) -> str:
    """The name of a result's file, as the command line and the server give it: photo-mask.png. Raises OptionError."""
    return f"{stem}-{name}{format_spec(name).suffix}"
