"""A photograph that is normalised by its own values before tiles are cut: as nnU-Net computes it."""

from typing import Any, get_args

import numpy as np
import pytest
from manifests import make_manifest
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.manifest import Manifest, Normalisation, Preparation
from vesselrt.runtime.photo.normalisation import UNIT, normalise, values_from_bytes
from vesselrt.runtime.photo.preparation import prepare
from vesselrt.runtime.photo.views import Box
from vesselrt.runtime.segmenter import Segmenter

ROUNDING = 0.5 / UNIT
NORMALISE = {"preparation": {"channels": "green", "normalise": "zscore"}}


def picture(height: int = 60, width: int = 90, seed: int = 0) -> Image:
    """Values of every kind, black among them."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[10:20, 30:50] = 0
    return pixels


def numbers(pixels: Image, how: Normalisation) -> NDArray[np.float64]:
    windows = normalise(pixels, how).transpose(2, 0, 1)[None]
    return np.asarray(values_from_bytes(windows)[0].transpose(1, 2, 0), np.float64)


def nnunet(channel: NDArray[Any], inside: NDArray[np.bool_], how: Normalisation) -> Any:
    """nnU-Net's default_normalization_schemes.py, written out once more."""
    if how == "range":
        return (channel - channel.min()) / max((channel - channel.min()).max(), 1e-8)
    if how == "zscore":
        return (channel - channel.mean()) / max(channel.std(), 1e-8)
    return np.where(inside, (channel - channel[inside].mean()) / max(channel[inside].std(), 1e-8), channel)


@pytest.mark.parametrize("how", get_args(Normalisation))
def test_numbers_are_those_of_nnunet(how: Normalisation) -> None:
    pixels = picture()
    inside = np.asarray(pixels.any(axis=2))
    expected = np.stack([nnunet(pixels[..., c].astype(float), inside, how) for c in range(3)], axis=2)
    assert abs(numbers(pixels, how) - expected).max() <= ROUNDING
    assert (numbers(pixels, how)[~inside] == 0).all() == (how != "zscore")


@pytest.mark.parametrize("how", get_args(Normalisation))
def test_what_has_one_value_becomes_zeros(how: Normalisation) -> None:
    for value in (0, 7, 255):
        assert not normalise(np.full((8, 9, 1), value, np.uint8), how).any()


def test_a_lonely_pixel_does_not_wrap_around() -> None:
    pixels = np.zeros((300, 300, 1), np.uint8)
    pixels[5, 5] = 255
    assert numbers(pixels, "zscore")[5, 5, 0] == pytest.approx(128, abs=1e-4)  # of 300: numbers end there


def test_the_photograph_is_cut_to_what_is_not_black() -> None:
    pixels = picture()
    pixels[:6], pixels[:, 80:] = 0, 0
    prepared = prepare(pixels, Preparation(normalise="zscore"))
    assert prepared.box == Box(6, 0, 60, 80)
    assert np.array_equal(prepared.pixels, normalise(np.ascontiguousarray(pixels[6:, :80]), "zscore"))
    black = prepare(np.zeros((20, 30, 3), np.uint8), Preparation(normalise="zscore"))
    assert black.box == Box(0, 0, 20, 30)


def test_a_scale_comes_first() -> None:
    prepared = prepare(picture(100, 100), Preparation(channels="green", normalise="range", size=(64, 72)))
    assert prepared.pixels.shape == (64, 72, 3)  # bytes, of one channel
    found = values_from_bytes(prepared.pixels.transpose(2, 0, 1)[None])
    assert (found.min(), found.max()) == (0, 1)


def test_every_tile_is_normalised_by_the_whole_photograph() -> None:
    def network(windows: Image) -> NDArray[np.float32]:
        return np.asarray(1 / (1 + np.exp(-values_from_bytes(windows))), np.float32)

    manifest = make_manifest(**NORMALISE, tile={"size": 64, "multiple": 16, "margin": 16})
    pixels = np.random.default_rng(1).integers(1, 256, (200, 150, 3), dtype=np.uint8)
    pixels[:100] //= 4  # tiles differ
    backend = FakeBackend(network)
    found = Segmenter(manifest, backend).segment(pixels).probability
    green = pixels[..., 1].astype(float)
    expected = 255 / (1 + np.exp(-(green - green.mean()) / green.std()))
    assert abs(found - expected).max() <= 0.501
    assert {shape[1] for shape in backend.shapes} == {3}
    assert len(backend.shapes) > 4


def test_only_a_manifest_that_asks_for_it_says_so() -> None:
    plain, normalised = make_manifest(), make_manifest(**NORMALISE)
    assert "normalise" not in plain.to_json()
    assert (plain.schema_version, normalised.schema_version) == (1, 2)
    assert (plain.channel_count, normalised.channel_count, normalised.colour_count) == (1, 3, 1)
    read: Any = Manifest.from_json(normalised.to_json(), source="test")
    assert read == normalised
