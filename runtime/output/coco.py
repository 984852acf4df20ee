"""Masks as COCO has them, so that its tools read a result: images, categories and annotations in one JSON."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.output.classes import ClassLayer
from vesselrt.runtime.output.statistics import coco_run_lengths


def coco_from_masks(
    masks: Iterable[tuple[ClassLayer, Mask]],
    every: Iterable[ClassLayer],
    shape: tuple[int, int],
    file_name: str,
    *,
    corrected: bool = False,
) -> bytes:
    """One photograph of this size (height, width): a category for each class of the model, and for each class that is
    shown (H, W) one annotation of all its pixels, as in COCO-Stuff; none where it has no pixel.

    `corrected`: whether the image has a field of this name, true: a person has corrected the masks.

    A category's id is the class's number in the mask and in the manifest, from 1. `segmentation` is compressed run
    lengths: `pycocotools.mask.decode` gives the mask back.
    """
    height, width = shape
    annotations = [
        {"id": layer.number, "image_id": 1, "category_id": layer.number, **describe_segment(mask)}
        for layer, mask in masks
        if mask.any()
    ]
    image = {"id": 1, "file_name": file_name, "width": width, "height": height}
    document = {
        "images": [image | ({"corrected": True} if corrected else {})],
        "categories": [{"id": layer.number, "name": layer.name, "supercategory": "eye"} for layer in every],
        "annotations": annotations,
    }
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def describe_segment(mask: Mask) -> dict[str, Any]:
    """The fields of an annotation that tell of its pixels; `mask` (H, W) has one at least."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "segmentation": {"size": list(mask.shape), "counts": coco_run_lengths(mask)},
        "area": int(np.count_nonzero(mask)),
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "iscrowd": 0,
    }
