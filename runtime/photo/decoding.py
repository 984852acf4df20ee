"""From the bytes of a photograph to pixels. Every limit is checked before pixels are decoded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ImageDecodeError, ImageNotFoundError, ImageTooLargeError
from vesselrt.runtime.photo.depth import to_eight_bits
from vesselrt.runtime.photo.dicom import open_dicom
from vesselrt.runtime.photo.dicom_codecs import load_codecs
from vesselrt.runtime.photo.encoded import PHOTO_FORMATS, PHOTO_NAMES, PHOTO_TITLES, Encoded, PhotoFormat, damaged
from vesselrt.runtime.photo.exif import turn_upright
from vesselrt.runtime.photo.gif import open_gif
from vesselrt.runtime.photo.jpeg import open_jpeg
from vesselrt.runtime.photo.origin import Origin
from vesselrt.runtime.photo.others import open_avif, open_bmp
from vesselrt.runtime.photo.png import open_png
from vesselrt.runtime.photo.pnm import open_pnm
from vesselrt.runtime.photo.tiff import open_tiff
from vesselrt.runtime.photo.torn import find_torn_rows
from vesselrt.runtime.photo.vips import load_vips
from vesselrt.runtime.photo.webp import open_webp

__all__ = [
    "PHOTO_FORMATS",
    "PHOTO_SUFFIXES",
    "Decoded",
    "Limits",
    "PhotoFormat",
    "decode_photo",
    "read_bytes",
    "read_photo",
]

_MAGIC: tuple[tuple[bytes, int, PhotoFormat], ...] = (
    (b"\xff\xd8\xff", 0, "jpeg"),
    (b"\x89PNG\r\n\x1a\n", 0, "png"),
    (b"II*\0", 0, "tiff"),
    (b"MM\0*", 0, "tiff"),
    (b"II+\0", 0, "tiff"),  # BigTIFF
    (b"MM\0+", 0, "tiff"),
    (b"BM", 0, "bmp"),
    (b"WEBP", 8, "webp"),
    (b"GIF8", 0, "gif"),
    *((b"P%d" % kind, 0, "pnm") for kind in range(1, 7)),
    (b"ftypavif", 4, "avif"),
    (b"DICM", 128, "dicom"),
)
"""First bytes, their place, format."""
_OPENERS: dict[PhotoFormat, Callable[[bytes], Encoded]] = {
    "jpeg": open_jpeg, "png": open_png, "tiff": open_tiff, "bmp": open_bmp, "webp": open_webp, "gif": open_gif,
    "pnm": open_pnm, "avif": open_avif,
}  # fmt: skip
_NOT_READ = (
    (b"ftyphei", 4, "HEIC", "Save it as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible)."),
    (b"ftypmif1", 4, "HEIF", "Save it as JPEG."),
    (b"ftypavis", 4, "an AVIF sequence", "Save one picture of it as AVIF or JPEG."),
    (b"ftyp", 4, "a video", "Send a photograph."),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000", "Save it as PNG or TIFF."),
    (b"\xff\x4f\xff\x51", 0, "JPEG 2000", "Save it as PNG or TIFF."),
    (b"%PDF", 0, "PDF", "Save the photograph in it as PNG or JPEG."),
    (b"\xff\x0a", 0, "JPEG XL", "Save it as JPEG or PNG."),
    (b"\0\0\0\x0cJXL ", 0, "JPEG XL", "Save it as JPEG or PNG."),
    (b"8BPS", 0, "a Photoshop document", "Save it as PNG or TIFF."),
    (b"<svg", 0, "SVG", "Send a photograph."),
    (b"<?xml", 0, "XML", "Send a photograph."),
    (b"<!DOCTYPE", 0, "HTML", "Send the photograph, not the page that shows it."),
    (b"<html", 0, "HTML", "Send the photograph, not the page that shows it."),
    (b"<!doctype", 0, "HTML", "Send the photograph, not the page that shows it."),
    (b"P7", 0, "PAM", "Save it as PNG or PPM."),
    (b"v/1\x01", 0, "OpenEXR", "Save it as PNG or TIFF."),
    (b"#?RADIANCE", 0, "Radiance HDR", "Save it as PNG or TIFF."),
    (b"\0\0\1\0", 0, "an icon", "Send a photograph."),
    (b"n+1\0", 344, "NIfTI", "Save the photograph in it as PNG or TIFF."),
    (b"PK\x03\x04", 0, "a ZIP file", "Unpack it, and send the photographs in it."),
    (b"\x1f\x8b", 0, "compressed with gzip", "Unpack it first."),
    (b"SIMPLE  =", 0, "FITS", "Save it as PNG or TIFF."),
    (b"\x89HDF", 0, "HDF5", "Save the photograph in it as PNG or TIFF."),
    (b"\x93NUMPY", 0, "a NumPy array", "Load it, and hand over the (H, W, 3) uint8 array."),
)
"""First bytes, their place, what it is, and what to do: a file that is whole and not read is named as what it is."""
_PIXEL = 4
"""Bytes: what `Limits.pixels` takes a pixel to have at most."""
_PIECE = 2**24
Admit = Callable[[int], None]
"""Is told how many pixels of at most 4 bytes a photograph declares, before one is decoded; what it raises ends that."""
_SLACK = 4096
"""Bytes by which a file may declare more than it can hold: of tiny ones rounding decides."""
PHOTO_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm",
    ".avif", ".dcm",
})  # fmt: skip


class BinaryFile(Protocol):
    """What is open for reading in binary mode."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Limits:
    """What is accepted: larger input is refused before it is decoded.

    >>> segmenter = vesselrt.load(limits=vesselrt.Limits(pixels=20_000_000, formats=("jpeg", "png")))
    """

    bytes: int = 64 * 2**20
    """Size of the file."""
    pixels: int = 150_000_000
    """Width × height; 12,000 × 12,000 passes. Of a file with over 4 bytes a pixel, 4 count as one."""
    formats: tuple[PhotoFormat, ...] = PHOTO_FORMATS
    """Known by a file's first bytes, whatever its name says."""


@dataclass(frozen=True)
class Decoded:
    """A photograph's pixels, and what is to be said of them."""

    pixels: Image
    """(h, w, 3) uint8 RGB, upright."""
    reduction: int
    """By which the sides were divided: 1, 2, 4 or 8."""
    size: tuple[int, int]
    """Height and width of the whole photograph, upright."""
    warnings: tuple[str, ...]
    """What had to be assumed, a sentence each."""
    origin: Origin | None = None
    """What a DICOM file tells; None of other files."""


def read_photo(path: Path, limits: Limits | None = None) -> Decoded:
    """Decodes a file as `decode_photo` does. Raises as that, and as `read_bytes`."""
    data = read_bytes(path, limits)
    try:
        return decode_photo(data, limits)
    except (ImageDecodeError, ImageTooLargeError) as error:
        raise type(error)(f"{path}: {error}") from None


def read_bytes(path: Path, limits: Limits | None = None) -> bytes:
    """The content of a file, or what is over the limit of it.

    Raises ImageNotFoundError when it is not there, ImageDecodeError when it can't be read.
    """
    try:
        with path.open("rb") as file:
            return read_at_most(file, (limits or Limits()).bytes + 1)  # one over the limit is enough to refuse
    except FileNotFoundError:
        raise ImageNotFoundError(f"{path}: can't be read (No such file or directory). Check the path.") from None
    except (OSError, ValueError) as error:  # ValueError: the path holds a NUL
        reason = error.strerror if isinstance(error, OSError) else error
        raise ImageDecodeError(f"{path}: can't be read ({reason}). Check the path and its permissions.") from None


def read_at_most(file: BinaryFile, most: int) -> bytes:
    """The bytes of an open file or pipe up to `most`; memory is taken for those that there are."""
    pieces = list[bytes]()
    while most > 0 and (piece := file.read(min(most, _PIECE))):
        pieces.append(piece)
        most -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def decode_photo(
    data: bytes,
    limits: Limits | None = None,
    enough: float | None = None,
    admit: Admit | None = None,
    frame: int | None = None,
) -> Decoded:
    """Decodes a photograph, turned upright as its EXIF orientation says.

    Grey, palette, CMYK and 16-bit files are converted, alpha is dropped. A floating-point TIFF must lie in 0..1.
    `enough`: a longer side of so many pixels will do. A JPEG is decoded at 1/2, 1/4 or 1/8 of its size where that
    leaves as many: its own transform averages blocks of pixels, in half of the time or less. None: at its own size.
    `frame`: which photograph of a DICOM file that holds several, from 1; None: the only one.

    Raises ImageTooLargeError over a limit; ImageDecodeError for a file that is damaged, not read, or holds several
    photographs; and what `admit` raises.
    """
    encoded = open_photo(data, limits or Limits(), frame)
    if admit is not None:
        admit(declared_pixels(encoded))
    return decode_opened(encoded, enough)


def open_photo(data: bytes, limits: Limits, frame: int | None = None) -> Encoded:
    """The first half of `decode_photo`: reads the header and checks the limits, before a pixel is decoded."""
    if not data:
        raise ImageDecodeError(f"the file is empty. Send a {PHOTO_NAMES} file.")
    if len(data) > limits.bytes:
        raise ImageTooLargeError(f"the file has more than {limits.bytes:,} bytes, the limit. Send a smaller file.")
    kind = _detect_format(data)
    if kind not in limits.formats:
        allowed = ", ".join(PHOTO_TITLES[form] for form in limits.formats)
        raise ImageDecodeError(f"the file is {PHOTO_TITLES[kind]}. Send one of: {allowed}.")
    encoded = open_dicom(data, frame) if kind == "dicom" else _open_single(kind, data, frame)
    _check_size(encoded, limits.pixels)
    if encoded.max_bytes is not None and encoded.bytes > encoded.max_bytes + _SLACK:
        raise damaged(kind)  # before memory is taken for pixels that can't come
    return encoded


def _open_single(kind: PhotoFormat, data: bytes, frame: int | None) -> Encoded:
    """A file of a format that holds one photograph."""
    if frame not in (None, 1):
        raise ImageDecodeError(
            f"frame {frame} was asked for, and the file is {PHOTO_TITLES[kind]}. Leave out the frame."
        )
    return _OPENERS[kind](data)


def declared_pixels(encoded: Encoded) -> int:
    """What the header says that the image has, in pixels of at most 4 bytes."""
    return max(encoded.width * encoded.height, -(-encoded.bytes // _PIXEL))


def load_libraries(encoded: Encoded) -> None:
    """Loads what `decode_opened` will need of a file, so that a limit on memory set after it is for the pixels alone.

    libvips' own libraries take 20 MB of addresses, OpenCV's 170.
    """
    if encoded.kind == "dicom":
        load_codecs()
    elif encoded.kind not in ("jpeg", "bmp", "pnm"):
        load_vips()
    if encoded.is_raw:
        import cv2  # noqa: F401 - for `find_torn_rows`


def decode_opened(encoded: Encoded, enough: float | None) -> Decoded:
    """The second half of `decode_photo`."""
    longer = max(encoded.width, encoded.height)
    reduction = 1 if enough is None else next((k for k in encoded.reductions if longer >= k * enough), 1)
    samples, assumed = to_eight_bits(encoded.decode(reduction), encoded)
    if encoded.is_raw:
        assumed += find_torn_rows(samples)
    pixels = np.ascontiguousarray(turn_upright(_colours(samples), encoded.orientation))
    size = (encoded.height, encoded.width) if encoded.orientation < 5 else (encoded.width, encoded.height)
    return Decoded(pixels, reduction, size, (*encoded.warnings, *assumed), encoded.origin)


def _colours(samples: Image) -> Image:
    """(H, W, 3) of grey, grey with alpha, RGB or RGB with alpha."""
    if samples.ndim == 3 and samples.shape[2] >= 3:
        return samples[:, :, :3]
    grey = samples if samples.ndim == 2 else samples[:, :, 0]
    return np.broadcast_to(grey[:, :, None], (*grey.shape, 3))


def _check_size(encoded: Encoded, most: int) -> None:
    size = f"the image declares {encoded.width:,} × {encoded.height:,} pixels"
    if encoded.width * encoded.height > most:
        raise ImageTooLargeError(f"{size}, the limit is {most:,} in all. Send a smaller image.")
    if encoded.bytes > most * _PIXEL:
        raise ImageTooLargeError(
            f"{size} of {encoded.samples:,} × {encoded.depth:,} bits, the limit is {most * _PIXEL:,} bytes in all. "
            "Send a smaller image, or one of 8 bits."
        )


def _detect_format(data: bytes) -> PhotoFormat:
    for magic, place, kind in _MAGIC:
        if data.startswith(magic, place):
            return kind
    for magic, place, name, hint in _NOT_READ:
        if data.startswith(magic, place):
            raise ImageDecodeError(f"the file is {name}, which is not read. {hint}")
    raise ImageDecodeError(f"not an image: it begins with {data[:8]!r}. Send a {PHOTO_NAMES} file.")
