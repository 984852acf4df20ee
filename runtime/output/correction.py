"""What a person has drawn over the maps of a model: what is vessel, what is none, and where the model is right."""

import cv2
import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import OptionError

KEEP = 128
"""The value of a correction where the model's map stays as it is; 255 is vessel, 0 is none."""
_OTHER = np.ones(256, np.uint8)
_OTHER[[0, KEEP, 255]] = 0


def correct_maps(maps: Image, correction: Image) -> Image:
    """(C, H, W) uint8: the maps where `correction`, of the same shape, is KEEP; else what it says.

    Raises OptionError for another shape, or a value that is neither 0, KEEP nor 255.
    """
    if correction.shape != maps.shape:
        (count, height, width), (*_, had_height, had_width) = maps.shape, correction.shape
        below = f", {count} of them one below the other" if count > 1 else ""
        raise OptionError(
            f"the correction has {had_width} × {had_height * len(correction)} pixels. "
            f"Expected the photograph's {width} × {height}{below}."
        )
    other = np.asarray(cv2.LUT(correction.reshape(1, -1), _OTHER))
    if other.any():
        value = correction.reshape(-1)[int(other.argmax())]
        raise OptionError(
            f"the correction has the value {value}. Expected 0, 255, and {KEEP} where the model is right."
        )
    return np.where(correction == KEEP, maps, correction)
