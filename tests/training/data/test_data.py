"""The published layouts, as generated folders: which photograph goes with which masks, in which split."""

import gzip
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from vesselrt.cli.options import MASK_KINDS
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.output.outlines import MAX_LOSSLESS_SIMPLIFY, geojson_from_mask
from vesselrt.training.data.finding import Kind, check_kind, find, has_test
from vesselrt.training.data.masks import read_mask
from vesselrt.training.data.samples import Sample, digest, digests, read_inside, read_pair
from vesselrt.training.data.splits import Split

SHAPE = (12, 10)
VESSEL = np.zeros(SHAPE, bool)
VESSEL[5] = True
OTHER = np.zeros(SHAPE, bool)
"""What a second observer sees."""
OTHER[6] = True
PHOTOGRAPH = np.full((*SHAPE, 3), (200, 20, 10), np.uint8)
IN_COLOURS = np.zeros((*SHAPE, 3), np.uint8)
"""Arteries red, veins blue, crossings green, white where it is not sure; BGR."""
IN_COLOURS[5] = [(0, 0, 255)] * 4 + [(255, 0, 0)] * 3 + [(0, 255, 0)] * 2 + [(255, 255, 255)]


def save(path: Path, pixels: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels.astype(np.uint8))


def photograph(path: Path) -> None:
    save(path, PHOTOGRAPH[:, :, ::-1])


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
            palette_gif(here / "2nd_manual" / f"{number:02}_manual2.gif", OTHER, 3, 253)
    return root


def chase_db1(root: Path, fov: bool = True) -> Path:
    for eye in (f"Image_{subject:02}{side}" for subject in range(1, 15) for side in "LR"):
        photograph(root / f"{eye}.jpg")
        save(root / f"{eye}_1stHO.png", VESSEL * 255)
        save(root / f"{eye}_2ndHO.png", OTHER * 255)
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
        (annotations / f"{number}.geojson").write_bytes(geojson_from_mask(VESSEL, simplify=MAX_LOSSLESS_SIMPLIFY))
    return root


def stare(root: Path, packed: bool = True) -> Path:
    """As the site has it: packed PPM, in the folders of its archives."""
    for number in range(1, 21):
        name = f"im{number:04}"
        for place, mask, pixels in (
            ("stare-images", "", PHOTOGRAPH),
            ("labels-ah", ".ah", VESSEL * np.uint8(255)),
            ("labels-vk", ".vk", OTHER * np.uint8(255)),
        ):
            content = io.BytesIO()
            Pillow.fromarray(pixels).save(content, "PPM")
            path = root / place / f"{name}{mask}.ppm{'.gz' if packed else ''}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(content.getvalue()) if packed else content.getvalue())
    return root


def fives(root: Path) -> Path:
    """In the two folders that its archive puts around it."""
    title = "FIVES A Fundus Image Dataset for AI-based Vessel Segmentation"
    for part, count in (("train", 60), ("test", 20)):
        for number in range(1, count + 1):
            name = f"{number}_{'ADGN'[number % 4]}.png"
            photograph(root / title / title / part / "Original" / name)
            save(root / title / title / part / "Ground truth" / name, np.dstack([VESSEL * 255] * 3))
        (root / title / title / part / "Ground truth" / "Thumbs.db").write_bytes(b"")
    return root


def les_av(root: Path, colours: bool = False) -> Path:
    """Its folder `masks` holds fields of view."""
    for number in range(1, 23):
        photograph(root / "images" / f"{number}.png")
        palette_gif(root / "masks" / f"{number}_mask.gif", np.ones(SHAPE, bool))
        if not colours:
            save(root / "vessel-segmentations" / f"{number}.png", VESSEL * 255)
        save(root / "arteries-and-veins" / f"{number}.png", IN_COLOURS)
    return root


def iostar(root: Path) -> Path:
    for number in range(1, 31):
        name = f"STAR {number:02}_OSC"
        photograph(root / "image" / f"{name}.jpg")
        save(root / "GT" / f"{name}_GT.tif", VESSEL * 255)
        save(root / "mask" / f"{name}_Mask.tif", np.full(SHAPE, 255))
    return root


def dr_hagis(root: Path) -> Path:
    """As its archive leaves it on a Mac."""
    for place in (root / "DRHAGIS", root / "__MACOSX" / "DRHAGIS"):
        hidden = "._" if "__MACOSX" in place.parts else ""
        for number in range(1, 41):
            photograph(place / "Fundus_Images" / f"{hidden}{number}.jpg")
            save(place / "Manual_Segmentations" / f"{hidden}{number}_manual_orig.png", VESSEL * 255)
            save(place / "Mask_images" / f"{hidden}{number}_mask_orig.png", np.full(SHAPE, 255))
    return root


def rite(root: Path, colours: bool = False) -> Path:
    for number in range(1, 41):
        name = f"{number:02}_{'test' if number <= 20 else 'training'}"
        here = root / name[3:]
        photograph(here / "images" / f"{name}.tif")
        save(here / "av" / f"{name}.png", IN_COLOURS)
        if not colours:
            save(here / "vessel" / f"{name}.png", VESSEL * 255)
    return root


BUILD: dict[Kind, Callable[[Path], Path]] = {
    "drive": drive,
    "chase_db1": chase_db1,
    "hrf": hrf,
    "stare": stare,
    "fives": fives,
    "les_av": les_av,
    "iostar": iostar,
    "dr_hagis": dr_hagis,
    "rite": rite,
    "folder": folder,
    "geojson": geojson,
}
ALL_KINDS: list[Kind] = list(get_args(Kind))
SPLITS: list[Split] = list(get_args(Split))


def names(samples: list[Sample]) -> list[str]:
    return [s.name for s in samples]


def test_every_kind_is_tested() -> None:
    assert tuple(BUILD) == get_args(Kind)
    assert MASK_KINDS.split(", ") == [kind for kind in BUILD if kind != "geojson"]


@pytest.mark.parametrize("kind", BUILD)
def test_a_kind_is_known_by_its_name_and_by_its_folder(kind: Kind, tmp_path: Path) -> None:
    root = BUILD[kind](tmp_path)
    assert check_kind(kind, root) == kind
    assert check_kind("auto", root) == kind


def test_an_unknown_kind_and_an_unknown_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown kind 'aria' of data set. Expected one of: auto, drive, chase_db1"):
        check_kind("aria", tmp_path)
    with pytest.raises(DataError, match=r"no data set of a known layout"):
        check_kind("auto", tmp_path)


@pytest.mark.parametrize(
    ("kind", "train", "validation", "test"),
    [
        ("drive", 16, 4, 20),
        ("chase_db1", 16, 4, 8),
        ("hrf", 12, 3, 30),
        ("stare", 16, 4, 20),
        ("fives", 54, 6, 20),
        ("les_av", 18, 4, 22),
        ("iostar", 24, 6, 30),
        ("dr_hagis", 32, 8, 40),
        ("rite", 16, 4, 20),
        ("folder", 9, 2, 11),
        ("geojson", 19, 9, 2),
    ],
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
        assert sample.image.name.startswith(f"{sample.name}.")


def test_second_observer(tmp_path: Path) -> None:
    root = drive(tmp_path / "d")
    chase, twenty = chase_db1(tmp_path / "c"), stare(tmp_path / "s")
    for sample in [*find("drive", root, "test"), *find("chase_db1", chase, "train"), *find("stare", twenty, "test")]:
        np.testing.assert_array_equal(sample.read_second(), OTHER)  # DRIVE's decode to 3 and 253
    assert all(s.second is None for s in find("drive", root, "train"))
    assert all(s.read_second() is None for s in find("hrf", hrf(tmp_path / "h"), "test"))


def test_without_a_field_of_view_everything_counts(tmp_path: Path) -> None:
    sample = find("chase_db1", chase_db1(tmp_path, fov=False), "test")[0]
    assert sample.field_of_view is None
    assert sample.read_field_of_view((3, 4, 3)).tolist() == [[True] * 4] * 3


@pytest.mark.parametrize(
    ("kind", "split", "mask", "named"),
    [
        ("drive", "train", "training/1st_manual/21_manual1.gif", r"21_manual1.\*"),
        ("drive", "test", "test/mask/07_test_mask.gif", r"07_test_mask.\*"),
        ("chase_db1", "train", "Image_03R_1stHO.png", r"Image_03R_1stHO.\*"),
        ("chase_db1", "test", "fov_masks/Image_12L.gif", r"Image_12L.\*"),
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


def test_what_the_decoder_had_to_assume_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    deep = np.full((*SHAPE, 3), 1000, np.uint16)
    deep[3, 3] = 4095
    path = tmp_path / "deep.png"
    assert cv2.imwrite(str(path), deep)
    sample = Sample("deep", path, path)
    photograph = sample.photograph()
    np.testing.assert_array_equal(sample.read_image(), photograph.pixels)
    assert photograph.warnings
    assert [record.getMessage() for record in caplog.records] == [f"{path}: {w}" for w in photograph.warnings]


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


def settings(root: Path, **fields: Any) -> None:
    (root / "dataset.json").write_text(json.dumps(fields))


# Copies


def moved(root: Path, inner: str) -> Path:
    """What is in a folder, in another that is in it."""
    beside = root.with_name("beside")
    root.rename(beside)
    (root / inner).parent.mkdir(parents=True)
    beside.rename(root / inner)
    return root


@pytest.mark.parametrize("inner", ["DRIVE", "archive/DRIVE"])
def test_drive_with_masks_as_png_some_folders_deeper(inner: str, tmp_path: Path) -> None:
    root = drive(tmp_path / "kaggle")
    for path in root.rglob("*.gif"):
        with Pillow.open(path) as file:
            save(path.with_suffix(".png"), np.asarray(file.convert("L")))
        path.unlink()
    moved(root, inner)
    assert check_kind("auto", root) == "drive"
    (sample, *rest) = find("drive", root, "test")
    assert len(rest) == 19
    np.testing.assert_array_equal(sample.read_truth(), VESSEL)
    np.testing.assert_array_equal(sample.read_second(), OTHER)
    assert sample.read_field_of_view(SHAPE).all()


@pytest.mark.parametrize("packed", [True, False])
def test_stare_in_one_folder(packed: bool, tmp_path: Path) -> None:
    root = stare(tmp_path / "folders", packed)
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in root.rglob("*.ppm*"):
        path.rename(flat / path.name)
    assert check_kind("auto", flat) == "stare"
    samples = find("stare", flat, "test")
    assert names(samples) == [f"im{number:04}" for number in range(1, 21)]
    np.testing.assert_array_equal(samples[3].read_truth(), VESSEL)
    np.testing.assert_array_equal(samples[3].read_second(), OTHER)


@pytest.mark.parametrize(("kind", "build"), [("les_av", les_av), ("rite", rite)])
def test_arteries_and_veins_where_there_is_no_mask_of_vessels(
    kind: Kind, build: Callable[[Path, bool], Path], tmp_path: Path
) -> None:
    root = build(tmp_path, True)
    assert check_kind("auto", root) == kind
    for sample in find(kind, root, "test"):
        np.testing.assert_array_equal(sample.read_truth(), VESSEL)


def test_hrf_with_arteries_and_veins_alone(tmp_path: Path) -> None:
    root = hrf(tmp_path)
    for path in sorted((root / "manual1").iterdir()):
        save(root / "HRF_AV_GT" / f"{path.stem}_AVmanual.png", IN_COLOURS)
        path.unlink()
    (root / "manual1").rmdir()
    assert check_kind("auto", root) == "hrf"
    np.testing.assert_array_equal(find("hrf", root, "test")[0].read_truth(), VESSEL)


def test_both_names_of_the_photograph_that_dr_hagis_has_twice_are_trained_on(tmp_path: Path) -> None:
    assert {"24", "32"} <= set(names(find("dr_hagis", dr_hagis(tmp_path), "train")))


def test_several_data_sets_in_one_folder_are_named(tmp_path: Path) -> None:
    folder(tmp_path / "mine")
    hrf(tmp_path / "HRF")
    with pytest.raises(DataError, match=r"it holds several data sets: .*HRF \(hrf\), .*mine \(folder\)\. Name one"):
        check_kind("auto", tmp_path)
    folder(tmp_path / "yours")
    with pytest.raises(DataError, match=r"it holds the data set folder 2 times: .*mine, .*yours\. Name one"):
        find("folder", tmp_path, "test")


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_files_of_an_operating_system_are_no_photographs(kind: Kind, tmp_path: Path) -> None:
    root = BUILD[kind](tmp_path)
    before = find(kind, root, "train")
    for path in [p for p in root.rglob("*") if p.is_file() and not p.name.startswith(".")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
        for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
            path.with_name(name).write_bytes(b"")
    assert check_kind("auto", root) == kind
    assert find(kind, root, "train") == before


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (
            {"version": "5.4.1", "shapes": [], "imagePath": "1.png"},
            r"1\.json is the JSON of LabelMe, which is not read",
        ),
        ({"images": [], "annotations": [], "categories": []}, r"1\.json is the JSON of COCO, which is not read"),
    ],
)
def test_a_folder_of_another_annotation_tool(annotation: Any, message: str, tmp_path: Path) -> None:
    photograph(tmp_path / "1.png")
    (tmp_path / "1.json").write_text(json.dumps(annotation))
    with pytest.raises(DataError, match=rf"no data set of a known layout.*{message}\. Expected GeoJSON: write the"):
        check_kind("auto", tmp_path)


# What a data set says of itself


def test_colours_that_a_data_set_names(tmp_path: Path) -> None:
    root = folder(tmp_path)
    for path in (root / "masks").iterdir():
        save(path, IN_COLOURS)
    with pytest.raises(DataError, match=r"eye 00\.png: a mask in colours"):
        find("folder", root, "test")[0].read_truth()
    settings(root, vessel_colours=["#ff0000", "#0000ff", "#00ff00", "#ffffff"])
    np.testing.assert_array_equal(find("folder", root, "test")[0].read_truth(), VESSEL)
    settings(root, vessel_colours=["red"])
    with pytest.raises(DataError, match=r"vessel_colours\.0: String should match pattern"):
        find("folder", root, "test")


def test_a_split_of_ones_own_goes_before_that_of_the_layout(tmp_path: Path) -> None:
    root = folder(tmp_path)
    assert not has_test("folder", root)
    settings(root, splits={"test": ["eye 0[0-4]"], "validation": ["eye 05"], "train": ["eye 0[6-9]", "eye 1*"]})
    assert [len(find("folder", root, split)) for split in SPLITS] == [5, 1, 5]
    assert has_test("folder", root)
    assert has_test("drive", drive(tmp_path / "d"))


@pytest.mark.parametrize("fov", [True, False])
def test_truth_that_covers_too_much_is_refused(fov: bool, tmp_path: Path) -> None:
    root = folder(tmp_path, fov=fov)
    save(root / "masks" / "eye 00.png", ~VESSEL * 255)
    sample = find("folder", root, "test")[0]
    with pytest.raises(DataError, match=r"eye 00\.png: 92% of the field of view is vessel\. .* It looks inverted"):
        sample.read_truth()
    settings(root, most_vessel=0.95)
    np.testing.assert_array_equal(find("folder", root, "test")[0].read_truth(), ~VESSEL)


def test_only_the_field_of_view_counts_for_what_is_too_much(tmp_path: Path) -> None:
    root = folder(tmp_path, fov=True)
    inside = np.zeros(SHAPE, bool)
    inside[5] = True
    save(root / "fov" / "eye 00.bmp", inside * 255)
    with pytest.raises(DataError, match=r"eye 00\.png: 100% of the field of view is vessel"):
        find("folder", root, "test")[0].read_truth()


@pytest.mark.parametrize(
    ("orientation", "upright"), [(6, True), (6, False), (8, True), (3, True), (3, False), (2, True)]
)
def test_a_turned_photograph_and_its_mask(orientation: int, upright: bool, tmp_path: Path) -> None:
    """Where width and height change places, a mask of the upright size is on what is seen; else who knows."""
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    swapped = orientation in (6, 8)
    size = (12, 10) if swapped else (10, 12)  # width, height as stored
    Pillow.new("RGB", size, (200, 20, 10)).save(tmp_path / "images" / "1.jpg", exif=exif)
    save(tmp_path / "masks" / "1.png", (VESSEL if upright or not swapped else VESSEL.T) * 255)
    (sample,) = find("folder", tmp_path, "test")
    if upright and swapped:
        image, truth = read_pair(sample)
        assert image.shape[:2] == truth.shape == SHAPE
        return
    with pytest.raises(
        DataError, match=rf"1\.jpg: stored turned \(EXIF orientation {orientation}\), and its mask .*1\.png"
    ):
        sample.read_truth()
