"""From a decoded photograph to what the network sees. Written once: training, export, evaluation and serving use it.

Vessel width in pixels is what a network learns, so a photograph is cut to its field of view and brought to
the model's scale.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import FieldOfViewError, OptionError
from vesselrt.runtime.manifest import Preparation
from vesselrt.runtime.photo.normalisation import nonzero_box, normalise
from vesselrt.runtime.photo.quality import Quality, judge_quality, scale_warnings
from vesselrt.runtime.photo.views import Box, Scale, find_scales, whole

_MIN_SIDE = 16  # px: in less, no vessel is a pixel wide
_LINEAR = 4 / 3  # up to so many pixels for one, linear interpolation is enough
_MIN_TOLD_SHARE = 0.5  # of what is shown: a told diameter below is a mistake, and would make very many pixels


@dataclass(frozen=True)
class Prepared:
    """One field of view at the model's scale, and the way back."""

    pixels: Image
    """(h, w, C) uint8, C as the manifest's `channel_count`."""
    box: Box
    """The part of the photograph that `pixels` shows."""


@dataclass(frozen=True)
class Views:
    """All that the network is to see of a photograph."""

    shape: tuple[int, int]
    """Height and width of the photograph."""
    prepared: tuple[Prepared, ...]
    """Each field of view; where the model has no scale, the photograph as a whole."""
    scales: tuple[Scale, ...]
    """The fields of view, the largest first."""
    warnings: tuple[str, ...]
    """What is doubtful about the photograph, in sentences."""
    quality: Quality | None = None
    """None: it was not asked for, or the model has no scale at which it could be judged."""

    def enlarged(self, factor: int, shape: tuple[int, int]) -> "Views":
        """Of a photograph reduced by `factor`: the same of the whole one, which is `shape` (height, width)."""
        scales = tuple(scale.enlarged(factor, shape) for scale in self.scales)
        prepared = tuple(replace(one, box=scale.box) for one, scale in zip(self.prepared, scales, strict=True))
        return replace(self, shape=shape, prepared=prepared, scales=scales)


def prepare(image: Image, preparation: Preparation) -> Prepared:
    """The largest field of view of a photograph (H, W, 3) uint8 RGB, at the model's scale and in its channels.

    Raises FieldOfViewError when the model has a scale and the photograph shows nothing or next to nothing.
    """
    shape = (image.shape[0], image.shape[1])
    seen = whole(shape) if preparation.field_of_view is None else _find_or_assume_scales(image, preparation, None)[0]
    return _normalised(_prepare_view(image, preparation, seen), preparation)


def prepare_views(image: Image, preparation: Preparation, told: float | None = None, *, quality: bool = True) -> Views:
    """Every field of view of a photograph (H, W, 3) uint8 RGB, each at its own scale, and what is doubtful.

    `told`: the diameter in pixels of the photograph, where it is known. `quality`: whether to judge it. Raises
    FieldOfViewError as `prepare` does, OptionError for a diameter that contradicts the photograph.
    """
    shape = (image.shape[0], image.shape[1])
    scales = _find_or_assume_scales(image, preparation, told)
    if preparation.field_of_view is None:
        only = _normalised(_prepare_view(image, preparation, whole(shape)), preparation)
        return Views(shape, (only,), scales, ())
    prepared = tuple(_prepare_view(image, preparation, scale) for scale in scales)
    judged = judge_quality(image, scales, prepared[0].pixels) if quality else None
    warnings = (*scale_warnings(scales), *(judged.warnings if judged else ()))
    return Views(shape, tuple(_normalised(one, preparation) for one in prepared), scales, warnings, judged)


def _find_or_assume_scales(image: Image, preparation: Preparation, told: float | None) -> tuple[Scale, ...]:
    try:
        found = find_scales(image, told)
    except FieldOfViewError:
        if preparation.field_of_view is not None:
            raise
        return (whole((image.shape[0], image.shape[1]), told),)
    if preparation.field_of_view is None:
        return found
    box = found[0].box
    if box.longer < _MIN_SIDE:
        raise FieldOfViewError(
            f"the photograph shows {box.width} × {box.height} pixels of retina. "
            f"Send one that shows at least {_MIN_SIDE} pixels across."
        )
    if told is not None and told < _MIN_TOLD_SHARE * box.longer:
        raise OptionError(
            f"scale is {told:g} pixels, and the photograph shows {box.width} × {box.height} pixels of one field of "
            "view. Expected the diameter of the whole field of view in pixels of this photograph."
        )
    return tuple(scale for scale in found if scale.box.longer >= _MIN_SIDE)


def _prepare_view(image: Image, preparation: Preparation, seen: Scale) -> Prepared:
    box = seen.box
    if preparation.normalise and preparation.field_of_view is None and preparation.size is None:
        box = nonzero_box(image)  # as nnU-Net does, which has no other scale than the photograph's own
    view = box.cut(image)
    pixels: Image = view
    if preparation.channels == "green":
        pixels = np.asarray(cv2.extractChannel(view, 1), np.uint8)[:, :, None]
    if preparation.size is not None:
        pixels = resize(pixels, *preparation.size)
    elif preparation.field_of_view is not None:
        pixels = scale(pixels, preparation.diameter(seen.diameter) / seen.diameter)
    if preparation.clahe is not None:
        equaliser = cv2.createCLAHE(preparation.clahe.clip_limit, (preparation.clahe.grid,) * 2)
        pixels = np.stack([equaliser.apply(pixels[:, :, c]) for c in range(pixels.shape[2])], axis=2)
    return Prepared(pixels, box)


def _normalised(view: Prepared, preparation: Preparation) -> Prepared:
    """The same, with the bytes of normalised numbers where the network wants them."""
    if preparation.normalise is None:
        return view
    return replace(view, pixels=normalise(view.pixels, preparation.normalise))


def scale(pixels: Image, factor: float) -> Image:
    """Resizes (H, W, C) by `factor`, as `resize` does."""
    height, width, _ = pixels.shape
    return resize(pixels, max(1, round(height * factor)), max(1, round(width * factor)))


def resize(pixels: Image, height: int, width: int) -> Image:
    """Resizes (H, W, C): by area to less than three quarters, so that thin vessels are averaged and not skipped.

    Down to there, linear interpolation gives nearly the same in a tenth of the time; nearer to half, it weighs a pixel
    more or less by where it lies. Down to half, areas are means of 2 × 2 pixels of a finer copy: within a grey level
    of what OpenCV gives by area, in a third to a half of its time.
    """
    ratio = max(pixels.shape[0] / height, pixels.shape[1] / width)
    if _LINEAR < ratio <= 2:
        pixels = np.asarray(cv2.resize(pixels, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR), np.uint8)
    way = cv2.INTER_AREA if ratio > _LINEAR else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=way), np.uint8).reshape(height, width, -1)
