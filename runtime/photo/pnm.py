"""PNM (netpbm: PBM, PGM and PPM, as bytes or as text): so little that NumPy is the decoder."""

import re

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.photo.encoded import Encoded, Samples, bad_header, damaged, unsupported

_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"  # space, and comments to the end of their line
_SIZE = re.compile(rb"P([1-6])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})")
_MAX_VALUE = re.compile(_GAP + rb"(\d{1,5})")
_MAX_HEADER_BYTES = 2**16  # with its comments
_MAX_CHARACTERS = 16  # characters a number


def open_pnm(data: bytes) -> Encoded:
    """Reads the header. Raises ImageDecodeError."""
    head = data[:_MAX_HEADER_BYTES]
    found = _SIZE.match(head)
    if found is None:
        raise bad_header("pnm")
    kind, width, height = (int(number) for number in found.groups())
    end, largest = found.end(), 1
    if kind not in (1, 4):  # bits have no largest value
        value = _MAX_VALUE.match(head, end)
        if value is None:
            raise bad_header("pnm")
        end, largest = value.end(), int(value[1])
    if not width or not height or not 0 < largest < 2**16:
        raise bad_header("pnm")
    shape = (height, width, 3 if kind in (3, 6) else 1)
    return Encoded(
        "pnm", width, height, lambda _: _decode_pnm(data, end, kind, shape, largest),
        samples=shape[2], depth=8 if largest < 256 else 16, is_raw=kind > 3,
    )  # fmt: skip


def _decode_pnm(data: bytes, end: int, kind: int, shape: tuple[int, int, int], largest: int) -> Samples:
    """(H, W, 1 or 3) uint8 or uint16, `largest` being white."""
    if kind <= 3:
        values = _values_from_text(data[end:], shape, bits=kind == 1)
    else:
        values = _values_from_bytes(data, end + 1, shape, 1 if kind == 4 else 8 if largest < 256 else 16)
    if kind in (1, 4):
        return np.where(values, np.uint8(0), np.uint8(255))  # 1 is black
    if values.max() > largest:
        raise damaged("pnm")
    white = 255 if largest < 256 else 65535
    if largest == white:
        return values
    return ((values.astype(np.uint32) * white + largest // 2) // largest).astype(values.dtype)


def _values_from_bytes(data: bytes, start: int, shape: tuple[int, int, int], bits: int) -> Samples:
    height, width, channels = shape
    across = -(-width * channels * bits // 8)  # a row of bits ends with a whole byte
    if start + height * across > len(data):
        raise damaged("pnm")
    if bits == 16:
        return np.frombuffer(data, ">u2", height * width * channels, start).reshape(shape).astype(np.uint16)
    rows = np.frombuffer(data, np.uint8, height * across, start).reshape(height, across)
    return np.unpackbits(rows, axis=1, count=width)[:, :, None] if bits == 1 else rows.reshape(shape)


def _values_from_text(text: bytes, shape: tuple[int, int, int], *, bits: bool) -> Samples:
    if len(text) > _MAX_HEADER_BYTES + _MAX_CHARACTERS * np.prod(shape):
        raise unsupported("pnm", f"more than {_MAX_CHARACTERS} characters a number", "as P5 or P6")
    text = re.sub(rb"#[^\n\r]*", b"", text)
    if bits:  # need no space between them
        text = b" ".join(re.findall(rb"[01]", text))
    if re.search(rb"[^\d\s]|\d{6}", text):
        raise damaged("pnm")
    digits = np.frombuffer(text, np.uint8) >= ord("0")
    numbers = np.count_nonzero(digits[1:] & ~digits[:-1]) + np.count_nonzero(digits[:1])
    # Of a text that ends early fromstring would give as many all the same, out of memory that was never written.
    if numbers < np.prod(shape):
        raise damaged("pnm")
    values: NDArray[np.int64] = np.fromstring(text, np.int64, int(np.prod(shape)), sep=" ")
    if values.max() >= 2**16:
        raise damaged("pnm")
    return values.reshape(shape).astype(np.uint8 if values.max() < 256 else np.uint16)
