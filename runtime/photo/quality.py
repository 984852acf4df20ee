"""How good a photograph is for finding vessels: a verdict, its reasons, and a sentence of warning for each of them.

The measures are cheap. Each has two limits: beyond the first a photograph is usable, beyond the second it is rejected.
They were set between what good photographs show (training and validation photographs of CHASE_DB1 and HRF, and these
through the three held-out cameras of `vesselrt.training.synthetic.cameras`) and what was made worse on purpose, by how
far F1 falls there: vesselrt.benchmarks.quality. In brackets: the good ones' extreme, then what lies at the limits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.photo.views import SURVEY, Scale, mask_of, survey_of

Verdict = Literal["good", "usable", "reject"]
Reason = Literal["not_a_fundus", "dark", "overexposed", "noisy", "compressed", "blurred", "cut", "no_edge"]
VERDICTS: tuple[Verdict, ...] = ("good", "usable", "reject")
"""From good to bad."""

GUESSED = (
    "No edge of the field of view is seen, so the scale is a guess: the longer side is taken for the diameter. "
    "Tell the scale if you know it."
)
BLURRED = "The photograph looks blurred: thin vessels may be missing."
DARK = "The photograph is dark: vessels may be missing."
OVEREXPOSED = "The photograph is overexposed: vessels may be missing where it is white."
NOISY = "The photograph is noisy: thin vessels may be missing, and noise may be taken for vessels."
COMPRESSED = "The photograph was compressed too much: thin vessels may be missing."
CUT = "A part of the field of view is cut off: figures of the whole field are those of what is left."
OTHER = "This does not look like a photograph of a retina: what was found may be no vessels."
_SENTENCES: Mapping[Reason, str] = {
    "not_a_fundus": OTHER, "dark": DARK, "overexposed": OVEREXPOSED, "noisy": NOISY, "compressed": COMPRESSED,
    "blurred": BLURRED, "cut": CUT,
}  # fmt: skip

# Dark: so large a share of the field of view is below so low levels of 255 (92; a fifth of the light: 51, a tenth: 25).
_DARK_LEVELS, _MAX_DARK_SHARE = (60, 30), 0.95
# Overexposed: such a share of the field has no more green to give (.007; twice the light: .09, five times: .5 to .9).
_WHITE_LEVEL, _MAX_WHITE_SHARES = 250, (0.05, 0.3)
# Blurred: detail of 4 px against that of 8 px (.72; blur of 3/1000 of the field: .57 to .71) ...
_MIN_FINE_DETAIL = 0.65
# ... or detail of 2 px against the brightness (.0073; blur of 4/1000: .003 to .008, of 10/1000: .0016 to .0025).
_MIN_DETAIL = (0.006, 0.0026)
# Noisy: detail of 1 px against the brightness (.044; noise of 10 levels in CHASE_DB1: .04 to .07, of 20: .09 to .12).
_MAX_GRAIN = (0.055, 0.1)
# Compressed: steps between pixels where blocks of a JPEG meet, against those between others (1.9; quality 20: 3 to 17,
# quality 5: 11 to 50).
_MAX_BLOCKINESS = (4.0, 11.0)
_BLOCKS = (8, 4)  # px: of a JPEG, and of one that was decoded at half of its size
_LEAST_STEP = 0.1  # levels: in flat colour, ratios of steps say nothing
# Cut: the share of the field's whole disc that is shown (.81: most cameras cut it above and below).
_MIN_SHOWN = (0.75, 0.4)
_MIN_SIDE = 256  # px at the model's scale: in less, detail of 8 px says nothing
_HALF_SIDE = 256  # px: half the side of the square that is measured for blur, noise and compression
# No retina, where no edge is seen: median of (red - green) / brightest channel (.29; a cat: .25) ...
_MIN_REDNESS = 0.27
# ... and the share of pixels whose brightest channel is red (.997).
_MIN_RED_SHARE = 0.95
# No retina, where an edge is seen; and where none is, so that nothing else speaks for a retina:
# spread of brightness in squares of 15 px of the survey, over its mean (.17; stars, text: .8) ...
_MAX_ROUGHNESS = (0.3, 0.2)
# ... and mean step from pixel to pixel of the survey, over the mean brightness (.065; noise: .15).
_MAX_STEEPNESS = (0.12, 0.08)
_RIM_KERNEL = np.ones((9, 9), np.uint8)


@dataclass(frozen=True)
class Quality:
    """How far a photograph can be trusted to show its vessels.

    >>> quality = vesselrt.load().segment("photo.jpg").quality
    >>> quality.verdict, quality.reasons
    ('usable', ('blurred',))
    """

    verdict: Verdict
    """`good`; `usable`: thin vessels may be missing, and figures be less exact; `reject`: don't use it for figures."""
    reasons: tuple[Reason, ...] = ()
    """Why it is not good. `no_edge`: the photograph was cut inside of the field of view, so its scale is a guess."""

    def __str__(self) -> str:
        return f"{self.verdict}: {', '.join(self.reasons)}" if self.reasons else self.verdict

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each reason; that of `no_edge` is one of `scale_warnings`."""
        return tuple(_SENTENCES[reason] for reason in self.reasons if reason in _SENTENCES)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {"verdict": self.verdict, "reasons": list(self.reasons)}


def read_quality(text: str) -> Quality:
    """What `str(quality)` gave."""
    verdict, _, reasons = text.partition(": ")
    return Quality(cast(Verdict, verdict), cast(tuple[Reason, ...], tuple(reasons.split(", ")) if reasons else ()))


def scale_warnings(scales: Sequence[Scale]) -> tuple[str, ...]:
    """What is doubtful about the fields of view, in sentences."""
    told: list[str] = []
    if len(scales) > 1:
        told.append(f"{len(scales)} fields of view are seen; each is segmented at its own scale.")
    if _is_guessed(scales):
        told.append(GUESSED)
    return tuple(told)


def judge_quality(image: Image, scales: Sequence[Scale], pixels: Image) -> Quality:
    """Of a photograph (H, W, 3) uint8 RGB, whose largest field of view is `pixels` (h, w, C) to the model."""
    grades: dict[Reason, int] = {}  # of each reason the place in VERDICTS that it leads to
    guessed = _is_guessed(scales)
    seen = _reduce(image, scales)
    if seen is not None:
        grades |= _grade_light(*seen, guessed)
    middle = None if guessed else _middle_of(pixels)  # at a wrong scale, all is blurred
    if middle is not None:
        grades |= _grade_detail(middle)
    blockiness = _blockiness(_middle_of(scales[0].box.cut(image)))
    grades["compressed"] = sum(blockiness > limit for limit in _MAX_BLOCKINESS)
    grades["cut"] = sum(_shown_share(scales[0]) < limit for limit in _MIN_SHOWN)
    grades["no_edge"] = int(guessed)
    reasons = tuple(reason for reason, grade in grades.items() if grade)
    return Quality(VERDICTS[max(grades.values())], reasons)


def _is_guessed(scales: Sequence[Scale]) -> bool:
    return any(scale.source == "guessed" for scale in scales)


def _reduce(image: Image, scales: Sequence[Scale]) -> tuple[Image, Image] | None:
    """A reduced copy, and 1 in 0 where its pixels lie well inside a field of view; None where none does."""
    survey, step = survey_of(image)
    reduced = [replace(s, outline=tuple((x // step, y // step) for x, y in s.outline)) for s in scales]
    # The rim is steep and dark, and says nothing; the frame of a photograph is no rim.
    inside = np.asarray(cv2.erode(mask_of(reduced, survey.shape[:2]).view(np.uint8), _RIM_KERNEL), np.uint8)
    return (survey, inside) if np.count_nonzero(inside) >= SURVEY else None


def _grade_light(survey: Image, inside: Image, guessed: bool) -> dict[Reason, int]:
    red, green, blue = (np.asarray(channel, np.uint8) for channel in cv2.split(survey))
    brightest = np.maximum(np.maximum(red, green), blue)
    is_retina = _is_smooth(green, inside, guessed) and (not guessed or _is_red(red, green, brightest, inside))
    levels = _value_shares(brightest, inside)
    white = _value_shares(green, inside)[_WHITE_LEVEL:].sum()
    return {
        "not_a_fundus": 0 if is_retina else 2,
        "dark": sum(levels[:level].sum() > _MAX_DARK_SHARE for level in _DARK_LEVELS),
        "overexposed": sum(white > limit for limit in _MAX_WHITE_SHARES),
    }


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


def _middle_of(pixels: Image) -> Image | None:
    """(h, w) uint8: the middle of a field of view (H, W, C), of its green channel; None where it is too small."""
    height, width = pixels.shape[:2]
    if min(height, width) < _MIN_SIDE:
        return None
    y, x = max(height // 4, height // 2 - _HALF_SIDE), max(width // 4, width // 2 - _HALF_SIDE)
    return np.ascontiguousarray(pixels[y : height - y, x : width - x, pixels.shape[2] // 2])


def _grade_detail(middle: Image) -> dict[Reason, int]:
    """By how detail fades from coarse to fine, at the model's scale."""
    level = middle.astype(np.float32)
    detail: list[float] = []  # of 1, 2, 4 and 8 px
    for _ in range(4):
        coarse = cv2.pyrDown(level)
        fine = cv2.absdiff(level, cv2.pyrUp(coarse, dstsize=level.shape[::-1]))
        detail.append(float(fine[4:-4, 4:-4].mean()))
        level = np.asarray(coarse, np.float32)
    brightness = float(middle.mean())
    blurred = sum(detail[1] < limit * brightness for limit in _MIN_DETAIL)
    return {
        "noisy": sum(detail[0] > limit * brightness for limit in _MAX_GRAIN),
        "blurred": max(blurred, int(detail[2] < _MIN_FINE_DETAIL * detail[3])),
    }


def _blockiness(middle: Image | None) -> float:
    """The steps between pixels (h, w) where blocks meet, over those between others; 1 where nothing can be said."""
    if middle is None:
        return 1.0
    found = []
    for pixels in (middle, cv2.transpose(middle)):
        steps = cv2.reduce(cv2.absdiff(pixels[:, 1:], pixels[:, :-1]), 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F)[0]
        whole = steps[: len(steps) // max(_BLOCKS) * max(_BLOCKS)]
        phases = [np.sort(whole.reshape(-1, block).mean(axis=0)) for block in _BLOCKS]
        found.append([phase[-1] / (phase[:-1].mean() + _LEAST_STEP) for phase in phases])
    return float(np.mean(found, axis=0).max())


def _shown_share(scale: Scale) -> float:
    """The share of the whole disc that is shown of a field of view; 1 where no edge was looked for or found."""
    if scale.source != "found":
        return 1.0
    area = cv2.contourArea(np.array(scale.outline, np.int32))
    return float(area / (np.pi / 4 * scale.diameter**2))
