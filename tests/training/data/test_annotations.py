"""Masks of GeoJSON annotations, drawn by hand and by a library, and what counts as vessel."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from geojson_files import (
    HAND_DRAWN,
    SQUARE,
    SQUARE_OF_FIVE,
    UNHURRIED,
    collection,
    drawn,
    feature,
    line,
    mask_of,
    polygon,
    written,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vesselrt.runtime.errors import DataError
from vesselrt.training.data.annotations import Annotation, AnnotationRules, list_annotated_photographs


@pytest.mark.parametrize(("geometry", "picture"), HAND_DRAWN.values(), ids=HAND_DRAWN)
def test_masks_by_hand(geometry: Any, picture: str, tmp_path: Path) -> None:
    np.testing.assert_array_equal(mask_of(tmp_path, feature(geometry, width=1)), drawn(picture))


def test_polygons_that_share_a_slanted_edge_share_no_pixel_and_leave_none_out(tmp_path: Path) -> None:
    corners = [[0, 0], [40, 0], [40, 30], [0, 30]]
    for middle in ([13.5, 7.5], [20, 15], [7.13, 22.97]):
        fan = [polygon([a, b, middle, a]) for a, b in zip(corners, [*corners[1:], corners[0]], strict=True)]
        total = sum(mask_of(tmp_path, feature(part), 30, 40).astype(int) for part in fan)
        np.testing.assert_array_equal(total, 1)


@pytest.mark.parametrize("width", [1, 2.5, 3, 8])
def test_lines_against_the_distance_to_each_centre(width: float, tmp_path: Path) -> None:
    points = [[3, 4], [31, 9.5], [31, 38], [2.25, 30], [20, 12], [20, 12]]
    rows, columns = np.mgrid[:40, :50]
    centres = shapely.points(columns + 0.5, rows + 0.5)
    expected = shapely.distance(centres, shapely.LineString(points)) <= width / 2
    np.testing.assert_array_equal(mask_of(tmp_path, feature(line(*points), width=width), 40, 50), expected)


@UNHURRIED
@given(arrays(np.int64, (7, 2), elements=st.integers(-4, 44)), st.sampled_from([1, 0.5, 0.01]))
def test_polygons_against_a_library(tmp_path: Path, points: Any, unit: float) -> None:
    """Everywhere but on the outline itself, which libraries count to neither side."""
    hull = shapely.convex_hull(shapely.MultiPoint(points * unit + 0.003))
    # Too small to be one, or wholly outside of the photograph, which is an error of its own.
    if not isinstance(hull, shapely.Polygon) or hull.area < 1.5 or min(hull.bounds[2:]) <= 0:
        return
    rows, columns = np.mgrid[:20, :22]
    centres = shapely.points(columns + 0.5, rows + 0.5)
    shape = feature(polygon(np.round(shapely.get_coordinates(hull), 3).tolist()))
    hull = shapely.from_geojson(json.dumps(shape["geometry"]))
    found = mask_of(tmp_path, shape, 300, 300)[:20, :22]
    clear = shapely.distance(hull.exterior, centres) > 1e-6
    np.testing.assert_array_equal(found & clear, shapely.contains(hull, centres) & clear)


def test_classes_that_count(tmp_path: Path) -> None:
    right = [[5, 1], [6, 1], [6, 4], [5, 4], [5, 1]]
    for name in ("vessel", {"name": "vessel"}, {"names": ["eye", "vessel"]}, "eye: vessel", {"name": "eye: vessel"}):
        content = [feature(polygon(SQUARE), classification=name), feature(polygon(right), classification="Ignore*")]
        assert mask_of(tmp_path, content).sum() == 12
        assert mask_of(tmp_path, content, rules=AnnotationRules(classes=("vessel",))).sum() == 9
    content = [feature(polygon(SQUARE), classification="vessel"), feature(polygon(right), classification="Ignore*")]
    assert mask_of(tmp_path, content, rules=AnnotationRules(classes=("vein", "Ignore*"))).sum() == 3
    assert not mask_of(
        tmp_path, content, rules=AnnotationRules(classes=("vein",))
    ).any()  # annotated: just not with vessels


def test_the_width_of_lines(tmp_path: Path) -> None:
    one, three = [feature(line([1.5, 2.5], [3.5, 2.5]), width=1)], [feature(line([1.5, 2.5], [3.5, 2.5]))]
    assert mask_of(tmp_path, three, rules=AnnotationRules(line_width=3)).sum() == 15  # 3 × 3, and 3 at each end
    assert mask_of(tmp_path, one, rules=AnnotationRules(line_width=3)).sum() == 3  # its own goes first
    with pytest.raises(
        DataError, match=r'features\.0: a line without a width\. .* "width" in pixels, or .*"line_width"'
    ):
        mask_of(tmp_path, three)


def test_a_line_that_is_no_vessel_needs_no_width(tmp_path: Path) -> None:
    content = [feature(polygon(SQUARE), classification="vessel"), feature(line([0, 0], [5, 5]), classification="ruler")]
    assert mask_of(tmp_path, content, rules=AnnotationRules(classes=("vessel",))).sum() == 9
    with pytest.raises(DataError, match=r'features\.1: a line without a width\. .* name those that are in "classes"'):
        mask_of(tmp_path, content)


def test_one_file_for_many_photographs(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        collection(
            feature(polygon(SQUARE), image="1.png"),
            feature(line([0.5, 5.5], [5.5, 5.5]), image="shots\\2", width=1),
            feature(line([0.5, 0.5], [5.5, 0.5]), image="folder/1.png", width=1),
        ),
    )
    assert list_annotated_photographs(path) == {"1.png", "2"}
    assert Annotation(path, AnnotationRules(), "1.png").mask(6, 6).sum() == 15
    assert Annotation(path, AnnotationRules(), "2.jpeg").mask(6, 6).sum() == 6
    with pytest.raises(DataError, match=r"12\.geojson: it holds no annotation of 3\.png\."):
        Annotation(path, AnnotationRules(), "3.png").mask(6, 6)
    written(tmp_path, collection(feature(polygon(SQUARE), image="1"), feature(polygon(SQUARE))))
    with pytest.raises(DataError, match=r'features\.1: it names no photograph\. .* need "image"'):
        list_annotated_photographs(path)


def test_degrees_are_not_pixels(tmp_path: Path) -> None:
    paris = [[2.352219, 48.856613], [12.4, 48.9], [7.1, 51.5], [2.352219, 48.856613]]
    with pytest.raises(
        DataError, match=r"x 2\.35222 to 12\.4, .*: degrees, .*Expected pixels of a photograph of 3504 × 23"
    ):
        mask_of(tmp_path, feature(polygon(paris)), 2336, 3504)
    south = [[-70, -33], [-60, -33], [-60, -20], [-70, -33]]
    with pytest.raises(DataError, match="degrees"):
        mask_of(tmp_path, feature(polygon(south)), 2336, 3504)
    for tiny in (
        [[37.61, 55.75], [37.62, 55.75], [37.62, 55.76], [37.61, 55.75]],
        [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.1]],
    ):
        with pytest.raises(DataError, match="degrees, or shares of a side"):
            mask_of(tmp_path, feature(polygon(tiny)), 1000, 1000)
    # In the corner of a large photograph pixels look alike, but for their decimals; a small one has no other place.
    corner = [[round(x, 2), round(y, 2)] for x, y in paris]
    assert mask_of(tmp_path, feature(polygon(corner)), 2336, 3504).any()
    assert mask_of(tmp_path, feature(polygon(paris)), 100, 100).any()


def test_what_touches_itself_is_clear(tmp_path: Path) -> None:
    touching = [[0, 0], [2, 0], [2, 2], [4, 2], [4, 4], [2, 4], [2, 2], [0, 2], [0, 0]]  # two squares in one ring
    assert mask_of(tmp_path, feature(polygon(touching))).sum() == 8
    inlet = [
        [0, 0],
        [5, 0],
        [5, 5],
        [2, 5],
        [3, 3],
        [1, 3],
        [2, 5],
        [0, 5],
        [0, 0],
    ]  # a hole that is part of the outline
    assert (
        mask_of(tmp_path, feature(polygon(inlet))).sum()
        == mask_of(tmp_path, feature(polygon(SQUARE_OF_FIVE, [[2, 5], [3, 3], [1, 3], [2, 5]]))).sum()
    )
    slip = [[0, 0], [5, 0], [5, 5], [2.01, 5], [2, 5.02], [2.02, 5.01], [0, 5], [0, 0]]
    assert mask_of(tmp_path, feature(polygon(slip))).sum() == 25
