"""From a decoded photograph to what the network sees. Written once: training, export, evaluation and serving use it.

Vessel width in pixels is what a network learns, so a photograph is cut to its field of view and brought to
the model's scale.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image as Image  # noqa: PLC0414 - where most modules look for it
from vesselrt.runtime.errors import FieldOfViewError
from vesselrt.runtime.manifest import Preparation

_SURVEY = 256  # px: the field of view is found on a reduced copy with this longest side
_RISE = 0.12  # the field of view begins this far up from the background's level to the retina's
_LEAST_SIDE = 16  # px: in less, no vessel is a pixel wide
_LEAST_RISE = 6.0  # grey levels: sensor noise and JPEG ringing stay below


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels: rows `top` to `bottom`, columns `left` to `right`, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def cut(self, image: NDArray[Any]) -> NDArray[Any]:
        """A view of the rectangle in `image` (H, W, ...)."""
        return image[self.top : self.bottom, self.left : self.right]


@dataclass(frozen=True)
class Prepared:
    """An image at the model's scale, and the way back."""

    pixels: Image
    """(h, w, C) uint8, C as the manifest's channels say."""
    box: Box
    """The part of the photograph that `pixels` shows; outside it the probability is 0."""


def field_of_view(image: Image) -> Box:
    """The bounding box of the field of view: the lit disc, as far as the sensor shows it.

    `image` is (H, W, 3) uint8. The level of the surroundings is read at the corners; where they are as
    bright as the rest (a photograph cut inside the disc) the whole image is returned. Lettering and
    dust beside the disc are left out: only the largest connected part counts.

    Raises FieldOfViewError when the image is uniformly dark.
    """
    height, width = image.shape[:2]
    found, step = _lit(image)
    if found is None:
        return Box(0, 0, height, width)
    left, top, across, down = cv2.boundingRect(found)
    return Box(top * step, left * step, min(height, (top + down) * step), min(width, (left + across) * step))


def field_of_view_mask(image: Image) -> NDArray[np.bool_]:
    """(H, W) bool, the field of view itself: the convex hull of what `field_of_view` puts its box around.

    All True where it finds no edge, and for an image that is uniformly dark.
    """
    try:
        found, step = _lit(image)
    except FieldOfViewError:
        found, step = None, 1
    if found is None:
        return np.ones(image.shape[:2], bool)
    # Pixels of the reduced copy stand for the corner of the square that they were taken from.
    # The blur has spread them by one.
    hull = (
        cv2.convexHull(cv2.findNonZero(cv2.erode(found, np.ones((3, 3), np.uint8)))).reshape(-1, 2) * step + step // 2
    )
    view = np.zeros(image.shape[:2], np.uint8)
    cv2.fillConvexPoly(view, hull.astype(np.int32), 1)
    return view.astype(bool)


def _lit(image: Image) -> tuple[NDArray[np.uint8] | None, int]:
    """The lit part of a reduced copy, 1 in 0, and its pixels' side in those of `image`; None where there is no edge."""
    height, width = image.shape[:2]
    step = max(1, max(height, width) // _SURVEY)
    # A maximum over the channels: the surroundings are dark in all of them, the retina never is.
    red, green, blue = cv2.split(np.ascontiguousarray(image[::step, ::step]))
    grey = cv2.blur(cv2.max(cv2.max(red, green), blue), (3, 3))
    corner = max(2, min(grey.shape) // 40)
    corners = [grey[:corner, :corner], grey[:corner, -corner:], grey[-corner:, :corner], grey[-corner:, -corner:]]
    # The second darkest corner: a camera's notch or a burnt-in date may fill the others.
    background = float(np.sort([np.median(c) for c in corners])[1])
    bright = float(np.percentile(grey, 95))
    if bright < _LEAST_RISE:
        raise FieldOfViewError(
            f"the photograph is black: 95 % of its pixels are at or below {bright:.0f} of 255. "
            "Send a photograph with a visible field of view."
        )
    rise = max(_LEAST_RISE, _RISE * (bright - background))
    lit = (grey > background + rise).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(lit)
    if len(stats) < 2:
        return None, step
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if background > 0.5 * bright or stats[largest, cv2.CC_STAT_AREA] < 0.05 * grey.size:
        return None, step
    return (labels == largest).astype(np.uint8), step


def prepare(image: Image, preparation: Preparation) -> Prepared:
    """Cuts a photograph (H, W, 3) uint8 RGB to its field of view, scales it, and picks the model's channels.

    Raises FieldOfViewError when the model has a scale and the photograph shows nothing or next to nothing.
    """
    scaled = preparation.field_of_view is not None
    box = field_of_view(image) if scaled else Box(0, 0, *image.shape[:2])
    diameter = max(box.height, box.width)
    if scaled and diameter < _LEAST_SIDE:
        raise FieldOfViewError(
            f"the photograph shows {box.width} × {box.height} pixels of retina. "
            f"Send one that shows at least {_LEAST_SIDE} pixels across."
        )
    view = box.cut(image)
    pixels: Image = view
    if preparation.channels == "green":
        pixels = np.asarray(cv2.extractChannel(view, 1), np.uint8)[:, :, None]
    if preparation.size is not None:
        pixels = resize(pixels, *preparation.size)
    elif scaled:
        pixels = scale(pixels, preparation.diameter(diameter) / diameter)
    if preparation.clahe is not None:
        equaliser = cv2.createCLAHE(preparation.clahe.clip_limit, (preparation.clahe.grid,) * 2)
        pixels = np.stack([equaliser.apply(pixels[:, :, c]) for c in range(pixels.shape[2])], axis=2)
    return Prepared(pixels, box)


def scale(pixels: Image, factor: float) -> Image:
    """Resizes (H, W, C) by `factor`, as `resize` does."""
    height, width, _ = pixels.shape
    return resize(pixels, max(1, round(height * factor)), max(1, round(width * factor)))


def resize(pixels: Image, height: int, width: int) -> Image:
    """Resizes (H, W, C): by area when shrinking, so that thin vessels are averaged and not skipped."""
    smaller = height * width < pixels.shape[0] * pixels.shape[1]
    resized = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return resized.reshape(height, width, -1).astype(np.uint8, copy=False)
