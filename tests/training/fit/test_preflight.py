"""What ends a run before its first step."""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_training import DrawPhoto, quiet, recipe_of, write_photo

from vesselrt.runtime.errors import DataError
from vesselrt.training.fit import recipe, run
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.run import train_recipe

CONVOLUTION = {"in_channels": 1, "out_channels": 2, "kernel_size": 1}


TRANSUNET = {"channels": 1, "tile": 64, "widths": [4, 4, 4, 4], "embedding": 4, "depth": 1, "heads": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": {"crop": 50}}, r"VesselNet does not take crops of shape \(2, 1, 50, 50\): .*\. Mend crop or"),
        (
            {"final": {"steps": 1, "batch": 1, "crop": 50}},
            r"VesselNet does not take crops of shape \(1, 1, 50, 50\): .*\. Mend crop or",
        ),
        (
            {"preparation": {"channels": "rgb"}, "input": {"mean": [0.3] * 3, "std": [0.2] * 3}},
            r"VesselNet does not take crops of shape \(2, 3, 32, 32\): .*\. Mend crop or the network's arguments\.$",
        ),
        (
            {"network": {"factory": "torch.nn:Conv2d", "arguments": CONVOLUTION}},
            r"Conv2d makes \(2, 2, 32, 32\) of crops .*\. Expected logits of shape \(2, 1, 32, 32\)\.$",
        ),
        (
            {"network": {"factory": "torch.nn:LSTM", "arguments": {"input_size": 32, "hidden_size": 32}}},
            r"torch\.nn:LSTM does not take crops of shape",
        ),
        (
            {"network": {"factory": "vesselrt.training.networks:TransUNet", "arguments": TRANSUNET}},
            r"TransUNet does not take crops of shape \(2, 1, 32, 32\): a window of 32 × 32 pixels\. Expected 64 × 64",
        ),
        (
            {"network": {"factory": "builtins:dict", "arguments": {}}},
            r"builtins:dict gives a dict\. Expected a torch\.nn\.Module\.$",
        ),
        ({"network": {"factory": "torch.nn:Identity", "arguments": {}}}, "Identity has no weights to train"),
    ],
)
def test_a_network_that_does_not_fit_is_named_before_anything_is_read(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=rf"^network .*{message}"):
        train_recipe(recipe_of(**changes), tmp_path / "nowhere", tmp_path / "run", quiet)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("part", ["Image_01L", "Image_09L"])
def test_a_test_photograph_under_another_name_is_not_trained_on(
    tmp_path: Path, fundus_photo: DrawPhoto, part: str
) -> None:
    root = tmp_path / "CHASE"
    for name in ("Image_01L", "Image_09L", "Image_11L"):
        write_photo(root / f"{name}.jpg", root / f"{name}_1stHO.png", fundus_photo(100, 96, int(name[6:8])))
    (root / f"{part}.jpg").write_bytes((root / "Image_11L.jpg").read_bytes())
    checked = recipe_of(data=[{"kind": "chase_db1", "path": "CHASE", "name": "CHASE", "terms": "none"}])
    with pytest.raises(DataError, match=rf"{part}\.jpg is the test photograph .*Image_11L\.jpg\. Take it out"):
        train_recipe(checked, tmp_path, tmp_path / "run", quiet)
    assert not (tmp_path / "run").exists()


def test_a_test_photograph_saved_anew_is_not_trained_on(tmp_path: Path, fundus_photo: DrawPhoto) -> None:
    for name in ("Image_01L", "Image_09L", "Image_11L"):
        root = tmp_path / "CHASE"
        write_photo(root / f"{name}.jpg", root / f"{name}_1stHO.png", fundus_photo(100, 96, int(name[6:8])))
    pixels = cv2.imread(str(tmp_path / "CHASE" / "Image_11L.jpg"))
    (tmp_path / "mine" / "images").mkdir(parents=True)
    assert pixels is not None
    assert cv2.imwrite(str(tmp_path / "mine" / "images" / "a.png"), pixels)
    sets = [("chase_db1", "CHASE"), ("folder", "mine")]
    checked = recipe_of(data=[{"kind": k, "path": p, "name": p, "terms": "none"} for k, p in sets])
    with pytest.raises(DataError, match=r"a\.png is the test photograph .*Image_11L\.jpg\. Take it out"):
        train_recipe(checked, tmp_path, tmp_path / "run", quiet)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (np.full((96, 90), 255, np.uint8), r"fov/4\.png: 90 × 96 pixels, but its truth .*4\.png has 96 × 100\."),
        (np.zeros((100, 96), np.uint8), r"fov/4\.png: the mask is empty\."),
    ],
)
def test_a_field_of_view_that_does_not_fit_is_named_before_the_first_step(
    data: Path, tmp_path: Path, field: NDArray[np.uint8], message: str
) -> None:
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "eyes" / "fov").mkdir()
    for i in range(6):
        pixels = field if i == 4 else np.full((100, 96), 255, np.uint8)
        assert cv2.imwrite(str(tmp_path / "data" / "eyes" / "fov" / f"{i}.png"), pixels)
    steps: list[int] = []
    with pytest.raises(DataError, match=message):
        train_recipe(recipe_of(), tmp_path / "data", tmp_path / "run", quiet, lambda step, *_: steps.append(step))
    assert steps == []


def test_sizes_that_disagree_are_named(data: Path, tmp_path: Path, fundus_photo: DrawPhoto) -> None:
    for i in range(5):
        (image, _), (_, truth) = fundus_photo(96, 96, i), fundus_photo(90, 96, i)
        write_photo(tmp_path / "eyes" / "images" / f"{i}.png", tmp_path / "eyes" / "masks" / f"{i}.png", (image, truth))
    with pytest.raises(
        DataError, match=r"0\.png: 96 × 96 pixels, but its truth .*0\.png has 96 × 90\. They must agree\."
    ):
        train_recipe(recipe_of(), tmp_path, tmp_path / "run", quiet)


def test_a_start_that_fails_leaves_no_folder_and_tells_all_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> list[object]:
        raise DataError("a photograph that can't be read")

    monkeypatch.setattr(run, "check_network", lambda _: None)
    monkeypatch.setattr(run, "hash_photographs", lambda *_: {})
    monkeypatch.setattr(recipe.DataSet, "samples", broken)
    said: list[str] = []
    checked = Recipe.read(recipe.BUILT_IN / "fundus.yaml", ["schedule.steps=100"])
    with pytest.raises(DataError, match="can't be read"):
        train_recipe(checked, tmp_path, tmp_path / "run", said.append)
    assert not (tmp_path / "run").exists()
    stages = " + ".join(f"{stage.steps:,}" for stage in checked.final)
    assert said[-1].startswith(f"100 steps, then {stages} in final stages (--set final.0.steps=N")
