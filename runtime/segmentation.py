"""The result: the probability of vessel for each pixel of a photograph, and everything derived from it."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.backends import Info
from vesselrt.runtime.output.formats import OutputFormat, Rendering, Style, format_spec
from vesselrt.runtime.output.pictures import COLOUR, OPACITY, draw_overlay, encode_png
from vesselrt.runtime.output.statistics import Levels, count_levels, density, describe_mask, threshold_mask
from vesselrt.runtime.photo.photograph import Photograph
from vesselrt.runtime.photo.views import Box, Scale, mask_of

_PREVIEW = 1024  # px: longest side of the picture in a notebook


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """The vessels of one photograph. The threshold is applied here, never by a second inference.

    >>> result = vesselrt.load().segment("photo.jpg")
    >>> result.mask(0.5).shape, result.probability.dtype
    ((320, 288), dtype('uint8'))
    >>> pathlib.Path("vessels.svg").write_bytes(result.encode("svg", simplify=0.35)) > 1000
    True
    >>> 0.02 < result.density() < 0.3
    True
    """

    probability: Image
    """(H, W) uint8, 255 × the probability of vessel, at the photograph's own resolution."""
    photograph: Photograph
    threshold: float
    """The model's operating threshold, 0..1: the default of the methods below."""
    timings: dict[str, float]
    """Milliseconds of each stage: decode, prepare, infer, finish."""
    info: Info
    """The device and precision that were used."""
    scales: tuple[Scale, ...]
    """The fields of view that were seen, the largest first, each with its diameter."""
    warnings: tuple[str, ...] = ()
    """Doubts about the photograph, and so about the vessels, one sentence each."""
    region: Box | None = None
    """The part of the photograph that was segmented; None: all of it."""

    @property
    def scale(self) -> Scale:
        """That of the largest field of view: its box, its diameter, and whether it was found, told or guessed."""
        return self.scales[0]

    @property
    def field_of_view(self) -> Mask:
        """(H, W) bool: the pixels of the fields of view, within the region where one was asked for."""
        inside = mask_of(self.scales, (self.probability.shape[0], self.probability.shape[1]))
        return inside if self.region is None else keep_within(self.region, inside)

    @cached_property
    def levels(self) -> Levels:
        """(256,): how many pixels of the field of view have each value of `probability`."""
        return count_levels(self.probability, self.field_of_view)

    def density(self, threshold: float | None = None) -> float:
        """The share of the field of view that is vessel, 0..1. Raises OptionError unless 0 ≤ threshold ≤ 1."""
        return density(self.levels, self.threshold if threshold is None else threshold)

    @property
    def image(self) -> Image:
        """(H, W, 3) uint8 RGB, the photograph at its own size; where the model needed less, it is decoded now."""
        return self.photograph.pixels

    def mask(self, threshold: float | None = None) -> Mask:
        """(H, W) bool: vessel where probability ≥ threshold × 255. Raises OptionError unless 0 ≤ threshold ≤ 1."""
        return threshold_mask(self.probability, self.threshold if threshold is None else threshold)

    def encode(
        self,
        format: OutputFormat = "mask",  # noqa: A002 - the usual word
        threshold: float | None = None,
        colour: str = COLOUR,
        opacity: float = OPACITY,
        simplify: float = 0.0,
    ) -> bytes:
        """The content of a file: "mask", "probability" or "overlay" (PNG), "svg", "geojson" or "json".

        `threshold` 0..1; None: the model's. `colour` "#rrggbb" of the vessels in "overlay" and "svg", `opacity` 0..1 of
        them in "overlay". `simplify`: pixels by which outlines may move in "svg" and "geojson"; at 0 they follow the
        pixel edges, up to 0.35 no pixel of the mask changes.

        Raises OptionError for a value out of its range, MissingExtraError where `simplify` needs shapely and that is
        not installed.
        """
        threshold = self.threshold if threshold is None else threshold
        return format_spec(format).write(
            Rendering(
                self.probability,
                photo=lambda: self.image,
                document=lambda: self.document(threshold),
                threshold=threshold,
                style=Style(colour, opacity, simplify),
            )
        )

    def __repr__(self) -> str:
        height, width = self.probability.shape
        took = sum(self.timings.values())
        return f"<Segmentation of {width} × {height} px in {took:.0f} ms on {self.info.device}, {self.info.precision}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the overlay, of a large photograph a smaller copy."""
        height, width = self.probability.shape
        factor = min(1.0, _PREVIEW / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        small = [cv2.resize(whole, size, interpolation=cv2.INTER_AREA) for whole in (self.probability, self.image)]
        probability, image = (np.asarray(pixels, np.uint8) for pixels in small)
        return encode_png(draw_overlay(image, threshold_mask(probability, self.threshold), COLOUR, OPACITY))

    def document(self, threshold: float | None = None) -> dict[str, Any]:
        """What the format "json" holds: the mask as COCO's RLE, figures, fields of view, warnings. Raises OptionError.

        `vessel_density` is `density`, `vessel_parts` counts what is connected by edges or corners.
        """
        threshold = self.threshold if threshold is None else threshold
        fields = [
            {"box": asdict(s.box), "diameter": s.diameter, "scale": s.source, "outline": s.outline} for s in self.scales
        ]
        return {
            **describe_mask(self.mask(threshold), self.levels, threshold),
            "fields_of_view": fields,
            "warnings": list(self.warnings),
        }


def keep_within(part: Box, whole: NDArray[Any]) -> NDArray[Any]:
    """The same in `part`, and 0 elsewhere."""
    result = np.zeros_like(whole)
    part.cut(result)[:] = part.cut(whole)
    return result
