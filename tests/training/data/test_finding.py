"""From a folder to the samples of a split: kinds, splits, and what is missing."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from data_sets import ALL_KINDS, BUILD, SHAPE, SPLITS, VESSEL, chase_db1, drive, folder, hrf, names, photograph

from vesselrt.cli.options import MASK_KINDS
from vesselrt.runtime.errors import DataError
from vesselrt.training.data.finding import Kind, list_samples, resolve_kind
from vesselrt.training.data.splits import Split


def test_every_kind_is_tested() -> None:
    assert tuple(BUILD) == get_args(Kind)
    assert MASK_KINDS.split(", ") == [kind for kind in BUILD if kind != "geojson"]


@pytest.mark.parametrize("kind", BUILD)
def test_a_kind_is_known_by_its_name_and_by_its_folder(kind: Kind, tmp_path: Path) -> None:
    root = BUILD[kind](tmp_path)
    assert resolve_kind(kind, root) == kind
    assert resolve_kind("auto", root) == kind


def test_an_unknown_kind_and_an_unknown_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown kind 'aria' of data set. Expected one of: auto, drive, chase_db1"):
        resolve_kind("aria", tmp_path)
    with pytest.raises(DataError, match=r"no data set of a known layout"):
        resolve_kind("auto", tmp_path)


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
    assert [len(list_samples(kind, root, split)) for split in SPLITS] == [train, validation, test]


@pytest.mark.parametrize(("kind", "published"), [("drive", 40), ("chase_db1", 28), ("hrf", 45)])
def test_every_photograph_is_in_one_split(kind: Kind, published: int, tmp_path: Path) -> None:
    root = BUILD[kind](tmp_path)
    images = [s.image for split in SPLITS for s in list_samples(kind, root, split)]
    assert (
        len(images) == len(set(images)) == len(list(root.rglob("*.[tjJ]*[gGf]"))) - len(list(root.rglob("ma*/*.tif")))
    )


def test_validation_is_within_the_published_training_split(tmp_path: Path) -> None:
    assert names(list_samples("drive", drive(tmp_path / "d"), "validation")) == [
        f"{n}_training" for n in (37, 38, 39, 40)
    ]
    validation = list_samples("chase_db1", chase_db1(tmp_path / "c"), "validation")
    assert names(validation) == ["Image_09L", "Image_09R", "Image_10L", "Image_10R"]
    assert names(list_samples("hrf", hrf(tmp_path / "h"), "validation")) == ["05_dr", "05_g", "05_h"]


def test_both_eyes_of_a_child_and_all_of_a_number_stay_together(tmp_path: Path) -> None:
    test = list_samples("chase_db1", chase_db1(tmp_path / "c"), "test")
    assert names(test) == [f"Image_{n}{side}" for n in (11, 12, 13, 14) for side in "LR"]
    assert {int(s.name[:2]) for s in list_samples("hrf", hrf(tmp_path / "h"), "test")} == set(range(6, 16))


def test_a_folder_has_no_split_of_its_own(tmp_path: Path) -> None:
    root = folder(tmp_path)
    train, validation, whole = (names(list_samples("folder", root, split)) for split in SPLITS)
    assert validation == ["eye 04", "eye 09"]
    assert sorted(train + validation) == whole


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("split", SPLITS)
def test_files_of_a_sample(kind: Kind, split: Split, tmp_path: Path) -> None:
    for sample in list_samples(kind, BUILD[kind](tmp_path), split):
        image = sample.read_image()
        assert image.shape == (*SHAPE, 3)
        assert image.dtype == np.uint8
        assert np.abs(image.astype(int) - (200, 20, 10)).max() <= 4  # red is first; JPEG and WebP lose a little
        np.testing.assert_array_equal(sample.read_truth(), VESSEL)
        assert sample.read_field_of_view(image.shape).all()
        assert sample.image.name.startswith(f"{sample.name}.")


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
    list_samples(kind, root, split)
    (root / mask).unlink()
    with pytest.raises(DataError, match=rf"1 mask\(s\) are missing: .*{named}$"):
        list_samples(kind, root, split)


def test_all_missing_masks_are_named(tmp_path: Path) -> None:
    root = folder(tmp_path)
    for number in (0, 10):
        (root / "masks" / f"eye {number:02}.png").unlink()
    with pytest.raises(DataError, match=r"2 mask\(s\) are missing: .*eye 00.*eye 10"):
        list_samples("folder", root, "test")


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_empty_and_missing_folders(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"no photographs of the train split of {kind}"):
        list_samples(kind, tmp_path, "train")
    with pytest.raises(DataError, match=f"absent: no such folder. Expected the data set {kind} there"):
        list_samples(kind, tmp_path / "absent", "train")


def test_photographs_that_share_a_name(tmp_path: Path) -> None:
    root = folder(tmp_path)
    photograph(root / "images" / "eye 03.jpg")
    with pytest.raises(DataError, match=r"share a name.*eye 03\.jpg, .*eye 03\.webp"):
        list_samples("folder", root, "test")


def test_too_few_photographs_for_a_validation_part(tmp_path: Path) -> None:
    root = folder(tmp_path, 4)
    assert len(list_samples("folder", root, "train")) == 4
    with pytest.raises(DataError, match=r"Every fifth photograph is for validation: expected five or more\."):
        list_samples("folder", root, "validation")
