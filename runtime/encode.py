"""From a probability map to what people open: masks, overlays, outlines."""

import json
from typing import Any

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
    return _svg(mask) if form == "svg" else _geojson(mask, threshold)


def threshold_mask(probability: Image, threshold: float) -> Mask:
    """Vessel where probability ≥ threshold × 255. Raises OptionError when the threshold is not in 0..1."""
    if not 0 <= threshold <= 1:  # also false for NaN
        raise OptionError(f"threshold {threshold} is not within 0 to 1.")
    # The least 8-bit value that passes: one comparison of bytes instead of a conversion of every pixel.
    result: Mask = probability >= np.uint8(np.ceil(threshold * 255))
    return result


def polygons(mask: Mask) -> list[Polygon]:
    """The outlines of a mask (H, W) along the edges of its pixels; x, y in pixels, y down, from the image's corner.

    Pixels that touch at a corner belong to one polygon.
    """
    # OpenCV traces centres of border pixels. On a grid of twice the fineness, where pixel x covers 2x to 2x + 2,
    # these centres are the pixels' edges.
    doubled = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    doubled = cv2.copyMakeBorder(doubled, 0, 1, 0, 1, cv2.BORDER_CONSTANT, value=0)
    grown = cv2.dilate(doubled, np.ones((2, 2), np.uint8), anchor=(1, 1))
    contours, hierarchy = cv2.findContours(grown, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if hierarchy is None:
        return []
    found: dict[int, Polygon] = {}
    parents = hierarchy[0, :, 3].tolist()
    for index, parent in enumerate(parents):
        if parent < 0:
            found[index] = [_ring(contours[index])]
    for index, parent in enumerate(parents):
        if parent >= 0:
            found[parent].append(_ring(contours[index]))
    return list(found.values())


def _ring(contour: Any) -> NDArray[np.int32]:
    """A traced border on the doubled grid as a rectilinear ring of pixel corners, straight runs merged."""
    points = contour.reshape(-1, 2)
    following = np.roll(points, -1, axis=0)
    # Tracing cuts inner corners diagonally; the corner that was cut has both coordinates even.
    corners = np.where(points % 2 == 0, points, following)
    diagonal = (points != following).all(axis=1)
    ring = np.insert(points, np.flatnonzero(diagonal) + 1, corners[diagonal], axis=0)
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return np.asarray(ring[turns] // 2, np.int32)


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


def _geojson(mask: Mask, threshold: float) -> bytes:
    """RFC 7946's structure in pixel coordinates: one MultiPolygon feature, y down."""
    coordinates = [[[*r.tolist(), r[0].tolist()] for r in polygon] for polygon in polygons(mask)]
    feature = {
        "type": "Feature",
        "geometry": {"type": "MultiPolygon", "coordinates": coordinates},
        "properties": {"classification": {"name": "vessel"}, "threshold": threshold},
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature]}, separators=(",", ":")).encode()
