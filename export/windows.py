"""The windows on which a model file is compared with what it was made of."""

import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.photo.preparation import prepare
from vesselrt.runtime.tiling import window_side


def photograph_window(manifest: Manifest, photograph: Image) -> Image:
    """The photograph as one window, of the tile at most, cut from its centre: (1, C, h, w) uint8."""
    tile = manifest.tile
    pixels = prepare(photograph, manifest.preparation).pixels
    top, left = (max(0, (side - tile.size) // 2) for side in pixels.shape[:2])
    pixels = pixels[top : top + tile.size, left : left + tile.size]
    window = np.zeros(
        (1, pixels.shape[2], window_side(pixels.shape[0], tile), window_side(pixels.shape[1], tile)), np.uint8
    )
    window[0, :, : pixels.shape[0], : pixels.shape[1]] = pixels.transpose(2, 0, 1)
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
    batches = [(b, manifest.channel_count, *s) for b, s in zip((1, 3, 2), sides, strict=False)]
    return [random.integers(0, 256, shape, dtype=np.uint8) for shape in batches]
