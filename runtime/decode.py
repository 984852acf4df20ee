"""From the bytes of a photograph to pixels. Every limit is checked before pixels are decoded."""

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from vesselrt.runtime.errors import ImageDecodeError, ImageTooLargeError
from vesselrt.runtime.preparation import Image

# The header is read by Pillow's parser of exactly that format: nothing exotic can be reached, and no pixel
# is decoded. The pixels are decoded by OpenCV, which is faster and refuses truncated files.
_FORMATS = (
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"II*\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0*", TiffImagePlugin.TiffImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"GIF8", GifImagePlugin.GifImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
)
NAMES = "JPEG, PNG, TIFF, BMP, WebP or GIF"
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif"})


@dataclass(frozen=True)
class Limits:
    """What is accepted: larger input is refused before it is decoded."""

    bytes: int = 64 * 2**20
    """Size of the file."""
    pixels: int = 150_000_000
    """Width × height; 12,000 × 12,000 passes."""


def read(path: Path, limits: Limits | None = None) -> Image:
    """Decodes a file: (H, W, 3) uint8 RGB. Raises as `decode` does, and ImageDecodeError when it can't be read."""
    try:
        # One byte over the limit is enough to refuse, so a huge file is never read whole.
        with path.open("rb") as file:
            data = file.read((limits or Limits()).bytes + 1)
    except OSError as error:
        raise ImageDecodeError(
            f"{path}: can't be read ({error.strerror}). Check the path and its permissions."
        ) from None
    try:
        return decode(data, limits)
    except (ImageDecodeError, ImageTooLargeError) as error:
        raise type(error)(f"{path}: {error}") from None


def decode(data: bytes, limits: Limits | None = None) -> Image:
    """Decodes a photograph: (H, W, 3) uint8 RGB, turned upright as its EXIF orientation says.

    JPEG (CMYK too), PNG, TIFF, BMP, WebP, GIF; grey, palette and 16-bit (by its upper 8 bits) are
    converted, alpha is dropped, of several frames the first is read. A floating-point TIFF must lie in 0..1.

    Raises ImageTooLargeError over a limit, ImageDecodeError for everything that is not a whole image.
    """
    limits = limits or Limits()
    if not data:
        raise ImageDecodeError(f"the file is empty. Send a {NAMES} file.")
    if len(data) > limits.bytes:
        raise ImageTooLargeError(f"the file has more than {limits.bytes:,} bytes, the limit. Send a smaller file.")
    width, height = _declared_size(data)
    if width * height > limits.pixels:
        raise ImageTooLargeError(
            f"the image declares {width:,} × {height:,} pixels, the limit is {limits.pixels:,} in all. "
            "Send a smaller image."
        )
    buffer = np.frombuffer(data, np.uint8)
    try:
        pixels = cv2.imdecode(buffer, cv2.IMREAD_COLOR_RGB)
        if pixels is None and data.startswith((b"II*\0", b"MM\0*")):
            pixels = _from_float(cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED))
    except cv2.error:
        pixels = None
    if pixels is None:
        raise ImageDecodeError(f"the image is truncated or damaged. Send a whole {NAMES} file.")
    return pixels.astype(np.uint8, copy=False)


def _declared_size(data: bytes) -> tuple[int, int]:
    """Width and height as the header has them, without decoding a pixel."""
    reader = next((r for magic, r in _FORMATS if data.startswith(magic)), None)
    if reader is None:
        raise ImageDecodeError(f"not an image: it begins with {data[:8]!r}. Send a {NAMES} file.")
    try:
        with reader(io.BytesIO(data)) as header:
            return header.size
    except Exception:  # noqa: BLE001 - Pillow's parsers raise anything on a hostile header
        raise ImageDecodeError(f"the image's header is damaged. Send a whole {NAMES} file.") from None


def _from_float(pixels: "np.ndarray | None") -> Image | None:
    """A floating-point TIFF, grey or BGR in 0..1, as RGB."""
    if pixels is None or pixels.dtype not in (np.float32, np.float64):
        return None
    if not np.isfinite(pixels).all():
        raise ImageDecodeError(
            "the image holds NaN or infinite values. Send finite values in 0..1, or an 8- or 16-bit image."
        )
    if pixels.min() < 0 or pixels.max() > 1:
        raise ImageDecodeError(
            f"the image holds floating-point values from {pixels.min():g} to {pixels.max():g}. "
            "Send values in 0..1, or an 8- or 16-bit image."
        )
    scaled = (pixels * 255 + 0.5).astype(np.uint8)
    if scaled.ndim == 2:
        return np.repeat(scaled[:, :, None], 3, axis=2)
    return np.ascontiguousarray(scaled[:, :, 2::-1])
