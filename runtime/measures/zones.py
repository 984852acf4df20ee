"""The rings around the optic disc in which vessels are measured, and the calibres that stand for all vessels there.

A disc diameter is measured from one edge of the disc to the other. Zones are those of the Atherosclerosis Risk in
Communities study: B from 0.5 to 1 disc diameter beyond the disc's edge (Hubbard et al., Ophthalmology 1999;106:2269), C
from 0.5 to 2 (Cheung et al., Invest Ophthalmol Vis Sci 2010;51:3949).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.errors import OptionError

ZoneName = Literal["field", "zone_b", "zone_c"]
ZONE_RADII: dict[ZoneName, tuple[float, float]] = {"zone_b": (1.0, 1.5), "zone_c": (1.0, 2.5)}
"""Inner and outer radius from the disc's centre, in disc diameters."""
DISC_MICROMETRES = 1800.0
"""What a disc's diameter is taken for where it isn't told: the 1.8 mm of Hubbard et al. (1999)."""
_SUBPIXEL = 4  # bits: OpenCV draws circles on a grid of 1/16 px


@dataclass(frozen=True)
class Disc:
    """Where the optic disc lies, in pixels of the photograph.

    >>> vesselrt.Disc(x=412.5, y=380, diameter=140)
    Disc(x=412.5, y=380, diameter=140)

    Raises OptionError for a diameter that can't be.
    """

    x: float
    """Of its centre, from the left."""
    y: float
    """From the top."""
    diameter: float | None = None
    """None: 1800 µm, where the scale is known."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise OptionError(f"the disc's centre is {self.x}, {self.y}. Expected pixels of the photograph.")
        if self.diameter is not None and not 0 < self.diameter < math.inf:
            raise OptionError(f"the disc's diameter is {self.diameter}. Expected pixels, such as 140.")


@dataclass(frozen=True)
class Ring:
    """What lies between two circles; everything where `outer` is infinite and `inner` 0. All in pixels of one image."""

    x: float = 0.0
    y: float = 0.0
    inner: float = 0.0
    outer: float = math.inf

    @property
    def is_whole(self) -> bool:
        return self.inner == 0 and self.outer == math.inf

    def holds(self, points: NDArray[np.float64]) -> Mask:
        """(N, 2) x, y → (N,) bool."""
        if self.is_whole:
            return np.ones(len(points), bool)
        distance = np.hypot(*(points - (self.x, self.y)).T)
        return np.asarray((distance >= self.inner) & (distance < self.outer))

    def cut(self, mask: Mask) -> Mask:
        """(H, W) bool → the same, false outside of the ring."""
        if self.is_whole:
            return mask
        ring = np.zeros(mask.shape, np.uint8)
        centre = round(self.x * 2**_SUBPIXEL), round(self.y * 2**_SUBPIXEL)
        for radius, value in ((self.outer, 1), (self.inner, 0)):
            cv2.circle(ring, centre, round(radius * 2**_SUBPIXEL), value, cv2.FILLED, shift=_SUBPIXEL)
        return np.asarray(mask & ring.view(bool))


def combine_calibres(widths: Sequence[float], factor: float) -> float:
    """One calibre for the vessels of these widths, by the revised formulas of Knudtson et al. (Curr Eye Res
    2003;27:143): the widest and the narrowest become √(a² + b²) × `factor`, and so on, until one is left; of an odd
    number the middle one waits for the next round. `factor`: 0.88 of arterioles, 0.95 of venules.
    """
    left = sorted(widths)
    while len(left) > 1:
        half = len(left) // 2
        pairs = [factor * math.hypot(left[i], left[-1 - i]) for i in range(half)]
        left = sorted(pairs + left[half : len(left) - half])
    return left[0]
