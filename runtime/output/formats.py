"""The formats of a result: name → suffix, media type, writer.

This is the only table of them. The library, the command line, the client and the server read it; the page's own list is
compared with it by a test.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.measures.figures import Measurements
from vesselrt.runtime.output.classes import ClassLayer, ClassLayers, Colours, say_thresholds
from vesselrt.runtime.output.coco import coco_from_masks
from vesselrt.runtime.output.dicom_objects import check_origin
from vesselrt.runtime.output.dicom_report import report_from_measurements
from vesselrt.runtime.output.dicom_seg import segmentation_from_layers
from vesselrt.runtime.output.outlines import Region, geojson_from_regions, svg_from_regions
from vesselrt.runtime.output.pictures import (
    OPACITY,
    draw_overlay,
    encode_labels_png,
    encode_mask_png,
    encode_png,
    with_png_text,
)
from vesselrt.runtime.output.statistics import lowest_vessel_level
from vesselrt.runtime.photo.origin import Origin

OutputFormat = Literal[
    "mask", "probability", "spread", "overlay", "svg", "geojson", "json", "coco", "dicom-seg", "dicom-probability",
    "dicom-sr",
]  # fmt: skip


@dataclass(frozen=True)
class Style:
    """How vessels are drawn. What a format has no use for is ignored."""

    colour: Colours | None = None
    """Of the vessels in "overlay" and "svg"; None: the model's, as it is for a class that is not named."""
    opacity: float = OPACITY
    """0..1: the colour's share of a vessel pixel in "overlay"."""
    simplify: float = 0.0
    """Pixels by which outlines may move in "svg" and "geojson"; 0: they follow the pixel edges."""

    def colour_of(self, layer: ClassLayer) -> str:
        """As "#rrggbb", unless it was given otherwise."""
        if self.colour is None or isinstance(self.colour, str):
            return layer.colour if self.colour is None else self.colour
        return self.colour.get(layer.name, layer.colour)


@dataclass(frozen=True, eq=False)
class DicomFacts:
    """What only results in DICOM need."""

    origin: Callable[[], Origin | None]
    """Gives what the photograph's file told; None: it was no DICOM."""
    measure: Callable[[], Measurements]
    """Measures the masks."""
    model: str
    """Name and version."""


@dataclass(frozen=True, eq=False)
class Rendering:
    """What a writer gets."""

    layers: ClassLayers
    photo: Callable[[], Image]
    """Gives the photograph, (H, W, 3) uint8 RGB: only "overlay" needs it, and it may have to be decoded."""
    document: Callable[[], dict[str, Any]]
    """Gives the fields of "json"."""
    style: Style
    file_name: str = ""
    """Of the photograph, where it is known: "coco" names it."""
    spread: Image | None = None
    """(C, H, W) uint8 of every class, see Segmentation.spread; None: there is one member."""
    dicom: DicomFacts | None = None
    """Of a Segmentation; what is written as DICOM needs it."""


@dataclass(frozen=True)
class FormatSpec:
    """One format of a result."""

    suffix: str
    """Of a file's name."""
    media_type: str
    write: Callable[[Rendering], bytes]
    """The content of a file. Raises OptionError for a threshold or style that can't be."""


def _write_mask(result: Rendering) -> bytes:
    """8-bit grey PNG: of one class 255 and 0, of several the number of each pixel's class, from 1, and 0."""
    layers = result.layers
    if len(layers.shown) > 1:
        return _with_texts(encode_labels_png(layers.labels), layers)
    (layer,) = layers.shown
    if layers.exclusive:
        return _with_texts(encode_labels_png(layers.mask(layer) * np.uint8(255)), layers)
    level = lowest_vessel_level(layer.threshold)
    return _with_texts(encode_mask_png(layers.probability[layer.number - 1], level), layers)


def _with_texts(png: bytes, layers: ClassLayers) -> bytes:
    """The same picture with a text "Threshold": of one class 0.5, of several artery:0.4,vein:0.6; and where a person
    has corrected it, with "Corrected", which is "true".
    """
    marked = _with_correction(png, layers)
    return with_png_text(marked, "Threshold", say_thresholds(layers.shown, named=len(layers.every) > 1))


def _with_correction(png: bytes, layers: ClassLayers) -> bytes:
    return with_png_text(png, "Corrected", "true") if layers.corrected else png


def _write_probability(result: Rendering) -> bytes:
    """8-bit grey PNG; maps of several classes lie one below the other."""
    return _with_correction(_write_maps(result.layers.probability, result.layers), result.layers)


def _write_spread(result: Rendering) -> bytes:
    """The same of the spread: 255 is a standard deviation of 0.5."""
    if result.spread is None:
        raise no_spread()
    return _write_maps(result.spread, result.layers)


def _write_maps(every: Image, layers: ClassLayers) -> bytes:
    """The maps (C, H, W) uint8 of the classes that are shown."""
    everything = len(layers.shown) == len(layers.every)  # then nothing is copied
    maps = every if everything else every[[layer.number - 1 for layer in layers.shown]]
    return encode_png(maps.reshape(-1, layers.shape[1]))


def _write_overlay(result: Rendering) -> bytes:
    """RGB PNG."""
    style, masks = result.style, result.layers.masks()
    coloured = ((mask, style.colour_of(layer)) for layer, mask in masks)
    return _with_texts(encode_png(draw_overlay(result.photo(), coloured, style.opacity)), result.layers)


def _write_svg(result: Rendering) -> bytes:
    style, layers = result.style, result.layers
    regions = (Region(mask, layer.name, style.colour_of(layer), layer.threshold) for layer, mask in layers.masks())
    titled = len(layers.every) > 1
    return svg_from_regions(regions, layers.shape, style.simplify, titled=titled, corrected=layers.corrected)


def _write_geojson(result: Rendering) -> bytes:
    layers = result.layers
    regions = (Region(mask, layer.name, layer.colour, layer.threshold) for layer, mask in layers.masks())
    return geojson_from_regions(regions, result.style.simplify, corrected=layers.corrected)


def _write_json(result: Rendering) -> bytes:
    return json.dumps(result.document(), separators=(",", ":")).encode()


def _write_coco(result: Rendering) -> bytes:
    layers = result.layers
    return coco_from_masks(layers.masks(), layers.every, layers.shape, result.file_name, corrected=layers.corrected)


def _write_dicom_seg(result: Rendering) -> bytes:
    facts = _dicom_facts(result)
    return segmentation_from_layers(result.layers, facts.origin(), facts.model, "BINARY")


def _write_dicom_probability(result: Rendering) -> bytes:
    facts = _dicom_facts(result)
    return segmentation_from_layers(result.layers, facts.origin(), facts.model, "FRACTIONAL")


def _write_dicom_sr(result: Rendering) -> bytes:
    facts = _dicom_facts(result)
    origin = check_origin(facts.origin(), "dicom-sr")  # before it is measured
    return report_from_measurements(facts.measure(), origin, result.layers.shape, facts.model)


def _dicom_facts(result: Rendering) -> DicomFacts:
    assert result.dicom is not None  # noqa: S101 - Segmentation gives it
    return result.dicom


FORMATS: dict[OutputFormat, FormatSpec] = {
    "mask": FormatSpec(".png", "image/png", _write_mask),
    "probability": FormatSpec(".png", "image/png", _write_probability),
    "spread": FormatSpec(".png", "image/png", _write_spread),
    "overlay": FormatSpec(".png", "image/png", _write_overlay),
    "svg": FormatSpec(".svg", "image/svg+xml", _write_svg),
    "geojson": FormatSpec(".geojson", "application/geo+json", _write_geojson),
    "json": FormatSpec(".json", "application/json", _write_json),
    "coco": FormatSpec(".json", "application/json", _write_coco),
    "dicom-seg": FormatSpec(".dcm", "application/dicom", _write_dicom_seg),
    "dicom-probability": FormatSpec(".dcm", "application/dicom", _write_dicom_probability),
    "dicom-sr": FormatSpec(".dcm", "application/dicom", _write_dicom_sr),
}


def format_spec(name: str) -> FormatSpec:
    """The format of this name. Raises OptionError where there is none."""
    for known, spec in FORMATS.items():
        if known == name:
            return spec
    raise OptionError(f"unknown format {name!r}. Expected one of: {', '.join(FORMATS)}.")


def no_spread() -> OptionError:
    """The error for the spread of a model that gives one map alone."""
    return OptionError(
        'this model makes one map of a photograph, and one has no spread. Have several made: with tta="flips" (the '
        "option --tta flips, the setting VESSELRT_TTA=flips), or of several models."
    )


def output_name(stem: str, name: str) -> str:
    """The name of a result's file, as the command line and the server give it: photo-mask.png. Raises OptionError."""
    return f"{stem}-{name}{format_spec(name).suffix}"
