"""Every format gives the pixels that are in the file."""

import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from photo_files import (
    LOSSY,
    PIXELS,
    RANDOM,
    REAL,
    SMOOTH,
    Order,
    flat_memory,
    grey,
    pillow,
    pixels_of,
    png,
    saved,
    tiff,
)
from PIL import Image as Pillow
from PIL import ImageOps

from vesselrt.runtime.arrays import Image

ORDERS: tuple[Order, ...] = ("<", ">")


DEEP: NDArray[np.uint16] = RANDOM.integers(0, 65536, (13, 17, 3), np.uint16)


def rgb(image: Pillow.Image) -> Image:
    return np.asarray(image.convert("RGB"))


def eight_bits(values: NDArray[Any]) -> Image:
    return np.floor(values * 255.0 + 0.5).astype(np.uint8)


ALPHA = np.dstack([PIXELS, RANDOM.integers(0, 256, PIXELS.shape[:2], np.uint8)])


OPAQUE = np.dstack([PIXELS, np.full(PIXELS.shape[:2], 255, np.uint8)])


LOSSLESS: dict[str, tuple[bytes, NDArray[Any]]] = {
    **{f"{form} colour": (saved(pillow(PIXELS), form), PIXELS) for form in ("PNG", "TIFF", "BMP")},
    **{
        f"{form} {mode}": (saved(pillow(PIXELS, mode), form), rgb(pillow(PIXELS, mode)))
        for form in ("PNG", "TIFF", "BMP", "GIF")
        for mode in ("L", "1", "P")
    },
    "PNG alpha": (saved(Pillow.fromarray(ALPHA), "PNG"), PIXELS),
    "PNG grey alpha": (saved(Pillow.fromarray(ALPHA).convert("LA"), "PNG"), rgb(pillow(PIXELS, "L"))),
    "PNG palette alpha": (saved(pillow(PIXELS, "P"), "PNG", transparency=3), rgb(pillow(PIXELS, "P"))),
    "PNG 16 bits": (png(DEEP), DEEP >> 8),
    "PNG 16 bits grey": (png(DEEP[:, :, 0]), grey(DEEP[:, :, 0] >> 8)),
    "TIFF opaque alpha": (saved(Pillow.fromarray(OPAQUE), "TIFF"), PIXELS),
    "TIFF CMYK": (saved(pillow(PIXELS, "CMYK"), "TIFF"), rgb(pillow(PIXELS, "CMYK"))),
    **{
        f"TIFF {compression}": (saved(pillow(PIXELS), "TIFF", compression=compression), PIXELS)
        for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits")
    },
    "TIFF big-endian": (tiff(PIXELS, ">"), PIXELS),
    "TIFF tiles": (tiff(np.tile(PIXELS, (4, 4, 1)), tile=32), np.tile(PIXELS, (4, 4, 1))),
    **{
        f"TIFF 16 bits {name} {order}": (tiff(pixels, order, tile), expected)
        for order in ORDERS
        for tile in (0, 16)
        for name, pixels, expected in (
            (f"colour tile {tile}", DEEP, DEEP >> 8),
            (f"grey tile {tile}", DEEP[:, :, 0], grey(DEEP[:, :, 0] >> 8)),
        )
    },
    **{f"TIFF {kind.__name__}": (tiff(REAL.astype(kind)), eight_bits(REAL.astype(kind))) for kind in (np.float32,)},
    "TIFF float32 grey": (tiff(REAL[:, :, 0]), grey(eight_bits(REAL[:, :, 0]))),
    "TIFF float32 of 0, ½ and 1": (tiff(np.array([[0, 0.5, 1]], np.float32)), grey(np.array([[0, 128, 255]]))),
    "BMP alpha": (saved(Pillow.fromarray(ALPHA), "BMP"), PIXELS),
    "WebP lossless": (saved(pillow(PIXELS), "WEBP", lossless=True), PIXELS),
    "WebP alpha": (saved(Pillow.fromarray(ALPHA), "WEBP", lossless=True, exact=True), PIXELS),
    "one pixel": (saved(pillow(PIXELS[:1, :1]), "PNG"), PIXELS[:1, :1]),
}


@pytest.mark.parametrize(("data", "expected"), LOSSLESS.values(), ids=LOSSLESS)
def test_lossless_files_give_exact_pixels(data: bytes, expected: NDArray[Any]) -> None:
    pixels = pixels_of(data)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("data", LOSSY.values(), ids=LOSSY)
def test_lossy_files_give_what_pillow_reads(data: bytes) -> None:
    expected = rgb(Pillow.open(io.BytesIO(data))).astype(int)
    assert np.abs(pixels_of(data) - expected).max() <= 2
    original = rgb(pillow(SMOOTH, "L")) if (expected == expected[:, :, :1]).all() else SMOOTH
    assert np.abs(expected - original).mean() < 4  # the comparison above means something


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_photographs_are_turned_upright(form: str, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x112] = orientation
    data = saved(pillow(SMOOTH), form, exif=exif, **{"lossless": True} if form == "WEBP" else {})
    expected = rgb(ImageOps.exif_transpose(Pillow.open(io.BytesIO(data)))).astype(int)
    pixels = pixels_of(data)
    assert pixels.shape == ((30, 40, 3) if orientation < 5 else (40, 30, 3))
    assert np.abs(pixels - expected).max() <= (2 if form == "JPEG" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pixels", [DEEP, DEEP[:, :, 0], REAL, REAL[:, :, 0]], ids=["16", "16 grey", "f32", "f32 grey"])
def test_deep_tiffs_are_turned_upright_too(pixels: NDArray[Any], orientation: int) -> None:
    turned = pillow(pixels_of(tiff(pixels)))
    turned.getexif()[0x112] = orientation
    np.testing.assert_array_equal(
        pixels_of(tiff(pixels, extra=((274, 3, orientation),))), np.asarray(ImageOps.exif_transpose(turned))
    )


@pytest.mark.parametrize("pixels", [DEEP, DEEP[:, :, 0], REAL, REAL[:, :, 0]], ids=["16", "16 grey", "f32", "f32 grey"])
def test_deep_samples_are_converted_in_bands(pixels: NDArray[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = pixels_of(tiff(pixels))
    monkeypatch.setattr("vesselrt.runtime.photo.depth._BAND_VALUES", 50)  # 221 pixels: the last one is not full
    np.testing.assert_array_equal(pixels_of(tiff(pixels)), expected)


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
@pytest.mark.parametrize("channels", [3, 4])
def test_deep_samples_are_not_copied(kind: Any, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.zeros((300, 400, channels), kind)
    data = tiff(pixels)
    monkeypatch.setattr("vesselrt.runtime.photo.depth._BAND_VALUES", 1000)
    with flat_memory(pixels.nbytes + 300 * 400 * 3 + 2**18):  # what libvips gives is not counted here
        pixels_of(data)
