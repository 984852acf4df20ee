"""What every format's reader makes of a file before a pixel is decoded, and the words for what is refused."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from numpy.typing import NDArray

from vesselrt.runtime.errors import ImageDecodeError
from vesselrt.runtime.photo.origin import Origin

PhotoFormat = Literal["jpeg", "png", "tiff", "bmp", "webp", "gif", "pnm", "avif", "dicom"]
PHOTO_FORMATS: tuple[PhotoFormat, ...] = get_args(PhotoFormat)
PHOTO_TITLES: dict[PhotoFormat, str] = {
    "jpeg": "JPEG", "png": "PNG", "tiff": "TIFF", "bmp": "BMP", "webp": "WebP", "gif": "GIF", "pnm": "PNM",
    "avif": "AVIF", "dicom": "DICOM",
}  # fmt: skip
PHOTO_NAMES = "JPEG, PNG, TIFF, BMP, WebP, GIF, PNM, AVIF or DICOM"
MAX_PARTS = 65_536
"""Segments of a JPEG, chunks of a PNG or WebP: a file of 64 MiB in the usual pieces of 8 KiB has 8192."""
MAX_RATIO = 8192
"""Bytes of pixels that a byte of WebP or AVIF may stand for; photographs of the worst quality come to 2400. The formats
have no bound: 40 bytes of WebP took 7 s and 1.9 GB."""

REDUCTIONS = (8, 4, 2)
"""By which the sides of a photograph may be divided where it is finer than the model needs it."""

Samples = NDArray[Any]
"""(H, W) or (H, W, C) as they are stored: C of 1 or 2 is grey (and alpha), of 3 or 4 RGB (and alpha)."""


@dataclass(frozen=True)
class Encoded:
    """A file whose header was read: what its pixels will cost, and how to get them."""

    kind: PhotoFormat
    width: int
    """As stored, before the photograph is turned upright."""
    height: int
    decode: Callable[[int], Samples]
    """Of a reduction, the samples as stored: uint8, uint16, or floating point in 0..1. Raises ImageDecodeError."""
    samples: int = 3
    """Of a pixel."""
    depth: int = 8
    """Bits of a sample in memory."""
    orientation: int = 1
    """As EXIF counts: 1 is upright, 2..8 are the other ways to hold a camera."""
    meaningful: int | None = None
    """Bits that carry the picture, where the file says that they are fewer than `depth`."""
    from_white: bool = False
    """Whether 0 was stored for white; `decode` has turned it around, in all bits of `depth`."""
    reductions: tuple[int, ...] = ()
    """Those of `REDUCTIONS` by which the sides can be divided while decoding."""
    max_bytes: int | None = None
    """What the compressed bytes in the file can stand for at most, decoded; None: any number."""
    is_raw: bool = False
    """Whether each pixel is stored as it is: a decoder can't tell then that one was overwritten."""
    warnings: tuple[str, ...] = ()
    origin: Origin | None = None
    """What a DICOM file tells; None of other files."""

    @property
    def bytes(self) -> int:
        """What the decoded samples take in memory."""
        return self.width * self.height * self.samples * max(8, self.depth) // 8


def damaged(kind: PhotoFormat) -> ImageDecodeError:
    """For a file whose end or middle is missing or overwritten."""
    return ImageDecodeError(f"the {PHOTO_TITLES[kind]} is truncated or damaged. Send a whole file.")


def bad_header(kind: PhotoFormat) -> ImageDecodeError:
    """For a file whose first bytes contradict themselves."""
    return ImageDecodeError(f"the {PHOTO_TITLES[kind]}'s header is damaged. Send a whole file.")


def unsupported(kind: PhotoFormat, what: str, instead: str) -> ImageDecodeError:
    """For a whole file of a kind that is not read: `what` it has, and how to save it `instead`."""
    return ImageDecodeError(f"the {PHOTO_TITLES[kind]} has {what}: that is not supported. Save it {instead}.")
