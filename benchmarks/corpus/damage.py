"""One photograph in every format, and the same files overwritten or cut."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image as Pillow

from vesselrt.benchmarks.corpus.tiff import TiffLayout, tiff
from vesselrt.benchmarks.corpus.writers import pnm
from vesselrt.runtime.arrays import Image

PLACES = 20
SIZE = 512
"""Bytes that are overwritten: a sector of a disk."""


def formats(photo: Image) -> dict[str, bytes]:
    """(H, W, 3) uint8 RGB in each format, codec and arrangement that photographs come in; name → file."""

    def pillow(form: str, **options: object) -> bytes:
        file = io.BytesIO()
        Pillow.fromarray(photo).save(file, form, **options)
        return file.getvalue()

    def opencv(suffix: str, *options: int) -> bytes:
        return cv2.imencode(suffix, photo[:, :, ::-1], options)[1].tobytes()

    return {
        "JPEG 4:2:0": pillow("JPEG", quality=90, subsampling=2),
        "JPEG 4:4:4": pillow("JPEG", quality=90, subsampling=0),
        "JPEG optimised": pillow("JPEG", quality=90, optimize=True),
        "JPEG progressive": pillow("JPEG", quality=90, progressive=True),
        "JPEG restart markers": pillow("JPEG", quality=90, restart_marker_rows=1),
        "PNG": pillow("PNG"),
        **{
            f"TIFF {compression or 'none'} strips": pillow("TIFF", compression=compression)
            for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
        },
        **{
            f"TIFF {compression} tiles": tiff(TiffLayout("8-bit", "RGB", compression, tiled=True), photo / 255)[0]
            for compression in ("none", "LZW", "deflate", "JPEG")
        },
        "WebP lossy": pillow("WEBP", quality=90),
        "WebP lossless": pillow("WEBP", lossless=True),
        "GIF": pillow("GIF"),
        "BMP": pillow("BMP"),
        "PPM": pillow("PPM"),
        "PPM text": pnm(photo, "P3"),
        "AVIF": pillow("AVIF", quality=85),
    }


@dataclass(frozen=True)
class Damaged:
    """A file with a fault at a known place."""

    name: str
    data: bytes


def overwritten(data: bytes, seed: int = 0) -> Iterator[Damaged]:
    """SIZE bytes at each of PLACES places, from the first bytes to the last: random, zeros, ones."""
    random = np.random.default_rng(seed)
    for place in np.linspace(0, len(data) - SIZE, PLACES).astype(int):
        fills = {"random": random.bytes(SIZE), "zeros": bytes(SIZE), "ones": b"\xff" * SIZE}
        for name, fill in fills.items():
            yield Damaged(f"{name} at {place:,}", data[:place] + fill + data[place + SIZE :])


def cut(data: bytes) -> Iterator[Damaged]:
    """The first bytes alone, PLACES lengths from a twentieth to all but one byte."""
    for length in np.linspace(len(data) // PLACES, len(data) - 1, PLACES).astype(int):
        yield Damaged(f"cut at {length:,}", data[:length])
