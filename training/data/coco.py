"""Annotations in the JSON of COCO, as features: polygons as they are, run lengths by the outlines of their pixels.

An annotation's category is its class, and the photograph is known by the name of its file. Boxes and key points have no
area and can't be read.
"""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import explain
from vesselrt.runtime.output.outlines import trace_outlines
from vesselrt.training.data.shapes import Feature, Member, Polygon

_Count = Annotated[int, Field(ge=0)]


class _Picture(Member):
    id: int
    file_name: str


class _Category(Member):
    id: int
    name: str


class _Runs(Member):
    size: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
    """Height and width."""
    counts: str | list[_Count]
    """Lengths down the columns, background first; as text compressed."""


class _Segment(Member):
    image_id: int
    category_id: int
    segmentation: _Runs | Annotated[list[Annotated[list[float], Field(min_length=6)]], Field(min_length=1)]


class _Document(Member):
    images: list[_Picture]
    categories: list[_Category]
    annotations: list[_Segment]


_DOCUMENT = TypeAdapter(_Document)


def is_coco(root: Any) -> bool:
    """Whether parsed JSON is meant as a file of COCO."""
    return isinstance(root, dict) and {"images", "annotations"} <= root.keys()


def features_from_coco(path: Path, root: Any) -> list[Feature]:
    """The annotations of a file, already parsed. Raises DataError that names the first wrong field."""
    try:
        document = _DOCUMENT.validate_python(root)
    except ValidationError as error:
        told = explain(error).partition("; ")[0]
        raise DataError(f"{path}: not a COCO annotation: {told}. Boxes and key points alone can't be read.") from None
    names = {picture.id: picture.file_name for picture in document.images}
    classes = {category.id: category.name for category in document.categories}
    features = []
    for number, segment in enumerate(document.annotations):
        where = f"{path}: annotations.{number}"
        if segment.image_id not in names or segment.category_id not in classes:
            raise DataError(f"{where}: its image {segment.image_id} or category {segment.category_id} is not listed.")
        known = {"image": names[segment.image_id], "classification": {"name": classes[segment.category_id]}}
        features += [_feature(where, rings, known) for rings in _areas(where, segment.segmentation)]
    return features


def mask_from_run_lengths(where: str, size: tuple[int, int], counts: str | list[int]) -> Mask:
    """Run lengths of COCO, compressed or not → (H, W) bool. Raises DataError where they don't fill it."""
    runs = _decompress(counts) if isinstance(counts, str) else counts
    if sum(runs) != size[0] * size[1] or min(runs, default=0) < 0:
        raise DataError(f"{where}: its run lengths have {sum(runs)} pixels. Expected {size[0]} × {size[1]}.")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.asarray(flat.reshape(size[::-1]).T)


def _feature(where: str, rings: list[list[list[float]]], properties: dict[str, Any]) -> Feature:
    try:
        shape = Polygon(type="Polygon", coordinates=rings)
    except ValidationError as error:
        raise DataError(f"{where}: {explain(error).partition('; ')[0]}") from None
    return Feature(type="Feature", geometry=shape, properties=properties)


def _areas(where: str, segmentation: _Runs | list[list[float]]) -> list[list[list[list[float]]]]:
    """Polygons, each of closed rings of [x, y]."""
    if isinstance(segmentation, _Runs):
        mask = mask_from_run_lengths(where, segmentation.size, segmentation.counts)
        return [[_close(ring) for ring in polygon] for polygon in trace_outlines(mask)]
    if any(len(outline) % 2 for outline in segmentation):
        raise DataError(f"{where}: an outline of an odd number of values. Expected x and y of each point.")
    return [[_close([outline[i : i + 2] for i in range(0, len(outline), 2)])] for outline in segmentation]


def _close(ring: list[list[float]]) -> list[list[float]]:
    return ring if ring[0] == ring[-1] else [*ring, ring[0]]


def _decompress(text: str) -> list[int]:
    """As `rleFrString` of pycocotools' maskApi.c: groups of 5 bits, each number less the one two before it."""
    values: list[int] = []
    value = place = 0
    for letter in text.encode("latin-1", "replace"):
        group = letter - 48
        value |= (group & 31) << 5 * place
        place += 1
        if not group & 32:
            value -= 1 << 5 * place if group & 16 else 0
            values.append(value + (values[-2] if len(values) > 2 else 0))
            value = place = 0
    return values
