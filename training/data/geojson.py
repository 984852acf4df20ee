"""GeoJSON files of annotations: what is in them, checked, and nothing more.

A file holds a FeatureCollection, a list of Features, or one Feature. `properties` may be anything; of them
`classification` (a name, or an object with `name` or `names`), `width` and `image` are read. Points have no area: they
are left out, with one warning.
"""

import json
import logging
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import Facts

logger = logging.getLogger(__name__)

MAX_COORDINATE = 1e6
"""Pixels: no photograph is as large."""


class Member(Facts):
    """An object of a file that other programs write: unknown members are allowed."""

    model_config = ConfigDict(extra="ignore")


_Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-MAX_COORDINATE, le=MAX_COORDINATE)]
_Position = Annotated[list[_Number], Field(min_length=2)]  # further ones than x and y have no meaning here


class Polygon(Member):
    """Rings of [x, y]: the outside, then holes."""

    type: Literal["Polygon"]
    coordinates: list[list[_Position]]


class MultiPolygon(Member):
    """Several polygons."""

    type: Literal["MultiPolygon"]
    coordinates: list[list[list[_Position]]]


class Line(Member):
    """Positions [x, y] along it."""

    type: Literal["LineString"]
    coordinates: list[_Position]


class MultiLine(Member):
    """Several lines."""

    type: Literal["MultiLineString"]
    coordinates: list[list[_Position]]


class Marks(Member):
    """What has no area: it says where something is, and not how wide."""

    type: Literal["Point", "MultiPoint"]


_Simple = Annotated[Polygon | MultiPolygon | Line | MultiLine | Marks, Field(discriminator="type")]


class Collection(Member):
    """Any of these together."""

    type: Literal["GeometryCollection"]
    geometries: list[_Simple]


class Feature(Member):
    """A shape and its properties."""

    type: Literal["Feature"]
    geometry: (
        Annotated[Polygon | MultiPolygon | Line | MultiLine | Marks | Collection, Field(discriminator="type")] | None
    )
    properties: Any = None

    def shapes(self) -> "list[Polygon | MultiPolygon | Line | MultiLine]":
        """Its polygons and lines; a collection is taken apart, and marks are left out."""
        shapes = self.geometry.geometries if isinstance(self.geometry, Collection) else [self.geometry]
        return [shape for shape in shapes if shape is not None and not isinstance(shape, Marks)]

    def marks(self) -> int:
        """How many points it has."""
        shapes = self.geometry.geometries if isinstance(self.geometry, Collection) else [self.geometry]
        return sum(isinstance(shape, Marks) for shape in shapes)

    def property(self, name: str) -> Any:
        return self.properties.get(name) if isinstance(self.properties, dict) else None

    def classes(self) -> set[str]:
        """A class and the ones it derives from; QuPath writes a derived class as "names" or as "base: derived"."""
        given = self.property("classification")
        if isinstance(given, dict):
            given = given.get("names", given.get("name"))
        names = given if isinstance(given, list) else str(given).split(":") if isinstance(given, str) else []
        return {str(name).strip() for name in names}

    def image(self) -> str | None:
        """The name of the photograph that it is of, without folder; the suffix may be missing."""
        given = self.property("image")
        return None if given is None else str(given).replace("\\", "/").split("/")[-1]


class FeatureCollection(Member):
    """The usual root of a file."""

    type: Literal["FeatureCollection"]
    features: list[Feature]


_ROOT = TypeAdapter[FeatureCollection | Feature](Annotated[FeatureCollection | Feature, Field(discriminator="type")])
_LIST = TypeAdapter(list[Feature])


def read_features(path: Path) -> list[Feature]:
    """A file's features. Raises DataError."""
    return _read_features_cached(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=2)
def _read_features_cached(path: Path, _: int) -> list[Feature]:
    """A file's features, kept until it changes (its time is an argument): it may be asked for many photographs."""
    try:
        content = path.read_bytes()
        text = _decode_json(content)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable annotation ({error}). Expected GeoJSON in UTF-8 or cp1251.") from None
    try:
        if text.lstrip().startswith("["):
            features = _LIST.validate_json(text)
        else:
            root = _ROOT.validate_json(text)
            features = root.features if isinstance(root, FeatureCollection) else [root]
    except ValidationError as error:
        if (form := foreign_format(content)) is not None:
            raise DataError(f"{path}: {form}") from None
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        place = ".".join(map(str, wrong[0]["loc"]))
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise DataError(
            f"{path}: not a GeoJSON annotation: {place + ': ' if place else ''}{wrong[0]['msg']}{more}"
        ) from None
    if marks := sum(feature.marks() for feature in features):
        _warn_once(f"{path}: {marks} point(s) have no area, and are not read")
    return features


@cache
def _warn_once(note: str) -> None:
    logger.warning(note)


def foreign_format(content: bytes) -> str | None:
    """Names the annotation tool of other JSON, with advice; None: unknown."""
    try:
        root = json.loads(_decode_json(content))
    except (ValueError, RecursionError):
        return None
    if not isinstance(root, dict):
        return None
    if "shapes" in root:
        form, outline = "LabelMe", "points of a shape"
    elif {"images", "annotations"} <= root.keys():
        form, outline = "COCO", "segmentation of an annotation"
    else:
        return None
    return (
        f"the JSON of {form}, which is not read. Expected GeoJSON: write the {outline} as a Polygon, with the first "
        "position again as the last. Or draw masks, and use the kind folder."
    )


def _decode_json(content: bytes) -> str:
    """JSON by its own marks (UTF-8, UTF-16, byte order mark or none), else by the code page of Russian Windows."""
    try:
        return content.decode(json.detect_encoding(content))
    except UnicodeDecodeError:
        return content.decode("cp1251")
