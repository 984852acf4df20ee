"""GeoJSON annotations, as QuPath and tools like it write them: from outlines to a mask, and back.

A file holds a FeatureCollection, a list of Features, or one Feature. Coordinates are [x, y] in pixels, y down, from the
photograph's top left corner: the centre of the pixel in row r and column c is at x = c + ½, y = r + ½. `properties` may
be anything; of them `classification` (a name, or an object with `name` or `names`), `width` and `image` are read.

- Polygon, MultiPolygon: a pixel is vessel where its centre lies inside by the even-odd rule, so rings after the first
  are holes. A centre on the outline itself counts at left and upper edges and not at right and lower ones: polygons
  that share an edge share no pixel. What the runtime writes along pixel edges gives its mask back exactly.
- LineString, MultiLineString: a pixel is vessel where its centre lies at most half the line's width from the line.
- Features, and the parts of one, are united. A GeometryCollection is all that it holds.

Where coordinates are multiples of ½, centres on an edge are decided exactly; otherwise in double precision.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from vesselrt.runtime.encode import Mask, geojson, polygons
from vesselrt.runtime.errors import DataError, MissingExtraError, OptionError
from vesselrt.runtime.manifest import Facts

SMOOTH = 0.35
"""Pixels: below √2/4, the least distance from a pixel's centre to an outline through the middles of pixel edges. An
outline that moves by no more than this gives the same mask."""

FREE = 'where such photographs show no vessels, set "unannotated": "empty" in dataset.json'
"""What a message may advise."""

_FARTHEST = 1e6  # px: no photograph is as large
_OVERHANG = 0.02  # share of the longer side by which a hand may draw over the photograph's edge
_SLIP = 1.0  # px²: a crossing no larger comes of rounded coordinates, or of a slip of the pen that no mask shows

Points = NDArray[np.float64]
"""(K, 2) x, y in pixels."""


class Rules(Facts):
    """What a file does not say: how the annotations of a data set are meant."""

    line_width: Annotated[float, Field(gt=0)] | None = None
    """Width in pixels of lines whose properties name none."""
    classes: tuple[str, ...] | None = None
    """Names of the classes that are vessel; null: every feature is vessel."""
    unannotated: Literal["refuse", "empty"] = "refuse"
    """A photograph without any annotation is an error, or one without vessels."""


@dataclass(frozen=True)
class Annotation:
    """The annotation of one photograph: a file, or its share of one."""

    path: Path
    rules: Rules
    image: str | None = None
    """In a file for many photographs, which one: the name of its file."""

    def mask(self, height: int, width: int) -> Mask:
        """(height, width) bool, True = vessel, by the rules at the top of this module.

        Raises DataError, which names the file and the place in it, for what can't be an annotation of the photograph.
        """
        mask = np.zeros((height, width), bool)
        if self.rules.unannotated == "empty" and not self.path.exists():
            return mask
        parts = list(_parts(self.path, self.rules, self.image))
        if not parts and self.rules.unannotated == "refuse":
            raise DataError(
                f"{self.path}: it holds no annotation{f' of {self.image}' if self.image else ''}. Annotate the "
                f"photograph, or take it out; {FREE}."
            )
        _check_place(parts, mask.shape)
        for part in parts:
            if not part.vessel:
                continue
            if part.width is None:
                fill(mask, part.rings)
            else:
                stroke(mask, part.rings[0], part.width)
        return mask


def images(path: Path) -> set[str]:
    """The photographs that a file for many has annotations of, by the names that it gives, without folders.

    Raises DataError where a feature names none.
    """
    named = [feature.image() for feature in _features(path)]
    if None in named:
        raise DataError(
            f"{path}: features.{named.index(None)}: it names no photograph. In a file for many, the properties of each "
            'feature need "image".'
        )
    return {name for name in named if name is not None}


def classes(path: Path) -> set[str]:
    """The classes that the features of a file have. Raises DataError."""
    return {name for feature in _features(path) for name in feature.classes()}


def encode(mask: Mask, simplify: float = SMOOTH, threshold: float | None = None) -> bytes:
    """The outlines of a mask (H, W) as a GeoJSON file: an annotation in QuPath's form.

    `simplify` 0: along pixel edges, as the runtime writes them. Above 0: through the middles of pixel edges, and from
    these points as many are left out as can be while the outline stays within `simplify` pixels (Douglas and Peucker
    1973, kept free of crossings). Up to SMOOTH the file gives the mask back exactly. `threshold` is written as a
    property. Raises what `check_simplify` does.
    """
    check_simplify(simplify)
    if simplify == 0:
        return geojson([[ring.tolist() for ring in polygon] for polygon in polygons(mask)], threshold)
    shapely = _shapely()
    # Pixels that touch at a corner are one vessel here: outlines through edge middles pass such a corner on both sides.
    outlines = [[_edge_middles(ring) for ring in polygon] for polygon in polygons(mask, connectivity=8)]
    # As lines and not as rings: of a ring GEOS would move the first point too, by the tolerance once more.
    lines = shapely.MultiLineString([np.vstack([ring, ring[:1]]) for polygon in outlines for ring in polygon])
    simple = iter(shapely.get_parts(shapely.simplify(lines, simplify, preserve_topology=True)))
    rings = [[_numbers(next(simple)) for _ in polygon] for polygon in outlines]
    return geojson([[ring for ring in polygon if len(ring) > 2] for polygon in rings if len(polygon[0]) > 2], threshold)


def check_simplify(simplify: float) -> None:
    """Raises OptionError unless it is a distance in pixels, MissingExtraError without the library that it takes."""
    if not 0 <= simplify < _FARTHEST:  # also false for NaN
        raise OptionError(f"simplify is {simplify}. Expected a distance in pixels, 0 or more.")
    if simplify:
        _shapely()


def _shapely() -> Any:
    """Raises MissingExtraError. Imported late: whoever has no GeoJSON needs no geometry library."""
    try:
        import shapely
    except ImportError:
        raise MissingExtraError("GeoJSON of annotations", "evaluate") from None
    return shapely


def _edge_middles(ring: NDArray[np.int32]) -> Points:
    """From the corners of a rectilinear ring (K, 2): the middle of each pixel edge along it."""
    way = np.roll(ring, -1, axis=0) - ring
    length = np.abs(way).sum(axis=1)
    side, step = _runs(np.zeros_like(length), length)
    return np.asarray(ring[side] + np.sign(way)[side] * (step + 0.5)[:, None], np.float64)


def _numbers(ring: Any) -> list[list[float]]:
    """The points of a ring of shapely's, not closed; whole numbers without a fraction, which would only cost bytes."""
    return [[int(v) if v == int(v) else v for v in point] for point in ring.coords[:-1]]


def fill(mask: Mask, rings: tuple[Points, ...]) -> None:
    """Sets the pixels of `mask` (H, W) whose centres lie inside closed `rings`, by the even-odd rule."""
    height, width = mask.shape
    start, end = (np.concatenate([r[part] for r in rings]) for part in (slice(None, -1), slice(1, None)))
    upward = start[:, 1] > end[:, 1]
    (x0, y0), (x1, y1) = np.where(upward[:, None], end, start).T, np.where(upward[:, None], start, end).T
    top, bottom = (np.clip(np.ceil(y - 0.5), 0, height).astype(np.intp) for y in (y0, y1))
    edge, row = _runs(top, bottom)
    if not len(row):
        return
    y = row + 0.5
    # One division at the end: for multiples of ½ the crossing is then rounded only once, and never across a centre.
    x = (x0[edge] * (y1[edge] - y) + x1[edge] * (y - y0[edge])) / (y1 - y0)[edge]
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.intp)  # everything from here to the right changes sides
    upper, left, lower, right = row.min(), column.min(), row.max() + 1, column.max()
    sides = np.zeros((lower - upper, right - left + 1), np.uint8)
    np.add.at(sides.reshape(-1), (row - upper) * sides.shape[1] + column - left, 1)
    mask[upper:lower, left:right] |= np.bitwise_xor.accumulate(sides & 1, axis=1)[:, :-1].astype(bool)


def stroke(mask: Mask, points: Points, width: float) -> None:
    """Sets the pixels of `mask` (H, W) whose centres lie at most half of `width` from the line through `points`."""
    height, columns = mask.shape
    reach = width / 2
    for (x0, y0), (x1, y1) in pairwise(points):
        dx, dy = x1 - x0, y1 - y0
        lowest, highest = min(y0, y1) - reach, max(y0, y1) + reach
        rows = np.arange(*np.clip([np.ceil(lowest - 0.5), np.ceil(highest + 0.5)], 0, height).astype(int))
        # The piece of the line that a row can see, and from it the columns that are worth a look.
        near, far = rows + 0.5 - reach, rows + 0.5 + reach
        seen = np.clip(([near, far] - y0) / dy, 0, 1) if dy else np.array([[0.0], [1.0]]) * np.ones(len(rows))
        at = x0 + dx * seen
        first, last = at.min(axis=0) - reach - 1, at.max(axis=0) + reach + 1
        line, column = _runs(*(np.clip(np.floor(v), 0, columns).astype(np.intp) for v in (first, last)))
        row = rows[line]
        px, py = column + 0.5 - x0, row + 0.5 - y0
        along, across, length = px * dx + py * dy, px * dy - py * dx, dx * dx + dy * dy
        beside = (along >= 0) & (along <= length) & (across * across <= reach * reach * length)
        ends = np.minimum(px * px + py * py, (px - dx) ** 2 + (py - dy) ** 2) <= reach * reach
        inside = ends | (beside if length else False)
        mask[row[inside], column[inside]] = True


def _runs(first: NDArray[Any], last: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Counts from `first` to `last`, excluded, for each of K ranges: which range, and the number."""
    length = np.maximum(last - first, 0)
    which = np.repeat(np.arange(len(length)), length)
    within = np.arange(len(which)) - np.repeat(np.cumsum(length) - length, length)
    return which, first[which] + within


@dataclass(frozen=True, eq=False)
class _Part:
    """A polygon or a line of a file."""

    where: str
    """For messages: the file and the place in it."""
    rings: tuple[Points, ...]
    """Of a polygon: the outside, then holes, each closed. Of a line: its points."""
    width: float | None
    """Of a line, in pixels; None: a polygon."""
    vessel: bool
    """Whether its class is one that counts."""


class _Member(Facts):
    """What is read from a file that others write: members that we don't know are theirs."""

    model_config = ConfigDict(extra="ignore")


_Number = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-_FARTHEST, le=_FARTHEST)]
_Position = Annotated[list[_Number], Field(min_length=2)]  # further ones than x and y have no meaning here


class _Polygon(_Member):
    type: Literal["Polygon"]
    coordinates: list[list[_Position]]


class _MultiPolygon(_Member):
    type: Literal["MultiPolygon"]
    coordinates: list[list[list[_Position]]]


class _Line(_Member):
    type: Literal["LineString"]
    coordinates: list[_Position]


class _MultiLine(_Member):
    type: Literal["MultiLineString"]
    coordinates: list[list[_Position]]


_Simple = Annotated[_Polygon | _MultiPolygon | _Line | _MultiLine, Field(discriminator="type")]


class _Collection(_Member):
    type: Literal["GeometryCollection"]
    geometries: list[_Simple]


class _Feature(_Member):
    type: Literal["Feature"]
    geometry: Annotated[_Polygon | _MultiPolygon | _Line | _MultiLine | _Collection, Field(discriminator="type")] | None
    properties: Any = None

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


class _FeatureCollection(_Member):
    type: Literal["FeatureCollection"]
    features: list[_Feature]


_ROOT = TypeAdapter[_FeatureCollection | _Feature](
    Annotated[_FeatureCollection | _Feature, Field(discriminator="type")]
)
_LIST = TypeAdapter(list[_Feature])


def _parts(path: Path, rules: Rules, image: str | None) -> Iterator[_Part]:
    """The polygons and lines of a file, or those of one photograph. Raises DataError for one that can't be drawn."""
    for number, feature in enumerate(_features(path)):
        if image is not None and feature.image() not in (image, Path(image).stem):
            continue
        where = f"{path}: features.{number}"
        vessel = rules.classes is None or not feature.classes().isdisjoint(rules.classes)
        geometry = feature.geometry
        for shape in geometry.geometries if isinstance(geometry, _Collection) else [geometry]:
            if isinstance(shape, _Polygon | _MultiPolygon):
                areas = [shape.coordinates] if isinstance(shape, _Polygon) else shape.coordinates
                for area in filter(None, areas):
                    rings = tuple(map(_points, area))
                    _check_rings(where, rings)
                    yield _Part(where, rings, None, vessel)
            elif shape is not None:
                lines = [shape.coordinates] if isinstance(shape, _Line) else shape.coordinates
                for line in filter(None, lines):
                    yield _Part(where, (_points(line),), _width(where, line, feature, rules), vessel)


def _features(path: Path) -> list[_Feature]:
    """A file's features. Raises DataError."""
    return _read(path, path.stat().st_mtime_ns if path.exists() else 0)


@lru_cache(maxsize=2)
def _read(path: Path, _: int) -> list[_Feature]:
    """A file's features, kept until it changes (its time is an argument): it may be asked for many photographs."""
    try:
        content = path.read_bytes()
        text = _text(content)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable annotation ({error}). Expected GeoJSON in UTF-8 or cp1251.") from None
    try:
        if text.lstrip().startswith("["):
            return _LIST.validate_json(text)
        root = _ROOT.validate_json(text)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        place = ".".join(map(str, wrong[0]["loc"]))
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise DataError(
            f"{path}: not a GeoJSON annotation: {place + ': ' if place else ''}{wrong[0]['msg']}{more}"
        ) from None
    return root.features if isinstance(root, _FeatureCollection) else [root]


def _text(content: bytes) -> str:
    """JSON by its own marks (UTF-8, UTF-16, byte order mark or none), else by the code page of Russian Windows."""
    try:
        return content.decode(json.detect_encoding(content))
    except UnicodeDecodeError:
        return content.decode("cp1251")


def _points(positions: list[list[float]]) -> Points:
    return np.array([position[:2] for position in positions], np.float64).reshape(-1, 2)


def _width(where: str, line: list[list[float]], feature: _Feature, rules: Rules) -> float:
    if len(line) < 2:
        raise DataError(f"{where}: a line of one position. Expected two or more.")
    width = feature.property("width")
    width = rules.line_width if width is None else width
    if width is None:
        raise DataError(f'{where}: a line without a width. Give it a property "width" in pixels, or all "line_width".')
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < _FARTHEST:
        raise DataError(f"{where}: its width is {width!r}. Expected a number of pixels above 0.")
    return float(width)


def _check_rings(where: str, rings: tuple[Points, ...]) -> None:
    """Raises DataError for rings that are open, too short, or cross themselves or one another."""
    shapely = _shapely()
    for ring in rings:
        if len(ring) < 4:
            raise DataError(f"{where}: a ring of {len(ring)} position(s). Expected four or more, the last the first.")
        if (ring[0] != ring[-1]).any():
            ends = " and ends at ".join(f"[{x:.10g}, {y:.10g}]" for x, y in (ring[0], ring[-1]))
            raise DataError(f"{where}: a ring that is not closed: it starts at {ends}. Expected the first one again.")
    polygon = shapely.Polygon(rings[0], rings[1:])
    if shapely.is_valid(polygon):
        return
    # What merely touches itself is not valid either, and yet clear. Where rings cross, the area that they go around
    # (by the shoelace formula) and the area that even-odd fills are not the same.
    if abs(polygon.area - shapely.make_valid(polygon).area) > _SLIP:
        reason = shapely.is_valid_reason(polygon)
        raise DataError(
            f"{where}: an outline that crosses itself or another of its polygon ({reason}): what is inside can't be "
            "told. Mend it there in the annotation tool."
        )


def _check_place(parts: list[_Part], shape: tuple[int, ...]) -> None:
    """Raises DataError where coordinates can't be pixels of a photograph of this `shape`."""
    if not parts:
        return
    height, width = shape
    size = f"{width} × {height}"
    every = np.concatenate([ring for part in parts for ring in part.rings])
    low, high = every.min(axis=0), every.max(axis=0)
    stray = [part for part in parts if _is_outside(part, shape)]
    fine = np.abs(every * 100 - np.round(every * 100)).max() > 1e-6  # QuPath writes two decimals
    within_degrees = (np.abs(every) <= (180, 90)).all() and width >= 360 and height >= 180
    tiny = (high - low).max() < 1  # all annotations together
    if (within_degrees and (fine or stray or tiny)) or (fine and tiny):
        raise DataError(
            f"{parts[0].where}: all coordinates lie within x {low[0]:.6g} to {high[0]:.6g}, y {low[1]:.6g} to "
            f"{high[1]:.6g}: degrees, or shares of a side, it seems. Expected pixels of a photograph of {size}; "
            "if they are, round them to two decimals."
        )
    if stray:
        points = stray[0].rings[0]
        x, y = points[np.abs(points - (width / 2, height / 2)).max(axis=1).argmax()]
        raise DataError(
            f"{stray[0].where}: it reaches to [{x:g}, {y:g}], outside of the photograph of {size} pixels. Was it drawn "
            f"on another photograph, or on another size of this one?{' y grows downward here.' if y < 0 else ''}"
        )


def _is_outside(part: _Part, shape: tuple[int, ...]) -> bool:
    """Whether none of it is in the photograph, or it reaches farther out than a hand slips."""
    points, size, reach = part.rings[0], shape[::-1], (part.width or 0) / 2
    elsewhere = (points.max(axis=0) < -reach).any() or (points.min(axis=0) > np.add(size, reach)).any()
    return bool(elsewhere or np.maximum(-points, points - size).max() > max(2.0, _OVERHANG * max(size)))
