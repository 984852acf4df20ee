"""Between a photograph and a map at the model's scale: where a part of one lies in the other, and the way back."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.photo.preparation import Prepared
from vesselrt.runtime.photo.views import Box


def scaled_part(view: Prepared, part: Box) -> Box:
    """A part of the photograph in the pixels of a view, with those that it is interpolated from; it may be empty."""
    box, (height, width) = view.box, view.pixels.shape[:2]
    down, across = height / box.height, width / box.width
    return Box(
        max(0, math.floor((part.top - box.top) * down) - 2),
        max(0, math.floor((part.left - box.left) * across) - 2),
        min(height, math.ceil((part.bottom - box.top) * down) + 2),
        min(width, math.ceil((part.right - box.left) * across) + 2),
    )


def place_maps(scaled: Sequence[Image], boxes: Sequence[Box], shape: tuple[int, int], part: Box | None) -> Image:
    """Maps at the photograph's own resolution `shape`: (C, H, W) uint8; 0 outside of `boxes` and of `part`.

    `scaled`: of each field of view (C, h, w), which shows the box of the photograph in the same place.
    """
    box = boxes[0]
    if part is None and scaled[0].shape[1:] == (box.height, box.width) == shape:
        return scaled[0]
    result = np.zeros((len(scaled[0]), *shape), np.uint8)
    for whole, *found in zip(result, *scaled, strict=True):
        _enlarge(found, boxes, part, whole)
    return result


def _enlarge(scaled: list[Image], boxes: Sequence[Box], part: Box | None, result: Image) -> None:
    """Writes one class of each field of view, (h, w) uint8, into `result` (H, W), which is 0 everywhere."""
    for number, (found, box) in enumerate(zip(scaled, boxes, strict=True)):
        if number:  # another disc's box may overlap that of the first
            own = cv2.resize(found, (box.width, box.height), interpolation=cv2.INTER_LINEAR)
            box.cut(result)[:] = np.maximum(box.cut(result), own)
        elif found.shape == (box.height, box.width):
            box.cut(result)[:] = found
        else:  # into the result itself: of a large photograph a second map would be the largest thing in memory
            cv2.resize(found, (box.width, box.height), dst=box.cut(result), interpolation=cv2.INTER_LINEAR)
    if part is not None:
        result[:] = keep_within(part, result)


def keep_within(part: Box, whole: NDArray[Any]) -> NDArray[Any]:
    """The same in `part`, and 0 elsewhere."""
    result = np.zeros_like(whole)
    part.cut(result)[:] = part.cut(whole)
    return result
