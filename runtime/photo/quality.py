"""Warnings about doubtful photographs. The measures are cheap, and their limits are far from every good photograph.

Each limit was set between what good photographs show (all 28 of CHASE_DB1, all 45 of HRF, and some of them through the
three held-out cameras of `vesselrt.training.synthetic.cameras`) and what was made worse on purpose. In brackets: the
good ones' extreme, then what is caught.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.photo.views import SURVEY, Scale, mask_of, survey_of

GUESSED = (
    "No edge of the field of view is seen, so the scale is a guess: the longer side is taken for the diameter. "
    "Tell the scale if you know it."
)
BLURRED = "The photograph looks blurred: thin vessels may be missing."
DARK = "The photograph is dark: vessels may be missing."
OVEREXPOSED = "The photograph is overexposed: vessels may be missing where it is white."
OTHER = "This does not look like a photograph of a retina: what was found may be no vessels."

# Dark: so large a share of the field of view is below so low a level of 255 (86; with a fifth of the light: 51).
_DARK_LEVEL, _MAX_DARK_SHARE = 60, 0.95
# Overexposed: such a share of the field of view has no more green to give (.007; three times the light: .01 to .63).
_WHITE_LEVEL, _MAX_WHITE_SHARE = 250, 0.05
# Blurred: detail of 4 px against that of 8 px (.69; blur of 3 px in CHASE_DB1: .63, of 6 px in HRF: .63) ...
_MIN_FINE_DETAIL = 0.65
# ... or detail of 2 px against the brightness (.0080; blur of 6 px: .0055, and less beyond).
_MIN_DETAIL = 0.006
_MIN_SIDE = 256  # px at the model's scale: in less, detail of 8 px says nothing
_HALF_SIDE = 256  # px: half the side of the square that is measured for blur
# No retina, where no edge is seen: median of (red - green) / brightest channel (.29; a cat: .25) ...
_MIN_REDNESS = 0.27
# ... and the share of pixels whose brightest channel is red (.997).
_MIN_RED_SHARE = 0.95
# No retina, where an edge is seen; and where none is, so that nothing else speaks for a retina:
# spread of brightness in squares of 15 px of the survey, over its mean (.17; stars, text: .8) ...
_MAX_ROUGHNESS = (0.3, 0.2)
# ... and mean step from pixel to pixel of the survey, over the mean brightness (.07; noise: .15).
_MAX_STEEPNESS = (0.12, 0.08)
_RIM_KERNEL = np.ones((9, 9), np.uint8)


def find_warnings(image: Image, scales: Sequence[Scale], pixels: Image) -> tuple[str, ...]:
    """Sentences on a photograph (H, W, 3) uint8 RGB, whose largest field of view is `pixels` (h, w, C) to the model."""
    told: list[str] = []
    if len(scales) > 1:
        told.append(f"{len(scales)} fields of view are seen; each is segmented at its own scale.")
    guessed = any(scale.source == "guessed" for scale in scales)
    if guessed:
        told.append(GUESSED)
    seen = _reduce(image, scales)
    if seen is None:
        return tuple(told)
    survey, inside = seen
    red, green, blue = (np.asarray(channel, np.uint8) for channel in cv2.split(survey))
    brightest = np.maximum(np.maximum(red, green), blue)
    if not _is_smooth(green, inside, guessed) or (guessed and not _is_red(red, green, brightest, inside)):
        told.append(OTHER)
    if _value_shares(brightest, inside)[:_DARK_LEVEL].sum() > _MAX_DARK_SHARE:
        told.append(DARK)
    if _value_shares(green, inside)[_WHITE_LEVEL:].sum() > _MAX_WHITE_SHARE:
        told.append(OVEREXPOSED)
    if not guessed and _is_blurred(pixels):  # at a wrong scale, all is blurred
        told.append(BLURRED)
    return tuple(told)


def _reduce(image: Image, scales: Sequence[Scale]) -> tuple[Image, Image] | None:
    """A reduced copy, and 1 in 0 where its pixels lie well inside a field of view; None where none does."""
    survey, step = survey_of(image)
    reduced = [replace(s, outline=tuple((x // step, y // step) for x, y in s.outline)) for s in scales]
    # The rim is steep and dark, and says nothing; the frame of a photograph is no rim.
    inside = np.asarray(cv2.erode(mask_of(reduced, survey.shape[:2]).view(np.uint8), _RIM_KERNEL), np.uint8)
    return (survey, inside) if np.count_nonzero(inside) >= SURVEY else None


def _value_shares(channel: Image, inside: Image) -> NDArray[np.float32]:
    """(256,): the share of the pixels inside that have each value."""
    counts = cv2.calcHist([channel], [0], inside, [256], [0, 256]).ravel()
    return np.asarray(counts / counts.sum(), np.float32)


def _is_smooth(green: Image, inside: Image, guessed: bool) -> bool:
    smooth = cv2.blur(green, (3, 3)).astype(np.float32)
    level = cv2.mean(smooth, inside)[0] + 1
    rough = float(cv2.meanStdDev(smooth - cv2.blur(smooth, (15, 15)), mask=inside)[1][0, 0]) / level
    steps = cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    steep = cv2.mean(steps, inside)[0] / 8 / level
    return rough < _MAX_ROUGHNESS[guessed] and steep < _MAX_STEEPNESS[guessed]


def _is_red(red: Image, green: Image, brightest: Image, inside: Image) -> bool:
    saturation = cv2.subtract(red, green).astype(np.float32) / (brightest.astype(np.float32) + 1)
    reddish = _value_shares((red == brightest).view(np.uint8), inside)[1]
    return float(np.median(saturation[inside > 0])) >= _MIN_REDNESS and float(reddish) >= _MIN_RED_SHARE


def _is_blurred(pixels: Image) -> bool:
    """By how detail fades from coarse to fine, in the middle of a field of view (h, w, C) at the model's scale."""
    height, width = pixels.shape[:2]
    if min(height, width) < _MIN_SIDE:
        return False
    y, x = max(height // 4, height // 2 - _HALF_SIDE), max(width // 4, width // 2 - _HALF_SIDE)
    middle = pixels[y : height - y, x : width - x, pixels.shape[2] // 2]
    level = middle.astype(np.float32)
    detail: list[float] = []
    for _ in range(4):
        coarse = cv2.pyrDown(level)
        fine = cv2.absdiff(level, cv2.pyrUp(coarse, dstsize=level.shape[::-1]))
        detail.append(float(fine[4:-4, 4:-4].mean()))
        level = np.asarray(coarse, np.float32)
    return detail[2] < _MIN_FINE_DETAIL * detail[3] or detail[1] < _MIN_DETAIL * float(middle.mean())
