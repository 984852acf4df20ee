"""Photographs as files, written byte by byte."""

import io
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.photo.decoding import Limits, decode_photo

Order = Literal["<", ">"]


RANDOM = np.random.default_rng(0)


PIXELS: Image = RANDOM.integers(0, 256, (13, 17, 3), np.uint8)


REAL: NDArray[np.float32] = RANDOM.random((13, 17, 3), np.float32)


# What JPEG keeps: no noise, no sharp colours.
SMOOTH: Image = np.asarray(cv2.resize(PIXELS[:3, :4] // 2 + 64, (40, 30), interpolation=cv2.INTER_CUBIC), np.uint8)


def pixels_of(data: bytes, limits: Limits | None = None) -> Image:
    return decode_photo(data, limits).pixels


def pillow(pixels: NDArray[Any], mode: str = "RGB") -> Pillow.Image:
    image = Pillow.fromarray(pixels)
    return image.quantize(16) if mode == "P" else image.convert(mode)


def saved(image: Pillow.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def tiff(
    pixels: NDArray[Any], order: Order = "<", tile: int = 0, extra: tuple[tuple[int, int, int], ...] = ()
) -> bytes:
    """A TIFF of samples of any kind, (H, W) or (H, W, C); `tile`: side of its tiles, else one strip; `extra` tags."""
    height, width, channels = (*pixels.shape, 1)[:3]
    samples = pixels.reshape(height, width, channels).astype(pixels.dtype.newbyteorder(order))
    if tile:
        samples = np.pad(samples, ((0, -height % tile), (0, -width % tile), (0, 0)))
        across = samples.shape[1] // tile
        samples = samples.reshape(-1, tile, across, tile, channels).swapaxes(1, 2)
    blocks = [block.tobytes() for block in samples.reshape(-1, tile, tile, channels)] if tile else [samples.tobytes()]
    body = b"".join(blocks)
    starts = [8 + sum(map(len, blocks[:i])) for i in range(len(blocks))]
    sample_format = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    tags: list[tuple[int, int, list[int]]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [8 * pixels.dtype.itemsize] * channels),
        (259, 3, [1]),
        (262, 3, [2 if channels > 1 else 1]),
        (277, 3, [channels]),
        (339, 3, [sample_format] * channels),
        *[(tag, kind, [value]) for tag, kind, value in extra],
    ]
    if tile:
        tags += [(322, 3, [tile]), (323, 3, [tile]), (324, 4, starts), (325, 4, [len(b) for b in blocks])]
    else:
        tags += [(273, 4, starts), (278, 4, [height]), (279, 4, [len(body)])]
    entries = b""
    for tag, kind, values in sorted(tags, key=lambda entry: entry[0]):
        packed = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            packed, body = struct.pack(f"{order}I", 8 + len(body)), body + packed
        entries += struct.pack(f"{order}HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    magic = b"II*\0" if order == "<" else b"MM\0*"
    start = struct.pack(f"{order}I", 8 + len(body))
    return magic + start + body + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def png(image: NDArray[Any]) -> bytes:
    """By OpenCV, which writes 16 bits; colours are given as RGB."""
    done, data = cv2.imencode(".png", image[:, :, ::-1] if image.ndim == 3 else image)
    assert done
    return data.tobytes()


def grey(values: NDArray[Any]) -> Image:
    return np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)


LOSSY = {
    "JPEG": saved(pillow(SMOOTH), "JPEG", quality=98, subsampling=0),
    "JPEG progressive": saved(pillow(SMOOTH), "JPEG", quality=98, subsampling=0, progressive=True),
    "JPEG CMYK": saved(pillow(SMOOTH, "CMYK"), "JPEG", quality=98, subsampling=0),
    "JPEG grey": saved(pillow(SMOOTH, "L"), "JPEG", quality=98),
    "TIFF JPEG": saved(pillow(SMOOTH), "TIFF", compression="jpeg", quality=98),
    "WebP": saved(pillow(SMOOTH), "WEBP", quality=98),
}


@contextmanager
def flat_memory(limit: int = 2**20) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < limit
