"""Masks, overlays and outlines: every pixel of what is written is known beforehand."""

import io
import json
import re
import tracemalloc
from typing import Any, Literal

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image as Pillow

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.output.encode import (
    FORMATS,
    MEDIA_TYPES,
    SUFFIXES,
    Mask,
    Polygon,
    count_levels,
    density,
    document,
    encode,
    polygons,
    threshold_mask,
)

RAMP: Image = np.arange(256, dtype=np.uint8).reshape(16, 16)
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


def drawn(picture: str) -> Mask:
    return np.array([[pixel == "#" for pixel in row.strip()] for row in picture.split()])


def filled(rings: list[Any], shape: tuple[int, ...]) -> Mask:
    """Even-odd filling, pixel by pixel: an edge down the left of a pixel turns everything to its right."""
    mask = np.zeros(shape, bool)
    for ring in rings:
        for (x, y), (next_x, next_y) in zip(ring, [*ring[1:], ring[0]], strict=True):
            assert x == next_x or y == next_y, "an outline runs along the edges of pixels"
            if x == next_x:
                mask[min(y, next_y) : max(y, next_y), x:] ^= True
    return mask


def probability_of(mask: Mask) -> Image:
    return mask.astype(np.uint8) * np.uint8(255)


def black(shape: tuple[int, ...]) -> Image:
    return np.zeros((*shape, 3), np.uint8)


def decoded(png: bytes) -> NDArray[Any]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return np.asarray(Pillow.open(io.BytesIO(png)))


def svg_rings(svg: str) -> list[list[tuple[int, int]]]:
    (path,) = re.findall(r' d="([^"]*)"', svg)
    assert re.fullmatch(r"(M\d+ \d+(L\d+ \d+)*Z)*", path)
    return [[(int(x), int(y)) for x, y in re.findall(r"(\d+) (\d+)", ring)] for ring in path.split("Z")[:-1]]


def geojson_polygons(content: bytes) -> list[list[list[list[int]]]]:
    geometry = json.loads(content)["features"][0]["geometry"]
    assert geometry["type"] == "MultiPolygon"
    coordinates: list[list[list[list[int]]]] = geometry["coordinates"]
    return coordinates


def test_a_probability_equal_to_the_threshold_is_vessel() -> None:
    for k in range(256):
        assert RAMP[threshold_mask(RAMP, k / 255)].tolist() == [*range(k, 256)]


@UNHURRIED
@given(st.floats(0, 1))
def test_the_threshold_rule_in_plain_arithmetic(threshold: float) -> None:
    assert threshold_mask(RAMP, threshold).ravel().tolist() == [p >= threshold * 255 for p in range(256)]


@pytest.mark.parametrize(
    ("threshold", "least"), [(0, 0), (1, 255), (0.5, 128), (np.nextafter(0, 1), 1), (127.5 / 255, 128)]
)
def test_the_least_value_that_passes(threshold: float, least: int) -> None:
    assert RAMP[threshold_mask(RAMP, threshold)].min() == least


@pytest.mark.parametrize(
    ("threshold", "name"), [(float("nan"), "nan"), (1.5, "1.5"), (-0.1, "-0.1"), (float("inf"), "inf")]
)
@pytest.mark.parametrize("form", ["mask", "overlay", "svg", "geojson"])
def test_a_threshold_out_of_range_is_refused(threshold: float, name: str, form: str) -> None:
    with pytest.raises(OptionError) as caught:
        encode(RAMP, black(RAMP.shape), form, threshold)
    assert str(caught.value) == f"threshold {name} is not within 0 to 1."


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(OptionError) as caught:
        encode(RAMP, black(RAMP.shape), "jpeg", 0.5)
    assert (
        str(caught.value) == "unknown format 'jpeg'. Expected one of: mask, probability, overlay, svg, geojson, json."
    )


def test_every_format_has_a_media_type_and_a_suffix() -> None:
    assert FORMATS == ("mask", "probability", "overlay", "svg", "geojson", "json")
    assert set(FORMATS) == set(MEDIA_TYPES) == set(SUFFIXES)


@UNHURRIED
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=20)), st.floats(0, 1))
def test_png_masks_and_probabilities_come_back_unchanged(probability: Image, threshold: float) -> None:
    image = black(probability.shape)
    np.testing.assert_array_equal(decoded(encode(probability, image, "probability", threshold)), probability)
    mask = decoded(encode(probability, image, "mask", threshold))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, np.where(probability >= threshold * 255, 255, 0))


def test_overlay_by_hand() -> None:
    # 0.45 of the photograph and 0.55 of the green (0, 255, 102), rounded.
    image = np.array([[[200, 100, 50], [200, 100, 50]], [[0, 0, 0], [255, 255, 255]]], np.uint8)
    before = image.copy()
    overlay = decoded(encode(np.array([[255, 0], [255, 255]], np.uint8), image, "overlay", 0.5))
    assert overlay.tolist() == [[[90, 185, 79], [200, 100, 50]], [[0, 140, 56], [115, 255, 171]]]
    np.testing.assert_array_equal(image, before)
    # With a quarter of another colour, (51, 204, 255).
    overlay = decoded(encode(np.array([[255, 0], [255, 255]], np.uint8), image, "overlay", 0.5, "#33CCff", 0.25))
    assert overlay.tolist() == [[[163, 126, 101], [200, 100, 50]], [[13, 51, 64], [204, 242, 255]]]


@pytest.mark.parametrize("opacity", [0.0, 1.0])
def test_an_overlay_is_the_photograph_at_0_and_the_colour_at_1(opacity: float) -> None:
    image = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    probability = np.full((5, 7), 255, np.uint8)
    expected = image if opacity == 0 else np.full_like(image, (1, 2, 255))
    np.testing.assert_array_equal(decoded(encode(probability, image, "overlay", 1, "#0102ff", opacity)), expected)


@pytest.mark.parametrize("opacity", [0.0, 0.1, 0.25, 0.5, 0.55, 1 / 3, 0.9, 1.0])
@pytest.mark.parametrize("band", [100, 2**20])
def test_an_overlay_is_rounded_as_real_numbers_are(opacity: float, band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesselrt.runtime.output.encode._BAND", band)  # of 768 pixels: the last one is not full
    image = np.random.default_rng(2).permuted(np.tile(np.arange(256, dtype=np.uint8), (3, 3)), axis=1).T
    image = np.ascontiguousarray(image).reshape(24, 32, 3)
    mask = np.random.default_rng(3).random((24, 32)) < 0.7
    blended = image * (1 - opacity) + np.array([51, 204, 255]) * opacity + 0.5
    expected = np.where(mask[:, :, None], blended.astype(np.uint8), image)
    png = encode(probability_of(mask), image, "overlay", 0.5, "#33ccff", opacity)
    np.testing.assert_array_equal(decoded(png), expected)


def test_levels_are_counted_inside_and_give_the_density(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vesselrt.runtime.output.encode._BAND", 40)
    random = np.random.default_rng(4)
    probability, inside = random.integers(0, 256, (23, 17), np.uint8), random.random((23, 17)) < 0.4
    levels = count_levels(probability, inside)
    np.testing.assert_array_equal(levels, np.bincount(probability[inside], minlength=256))
    for threshold in (0.0, 0.1, 0.5, 128 / 255, 1.0):
        assert density(levels, threshold) == np.mean(threshold_mask(probability, threshold)[inside])
    assert density(count_levels(probability, np.zeros_like(inside)), 0.5) == 0


@pytest.mark.parametrize(("form", "most"), [("mask", 2), ("overlay", 4), ("document", 5)])
def test_bytes_a_pixel(form: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A mask has 1, an overlay 3, the labels of parts 4.
    monkeypatch.setattr("vesselrt.runtime.output.encode._BAND", 10_000)
    probability = np.zeros((2000, 3000), np.uint8)
    image, mask = black(probability.shape), probability == 0
    tracemalloc.start()
    try:
        if form == "document":
            document(mask, count_levels(probability, mask), 0)
        else:
            encode(probability, image, form, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / probability.size < most + 0.5


@pytest.mark.parametrize("form", ["overlay", "svg"])
@pytest.mark.parametrize("colour", ["red", "#0f6", "00ff66", "#00ff6g", '#"/><a>', "#00ff66\n", ""])
def test_what_is_no_colour_is_refused(form: str, colour: str) -> None:
    with pytest.raises(OptionError) as caught:
        encode(RAMP, black(RAMP.shape), form, 0.5, colour)
    assert str(caught.value) == f"colour is {colour!r}. Expected red, green and blue, such as #00ff66."


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_an_opacity_out_of_range_is_refused(opacity: float) -> None:
    with pytest.raises(OptionError, match=rf"^opacity {opacity} is not within 0 to 1\.$"):
        encode(RAMP, black(RAMP.shape), "overlay", 0.5, opacity=opacity)


def test_outlines_have_the_colour() -> None:
    probability = np.full((3, 4), 255, np.uint8)
    assert encode(probability, black((3, 4)), "svg", 0.5, "#33ccff").count(b'fill="#33ccff"') == 1


def check_outlines(mask: Mask) -> None:
    """Whatever the form, filling the outlines gives the mask, and the polygons are the parts that labelling finds."""
    probability, image = probability_of(mask), black(mask.shape)
    svg = encode(probability, image, "svg", 0.5).decode()
    np.testing.assert_array_equal(filled(svg_rings(svg), mask.shape), mask)

    found = geojson_polygons(encode(probability, image, "geojson", 0.5))
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
        outlines = polygons(mask, connectivity)
        count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=connectivity)
        assert len(outlines) == count - 1
        for outline in outlines:
            part = filled([ring.tolist() for ring in outline], mask.shape)
            (label,) = np.unique(labels[part])
            np.testing.assert_array_equal(part, labels == label)
            surroundings = np.pad(~part, 1, constant_values=True).astype(np.uint8)
            around = cv2.connectedComponents(surroundings, connectivity=4)[0] - 1
            assert len(outline) == around
    check_validity(polygons(mask))


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
    found = [[sorted(map(tuple, ring.tolist())) for ring in rings] for rings in polygons(drawn(RING))]
    assert sorted(found) == [
        [[(0, 0), (0, 7), (7, 0), (7, 7)], [(1, 1), (1, 6), (6, 1), (6, 6)]],
        [[(2, 2), (2, 5), (5, 2), (5, 5)], [(3, 3), (3, 4), (4, 3), (4, 4)]],
    ]


def test_straight_runs_are_one_edge() -> None:
    ((ring,),) = polygons(np.ones((20, 30), bool))
    assert len(ring) == 4


def test_svg_as_a_file() -> None:
    svg = encode(probability_of(drawn(".#.\n...")), black((2, 3)), "svg", 0.5).decode()
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 3 2" width="3" height="2">')
    assert svg.endswith('"/></svg>\n')
    assert 'fill-rule="evenodd"' in svg
    ((*ring,),) = svg_rings(svg)
    assert sorted(ring) == [(1, 0), (1, 1), (2, 0), (2, 1)]


def test_geojson_as_a_file() -> None:
    content = json.loads(encode(probability_of(drawn("..\n..")), black((2, 2)), "geojson", 0.25))
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
