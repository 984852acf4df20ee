"""Where a photograph shows the retina: its fields of view, their boxes and diameters, found on a small copy.

A field of view is the lit disc, as far as the sensor shows it. There may be several, side by side, and a page around
them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import FieldOfViewError

ScaleSource = Literal["found", "told", "guessed"]

SURVEY = 256
"""px: fields of view are looked for on a reduced copy whose longest side has this to twice this."""
_EDGE_RISE = 0.12  # the field of view begins this far up from the background's level to the retina's
_MIN_RISE = 6.0  # grey levels: sensor noise and JPEG ringing stay below
_MIN_AREA = 0.05  # of the photograph: a smaller lit part is no field of view
_MAX_PAGE_RANGE = 6  # grey levels by which a page may vary: JPEG. A retina varies more even in a corner
_PAGE_EDGE_PIXELS = 2  # px of the survey: pixels between page and photograph are neither
_MIN_SECOND = 0.5  # of the largest diameter: what is smaller is an inset or a reflex
_MAX_WAIST = 0.85  # two discs that touch are this much narrower where they do; a single one, however cut, has no waist
_MIN_EDGE_POINTS = 12  # px of the survey: of a shorter arc, the circle is anybody's guess
_CORNER_SHARE = 0.03  # of a box's sides: so far inside a corner, a disc is dark and a rectangle is not
# Root mean square distance of a cut disc's visible edge from a circle, as a share of the radius.
_MAX_ROUNDNESS_ERROR = 0.02


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels: rows `top` to `bottom`, columns `left` to `right`, ends excluded.

    >>> centre = vesselrt.Box(top=300, left=300, bottom=500, right=600)
    >>> centre.height, centre.width
    (200, 300)
    """

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def longer(self) -> int:
        return max(self.height, self.width)

    def cut(self, image: NDArray[Any]) -> NDArray[Any]:
        """A view of the rectangle in `image` (H, W, ...)."""
        return image[self.top : self.bottom, self.left : self.right]

    def moved(self, down: int, right: int) -> "Box":
        return Box(self.top + down, self.left + right, self.bottom + down, self.right + right)


@dataclass(frozen=True)
class Scale:
    """How large one field of view is, and where. Everything is in pixels of the photograph.

    >>> scale = vesselrt.load().segment("photo.jpg").scale
    >>> scale.source, scale.box.width <= scale.diameter
    ('found', True)
    """

    box: Box
    """The part of the photograph that shows it."""
    diameter: float
    """Of the whole disc, which may be larger than what is shown of it."""
    source: ScaleSource
    """`found`: its edge was seen; `told`: by the caller; `guessed`: no edge was seen, the longer side was taken."""
    outline: tuple[tuple[int, int], ...]
    """x, y of the pixels at the corners of its convex hull."""

    def enlarged(self, factor: int, shape: tuple[int, int]) -> "Scale":
        """Of a photograph reduced by `factor`, in the pixels of the whole one, which is `shape` (height, width)."""
        height, width = shape
        box = self.box
        right, bottom = min(box.right * factor, width), min(box.bottom * factor, height)
        # The outermost pixels stay outermost: a disc that the frame cuts is not made smaller.
        outline = [
            (
                _enlarge_coordinate(x, factor, box.right - 1, right - 1),
                _enlarge_coordinate(y, factor, box.bottom - 1, bottom - 1),
            )
            for x, y in self.outline
        ]
        larger = Box(box.top * factor, box.left * factor, bottom, right)
        diameter = larger.longer if self.diameter == box.longer else self.diameter * factor
        return Scale(larger, diameter, self.source, tuple(outline))


def _enlarge_coordinate(place: int, factor: int, last: int, largest: int) -> int:
    if place >= last:
        return largest
    return place * factor + factor // 2 if place else 0


def mask_of(scales: Sequence[Scale], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool: the pixels of a photograph that lie in a field of view."""
    inside = np.zeros(shape, np.uint8)
    for scale in scales:
        cv2.fillConvexPoly(inside, np.array(scale.outline, np.int32), 1)
    return inside.view(bool)


def field_of_view(image: Image) -> Box:
    """The box of the largest field of view of `image` (H, W, 3) uint8. Raises FieldOfViewError as `find_scales`."""
    return find_scales(image)[0].box


def find_scales(image: Image, told: float | None = None) -> tuple[Scale, ...]:
    """The fields of view of `image` (H, W, 3) uint8 RGB, the largest first; there is at least one.

    The level of the surroundings is read at the corners; where they are as bright as the rest (a photograph cut inside
    the disc) the whole image is taken. A page around the photograph, of any one colour, is left out, and so are
    lettering and dust. `told`: the diameter in pixels, where it is known.

    Raises FieldOfViewError when the image is uniformly dark.
    """
    height, width = image.shape[:2]
    survey, step = survey_of(image)
    # A maximum over the channels: the surroundings are dark in all of them, the retina never is.
    red, green, blue = cv2.split(survey)
    grey = np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)
    page = _find_page(survey, grey)
    found = list(_scales_in_frame(grey)) if page is None else list(_scales_on_page(grey, page))
    if not found:  # a page and nothing else
        found = [_whole_frame(Box(0, 0, *grey.shape))]
    # In pixels of the survey, whose last ones may stand for fewer of the photograph than a step.
    scales = [scale.enlarged(step, (height, width)) for scale in found]
    if told is not None:
        scales = [replace(scale, diameter=told, source="told") for scale in scales]
    return tuple(sorted(scales, key=lambda scale: -scale.box.longer))


def survey_of(image: Image) -> tuple[Image, int]:
    """Every step-th row and column of (H, W, 3) uint8, and the step. Three channels in turn: numpy is slow with one."""
    step = max(1, max(image.shape[:2]) // SURVEY)
    return np.asarray(cv2.merge([np.ascontiguousarray(image[::step, ::step, c]) for c in range(3)]), np.uint8), step


def whole(shape: tuple[int, int], told: float | None = None) -> Scale:
    """A photograph (height, width) that is taken whole, with no edge to see."""
    scale = _whole_frame(Box(0, 0, *shape))
    return scale if told is None else replace(scale, diameter=told, source="told")


def _whole_frame(box: Box) -> Scale:
    right, bottom = box.right - 1, box.bottom - 1
    outline = ((box.left, box.top), (right, box.top), (right, bottom), (box.left, bottom))
    return Scale(box, box.longer, "guessed", outline)


def _find_page(survey: Image, grey: Image) -> Image | None:
    """What surrounds the photograph in one flat colour, as bright as a retina, 1 in 0; None where nothing does.

    It must fill three corners at least: a photograph may fill the fourth, but no retina is as flat as a page.
    """
    side = max(2, min(grey.shape) // 40)
    ends = (slice(side), slice(-side, None))
    corners = np.array([np.median(survey[y, x], axis=(0, 1)) for y in ends for x in ends])  # (4, 3)
    colour = np.sort(corners, axis=0)[1:3].mean(axis=0)
    dark = colour.max() < 2 * _MIN_RISE or colour.max() <= 0.5 * _bright_level(grey)
    if dark or (np.abs(corners - colour).max(axis=1) <= _MAX_PAGE_RANGE).sum() < 3:
        return None
    low, high = np.clip(colour - _MAX_PAGE_RANGE, 0, 255), np.clip(colour + _MAX_PAGE_RANGE, 0, 255)
    alike = cv2.inRange(survey, low, high)
    labels = cv2.connectedComponents(alike)[1]
    at = {int(labels[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    page = np.isin(labels, list(at)).astype(np.uint8)
    return np.asarray(cv2.dilate(page, np.ones((2 * _PAGE_EDGE_PIXELS + 1,) * 2, np.uint8)), np.uint8)


def _scales_on_page(grey: Image, page: Image) -> Iterator[Scale]:
    """The fields of view of every photograph on a page."""
    content = 1 - page
    _, _, stats, _ = cv2.connectedComponentsWithStats(content)
    areas = stats[1:, cv2.CC_STAT_AREA]
    for left, top, across, down, area in stats[1:]:
        if area < max(_MIN_AREA * grey.size / 4, _MIN_SECOND**2 / 2 * areas.max()):  # lettering
            continue
        frame = Box(int(top), int(left), int(top + down), int(left + across))
        try:
            found = list(_scales_in_frame(frame.cut(grey * content)))
        except FieldOfViewError:
            continue
        for scale in found:
            outline = tuple((x + frame.left, y + frame.top) for x, y in scale.outline)
            yield replace(scale, box=scale.box.moved(frame.top, frame.left), outline=outline)


def _scales_in_frame(grey: Image) -> Iterator[Scale]:
    """The fields of view of one photograph, in pixels of its survey. Raises FieldOfViewError."""
    grey = np.asarray(cv2.blur(grey, (3, 3)), np.uint8)
    corner = max(2, min(grey.shape) // 40)
    corners = [grey[:corner, :corner], grey[:corner, -corner:], grey[-corner:, :corner], grey[-corner:, -corner:]]
    # The second darkest corner: a camera's notch or a burnt-in date may fill the others.
    background = float(np.sort([np.median(c) for c in corners])[1])
    bright = _bright_level(grey)
    if bright < _MIN_RISE:
        raise FieldOfViewError(
            f"the photograph is black: 95 % of its pixels are at or below {bright:.0f} of 255. "
            "Send a photograph with a visible field of view."
        )
    lit = (grey > background + max(_MIN_RISE, _EDGE_RISE * (bright - background))).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(lit)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if count < 2 or background > 0.5 * bright or areas.max() < _MIN_AREA * grey.size:
        yield _whole_frame(Box(0, 0, *grey.shape))
        return
    order = 1 + np.argsort(-areas, kind="stable")
    first = list(_split_touching_discs((labels == order[0]).astype(np.uint8)))
    longest = max(_bounding_box(disc).longer for disc in first)
    for disc in first:
        yield _scale_from_disc(disc)
    for label in order[1:]:
        if max(stats[label, cv2.CC_STAT_WIDTH], stats[label, cv2.CC_STAT_HEIGHT]) < _MIN_SECOND * longest:
            continue
        for disc in _split_touching_discs((labels == label).astype(np.uint8)):
            if _bounding_box(disc).longer >= _MIN_SECOND * longest and _is_disc(disc):
                yield _scale_from_disc(disc)


def _bright_level(grey: Image) -> float:
    """What 95 % of the pixels are at or below: numpy's percentile, by counting, in a fifth of its time."""
    below = np.cumsum(cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel())
    place = 0.95 * (grey.size - 1)
    low, high = np.searchsorted(below, [math.floor(place), math.ceil(place)], side="right")
    return float(low + (high - low) * (place % 1))


def _split_touching_discs(lit: Image) -> Iterator[Image]:
    """A connected part of a survey, 1 in 0, or the discs of which it consists: cut where they touch."""
    filled = np.asarray(cv2.drawContours(np.zeros_like(lit), _outer_contours(lit), -1, 1, -1), np.uint8)
    for axis in (0, 1):
        at = _find_waist(np.count_nonzero(filled, axis=axis))
        if at is None:
            continue
        halves = [lit.copy(), lit.copy()]
        np.moveaxis(halves[0], 1 - axis, 0)[at:] = 0
        np.moveaxis(halves[1], 1 - axis, 0)[:at] = 0
        sides = sorted(_bounding_box(half).longer for half in halves)
        if sides[0] >= _MIN_SECOND * sides[1] and all(_is_disc(half) for half in halves):
            for half in halves:
                yield from _split_touching_discs(half)
            return
    yield lit


def _find_waist(widths: NDArray[np.intp]) -> int | None:
    """Where a shape with these widths, one a row or column, is narrower than on either side of it; None: nowhere."""
    smaller = np.minimum(np.maximum.accumulate(widths), np.maximum.accumulate(widths[::-1])[::-1])
    between = np.where(2 * smaller >= widths.max(), widths / np.maximum(smaller, 1), 1.0)
    at = int(between.argmin())
    return at if between[at] < _MAX_WAIST else None


def _is_disc(lit: Image) -> bool:
    """Whether a part of a survey is round, as a field of view is, and not a panel, lettering or a shadow."""
    return _fit_circle(_edge_points(lit, _bounding_box(lit))) is not None


def _edge_points(lit: Image, box: Box) -> NDArray[np.int32]:
    """x, y (K, 2) of the pixels along the outside of a part, without those along the sides of `box`."""
    outside = max(_outer_contours(lit), key=len).reshape(-1, 2)
    low, high = np.array([box.left, box.top]), np.array([box.right, box.bottom])
    return np.asarray(outside[((outside > low + 2) & (outside < high - 3)).all(axis=1)], np.int32)


def _outer_contours(lit: Image) -> Sequence[NDArray[np.int32]]:
    """The outer pixels of each connected part, (K, 1, 2) x, y."""
    return cv2.findContours(lit, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]  # type: ignore[return-value]


def _count_dark_corners(lit: Image, box: Box) -> int:
    part = box.cut(lit)
    y, x = round(_CORNER_SHARE * box.height), round(_CORNER_SHARE * box.width)
    return sum(not part[row, column] for row in (y, -1 - y) for column in (x, -1 - x))


def _bounding_box(lit: Image) -> Box:
    left, top, across, down = cv2.boundingRect(lit)
    return Box(top, left, top + down, left + across)


def _scale_from_disc(lit: Image) -> Scale:
    """The field of view that is this part of a survey, 1 in 0; not empty."""
    box = _bounding_box(lit)
    shrunk = np.asarray(cv2.erode(lit, np.ones((3, 3), np.uint8)), np.uint8)  # the blur has spread it by one
    edges = _outer_contours(shrunk if shrunk.any() else lit)
    outline = cv2.convexHull(np.concatenate(edges)).reshape(-1, 2)
    diameter = _disc_diameter(lit, box)
    source: ScaleSource = "guessed" if diameter is None else "found"
    return Scale(box, diameter or box.longer, source, tuple((int(x), int(y)) for x, y in outline))


def _disc_diameter(lit: Image, box: Box) -> float | None:
    """Of a disc, by as much of its edge as the frame shows; None where that is too little."""
    height, width = lit.shape
    if not _count_dark_corners(lit, box):
        return None
    if (box.left > 0 and box.right < width) or (box.top > 0 and box.bottom < height):
        return box.longer
    return _fit_circle(_edge_points(lit, box))


def _fit_circle(edge: NDArray[np.int32]) -> float | None:
    """The diameter of the circle through points x, y (K, 2) by least squares; None where they lie on none."""
    if len(edge) < _MIN_EDGE_POINTS:
        return None
    points = edge.astype(np.float64)
    # x² + y² = 2 a x + 2 b y + c, whose centre is (a, b).
    unknown = np.linalg.lstsq(np.column_stack([2 * points, np.ones(len(points))]), (points**2).sum(axis=1), rcond=None)
    *centre, rest = unknown[0]
    radius = float(np.sqrt(max(0.0, rest + centre[0] ** 2 + centre[1] ** 2)))
    away = np.hypot(*(points - centre).T) - radius
    return 2 * radius if np.sqrt((away**2).mean()) < _MAX_ROUNDNESS_ERROR * radius else None
