"""Lines through points: lengths, and their smoothing, of many lines at once."""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(N, 2): x, y in pixels of the working scale."""


def length_of(points: Points) -> float:
    """Of a line through these points, px."""
    return float(np.hypot(*np.diff(points, axis=0).T).sum())


def places_of(points: Points) -> NDArray[np.float64]:
    """(N,): how far along the line each of its points lies, px."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])


def steps_of(points: Points, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,): the part of its line's length that each point stands for; `sizes`: how many points each line has, (L,)."""
    between = np.hypot(*np.diff(points, axis=0).T)
    between[np.cumsum(sizes)[:-1] - 1] = 0
    return np.asarray((np.append(between, 0) + np.insert(between, 0, 0)) / 2)


def smooth_each(points: Points, sizes: NDArray[np.int64], sigma: float) -> Points:
    """(N, 2): a Gaussian along each of the lines; their ends stay where they are, and keep their direction.

    `sizes`: how many points each line has, (L,).
    """
    from scipy.ndimage import gaussian_filter1d  # type: ignore[import-untyped]

    if not len(points):
        return points
    reach = int(4 * sigma + 0.5)
    longer = sizes + 2 * reach
    first, last = np.cumsum(sizes) - sizes, np.cumsum(sizes) - 1
    line = np.repeat(np.arange(len(sizes)), longer)
    number = np.arange(len(line)) - np.repeat(np.cumsum(longer) - longer, longer) - reach
    # Beyond its ends a line goes on turned by 180 degrees around them, and so on.
    turns, rest = np.divmod(number, np.maximum(sizes - 1, 1)[line])
    whole = (points[last] - points[first])[line]
    there = points[np.where(turns % 2, last[line] - rest, np.minimum(first[line] + rest, last[line]))]
    turned = 2 * points[last[line]] - there + (turns - 1)[:, None] * whole
    straight = there + turns[:, None] * whole
    extended = np.where((turns % 2 == 1)[:, None], turned, straight)
    smoothed = gaussian_filter1d(extended, sigma, axis=0)
    return np.asarray(smoothed[(number >= 0) & (number < sizes[line])])
