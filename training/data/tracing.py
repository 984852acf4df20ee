"""From a mask to its outlines: a GeoJSON annotation that an annotation tool opens, and that gives the mask back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.output.encode import geojson, polygons
from vesselrt.training.data.annotations import shapely_library
from vesselrt.training.data.drawing import Points, runs
from vesselrt.training.data.geojson import FARTHEST
from vesselrt.training.data.masks import Mask

SMOOTH = 0.35
"""Pixels: below √2/4, the least distance from a pixel's centre to an outline through the middles of pixel edges. An
outline that moves by no more than this gives the same mask."""


def encode_annotation(mask: Mask, simplify: float = SMOOTH, threshold: float | None = None) -> bytes:
    """The outlines of a mask (H, W) as a GeoJSON file: an annotation in QuPath's form.

    `simplify` 0: along pixel edges, as the runtime writes them. Above 0: through the middles of pixel edges, and from
    these points as many are left out as can be while the outline stays within `simplify` pixels (Douglas and Peucker
    1973, kept free of crossings). Up to SMOOTH the file gives the mask back exactly. `threshold` is written as a
    property. Raises what `check_simplify` does.
    """
    check_simplify(simplify)
    if simplify == 0:
        return geojson([[ring.tolist() for ring in polygon] for polygon in polygons(mask)], threshold)
    shapely = shapely_library()
    # Pixels that touch at a corner are one vessel here: outlines through edge middles pass such a corner on both sides.
    outlines = [[_edge_middles(ring) for ring in polygon] for polygon in polygons(mask, connectivity=8)]
    # As lines and not as rings: of a ring GEOS would move the first point too, by the tolerance once more.
    lines = shapely.MultiLineString([np.vstack([ring, ring[:1]]) for polygon in outlines for ring in polygon])
    simple = iter(shapely.get_parts(shapely.simplify(lines, simplify, preserve_topology=True)))
    rings = [[_numbers(next(simple)) for _ in polygon] for polygon in outlines]
    return geojson([[ring for ring in polygon if len(ring) > 2] for polygon in rings if len(polygon[0]) > 2], threshold)


def check_simplify(simplify: float) -> None:
    """Raises OptionError unless it is a distance in pixels, MissingExtraError without the library that it takes."""
    if not 0 <= simplify < FARTHEST:  # also false for NaN
        raise OptionError(f"simplify is {simplify}. Expected a distance in pixels, 0 or more.")
    if simplify:
        shapely_library()


def _edge_middles(ring: NDArray[np.int32]) -> Points:
    """From the corners of a rectilinear ring (K, 2): the middle of each pixel edge along it."""
    way = np.roll(ring, -1, axis=0) - ring
    length = np.abs(way).sum(axis=1)
    side, step = runs(np.zeros_like(length), length)
    return np.asarray(ring[side] + np.sign(way)[side] * (step + 0.5)[:, None], np.float64)


def _numbers(ring: Any) -> list[list[float]]:
    """The points of a ring of shapely's, not closed; whole numbers without a fraction, which would only cost bytes."""
    return [[int(v) if v == int(v) else v for v in point] for point in ring.coords[:-1]]
