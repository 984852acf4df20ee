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
from vesselrt.runtime.photo.decoding import Limits, decode_reduced, read_bytes, upright_size
from vesselrt.runtime.photo.preparation import Box, Image, Prepared, prepare

_ROOM = 1.1  # times the model's field of view: of a photograph whose field fills less of it, more has to be decoded


class Photograph:
    """Encoded bytes, a path, or (H, W, 3) uint8 RGB pixels.

    Raises ImageDecodeError for anything else, or a file that can't be read; `prepare` raises what decoding does.
    """

    def __init__(self, given: Any, limits: Limits) -> None:
        self._limits, self._name = limits, ""
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
        return self._decode(None)[0]

    def prepare(self, preparation: Preparation, decoded: Callable[[], None]) -> tuple[Prepared, tuple[int, int]]:
        """What the network is to see, its box in the photograph's own pixels, and the photograph's height and width.

        Calls `decoded` between decoding and preparing.
        """
        largest = preparation.largest
        seen, reduction = self._decode(largest and _ROOM * largest)
        decoded()
        if largest is None or reduction == 1:
            return prepare(seen, preparation), seen.shape[:2]
        with suppress(FieldOfViewError):  # which counts pixels: those of the photograph are to be named
            prepared = prepare(seen, preparation)
            if max(prepared.box.height, prepared.box.width) >= largest:
                shape = upright_size(self._content or b"", seen)
                return replace(prepared, box=_enlarge(prepared.box, reduction, shape)), shape
        return prepare(self.pixels, preparation), self.pixels.shape[:2]

    def _decode(self, enough: float | None) -> tuple[Image, int]:
        if self._content is None:
            return self.pixels, 1
        try:
            seen, reduction = decode_reduced(self._content, self._limits, enough)
        except (ImageDecodeError, ImageTooLargeError) as error:
            raise type(error)(f"{self._name}{error}") from None
        if reduction == 1:
            self.pixels = seen
        return seen, reduction


def _enlarge(box: Box, factor: int, shape: tuple[int, int]) -> Box:
    """A box of a reduced photograph in the pixels of the whole one, which is `shape` (height, width)."""
    bottom, right = min(box.bottom * factor, shape[0]), min(box.right * factor, shape[1])
    return Box(box.top * factor, box.left * factor, bottom, right)
