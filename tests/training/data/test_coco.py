"""Files of COCO as annotations: polygons, run lengths in both spellings, what the runtime wrote, and what can't be."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sets import SHAPE, VESSEL, photograph, write_settings
from results import probability_of, write_as

from vesselrt.runtime.errors import DataError
from vesselrt.training.data.coco import mask_from_run_lengths
from vesselrt.training.data.finding import list_samples, resolve_kind
from vesselrt.training.data.samples import Sample

HEIGHT, WIDTH = SHAPE
POLYGON = [[0, 5, WIDTH, 5, WIDTH, 6, 0, 6]]
RUNS = [5, *[1, HEIGHT - 1] * (WIDTH - 1), 1, HEIGHT - 6]
CATEGORIES = [{"id": 7, "name": "artery"}, {"id": 9, "name": "vein"}]


def write(root: Path, *segmentations: Any, name: str = "annotations.json", **fields: Any) -> Sample:
    """An eye with an annotation of each segmentation, the first an artery, the second a vein."""
    photograph(root / "eye.png")
    annotations = [
        {"id": i, "image_id": 3, "category_id": CATEGORIES[i]["id"], "segmentation": each, "iscrowd": 0}
        for i, each in enumerate(segmentations)
    ]
    image = {"id": 3, "file_name": "eye.png", "width": WIDTH, "height": HEIGHT}
    document = {"images": [image], "categories": CATEGORIES, "annotations": annotations, **fields}
    (root / name).write_text(json.dumps(document))
    if not (root / "dataset.json").exists():
        write_settings(root, splits={"test": ["eye"]})
    assert resolve_kind("auto", root) == "geojson"
    return list_samples("geojson", root, "test")[0]


@pytest.mark.parametrize("name", ["annotations.json", "_annotations.coco.json"])
@pytest.mark.parametrize("segmentation", [POLYGON, {"size": SHAPE, "counts": RUNS}], ids=["polygon", "runs"])
def test_every_spelling_is_the_same_mask(tmp_path: Path, segmentation: Any, name: str) -> None:
    assert np.array_equal(write(tmp_path, segmentation, name=name).read_truth(), VESSEL)


def test_categories_are_classes(tmp_path: Path) -> None:
    write_settings(tmp_path, splits={"test": ["eye"]}, classes={"vein": {}, "artery": {}})
    sample = write(tmp_path, POLYGON, [[2, 2, 4, 2, 4, 4, 2, 4]])
    artery, vein = sample.read_classes(["artery", "vein"]).masks
    assert np.array_equal(artery, VESSEL)
    assert int(vein.sum()) == 4


def test_what_the_runtime_writes_comes_back(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random(SHAPE) < 0.3
    written = json.loads(write_as("coco", probability_of(mask)))
    (annotation,) = written["annotations"]
    found = mask_from_run_lengths("here", SHAPE, annotation["segmentation"]["counts"])
    assert np.array_equal(found, mask)
    written["images"][0]["file_name"] = "eye.png"
    photograph(tmp_path / "eye.png")
    (tmp_path / "annotations.json").write_text(json.dumps(written))
    write_settings(tmp_path, splits={"test": ["eye"]})
    assert np.array_equal(list_samples("geojson", tmp_path, "test")[0].read_truth(), mask)


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([], r"annotations\.0\.segmentation.*Boxes and key points alone can't be read"),
        ([[1, 1, 4, 1, 4, 4, 1]], "annotations.0: an outline of an odd number of values"),
        ({"size": SHAPE, "counts": [5, 5]}, "annotations.0: its run lengths have 10 pixels. Expected 12 × 10"),
        ({"size": SHAPE, "counts": "~~~"}, "annotations.0: its run lengths have"),
        ([[1, 1, 1e9, 1, 4, 4]], "annotations.0: coordinates.0.1.0: Input should be less than"),
    ],
)
def test_what_can_not_be_an_annotation(tmp_path: Path, segmentation: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        write(tmp_path, segmentation).read_truth()


def test_an_annotation_of_nothing_that_is_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"annotations\.0: its image 3 or category 7 is not listed"):
        write(tmp_path, POLYGON, categories=CATEGORIES[1:]).read_truth()


def test_two_files_for_all_photographs(tmp_path: Path) -> None:
    write(tmp_path, POLYGON)
    with pytest.raises(DataError, match="several files for all photographs"):
        write(tmp_path, POLYGON, name="_annotations.coco.json")
