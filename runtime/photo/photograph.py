"""A photograph as a caller hands it in, decoded no finer than the model will look at it."""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, Union

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import FieldOfViewError, ImageDecodeError, ImageTooLargeError, OptionError
from vesselrt.runtime.manifest import Preparation
from vesselrt.runtime.photo.decoding import BinaryFile, Decoded, Limits, decode_photo, read_at_most, read_bytes
from vesselrt.runtime.photo.dicom import count_frames, is_dicom
from vesselrt.runtime.photo.encoded import REDUCTIONS
from vesselrt.runtime.photo.origin import Origin
from vesselrt.runtime.photo.pixels import array_from, rgb_from_array, rgb_from_pillow
from vesselrt.runtime.photo.preparation import Views, prepare_views

if TYPE_CHECKING:
    from PIL import Image as Pillow
    from typing_extensions import TypeIs

_ROOM = 1.1  # times the model's field of view: of a photograph whose field fills less of it, more has to be decoded


class Decoder(Protocol):
    """What `decode_photo` does, here or in a process of its own."""

    def __call__(self, data: bytes, limits: Limits, enough: float | None, *, frame: int | None) -> Decoded: ...


class HasArray(Protocol):
    """A tensor of PyTorch, JAX or another library that numpy reads."""

    def __array__(self) -> NDArray[Any]: ...


PhotoSource: TypeAlias = Union[  # Pillow is named and not imported: a start would take longer
    bytes, bytearray, memoryview, str, os.PathLike[str], BinaryFile, "Pillow.Image", NDArray[Any], HasArray
]
"""What a photograph may come as: encoded (bytes, a path, an open file), or as pixels."""


@dataclass(frozen=True)
class Frame:
    """One of the photographs of a DICOM file, for `Segmenter.segment`.

    >>> vesselrt.Frame("photo.jpg").number
    1
    """

    source: PhotoSource
    number: int = 1
    """From 1."""

    @property
    def path(self) -> Path:
        """Of the file, where it is named by its path; else an empty one."""
        return Path(self.source) if isinstance(self.source, str | os.PathLike) else Path()

    def absolute(self) -> "Frame":
        """The same from any folder, where the file is named by its path."""
        return replace(self, source=self.path.absolute())

    def __str__(self) -> str:
        return f"{self.path}, frame {self.number}"


def list_frames(source: PhotoSource, limits: Limits | None = None) -> list[Frame]:
    """The photographs of a file: a DICOM file may hold several, every other one.

    >>> with vesselrt.load() as segmenter:
    ...     for frame in vesselrt.frames("photo.jpg"):
    ...         print(frame.number, segmenter.segment(frame).shape)
    1 (320, 288)

    Raises ImageNotFoundError, ImageDecodeError for a file that can't be read.
    """
    content = Photograph(source, limits or Limits()).content
    count = count_frames(content) if content is not None and is_dicom(content) else 1
    # What was an open file has been read.
    kept = source if content is None or isinstance(source, str | os.PathLike) else content
    return [Frame(kept, number) for number in range(1, count + 1)]


class Photograph:
    """Encoded bytes, a path, a file open in binary mode, an image of Pillow, or an array: (H, W, 3) RGB, (H, W, 4) RGBA
    or (H, W) grey, of uint8, uint16 or floats in 0..1. Whatever has `__array__` counts as an array.

    `bgr`: the array's colours come as OpenCV gives them. `frame`: which photograph of a DICOM file that holds several.

    Raises ImageNotFoundError, ImageDecodeError for anything else or a file that can't be read, OptionError for `bgr`
    of what is no array; `prepare` raises what decoding does.
    """

    def __init__(
        self,
        given: PhotoSource | Frame,
        limits: Limits,
        decode: Decoder | None = None,
        *,
        bgr: bool = False,
        frame: int | None = None,
    ) -> None:
        if isinstance(given, Frame):
            frame, given = given.number, given.source
        self._limits, self._name, self._decoder, self.frame = limits, "", decode or decode_photo, frame
        self.warnings: tuple[str, ...] = ()
        """What decoding had to assume, a sentence each; complete when the photograph was decoded."""
        self.file_name = Path(given).name if isinstance(given, str | os.PathLike) else ""
        """Without its folder; "" of what came otherwise than as a path."""
        self._content: bytes | None = None
        if isinstance(given, bytes | bytearray | memoryview):
            self._content = bytes(given)
        elif isinstance(given, str | os.PathLike):
            self._name, self._content = f"{given}: ", read_bytes(Path(given), limits)
        elif _is_of_pillow(given):
            self.pixels = rgb_from_pillow(given, limits)
        elif hasattr(given, "__array__"):
            self.pixels, bgr = rgb_from_array(array_from(given), bgr=bgr), False
        elif hasattr(given, "read"):
            self._content = _read_file(given, limits)
        else:
            raise ImageDecodeError(
                f"got {type(given).__name__}. Expected encoded bytes, a path, a file open in binary mode, an image of "
                "Pillow, or a (H, W, 3) uint8 RGB array."
            )
        if bgr:
            raise OptionError(
                "bgr is for arrays: files and images of Pillow say the order of their colours. Leave it out."
            )

    def encoded(self) -> bytes:
        """The file as it came; of pixels a PNG, which loses none."""
        if self._content is not None:
            return self._content
        return cv2.imencode(".png", self.pixels[:, :, ::-1])[1].tobytes()

    @property
    def content(self) -> bytes | None:
        """The file; None of an array."""
        return self._content

    @cached_property
    def pixels(self) -> Image:
        """(H, W, 3) uint8 RGB at its own size."""
        return self._decode(None).pixels

    @cached_property
    def origin(self) -> Origin | None:
        """What a DICOM file tells beside its pixels; None of anything else."""
        is_told = self._content is not None and is_dicom(self._content)
        return self._decode(None).origin if is_told else None

    @property
    def place(self) -> tuple[int, int] | None:
        """Which photograph of its DICOM file it is, from 1, and how many that has; None of anything else.

        Nothing is decoded for it. Raises ImageDecodeError where the file declares more than it has.
        """
        if self._content is None or not is_dicom(self._content):
            return None
        return self.frame or 1, count_frames(self._content)

    def decode(self, preparation: Preparation) -> Decoded:
        """The photograph no finer than `preparation` needs it. Raises as `decode_photo`."""
        enough = preparation.largest and _ROOM * preparation.largest
        decoded = self._decode(enough)
        return decoded if enough is None or decoded.reduction > 1 else _reduce(decoded, enough)

    def prepare(
        self, decoded: Decoded, preparation: Preparation, scale: float | None = None, *, quality: bool = True
    ) -> Views:
        """What the network is to see, and where it lies in the photograph's own pixels.

        `decoded`: what `decode` gave. Where its field of view is smaller than expected, the photograph is decoded again
        at its own size. `scale`: the diameter of the field of view in the photograph's own pixels, where it is known.
        `quality`: whether to judge it.
        """
        largest = preparation.largest
        if largest is None or decoded.reduction == 1:
            return prepare_views(decoded.pixels, preparation, scale, quality=quality)
        with suppress(FieldOfViewError, OptionError):  # which count pixels: those of the photograph are to be named
            reduced = scale and scale / decoded.reduction
            views = prepare_views(decoded.pixels, preparation, reduced, quality=quality)
            if min(scale.diameter for scale in views.scales) >= largest:
                return views.enlarged(decoded.reduction, decoded.size)
        return prepare_views(self.pixels, preparation, scale, quality=quality)

    def _decode(self, enough: float | None) -> Decoded:
        """No finer than `enough` asks for; None: at its own size."""
        if self._content is None:
            return Decoded(self.pixels, 1, self.pixels.shape[:2], ())
        try:
            seen = self._decoder(self._content, self._limits, enough, frame=self.frame)
        except (ImageDecodeError, ImageTooLargeError) as error:
            raise type(error)(f"{self._name}{error}") from None
        if seen.reduction == 1:
            self.pixels = seen.pixels
        self.warnings, self.origin = seen.warnings, seen.origin
        return seen


def _reduce(decoded: Decoded, enough: float) -> Decoded:
    """What came at its own size, reduced as a JPEG is decoded: to the means of blocks of pixels.

    To resize the whole by a factor that is no integer takes seven times as long.
    """
    height, width = decoded.size
    factor = next((k for k in REDUCTIONS if max(height, width) >= k * enough), 1)
    if factor == 1:
        return decoded
    pixels, down, right = decoded.pixels, -height % factor, -width % factor
    if down or right:  # a block at the edge has as many pixels as the others
        pixels = np.asarray(cv2.copyMakeBorder(pixels, 0, down, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    size = (pixels.shape[1] // factor, pixels.shape[0] // factor)
    reduced = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return replace(decoded, pixels=reduced, reduction=factor)


def _is_of_pillow(given: object) -> "TypeIs[Pillow.Image]":
    """Without importing Pillow: whoever has an image of it has done so."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(given, pillow.Image)


def _read_file(file: BinaryFile, limits: Limits) -> bytes:
    if isinstance(file.read(0), bytes):
        return read_at_most(file, limits.bytes + 1)  # one byte over the limit is enough to refuse
    raise ImageDecodeError("the file gives text. Open it in binary mode: open(path, 'rb').")
