"""GeoJSON annotations: masks drawn by hand, round trips that change no pixel, a message for each way to be wrong."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.errors import DataError, OptionError
from vesselrt.runtime.output.outlines import MAX_LOSSLESS_SIMPLIFY, geojson_from_mask
from vesselrt.training.data.annotations import Annotation, Rules, images
from vesselrt.training.data.masks import read_mask

UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24))
SQUARE = [[1, 1], [4, 1], [4, 4], [1, 4], [1, 1]]
EMPTY = Rules(unannotated="empty")


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


def mask_of(folder: Path, content: Any, height: int = 6, width: int = 6, *, rules: Rules | None = None) -> Mask:
    return Annotation(written(folder, content), rules or Rules()).mask(height, width)


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


@UNHURRIED
@given(MASKS)
def test_what_the_runtime_writes_gives_the_mask_back(tmp_path: Path, mask: Mask) -> None:
    content = geojson_from_mask(mask, 0.5)
    np.testing.assert_array_equal(mask_of(tmp_path, content, *shape_of(mask), rules=EMPTY), mask)


@UNHURRIED
@given(MASKS, st.sampled_from([0.01, 0.2, MAX_LOSSLESS_SIMPLIFY]))
def test_a_little_simplified_it_gives_the_mask_back(tmp_path: Path, mask: Mask, simplify: float) -> None:
    np.testing.assert_array_equal(
        mask_of(tmp_path, geojson_from_mask(mask, simplify=simplify), *shape_of(mask), rules=EMPTY), mask
    )


@UNHURRIED
@given(MASKS, st.sampled_from([0.5, 1, 2, 50]))
def test_much_simplified_it_is_still_valid(mask: Mask, simplify: float) -> None:
    geometry = json.loads(geojson_from_mask(mask, simplify=simplify))["features"][0]["geometry"]
    assert shapely.is_valid(shapely.from_geojson(json.dumps(geometry)))


def test_simplified_outlines_by_hand() -> None:
    # A bar of 1 × 3 pixels: through the middles of its ten edges, less those that lie between others.
    content = json.loads(geojson_from_mask(drawn("... ### ..."), 0.25, 0.1))
    ((ring,),) = content["features"][0]["geometry"]["coordinates"]
    assert sorted(map(tuple, ring[:-1])) == [(0, 1.5), (0.5, 1), (0.5, 2), (2.5, 1), (2.5, 2), (3, 1.5)]
    assert ring[0] == ring[-1]
    assert content["features"][0]["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "vessel", "color": [0, 255, 102]},
        "threshold": 0.25,
    }


@pytest.mark.parametrize("simplify", [-1, float("nan"), float("inf")])
def test_a_distance_that_is_none_is_refused(simplify: float) -> None:
    with pytest.raises(OptionError, match=rf"simplify is {simplify}\. Expected a distance in pixels, 0 or more"):
        geojson_from_mask(drawn("##"), simplify=simplify)


@pytest.mark.parametrize(
    "root", [collection(feature(polygon(SQUARE))), [feature(polygon(SQUARE))], feature(polygon(SQUARE))]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1251"])
def test_every_root_in_every_encoding(root: Any, encoding: str, tmp_path: Path) -> None:
    text = json.dumps({**root, "автор": "Иван"} if isinstance(root, dict) else root, ensure_ascii=False)
    mask = mask_of(tmp_path, text.encode(encoding))
    np.testing.assert_array_equal(mask, drawn(HAND_DRAWN["pixel edges"][1]))


@pytest.mark.parametrize("properties", [None, [], "сосуд", 5, {"classification": None}, {"classification": {"id": 3}}])
def test_properties_may_be_anything(properties: Any, tmp_path: Path) -> None:
    shape = {"type": "Feature", "id": 3, "geometry": polygon(SQUARE), "properties": properties}
    assert mask_of(tmp_path, [shape]).sum() == 9
    assert mask_of(tmp_path, [{k: v for k, v in shape.items() if k != "properties"}]).sum() == 9


def test_classes_that_count(tmp_path: Path) -> None:
    right = [[5, 1], [6, 1], [6, 4], [5, 4], [5, 1]]
    for name in ("vessel", {"name": "vessel"}, {"names": ["eye", "vessel"]}, "eye: vessel", {"name": "eye: vessel"}):
        content = [feature(polygon(SQUARE), classification=name), feature(polygon(right), classification="Ignore*")]
        assert mask_of(tmp_path, content).sum() == 12
        assert mask_of(tmp_path, content, rules=Rules(classes=("vessel",))).sum() == 9
    content = [feature(polygon(SQUARE), classification="vessel"), feature(polygon(right), classification="Ignore*")]
    assert mask_of(tmp_path, content, rules=Rules(classes=("vein", "Ignore*"))).sum() == 3
    assert not mask_of(tmp_path, content, rules=Rules(classes=("vein",))).any()  # annotated: just not with vessels


def test_the_width_of_lines(tmp_path: Path) -> None:
    one, three = [feature(line([1.5, 2.5], [3.5, 2.5]), width=1)], [feature(line([1.5, 2.5], [3.5, 2.5]))]
    assert mask_of(tmp_path, three, rules=Rules(line_width=3)).sum() == 15  # 3 × 3, and 3 at each end
    assert mask_of(tmp_path, one, rules=Rules(line_width=3)).sum() == 3  # its own goes first
    with pytest.raises(
        DataError, match=r'features\.0: a line without a width\. .* "width" in pixels, or .*"line_width"'
    ):
        mask_of(tmp_path, three)


def test_points_have_no_area_and_that_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    point, points = {"type": "Point", "coordinates": [5, 5]}, {"type": "MultiPoint", "coordinates": [[5, 5], [0, 0]]}
    content = [
        feature(polygon(SQUARE)),
        feature(point, classification="fovea"),
        feature({"type": "GeometryCollection", "geometries": [points, line([0.5, 5.5], [5.5, 5.5])]}, width=1),
    ]
    for _ in range(2):
        assert mask_of(tmp_path, content).sum() == 15
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / '12.geojson'}: 2 point(s) have no area, and are not read"
    ]


def test_a_line_that_is_no_vessel_needs_no_width(tmp_path: Path) -> None:
    content = [feature(polygon(SQUARE), classification="vessel"), feature(line([0, 0], [5, 5]), classification="ruler")]
    assert mask_of(tmp_path, content, rules=Rules(classes=("vessel",))).sum() == 9
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
    assert images(path) == {"1.png", "2"}
    assert Annotation(path, Rules(), "1.png").mask(6, 6).sum() == 15
    assert Annotation(path, Rules(), "2.jpeg").mask(6, 6).sum() == 6
    with pytest.raises(DataError, match=r"12\.geojson: it holds no annotation of 3\.png\."):
        Annotation(path, Rules(), "3.png").mask(6, 6)
    written(tmp_path, collection(feature(polygon(SQUARE), image="1"), feature(polygon(SQUARE))))
    with pytest.raises(DataError, match=r'features\.1: it names no photograph\. .* need "image"'):
        images(path)


NOTHING: list[Any] = [
    collection(),
    [],
    feature(None),
    feature(polygon()),
    feature({"type": "MultiPolygon", "coordinates": []}),
    feature({"type": "GeometryCollection", "geometries": []}),
]


@pytest.mark.parametrize("content", NOTHING)
def test_a_file_without_annotations(content: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'12\.geojson: it holds no annotation\. .*"unannotated": "empty"'):
        mask_of(tmp_path, content)
    assert not mask_of(tmp_path, content, rules=EMPTY).any()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.geojson: not a readable annotation"):
        Annotation(tmp_path / "none.geojson", Rules()).mask(2, 2)
    assert not Annotation(tmp_path / "none.geojson", EMPTY).mask(2, 2).any()


BOW_TIE = [[0, 0], [5, 5], [5, 0], [0, 5], [0, 0]]
LOOP = [[0, 0], [4, 0], [4, 4], [1, 4], [1, 1], [5, 1], [5, 5], [0, 5], [0, 0]]
WRONG = {
    "no JSON": (b"{", "not a GeoJSON annotation: Invalid JSON: EOF"),
    "no text": (b"\x98\x98\x98", r"not a readable annotation \('charmap' codec can't decode"),
    "a number": (5, "not a GeoJSON annotation: Input should be an object"),
    "no type": ({}, "Unable to extract tag using discriminator 'type'"),
    "another root": (
        {"type": "Topology"},
        "'Topology' found using 'type' does not match .*'FeatureCollection', 'Feature'",
    ),
    "a list of shapes": ([polygon(SQUARE)], "0.type: Input should be 'Feature'"),
    "no features": ({"type": "FeatureCollection"}, "FeatureCollection.features: Field required"),
    "a circle": (feature({"type": "Circle", "coordinates": [1, 2]}), "Feature.geometry: .*'Circle' found .*'Polygon'"),
    "LabelMe": (
        {"version": "5.4.1", "shapes": [{"label": "vessel", "points": SQUARE}], "imagePath": "12.png"},
        "the JSON of LabelMe, which is not read. Expected GeoJSON: write the points of a shape as a Polygon",
    ),
    "COCO": (
        {"images": [], "annotations": [{"segmentation": [[1, 1, 4, 1, 4, 4]]}], "categories": []},
        "the JSON of COCO, which is not read. Expected GeoJSON: write the segmentation of an annotation as a Polygon",
    ),
    "points alone": (feature({"type": "Point", "coordinates": [1, 2]}), r"it holds no annotation\. Annotate"),
    "no coordinates": (feature({"type": "Polygon"}), "geometry.Polygon.coordinates: Field required"),
    "too flat": (
        feature({"type": "Polygon", "coordinates": SQUARE}),
        "coordinates.0.0: Input should be a valid (list|array)",
    ),
    "text": (feature(polygon([*SQUARE[:3], ["1", 4], [1, 1]])), "coordinates.0.3.0: Input should be a valid number"),
    "truth": (feature(polygon([*SQUARE[:3], [True, 4], [1, 1]])), "coordinates.0.3.0: Input should be a valid number"),
    "nothing": (
        feature(polygon([*SQUARE[:3], [None, 4], [1, 1]])),
        "coordinates.0.3.0: Input should be a valid number",
    ),
    "NaN": (
        feature(polygon([*SQUARE[:3], [float("nan"), 4], [1, 1]])),
        "coordinates.0.3.0: Input should be a finite number",
    ),
    "infinity": (feature(polygon([*SQUARE[:3], [1, float("-inf")], [1, 1]])), "0.3.1: Input should be a finite number"),
    "huge": (
        feature(polygon([*SQUARE[:3], [1e300, 4], [1, 1]])),
        "0.3.0: Input should be less than or equal to 1000000",
    ),
    "huge integer": (feature(polygon([*SQUARE[:3], [10**400, 4], [1, 1]])), "coordinates.0.3.0: Input should be"),
    "one coordinate": (
        feature(polygon([*SQUARE[:3], [1], [1, 1]])),
        "coordinates.0.3: List should have at least 2 items",
    ),
    "deep": (b'{"type":' + b"[" * 100_000, "not a GeoJSON annotation: Invalid JSON: recursion limit exceeded"),
    "deep properties": (
        b'{"type": "Feature", "geometry": null, "properties": ' + b"[" * 9999 + b"]" * 9999 + b"}",
        "recursion limit exceeded",
    ),
    "nested collections": (
        feature({"type": "GeometryCollection", "geometries": [{"type": "GeometryCollection", "geometries": []}]}),
        "geometries.0: .*'GeometryCollection' found using 'type' does not match",
    ),
    "many wrong": (
        feature(polygon([["a", 0]] * 50)),
        r"coordinates.0.0.0: Input should be a valid number.*\(and 49 more\)$",
    ),
    "not closed": (
        [feature(polygon(SQUARE)), feature(polygon(SQUARE[:-1]))],
        r"features\.1: a ring that is not closed: it starts at \[1, 1\] and ends at \[1, 4\]",
    ),
    "short": (
        feature(polygon([[1, 1], [2, 2], [1, 1]])),
        r"features\.0: a ring of 3 position\(s\)\. Expected four or more",
    ),
    "a line of one": (feature(line([1, 1]), width=1), r"features\.0: a line of one position"),
    "no width": (
        feature(line([1, 1], [2, 2]), width=0),
        r"features\.0: its width is 0\. Expected a number of pixels above 0",
    ),
    "width of text": (feature(line([1, 1], [2, 2]), width="3"), r"features\.0: its width is '3'"),
    "bow tie": (
        feature(polygon(BOW_TIE)),
        r"features\.0: an outline that crosses itself .*Self-intersection\[2\.5 2\.5\]",
    ),
    "loop": (feature(polygon(LOOP)), r"features\.0: an outline that crosses itself .*Self-intersection"),
    "hole outside": (
        feature(polygon(SQUARE, [[4, 4], [6, 4], [6, 6], [4, 6], [4, 4]])),
        r"features\.0: an outline that crosses itself or another .*Hole lies outside shell",
    ),
    "far": (
        [feature(polygon(SQUARE)), feature(polygon([[1, 1], [900, 1], [900, 2], [1, 2], [1, 1]]))],
        r"features\.1: it reaches to \[900, 1\], outside of the photograph of 6 × 6 pixels",
    ),
    "upward": (
        feature(polygon([[x, -9 - y] for x, y in SQUARE])),
        r"it reaches to \[4, -13\], outside .* another size of this one\? y grows downward here\.$",
    ),
    "shares": (
        feature(polygon([[0.1, 0.1], [0.8333, 0.1], [0.8333, 0.7], [0.1, 0.1]])),
        r"features\.0: all coordinates lie within x 0\.1 to 0\.8333, y 0\.1 to 0\.7: degrees, or shares of a side",
    ),
    "hardly open": (
        feature(polygon([[2, 2], [4, 2], [4, 4], [2, 2.0000001]])),
        r"a ring that is not closed: it starts at \[2, 2\] and ends at \[2, 2\.0000001\]",
    ),
}


@pytest.mark.parametrize(("content", "message"), WRONG.values(), ids=WRONG)
def test_each_wrong_file_has_its_message(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        mask_of(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path / '12.geojson'}: ")
    assert len(str(caught.value)) < 500


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


SQUARE_OF_FIVE = [[0, 0], [5, 0], [5, 5], [0, 5], [0, 0]]


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    assert mask_of(tmp_path, feature(polygon(SQUARE))).sum() == 9
    time.sleep(0.02)  # a clock tick of the file system
    assert mask_of(tmp_path, feature(polygon(SQUARE_OF_FIVE))).sum() == 25


@pytest.mark.parametrize(
    ("name", "least"),
    [("CHASE_DB1/Image_11L_1stHO.png", (0.98, 0.92, 0.84)), ("HRF/manual1/06_h.tif", (0.98, 0.95, 0.91))],
)
def test_a_real_annotation_survives(name: str, least: tuple[float, ...], data_root: Path, tmp_path: Path) -> None:
    """Simplified by default it loses no pixel; simplified more it loses few, and how few is its own measure."""
    mask = read_mask(data_root / name)[:1000, :1000]
    exact, default = geojson_from_mask(mask), geojson_from_mask(mask, simplify=MAX_LOSSLESS_SIMPLIFY)
    for content in (exact, default):
        np.testing.assert_array_equal(mask_of(tmp_path, content, *shape_of(mask)), mask)
    assert len(default) < 0.65 * len(exact)
    for simplify, bound in zip((0.5, 1, 2), least, strict=True):
        assert iou(mask_of(tmp_path, geojson_from_mask(mask, simplify=simplify), *shape_of(mask)), mask) > bound
