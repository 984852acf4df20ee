"""Masks and probability maps as the formats of a result write them: what tests of several rooms stand on."""

from typing import Any

import numpy as np

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.manifest import ClassFacts
from vesselrt.runtime.output.classes import ClassLayers, layers_of
from vesselrt.runtime.output.formats import FORMATS, OutputFormat, Rendering, Style, format_spec

FORMATS_OF_ALL: list[OutputFormat] = [form for form in FORMATS if form != "spread" and not form.startswith("dicom")]
"""What a model of one member answers too, of a photograph that came as PNG, and always the same."""


def drawn(picture: str) -> Mask:
    """(H, W) bool: a row for each word, true where there is a #."""
    return np.array([[pixel == "#" for pixel in row.strip()] for row in picture.split()])


def probability_of(mask: Mask) -> Image:
    """255 where the mask is true, else 0."""
    return mask.astype(np.uint8) * np.uint8(255)


def black(shape: tuple[int, ...]) -> Image:
    """(H, W, 3) uint8."""
    return np.zeros((*shape, 3), np.uint8)


def write_as(form: str, probability: Image, threshold: float = 0.5, image: Image | None = None, **style: Any) -> bytes:
    """A probability map (H, W) as a file of the format; its photograph is black."""

    def document() -> dict[str, Any]:
        raise AssertionError("only a Segmentation has one")

    photo = black(probability.shape) if image is None else image
    layers = one_layer(probability, threshold)
    return format_spec(form).write(Rendering(layers, lambda: photo, document, Style(**style)))


def one_layer(probability: Image, threshold: float) -> ClassLayers:
    """Of a model that knows vessels alone."""
    every = layers_of((ClassFacts(name="vessel"),), threshold)
    return ClassLayers(probability[None], every, every, exclusive=False)
