"""From the bytes of a photograph to pixels. Every limit is checked before pixels are decoded."""

import io
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import BmpImagePlugin, WebPImagePlugin

from vesselrt.runtime.errors import ImageDecodeError, ImageTooLargeError
from vesselrt.runtime.photo.preparation import Image

Format = Literal["jpeg", "png", "tiff", "bmp", "webp", "gif"]
FORMATS: tuple[Format, ...] = get_args(Format)
_MAGIC: dict[bytes, Format] = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"BM": "bmp",
    b"RIFF": "webp",
    b"GIF8": "gif",
}
# No pixel is decoded to read a header, and nothing exotic can be reached: Pillow's parser of exactly that format is
# asked, or the few bytes that matter are read here. These are JPEG, PNG and GIF, because Pillow takes minutes for
# millions of empty segments before the size, and TIFF, because it refuses kinds that OpenCV reads (floating-point
# colour). The pixels are decoded by OpenCV, which is faster and refuses truncated files.
_PARSERS = {"bmp": BmpImagePlugin.BmpImageFile, "webp": WebPImagePlugin.WebPImageFile}
# Bits beside IMREAD_COLOR_RGB; their names say grey, which is the absence of the bit for colour.
_REDUCED = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}
_MOST_SEGMENTS = 65_536
"""Of a JPEG before its size, chunks of a PNG: a file of 64 MiB in the usual pieces of 8 KiB has 8192."""
_MOST_SCANS = 256
"""Of a JPEG. Progressive ones have 10 or so; each takes as long as all pixels do, and can be written in 10 bytes."""
_MOST_SCANNED = _MOST_SCANS * 20_000_000
"""Pixels of all scans of a JPEG together, 3 s or so: larger photographs may have fewer scans."""
_LEAST_SCANS = 32
"""What a JPEG may have whatever its size."""
_PIXEL = 4
"""Bytes: what `Limits.pixels` takes a pixel to have at most."""
_BAND = 2**18  # pixels that are converted at once: in double precision, a copy would take 8 times what is wanted
NAMES = "JPEG, PNG, TIFF, BMP, WebP or GIF"
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif"})


@dataclass(frozen=True)
class Limits:
    """What is accepted: larger input is refused before it is decoded."""

    bytes: int = 64 * 2**20
    """Size of the file."""
    pixels: int = 150_000_000
    """Width × height; 12,000 × 12,000 passes. Of a TIFF or animated PNG with over 4 bytes a pixel, 4 count as one."""
    formats: tuple[Format, ...] = FORMATS
    """Known by a file's first bytes, whatever its name says."""


def read_photo(path: Path, limits: Limits | None = None) -> Image:
    """Decodes a file as `decode_photo` does. Raises as that, and ImageDecodeError when the file can't be read."""
    data = read_bytes(path, limits)
    try:
        return decode_photo(data, limits)
    except (ImageDecodeError, ImageTooLargeError) as error:
        raise type(error)(f"{path}: {error}") from None


def read_bytes(path: Path, limits: Limits | None = None) -> bytes:
    """The content of a file, or what is over the limit of it. Raises ImageDecodeError when it can't be read."""
    try:
        # One byte over the limit is enough to refuse, so a huge file is never read whole.
        with path.open("rb") as file:
            return file.read((limits or Limits()).bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: the path holds a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageDecodeError(f"{path}: can't be read ({reason}). Check the path and its permissions.") from None


def decode_photo(data: bytes, limits: Limits | None = None) -> Image:
    """Decodes a photograph: (H, W, 3) uint8 RGB, turned upright as its EXIF orientation says.

    JPEG (CMYK too), PNG, TIFF, BMP, WebP, GIF; grey, palette and 16-bit (by its upper 8 bits) are
    converted, alpha is dropped, of several frames the first is read. A floating-point TIFF must lie in 0..1.

    Raises ImageTooLargeError over a limit, ImageDecodeError for everything that is not a whole image.
    """
    return decode_reduced(data, limits or Limits(), None)[0]


def decode_reduced(data: bytes, limits: Limits, enough: float | None) -> tuple[Image, int]:
    """Decodes as `decode_photo` does, but no finer than needed, and says by which factor the sides were divided.

    `enough`: a longer side of so many pixels will do. A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that
    leaves as many: its own transform averages blocks of pixels, in half of the time or less. None: at its own size.
    """
    if not data:
        raise ImageDecodeError(f"the file is empty. Send a {NAMES} file.")
    if len(data) > limits.bytes:
        raise ImageTooLargeError(f"the file has more than {limits.bytes:,} bytes, the limit. Send a smaller file.")
    kind = _format(data)
    if kind not in limits.formats:
        raise ImageDecodeError(f"the file is {kind.upper()}. Send one of: {', '.join(limits.formats).upper()}.")
    width, height, depth, samples = _declared(data, kind)
    _check_size(width, height, depth, samples, limits.pixels)
    if kind == "jpeg":
        _check_scans(data, width, height)
    pixels, reduction, deep = None, 1, kind == "tiff" and depth > 8
    if kind != "png" or not _overruns(data):
        # OpenCV garbles the right edge when it makes 8 bits of a grey 16-bit TIFF in tiles (5.0.0).
        flags = cv2.IMREAD_UNCHANGED if deep else cv2.IMREAD_COLOR_RGB
        if enough is not None and kind == "jpeg" and not 0 < abs(width - height) < 8:  # see upright_size
            reduction = next((k for k in _REDUCED if max(width, height) >= k * enough), 1)
            flags |= _REDUCED.get(reduction, 0)
        with suppress(cv2.error):
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if pixels is not None and deep:
        pixels = _from_deep(pixels)
    if pixels is None:
        raise ImageDecodeError(f"the image is truncated or damaged. Send a whole {NAMES} file.")
    return pixels.astype(np.uint8, copy=False), reduction


def _check_size(width: int, height: int, depth: int, samples: int, most: int) -> None:
    if width * height > most:
        raise ImageTooLargeError(
            f"the image declares {width:,} × {height:,} pixels, the limit is {most:,} in all. Send a smaller image."
        )
    if width * height * samples * depth > most * _PIXEL * 8:
        raise ImageTooLargeError(
            f"the image declares {width:,} × {height:,} pixels of {samples:,} × {depth:,} bits, "
            f"the limit is {most * _PIXEL:,} bytes in all. Send a smaller image, or one of 8 bits."
        )


def _check_scans(data: bytes, width: int, height: int) -> None:
    # Neither in its scans nor in its tables does a JPEG hold these two bytes with another meaning.
    scans = data.count(b"\xff\xda")
    most = min(_MOST_SCANS, max(_LEAST_SCANS, _MOST_SCANNED // max(1, width * height)))
    if scans > most:
        raise ImageDecodeError(
            f"the JPEG has {scans:,} scans, the limit at {width:,} × {height:,} pixels is {most}. "
            "Save it again as baseline JPEG."
        )


def upright_size(data: bytes, reduced: Image) -> tuple[int, int]:
    """Height and width of the photograph that was decoded as `reduced`: which side is longer tells how it lies."""
    longer, shorter = sorted(_declared(data, _format(data))[:2], reverse=True)
    return (shorter, longer) if reduced.shape[1] > reduced.shape[0] else (longer, shorter)


def _format(data: bytes) -> Format:
    kind = next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)
    if kind is None:
        raise ImageDecodeError(f"not an image: it begins with {data[:8]!r}. Send a {NAMES} file.")
    return kind


def _declared(data: bytes, kind: Format) -> tuple[int, int, int, int]:
    """Width, height, and bits a sample and samples a pixel where these make memory (else 8, 1), from the header."""
    try:
        match kind:
            case "jpeg":
                return (*_declared_by_jpeg(data), 8, 1)
            case "png":
                return _declared_by_png(data)
            case "tiff":
                return _declared_by_tiff(data)
            case "gif":
                return (*struct.unpack_from("<HH", data, 6), 8, 1)
            case "bmp" | "webp":
                with _PARSERS[kind](io.BytesIO(data)) as header:
                    return (*header.size, 8, 1)
    except Exception:  # noqa: BLE001 - Pillow's parsers raise anything on a hostile header
        raise ImageDecodeError(f"the image's header is damaged. Send a whole {NAMES} file.") from None


def _declared_by_jpeg(data: bytes) -> tuple[int, int]:
    """The frame header (ITU T.81, B.2.2), which comes after segments that say their length."""
    place = 2
    for _ in range(_MOST_SEGMENTS):
        ahead, marker, length = struct.unpack_from(">BBH", data, place)
        if ahead != 0xFF or (marker != 0xFF and length < 2):
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # tables, reserved, conditioning
            height, width = struct.unpack_from(">HH", data, place + 5)
            return width, height
        place += 1 if marker == 0xFF else 2 + length  # any marker may be preceded by bytes 255
    raise ValueError("no frame")


def _declared_by_png(data: bytes) -> tuple[int, int, int, int]:
    """The chunk IHDR, which must be the first."""
    kind, width, height, depth = struct.unpack_from(">4sIIB", data, 12)
    if kind != b"IHDR" or not width or not height:
        raise ValueError("no size")
    # Of an animation OpenCV (5.0.0) keeps several frames with alpha, and as deep as they are.
    return (width, height, depth, 4) if b"acTL" in data else (width, height, 8, 1)


def _declared_by_tiff(data: bytes) -> tuple[int, int, int, int]:
    """ImageWidth, ImageLength, BitsPerSample, SamplesPerPixel of the first page; of a tag given twice the largest."""
    order = {b"I": "<", b"M": ">"}[data[:1]]
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    found = {256: 0, 257: 0, 258: 1, 277: 1}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, values, elsewhere = struct.unpack_from(f"{order}HHII", data, entry)
        if tag in found:
            form = order + {1: "B", 3: "H", 4: "I"}[kind]
            # Values of more than 4 bytes, such as the bits of three channels, do not fit into the entry.
            place = entry + 8 if values * struct.calcsize(form) <= 4 else elsewhere
            found[tag] = max(found[tag], *struct.unpack_from(form, data, place))
    if not found[256] or not found[257]:
        raise ValueError("no size")
    return found[256], found[257], found[258], found[277]


def _overruns(data: bytes) -> bool:
    """Whether a chunk of a PNG claims to go on after the file's end: OpenCV (5.0.0) would fill up to 4 GiB for it.

    Or whether there are so many that going through them takes seconds.
    """
    place, chunks = 8, 0
    while place + 8 <= len(data) and data[place + 4 : place + 8] != b"IEND":
        (length,) = struct.unpack_from(">I", data, place)
        place += 12 + length
        chunks += 1
        if chunks > _MOST_SEGMENTS:
            return True
    return place > len(data)


def _from_deep(pixels: "np.ndarray") -> Image | None:
    """A TIFF of 16-bit or floating-point samples, grey or BGR or BGRA, as RGB; None for another kind."""
    real = pixels.dtype in (np.float32, np.float64)
    if real:
        _check_range(pixels)
    elif pixels.dtype != np.uint16:
        return None
    height, width = pixels.shape[:2]
    samples, result = pixels.reshape(height * width, -1), np.empty((height, width, 3), np.uint8)
    converted = result.reshape(-1, 3)
    for start in range(0, len(samples), _BAND):
        band = samples[start : start + _BAND, 2::-1]  # (N, 3), or (N, 1) of grey
        converted[start : start + _BAND] = band * 255 + 0.5 if real else band >> 8
    return result


def _check_range(pixels: "np.ndarray") -> None:
    low, high = pixels.min(), pixels.max()  # NaN where there is one
    if not np.isfinite((low, high)).all():
        raise ImageDecodeError(
            "the image holds NaN or infinite values. Send finite values in 0..1, or an 8- or 16-bit image."
        )
    if low < 0 or high > 1:
        raise ImageDecodeError(
            f"the image holds floating-point values from {low:g} to {high:g}. "
            "Send values in 0..1, or an 8- or 16-bit image."
        )
