"""The kind `geojson`: which photograph goes with which annotation, in which split."""

import json
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from vesselrt.runtime.errors import DataError
from vesselrt.runtime.output.outlines import MAX_LOSSLESS_SIMPLIFY, geojson_from_mask
from vesselrt.training.data.finding import list_samples, resolve_kind
from vesselrt.training.data.samples import Sample
from vesselrt.training.data.splits import Split

SHAPE = (12, 10)
VESSEL = np.zeros(SHAPE, bool)
VESSEL[5] = True
SPLITS: list[Split] = list(get_args(Split))


def geojson(root: Path, count: int = 30, where: str = "") -> Path:
    """As the annotation tool leaves them: 1.png and 1.geojson side by side, or in the folders of `where`."""
    pictures, annotations = (root / name for name in (where.split() or ["", ""]))
    for folder in (pictures, annotations):
        folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        assert cv2.imwrite(str(pictures / f"{number}.png"), np.full((*SHAPE, 3), (10, 20, 200), np.uint8))
        (annotations / f"{number}.geojson").write_bytes(geojson_from_mask(VESSEL, simplify=MAX_LOSSLESS_SIMPLIFY))
    return root


def names(samples: list[Sample]) -> list[str]:
    return [s.name for s in samples]


def settings(root: Path, **fields: Any) -> None:
    (root / "dataset.json").write_text(json.dumps(fields))


def shared(root: Path, *names: str) -> None:
    """One file for all the photographs named, in place of one for each."""
    for single in root.glob("*.geojson"):
        single.unlink()
    files = [json.loads(geojson_from_mask(VESSEL, simplify=MAX_LOSSLESS_SIMPLIFY)) for _ in names]
    for file, name in zip(files, names, strict=True):
        file["features"][0]["properties"]["image"] = name
    features = [feature for file in files for feature in file["features"]]
    (root / "annotations.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


@pytest.mark.parametrize("where", ["", "images annotations"])
def test_annotations_beside_their_photographs_or_in_a_folder(where: str, tmp_path: Path) -> None:
    root = geojson(tmp_path, where=where)
    assert resolve_kind("auto", root) == "geojson"
    test = list_samples("geojson", root, "test")
    assert names(test) == ["8", "9"]
    for sample in test:
        np.testing.assert_array_equal(sample.read_truth(), VESSEL)


@pytest.mark.parametrize("where", ["", "images annotations"])
def test_one_file_for_all_and_one_for_each_are_not_guessed_between(where: str, tmp_path: Path) -> None:
    shared(tmp_path, "1.png", "2.png")
    root = geojson(tmp_path, 3, where=where)
    first = root / where.rpartition(" ")[2] / "1.geojson"
    with pytest.raises(DataError) as caught:
        list_samples("geojson", root, "train")
    assert str(caught.value) == (
        f"{root}: annotations.geojson for all, and 3 file(s) for single photographs, such as {first}. "
        "Take out the one or the others."
    )


def test_where_a_photograph_belongs_depends_on_its_name_alone(tmp_path: Path) -> None:
    every = {
        name: split for split in SPLITS for name in names(list_samples("geojson", geojson(tmp_path / "30"), split))
    }
    assert set(every) == {str(n) for n in range(1, 31)}
    fewer = {
        name: split
        for split in SPLITS[:2]
        for name in names(list_samples("geojson", geojson(tmp_path / "7", 7), split))
    }
    assert fewer == {str(n): every[str(n)] for n in range(1, 8)}
    # sha256("9") begins 19581e27de7ced00, 0.099 of 2^64; sha256("7") begins 7902699be42c8a8e, 0.473.
    assert (every["9"], every["7"]) == ("test", "train")


def test_a_split_of_ones_own(tmp_path: Path) -> None:
    root = geojson(tmp_path, 12)
    settings(root, splits={"train": ["?"], "validation": ["10"], "test": ["11", "*2"]})
    with pytest.raises(DataError, match=r"dataset\.json: 2 is in train and test\. Expected each in one of splits"):
        list_samples("geojson", root, "validation")
    settings(root, splits={"train": ["?"], "validation": ["10"]})
    with pytest.raises(DataError, match=r"dataset\.json: 11 is in no split"):
        list_samples("geojson", root, "train")
    settings(root, splits={"train": ["?"], "validation": ["10"], "test": ["1[12]"]})
    assert [len(list_samples("geojson", root, split)) for split in SPLITS] == [9, 1, 2]
    settings(root, splits={"test": ["*"]})
    assert len(list_samples("geojson", root, "test")) == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Invalid JSON"),
        ('{"splits": {"all": ["*"]}}', r"splits\.all\.\[key\]: Input should be 'train', 'validation' or 'test'"),
        ('{"unannotated": "skip"}', "unannotated: Input should be 'refuse' or 'empty'"),
        ('{"line_width": 0, "width": 3}', "line_width: Input should be greater than 0; width: Extra inputs are not"),
    ],
)
def test_settings_that_make_no_sense(content: str, message: str, tmp_path: Path) -> None:
    (geojson(tmp_path, 2) / "dataset.json").write_text(content)
    with pytest.raises(DataError, match=rf"dataset\.json: not valid settings of a data set: .*{message}"):
        list_samples("geojson", tmp_path, "train")


@pytest.mark.parametrize("one_file", [False, True])
def test_photographs_without_an_annotation_are_named_or_show_no_vessels(one_file: bool, tmp_path: Path) -> None:
    root = geojson(tmp_path, 6)
    for number in (2, 5):
        (root / f"{number}.geojson").unlink()
    if one_file:
        shared(root, "1.png", "3", "photographs/4.png", "6.png")
    with pytest.raises(DataError, match=r"2 photograph\(s\) of the train split have no annotation: 2\.png, 5\.png\. "):
        list_samples("geojson", root, "train")
    assert names(list_samples("geojson", root, "validation")) == ["3", "4"]
    settings(root, unannotated="empty")
    found = {s.name: s.read_truth() for s in list_samples("geojson", root, "train")}
    assert {name for name, truth in found.items() if not truth.any()} == {"2", "5"}
    for truth in (found["1"], found["6"], *(s.read_truth() for s in list_samples("geojson", root, "validation"))):
        np.testing.assert_array_equal(truth, VESSEL)


@pytest.mark.parametrize("one_file", [False, True])
def test_classes_that_no_annotation_has(one_file: bool, tmp_path: Path) -> None:
    root = geojson(tmp_path, 3)
    if one_file:
        shared(root, "1", "2", "3")
    settings(root, classes=["vesels", "veins"])
    with pytest.raises(DataError) as caught:
        list_samples("geojson", root, "train")
    assert str(caught.value) == (
        f"{root / 'dataset.json'}: no annotation is of the classes vesels, veins. Those that are there: vessel. "
        "Mend classes, or leave it out where every annotation is vessel."
    )
    settings(root, classes=["vesels", "vessel"])
    assert all(s.read_truth().any() for s in list_samples("geojson", root, "train"))


@pytest.mark.parametrize("one_file", [False, True])
def test_annotations_of_photographs_that_are_not_there(one_file: bool, tmp_path: Path) -> None:
    root = geojson(tmp_path, 3)
    (root / "1.png").rename(root / "one.png")
    if one_file:
        shared(root, "1", "2", "3")
    settings(root, unannotated="empty")
    with pytest.raises(DataError, match=r"1 annotated photograph\(s\) are not in .*: 1\. Mend the names"):
        list_samples("geojson", root, "train")


def test_a_rectangle_around_everything_is_no_vessel(tmp_path: Path) -> None:
    """QuPath's, drawn to tell it where to look, and of no class."""
    root = geojson(tmp_path, 3)
    content = json.loads(geojson_from_mask(VESSEL, simplify=MAX_LOSSLESS_SIMPLIFY))
    corners = [[0, 0], [10, 0], [10, 12], [0, 12], [0, 0]]
    content["features"].append(
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [corners]}, "properties": {}}
    )
    (root / "1.geojson").write_text(json.dumps(content))
    settings(root, splits={"test": ["*"]})
    with pytest.raises(DataError, match=r"1\.geojson: 100% of the field of view is vessel\. Expected at most 40%"):
        list_samples("geojson", root, "test")[0].read_truth()
    settings(root, splits={"test": ["*"]}, classes=["vessel"])
    np.testing.assert_array_equal(list_samples("geojson", root, "test")[0].read_truth(), VESSEL)


def test_a_photograph_that_is_stored_turned_is_refused(tmp_path: Path) -> None:
    picture, turned = Pillow.new("RGB", (10, 12)), Pillow.Exif()
    turned[0x0112] = 6
    picture.save(tmp_path / "1.jpg", exif=turned)
    (tmp_path / "1.geojson").write_bytes(geojson_from_mask(VESSEL, simplify=MAX_LOSSLESS_SIMPLIFY))
    (sample,) = list_samples("geojson", tmp_path, "train")
    with pytest.raises(DataError, match=r"1\.jpg: stored turned \(EXIF orientation 6\)"):
        sample.read_truth()


def test_a_fundus_data_set_as_geojson_is_the_same_data_set(data_root: Path, tmp_path: Path) -> None:
    masks = {s.name: s for s in list_samples("chase_db1", data_root / "CHASE_DB1", "validation")}
    for sample in masks.values():
        (tmp_path / sample.image.name).symlink_to(sample.image)
        (tmp_path / f"{sample.name}.geojson").write_bytes(
            geojson_from_mask(sample.read_truth(), simplify=MAX_LOSSLESS_SIMPLIFY)
        )
    settings(tmp_path, splits={"test": ["*"]})
    found = list_samples(resolve_kind("auto", tmp_path), tmp_path, "test")
    assert names(found) == list(masks)
    for sample in found:
        np.testing.assert_array_equal(sample.read_truth(), masks[sample.name].read_truth())
