"""From a probability map to what people open: masks, overlays, outlines."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import OptionError

Format = Literal["mask", "probability", "overlay", "svg", "geojson", "json"]
MEDIA_TYPES = {
    "mask": "image/png",
    "probability": "image/png",
    "overlay": "image/png",
    "svg": "image/svg+xml",
    "geojson": "application/geo+json",
    "json": "application/json",
}
SUFFIXES = {
    "mask": ".png",
    "probability": ".png",
    "overlay": ".png",
    "svg": ".svg",
    "geojson": ".geojson",
    "json": ".json",
}
FORMATS: tuple[Format, ...] = get_args(Format)

COLOUR = "#00ff66"
"""Of vessels, where none is asked for: the green that a red retina has least of."""
OPACITY = 0.55
_BAND = 2**20  # pixels that are blended at once: a second overlay would be the largest thing in memory

Mask = NDArray[np.bool_]
Polygon = list[NDArray[np.int32]]
"""Rings (K, 2) of x, y in pixels, first the outside, then holes; closed, the first point is not repeated."""


def encode(
    probability: Image,
    image: Image | Callable[[], Image],
    form: str,
    threshold: float,
    colour: str = COLOUR,
    opacity: float = OPACITY,
) -> bytes:
    """One of FORMATS as file content; `json`, which tells of more than these, is made by `Segmentation.encode`.

    `probability` (H, W) uint8, `image` (H, W, 3) uint8 RGB or what gives it, asked by `overlay` alone, `threshold`
    0..1. `mask` and `probability` are 8-bit grey PNG, `overlay` an RGB PNG; `svg` and `geojson` hold the mask's
    outlines along pixel edges, so filling them (even-odd) gives the mask back exactly.
    `colour` "#rrggbb" is that of the vessels in `overlay` and `svg`, `opacity` 0..1 how much of it covers the
    photograph in `overlay`.

    Raises OptionError for another format, threshold, colour or opacity.
    """
    if form not in MEDIA_TYPES or form == "json":
        raise OptionError(f"unknown format {form!r}. Expected one of: {', '.join(FORMATS)}.")
    if form == "probability":
        return _png(probability)
    mask = threshold_mask(probability, threshold)
    if form == "mask":
        return _png(mask.view(np.uint8) * np.uint8(255))
    if form == "overlay":
        return _png(_overlay(image() if callable(image) else image, mask, colour, opacity))
    if form == "svg":
        return _svg(mask, colour)
    return geojson([[ring.tolist() for ring in polygon] for polygon in polygons(mask)], threshold)


def threshold_mask(probability: Image, threshold: float) -> Mask:
    """Vessel where probability ≥ threshold × 255. Raises OptionError when the threshold is not in 0..1."""
    result: Mask = probability >= np.uint8(_least_vessel(threshold))  # of bytes: no pixel is converted
    return result


def _least_vessel(threshold: float) -> int:
    """The least 8-bit probability that is vessel."""
    if not 0 <= threshold <= 1:  # also false for NaN
        raise OptionError(f"threshold {threshold} is not within 0 to 1.")
    return int(np.ceil(threshold * 255))


def count_levels(probability: Image, inside: Mask) -> NDArray[np.int64]:
    """(256,): how many pixels of `probability` (H, W) have each value, of those that lie `inside` (H, W)."""
    counts = np.zeros(256, np.int64)
    rows = max(1, _BAND // probability.shape[1])
    for top in range(0, probability.shape[0], rows):  # OpenCV counts in float32, which is exact up to 2^24
        band = slice(top, top + rows)
        counts += (
            cv2.calcHist([probability[band]], [0], inside[band].view(np.uint8), [256], [0, 256]).ravel().astype(int)
        )
    return counts


def density(levels: NDArray[np.int64], threshold: float) -> float:
    """The share of vessel, 0..1, among the pixels that `count_levels` has counted; 0 where there are none."""
    return float(levels[_least_vessel(threshold) :].sum() / max(1, levels.sum()))


def document(mask: Mask, levels: NDArray[np.int64], threshold: float) -> dict[str, Any]:
    """What a program wants to know: the mask (H, W) as COCO's RLE, and figures of it, counted in pixels.

    `vessel_density` is the share of the field of view that is vessel, `vessel_parts` counts what is connected by edges
    or corners. `levels` are those of the field of view, as of `count_levels`.
    """
    parts = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[0] - 1
    return {
        "width": mask.shape[1],
        "height": mask.shape[0],
        "threshold": threshold,
        "mask": {"size": list(mask.shape), "counts": rle(mask)},
        "statistics": {
            "vessel_pixels": int(np.count_nonzero(mask)),
            "field_of_view_pixels": int(levels.sum()),
            "vessel_density": density(levels, threshold),
            "vessel_parts": int(parts),
        },
    }


def rle(mask: Mask) -> str:
    """A mask (H, W) as the compressed run lengths of COCO: `pycocotools.mask.decode` gives it back.

    Runs go down the columns, the first is of background. As `rleToString` of pycocotools' maskApi.c writes them: each
    less the one two before it, in groups of 5 bits, the lowest first, bit 5 set where another group follows, plus 48.
    """
    flat = np.concatenate([[False], mask.ravel(order="F")])
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), mask.size)
    values = np.diff(ends, prepend=0).astype(np.int64)
    values[3:] -= values[1:-2].copy()
    groups, follows = [], []
    while True:
        group = values & 31
        values = values >> 5
        # Done when what is left is only the sign, and the group's own highest bit tells it.
        more = np.where(group & 16, values != -1, values != 0)
        follows.append(more)
        groups.append((group | np.where(more, 32, 0)) + 48)
        if not more.any():
            break
    # A value has one group more than it has groups that are followed; after its last one nothing of it is taken.
    taken = np.logical_and.accumulate(np.stack([np.ones_like(follows[0]), *follows[:-1]]), axis=0)
    return bytes(np.stack(groups).astype(np.uint8).T[taken.T]).decode("ascii")


def polygons(mask: Mask, connectivity: Literal[4, 8] = 4) -> list[Polygon]:
    """The outlines of a mask (H, W) along the edges of its pixels; x, y in pixels, y down, from the image's corner.

    One polygon for each part of the mask, connected by edges (4) or by corners too (8). With 4, polygons are valid as
    geometry libraries define it (OGC 06-103r4): no ring touches itself, and the inside of each polygon is connected.
    Shells have a positive area by the shoelace formula, holes a negative one.
    """
    padded = np.pad(mask, 1)
    labels = np.asarray(cv2.connectedComponents(padded.view(np.uint8), connectivity=connectivity)[1], np.int32)
    points, order = _corners(padded, labels)
    found: dict[int, Polygon] = {}
    for ring in _rings(order):
        # The first point is the top left one and the second is to its right: is the mask below that edge, or above it?
        x, y = points[ring[0]].tolist()
        below = int(labels[y + 1, x + 1])
        if below:
            found[below] = [points[ring]]
        else:
            found[int(labels[y, x + 1])].append(points[ring[::-1]])
    return list(found.values())


def _corners(padded: Mask, labels: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
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


def _rings(order: NDArray[np.intp]) -> Iterator[list[int]]:
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


def _png(pixels: Any) -> bytes:
    done, data = cv2.imencode(".png", np.ascontiguousarray(pixels))
    if not done:
        raise OptionError(f"an image of {pixels.shape} pixels can't be written as PNG.")
    return data.tobytes()


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0..255, of "#rrggbb". Raises OptionError for anything else."""
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", colour):
        raise OptionError(f"colour is {colour[:40]!r}. Expected red, green and blue, such as {COLOUR}.")
    red, green, blue = bytes.fromhex(colour[1:])
    return red, green, blue


def _overlay(image: Image, mask: Mask, colour: str, opacity: float) -> Image:
    """The photograph (H, W, 3) RGB with the vessels of the mask (H, W) in a colour, as (H, W, 3) uint8 BGR."""
    if not 0 <= opacity <= 1:  # also false for NaN
        raise OptionError(f"opacity {opacity} is not within 0 to 1.")
    # What becomes of each of 256 values, blue, green and red.
    values = np.arange(256)[:, None] * (1 - opacity) + np.array(rgb(colour)[::-1]) * opacity + 0.5  # (256, 3)
    table = values.astype(np.uint8)[None]
    result = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    pixels, covered = result.reshape(1, -1, 3), mask.view(np.uint8).reshape(1, -1)
    for start in range(0, mask.size, _BAND):
        band = pixels[:, start : start + _BAND]
        cv2.copyTo(cv2.LUT(band, table), covered[:, start : start + _BAND], band)
    return np.asarray(result, np.uint8)


def _svg(mask: Mask, colour: str) -> bytes:
    rgb(colour)  # what is no colour would become markup
    height, width = mask.shape
    rings = (ring for polygon in polygons(mask) for ring in polygon)
    path = "".join("M" + "L".join(f"{x} {y}" for x, y in ring.tolist()) + "Z" for ring in rings)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<path fill="{colour}" fill-rule="evenodd" d="{path}"/></svg>\n'
    ).encode()


def geojson(outlines: Sequence[Any], threshold: float | None = None) -> bytes:
    """RFC 7946's structure in pixel coordinates: one MultiPolygon feature, y down.

    `outlines` are polygons as lists of rings of [x, y], not closed. The properties are those of an annotation of
    QuPath (qupath.github.io), whose importer refuses a class without a colour.
    """
    coordinates = [[[*ring, ring[0]] for ring in polygon] for polygon in outlines]
    properties: dict[str, Any] = {
        "objectType": "annotation",
        "classification": {"name": "vessel", "color": rgb(COLOUR)},
    }
    if threshold is not None:
        properties["threshold"] = threshold
    feature = {
        "type": "Feature",
        "geometry": {"type": "MultiPolygon", "coordinates": coordinates},
        "properties": properties,
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature]}, separators=(",", ":")).encode()
