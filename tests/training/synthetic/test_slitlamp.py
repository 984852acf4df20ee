"""Drawn slit-lamp photographs: the same for the same seed, with a truth that is theirs, written as a data set."""

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from vesselrt.training.data.finding import list_samples, resolve_kind
from vesselrt.training.synthetic.slitlamp import draw_slit_lamp_photo, main, write_slit_lamp_data_set


def test_the_same_arguments_give_the_same_photograph() -> None:
    image, truth = draw_slit_lamp_photo(180, 240, 3)
    assert (image.shape, truth.shape) == ((180, 240, 3), (180, 240))
    assert (str(image.dtype), str(truth.dtype)) == ("uint8", "bool")
    again, truth_again = draw_slit_lamp_photo(180, 240, 3)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(truth, truth_again)
    assert (draw_slit_lamp_photo(180, 240, 4)[0] != image).any()


@pytest.mark.parametrize("seed", range(4))
def test_vessels_are_where_the_truth_says(seed: int) -> None:
    image, truth = draw_slit_lamp_photo(480, 640, seed)
    assert 0.005 < truth.mean() < 0.2
    # Blood takes green out of the white: against what lies beside it, by more than noise and mottling do.
    green = image[:, :, 1].astype(np.float32)
    beside = cv2.dilate(truth.astype(np.uint8), np.ones((9, 9), np.uint8)) > cv2.dilate(
        truth.astype(np.uint8), np.ones((5, 5), np.uint8)
    )
    assert green[truth].mean() < green[beside].mean() - 8
    assert image.max() == 255  # the lamp


def test_vessels_have_many_widths() -> None:
    _, truth = draw_slit_lamp_photo(960, 1280, 1)
    radius = cv2.distanceTransform(np.pad(truth, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert 3 <= radius.max() <= 10  # two that cross are wider than either
    lonely = truth & (cv2.blur(truth.astype(np.float32), (5, 5)) < 0.25)
    assert lonely.any()  # thin ones


def test_a_data_set_of_them_is_read_as_it_was_drawn(tmp_path: Path) -> None:
    write_slit_lamp_data_set(tmp_path, 3, seed=10, height=120, width=160)
    assert {p.name for p in tmp_path.iterdir()} == {
        f"{n}.{s}" for n, s in itertools.product((1, 2, 3), ("png", "geojson"))
    }
    kind = resolve_kind("auto", tmp_path)
    samples = [*list_samples(kind, tmp_path, "train"), *list_samples(kind, tmp_path, "validation")]
    assert {s.name for s in samples} == {"1", "2", "3"}
    for sample in samples:
        image, truth = draw_slit_lamp_photo(120, 160, 10 + int(sample.name))
        np.testing.assert_array_equal(sample.read_image(), image)
        np.testing.assert_array_equal(sample.read_truth(), truth)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["eyes", "0"], "error: 0 photographs can't be drawn. Expected 1 or more.", ""),
        (["eyes"], 2, "Missing argument"),
        (["eyes", "sixty"], 2, "Invalid value for"),
    ],
)
def test_a_wrong_command_is_told_in_one_message(
    arguments: list[str], code: int | str, message: str, end_of: Callable[..., tuple[object, str]]
) -> None:
    ended, said = end_of(partial(typer.run, main), *arguments)
    assert ended == code
    assert message in said
