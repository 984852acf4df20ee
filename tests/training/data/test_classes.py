"""Several classes in the truth: colours, labels, a mask each, annotations; and what can't be theirs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_sets import IN_COLOURS, SHAPE, VESSEL, folder, hrf, les_av, photograph, rite, save, write_settings
from PIL import Image as Pillow
from pydantic import ValidationError

from vesselrt.runtime.errors import DataError
from vesselrt.training.data.classes import ARTERY_VEIN, ClassMarks, ClassRules
from vesselrt.training.data.finding import Kind, list_samples
from vesselrt.training.data.samples import Sample, read_truth_of

ARTERY, VEIN, UNSURE = (np.zeros(SHAPE, bool) for _ in range(3))
"""Of IN_COLOURS: four arteries, three veins, two crossings, one that is not sure."""
ARTERY[5, :4], VEIN[5, 4:7], ARTERY[5, 7:9], VEIN[5, 7:9], UNSURE[5, 9] = True, True, True, True, True


def first(kind: Kind, root: Path, rules: ClassRules | None = None) -> Sample:
    return list_samples(kind, root, "test", rules)[0]


def arteries_and_veins(sample: Sample) -> bool:
    found = sample.read_classes(["vein", "artery"])  # in the order that was asked for
    assert found.ignored is not None
    return np.array_equal(found.masks, [VEIN, ARTERY]) and np.array_equal(found.ignored, UNSURE)


@pytest.mark.parametrize("colours", [False, True], ids=["beside a mask of vessels", "alone"])
def test_public_sets_have_their_authors_colours(tmp_path: Path, colours: bool) -> None:
    for kind, build in (("les_av", les_av), ("rite", rite)):
        sample = first(kind, build(tmp_path / kind, colours=colours))  # type: ignore[arg-type]
        assert sample.class_names == ("artery", "vein")
        assert arteries_and_veins(sample)
        assert np.array_equal(sample.read_truth(), VESSEL)  # to a model of vessels all of them are
        assert np.array_equal(read_truth_of(sample, ["vessel"]).masks, VESSEL[None])


def test_hrf_has_them_beside_its_masks(tmp_path: Path) -> None:
    root = hrf(tmp_path)
    assert first("hrf", root).class_names == ()
    for path in (root / "images").iterdir():
        save(root / "HRF_AV_GT" / f"{path.stem}_AVmanual.png", IN_COLOURS)
    assert arteries_and_veins(first("hrf", root))


def test_dataset_json_declares_colours_as_hex_or_rgb(tmp_path: Path) -> None:
    root = folder(tmp_path)
    for path in (root / "masks").iterdir():
        save(path, IN_COLOURS)
    told = {"artery": [[255, 0, 0], "#00ff00"], "vein": {"colours": [[0, 0, 255], [0, 255, 0]]}}
    write_settings(root, classes=told, ignore=[[255, 255, 255]])
    sample = first("folder", root)
    assert sample.marked is not None
    assert sample.marked.rules == ARTERY_VEIN
    assert arteries_and_veins(sample)
    # A crossing may be a class of its own, and a recipe's word goes before that of the data set.
    rules = ClassRules.model_validate(
        {"classes": {"artery": ["#ff0000"], "vein": ["#0000ff"], "crossing": ["#00ff00"]}, "ignore": ["#ffffff"]}
    )
    found = first("folder", root, rules).read_classes(["artery", "crossing"])
    assert [int(mask.sum()) for mask in found.masks] == [4, 2]
    with pytest.raises(DataError, match=r"which pixels are disc is not said\. It tells: artery, vein, crossing\."):
        first("folder", root, rules).read_classes(["artery", "disc"])


def test_a_colour_that_nobody_named_is_an_error(tmp_path: Path) -> None:
    root = folder(tmp_path, count=1)
    save(root / "masks" / "eye 00.png", IN_COLOURS)
    rules = ClassRules.model_validate({"classes": {"artery": ["#ff0000"], "vein": ["#0000ff", "#00ff00"]}})
    with pytest.raises(DataError, match=r"1 pixels are marked as no class is, most of them #ffffff\. Name it in"):
        first("folder", root, rules).read_classes(["artery", "vein"])


@pytest.mark.parametrize("stored", ["grey", "palette", "16 bits"])
def test_labels_are_read_as_stored(tmp_path: Path, stored: str) -> None:
    """As REFUGE has them: the cup 0, the rim of the disc 128, the background 255."""
    root = folder(tmp_path, count=1)
    labels = np.full(SHAPE, 255, np.uint8)
    labels[2:6, 2:6], labels[3:5, 3:5] = 128, 0
    file = Pillow.fromarray(labels.astype(np.uint16) if stored == "16 bits" else labels)
    if stored == "palette":
        file.putpalette([200, 10, 10] * 256)
    file.save(root / "masks" / "eye 00.png")
    told: dict[str, Any] = {"disc": {"labels": [0, 128]}, "cup": {"labels": [0]}}
    rules = ClassRules.model_validate({"classes": told, "background": {"labels": [255]}})
    found = first("folder", root, rules).read_classes(["disc", "cup"])
    assert np.array_equal(found.masks, [labels != 255, labels == 0])
    assert found.ignored is None
    with pytest.raises(DataError, match="as label 255"):
        first("folder", root, rules.model_copy(update={"background": None})).read_classes(["disc"])


def test_each_class_may_have_a_mask_of_its_own(tmp_path: Path) -> None:
    """As IDRiD has lesions: none where the eye has none."""
    for name in ("a", "b"):
        photograph(tmp_path / "images" / f"{name}.jpg")
        save(tmp_path / "discs" / f"{name}_OD.tif", VESSEL * 255)
    save(tmp_path / "lesions" / "a_MA.tif", VESSEL * 255)
    told = {"disc": {"masks": "discs/{name}_OD"}, "lesion": {"masks": "lesions/{name}_MA"}}
    write_settings(tmp_path, classes=told)
    with pytest.raises(DataError, match=r"b_MA\.\*: no such mask\. .* set \"unannotated\": \"empty\""):
        list_samples("folder", tmp_path, "test")[1].read_classes(["disc", "lesion"])
    write_settings(tmp_path, classes=told, unannotated="empty")
    one, other = (s.read_classes(["lesion", "disc"]).masks for s in list_samples("folder", tmp_path, "test"))
    assert [int(mask.sum()) for mask in (*one, *other)] == [10, 10, 0, 10]


def test_annotations_have_the_names_of_their_classes(tmp_path: Path) -> None:
    photograph(tmp_path / "1.png")

    def area(left: int, right: int, name: str) -> dict[str, Any]:
        ring = [[left, 5], [right, 5], [right, 6], [left, 6], [left, 5]]
        shape = {"type": "Polygon", "coordinates": [ring]}
        return {"type": "Feature", "geometry": shape, "properties": {"classification": {"name": name}}}

    features = [area(0, 4, "Arteriole"), area(4, 9, "vein"), area(7, 9, "Arteriole"), area(9, 10, "?")]
    (tmp_path / "1.geojson").write_text(json.dumps(features))
    told = {"artery": {"names": ["Arteriole"]}, "vein": {}}
    write_settings(tmp_path, classes=told, ignore={"names": ["?"]}, splits={"test": ["1"]})
    sample = first("geojson", tmp_path)
    assert arteries_and_veins(sample)
    with pytest.raises(DataError, match=r"which pixels are vessel is not said\. It tells: artery, vein\."):
        sample.read_truth()
    write_settings(tmp_path, classes={"artery": {}, "vein": {}}, splits={"test": ["1"]})
    with pytest.raises(DataError, match=r"no annotation is of the classes artery\. Those that are there: \?, Art"):
        first("geojson", tmp_path)


def test_a_data_set_of_vessels_alone_tells_no_classes(tmp_path: Path) -> None:
    sample = first("folder", folder(tmp_path))
    assert sample.class_names == ()
    with pytest.raises(DataError, match=r"which pixels are artery and vein is not said\. It is read as vessels"):
        sample.read_classes(["artery", "vein"])


def test_marks_are_of_one_kind() -> None:
    with pytest.raises(ValidationError, match="both colours and labels"):
        ClassMarks.model_validate({"colours": ["#ff0000"], "labels": [1]})
    with pytest.raises(ValidationError):
        ClassMarks.model_validate([[255, 0, 256]])
