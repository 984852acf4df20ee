"""How centrelines run: their lengths, calibres, turns, and the angles at which they branch."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.measures.centrelines import Centrelines, VesselPath, width_reach
from vesselrt.runtime.measures.lines import Points, length_of, places_of, smooth_each, steps_of
from vesselrt.runtime.measures.zones import Ring

_SHORTEST = 40.0  # px of the working scale, 1/40 of the field's diameter: shorter ones say nothing of how a vessel runs
_CURVATURE_SMOOTHING = 8.0  # px of the working scale: below, the pixels of a straight line turn more than a vessel
_ANGLE_REACH = 24.0  # px of the working scale, along a vessel from where it leaves its node: what gives its direction
_SHORTEST_REACH = 8.0  # px: of a shorter one the direction is anybody's guess


@dataclass(frozen=True, eq=False)
class Run:
    """A stretch of a path within a ring."""

    points: Points
    calibre: NDArray[np.float64]
    """(N,): the vessel's width, px."""
    clear: NDArray[np.bool_]
    """(N,): farther from either end than the vessel there is wide: its calibre is its own."""

    @cached_property
    def length(self) -> float:
        """Along the vessel, px."""
        return length_of(self.points)

    @property
    def steps(self) -> NDArray[np.float64]:
        """(N,): the part of the length that each point stands for."""
        return steps_of(self.points, np.array([len(self.points)]))


def runs_within(lines: Centrelines, ring: Ring) -> list[Run]:
    """The stretches of all paths in the ring."""
    return [run for path in lines.paths for run in _runs_of(path, lines, ring)]


def _runs_of(path: VesselPath, lines: Centrelines, ring: Ring) -> Iterator[Run]:
    places = path.places
    radii = lines.radii[list(path.nodes)]
    first, last = radii + width_reach(radii)
    clear = (places >= first) & (places <= places[-1] - last)
    inside = ring.holds(path.points)
    if inside.all():
        yield Run(path.points, path.calibre, clear)
        return
    changes = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    for part in np.split(np.arange(len(inside)), changes):
        if inside[part[0]]:
            yield Run(path.points[part], path.calibre[part], clear[part])


def distance_tortuosity(runs: list[Run]) -> float | None:
    """Length along the vessel by the straight distance of its ends, the mean weighted by length; None: none is long
    enough.
    """
    long = [(run.length, float(np.hypot(*(run.points[-1] - run.points[0])))) for run in runs]
    long = [(length, chord) for length, chord in long if length >= _SHORTEST and chord >= 1]
    if not long:
        return None
    lengths, chords = np.array(long).T
    return float((lengths / chords * lengths).sum() / lengths.sum())


def mean_curvature(runs: list[Run]) -> float | None:
    """All turns of the vessels, in radians, by their length, px; None: none is long enough."""
    long = [run.points for run in runs if run.length >= _SHORTEST]
    if not long:
        return None
    sizes = np.array([len(points) for points in long])
    across, down = np.diff(smooth_each(np.concatenate(long), sizes, _CURVATURE_SMOOTHING), axis=0).T
    turns = np.diff(np.arctan2(down, across))  # of point i + 1
    turns = np.abs((turns + np.pi) % (2 * np.pi) - np.pi)
    cut = round(_CURVATURE_SMOOTHING)  # the ends are held, and show no turn
    number = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    inner = ((number > cut) & (number < np.repeat(sizes, sizes) - 1 - cut))[1:-1]
    passed = np.hypot(across, down)
    length = float(((passed[1:] + passed[:-1]) / 2)[inner].sum())
    return float(turns[inner].sum()) / length if length else None


def branching_angles(lines: Centrelines, ring: Ring) -> NDArray[np.float64]:
    """Degrees between the two branches of each branching point in the ring of which three directions are clear.

    Of the three angles there it is the smallest: branches go on, and do not turn back.
    """
    leaving: dict[int, list[NDArray[np.float64] | None]] = {}
    inside = ring.holds(lines.nodes)
    for path in lines.paths:
        first, last = path.nodes
        if first == last:
            continue
        for node, points in ((first, path.points), (last, path.points[::-1])):
            if lines.degrees[node] == 3 and inside[node]:
                leaving.setdefault(node, []).append(_direction(points, lines.radii[node]))
    angles = []
    for directions in leaving.values():
        known = [direction for direction in directions if direction is not None]
        if len(known) == 3:
            pairs = ((0, 1), (0, 2), (1, 2))
            angles.append(min(float(np.arccos(np.clip(known[a] @ known[b], -1, 1))) for a, b in pairs))
    return np.degrees(angles)


def _direction(points: Points, radius: float) -> NDArray[np.float64] | None:
    """Of unit length: that in which a vessel leaves a node of this radius; None where it is too short to tell."""
    places = places_of(points)
    begin, end = np.searchsorted(places, (radius, radius + _ANGLE_REACH))
    stretch = points[begin : end + 1]
    if len(stretch) < 2 or places[min(end, len(places) - 1)] - places[begin] < _SHORTEST_REACH:
        return None
    turn = stretch[-1] - stretch[0]
    size = float(np.hypot(*turn))
    return np.asarray(turn / size) if size else None


def weighted_percentiles(
    values: NDArray[np.float64], weights: NDArray[np.float64], shares: tuple[float, ...]
) -> list[float]:
    """The values below which these shares (0..1) of the weight lie."""
    order = np.argsort(values)
    passed = np.cumsum(weights[order]) - weights[order] / 2
    return [float(found) for found in np.interp(np.array(shares) * weights.sum(), passed, values[order])]
