"""A file whose pixels are known, and what a decoder may answer to it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image

Verdict = Literal["right", "refused", "misnamed", "warned", "wrong"]
_VAGUE = re.compile("truncated|damaged|corrupt|not an image|begins with", re.IGNORECASE)


@dataclass(frozen=True)
class DecoderAnswer:
    """What a decoder gave: pixels, or the reason for none."""

    pixels: Image | None
    warnings: tuple[str, ...] = ()
    refusal: str = ""


Decoder = Callable[[bytes], DecoderAnswer]


@dataclass(frozen=True)
class PhotoCase:
    """One file. A decoder gives `expected`, or refuses and says one of `names`."""

    kind: str
    name: str
    data: bytes = field(repr=False)
    expected: Image | None = field(repr=False)
    """(H, W, 3) uint8 RGB upright; None: there are no right pixels, only a refusal."""
    tolerance: int = 0
    """Largest difference of a sample: 0 for 8 bits that are stored as they are."""
    names: tuple[str, ...] = ()
    """Words of which a refusal holds one, whatever their case."""
    whole: bool = False
    """Whether a refusal is wrong: the file is of a kind that every viewer reads."""
    warning: str | None = None
    """What a warning must say: a regular expression; "" forbids a warning, None allows any."""

    def judge(self, answer: DecoderAnswer) -> Verdict:
        """`misnamed`: refused by words that lead astray; `warned`: right pixels, with a warning too many or missing."""
        if answer.pixels is None:
            named = not _VAGUE.search(answer.refusal) and any(n.lower() in answer.refusal.lower() for n in self.names)
            return "wrong" if self.whole else "refused" if named else "misnamed"
        if self.expected is None or not alike(answer.pixels, self.expected, self.tolerance):
            return "wrong"
        told = " ".join(answer.warnings)
        if self.warning is not None and (bool(told) if not self.warning else not re.search(self.warning, told)):
            return "warned"
        return "right"


def alike(pixels: Image, expected: Image, tolerance: int) -> bool:
    """Whether they are of one shape, and no sample differs by more than `tolerance`."""
    return pixels.shape == expected.shape and bool((cv2.absdiff(pixels, expected) <= tolerance).all())


def smooth(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.float64]:
    """(H, W, C) in 0..1, both reached in each channel: slow enough for a JPEG, no two channels or places alike."""
    random = np.random.default_rng(seed)
    coarse = random.random((4, 5, channels))
    fine = np.dstack(
        [cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC) for plane in np.moveaxis(coarse, 2, 0)]
    )
    low, high = fine.min((0, 1)), fine.max((0, 1))
    return np.asarray((fine - low) / (high - low))


def eight_bits(values: NDArray[Any]) -> Image:
    """(H, W, 1) or (H, W, 3) in 0..1 as (H, W, 3) uint8."""
    return np.ascontiguousarray(np.broadcast_to(np.floor(values * 255 + 0.5).astype(np.uint8), (*values.shape[:2], 3)))
