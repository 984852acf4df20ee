"""Outlines of masks: filled again they give the mask, and geometry libraries find them valid."""

import json
import re
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from results import drawn, probability_of, write_as

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.output.outlines import (
    MAX_LOSSLESS_SIMPLIFY,
    Polygon,
    geojson_from_mask,
    svg_from_mask,
    trace_polygons,
)

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))
CONNECTIVITIES: tuple[Literal[4], Literal[8]] = (4, 8)
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other work may share the cores
RING = """
    #######
    #.....#
    #.###.#
    #.#.#.#
    #.###.#
    #.....#
    #######
"""
SHAPES = {
    "empty": "...\n...",
    "full": "###\n###",
    "one pixel": "#",
    "one pixel inside": "...\n.#.\n...",
    "hole of one pixel": "###\n#.#\n###",
    "diagonal": "#..\n.#.\n..#",
    "other diagonal": "..#\n.#.\n#..",
    "chessboard": "#.#.\n.#.#\n#.#.\n.#.#",
    "holes that touch at a corner": "####\n#.##\n##.#\n####",
    "ring in a ring": RING,
    "open to the border": "#.#\n#.#\n###",
    "vessel of one pixel": ".....\n#####\n.....",
    "ring closed by a corner": "###.\n#.##\n##..\n.###",
    "ring closed by four corners": ".#.\n#.#\n.#.",
}


def filled(rings: list[Any], shape: tuple[int, ...]) -> Mask:
    """Even-odd filling, pixel by pixel: an edge down the left of a pixel turns everything to its right."""
    mask = np.zeros(shape, bool)
    for ring in rings:
        for (x, y), (next_x, next_y) in zip(ring, [*ring[1:], ring[0]], strict=True):
            assert x == next_x or y == next_y, "an outline runs along the edges of pixels"
            if x == next_x:
                mask[min(y, next_y) : max(y, next_y), x:] ^= True
    return mask


def svg_rings(svg: str) -> list[list[tuple[int, int]]]:
    (path,) = re.findall(r' d="([^"]*)"', svg)
    assert re.fullmatch(r"(M\d+ \d+(L\d+ \d+)*Z)*", path)
    return [[(int(x), int(y)) for x, y in re.findall(r"(\d+) (\d+)", ring)] for ring in path.split("Z")[:-1]]


def geojson_polygons(content: bytes) -> list[list[list[list[int]]]]:
    geometry = json.loads(content)["features"][0]["geometry"]
    assert geometry["type"] == "MultiPolygon"
    coordinates: list[list[list[list[int]]]] = geometry["coordinates"]
    return coordinates


def check_outlines(mask: Mask) -> None:
    """Whatever the form, filling the outlines gives the mask, and the polygons are the parts that labelling finds."""
    probability = probability_of(mask)
    svg = write_as("svg", probability).decode()
    np.testing.assert_array_equal(filled(svg_rings(svg), mask.shape), mask)

    found = geojson_polygons(write_as("geojson", probability))
    covered = np.zeros(mask.shape, int)
    for rings in found:
        for ring in rings:
            assert ring[0] == ring[-1]
            assert len(ring) >= 5
        shell, *holes = (filled([ring[:-1]], mask.shape) for ring in rings)
        for hole in holes:
            assert hole.any()
            assert not (hole & ~shell).any()
        covered += filled([ring[:-1] for ring in rings], mask.shape)
    np.testing.assert_array_equal(covered, mask)  # also: no two polygons cover one pixel

    for connectivity in CONNECTIVITIES:
        outlines = trace_polygons(mask, connectivity)
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=connectivity)
        assert len(outlines) == count - 1
        for outline in outlines:
            part = filled([ring.tolist() for ring in outline], mask.shape)
            (label,) = np.unique(labels[part])
            np.testing.assert_array_equal(part, labels == label)
            surroundings = np.pad(~part, 1, constant_values=True).astype(np.uint8)
            around = cv2.connectedComponents(surroundings, connectivity=4)[0] - 1
            assert len(outline) == around
    check_validity(trace_polygons(mask))


def check_validity(outlines: list[Polygon]) -> None:
    """By the book (OGC 06-103r4), and oriented: shells counterclockwise as the numbers go, holes clockwise."""
    for shell, *holes in outlines:
        assert shapely.is_ccw(shapely.LinearRing(shell))
        assert not any(shapely.is_ccw(shapely.LinearRing(hole)) for hole in holes)
    whole = shapely.MultiPolygon([(shell, holes) for shell, *holes in outlines])
    assert shapely.is_valid(whole), shapely.is_valid_reason(whole)


@pytest.mark.parametrize("picture", SHAPES.values(), ids=SHAPES)
def test_filling_the_outlines_of_a_drawing_gives_it_back(picture: str) -> None:
    check_outlines(drawn(picture))


@UNHURRIED
@given(MASKS)
def test_filling_the_outlines_of_any_mask_gives_it_back(mask: Mask) -> None:
    check_outlines(mask)


@UNHURRIED
@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.integers(1, 24), st.floats(0.05, 0.95))
def test_filling_the_outlines_of_noise_gives_it_back(seed: int, height: int, width: int, share: float) -> None:
    check_outlines(np.random.default_rng(seed).random((height, width)) < share)


def test_polygons_of_a_ring_in_a_ring_by_hand() -> None:
    found = [[sorted(map(tuple, ring.tolist())) for ring in rings] for rings in trace_polygons(drawn(RING))]
    assert sorted(found) == [
        [[(0, 0), (0, 7), (7, 0), (7, 7)], [(1, 1), (1, 6), (6, 1), (6, 6)]],
        [[(2, 2), (2, 5), (5, 2), (5, 5)], [(3, 3), (3, 4), (4, 3), (4, 4)]],
    ]


def test_straight_runs_are_one_edge() -> None:
    ((ring,),) = trace_polygons(np.ones((20, 30), bool))
    assert len(ring) == 4


def test_svg_as_a_file() -> None:
    svg = write_as("svg", probability_of(drawn(".#.\n..."))).decode()
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3 2" width="3" height="2">')
    assert svg.endswith('"/></svg>\n')
    assert 'fill-rule="evenodd" data-threshold="0.5"' in svg
    ((*ring,),) = svg_rings(svg)
    assert sorted(ring) == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_geojson_as_a_file() -> None:
    content = json.loads(write_as("geojson", probability_of(drawn("..\n..")), 0.25))
    assert content == {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "MultiPolygon", "coordinates": []},
                "properties": {
                    "objectType": "annotation",
                    "classification": {"name": "vessel", "color": [0, 255, 102]},
                    "threshold": 0.25,
                },
            }
        ],
    }


@UNHURRIED
@given(MASKS, st.sampled_from([0.01, 0.2, MAX_LOSSLESS_SIMPLIFY, 1.0]))
def test_svg_and_geojson_have_the_same_simplified_outlines(mask: Mask, simplify: float) -> None:
    svg = svg_from_mask(mask, simplify=simplify).decode()
    drawn_rings = [
        [[float(x), float(y)] for x, y in re.findall(r"([\d.]+) ([\d.]+)", ring)]
        for ring in re.findall(r"M([^Z]*)Z", svg)
    ]
    found = geojson_polygons(geojson_from_mask(mask, simplify=simplify))
    assert drawn_rings == [ring[:-1] for rings in found for ring in rings]


def test_a_simplified_outline_has_fewer_points() -> None:
    disc = np.hypot(*(np.mgrid[:80, :80] - 40)) < 30
    sizes = [len(svg_from_mask(disc, simplify=simplify)) for simplify in (0.0, MAX_LOSSLESS_SIMPLIFY, 2.0)]
    assert sizes[0] > sizes[1] > sizes[2]
