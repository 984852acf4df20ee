"""JPEG (ITU T.81) by libjpeg-turbo, which warns of bytes that are left over: most damage shows in nothing else."""

import re
import struct
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import simplejpeg

from vesselrt.runtime.photo.encoded import MAX_PARTS, REDUCTIONS, Encoded, Samples, bad_header, damaged, unsupported
from vesselrt.runtime.photo.exif import orientation_from_exif

_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # baseline, extended, progressive, and the last two with arithmetic coding
_OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}  # lossless (0xF7: JPEG-LS) and hierarchical
_SCAN, _END = 0xDA, 0xD9
_WITHOUT_PIXELS = {*range(0xE0, 0xEE), 0xEF, 0xFE}
"""Segments that hold no pixels: the decoder complains of half a profile. Adobe's 0xEE tells what the colours are."""
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # what is no coded byte, restart or filling
_MAX_SCANS = 256
"""Progressive photographs have 10 or so; each scan takes as long as all pixels do, and can be written in 10 bytes."""
_MAX_SCANNED_PIXELS = _MAX_SCANS * 20_000_000
"""Pixels of all scans together, 3 s or so: larger photographs may have fewer scans."""
_MIN_SCANS = 32
"""What a JPEG may have whatever its size."""


def open_jpeg(data: bytes) -> Encoded:
    """Reads the header. Raises ImageDecodeError."""
    orientation, adobe, frame, kept = 1, False, _Frame(0, 0, 0, 0), [data[:2]]
    for marker, start, end in _segments(data):
        if marker in _FRAMES | _OTHER_FRAMES and end - start >= 6:
            depth, height, width, channels = struct.unpack_from(">BHHB", data, start)
            _check_jpeg_kind(marker, depth, channels)
            frame = _Frame(marker, width, height, channels)
        elif marker == 0xE1 and data.startswith(b"Exif\0\0", start) and orientation == 1:
            orientation = orientation_from_exif(data[start + 6 : end])
        elif marker == 0xEE and data.startswith(b"Adobe", start):
            adobe = True
        elif marker == _SCAN:
            break
        if marker not in _WITHOUT_PIXELS:
            kept.append(data[start - 4 : end])
    else:
        raise bad_header("jpeg")
    if not frame.width or not frame.height:
        raise bad_header("jpeg")
    if frame.is_progressive or data[start] < frame.channels:
        _check_scans(data, start - 4, frame)
    pure = b"".join([*kept, memoryview(data)[start - 4 :]])
    return Encoded(
        "jpeg", frame.width, frame.height, partial(_decode_jpeg, pure, frame, adobe), orientation=orientation,
        reductions=REDUCTIONS,
    )  # fmt: skip


class _Frame(NamedTuple):
    """What the frame header says."""

    marker: int
    width: int
    height: int
    channels: int

    @property
    def is_progressive(self) -> bool:
        return self.marker in (0xC2, 0xCA)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of the content of each segment up to the first scan's header."""
    place = 2
    for _ in range(MAX_PARTS):
        try:
            ahead, marker, length = struct.unpack_from(">BBH", data, place)
        except struct.error:
            return
        if ahead != 0xFF or (marker != 0xFF and (length < 2 or place + 2 + length > len(data))):
            return
        if marker != 0xFF:  # any marker may be preceded by bytes 255
            yield marker, place + 4, place + 2 + length
        place += 1 if marker == 0xFF else 2 + length


def _check_jpeg_kind(frame: int, depth: int, channels: int) -> None:
    instead = "as baseline JPEG of 8 bits, or as PNG"
    if depth != 8:
        raise unsupported("jpeg", f"{depth} bits a sample", instead)
    if frame in _OTHER_FRAMES:
        raise unsupported("jpeg", "lossless or hierarchical coding", instead)
    if channels not in (1, 3, 4):
        raise unsupported("jpeg", f"{channels} colour components", instead)


def _check_scans(data: bytes, place: int, frame: _Frame) -> None:
    """Raises ImageDecodeError where the scans from `place` on, up to the end of the image, are too many."""
    most = min(_MAX_SCANS, max(_MIN_SCANS, _MAX_SCANNED_PIXELS // (frame.width * frame.height)))
    scans = 0
    for _ in range(MAX_PARTS):
        marker = data[place + 1] if place + 4 <= len(data) else _END
        if marker == _END:
            break
        scans += marker == _SCAN
        place += 2 + int.from_bytes(data[place + 2 : place + 4])
        found = _NEXT_MARKER.search(data, place)
        if found is None:
            break
        place = found.start()
    if scans > most:
        what = f"{scans:,} scans, more than {most} of {frame.width:,} × {frame.height:,} pixels"
        raise unsupported("jpeg", what, "as baseline JPEG")


def _decode_jpeg(data: bytes, frame: _Frame, adobe: bool, reduction: int) -> Samples:
    pixels = decode_strictly(
        data, "CMYK" if frame.channels == 4 else "RGB", min_factor=reduction,
        min_width=-(-frame.width // reduction), min_height=-(-frame.height // reduction),
    )  # fmt: skip
    return pixels if frame.channels != 4 else rgb_from_cmyk(pixels, inverted=adobe)


def decode_strictly(data: bytes, colours: str, **options: int) -> Samples:
    """(h, w, C) uint8 of a whole JPEG. Raises ImageDecodeError for whatever libjpeg-turbo warns of."""
    try:
        return np.asarray(simplejpeg.decode_jpeg(data, colours, strict=True, **options), np.uint8)
    except ValueError:
        raise damaged("jpeg") from None


def rgb_from_cmyk(inks: Samples, *, inverted: bool) -> Samples:
    """(H, W, 3) of (H, W, 4) uint8: light that two layers of ink let through; `inverted`: 255 is no ink, as Adobe does.

    Row by row, so that no second picture of more bits is made.
    """
    result = np.empty((*inks.shape[:2], 3), np.uint8)
    for row, light in zip(inks, result, strict=True):
        paper = row.astype(np.uint16) if inverted else 255 - row.astype(np.uint16)  # (W, 4): what ink lets through
        light[:] = (paper[:, :3] * paper[:, 3:] + 127) // 255
    return result
