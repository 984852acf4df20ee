"""Photographs to measure on."""

from pathlib import Path

import numpy as np
import pytest

from vesselrt.benchmarks import bench_run, photos
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.photo.decoding import decode_photo
from vesselrt.training.data.samples import read_inside

# Photographs


def test_synthetic_photographs_repeat() -> None:
    image, vessels = photos.synthetic(120, 100, seed=3)
    again, _ = photos.synthetic(120, 100, seed=3)
    other, _ = photos.synthetic(120, 100, seed=4)
    assert (image.shape, str(image.dtype)) == ((100, 120, 3), "uint8")
    assert (vessels.shape, str(vessels.dtype)) == ((100, 120), "bool")
    assert np.array_equal(image, again)
    assert not np.array_equal(image, other)
    assert 0.02 < vessels.mean() < 0.3
    disc = np.hypot(np.arange(120) - 60, np.arange(100)[:, None] - 50) < 40
    assert image[:, :, 1][vessels & disc].mean() < 0.8 * image[:, :, 1][~vessels & disc].mean()


def test_letterbox_keeps_the_aspect_ratio() -> None:
    white = np.full((50, 100, 3), 255, np.uint8)
    expected = np.zeros((40, 40, 3), np.uint8)
    expected[10:30] = 255
    assert np.array_equal(photos.letterbox(white, 40, 40), expected)
    assert np.array_equal(photos.letterbox(white, 100, 50), white)


def test_sizes_come_from_the_set_that_is_near(data_root: Path) -> None:
    small, large = photos.from_size("565x584", data_root), photos.from_size("3504x2336", data_root)
    assert small.source == "CHASE_DB1 Image_11L.jpg"
    assert large.source == "HRF 06_dr.jpg"
    assert decode_photo(small.data).pixels.shape == (584, 565, 3)


def test_only_test_photographs_are_taken(data_root: Path) -> None:
    found = photos.held_out(data_root)
    assert {name: len(samples) for name, samples in found.items()} == {"CHASE_DB1": 8, "HRF": 30}
    for samples in found.values():
        truth = samples[0].read_truth()
        assert 0.02 < truth.mean() < 0.2 < read_inside(samples[0], truth).mean() < 0.95


def test_a_missing_truth_is_named(tmp_path: Path) -> None:
    (tmp_path / "CHASE_DB1").mkdir()
    path = tmp_path / "CHASE_DB1" / "Image_11L.jpg"
    path.write_bytes(b"")
    (sample,) = photos.held_out(tmp_path)["CHASE_DB1"]
    assert sample.image == path
    with pytest.raises(DataError, match=r"Image_11L_1stHO\.\*: not a readable mask"):
        bench_run.score_columns("CHASE_DB1", [sample], lambda _: {})
