"""Shapes of annotations, and what is said of them: the features of a file, whatever its format."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from vesselrt.runtime.manifest import Facts

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
