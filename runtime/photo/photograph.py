"""A photograph as a caller hands it in, decoded no finer than the model will look at it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vesselrt.runtime.errors import FieldOfViewError, ImageDecodeError, ImageTooLargeError
from vesselrt.runtime.manifest import Preparation
from vesselrt.runtime.photo.decoding import Decoded, Limits, decode_photo, read_bytes
from vesselrt.runtime.photo.preparation import Box, Image, Prepared, prepare

Decoder = Callable[[bytes, Limits, float | None], Decoded]
"""What `decode_photo` does, here or in a process of its own."""
_ROOM = 1.1  # times the model's field of view: of a photograph whose field fills less of it, more has to be decoded


class Photograph:
    """Encoded bytes, a path, or (H, W, 3) uint8 RGB pixels.

    Raises ImageDecodeError for anything else, or a file that can't be read; `prepare` raises what decoding does.
    """

    def __init__(self, given: Any, limits: Limits, decode: Decoder | None = None) -> None:
        self._limits, self._name, self._decoder = limits, "", decode or decode_photo
        self.warnings: tuple[str, ...] = ()
        """What decoding had to assume, a sentence each; complete when the photograph was decoded."""
        if isinstance(given, str | Path):
            self._name, given = f"{given}: ", read_bytes(Path(given), limits)
        if isinstance(given, bytes | bytearray | memoryview):
            self._content: bytes | None = bytes(given)
            return
        if not isinstance(given, np.ndarray) or given.dtype != np.uint8 or given.ndim != 3 or given.shape[2] != 3:
            found = f"{given.dtype} {given.shape}" if isinstance(given, np.ndarray) else type(given).__name__
            raise ImageDecodeError(f"got {found}. Expected encoded bytes, a path, or a (H, W, 3) uint8 RGB array.")
        if given.size == 0:
            raise ImageDecodeError(f"the array is empty: {given.shape}. Expected (H, W, 3) with H and W of at least 1.")
        self._content, self.pixels = None, given

    @cached_property
    def pixels(self) -> Image:
        """(H, W, 3) uint8 RGB at its own size."""
        return self._decode(None).pixels

    def prepare(self, preparation: Preparation, decoded: Callable[[], None]) -> tuple[Prepared, tuple[int, int]]:
        """What the network is to see, its box in the photograph's own pixels, and the photograph's height and width.

        Calls `decoded` between decoding and preparing.
        """
        largest = preparation.largest
        seen = self._decode(largest and _ROOM * largest)
        decoded()
        if largest is None or seen.reduction == 1:
            return prepare(seen.pixels, preparation), seen.size
        with suppress(FieldOfViewError):  # which counts pixels: those of the photograph are to be named
            prepared = prepare(seen.pixels, preparation)
            if max(prepared.box.height, prepared.box.width) >= largest:
                return replace(prepared, box=_enlarge(prepared.box, seen.reduction, seen.size)), seen.size
        return prepare(self.pixels, preparation), seen.size

    def _decode(self, enough: float | None) -> Decoded:
        """No finer than `enough` asks for; None: at its own size."""
        if self._content is None:
            return Decoded(self.pixels, 1, self.pixels.shape[:2], ())
        try:
            seen = self._decoder(self._content, self._limits, enough)
        except (ImageDecodeError, ImageTooLargeError) as error:
            raise type(error)(f"{self._name}{error}") from None
        if seen.reduction == 1:
            self.pixels = seen.pixels
        self.warnings = seen.warnings
        return seen


def _enlarge(box: Box, factor: int, shape: tuple[int, int]) -> Box:
    """A box of a reduced photograph in the pixels of the whole one, which is `shape` (height, width)."""
    bottom, right = min(box.bottom * factor, shape[0]), min(box.right * factor, shape[1])
    return Box(box.top * factor, box.left * factor, bottom, right)
