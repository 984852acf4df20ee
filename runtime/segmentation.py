"""The result: the probability of vessel for each pixel of a photograph, and everything derived from it."""

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.backends import Info
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.manifest import ClassFacts
from vesselrt.runtime.measures.figures import Measurements
from vesselrt.runtime.measures.measuring import Ruler, measure_masks
from vesselrt.runtime.measures.zones import Disc
from vesselrt.runtime.output.classes import (
    ClassLayers,
    Colours,
    Names,
    Thresholds,
    check_options,
    choose_layers,
    layers_of,
)
from vesselrt.runtime.output.correction import correct_maps
from vesselrt.runtime.output.formats import DicomFacts, OutputFormat, Rendering, Style, format_spec
from vesselrt.runtime.output.pictures import OPACITY, draw_overlay, encode_png
from vesselrt.runtime.output.statistics import (
    Levels,
    count_levels,
    covered_share,
    density,
    describe_class,
    describe_mask,
)
from vesselrt.runtime.photo.photograph import Photograph
from vesselrt.runtime.photo.placing import keep_within
from vesselrt.runtime.photo.quality import Quality
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
    """(H, W) uint8, 255 × the probability of vessel, at the photograph's own resolution; of a model that tells several
    classes apart (C, H, W), one map for each of `classes`."""
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
    facts: tuple[ClassFacts, ...] = (ClassFacts(name="vessel"),)
    """What the model's manifest says of its classes."""
    exclusive: bool = False
    """Whether a pixel belongs to one class at most, see vesselrt.runtime.output.classes."""
    spread: Image | None = None
    """(H, W) uint8, of several classes (C, H, W): how far the members are apart whose maps `probability` is the mean
    of: 510 × the standard deviation of their probabilities, so 255 is 0.5, the most that there can be. None of one
    member: `load` with `tta` or several models gives more."""
    quality: Quality | None = None
    """The verdict on the photograph and its reasons, each of which is a warning too. None: it was not asked for, or the
    model has no scale at which it could be judged."""
    file_name: str | None = None
    """What "coco" calls the photograph; None: as its file is called, "" where it came as bytes or pixels."""
    model: str = ""
    """Name and version of what made it, such as "fundus 1.2.0"."""
    corrected: bool = False
    """Whether it is what `correct` gave: every file says so."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes that the model tells apart."""
        return tuple(facts.name for facts in self.facts)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the photograph."""
        *_, height, width = self.probability.shape
        return height, width

    @property
    def scale(self) -> Scale:
        """That of the largest field of view: its box, its diameter, and whether it was found, told or guessed."""
        return self.scales[0]

    @property
    def field_of_view(self) -> Mask:
        """(H, W) bool: the pixels of the fields of view, within the region where one was asked for."""
        inside = mask_of(self.scales, self.shape)
        return inside if self.region is None else keep_within(self.region, inside)

    @cached_property
    def levels(self) -> Levels:
        """(256,): how many pixels of the field of view have each value of `probability`, of C classes (C, 256)."""
        inside = self.field_of_view
        levels = np.stack([count_levels(levels, inside) for levels in self._maps])
        return np.asarray(levels[0] if len(levels) == 1 else levels)

    def density(self, threshold: Thresholds | None = None, class_: str | None = None) -> float:
        """The share of the field of view that is vessel, 0..1, or that is of one class. Raises as `mask` does."""
        if len(self.facts) > 1:
            return covered_share(self.mask(threshold, class_), self.field_of_view)
        (layer,) = self.layers(threshold, class_).shown
        return density(self.levels, layer.threshold)

    def correct(self, correction: Image) -> "Segmentation":
        """The same as a person corrects it. `correction`: (H, W) uint8, of C classes (C, H, W): 255 for what is vessel
        at every threshold above 0, 0 for what is none, KEEP (128) where the model is right.

        A mask of 0 and 255 replaces the model's own. Raises OptionError for another shape or other values.
        """
        corrected = correct_maps(self._maps, correction.reshape(-1, *correction.shape[-2:]))
        return replace(self, probability=corrected.reshape(self.probability.shape), corrected=True)

    @property
    def image(self) -> Image:
        """(H, W, 3) uint8 RGB, the photograph at its own size; where the model needed less, it is decoded now."""
        return self.photograph.pixels

    def mask(self, threshold: Thresholds | None = None, class_: str | None = None) -> Mask:
        """(H, W) bool: vessel where probability ≥ threshold × 255.

        Of a model of several classes `class_` names the one. `threshold`: of all classes, or by their names; None, and
        for those without: the model's. Where the classes exclude each other, those of all decide.

        Raises OptionError unless 0 ≤ threshold ≤ 1, and for a class that the model lacks.
        """
        if class_ is None and len(self.facts) > 1:
            raise OptionError(f"the model has several classes. Name one as class_: {', '.join(self.classes)}.")
        layers = self.layers(threshold, class_)
        return layers.mask(layers.shown[0])

    def class_map(self, class_: str) -> Image:
        """(H, W) uint8: 255 × the probability of one class. Raises OptionError for one that the model lacks."""
        (layer,) = self.layers(classes=class_).shown
        return np.asarray(self._maps[layer.number - 1])

    def labels(self, threshold: Thresholds | None = None) -> Image:
        """(H, W) uint8: the number of each pixel's class, from 1 in the order of `classes`; 0: none. Where several
        reach their threshold, the most probable one. Raises OptionError.
        """
        return self.layers(threshold).labels

    def layers(self, threshold: Thresholds | None = None, classes: Names | None = None) -> ClassLayers:
        """The classes of these names, None: all, with their thresholds. Raises OptionError."""
        every = layers_of(self.facts, self.threshold, threshold)
        exclusive = self.exclusive and len(every) > 1
        return ClassLayers(self._maps, every, choose_layers(every, classes), exclusive, self.corrected)

    @property
    def _maps(self) -> Image:
        """(C, H, W) uint8."""
        return self.probability.reshape(-1, *self.shape)

    def measure(
        self,
        threshold: Thresholds | None = None,
        classes: Names | None = None,
        *,
        um_per_px: float | None = None,
        field_angle: float | None = None,
        disc: Disc | None = None,
    ) -> Measurements:
        """Figures of the mask: density, length, calibre, tortuosity, fractal dimension, branching; see `Measurements`.

        `um_per_px`: micrometres of the retina in a pixel, or `field_angle`: degrees that the diameter of the field of
        view shows; both None: what a DICOM file tells, else lengths are in pixels alone. `disc`: where the optic disc
        lies, for figures of the rings around it. Raises OptionError as `mask`, and for such values that can't be;
        MissingExtraError without the extra `measure`.
        """
        ruler = Ruler.told(self.photograph.origin, um_per_px, field_angle, disc)
        masks = ((layer.name, mask) for layer, mask in self.layers(threshold, classes).masks())
        return measure_masks(masks, self.field_of_view, self.scales, ruler)

    def encode(
        self,
        format: OutputFormat = "mask",  # noqa: A002 - the usual word
        threshold: Thresholds | None = None,
        colour: Colours | None = None,
        opacity: float = OPACITY,
        simplify: float = 0.0,
        classes: Names | None = None,
    ) -> bytes:
        """The content of a file: "mask", "probability", "spread" or "overlay" (PNG), "svg", "geojson", "json" or
        "coco"; of a photograph that came as DICOM "dicom-seg" and "dicom-probability" (Segmentation) and "dicom-sr"
        (Structured Report of `measure`).

        `threshold` 0..1, of all classes or by their names; None: the model's. `colour` "#rrggbb" of the vessels in
        "overlay" and "svg", likewise; `opacity` 0..1 of them in "overlay". `simplify`: pixels by which outlines may
        move in "svg" and "geojson"; at 0 they follow the pixel edges, up to 0.35 no pixel of the mask changes.
        `classes`: the names of those to show; None: all. The mask of several has the values of `labels`, and their
        probabilities lie one below the other, as do their spreads.

        Raises OptionError for a value out of its range, a class that the model lacks, the spread of one member, and
        DICOM of a photograph that came otherwise; MissingExtraError where `simplify`, "dicom-..." or the measurements
        need what is not installed.
        """
        check_options(self.classes, colour=colour)
        return format_spec(format).write(
            Rendering(
                self.layers(threshold, classes),
                photo=lambda: self.image,
                document=lambda: self.document(threshold, classes),
                style=Style(colour, opacity, simplify),
                file_name=self.photograph.file_name if self.file_name is None else self.file_name,
                spread=None if self.spread is None else self.spread.reshape(-1, *self.shape),
                dicom=DicomFacts(lambda: self.photograph.origin, lambda: self.measure(threshold, classes), self.model),
            )
        )

    def __repr__(self) -> str:
        height, width = self.shape
        took = sum(self.timings.values())
        return f"<Segmentation of {width} × {height} px in {took:.0f} ms on {self.info.device}, {self.info.precision}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the overlay, of a large photograph a smaller copy."""
        height, width = self.shape
        factor = min(1.0, _PREVIEW / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        *maps, image = (
            np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)
            for whole in (*self._maps, self.image)
        )
        layers = replace(self.layers(), probability=np.stack(maps))
        return encode_png(draw_overlay(image, ((mask, layer.colour) for layer, mask in layers.masks()), OPACITY))

    def document(self, threshold: Thresholds | None = None, classes: Names | None = None) -> dict[str, Any]:
        """What the format "json" holds: the mask as COCO's RLE, figures, fields of view, quality, warnings.
        Raises OptionError.

        `vessel_density` is `density`, `vessel_parts` counts what is connected by edges or corners. Of a model of
        several classes each of them has its threshold, mask and figures in `classes`. `corrected` is there, and true,
        where a person has corrected it. `dicom`: what such a file tells, without its patient.
        """
        origin = self.photograph.origin
        fields = [
            {"box": asdict(s.box), "diameter": s.diameter, "scale": s.source, "outline": s.outline} for s in self.scales
        ]
        return {
            **self._describe_classes(self.layers(threshold, classes)),
            "fields_of_view": fields,
            "quality": self.quality and self.quality.document(),
            "warnings": list(self.warnings),
            **({"corrected": True} if self.corrected else {}),
            **({} if origin is None else {"dicom": origin.describe()}),
        }

    def _describe_classes(self, layers: ClassLayers) -> dict[str, Any]:
        if len(self.facts) == 1:
            (layer,) = layers.shown
            return describe_mask(layers.mask(layer), self.levels, layer.threshold)
        inside, (height, width) = self.field_of_view, self.shape
        described = [
            {"name": layer.name, "threshold": layer.threshold, **describe_class(mask, inside)}
            for layer, mask in layers.masks()
        ]
        return {"width": width, "height": height, "exclusive": self.exclusive, "classes": described}
