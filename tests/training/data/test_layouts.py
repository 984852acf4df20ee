"""Layouts as data sets are published, and as they are found on disks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sets import (
    ALL_KINDS,
    BUILD,
    IN_COLOURS,
    OTHER,
    SHAPE,
    SPLITS,
    VESSEL,
    dr_hagis,
    drive,
    folder,
    hrf,
    les_av,
    names,
    photograph,
    rite,
    save,
    stare,
    write_settings,
)
from PIL import Image as Pillow

from vesselrt.runtime.errors import DataError
from vesselrt.training.data.finding import Kind, has_test_split, list_samples, resolve_kind

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
    assert resolve_kind("auto", root) == "drive"
    (sample, *rest) = list_samples("drive", root, "test")
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
    assert resolve_kind("auto", flat) == "stare"
    samples = list_samples("stare", flat, "test")
    assert names(samples) == [f"im{number:04}" for number in range(1, 21)]
    np.testing.assert_array_equal(samples[3].read_truth(), VESSEL)
    np.testing.assert_array_equal(samples[3].read_second(), OTHER)


@pytest.mark.parametrize(("kind", "build"), [("les_av", les_av), ("rite", rite)])
def test_arteries_and_veins_where_there_is_no_mask_of_vessels(
    kind: Kind, build: Callable[[Path, bool], Path], tmp_path: Path
) -> None:
    root = build(tmp_path, True)
    assert resolve_kind("auto", root) == kind
    for sample in list_samples(kind, root, "test"):
        np.testing.assert_array_equal(sample.read_truth(), VESSEL)


def test_hrf_with_arteries_and_veins_alone(tmp_path: Path) -> None:
    root = hrf(tmp_path)
    for path in sorted((root / "manual1").iterdir()):
        save(root / "HRF_AV_GT" / f"{path.stem}_AVmanual.png", IN_COLOURS)
        path.unlink()
    (root / "manual1").rmdir()
    assert resolve_kind("auto", root) == "hrf"
    np.testing.assert_array_equal(list_samples("hrf", root, "test")[0].read_truth(), VESSEL)


def test_both_names_of_the_photograph_that_dr_hagis_has_twice_are_trained_on(tmp_path: Path) -> None:
    assert {"24", "32"} <= set(names(list_samples("dr_hagis", dr_hagis(tmp_path), "train")))


def test_several_data_sets_in_one_folder_are_named(tmp_path: Path) -> None:
    folder(tmp_path / "mine")
    hrf(tmp_path / "HRF")
    with pytest.raises(DataError, match=r"it holds several data sets: .*HRF \(hrf\), .*mine \(folder\)\. Name one"):
        resolve_kind("auto", tmp_path)
    folder(tmp_path / "yours")
    with pytest.raises(DataError, match=r"it holds the data set folder 2 times: .*mine, .*yours\. Name one"):
        list_samples("folder", tmp_path, "test")


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_files_of_an_operating_system_are_no_photographs(kind: Kind, tmp_path: Path) -> None:
    root = BUILD[kind](tmp_path)
    before = list_samples(kind, root, "train")
    for path in [p for p in root.rglob("*") if p.is_file() and not p.name.startswith(".")]:
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
        for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
            path.with_name(name).write_bytes(b"")
    assert resolve_kind("auto", root) == kind
    assert list_samples(kind, root, "train") == before


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (
            {"version": "5.4.1", "shapes": [], "imagePath": "1.png"},
            r"1\.json is the JSON of LabelMe, which is not read\. Expected GeoJSON: write the",
        ),
        (
            {"images": [], "annotations": [], "categories": []},
            r"1\.json is the JSON of COCO\. Name it annotations\.json, beside the photographs",
        ),
    ],
)
def test_a_folder_of_another_annotation_tool(annotation: Any, message: str, tmp_path: Path) -> None:
    photograph(tmp_path / "1.png")
    (tmp_path / "1.json").write_text(json.dumps(annotation))
    with pytest.raises(DataError, match=rf"no data set of a known layout.*{message}"):
        resolve_kind("auto", tmp_path)


# What a data set says of itself


def test_colours_that_a_data_set_names(tmp_path: Path) -> None:
    root = folder(tmp_path)
    for path in (root / "masks").iterdir():
        save(path, IN_COLOURS)
    with pytest.raises(DataError, match=r"eye 00\.png: a mask in colours"):
        list_samples("folder", root, "test")[0].read_truth()
    write_settings(root, vessel_colours=["#ff0000", "#0000ff", "#00ff00", "#ffffff"])
    np.testing.assert_array_equal(list_samples("folder", root, "test")[0].read_truth(), VESSEL)
    write_settings(root, vessel_colours=["red"])
    with pytest.raises(DataError, match=r"vessel_colours\.0: String should match pattern"):
        list_samples("folder", root, "test")


def test_a_split_of_ones_own_goes_before_that_of_the_layout(tmp_path: Path) -> None:
    root = folder(tmp_path)
    assert not has_test_split("folder", root)
    write_settings(root, splits={"test": ["eye 0[0-4]"], "validation": ["eye 05"], "train": ["eye 0[6-9]", "eye 1*"]})
    assert [len(list_samples("folder", root, split)) for split in SPLITS] == [5, 1, 5]
    assert has_test_split("folder", root)
    assert has_test_split("drive", drive(tmp_path / "d"))


@pytest.mark.parametrize("kind", ["drive", "chase_db1", "hrf"])
def test_other_files_are_left_alone(kind: Kind, tmp_path: Path) -> None:
    root = BUILD[kind](tmp_path)
    before = list_samples(kind, root, "train")
    for place in (root, root / "images", root / "training" / "images"):
        photograph(place / "contact sheet.jpg")
        (place / "Thumbs.db").write_bytes(b"")
    assert list_samples(kind, root, "train") == before


@pytest.mark.parametrize("where", ["masks", "fov"])
def test_masks_that_share_a_name(where: str, tmp_path: Path) -> None:
    root = folder(tmp_path, fov=True)
    for name in ("preview.png", "preview.tif"):  # of no photograph
        save(root / where / name, VESSEL * 255)
    assert len(list_samples("folder", root, "test")) == 11
    save(root / where / "eye 03.tif", ~VESSEL * 255)
    with pytest.raises(DataError, match=rf"{where}: masks that share a name: .*eye 03\.\w+, .*eye 03\.tif\. Keep one"):
        list_samples("folder", root, "test")
