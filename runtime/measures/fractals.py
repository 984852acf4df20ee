"""Generalized dimensions of a mask by box counting."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Mask

_SIZES = (40, 50, 80, 100, 160, 200, 320, 400)
"""px of the working scale, 1/40 to 1/4 of the field's diameter; whole numbers of them fit. In boxes that are smaller
than a vessel is wide the mask is a plane: they count thick vessels, most so for the higher orders, and D2 comes out
above D0. In larger boxes than these there is some vessel everywhere."""
_OFFSETS = 4  # grids along each axis, moved by a quarter of a box: the one that needs fewest boxes counts


@dataclass(frozen=True)
class Dimensions:
    """Of box counting (0), information (1) and correlation (2)."""

    capacity: float
    information: float
    correlation: float


def measure_dimensions(mask: Mask, sizes: tuple[int, ...] = _SIZES) -> Dimensions | None:
    """The slopes, by least squares, of the three generalized entropies of Rényi against the logarithm of the box size;
    the grid of each size is the best of 16. None for an empty mask.
    """
    if not mask.any():
        return None
    below = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    below[1:, 1:] = mask.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
    entropies = np.array([_entropies(below, size) for size in sizes])  # (S, 3)
    _, slopes = np.polynomial.polynomial.polyfit(-np.log(sizes), entropies, 1)
    return Dimensions(*map(float, slopes))


def _entropies(below: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Of orders 0, 1 and 2, of the shares of the mask that lie in boxes of this size. `below`: (H + 1, W + 1), how many
    of its pixels lie above and left of each corner.
    """
    best = np.empty(0)
    for top in range(_OFFSETS):
        for left in range(_OFFSETS):
            rows = _grid(below.shape[0] - 1, size, top * size // _OFFSETS)
            columns = _grid(below.shape[1] - 1, size, left * size // _OFFSETS)
            corners = below[np.ix_(rows, columns)]
            boxes = np.diff(np.diff(corners, axis=0), axis=1)
            share = boxes[boxes > 0] / below[-1, -1]
            best = share if not len(best) or len(share) < len(best) else best
    return np.array((np.log(len(best)), -(best * np.log(best)).sum(), -np.log((best**2).sum())))


def _grid(length: int, size: int, offset: int) -> NDArray[np.int64]:
    """Lines of a grid that begins `offset` before the image, within it and at both of its ends."""
    return np.unique(np.clip(np.arange(-offset, length + size, size), 0, length))
