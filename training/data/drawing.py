"""Areas and lines of annotations, drawn into masks: which pixels' centres they cover."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Mask

Points = NDArray[np.float64]
"""(K, 2) x, y in pixels."""


def fill_rings(mask: Mask, rings: tuple[Points, ...]) -> None:
    """Sets the pixels of `mask` (H, W) whose centres lie inside closed `rings`, by the even-odd rule."""
    height, width = mask.shape
    start, end = (np.concatenate([r[part] for r in rings]) for part in (slice(None, -1), slice(1, None)))
    upward = start[:, 1] > end[:, 1]
    (x0, y0), (x1, y1) = np.where(upward[:, None], end, start).T, np.where(upward[:, None], start, end).T
    top, bottom = (np.clip(np.ceil(y - 0.5), 0, height).astype(np.intp) for y in (y0, y1))
    edge, row = enumerate_ranges(top, bottom)
    if not len(row):
        return
    y = row + 0.5
    # One division at the end: for multiples of ½ the crossing is then rounded only once, and never across a centre.
    x = (x0[edge] * (y1[edge] - y) + x1[edge] * (y - y0[edge])) / (y1 - y0)[edge]
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.intp)  # everything from here to the right changes sides
    upper, left, lower, right = row.min(), column.min(), row.max() + 1, column.max()
    sides = np.zeros((lower - upper, right - left + 1), np.uint8)
    np.add.at(sides.reshape(-1), (row - upper) * sides.shape[1] + column - left, 1)
    mask[upper:lower, left:right] |= np.bitwise_xor.accumulate(sides & 1, axis=1)[:, :-1].astype(bool)


def fill_line(mask: Mask, points: Points, width: float) -> None:
    """Sets the pixels of `mask` (H, W) whose centres lie at most half of `width` from the line through `points`."""
    height, columns = mask.shape
    reach = width / 2
    for (x0, y0), (x1, y1) in pairwise(points):
        dx, dy = x1 - x0, y1 - y0
        lowest, highest = min(y0, y1) - reach, max(y0, y1) + reach
        rows = np.arange(*np.clip([np.ceil(lowest - 0.5), np.ceil(highest + 0.5)], 0, height).astype(int))
        # The piece of the line that a row can see, and from it the columns that are worth a look.
        near, far = rows + 0.5 - reach, rows + 0.5 + reach
        seen = np.clip(([near, far] - y0) / dy, 0, 1) if dy else np.array([[0.0], [1.0]]) * np.ones(len(rows))
        at = x0 + dx * seen
        first, last = at.min(axis=0) - reach - 1, at.max(axis=0) + reach + 1
        line, column = enumerate_ranges(*(np.clip(np.floor(v), 0, columns).astype(np.intp) for v in (first, last)))
        row = rows[line]
        px, py = column + 0.5 - x0, row + 0.5 - y0
        along, across, length = px * dx + py * dy, px * dy - py * dx, dx * dx + dy * dy
        beside = (along >= 0) & (along <= length) & (across * across <= reach * reach * length)
        ends = np.minimum(px * px + py * py, (px - dx) ** 2 + (py - dy) ** 2) <= reach * reach
        inside = ends | (beside if length else False)
        mask[row[inside], column[inside]] = True


def enumerate_ranges(first: NDArray[Any], last: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Counts from `first` to `last`, excluded, for each of K ranges: which range, and the number."""
    length = np.maximum(last - first, 0)
    which = np.repeat(np.arange(len(length)), length)
    within = np.arange(len(which)) - np.repeat(np.cumsum(length) - length, length)
    return which, first[which] + within
