"""Results as COCO's tools read them. `decode` is written after pycocotools' maskApi.c."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from results import drawn, probability_of, write_as
from several_classes import colour_segmenter

from vesselrt.runtime.arrays import Mask

MASK = drawn(".....  .##.#  .#..#  .....")


def decode(segmentation: dict[str, Any]) -> Mask:
    """Compressed run lengths → (H, W) bool, as `rleFrString` of pycocotools does it."""
    values: list[int] = []
    value = place = 0
    for letter in segmentation["counts"].encode():
        group = letter - 48
        value |= (group & 31) << 5 * place
        place += 1
        if not group & 32:
            value -= 1 << 5 * place if group & 16 else 0
            values.append(value + (values[-2] if len(values) > 2 else 0))
            value = place = 0
    flat = np.repeat(np.arange(len(values)) % 2 == 1, values)
    return flat.reshape(segmentation["size"][::-1]).T


def test_one_class_is_one_annotation() -> None:
    document = json.loads(write_as("coco", probability_of(MASK)))
    assert document["images"] == [{"id": 1, "file_name": "", "width": 5, "height": 4}]
    assert document["categories"] == [{"id": 1, "name": "vessel", "supercategory": "eye"}]
    (annotation,) = document["annotations"]
    assert (annotation["image_id"], annotation["category_id"], annotation["iscrowd"]) == (1, 1, 0)
    assert (annotation["area"], annotation["bbox"]) == (5, [1, 1, 4, 2])
    assert np.array_equal(decode(annotation["segmentation"]), MASK)


def test_without_a_vessel_there_is_no_annotation() -> None:
    document = json.loads(write_as("coco", probability_of(MASK & False)))
    assert document["annotations"] == []
    assert [category["name"] for category in document["categories"]] == ["vessel"]


def test_several_classes_have_a_category_each_and_the_file_its_name(tmp_path: Path) -> None:
    photo = np.zeros((72, 90, 3), np.uint8)
    photo[:, :, 0], photo[10:60, 20:70, 1], photo[30:50, 30:50, 2] = 200, 220, 255
    path = tmp_path / "left é.png"
    path.write_bytes(cv2.imencode(".png", photo[:, :, ::-1])[1].tobytes())
    with colour_segmenter() as segmenter:
        result = segmenter.segment(path, scale=80)
    document = json.loads(result.encode("coco", classes="disc"))
    assert document["images"] == [{"id": 1, "file_name": "left é.png", "width": 90, "height": 72}]
    assert [(c["id"], c["name"]) for c in document["categories"]] == [(1, "artery"), (2, "vein"), (3, "disc")]
    (annotation,) = document["annotations"]
    assert annotation["category_id"] == 3
    every = json.loads(result.encode("coco"))["annotations"]
    assert [a["category_id"] for a in every] == [1, 2, 3]
    for name, found in zip(result.classes, every, strict=True):
        assert np.array_equal(decode(found["segmentation"]), result.mask(class_=name))
