"""A photograph and its truth in halving resolutions: what simulated cameras look at."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.photo.preparation import scale
from vesselrt.runtime.photo.views import field_of_view

_MAX_DIAMETER = 1920  # px: field-of-view diameter beyond which the finest source level is reduced


@dataclass(frozen=True)
class PhotoPyramid:
    """A photograph cut to its field of view, in halving resolutions, with its truth."""

    images: tuple[Image, ...]
    """Each (h, w, 3) uint8 RGB."""
    truths: tuple[Image, ...]
    """Each (h, w) uint8: share of the pixel that is vessel, 255 = all; of K classes (K, h, w). Where there is what does
    not count, its share is a further map, the last."""
    diameters: tuple[float, ...]
    """Field-of-view diameter of each level in pixels."""
    native: float
    """Field-of-view diameter in pixels at which the truth was drawn."""
    ignoring: bool = False
    """Whether the last map is what does not count."""

    def widening(self, painted: float, sensor: float) -> float:
        """Sensor pixels by which truth painted on a sensor is wider than this truth.

        Both annotators paint `painted` pixels too wide, each on the pixels of their own sensor, so on a
        sensor as fine as this photograph's own nothing changes.
        """
        return painted * max(0.0, 1 - sensor / self.native)

    def draw_class_pixel(self, random: np.random.Generator) -> tuple[float, float] | None:
        """A pixel of a class, of each class equally often: x and y as shares of the sides; None: there is none."""
        coarse = self.truths[-1].reshape(-1, *self.truths[-1].shape[-2:])
        places = [np.argwhere(share > 127) for share in (coarse[:-1] if self.ignoring else coarse)]
        there = [found for found in places if len(found)]
        if not there:
            return None
        chosen = there[random.integers(len(there))]
        y, x = (chosen[random.integers(len(chosen))] + 0.5) / coarse.shape[1:]
        return float(x), float(y)

    @classmethod
    def build(cls, image: Image, truth: NDArray[np.bool_], ignored: NDArray[np.bool_] | None = None) -> "PhotoPyramid":
        """From the cut photograph (h, w, 3), its mask (h, w) or those of K classes (K, h, w), and what does not count
        (h, w), at native resolution.
        """
        native = diameter = float(max(image.shape[:2]))
        maps = truth if ignored is None else np.concatenate([truth.reshape(-1, *ignored.shape), ignored[None]])
        coverage: Image = maps.astype(np.uint8) * np.uint8(255)
        if diameter > _MAX_DIAMETER:
            image, coverage = scale(image, _MAX_DIAMETER / diameter), _scale_maps(coverage, _MAX_DIAMETER / diameter)
            diameter = float(_MAX_DIAMETER)
        images, truths, diameters = [image], [coverage], [diameter]
        while diameters[-1] > 500:
            images.append(scale(images[-1], 0.5))
            truths.append(_scale_maps(truths[-1], 0.5))
            diameters.append(diameters[-1] / 2)
        return cls(tuple(images), tuple(truths), tuple(diameters), native, ignored is not None)


def pyramid_from_photo(
    image: Image, truth: NDArray[np.bool_], ignored: NDArray[np.bool_] | None = None
) -> PhotoPyramid:
    """What simulated cameras look at: the field of view of a photograph (H, W, 3), its truth (H, W), or that of K
    classes (K, H, W), and what does not count (H, W).
    """
    box = field_of_view(image)
    cut = None if ignored is None else box.cut(ignored)
    return PhotoPyramid.build(np.ascontiguousarray(box.cut(image)), map_each(box.cut, truth), cut)


def map_each(change: Callable[[NDArray[Any]], NDArray[Any]], maps: NDArray[Any]) -> NDArray[Any]:
    """What `change` makes of each map (h, w) of (..., h, w)."""
    made = np.stack([change(single) for single in maps.reshape(-1, *maps.shape[-2:])])
    return made.reshape(*maps.shape[:-2], *made.shape[1:])


def _scale_maps(maps: Image, factor: float) -> Image:
    return map_each(lambda single: scale(single[:, :, None], factor)[:, :, 0], maps)
