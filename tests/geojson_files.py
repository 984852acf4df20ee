"""GeoJSON annotations that tests write and read."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis.extra.numpy import array_shapes, arrays

from vesselrt.runtime.arrays import Mask
from vesselrt.training.data.annotations import Annotation, AnnotationRules

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))
SQUARE = [[1, 1], [4, 1], [4, 4], [1, 4], [1, 1]]
SQUARE_OF_FIVE = [[0, 0], [5, 0], [5, 5], [0, 5], [0, 0]]
EMPTY = AnnotationRules(unannotated="empty")


def drawn(picture: str) -> Mask:
    return np.array([[pixel == "#" for pixel in row] for row in picture.split()])


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def line(*points: Any) -> dict[str, Any]:
    return {"type": "LineString", "coordinates": list(points)}


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def collection(*features: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def written(folder: Path, content: Any) -> Path:
    path = folder / "12.geojson"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def mask_of(
    folder: Path, content: Any, height: int = 6, width: int = 6, *, rules: AnnotationRules | None = None
) -> Mask:
    return Annotation(written(folder, content), rules or AnnotationRules()).mask(height, width)


def shape_of(mask: Mask) -> tuple[int, int]:
    height, width = mask.shape
    return height, width


def iou(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


HAND_DRAWN = {
    "pixel edges": (polygon(SQUARE), "...... .###.. .###.. .###.. ...... ......"),
    # Through pixel centres: those at the left and upper edges count, those at the right and lower ones do not.
    "pixel centres": (
        polygon([[0.5, 0.5], [2.5, 0.5], [2.5, 2.5], [0.5, 2.5], [0.5, 0.5]]),
        "##.... ##.... ...... ...... ...... ......",
    ),
    "drawn the other way round": (polygon(SQUARE[::-1]), "...... .###.. .###.. .###.. ...... ......"),
    "a hole": (
        polygon([[0, 0], [5, 0], [5, 5], [0, 5], [0, 0]], SQUARE),
        "#####. #...#. #...#. #...#. #####. ......",
    ),
    # Row r is crossed at x = r + ½ by the slope from (0, 0) to (6, 6): centres on it are to its right.
    "a slope through centres": (polygon([[0, 0], [6, 0], [6, 6], [0, 0]]), "###### .##### ..#### ...### ....## .....#"),
    "the other side of it": (polygon([[0, 0], [6, 6], [0, 6], [0, 0]]), "...... #..... ##.... ###... ####.. #####."),
    # The edge from (0, 0) to (3, 6) is at ¼, ¾, 1¼, 1¾, 2¼, 2¾ in the middle of rows: centres from ½ on are inside.
    "a steep slope": (polygon([[0, 0], [6, 0], [6, 6], [3, 6], [0, 0]]), "###### .##### .##### ..#### ..#### ...###"),
    "between centres": (polygon([[1.6, 1.6], [2.4, 1.6], [2.4, 2.4], [1.6, 2.4], [1.6, 1.6]]), "...... " * 6),
    "two that touch at a corner": (
        {"type": "MultiPolygon", "coordinates": [[SQUARE], [[[4, 4], [5, 4], [5, 5], [4, 5], [4, 4]]]]},
        "...... .###.. .###.. .###.. ....#. ......",
    ),
    "two that overlap": (
        {"type": "MultiPolygon", "coordinates": [[SQUARE], [[[3, 3], [6, 3], [6, 6], [3, 6], [3, 3]]]]},
        "...... .###.. .###.. .##### ...### ...###",
    ),
    "over the edge": (polygon([[-1, -1], [2, -1], [2, 7], [-1, 7], [-1, -1]]), "##.... " * 6),
    # Centres at most ½ from the line: at its ends too.
    "a line": (line([1, 2.5], [4, 2.5]), "...... ...... #####. ...... ...... ......"),
    "a line between rows": (line([1.25, 2], [3.75, 2]), "...... .###.. .###.. ...... ...... ......"),
    "a line through centres": (line([1.5, 1.5], [1.5, 4.5]), "...... .#.... .#.... .#.... .#.... ......"),
    "a diagonal": (line([0, 0], [6, 6]), "#..... .#.... ..#... ...#.. ....#. .....#"),
    "a point of a line": (line([2.5, 2.5], [2.5, 2.5]), "...... ...... ..#... ...... ...... ......"),
    "a bend": (
        {"type": "MultiLineString", "coordinates": [[[0.5, 0.5], [3.5, 0.5], [3.5, 2.5]], [[0.5, 5.5], [1.5, 5.5]]]},
        "####.. ...#.. ...#.. ...... ...... ##....",
    ),
    "a collection": (
        {"type": "GeometryCollection", "geometries": [polygon(SQUARE), line([0.5, 5.5], [5.5, 5.5])]},
        "...... .###.. .###.. .###.. ...... ######",
    ),
}
