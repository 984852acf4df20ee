"""The one scale at which masks are measured, so that the same eye has the same figures in every camera's pixels."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.photo.views import Box, Scale

WORKING_DIAMETER = 1600
"""px: what a field of view's diameter is brought to. The thinnest vessels of the largest photographs keep a pixel."""
_MAX_ENLARGEMENT = 4.0  # more adds no detail
MAX_PIXELS = 2 * WORKING_DIAMETER**2
"""Two fields of view side by side fit; time and memory have a bound."""
_LARGEST_HOLE = 64  # px: a square of 1/200 of the diameter is a reflex in a vessel, and no loop of vessels
_HALF = 120  # of 255: just below one half, where a line of single pixels that runs diagonally would fall apart


@dataclass(frozen=True, eq=False)
class WorkingMask:
    """A mask at the working scale, cut to what lies around the fields of view."""

    mask: Mask
    """(h, w) bool."""
    factor: float
    """Its pixels in a pixel of the photograph."""
    origin: tuple[int, int]
    """x, y of its first pixel's corner, in pixels of the photograph."""

    def to_working(self, x: float, y: float) -> tuple[float, float]:
        """A place in the photograph, in the pixels of this mask; both count from the centre of the first pixel."""
        left, top = self.origin
        return (x - left + 0.5) * self.factor - 0.5, (y - top + 0.5) * self.factor - 0.5

    def radii(self) -> NDArray[np.float32]:
        """(h, w): at a vessel's middle its distance from the background, the largest within a pixel."""
        padded = cv2.copyMakeBorder(self.mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
        return np.asarray(cv2.dilate(distance, np.ones((3, 3), np.uint8)), np.float32)


def working_mask(mask: Mask, scales: tuple[Scale, ...]) -> WorkingMask:
    """(H, W) bool, true within the fields of view `scales` alone → the same at the working scale."""
    box = _around([scale.box for scale in scales])
    wanted = WORKING_DIAMETER / scales[0].diameter
    factor = min(wanted, _MAX_ENLARGEMENT, math.sqrt(MAX_PIXELS / (box.width * box.height)))
    size = max(1, round(box.width * factor)), max(1, round(box.height * factor))
    levels = np.ascontiguousarray(box.cut(mask)).view(np.uint8) * np.uint8(255)
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    scaled = np.asarray(cv2.resize(levels, size, interpolation=way) >= _HALF)
    return WorkingMask(_fill_holes(scaled), factor, (box.left, box.top))


def _fill_holes(mask: Mask) -> Mask:
    """The same without small holes, around which a skeleton would run in a ring."""
    _, labels, figures, _ = cv2.connectedComponentsWithStats((~mask).view(np.uint8), connectivity=4)
    small = figures[:, cv2.CC_STAT_AREA] <= _LARGEST_HOLE
    return np.asarray(small[labels] | mask)


def _around(boxes: list[Box]) -> Box:
    return Box(
        min(box.top for box in boxes),
        min(box.left for box in boxes),
        max(box.bottom for box in boxes),
        max(box.right for box in boxes),
    )
