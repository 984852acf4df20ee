"""The windows on which a model file is compared with what it was made of."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.manifest import Manifest, Tile
from vesselrt.runtime.photo.normalisation import normalise_window, values_from_bytes
from vesselrt.runtime.photo.preparation import prepare
from vesselrt.runtime.tiling import window_side


def photograph_window(manifest: Manifest, photograph: Image) -> Image:
    """The photograph as one window, of the tile at most, cut from its centre: (1, C, h, w) uint8."""
    return photograph_windows(manifest, photograph)[0]


def photograph_windows(manifest: Manifest, photograph: Image) -> list[Image]:
    """The same, and where it is larger than the tile four more: the middle of each side, where the eye ends."""
    tile = manifest.tile
    pixels = prepare(photograph, manifest.preparation).pixels
    bottom, right = (max(0, side - tile.size) for side in pixels.shape[:2])
    top, left = bottom // 2, right // 2
    places = dict.fromkeys([(top, left), (0, left), (bottom, left), (top, 0), (top, right)])
    return [_window_at(pixels[row : row + tile.size, column : column + tile.size], tile) for row, column in places]


def _window_at(pixels: Image, tile: Tile) -> Image:
    height, width, channels = pixels.shape
    window = np.zeros((1, channels, window_side(height, tile), window_side(width, tile)), np.uint8)
    window[0, :, :height, :width] = pixels.transpose(2, 0, 1)
    return window


def proof_batches(manifest: Manifest, photographs: list[Image]) -> list[Image]:
    """(N, C, h, w) uint8 each: the photographs come first, then noise of awkward sizes and batches."""
    return [photograph_window(manifest, photograph) for photograph in photographs] + _awkward(manifest)


def _awkward(manifest: Manifest) -> list[Image]:
    """Noise: the smallest window, a narrow one, an odd batch.

    Blended networks begin at twice the smallest: PyTorch's instance norm refuses what a stride has made one pixel.
    """
    random, m, tile = np.random.default_rng(0), manifest.tile.multiple, manifest.tile
    least = m if tile.blend == "exact" else 2 * m
    sides = [(tile.size, tile.size)] if tile.fixed else [(least, least), (m, 7 * m), (5 * m, 3 * m)]
    batches = [(b, manifest.colour_count, *s) for b, s in zip((1, 3, 2), sides, strict=False)]
    return [as_fed(random.integers(0, 256, shape, dtype=np.uint8), manifest) for shape in batches]


def as_fed(windows: Image, manifest: Manifest) -> Image:
    """Windows of a photograph, (N, C, h, w) uint8, as the model file takes them: each normalised like a photograph of
    its own, where the manifest asks for it.
    """
    how = manifest.preparation.normalise
    if how is None:
        return windows
    return np.stack([normalise_window(window, how) for window in windows])


def values_for_network(windows: Image, manifest: Manifest, kind: type[np.floating[Any]]) -> NDArray[Any]:
    """Windows as the model file takes them → what the network itself takes, (N, C, h, w), computed in `kind`."""
    mean, std = (np.array(v, kind)[:, None, None] for v in (manifest.input.mean, manifest.input.std))
    if manifest.preparation.normalise is not None:
        return np.asarray((values_from_bytes(windows).astype(kind) - mean) / std, kind)
    return np.asarray((windows.astype(kind) / kind(255) - mean) / std, kind)


def drawn_pixels(side: int, channels: int) -> Image:
    """What a network may see where no photograph is given: a lit disc with winding vessels, (side, side, C) uint8."""
    random, centre = np.random.default_rng(0), side // 2
    picture = np.zeros((side, side, 3), np.uint8)
    cv2.circle(picture, (centre, centre), round(0.47 * side), (200, 110, 60), -1, cv2.LINE_AA)
    for number in range(16):
        turns = random.normal(0, 0.15, side // 4).cumsum() + number
        path = random.integers(side // 4, 3 * side // 4, 2) + 4 * np.stack([np.cos(turns), np.sin(turns)], 1).cumsum(0)
        cv2.polylines(picture, [path.astype(np.int32)], False, (150, 60, 40), 1 + number % 6, cv2.LINE_AA)
    pixels = picture[:, :, 1:2] if channels == 1 else picture
    return np.clip(pixels + random.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)
