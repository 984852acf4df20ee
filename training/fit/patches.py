"""Random patches of a prepared photograph, changed by MONAI's transforms. A recipe may train on them instead of
simulated cameras (vesselrt.training.synthetic.cameras).
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.manifest import Facts, Preparation
from vesselrt.runtime.photo.preparation import prepare, resize
from vesselrt.training.synthetic.cameras import Factors
from vesselrt.training.synthetic.pyramid import map_each

if TYPE_CHECKING:
    from monai.transforms.compose import Compose

_IMAGE_AND_TRUTH = ("image", "truth")


class Patches(Facts):
    """How patches are changed: each change by itself with `probability`, by an amount drawn uniformly."""

    probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    rotation: Annotated[float, Field(ge=0, le=180)] = 180
    """Degrees, either way. Beside it patches are flipped along each axis."""
    zoom: Factors = (0.9, 1.1)
    noise: Annotated[float, Field(ge=0)] = 0.02
    """Largest standard deviation of Gaussian noise, full scale 1."""
    contrast: Factors = (0.7, 1.4)
    """Exponent of the brightness."""
    truth: Literal["coverage", "touched"] = "coverage"
    """The truth at the prepared scale: the share of the pixel that is vessel; or 1 wherever a vessel touches it."""


@dataclass(frozen=True, eq=False)
class PreparedPhoto:
    """A photograph as the runtime prepares it, with the truth at the same scale."""

    image: NDArray[np.float32]
    """(C, h, w) in 0..1."""
    truth: NDArray[np.float32]
    """(K, h, w) in 0..1: a map of each class."""
    patches: Patches

    @classmethod
    def build(
        cls, image: Image, truth: NDArray[np.bool_], preparation: Preparation, patches: Patches
    ) -> "PreparedPhoto":
        """From a photograph (H, W, 3) and its mask (H, W), or several (K, H, W)."""
        prepared = prepare(image, preparation)

        def cover(single: NDArray[np.bool_]) -> Image:
            mask = np.ascontiguousarray(prepared.box.cut(single)).astype(np.uint8)[:, :, None] * np.uint8(255)
            return resize(mask, *prepared.pixels.shape[:2])[:, :, 0]

        coverage = map_each(cover, truth.reshape(-1, *truth.shape[-2:]))
        share = coverage.astype(np.float32) / 255 if patches.truth == "coverage" else coverage > 0
        pixels = prepared.pixels.transpose(2, 0, 1)
        return cls((pixels / 255).astype(np.float32), share.astype(np.float32), patches)

    def patch(self, side: int, random: np.random.Generator) -> tuple[Image, NDArray[np.float32]]:
        """One patch: (side, side, C) uint8, and its truth (side, side) in 0..1, of several maps (K, side, side)."""
        change = _patch_transforms(self.patches, side)
        change.set_random_state(int(random.integers(2**32, dtype=np.uint64)))
        changed = change({"image": self.image, "truth": self.truth})
        pixels = (np.clip(np.asarray(changed["image"]), 0, 1) * 255 + 0.5).astype(np.uint8)
        truth = np.clip(np.asarray(changed["truth"]), 0, 1).astype(np.float32)
        return np.ascontiguousarray(pixels.transpose(1, 2, 0)), truth if len(truth) > 1 else truth[0]


@cache
def _patch_transforms(patches: Patches, side: int) -> "Compose":
    """The transforms of one process: their random state is set anew for every patch.

    A patch is cut larger than its final size: when it is turned or shrunk, its corners show what really lies there.
    """
    from monai.transforms.compose import Compose
    from monai.transforms.croppad.dictionary import CenterSpatialCropd, RandSpatialCropd, SpatialPadd
    from monai.transforms.intensity.dictionary import RandAdjustContrastd, RandGaussianNoised
    from monai.transforms.spatial.dictionary import RandFlipd, RandRotated, RandZoomd

    share = patches.probability
    reach = math.ceil(side * (math.sqrt(2) if patches.rotation else 1) / min(1.0, patches.zoom[0]))
    ways, edges = ("bilinear", "bilinear"), ("reflection", "reflection")
    return Compose(
        [
            SpatialPadd(_IMAGE_AND_TRUTH, (reach, reach), mode="constant"),
            RandSpatialCropd(_IMAGE_AND_TRUTH, (reach, reach), random_size=False),
            RandFlipd(_IMAGE_AND_TRUTH, prob=share, spatial_axis=0),
            RandFlipd(_IMAGE_AND_TRUTH, prob=share, spatial_axis=1),
            RandRotated(
                _IMAGE_AND_TRUTH, range_x=math.radians(patches.rotation), prob=share, mode=ways, padding_mode=edges
            ),
            RandZoomd(
                _IMAGE_AND_TRUTH, prob=share, min_zoom=patches.zoom[0], max_zoom=patches.zoom[1], mode=("area", "area")
            ),
            CenterSpatialCropd(_IMAGE_AND_TRUTH, (side, side)),
            RandGaussianNoised("image", prob=share, std=patches.noise),
            RandAdjustContrastd("image", prob=share, gamma=patches.contrast),
        ]
    )
