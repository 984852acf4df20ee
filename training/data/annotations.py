"""GeoJSON annotations, as QuPath and tools like it write them: from outlines to a mask.

vesselrt.training.data.geojson says what a file may hold. Coordinates are [x, y] in pixels, y down, from the
photograph's top left corner: the centre of the pixel in row r and column c is at x = c + ½, y = r + ½.

- Polygon, MultiPolygon: a pixel is vessel where its centre lies inside by the even-odd rule, so rings after the first
  are holes. A centre on the outline itself counts at left and upper edges and not at right and lower ones: polygons
  that share an edge share no pixel. What the runtime writes along pixel edges gives its mask back exactly.
- LineString, MultiLineString: a pixel is vessel where its centre lies at most half the line's width from the line.
  Without a width it is an error: left out, a vessel would be missing. Lines that are no vessels need a class of
  their own, and `classes` in dataset.json.
- Points have no area and are left out. Features, and the parts of one, are united.

Where coordinates are multiples of ½, centres on an edge are decided exactly; otherwise in double precision.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import Facts
from vesselrt.runtime.output.outlines import import_shapely
from vesselrt.training.data.classes import ClassMarks, ClassRules, ClassTruth, check_declared
from vesselrt.training.data.drawing import Points, fill_line, fill_rings
from vesselrt.training.data.geojson import read_features
from vesselrt.training.data.shapes import MAX_COORDINATE, Feature, Line, MultiPolygon, Polygon

UNANNOTATED_ADVICE = 'where such photographs show no vessels, set "unannotated": "empty" in dataset.json'
"""What a message may advise."""

_MAX_OVERHANG = 0.02  # share of the longer side by which a hand may draw over the photograph's edge
_MAX_CROSSING = (
    1.0  # px²: a crossing no larger comes of rounded coordinates, or of a slip of the pen that no mask shows
)


class AnnotationRules(Facts):
    """What a file does not say: how the annotations of a data set are meant."""

    line_width: Annotated[float, Field(gt=0)] | None = None
    """Width in pixels of lines whose properties name none."""
    classes: tuple[str, ...] | dict[str, ClassMarks] | None = None
    """Names of the annotated classes that are vessel, null: all of them; or by name the classes to tell apart, and how
    each is marked."""
    ignore: ClassMarks | None = None
    """Beside classes to tell apart: what does not count."""
    background: ClassMarks | None = None
    """Beside them: pixels of a mask that belong to none; null: the black ones."""
    unannotated: Literal["refuse", "empty"] = "refuse"
    """A photograph without any annotation, or without the mask of a class, is an error, or one without vessels."""

    @property
    def class_rules(self) -> ClassRules | None:
        """Of classes to tell apart; None: there is but one."""
        if not isinstance(self.classes, dict):
            return None
        return ClassRules(classes=self.classes, ignore=self.ignore, background=self.background)


@dataclass(frozen=True)
class Annotation:
    """The annotation of one photograph: a file, or its share of one."""

    path: Path
    rules: AnnotationRules
    image: str | None = None
    """In a file for many photographs, which one: the name of its file."""

    def mask(self, height: int, width: int) -> Mask:
        """(height, width) bool, True = vessel, by the rules at the top of this module.

        Raises DataError, which names the file and the place in it, for what can't be an annotation of the photograph.
        """
        if self.rules.class_rules is not None:
            return np.asarray(self.class_truth(height, width, ["vessel"]).masks[0])
        names = self.rules.classes
        (mask,) = self._draw(height, width, [None if names is None else set(names)])
        return mask

    def class_truth(self, height: int, width: int, wanted: Sequence[str]) -> ClassTruth:
        """Each of the classes, of a photograph of this size. Raises as `mask` does, and for a class not declared."""
        rules = self.rules.class_rules or ClassRules(classes={})
        check_declared(self.path, wanted, list(rules.classes))
        groups: list[set[str] | None] = [annotated_names(name, rules.classes[name]) for name in wanted]
        if rules.ignore is not None:
            groups.append(set(rules.ignore.names))
        drawn = np.stack(self._draw(height, width, groups))
        return ClassTruth(drawn[: len(wanted)], None if rules.ignore is None else drawn[-1])

    def _draw(self, height: int, width: int, groups: Sequence[set[str] | None]) -> list[Mask]:
        """A mask (height, width) of each group: of the features that have one of these classes; None: of all."""
        masks = [np.zeros((height, width), bool) for _ in groups]
        if self.rules.unannotated == "empty" and not self.path.exists():
            return masks
        parts = list(_read_parts(self.path, self.rules, self.image, groups))
        if not parts and self.rules.unannotated == "refuse":
            raise DataError(
                f"{self.path}: it holds no annotation{f' of {self.image}' if self.image else ''}. Annotate the "
                f"photograph, or take it out; {UNANNOTATED_ADVICE}."
            )
        _check_place(parts, (height, width))
        for part in parts:
            for group in part.groups:
                if part.width is None:
                    fill_rings(masks[group], part.rings)
                else:
                    fill_line(masks[group], part.rings[0], part.width)
        return masks


def annotated_names(name: str, marks: ClassMarks) -> set[str]:
    """The annotated classes that count as the class of this name."""
    return set(marks.names or (name,))


def list_annotated_photographs(path: Path) -> set[str]:
    """The names, without folders, of the photographs that are annotated in a file for many.

    Raises DataError where a feature names none.
    """
    named = [feature.image() for feature in read_features(path)]
    if None in named:
        raise DataError(
            f"{path}: features.{named.index(None)}: it names no photograph. In a file for many, the properties of each "
            'feature need "image".'
        )
    return {name for name in named if name is not None}


def list_annotated_classes(path: Path) -> set[str]:
    """The classes that the features of a file have. Raises DataError."""
    return {name for feature in read_features(path) for name in feature.classes()}


@dataclass(frozen=True, eq=False)
class _Part:
    """A polygon or a line of a file."""

    where: str
    """For messages: the file and the place in it."""
    rings: tuple[Points, ...]
    """Of a polygon: the outside, then holes, each closed. Of a line: its points."""
    width: float | None
    """Of a line, in pixels; None: a polygon."""
    groups: tuple[int, ...]
    """Those that its class belongs to, by their place; none: it does not count."""


def _read_parts(
    path: Path, rules: AnnotationRules, image: str | None, groups: Sequence[set[str] | None]
) -> Iterator[_Part]:
    """The polygons and lines of a file, or those of one photograph. Raises DataError for one that can't be drawn."""
    for number, feature in enumerate(read_features(path)):
        if image is not None and feature.image() not in (image, Path(image).stem):
            continue
        where = f"{path}: features.{number}"
        classes = feature.classes()
        found = tuple(place for place, names in enumerate(groups) if names is None or not classes.isdisjoint(names))
        for shape in feature.shapes():
            if isinstance(shape, Polygon | MultiPolygon):
                areas = [shape.coordinates] if isinstance(shape, Polygon) else shape.coordinates
                for area in filter(None, areas):
                    rings = tuple(map(_points_from_positions, area))
                    _check_rings(where, rings)
                    yield _Part(where, rings, None, found)
            else:
                lines = [shape.coordinates] if isinstance(shape, Line) else shape.coordinates
                for line in filter(None, lines):
                    width = _line_width(where, line, feature, rules) if found else 0.0
                    yield _Part(where, (_points_from_positions(line),), width, found)


def _points_from_positions(positions: list[list[float]]) -> Points:
    return np.array([position[:2] for position in positions], np.float64).reshape(-1, 2)


def _line_width(where: str, line: list[list[float]], feature: Feature, rules: AnnotationRules) -> float:
    if len(line) < 2:
        raise DataError(f"{where}: a line of one position. Expected two or more.")
    width = feature.property("width")
    width = rules.line_width if width is None else width
    if width is None:
        raise DataError(
            f'{where}: a line without a width. Give it a property "width" in pixels, or all "line_width"; or a '
            'class that is not vessel, and name those that are in "classes" of dataset.json.'
        )
    if isinstance(width, bool) or not isinstance(width, int | float) or not 0 < width < MAX_COORDINATE:
        raise DataError(f"{where}: its width is {width!r}. Expected a number of pixels above 0.")
    return float(width)


def _check_rings(where: str, rings: tuple[Points, ...]) -> None:
    """Raises DataError for rings that are open, too short, or cross themselves or one another."""
    shapely = import_shapely("GeoJSON of annotations")
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
    if abs(polygon.area - shapely.make_valid(polygon).area) > _MAX_CROSSING:
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
    """Whether it lies outside of the photograph, or reaches farther over its edge than a slip of the hand."""
    points, size, reach = part.rings[0], shape[::-1], (part.width or 0) / 2
    elsewhere = (points.max(axis=0) < -reach).any() or (points.min(axis=0) > np.add(size, reach)).any()
    return bool(elsewhere or np.maximum(-points, points - size).max() > max(2.0, _MAX_OVERHANG * max(size)))
