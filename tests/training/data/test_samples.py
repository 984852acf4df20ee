"""One annotated photograph: its files, what it is known by, and what is said about what can't be read."""

import os
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from data_sets import OTHER, SHAPE, SPLITS, VESSEL, chase_db1, drive, folder, hrf, save, stare, write_settings
from PIL import Image as Pillow

from vesselrt.runtime.errors import DataError
from vesselrt.training.data.finding import Kind, list_samples
from vesselrt.training.data.masks import read_mask
from vesselrt.training.data.samples import Sample, hash_photograph, hash_photograph_and_pixels, read_inside, read_pair


def test_second_observer(tmp_path: Path) -> None:
    root = drive(tmp_path / "d")
    chase, twenty = chase_db1(tmp_path / "c"), stare(tmp_path / "s")
    for sample in [
        *list_samples("drive", root, "test"),
        *list_samples("chase_db1", chase, "train"),
        *list_samples("stare", twenty, "test"),
    ]:
        np.testing.assert_array_equal(sample.read_second(), OTHER)  # DRIVE's decode to 3 and 253
    assert all(s.second is None for s in list_samples("drive", root, "train"))
    assert all(s.read_second() is None for s in list_samples("hrf", hrf(tmp_path / "h"), "test"))


def test_without_a_field_of_view_everything_counts(tmp_path: Path) -> None:
    sample = list_samples("chase_db1", chase_db1(tmp_path, fov=False), "test")[0]
    assert sample.field_of_view is None
    assert sample.read_field_of_view((3, 4, 3)).tolist() == [[True] * 4] * 3


def test_a_field_of_view_that_does_not_fit(tmp_path: Path) -> None:
    sample = list_samples("folder", folder(tmp_path, 1, fov=True), "test")[0]
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
    a, b, c, d = (hash_photograph_and_pixels(path) for path in sorted(tmp_path.iterdir()))
    assert a[0] == hash_photograph(tmp_path / "a.png")
    assert a[0] != b[0]
    assert a[1] == b[1] != c[1]
    assert d == (hash_photograph(tmp_path / "d.png"),)


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
    found = {split: list_samples(kind, data_root / path, split) for split in SPLITS}
    assert tuple(len(samples) for samples in found.values()) == sizes
    assert all(s.field_of_view is not None for samples in found.values() for s in samples)
    sample = found["test"][0]
    shape = sample.read_image().shape
    assert sample.read_truth().shape == sample.read_field_of_view(shape).shape == shape[:2]


@pytest.mark.parametrize("fov", [True, False])
def test_truth_that_covers_too_much_is_refused(fov: bool, tmp_path: Path) -> None:
    root = folder(tmp_path, fov=fov)
    save(root / "masks" / "eye 00.png", ~VESSEL * 255)
    sample = list_samples("folder", root, "test")[0]
    with pytest.raises(DataError, match=r"eye 00\.png: 92% of the field of view is vessel\. .* It looks inverted"):
        sample.read_truth()
    write_settings(root, most_vessel=0.95)
    np.testing.assert_array_equal(list_samples("folder", root, "test")[0].read_truth(), ~VESSEL)


def test_only_the_field_of_view_counts_for_what_is_too_much(tmp_path: Path) -> None:
    root = folder(tmp_path, fov=True)
    inside = np.zeros(SHAPE, bool)
    inside[5] = True
    save(root / "fov" / "eye 00.bmp", inside * 255)
    with pytest.raises(DataError, match=r"eye 00\.png: 100% of the field of view is vessel"):
        list_samples("folder", root, "test")[0].read_truth()


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
    (sample,) = list_samples("folder", tmp_path, "test")
    if upright and swapped:
        image, truth = read_pair(sample)
        assert image.shape[:2] == truth.shape == SHAPE
        return
    with pytest.raises(
        DataError, match=rf"1\.jpg: stored turned \(EXIF orientation {orientation}\), and its mask .*1\.png"
    ):
        sample.read_truth()
