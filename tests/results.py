"""Masks and probability maps as the formats of a result write them: what tests of several rooms stand on."""

from typing import Any

import numpy as np

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.output.formats import Rendering, Style, format_spec


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
    """A probability map as a file of the format; its photograph is black."""

    def document() -> dict[str, Any]:
        raise AssertionError("only a Segmentation has one")

    photo = black(probability.shape) if image is None else image
    return format_spec(form).write(Rendering(probability, lambda: photo, document, threshold, Style(**style)))
