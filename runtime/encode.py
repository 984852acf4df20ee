"""From a probability map to what people open: masks, overlays, outlines."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.preparation import Image

MEDIA_TYPES = {
    "mask": "image/png",
    "probability": "image/png",
    "overlay": "image/png",
    "svg": "image/svg+xml",
    "geojson": "application/geo+json",
}
SUFFIXES = {"mask": ".png", "probability": ".png", "overlay": ".png", "svg": ".svg", "geojson": ".geojson"}
FORMATS = tuple(MEDIA_TYPES)

_COLOUR = (0, 255, 102)  # RGB: the green that a red retina has least of
_OPACITY = 0.55

Mask = NDArray[np.bool_]
Polygon = list[NDArray[np.int32]]
"""Rings (K, 2) of x, y in pixels, first the outside, then holes; closed, the first point is not repeated."""


def encode(probability: Image, image: Image, form: str, threshold: float) -> bytes:
    """One of FORMATS as file content.

    `probability` (H, W) uint8, `image` (H, W, 3) uint8 RGB, `threshold` 0..1. `mask` and `probability` are
    8-bit grey PNG, `overlay` an RGB PNG; `svg` and `geojson` hold the mask's outlines along pixel edges, so
    filling them (even-odd) gives the mask back exactly.

    Raises OptionError for another format or threshold.
    """
    if form not in MEDIA_TYPES:
        raise OptionError(f"unknown format {form!r}. Expected one of: {', '.join(FORMATS)}.")
    if form == "probability":
        return _png(probability)
    mask = threshold_mask(probability, threshold)
    if form == "mask":
        return _png(mask.astype(np.uint8) * np.uint8(255))
    if form == "overlay":
        return _png(_overlay(image, mask)[:, :, ::-1])
    if form == "svg":
        return _svg(mask)
    return geojson([[ring.tolist() for ring in polygon] for polygon in polygons(mask)], threshold)


def threshold_mask(probability: Image, threshold: float) -> Mask:
    """Vessel where probability ≥ threshold × 255. Raises OptionError when the threshold is not in 0..1."""
    if not 0 <= threshold <= 1:  # also false for NaN
        raise OptionError(f"threshold {threshold} is not within 0 to 1.")
    # The least 8-bit value that passes: one comparison of bytes instead of a conversion of every pixel.
    result: Mask = probability >= np.uint8(np.ceil(threshold * 255))
    return result


def polygons(mask: Mask, connectivity: Literal[4, 8] = 4) -> list[Polygon]:
    """The outlines of a mask (H, W) along the edges of its pixels; x, y in pixels, y down, from the image's corner.

    One polygon for each part of the mask, connected by edges (4) or by corners too (8). With 4, polygons are valid as
    geometry libraries define it (OGC 06-103r4): no ring touches itself, and the inside of each polygon is connected.
    Shells have a positive area by the shoelace formula, holes a negative one.
    """
    padded = np.pad(mask, 1)
    labels = np.asarray(cv2.connectedComponents(padded.astype(np.uint8), connectivity=connectivity)[1], np.int32)
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


def _overlay(image: Image, mask: Mask) -> Image:
    result = image.copy()
    result[mask] = (image[mask] * (1 - _OPACITY) + np.array(_COLOUR) * _OPACITY + 0.5).astype(np.uint8)
    return result


def _svg(mask: Mask) -> bytes:
    height, width = mask.shape
    rings = (ring for polygon in polygons(mask) for ring in polygon)
    path = "".join("M" + "L".join(f"{x} {y}" for x, y in ring.tolist()) + "Z" for ring in rings)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<path fill="#00ff66" fill-rule="evenodd" d="{path}"/></svg>\n'
    ).encode()


def geojson(outlines: Sequence[Any], threshold: float | None = None) -> bytes:
    """RFC 7946's structure in pixel coordinates: one MultiPolygon feature, y down.

    `outlines` are polygons as lists of rings of [x, y], not closed. The properties are those of an annotation of
    QuPath (qupath.github.io), whose importer refuses a class without a colour.
    """
    coordinates = [[[*ring, ring[0]] for ring in polygon] for polygon in outlines]
    properties: dict[str, Any] = {
        "objectType": "annotation",
        "classification": {"name": "vessel", "color": _COLOUR},
    }
    if threshold is not None:
        properties["threshold"] = threshold
    feature = {
        "type": "Feature",
        "geometry": {"type": "MultiPolygon", "coordinates": coordinates},
        "properties": properties,
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature]}, separators=(",", ":")).encode()
