"""Formats that eye cameras write seldom: BMP by Pillow's decoder of exactly that, AVIF by libvips."""

import io
from typing import TYPE_CHECKING

import numpy as np

from vesselrt.runtime.photo.encoded import MAX_RATIO, Encoded, Samples, bad_header, damaged, unsupported
from vesselrt.runtime.photo.vips import decode_with_vips, read_vips_header

if TYPE_CHECKING:
    from PIL.BmpImagePlugin import BmpImageFile

_UNCOMPRESSED = (0, 3, 6)  # BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS
_MAX_RUN_BYTES = 2**20  # bytes of run-length coding, which Pillow decodes in Python


def open_bmp(data: bytes) -> Encoded:
    """Reads the header. Raises ImageDecodeError."""
    from PIL.BmpImagePlugin import BmpImageFile  # which decoder processes seldom need

    header, compression = (int.from_bytes(data[place : place + 4], "little") for place in (14, 30))
    if (
        header >= 40
        and compression not in _UNCOMPRESSED
        and not (compression in (1, 2) and len(data) <= _MAX_RUN_BYTES)
    ):
        raise unsupported("bmp", "coding of this kind or length", "as BMP without compression, or as PNG")
    try:
        file = BmpImageFile(io.BytesIO(data))
    except Exception:  # noqa: BLE001 - Pillow's parser raises anything on a hostile header
        raise bad_header("bmp") from None
    return Encoded("bmp", *file.size, lambda _: _decode_bmp(file), is_raw=True)


def _decode_bmp(file: "BmpImageFile") -> Samples:
    try:
        file.load()
    except Exception:  # noqa: BLE001 - and its decoder too
        raise damaged("bmp") from None
    return np.asarray(file if file.mode in ("L", "RGB") else file.convert("RGB"))


def open_avif(data: bytes) -> Encoded:
    """Reads the header. Raises ImageDecodeError."""
    width, height, samples, depth = read_vips_header("avif", "heifload_buffer", data)
    return Encoded(
        "avif", width, height, lambda _: decode_with_vips("avif", "heifload_buffer", data),
        samples=samples, depth=depth, max_bytes=len(data) * MAX_RATIO,
    )  # fmt: skip
