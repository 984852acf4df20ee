"""From a mask to its centrelines: paths between the points where vessels branch, cross and end.

The skeleton is that of Zhang and Suen (1984), by scikit-image. Two of its pixels are neighbours where they share an
edge, or a corner and no neighbour (mixed adjacency, Rosenfeld 1970), so that a staircase is a path and no row of
triangles. Pixels of three neighbours and more are nodes; what lies between nodes are paths.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.errors import MissingExtraError
from vesselrt.runtime.measures.lines import Points, length_of, places_of, smooth_each, steps_of
from vesselrt.runtime.measures.working import WorkingMask

_SPUR_ROOM = 2.0  # px: what sticks out of a vessel by less, beside its own width, is a bump of the mask's edge
_MAX_ROUNDS = 6  # of pruning: a spur of a spur of a spur is pruned too
_WIDTH_REACH = (4.0, 32.0)  # px, at least and at most
_MOST_COVERED = 0.5  # share of the picture: no vessels fill it, and to thin them out takes long
_MOST_PIXELS = 80_000  # of a skeleton, 50 diameters of a field: three times what the finest photographs have
_SMOOTHING = 2.0  # px: evens out the stairs of a skeleton, whose length would depend on its direction


@dataclass(frozen=True, eq=False)
class VesselPath:
    """A centreline between two nodes."""

    points: Points
    """From node to node, evened out."""
    calibre: NDArray[np.float64]
    """(N,): the vessel's width there, px of the working scale: the area of the mask's pixels that are nearer to this
    stretch of the line than to any other, by its length. A distance from the background would be that to the deepest
    notch of the edge, and depend on the vessel's direction."""
    nodes: tuple[int, int]
    """Those at its beginning and its end."""

    @cached_property
    def places(self) -> NDArray[np.float64]:
        """(N,): how far along the path each point lies, from 0 to its length."""
        return places_of(self.points)


@dataclass(frozen=True, eq=False)
class Centrelines:
    """The centrelines of one mask, as a graph."""

    paths: list[VesselPath]
    nodes: Points
    """(M, 2): where each node lies."""
    radii: NDArray[np.float64]
    """(M,): half the vessel's width there."""
    degrees: NDArray[np.int64]
    """(M,): paths that meet there. 1: an end; 3: a branching point; 4 or more: a crossing. Of a node that was joined
    to another, and of a closed ring's, 0."""


@dataclass(frozen=True, eq=False)
class _Traced:
    """A skeleton as chains of pixels, before spurs are pruned."""

    pixels: NDArray[np.int64]  # (N, 2): y, x
    chains: list[list[int]]
    ends: list[tuple[int, int]]  # of each chain, its node at either end; -1: a free end
    rings: list[bool]
    nodes: NDArray[np.int64]  # (N,): the node that a pixel belongs to; -1: none
    count: int


def trace_centrelines(working: WorkingMask) -> Centrelines | str:
    """The centrelines of a mask, or why they can't be had. Raises MissingExtraError where scikit-image is not
    installed.
    """
    skeletonize = _import_skeletonize()
    if np.count_nonzero(working.mask) > _MOST_COVERED * working.mask.size:
        return "more than half of the picture is vessel: the threshold is too low"
    skeleton: Mask = skeletonize(working.mask)
    if np.count_nonzero(skeleton) > _MOST_PIXELS:
        return "the centrelines are longer than those of any eye: the threshold is too low"
    radii = working.radii().astype(np.float64)
    traced = _trace(skeleton)
    for _ in range(_MAX_ROUNDS):
        spurs = [chain for chain, is_spur in zip(traced.chains, _spurs(traced, radii), strict=True) if is_spur]
        if not spurs:
            break
        rows, columns = traced.pixels[[pixel for chain in spurs for pixel in chain]].T
        skeleton[rows, columns] = False
        traced = _trace(skeleton)
    areas = _areas(working.mask, skeleton, radii, traced.pixels)
    return _join_near_nodes(_paths_of(traced, radii, areas))


def _import_skeletonize() -> Callable[[Mask], Mask]:
    try:
        from skimage.morphology import skeletonize
    except ModuleNotFoundError:
        raise MissingExtraError.of("measuring vessels", "measure") from None
    return skeletonize


def _neighbours(skeleton: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixels (N, 2) as y, x, and the pairs of neighbours among them (E, 2)."""
    rows, columns = np.nonzero(skeleton)
    number = np.full((skeleton.shape[0] + 2, skeleton.shape[1] + 2), -1)
    number[rows + 1, columns + 1] = everyone = np.arange(len(rows))

    def beside(down: int, right: int) -> NDArray[np.int64]:
        return np.asarray(number[rows + 1 + down, columns + 1 + right])

    left, right, below = beside(0, -1), beside(0, 1), beside(1, 0)
    below_left, below_right = beside(1, -1), beside(1, 1)
    pairs = [
        np.stack([everyone[there], other[there]], axis=1)
        for other, there in (
            (right, right >= 0),
            (below, below >= 0),
            (below_left, (below_left >= 0) & (below < 0) & (left < 0)),
            (below_right, (below_right >= 0) & (below < 0) & (right < 0)),
        )
    ]
    return np.stack([rows, columns], axis=1), np.concatenate(pairs)


def _trace(skeleton: Mask) -> _Traced:
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    pixels, pairs = _neighbours(skeleton)
    count = len(pixels)
    is_node = np.bincount(pairs.ravel(), minlength=count) >= 3
    at_node = is_node[pairs]  # (E, 2)
    within = pairs[at_node.all(axis=1)]
    _, groups = connected_components(coo_array((np.ones(len(within)), within.T), shape=(count, count)), directed=False)
    nodes = np.full(count, -1)
    kinds, nodes[is_node] = np.unique(groups[is_node], return_inverse=True)

    beside: list[list[int]] = [[] for _ in range(count)]
    for one, other in pairs[~at_node.any(axis=1)].tolist():
        beside[one].append(other)
        beside[other].append(one)
    touched: dict[int, list[int]] = {}  # pixel of a chain → the nodes that it touches
    for pair in pairs[at_node[:, 0] != at_node[:, 1]]:
        pixel, node = pair if is_node[pair[1]] else pair[::-1]
        touched.setdefault(int(pixel), []).append(int(nodes[node]))
    chains, rings = _walk(beside, np.flatnonzero(~is_node).tolist())
    ends = [_ends_of(chain, touched) for chain in chains]
    return _Traced(pixels, chains, ends, rings, nodes, len(kinds))


def _walk(beside: list[list[int]], pixels: list[int]) -> tuple[list[list[int]], list[bool]]:
    """Chains of neighbours from end to end, and of each whether it is a closed ring."""
    chains, rings, seen = [], [], [False] * len(beside)
    loose = [pixel for pixel in pixels if len(beside[pixel]) < 2]
    for start in (*loose, *pixels):  # what no chain from an end has reached is a ring
        if seen[start]:
            continue
        seen[start], chain = True, [start]
        while following := [pixel for pixel in beside[chain[-1]] if not seen[pixel]]:
            chain.append(following[0])
            seen[following[0]] = True
        chains.append(chain)
        rings.append(len(beside[start]) == 2)
    return chains, rings


def _ends_of(chain: list[int], touched: dict[int, list[int]]) -> tuple[int, int]:
    if len(chain) == 1:
        first, last, *_ = (*touched.get(chain[0], []), -1, -1)
        return first, last
    first, last = ((*touched.get(pixel, []), -1)[0] for pixel in (chain[0], chain[-1]))
    return first, last


def _spurs(traced: _Traced, radii: NDArray[np.float64]) -> list[bool]:
    """Of each chain whether it leaves a vessel, or returns to the same node, with no more length than that is wide."""
    found = []
    rows, columns = traced.pixels.T
    thickness = np.zeros(traced.count + 1)  # of each node; the last place is that of free ends
    np.maximum.at(thickness, traced.nodes, radii[rows, columns])
    thickness[-1] = 0
    for chain, ends, ring in zip(traced.chains, traced.ends, traced.rings, strict=True):
        if ring or (-1 not in ends and ends[0] != ends[1]):
            found.append(False)
            continue
        at_node = max(thickness[list(ends)])
        alone = ends == (-1, -1)
        own = float(radii[tuple(traced.pixels[chain[len(chain) // 2]])]) if alone else at_node
        length = length_of(traced.pixels[chain].astype(np.float64)) + (not alone)
        found.append(length < 2 * own + _SPUR_ROOM)
    return found


def _areas(mask: Mask, skeleton: Mask, radii: NDArray[np.float64], pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each pixel of the skeleton, how many of the mask are nearest to it, and no farther than a vessel is wide."""
    distance, nearest = cv2.distanceTransformWithLabels(
        (~skeleton).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = pixels.T
    labels = nearest[rows, columns]
    reach = np.zeros(int(nearest.max(initial=0)) + 1)
    reach[labels] = 1.5 * radii[rows, columns] + 1
    around = nearest[mask]
    counts = np.bincount(around[distance[mask] <= reach[around]], minlength=len(reach))
    return np.asarray(counts[labels], np.float64)


def _paths_of(traced: _Traced, radii: NDArray[np.float64], areas: NDArray[np.float64]) -> Centrelines:
    nodes, widths = _nodes_of(traced, radii)
    ends, lines, around = [], [], []  # around: of each point its area and its radius
    for chain, (first, last), ring in zip(traced.chains, traced.ends, traced.rings, strict=True):
        pixels = traced.pixels[chain][:, ::-1].astype(np.float64)  # (N, 2): x, y
        begin, end = ([nodes[node]] if node >= 0 else [] for node in (first, last))
        if ring:
            end = [pixels[0]]
        numbers: list[int] = []
        for node, place in ((first, 0), (last, -1)):
            if node < 0 and not (ring and numbers):
                nodes.append(pixels[place])
                widths.append(float(np.median(radii[tuple(traced.pixels[chain].T)])))  # an end may be a tip
            numbers.append(node if node >= 0 else len(nodes) - 1)
        ends.append((numbers[0], numbers[1]))
        lines.append(np.array([*begin, *pixels, *end]))
        rows, columns = traced.pixels[chain].T
        around.append(np.pad([areas[chain], radii[rows, columns]], ((0, 0), (len(begin), len(end)))))
    sizes = np.array([len(line) for line in lines])
    points = smooth_each(np.concatenate(lines or [np.empty((0, 2))]), sizes, _SMOOTHING)
    flat_areas, flat_radii = np.concatenate(around or [np.empty((2, 0))], axis=1)
    calibre = _widths(points, flat_areas, flat_radii, sizes)
    cuts = np.cumsum(sizes)[:-1]
    paths = [VesselPath(*parts) for parts in zip(np.split(points, cuts), np.split(calibre, cuts), ends, strict=False)]
    places = np.reshape(nodes, (-1, 2)).astype(np.float64)
    return Centrelines(paths, places, np.array(widths, np.float64), _degrees(paths, len(nodes)))


def _nodes_of(traced: _Traced, radii: NDArray[np.float64]) -> tuple[list[NDArray[np.float64]], list[float]]:
    """Where each node lies, x and y, and half the vessel's width there."""
    rows, columns = traced.pixels.T
    own = traced.nodes >= 0
    at = traced.nodes[own]
    sizes = np.maximum(np.bincount(at, minlength=traced.count), 1)
    middles = [np.bincount(at, axis[own], traced.count) / sizes for axis in (columns, rows)]
    thickness = np.zeros(traced.count)
    np.maximum.at(thickness, at, radii[rows[own], columns[own]])
    return [*np.stack(middles, axis=1)], [*thickness]


def width_reach(radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far along a vessel, either way, its width is a mean, px: as far as it is wide. A single pixel of its
    centreline has a whole number of the mask's, more or fewer where the line has a stair.
    """
    return np.clip(2 * radii, *_WIDTH_REACH)


def _widths(
    points: Points, areas: NDArray[np.float64], radii: NDArray[np.float64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(N,): the area by the length, in a window along each line, which its ends cut."""
    if not len(points):
        return np.empty(0)
    last = np.repeat(np.cumsum(sizes), sizes) - 1
    first = last + 1 - np.repeat(sizes, sizes)
    number = np.arange(len(points))
    area = np.concatenate([[0.0], np.cumsum(areas)])
    length = np.concatenate([[0.0], np.cumsum(steps_of(points, sizes))])
    reach = width_reach(radii).astype(np.int64)
    low, high = np.maximum(number - reach, first), np.minimum(number + reach, last) + 1
    return np.asarray((area[high] - area[low]) / np.maximum(length[high] - length[low], 1.0))


def _degrees(paths: list[VesselPath], count: int) -> NDArray[np.int64]:
    ends = [node for path in paths for node in path.nodes]
    degrees = np.bincount(np.array(ends, np.int64), minlength=count)
    for path in paths:
        first, last = path.nodes
        if first == last and degrees[first] == 2:  # a closed ring
            degrees[first] = 0
    return degrees


def _join_near_nodes(lines: Centrelines) -> Centrelines:
    """Two nodes nearer to each other than the vessel is wide are one: a skeleton shows a crossing as two branchings."""
    parents = list(range(len(lines.nodes)))

    def root(node: int) -> int:
        while parents[node] != node:
            node = parents[node]
        return node

    links = []
    for path in lines.paths:
        first, last = path.nodes
        wide = 2 * max(lines.radii[[first, last]])
        if first != last and min(lines.degrees[[first, last]]) >= 3 and path.places[-1] < wide:
            links.append(path)
            parents[root(last)] = root(first)
    if not links:
        return lines
    roots = np.array([root(node) for node in parents])
    count = np.bincount(roots, minlength=len(roots))
    nodes = np.stack([np.bincount(roots, axis, len(roots)) for axis in lines.nodes.T], axis=1)
    radii = np.zeros(len(roots))
    np.maximum.at(radii, roots, lines.radii)
    linked = {id(path) for path in links}
    paths = [VesselPath(p.points, p.calibre, (int(roots[p.nodes[0]]), int(roots[p.nodes[1]]))) for p in lines.paths]
    free = [path for path, old in zip(paths, lines.paths, strict=True) if id(old) not in linked]
    return Centrelines(paths, nodes / np.maximum(count, 1)[:, None], radii, _degrees(free, len(roots)))
