"""Shapes whose figures are known in closed form, and how little their direction and size change what is measured."""

import math

import numpy as np
import pytest
from drawn_vessels import SIDE, Point, measured, turned, vessel

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.measures.fractals import measure_dimensions

MIDDLE = SIDE / 2
DIRECTIONS = (0, 10, 45, 63)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("width", [3.0, 13.0])
def test_a_straight_vessel(direction: float, width: float) -> None:
    ends = turned((100, MIDDLE), direction), turned((700, MIDDLE), direction)
    mask = vessel(ends, width)
    figures = measured(mask)
    # What was drawn has whole pixels; the rounded ends have the area of a disc.
    drawn = (mask.sum() - math.pi * width**2 / 4) / 600
    assert figures.calibre_mean_px == pytest.approx(drawn, rel=0.02, abs=0.1)
    assert figures.calibre_sd_px < 0.35
    assert figures.calibre_p5_px <= figures.calibre_p50_px <= figures.calibre_p95_px
    assert 598 < figures.length_px < 600 + width  # to its tips
    assert figures.tortuosity == pytest.approx(1, abs=0.008)
    assert figures.curvature_per_px < 0.002
    assert (figures.end_points, figures.branching_points, figures.crossings, figures.parts) == (2, 0, 0, 1)


@pytest.mark.parametrize("radius", [60, 240])
def test_an_arc_turns_by_its_radius(radius: float) -> None:
    angle = 0.9 * math.pi
    turns = np.linspace(0.3, 0.3 + angle, 300)
    figures = measured(vessel(np.stack([MIDDLE + radius * np.cos(turns), MIDDLE + radius * np.sin(turns)], 1), 6))
    assert figures.length_px == pytest.approx(radius * angle, rel=0.01)
    assert figures.tortuosity == pytest.approx((angle / 2) / math.sin(angle / 2), rel=0.01)
    assert figures.curvature_per_px * radius == pytest.approx(1, abs=0.04)
    assert figures.calibre_mean_px == pytest.approx(6, rel=0.02)


@pytest.mark.parametrize(("length", "height"), [(100, 5), (200, 30)])
def test_a_wave_turns_by_the_steepness_of_its_slopes(length: float, height: float) -> None:
    x = np.linspace(100, 700, 900)
    points = np.stack([x, MIDDLE + height * np.sin(2 * math.pi * (x - 100) / length)], 1)
    figures = measured(vessel(points, 6))
    along = np.hypot(*np.diff(points, axis=0).T).sum()
    turned_in_all = 4 * math.atan(height * 2 * math.pi / length) * 600 / length
    assert figures.length_px == pytest.approx(along, rel=0.01)
    assert figures.tortuosity == pytest.approx(along / 600, rel=0.01)
    assert figures.curvature_per_px == pytest.approx(turned_in_all / along, rel=0.05)


def branching(angle: float, direction: float) -> Mask:
    """A vessel that forks into two, `angle` degrees apart, the whole turned by `direction`."""
    half = math.radians(angle / 2)
    tips: list[Point] = [(MIDDLE + 280 * math.cos(half), MIDDLE + side * 280 * math.sin(half)) for side in (-1, 1)]
    trunk = vessel([turned((100, MIDDLE), direction), turned((MIDDLE, MIDDLE), direction)], 10)
    branches = [vessel([turned((MIDDLE, MIDDLE), direction), turned(tip, direction)], 7) for tip in tips]
    return np.asarray(trunk | branches[0] | branches[1])


@pytest.mark.parametrize("direction", [*DIRECTIONS, 30])
@pytest.mark.parametrize("angle", [60])
def test_a_branching_point_has_its_angle(angle: float, direction: float) -> None:
    figures = measured(branching(angle, direction))
    assert (figures.branching_points, figures.crossings, figures.end_points, figures.parts) == (1, 0, 3, 1)
    assert figures.branching_angle_mean == pytest.approx(angle, abs=6)
    assert math.isnan(figures.branching_angle_sd)
    assert figures.reasons["branching_angle_sd"].startswith("there are fewer than two")
    assert figures.length_px == pytest.approx(300 + 2 * 280, rel=0.02)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_two_vessels_that_cross_do_not_branch(direction: float) -> None:
    ends: list[tuple[Point, Point]] = [((100, MIDDLE), (700, MIDDLE)), ((MIDDLE, 150), (MIDDLE + 80, 650))]
    masks = [vessel([turned(begin, direction), turned(end, direction)], 7) for begin, end in ends]
    figures = measured(np.asarray(masks[0] | masks[1]))
    assert (figures.branching_points, figures.crossings, figures.end_points) == (0, 1, 4)


def test_a_reflex_in_a_vessel_is_no_ring_and_a_bump_on_its_edge_no_branch() -> None:
    mask = vessel([(100, MIDDLE), (700, MIDDLE)], 13)
    whole = measured(mask)
    mask[400, 300:302] = False  # a hole
    mask[406:410, 500:503] = True  # a bump
    assert mask[400, 299] and mask[405, 501]  # noqa: PT018
    figures = measured(mask)
    assert (figures.end_points, figures.branching_points, figures.crossings) == (2, 0, 0)
    assert figures.length_px == pytest.approx(whole.length_px, rel=0.01)


def test_a_ring_has_neither_ends_nor_nodes() -> None:
    distance = np.hypot(*(np.mgrid[:SIDE, :SIDE] - MIDDLE))
    figures = measured((distance > 97) & (distance < 103))
    assert (figures.end_points, figures.branching_points, figures.crossings, figures.parts) == (0, 0, 0, 1)
    assert figures.length_px == pytest.approx(2 * math.pi * 100, rel=0.015)
    assert figures.calibre_mean_px == pytest.approx(6, rel=0.02)
    assert math.isnan(figures.tortuosity)  # its ends are one point


def sierpinski(order: int) -> Mask:
    """(3^order, 3^order): the carpet."""
    carpet = np.ones((1, 1), bool)
    for _ in range(order):
        row = np.hstack([carpet] * 3)
        carpet = np.vstack([row, np.hstack([carpet, np.zeros_like(carpet), carpet]), row])
    return carpet


def test_dimensions_of_what_has_known_ones() -> None:
    exact = measure_dimensions(sierpinski(5), (3, 9, 27, 81))
    assert exact is not None
    # Each of 8 parts in 3 has as much of the whole as the others: all dimensions are the same.
    for dimension in (exact.capacity, exact.information, exact.correlation):
        assert dimension == pytest.approx(math.log(8) / math.log(3), abs=1e-9)
    plane = measure_dimensions(np.ones((1600, 1600), bool))
    line = measure_dimensions(np.eye(1600, dtype=bool))
    assert plane is not None
    assert line is not None
    assert plane.capacity == pytest.approx(2, abs=0.03)
    assert line.capacity == pytest.approx(1, abs=0.03)
    other_sizes = measure_dimensions(sierpinski(7))
    assert other_sizes is not None
    assert other_sizes.capacity == pytest.approx(math.log(8) / math.log(3), abs=0.03)  # the boxes don't fit its parts
    assert measure_dimensions(np.zeros((9, 9), bool)) is None


def test_a_triangle_of_sierpinski_has_one_dimension() -> None:
    rows, columns = np.mgrid[:1024, :1024]
    found = measure_dimensions((rows & columns) == 0, (32, 64, 128, 256))
    assert found is not None
    for dimension in (found.capacity, found.information, found.correlation):
        assert dimension == pytest.approx(math.log2(3), abs=1e-9)


def test_a_multifractal_has_the_dimensions_of_its_spectrum() -> None:
    """Each square gives its quarters 4, 2, 1 and 1 of 8 parts of its pixels, five times."""
    shares = np.ones((1, 1), int)
    for _ in range(5):
        shares = np.kron(shares, [[4, 2], [1, 1]])
    fill = np.arange(1024).reshape(32, 32)  # the fullest square, of 4^5 parts, has all of its pixels
    mask = np.vstack([np.hstack([fill < share for share in row]) for row in shares])
    found = measure_dimensions(mask, (32, 64, 128, 256, 512))
    assert found is not None
    parts = np.array([4, 2, 1, 1]) / 8
    assert found.capacity == pytest.approx(2, abs=1e-9)
    assert found.information == pytest.approx(-(parts * np.log2(parts)).sum(), abs=1e-9)
    assert found.correlation == pytest.approx(-np.log2((parts**2).sum()), abs=1e-9)


def test_the_width_of_vessels_is_no_part_of_the_pattern() -> None:
    """Some vessels are ten times as wide as others: no order must see them as planes."""
    mask = np.zeros((1600, 1600), bool)
    mask[785:815] = True
    broad = measure_dimensions(mask)
    assert broad is not None
    for dimension in (broad.capacity, broad.information, broad.correlation):
        assert dimension == pytest.approx(1, abs=0.06)
    for row in range(20, 1600, 130):
        mask[row : row + 3, 300:] = True
    found = measure_dimensions(mask)
    assert found is not None
    assert found.capacity > found.information > found.correlation > 1


def test_dimensions_fall_with_their_order() -> None:
    """A mask that is dense here and sparse there: the higher the order, the more the dense part counts."""
    random = np.random.default_rng(0)
    density = np.linspace(0, 0.05, 1000)[None] * np.ones((1000, 1))
    found = measure_dimensions(random.random((1000, 1000)) < density, (16, 32, 64, 128))
    assert found is not None
    assert found.capacity > 1.5
    assert found.capacity != found.information != found.correlation
