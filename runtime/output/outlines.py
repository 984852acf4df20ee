"""The outlines of a mask, as polygons, SVG and GeoJSON: along pixel edges, or simplified."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.errors import MissingExtraError, OptionError
from vesselrt.runtime.output.pictures import COLOUR, rgb_from_colour

Polygon = list[NDArray[np.int32]]
"""Rings (K, 2) of x, y in pixels: first the outside, then the holes. Closed; the first point is not repeated."""

MAX_LOSSLESS_SIMPLIFY = 0.35
"""Pixels by which an outline may move and still give the same mask: below √2/4, the least distance from a pixel's
centre to an outline through the middles of pixel edges."""
MAX_SIMPLIFY = 1e6
"""Pixels: no photograph is as large."""


class Region(NamedTuple):
    """The pixels of a class, to be outlined."""

    mask: Mask
    """(H, W) bool."""
    name: str = "vessel"
    colour: str = COLOUR
    """As "#rrggbb"."""
    threshold: float | None = None
    """0..1."""


def svg_from_mask(mask: Mask, colour: str = COLOUR, simplify: float = 0.0) -> bytes:
    """A mask (H, W) as an SVG file of its size, as `svg_from_regions` makes it."""
    height, width = mask.shape
    return svg_from_regions([Region(mask, colour=colour)], (height, width), simplify, titled=False)


def svg_from_regions(
    regions: Iterable[Region],
    shape: tuple[int, int],
    simplify: float = 0.0,
    *,
    titled: bool = True,
    corrected: bool = False,
) -> bytes:
    """Masks of one shape (height, width) as an SVG file of that size: for each a path in its colour, filled by the
    even-odd rule, with its threshold as `data-threshold`; `titled`: with its name. `corrected`: whether its metadata
    say that a person has corrected it.

    `simplify` as for `trace_outlines`. Raises OptionError, MissingExtraError.
    """
    height, width = shape
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    paths = "".join(_svg_path(region, simplify, titled) for region in regions)
    metadata = "<metadata>Corrected by a person</metadata>" if corrected else ""
    return f"{head}{metadata}{paths}</svg>\n".encode()


def _svg_path(region: Region, simplify: float, titled: bool) -> str:
    rgb_from_colour(region.colour)  # anything else would become markup
    rings = (ring for polygon in trace_outlines(region.mask, simplify) for ring in polygon)
    path = "".join("M" + "L".join(f"{x} {y}" for x, y in ring) + "Z" for ring in rings)
    end = f"><title>{region.name}</title></path>" if titled else "/>"
    threshold = "" if region.threshold is None else f' data-threshold="{region.threshold:g}"'
    return f'<path fill="{region.colour}" fill-rule="evenodd"{threshold} d="{path}"{end}'


def geojson_from_mask(mask: Mask, threshold: float | None = None, simplify: float = 0.0) -> bytes:
    """A mask (H, W) of vessels as a GeoJSON file, as `geojson_from_regions` makes it."""
    return geojson_from_regions([Region(mask, threshold=threshold)], simplify)


def geojson_from_regions(regions: Iterable[Region], simplify: float = 0.0, *, corrected: bool = False) -> bytes:
    """Masks as a GeoJSON file: RFC 7946's structure in pixel coordinates, a MultiPolygon feature for each, y down.

    Its properties are those of an annotation in QuPath (qupath.github.io), whose importer refuses a class without a
    colour; `threshold` is one more of them, and so is `corrected`, true where a person has corrected it. `simplify` as
    for `trace_outlines`. Raises OptionError, MissingExtraError.
    """
    features = [_geojson_feature(region, simplify) for region in regions]
    for feature in features if corrected else []:
        feature["properties"]["corrected"] = True
    return json.dumps({"type": "FeatureCollection", "features": features}, separators=(",", ":")).encode()


def _geojson_feature(region: Region, simplify: float) -> dict[str, Any]:
    coordinates = [[[*ring, ring[0]] for ring in polygon] for polygon in trace_outlines(region.mask, simplify)]
    properties: dict[str, Any] = {
        "objectType": "annotation",
        "classification": {"name": region.name, "color": rgb_from_colour(region.colour)},
    }
    if region.threshold is not None:
        properties["threshold"] = region.threshold
    geometry = {"type": "MultiPolygon", "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def trace_outlines(mask: Mask, simplify: float = 0.0) -> list[list[list[list[float]]]]:
    """The outlines of a mask (H, W): polygons as lists of rings of [x, y] in pixels, not closed.

    `simplify` 0: along pixel edges. Above 0: through the middles of pixel edges, and from these points as many are
    left out as can be while the outline stays within `simplify` pixels (Douglas and Peucker 1973, kept free of
    crossings). Up to MAX_LOSSLESS_SIMPLIFY, filling the outlines gives the mask back exactly.

    Raises what `check_simplify` raises.
    """
    check_simplify(simplify)
    if simplify == 0:
        return [[ring.tolist() for ring in polygon] for polygon in trace_polygons(mask)]
    shapely = import_shapely("simplifying outlines")
    # Pixels that touch at a corner are one vessel here: outlines through edge middles pass such a corner on both sides.
    outlines = [[_edge_middles(ring) for ring in polygon] for polygon in trace_polygons(mask, connectivity=8)]
    # As lines and not as rings: of a ring GEOS would move the first point too, by the tolerance once more.
    lines = shapely.MultiLineString([np.vstack([ring, ring[:1]]) for polygon in outlines for ring in polygon])
    simple = iter(shapely.get_parts(shapely.simplify(lines, simplify, preserve_topology=True)))
    rings = [[_open_ring(next(simple)) for _ in polygon] for polygon in outlines]
    return [[ring for ring in polygon if len(ring) > 2] for polygon in rings if len(polygon[0]) > 2]


def check_simplify(simplify: float) -> None:
    """Raises OptionError unless it is a distance in pixels, MissingExtraError where it needs shapely and that is not
    installed.
    """
    if not 0 <= simplify < MAX_SIMPLIFY:  # also false for NaN
        raise OptionError(f"simplify is {simplify}. Expected a distance in pixels, 0 or more.")
    if simplify:
        import_shapely("simplifying outlines")


def import_shapely(purpose: str) -> Any:
    """shapely, imported late: most users need no geometry library. Raises MissingExtraError, which names `purpose`."""
    try:
        import shapely
    except ImportError:
        raise MissingExtraError.of(purpose, "outlines") from None
    return shapely


def _edge_middles(ring: NDArray[np.int32]) -> NDArray[np.float64]:
    """From the corners of a rectilinear ring (K, 2): the middle of each pixel edge along it, (N, 2)."""
    way = np.roll(ring, -1, axis=0) - ring
    length = np.abs(way).sum(axis=1)
    side = np.repeat(np.arange(len(ring)), length)
    step = np.arange(len(side)) - np.repeat(np.cumsum(length) - length, length)
    return np.asarray(ring[side] + np.sign(way)[side] * (step + 0.5)[:, None], np.float64)


def _open_ring(ring: Any) -> list[list[float]]:
    """The points of a closed shapely line without the last one; whole numbers have no fraction, to save bytes."""
    return [[int(v) if v == int(v) else v for v in point] for point in ring.coords[:-1]]


def trace_polygons(mask: Mask, connectivity: Literal[4, 8] = 4) -> list[Polygon]:
    """The outlines of a mask (H, W) along the edges of its pixels; x, y in pixels, y down, from the image's corner.

    One polygon for each part of the mask, connected by edges (4) or by corners too (8). With 4, polygons are valid as
    geometry libraries define it (OGC 06-103r4): no ring touches itself, and the inside of each polygon is connected.
    Shells have a positive area by the shoelace formula, holes a negative one.
    """
    padded = np.pad(mask, 1)
    labels = np.asarray(cv2.connectedComponents(padded.view(np.uint8), connectivity=connectivity)[1], np.int32)
    points, order = _find_corners(padded, labels)
    found: dict[int, Polygon] = {}
    for ring in _follow_rings(order):
        # The first point is the top left one and the second is to its right: is the mask below that edge, or above it?
        x, y = points[ring[0]].tolist()
        below = int(labels[y + 1, x + 1])
        if below:
            found[below] = [points[ring]]
        else:
            found[int(labels[y, x + 1])].append(points[ring[::-1]])
    return list(found.values())


def _find_corners(padded: Mask, labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Where outlines turn: points (K, 2) x, y row by row, and the order that sorts them column by column.

    Ends of edges come in pairs: along each row of points, edge after edge, and along each column. Where two parts or
    two holes meet at a corner (a saddle), two outlines turn and the point is there twice: first as the end of the edge
    from the left, then as the start of the edge to the right.
    """
    change = padded[:, 1:] ^ padded[:, :-1]
    northwest, southwest = padded[:-1, :-1], padded[1:, :-1]
    saddle = change[1:] & change[:-1] & (northwest ^ southwest)
    flat = np.flatnonzero((change[1:] ^ change[:-1]) | saddle)
    twice = saddle.ravel()[flat]
    y, x = np.divmod(np.repeat(flat, 1 + twice), saddle.shape[1])
    second = np.zeros(len(x), np.intp)
    second[np.flatnonzero(np.repeat(twice, 1 + twice))[1::2]] = 1
    # At a saddle the two diagonal pixels of the mask are either of one part, and the outlines go round its two holes,
    # or of two parts, and the outlines go round these. Either way no outline meets itself.
    nw, ne, sw, se = labels[y, x], labels[y, x + 1], labels[y + 1, x], labels[y + 1, x + 1]
    swapped = np.where(nw > 0, nw == se, ne != sw)
    return np.stack([x, y], axis=1).astype(np.int32), np.lexsort((second ^ swapped, y, x))


def _follow_rings(order: NDArray[np.intp]) -> Iterator[list[int]]:
    """Indices of the points of each outline, from its top left corner to the right."""
    down = np.empty_like(order)
    down[order[::2]], down[order[1::2]] = order[1::2], order[::2]
    other_end = down.tolist()
    seen = bytearray(len(other_end))
    for start in range(0, len(other_end), 2):
        ring: list[int] = []
        point = start
        while not seen[point]:
            across = point ^ 1  # as they stand, points are paired along rows
            seen[point] = seen[across] = 1
            ring += (point, across)
            point = other_end[across]
        if ring:
            yield ring
