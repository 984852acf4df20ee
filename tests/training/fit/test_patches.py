"""Patches: what a photograph becomes before the network sees it, and that picture and truth stay together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vesselrt.runtime.manifest import Preparation
from vesselrt.runtime.photo.preparation import prepare
from vesselrt.training.data.finding import list_samples
from vesselrt.training.fit.patches import Patches, PreparedPhoto
from vesselrt.training.fit.recipe import BUILT_IN, Recipe

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]
STILL = Patches(probability=0, rotation=0, zoom=(1, 1))


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def photo() -> Photo:
    """The truth is where the picture is bright."""
    truth = np.zeros((128, 160), bool)
    truth[20:24] = truth[:, 50:58] = True
    return np.dstack([np.where(truth, 200, 40).astype(np.uint8)] * 3), truth


@pytest.mark.parametrize(("channels", "count"), [("green", 1), ("rgb", 3)])
@pytest.mark.parametrize("side", [48, 200])
def test_shapes_types_and_ranges(fundus_photo: Callable[..., Photo], channels: Any, count: int, side: int) -> None:
    whole = PreparedPhoto.build(*fundus_photo(128, 128, 1), Preparation(channels=channels), Patches())
    for seed in range(8):
        pixels, truth = whole.patch(side, random(seed))
        assert (pixels.shape, str(pixels.dtype)) == ((side, side, count), "uint8")
        assert (truth.shape, str(truth.dtype)) == ((side, side), "float32")
        assert 0 <= truth.min() <= truth.max() <= 1


def test_a_seed_is_a_patch(photo: Photo) -> None:
    whole = PreparedPhoto.build(*photo, Preparation(channels="green"), Patches(probability=1))
    patches = [whole.patch(32, random(seed))[0].tobytes() for seed in range(12)]
    assert [whole.patch(32, random(seed))[0].tobytes() for seed in range(12)] == patches
    assert len(set(patches)) == 12


def test_without_changes_a_patch_is_a_window(photo: Photo) -> None:
    image, truth = photo
    whole = PreparedPhoto.build(image, truth, Preparation(channels="green"), STILL)
    windows = np.lib.stride_tricks.sliding_window_view(image[:, :, 1], (64, 64)).reshape(-1, 64, 64)
    pixels, found = whole.patch(64, random(3))
    assert (windows == pixels[:, :, 0]).all(axis=(1, 2)).any()
    assert np.array_equal(found == 1, pixels[:, :, 0] == 200)


def test_picture_and_truth_are_turned_and_scaled_together(photo: Photo) -> None:
    moved = Patches(probability=1, rotation=180, zoom=(0.8, 1.2), noise=0, contrast=(1, 1))
    whole = PreparedPhoto.build(*photo, Preparation(channels="green"), moved)
    for seed in range(20):
        pixels, truth = whole.patch(48, random(seed))
        assert np.abs(pixels[:, :, 0] - (40 + 160 * truth)).max() < 1.01


def test_noise_and_contrast_leave_the_truth_alone(photo: Photo) -> None:
    changed = Patches(probability=1, rotation=0, zoom=(1, 1), noise=0.1, contrast=(0.5, 2))
    (_, truth), (pixels, same) = (
        PreparedPhoto.build(*photo, Preparation(channels="green"), how).patch(64, random(1))
        for how in (changed.model_copy(update={"noise": 0, "contrast": (1, 1)}), changed)
    )
    assert len(np.unique(pixels)) > 20
    assert same == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize(("kind", "levels"), [("coverage", {0.0, 0.25, 0.5, 0.625, 1.0}), ("touched", {0.0, 1.0})])
def test_the_truth_of_a_reduced_photograph(kind: Any, levels: set[float]) -> None:
    truth = np.zeros((256, 256), bool)
    truth[:, 41] = truth[81:83] = True  # a quarter and a half of a pixel, at a quarter of the size
    image = np.zeros((256, 256, 3), np.uint8)
    how = STILL.model_copy(update={"truth": kind})
    whole = PreparedPhoto.build(image, truth, Preparation(channels="green", size=(64, 64)), how)
    assert whole.truth.shape == (1, 64, 64)
    found = {round(v * 8) / 8 for v in np.unique(whole.truth).tolist()}
    assert found == levels - {1.0} if kind == "coverage" else found == levels
    assert whole.truth[0, 5, 10] == (1 if kind == "touched" else pytest.approx(0.25, abs=0.01))


def test_what_the_published_recipe_can_reach_at_most(data_root: Path) -> None:
    """Its truth, 256 × 256 pixels and vessel where one touches a pixel, brought back to the photographs' own size."""
    recipe = Recipe.read(BUILT_IN / "monai-256.yaml")
    assert recipe.patches is not None
    right, painted, vessel = 0, 0, 0
    for sample in list_samples("chase_db1", data_root / "CHASE_DB1", "test"):
        image, truth = sample.read_image(), sample.read_truth()
        whole = PreparedPhoto.build(image, truth, recipe.preparation, recipe.patches)
        back = np.zeros(truth.shape, np.float32)
        box = prepare(image, recipe.preparation).box
        box.cut(back)[:] = cv2.resize(whole.truth[0], (box.width, box.height), interpolation=cv2.INTER_LINEAR)
        found, inside = back >= 0.5, sample.read_field_of_view(truth.shape)
        right += int((found & truth & inside).sum())
        painted, vessel = painted + int((found & inside).sum()), vessel + int((truth & inside).sum())
    assert (right / painted, right / vessel) == pytest.approx((0.548, 1.000), abs=5e-4)
    assert 2 * right / (painted + vessel) == pytest.approx(0.708, abs=5e-4)
