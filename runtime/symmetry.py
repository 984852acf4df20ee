"""Flips and quarter turns: the ways in which a photograph is shown to a network for test-time augmentation.

    none    as it is
    flips   as it is, mirrored, upside down, and both
    d4      these four, and the same of the photograph laid on its side: every way in which a square lies on itself

A network that was trained with flips and turns should say the same each time. The mean of what it says is a little
better than one answer, and where the answers differ it is unsure.
"""

from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.photo.views import Box

Tta = Literal["none", "flips", "d4"]


@dataclass(frozen=True)
class Symmetry:
    """One way to lay a picture on itself: first on its side, then upside down, then mirrored. Nothing is copied."""

    on_its_side: bool = False
    """Rows become columns."""
    upside_down: bool = False
    mirrored: bool = False

    def turn(self, pixels: Image) -> Image:
        """(h, w, C) → the picture as the network is to see it: a view, (w, h, C) where it lies on its side."""
        laid = pixels.swapaxes(0, 1) if self.on_its_side else pixels
        return laid[self._rows, self._columns]

    def turn_box(self, box: Box, shape: tuple[int, int]) -> Box:
        """Where a part of a picture (h, w) = `shape` lies after `turn`."""
        height, width = shape
        if self.on_its_side:
            box, (height, width) = Box(box.left, box.top, box.right, box.bottom), (width, height)
        top, bottom = (height - box.bottom, height - box.top) if self.upside_down else (box.top, box.bottom)
        left, right = (width - box.right, width - box.left) if self.mirrored else (box.left, box.right)
        return Box(top, left, bottom, right)

    def turn_back(self, maps: Image) -> Image:
        """(C, h, w) of a picture after `turn` → of the picture itself: a view."""
        laid = maps[:, self._rows, self._columns]
        return laid.swapaxes(1, 2) if self.on_its_side else laid

    @property
    def _rows(self) -> slice:
        return slice(None, None, -1 if self.upside_down else 1)

    @property
    def _columns(self) -> slice:
        return slice(None, None, -1 if self.mirrored else 1)


_ALL = tuple(Symmetry(*which) for which in product((False, True), repeat=3))
_SYMMETRIES: dict[str, tuple[Symmetry, ...]] = {"none": _ALL[:1], "flips": _ALL[:4], "d4": _ALL}


def symmetries_of(tta: str) -> tuple[Symmetry, ...]:
    """The ways in which a photograph is shown, as it is first. Raises OptionError."""
    if tta not in _SYMMETRIES:
        raise OptionError(f"tta is {tta!r}. Expected one of: {', '.join(get_args(Tta))}.")
    return _SYMMETRIES[tta]
