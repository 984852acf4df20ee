"""GeoJSON files: their roots and encodings, and a message for each way to be wrong."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geojson_files import (
    EMPTY,
    HAND_DRAWN,
    SQUARE,
    SQUARE_OF_FIVE,
    collection,
    drawn,
    feature,
    line,
    mask_of,
    polygon,
)

from vesselrt.runtime.errors import DataError
from vesselrt.training.data.annotations import Annotation, AnnotationRules


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
        Annotation(tmp_path / "none.geojson", AnnotationRules()).mask(2, 2)
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
        r"not a COCO annotation: annotations\.0\.image_id: Field required\. Boxes and key points alone can't be read",
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


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    assert mask_of(tmp_path, feature(polygon(SQUARE))).sum() == 9
    time.sleep(0.02)  # a clock tick of the file system
    assert mask_of(tmp_path, feature(polygon(SQUARE_OF_FIVE))).sum() == 25
