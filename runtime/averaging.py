"""The mean and the standard deviation of several maps, of which one at a time is in memory."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from vesselrt.runtime.arrays import Image

MOST_MAPS = 256
"""Up to here the sum of squares of so many bytes is a whole number below 2^24, which float32 holds exactly."""
_BAND_PIXELS = 2**14  # finished at once: what is computed on the way stays in the processor's cache
_MOST_IN_FLOAT32 = 16  # maps, of which the variance times the square of their number is a whole number below 2^24


@dataclass(frozen=True, eq=False)
class AveragedMap:
    """What several maps have in common."""

    mean: Image
    """(C, h, w) uint8, rounded to nearest, half to even."""
    spread: Image | None
    """(C, h, w) uint8: 510 × the standard deviation of the probabilities, so 255 is 0.5, the largest that there is.
    None of a single map."""


def average_maps(maps: Iterable[Image], count: int) -> AveragedMap:
    """Of `count` maps (C, h, w) uint8 of one shape, at most MOST_MAPS. A single one is given back as it is."""
    if count == 1:
        (only,) = maps
        return AveragedMap(only, None)
    sums: _Sums | None = None
    for found in maps:
        sums = _Sums(found.shape) if sums is None else sums
        sums.add(found)
    assert sums is not None, "no maps"  # noqa: S101 - `count` says that there are some
    return sums.finish(count)


class _Sums:
    """Running sums of bytes and of their squares, 8 bytes a pixel and class."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sums, self._squares = np.zeros((2, *shape), np.float32)

    def add(self, maps: Image) -> None:
        for level, total, squares in zip(maps, self._sums, self._squares, strict=True):
            rows = np.ascontiguousarray(level)  # OpenCV reads no pixels backwards
            cv2.accumulate(rows, total)
            cv2.accumulateSquare(rows, squares)

    def finish(self, count: int) -> AveragedMap:
        mean, spread = np.empty((2, *self._sums.shape), np.uint8)
        classes, height, width = mean.shape
        exact = np.float32 if count <= _MOST_IN_FLOAT32 else np.float64
        rows = max(1, _BAND_PIXELS // (classes * width))
        for top in range(0, height, rows):
            band = np.s_[:, top : top + rows]
            total, squares = self._sums[band].astype(exact, copy=False), self._squares[band].astype(exact, copy=False)
            mean[band] = np.rint(total / count)
            # Whole numbers until the root: of equal maps it is 0, and never of less than 0.
            spread[band] = np.rint(np.sqrt(count * squares - total * total) * (2 / count))
        return AveragedMap(mean, spread)
