"""Drawn fundus photographs: the same for the same seed, arteries and veins that differ, read back as drawn."""

from pathlib import Path

import numpy as np
import pytest

from vesselrt.runtime.errors import OptionError
from vesselrt.training.data.finding import list_samples, resolve_kind
from vesselrt.training.synthetic.fundus import draw_fundus_photo, write_fundus_data_set


def test_the_same_arguments_give_the_same_photograph() -> None:
    image, masks, inside = draw_fundus_photo(128, 3)
    again = draw_fundus_photo(128, 3)
    assert (image.shape, str(image.dtype), list(masks)) == ((128, 128, 3), "uint8", ["artery", "vein"])
    assert np.array_equal(image, again[0])
    assert all(np.array_equal(masks[name], again[1][name]) for name in masks)
    assert (draw_fundus_photo(128, 4)[0] != image).any()
    assert image[~inside].max() == 0


def test_veins_are_darker_and_both_are_darker_than_the_retina() -> None:
    image, masks, inside = draw_fundus_photo(256, 1)
    artery, vein = masks["artery"], masks["vein"]
    red, green = image[:, :, 0].astype(float), image[:, :, 1].astype(float)
    neither, crossing = inside & ~artery & ~vein, artery & vein
    assert green[neither].mean() > green[artery & ~crossing].mean() + 8 > green[vein & ~crossing].mean() + 16
    assert red[artery & ~crossing].mean() > red[vein & ~crossing].mean() + 15
    assert 0.02 < artery.mean() < 0.2
    assert crossing.any()


def test_a_data_set_of_them_is_read_as_it_was_drawn(tmp_path: Path) -> None:
    write_fundus_data_set(tmp_path, 2, seed=10, side=96)
    samples = list_samples(resolve_kind("auto", tmp_path), tmp_path, "test")
    assert [s.name for s in samples] == ["1", "2"]
    for sample in samples:
        image, masks, inside = draw_fundus_photo(96, 10 + int(sample.name))
        assert np.array_equal(sample.read_image(), image)
        assert np.array_equal(sample.read_classes(["artery", "vein"]).masks, [masks["artery"], masks["vein"]])
        assert np.array_equal(sample.read_field_of_view(inside.shape), inside)


def test_what_can_not_be_drawn(tmp_path: Path) -> None:
    for count, side in ((0, 96), (1, 10)):
        with pytest.raises(OptionError, match=f"^{count} photographs of {side} pixels can't be drawn"):
            write_fundus_data_set(tmp_path, count, side=side)
