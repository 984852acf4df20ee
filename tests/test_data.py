"""The published layouts, as generated folders: which photograph goes with which masks, in which split."""

import json
import os
import sys
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from vesselrt.runtime.errors import DataError
from vesselrt.training.data.finding import Kind, check_kind, find
from vesselrt.training.data.masks import read_mask
from vesselrt.training.data.samples import Sample, digest, digests, read_inside
from vesselrt.training.data.splits import Split
from vesselrt.training.data.tracing import encode_annotation

SHAPE = (12, 10)
VESSEL = np.zeros(SHAPE, bool)
VESSEL[5] = True


def save(path: Path, pixels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels.astype(np.uint8))


def photograph(path: Path) -> None:
    save(path, np.full((*SHAPE, 3), (10, 20, 200)))


def palette_gif(path: Path, mask: NDArray[np.bool_], dark: int = 0, light: int = 255) -> None:
    """Two colours by index, as DRIVE's masks are stored."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = Pillow.frombytes("P", (mask.shape[1], mask.shape[0]), mask.astype(np.uint8).tobytes())
    file.putpalette([dark] * 3 + [light] * 3)
    file.save(path)


def drive(root: Path) -> Path:
    for number in range(1, 41):
        folder, suffix = ("test", "test") if number <= 20 else ("training", "training")
        here = root / folder
        photograph(here / "images" / f"{number:02}_{suffix}.tif")
        palette_gif(here / "1st_manual" / f"{number:02}_manual1.gif", VESSEL)
        palette_gif(here / "mask" / f"{number:02}_{suffix}_mask.gif", np.ones(SHAPE, bool))
        if folder == "test":
            palette_gif(here / "2nd_manual" / f"{number:02}_manual2.gif", ~VESSEL, 3, 253)
    return root


def chase_db1(root: Path, fov: bool = True) -> Path:
    for eye in (f"Image_{subject:02}{side}" for subject in range(1, 15) for side in "LR"):
        photograph(root / f"{eye}.jpg")
        save(root / f"{eye}_1stHO.png", VESSEL * 255)
        save(root / f"{eye}_2ndHO.png", ~VESSEL * 255)
        if fov:
            palette_gif(root / "fov_masks" / f"{eye}.gif", np.ones(SHAPE, bool))
    return root


def hrf(root: Path) -> Path:
    for eye in (f"{number:02}_{group}" for number in range(1, 16) for group in ("h", "dr", "g")):
        photograph(root / "images" / f"{eye}.{'JPG' if eye.endswith('dr') else 'jpg'}")
        save(root / "manual1" / f"{eye}.tif", VESSEL * 255)
        save(root / "mask" / f"{eye}_mask.tif", np.full((*SHAPE, 3), 255))
    return root


def folder(root: Path, count: int = 11, fov: bool = False) -> Path:
    for number in range(count):
        photograph(root / "images" / f"eye {number:02}.webp")
        save(root / "masks" / f"eye {number:02}.png", VESSEL * 255)
        if fov:
            save(root / "fov" / f"eye {number:02}.bmp", np.full(SHAPE, 255))
    return root


def geojson(root: Path, count: int = 30, where: str = "") -> Path:
    """As the annotation tool leaves them: 1.png and 1.geojson side by side, or in the folders of `where`."""
    pictures, annotations = (root / name for name in (where.split() or ["", ""]))
    annotations.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        photograph(pictures / f"{number}.png")
        (annotations / f"{number}.geojson").write_bytes(encode_annotation(VESSEL))
    return root


BUILD = {"drive": drive, "chase_db1": chase_db1, "hrf": hrf, "folder": folder, "geojson": geojson}
ALL_KINDS: list[Kind] = list(get_args(Kind))
SPLITS: list[Split] = list(get_args(Split))


def names(samples: list[Sample]) -> list[str]:
    return [s.name for s in samples]


def test_every_kind_is_tested() -> None:
    assert tuple(BUILD) == get_args(Kind)


@pytest.mark.parametrize("kind", BUILD)
def test_a_kind_is_known_by_its_name_and_by_its_folder(kind: Kind, tmp_path: Path) -> None:
    root = BUILD[kind](tmp_path)
    assert check_kind(kind, root) == kind
    assert check_kind("auto", root) == kind


def test_an_unknown_kind_and_an_unknown_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown kind 'stare' of data set. Expected one of: auto, drive, chase_db1"):
        check_kind("stare", tmp_path)
    with pytest.raises(DataError, match=r"no data set of a known layout"):
        check_kind("auto", tmp_path)


@pytest.mark.parametrize(
    ("kind", "train", "validation", "test"),
    [("drive", 16, 4, 20), ("chase_db1", 16, 4, 8), ("hrf", 12, 3, 30), ("folder", 9, 2, 11), ("geojson", 19, 9, 2)],
)
def test_sizes_of_the_splits(kind: Kind, train: int, validation: int, test: int, tmp_path: Path) -> None:
    root = BUILD[kind](tmp_path)
    assert [len(find(kind, root, split)) for split in SPLITS] == [train, validation, test]


@pytest.mark.parametrize(("kind", "published"), [("drive", 40), ("chase_db1", 28), ("hrf", 45)])
def test_every_photograph_is_in_one_split(kind: Kind, published: int, tmp_path: Path) -> None:
    root = BUILD[kind](tmp_path)
    images = [s.image for split in SPLITS for s in find(kind, root, split)]
    assert (
        len(images) == len(set(images)) == len(list(root.rglob("*.[tjJ]*[gGf]"))) - len(list(root.rglob("ma*/*.tif")))
    )


def test_validation_is_within_the_published_training_split(tmp_path: Path) -> None:
    assert names(find("drive", drive(tmp_path / "d"), "validation")) == [f"{n}_training" for n in (37, 38, 39, 40)]
    validation = find("chase_db1", chase_db1(tmp_path / "c"), "validation")
    assert names(validation) == ["Image_09L", "Image_09R", "Image_10L", "Image_10R"]
    assert names(find("hrf", hrf(tmp_path / "h"), "validation")) == ["05_dr", "05_g", "05_h"]


def test_both_eyes_of_a_child_and_all_of_a_number_stay_together(tmp_path: Path) -> None:
    test = find("chase_db1", chase_db1(tmp_path / "c"), "test")
    assert names(test) == [f"Image_{n}{side}" for n in (11, 12, 13, 14) for side in "LR"]
    assert {int(s.name[:2]) for s in find("hrf", hrf(tmp_path / "h"), "test")} == set(range(6, 16))


def test_a_folder_has_no_split_of_its_own(tmp_path: Path) -> None:
    root = folder(tmp_path)
    train, validation, whole = (names(find("folder", root, split)) for split in SPLITS)
    assert validation == ["eye 04", "eye 09"]
    assert sorted(train + validation) == whole


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("split", SPLITS)
def test_files_of_a_sample(kind: Kind, split: Split, tmp_path: Path) -> None:
    for sample in find(kind, BUILD[kind](tmp_path), split):
        image = sample.read_image()
        assert image.shape == (*SHAPE, 3)
        assert image.dtype == np.uint8
        assert np.abs(image.astype(int) - (200, 20, 10)).max() <= 4  # red is first; JPEG and WebP lose a little
        np.testing.assert_array_equal(sample.read_truth(), VESSEL)
        assert sample.read_field_of_view(image.shape).all()
        assert sample.image.stem == sample.name


def test_second_observer(tmp_path: Path) -> None:
    root = drive(tmp_path / "d")
    for sample in [*find("drive", root, "test"), *find("chase_db1", chase_db1(tmp_path / "c"), "train")]:
        assert sample.second is not None
        np.testing.assert_array_equal(read_mask(sample.second), ~VESSEL)  # DRIVE's decode to 3 and 253
    assert all(s.second is None for s in find("drive", root, "train"))
    assert all(s.second is None for s in find("hrf", hrf(tmp_path / "h"), "test"))


def test_without_a_field_of_view_everything_counts(tmp_path: Path) -> None:
    sample = find("chase_db1", chase_db1(tmp_path, fov=False), "test")[0]
    assert sample.field_of_view is None
    assert sample.read_field_of_view((3, 4, 3)).tolist() == [[True] * 4] * 3


@pytest.mark.parametrize(
    ("kind", "split", "mask", "named"),
    [
        ("drive", "train", "training/1st_manual/21_manual1.gif", "21_manual1.gif"),
        ("drive", "test", "test/mask/07_test_mask.gif", "07_test_mask.gif"),
        ("chase_db1", "train", "Image_03R_1stHO.png", "Image_03R_1stHO.png"),
        ("chase_db1", "test", "fov_masks/Image_12L.gif", "Image_12L.gif"),
        ("hrf", "test", "manual1/11_dr.tif", r"manual1/11_dr.\*"),
        ("hrf", "test", "mask/11_dr_mask.tif", r"mask/11_dr_mask.\*"),
        ("folder", "test", "masks/eye 03.png", r"masks/eye 03.\*"),
        ("folder", "test", "fov/eye 03.bmp", r"fov/eye 03.\*"),
    ],
)
def test_a_missing_mask_is_named(kind: Kind, split: Split, mask: str, named: str, tmp_path: Path) -> None:
    root = folder(tmp_path, fov=True) if kind == "folder" else BUILD[kind](tmp_path)
    find(kind, root, split)
    (root / mask).unlink()
    with pytest.raises(DataError, match=rf"1 mask\(s\) are missing: .*{named}$"):
        find(kind, root, split)


def test_all_missing_masks_are_named(tmp_path: Path) -> None:
    root = folder(tmp_path)
    for number in (0, 10):
        (root / "masks" / f"eye {number:02}.png").unlink()
    with pytest.raises(DataError, match=r"2 mask\(s\) are missing: .*eye 00.*eye 10"):
        find("folder", root, "test")


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_empty_and_missing_folders(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no photographs of the train split of {kind}"):
        find(kind, tmp_path, "train")
    with pytest.raises(DataError, match=f"absent: no such folder. Expected the data set {kind} there"):
        find(kind, tmp_path / "absent", "train")


def test_photographs_that_share_a_name(tmp_path: Path) -> None:
    root = folder(tmp_path)
    photograph(root / "images" / "eye 03.jpg")
    with pytest.raises(DataError, match=r"share a name.*eye 03\.jpg, .*eye 03\.webp"):
        find("folder", root, "test")


@pytest.mark.parametrize("where", ["masks", "fov"])
def test_masks_that_share_a_name(where: str, tmp_path: Path) -> None:
    root = folder(tmp_path, fov=True)
    for name in ("preview.png", "preview.tif"):  # of no photograph
        save(root / where / name, VESSEL * 255)
    assert len(find("folder", root, "test")) == 11
    save(root / where / "eye 03.tif", ~VESSEL * 255)
    with pytest.raises(DataError, match=rf"{where}: masks that share a name: .*eye 03\.\w+, .*eye 03\.tif\. Keep one"):
        find("folder", root, "test")


def test_too_few_photographs_for_a_validation_part(tmp_path: Path) -> None:
    root = folder(tmp_path, 4)
    assert len(find("folder", root, "train")) == 4
    with pytest.raises(DataError, match=r"Every fifth photograph is for validation: expected five or more\."):
        find("folder", root, "validation")


def test_a_field_of_view_that_does_not_fit(tmp_path: Path) -> None:
    sample = find("folder", folder(tmp_path, 1, fov=True), "test")[0]
    assert read_inside(sample, sample.read_truth()).all()
    path = str(sample.field_of_view)
    save(Path(path), np.full((12, 9), 255))
    with pytest.raises(DataError) as caught:
        read_inside(sample, sample.read_truth())
    assert str(caught.value) == (f"{path}: 9 × 12 pixels, but its truth {sample.truth} has 10 × 12. They must agree.")
    save(Path(path), np.zeros(SHAPE))
    with pytest.raises(DataError, match=r"eye 00\.bmp: the mask is empty\. Expected white where"):
        read_inside(sample, sample.read_truth())


def test_what_a_photograph_is_known_by(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (12, 10, 3))
    for name in ("a.png", "b.tif"):
        save(tmp_path / name, pixels)
    save(tmp_path / "c.png", pixels.reshape(10, 12, 3))
    (tmp_path / "d.png").write_bytes(b"no image")
    a, b, c, d = (digests(path) for path in sorted(tmp_path.iterdir()))
    assert a[0] == digest(tmp_path / "a.png")
    assert a[0] != b[0]
    assert a[1] == b[1] != c[1]
    assert d == (digest(tmp_path / "d.png"),)


@pytest.mark.parametrize("kind", ["drive", "chase_db1", "hrf"])
def test_other_files_are_left_alone(kind: Kind, tmp_path: Path) -> None:
    root = BUILD[kind](tmp_path)
    before = find(kind, root, "train")
    for place in (root, root / "images", root / "training" / "images"):
        photograph(place / "contact sheet.jpg")
        (place / "Thumbs.db").write_bytes(b"")
    assert find(kind, root, "train") == before


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png: not a readable mask"):
        read_mask(path)
    with pytest.raises(DataError, match=r"broken\.png: not a readable image"):
        Sample("broken", path, path).read_image()
    with pytest.raises(DataError, match=r"gone\.png: can't be read"):
        Sample("gone", tmp_path / "gone.png", path).read_image()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    save(path, VESSEL * 255)
    named = path.rename(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.png")))
    assert Sample("e", named, named).read_image().shape == (*VESSEL.shape, 3)


def test_a_mask_of_labels_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "labels.png", VESSEL * 1)
    with pytest.raises(DataError, match=r"labels\.png: its brightest value is 1\. Expected a mask of 0 and 255"):
        read_mask(tmp_path / "labels.png")
    save(tmp_path / "empty.png", VESSEL * 0)
    assert not read_mask(tmp_path / "empty.png").any()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_masks_of_every_mode(mode: str, tmp_path: Path) -> None:
    Pillow.fromarray(VESSEL.astype(np.uint8) * 255).convert(mode).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), VESSEL)


# GeoJSON


def settings(root: Path, **fields: Any) -> None:
    (root / "dataset.json").write_text(json.dumps(fields))


def shared(root: Path, *names: str) -> None:
    """One file for all the photographs named, in place of one for each."""
    for single in root.glob("*.geojson"):
        single.unlink()
    files = [json.loads(encode_annotation(VESSEL)) for _ in names]
    for file, name in zip(files, names, strict=True):
        file["features"][0]["properties"]["image"] = name
    features = [feature for file in files for feature in file["features"]]
    (root / "annotations.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


@pytest.mark.parametrize("where", ["", "images annotations"])
def test_annotations_beside_their_photographs_or_in_a_folder(where: str, tmp_path: Path) -> None:
    root = geojson(tmp_path, where=where)
    assert check_kind("auto", root) == "geojson"
    test = find("geojson", root, "test")
    assert names(test) == ["8", "9"]
    for sample in test:
        np.testing.assert_array_equal(sample.read_truth(), VESSEL)


@pytest.mark.parametrize("where", ["", "images annotations"])
def test_one_file_for_all_and_one_for_each_are_not_guessed_between(where: str, tmp_path: Path) -> None:
    shared(tmp_path, "1.png", "2.png")
    root = geojson(tmp_path, 3, where=where)
    first = root / where.rpartition(" ")[2] / "1.geojson"
    with pytest.raises(DataError) as caught:
        find("geojson", root, "train")
    assert str(caught.value) == (
        f"{root}: annotations.geojson for all, and 3 file(s) for single photographs, such as {first}. "
        "Take out the one or the others."
    )


def test_where_a_photograph_belongs_depends_on_its_name_alone(tmp_path: Path) -> None:
    every = {name: split for split in SPLITS for name in names(find("geojson", geojson(tmp_path / "30"), split))}
    assert set(every) == {str(n) for n in range(1, 31)}
    fewer = {name: split for split in SPLITS[:2] for name in names(find("geojson", geojson(tmp_path / "7", 7), split))}
    assert fewer == {str(n): every[str(n)] for n in range(1, 8)}
    # sha256("9") begins 19581e27de7ced00, 0.099 of 2^64; sha256("7") begins 7902699be42c8a8e, 0.473.
    assert (every["9"], every["7"]) == ("test", "train")


def test_a_split_of_ones_own(tmp_path: Path) -> None:
    root = geojson(tmp_path, 12)
    settings(root, splits={"train": ["?"], "validation": ["10"], "test": ["11", "*2"]})
    with pytest.raises(DataError, match=r"dataset\.json: 2 is in train and test\. Expected each in one of splits"):
        find("geojson", root, "validation")
    settings(root, splits={"train": ["?"], "validation": ["10"]})
    with pytest.raises(DataError, match=r"dataset\.json: 11 is in no split"):
        find("geojson", root, "train")
    settings(root, splits={"train": ["?"], "validation": ["10"], "test": ["1[12]"]})
    assert [len(find("geojson", root, split)) for split in SPLITS] == [9, 1, 2]
    settings(root, splits={"test": ["*"]})
    assert len(find("geojson", root, "test")) == 12


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
        find("geojson", tmp_path, "train")


@pytest.mark.parametrize("one_file", [False, True])
def test_photographs_without_an_annotation_are_named_or_show_no_vessels(one_file: bool, tmp_path: Path) -> None:
    root = geojson(tmp_path, 6)
    for number in (2, 5):
        (root / f"{number}.geojson").unlink()
    if one_file:
        shared(root, "1.png", "3", "photographs/4.png", "6.png")
    with pytest.raises(DataError, match=r"2 photograph\(s\) of the train split have no annotation: 2\.png, 5\.png\. "):
        find("geojson", root, "train")
    assert names(find("geojson", root, "validation")) == ["3", "4"]
    settings(root, unannotated="empty")
    found = {s.name: s.read_truth() for s in find("geojson", root, "train")}
    assert {name for name, truth in found.items() if not truth.any()} == {"2", "5"}
    for truth in (found["1"], found["6"], *(s.read_truth() for s in find("geojson", root, "validation"))):
        np.testing.assert_array_equal(truth, VESSEL)


@pytest.mark.parametrize("one_file", [False, True])
def test_classes_that_no_annotation_has(one_file: bool, tmp_path: Path) -> None:
    root = geojson(tmp_path, 3)
    if one_file:
        shared(root, "1", "2", "3")
    settings(root, classes=["vesels", "veins"])
    with pytest.raises(DataError) as caught:
        find("geojson", root, "train")
    assert str(caught.value) == (
        f"{root / 'dataset.json'}: no annotation is of the classes vesels, veins. Those that are there: vessel. "
        "Mend classes, or leave it out where every annotation is vessel."
    )
    settings(root, classes=["vesels", "vessel"])
    assert all(s.read_truth().any() for s in find("geojson", root, "train"))


@pytest.mark.parametrize("one_file", [False, True])
def test_annotations_of_photographs_that_are_not_there(one_file: bool, tmp_path: Path) -> None:
    root = geojson(tmp_path, 3)
    (root / "1.png").rename(root / "one.png")
    if one_file:
        shared(root, "1", "2", "3")
    settings(root, unannotated="empty")
    with pytest.raises(DataError, match=r"1 annotated photograph\(s\) are not in .*: 1\. Mend the names"):
        find("geojson", root, "train")


def test_a_photograph_that_is_stored_turned_is_refused(tmp_path: Path) -> None:
    picture, turned = Pillow.new("RGB", (10, 12)), Pillow.Exif()
    turned[0x0112] = 6
    picture.save(tmp_path / "1.jpg", exif=turned)
    (tmp_path / "1.geojson").write_bytes(encode_annotation(VESSEL))
    (sample,) = find("geojson", tmp_path, "train")
    with pytest.raises(DataError, match=r"1\.jpg: stored turned \(EXIF orientation 6\)"):
        sample.read_truth()


def test_a_fundus_data_set_as_geojson_is_the_same_data_set(data_root: Path, tmp_path: Path) -> None:
    masks = {s.name: s for s in find("chase_db1", data_root / "CHASE_DB1", "validation")}
    for sample in masks.values():
        (tmp_path / sample.image.name).symlink_to(sample.image)
        (tmp_path / f"{sample.name}.geojson").write_bytes(encode_annotation(sample.read_truth()))
    settings(tmp_path, splits={"test": ["*"]})
    found = find(check_kind("auto", tmp_path), tmp_path, "test")
    assert names(found) == list(masks)
    for sample in found:
        np.testing.assert_array_equal(sample.read_truth(), masks[sample.name].read_truth())


@pytest.mark.data
@pytest.mark.parametrize(
    ("kind", "path", "sizes"), [("chase_db1", "CHASE_DB1", (16, 4, 8)), ("hrf", "HRF", (12, 3, 30))]
)
def test_the_real_photographs(kind: Kind, path: str, sizes: tuple[int, ...], data_root: Path) -> None:
    found = {split: find(kind, data_root / path, split) for split in SPLITS}
    assert tuple(len(samples) for samples in found.values()) == sizes
    assert all(s.field_of_view is not None for samples in found.values() for s in samples)
    sample = found["test"][0]
    shape = sample.read_image().shape
    assert sample.read_truth().shape == sample.read_field_of_view(shape).shape == shape[:2]
