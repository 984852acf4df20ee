"""One annotated photograph of a data set: its files, and how they are read.

Photographs are decoded by the runtime's decoder alone, so training and serving see the same pixels.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.errors import DataError, ImageError
from vesselrt.runtime.photo.decoding import Limits, open_photo
from vesselrt.runtime.photo.encoded import Encoded
from vesselrt.runtime.photo.photograph import Photograph
from vesselrt.training.data.annotations import Annotation
from vesselrt.training.data.classes import ClassRules, ClassTruth, MarkedMasks, check_declared
from vesselrt.training.data.masks import MAX_VESSEL_SHARE, Vessels, check_vessel_share, read_mask, read_unpacked

logger = logging.getLogger(__name__)

LIMITS = Limits(bytes=2**32, pixels=2**30)
"""Of photographs of a data set: one's own files, and not what a stranger sends to a server."""


@dataclass(frozen=True)
class Sample:
    """One annotated photograph: files only, nothing is read yet."""

    name: str
    image: Path
    truth: Path
    field_of_view: Path | None = None
    second: Path | None = None
    """A second human observer's annotation."""
    annotation: Annotation | None = None
    """How `truth` is read where it is GeoJSON; None: it is a mask."""
    vessels: Vessels = None
    """Which pixels of the masks `truth` and `second` are vessel."""
    most_vessel: float = MAX_VESSEL_SHARE
    """Share of the field of view that may be vessel."""
    marked: MarkedMasks | None = None
    """The masks of several classes; None: there are none, or `annotation` has them."""
    unmarked_is_empty: bool = False
    """Where a class has no mask of this photograph, it shows nothing of it; else that is an error."""

    @property
    def class_rules(self) -> ClassRules | None:
        """Of the classes that the data set tells apart; None where it has vessels alone."""
        if self.marked is not None:
            return self.marked.rules
        return None if self.annotation is None else self.annotation.rules.class_rules

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that the data set tells apart; none where it has vessels alone."""
        return () if self.class_rules is None else tuple(self.class_rules.classes)

    def read_image(self) -> Image:
        """The photograph, (H, W, 3) uint8 RGB, turned upright as the runtime does; masks are taken as stored."""
        photograph = self.photograph()
        try:
            pixels = photograph.pixels
        except ImageError as error:
            raise DataError(f"{self.image}: not a readable image: {error}") from None
        for warning in photograph.warnings:
            logger.warning("%s: %s", self.image, warning)
        return pixels

    def photograph(self) -> Photograph:
        """For the runtime: the file's bytes, not decoded yet. Raises DataError when the file can't be read."""
        return Photograph(self._read_bytes(), LIMITS)

    def read_header(self) -> Encoded:
        """The photograph's size and how it is turned. Raises ImageError, DataError when the file can't be read."""
        return open_photo(self._read_bytes(), LIMITS)

    def read_truth(self) -> Mask:
        """(H, W) bool, True = vessel. Raises DataError for what can't be the vessels of this photograph."""
        if self.annotation is None:
            return self._read_vessels(self.truth)
        truth = self.annotation.mask(*self._size())
        self._check_share(self.truth, truth)
        return truth

    def ignores(self, names: Sequence[str]) -> bool:
        """Whether the truth of these classes may have pixels that don't count."""
        rules = self.class_rules
        return rules is not None and rules.ignore is not None and set(names) <= set(rules.classes)

    def read_classes(self, wanted: Sequence[str]) -> ClassTruth:
        """The truth of these classes. Raises DataError for what can't be theirs, and for one that is not declared."""
        if self.annotation is not None:
            found = self.annotation.class_truth(*self._size(), wanted)
        elif self.marked is not None:
            found = self._read_marked(self.marked, wanted)
        else:
            check_declared(self.truth, wanted, ())
            raise DataError(f"{self.truth}: no class was asked for. Name one.")
        for mask in found.masks:
            self._check_share(self.truth, mask)
        return found

    def read_second(self) -> Mask | None:
        """The second observer's (H, W) bool; None where there is none. Raises DataError as `read_truth` does."""
        return None if self.second is None else self._read_vessels(self.second)

    def read_field_of_view(self, shape: tuple[int, ...]) -> Mask:
        """(H, W) bool; everything, where the data set has no mask."""
        return np.ones(shape[:2], bool) if self.field_of_view is None else read_mask(self.field_of_view)

    def _read_bytes(self) -> bytes:
        try:
            return read_unpacked(self.image)
        except OSError as error:
            raise DataError(f"{self.image}: can't be read ({error.strerror or error})") from None

    def _read_vessels(self, path: Path) -> Mask:
        mask = read_mask(path, self.vessels)
        _check_upright(self, path, mask)
        self._check_share(path, mask)
        return mask

    def _read_marked(self, marked: MarkedMasks, wanted: Sequence[str]) -> ClassTruth:
        masks, ignored = marked.read(wanted)
        missing = [str(path) for path, mask in zip(marked.files(wanted).values(), masks, strict=True) if mask is None]
        if missing and not self.unmarked_is_empty:
            raise DataError(
                f"{', '.join(missing)}: no such mask. Where a photograph without one shows nothing of the class, set "
                '"unannotated": "empty" in dataset.json.'
            )
        shapes = {mask.shape for mask in (*masks, ignored) if mask is not None} or {self._size()}
        if len(shapes) > 1:
            raise DataError(f"{self.image}: its masks have different sizes. They must agree.")
        (shape,) = shapes
        whole = np.stack([np.zeros(shape, bool) if mask is None else mask for mask in masks])
        _check_upright(self, marked.mask, whole[0])
        return ClassTruth(whole, ignored)

    def _check_share(self, path: Path, vessel: Mask) -> None:
        inside = self.read_field_of_view(vessel.shape)
        # Sizes that differ are an error of `check_same_size`, which names both files.
        check_vessel_share(
            path, vessel, inside if inside.shape == vessel.shape else np.ones_like(vessel), self.most_vessel
        )

    def _size(self) -> tuple[int, int]:
        """(height, width) of the photograph that the annotation was drawn on.

        Raises DataError for one that is stored turned: some tools show it upright, and others as it is stored.
        """
        try:
            header = self.read_header()
        except ImageError as error:
            raise DataError(f"{self.image}: not a readable image: {error}") from None
        if header.orientation != 1:
            raise DataError(
                f"{self.image}: stored turned (EXIF orientation {header.orientation}): which corner an annotation "
                "counts from depends on the tool. Save the photograph upright, and look at the annotation on it."
            )
        return header.height, header.width


def read_pair(sample: Sample) -> tuple[Image, Mask]:
    """Photograph (H, W, 3) and truth (H, W). Raises DataError when their sizes differ."""
    image, truth = sample.read_image(), sample.read_truth()
    check_same_size(sample, truth, sample.image, image)
    return image, truth


def read_pair_of(sample: Sample, names: Sequence[str]) -> tuple[Image, ClassTruth]:
    """Photograph (H, W, 3) and the truth of a model's classes. Raises DataError when their sizes differ."""
    image, truth = sample.read_image(), read_truth_of(sample, names)
    check_same_size(sample, truth.masks[0], sample.image, image)
    return image, truth


def read_truth_of(sample: Sample, names: Sequence[str]) -> ClassTruth:
    """The truth of a model's classes. Of a single one that the data set does not tell apart, that is its vessels.

    Raises DataError.
    """
    if len(names) == 1 and names[0] not in sample.class_names:
        return ClassTruth(sample.read_truth()[None], None)
    return sample.read_classes(names)


def read_inside(sample: Sample, truth: Mask) -> Mask:
    """The field of view (H, W) that belongs to a truth. Raises DataError when their sizes differ, or it is empty."""
    inside = sample.read_field_of_view(truth.shape)
    check_same_size(sample, truth, sample.field_of_view, inside)
    if not inside.any():
        raise DataError(f"{sample.field_of_view}: the mask is empty. Expected white where the field of view is.")
    return inside


def check_same_size(sample: Sample, truth: Mask, path: Path | None, pixels: NDArray[Any]) -> None:
    """Raises DataError unless what was read from `path`, (H, W) or (H, W, C), is of the truth's size."""
    (height, width), (h, w) = truth.shape, pixels.shape[:2]
    if (h, w) != (height, width):
        raise DataError(
            f"{path}: {w} × {h} pixels, but its truth {sample.truth} has {width} × {height}. They must agree."
        )


def hash_photograph(path: Path) -> str:
    """The first 16 digits of the file's SHA-256: the same photograph under any name."""
    return _short_sha256(path.read_bytes())


def hash_photograph_and_pixels(path: Path) -> tuple[str, ...]:
    """`hash_photograph`, and where it is an image the same of its pixels, which a lossless copy keeps."""
    known = hash_photograph(path)
    try:
        pixels = Photograph(read_unpacked(path), LIMITS).pixels
    except (OSError, ImageError):
        return (known,)
    return known, _short_sha256(str(pixels.shape).encode() + pixels.tobytes())


def _short_sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _check_upright(sample: Sample, path: Path, mask: Mask) -> None:
    """Raises DataError unless a mask, read from `path`, was surely drawn on the photograph as it is seen.

    Photographs are turned as their EXIF orientation says. Only where that changes width and height, the size tells
    whether a mask was drawn before or after.
    """
    try:
        header = sample.read_header()
    except ImageError:  # whatever reads the pixels reports it
        return
    width, height = header.width, header.height
    swapped = header.orientation in (5, 6, 7, 8) and width != height
    if header.orientation == 1 or (swapped and mask.shape == (width, height)):
        return
    raise DataError(
        f"{sample.image}: stored turned (EXIF orientation {header.orientation}), and its mask {path} may be turned or "
        "not. Save the photograph upright, and look at the mask on it."
    )
