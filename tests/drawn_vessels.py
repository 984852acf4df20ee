"""Masks of shapes whose figures are known: what tests of measurements stand on."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.measures.figures import Measurements, VesselMeasures
from vesselrt.runtime.measures.measuring import Ruler, measure_masks
from vesselrt.runtime.photo.views import Scale, whole

Point = tuple[float, float]
SIDE = 800


def vessel(points: Sequence[Point] | NDArray[np.float64], width: float, side: int = SIDE) -> Mask:
    """(side, side) bool: the pixels whose centres are nearer to a line through these points than half the width."""
    mask = np.zeros((side, side), bool)
    corners = np.asarray(points, np.float64)
    for begin, end in itertools.pairwise(corners):
        low = np.maximum(np.floor(np.minimum(begin, end) - width), 0).astype(int)
        high = np.ceil(np.maximum(begin, end) + width).astype(int) + 1
        rows, columns = np.mgrid[low[1] : min(high[1], side), low[0] : min(high[0], side)].astype(np.float64)
        way = end - begin
        along = np.clip(((columns - begin[0]) * way[0] + (rows - begin[1]) * way[1]) / (way @ way), 0, 1)
        near = np.hypot(columns - begin[0] - along * way[0], rows - begin[1] - along * way[1]) < width / 2
        mask[low[1] : low[1] + near.shape[0], low[0] : low[0] + near.shape[1]] |= near
    return mask


def turned(point: Point, degrees: float, side: int = SIDE) -> Point:
    """The point turned around the middle."""
    cos, sin, middle = math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), side / 2
    x, y = point[0] - middle, point[1] - middle
    return middle + x * cos - y * sin, middle + x * sin + y * cos


def field(mask: Mask) -> tuple[Scale, ...]:
    """The field of view that is the whole picture."""
    height, width = mask.shape
    return (replace(whole((height, width)), diameter=float(max(height, width)), source="found"),)


def measured(mask: Mask, ruler: Ruler | None = None) -> VesselMeasures:
    """The figures of the whole field."""
    return measured_all(mask, ruler).vessels[0]


def measured_all(mask: Mask, ruler: Ruler | None = None) -> Measurements:
    return measure_masks([("vessel", mask)], np.ones_like(mask), field(mask), ruler)
