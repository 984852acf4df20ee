"""The folder of a run: what of another run is not touched, and what is damaged."""

import json
import shutil
from pathlib import Path

import pytest
from tiny_training import (
    FIELDS,
    FINAL,
    DrawPhoto,
    hash_folder,
    quiet,
    recipe_of,
    write_photo,
)

from vesselrt.runtime.errors import DataError
from vesselrt.training.fit.run import train_recipe

# Python 3.12 and later warn when a process with threads forks, as PyTorch's loader does.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")


def test_a_run_of_another_recipe_is_not_touched(data: Path, whole: Path) -> None:
    before = hash_folder(whole)
    with pytest.raises(DataError, match=r"holds a run of another recipe\. Name another folder with --run, or delete"):
        train_recipe(recipe_of(seed=8), data, whole, quiet)
    assert hash_folder(whole) == before


def test_a_run_whose_recipe_has_the_old_names_goes_on(data: Path, whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    text = (run / "recipe.json").read_text()
    assert '"simulated_share"' in text
    (run / "recipe.json").write_text(text.replace('"simulated_share"', '"foreign"'))
    assert train_recipe(recipe_of(), data, run, quiet) == run / "best.pt"
    assert (run / "recipe.json").read_text() == text


def test_a_run_on_other_photographs_is_not_touched(
    data: Path, whole: Path, tmp_path: Path, fundus_photo: DrawPhoto
) -> None:
    shutil.copytree(data, tmp_path / "data")
    write_photo(tmp_path / "data" / "eyes" / "images" / "2.png", tmp_path / "2.png", fundus_photo(100, 96, 99))
    before = hash_folder(whole)
    with pytest.raises(DataError, match=r"holds a run on other photographs\. Name another folder with --run, or"):
        train_recipe(recipe_of(), tmp_path / "data", whole, quiet)
    assert hash_folder(whole) == before


def test_a_damaged_checkpoint_is_named_and_can_be_deleted(data: Path, tmp_path: Path) -> None:
    checked = recipe_of(schedule={"steps": 1}, final={**FINAL, "steps": 1})
    train_recipe(checked, data, tmp_path, quiet)
    last = tmp_path / "last.pt"
    for content in (last.read_bytes()[:2000], b"", b"no archive"):
        last.write_bytes(content)
        with pytest.raises(DataError, match=r"last\.pt: not a readable checkpoint \(.*\)\. Delete .*last\.pt to begin"):
            train_recipe(checked, data, tmp_path, quiet)
    last.unlink()
    said: list[str] = []
    train_recipe(checked, data, tmp_path, said.append)
    assert "final stage 1: 6 photographs, from step 0 to 1" in said  # not from what the run before left
    (tmp_path / "best.pt").write_bytes(b"")
    with pytest.raises(DataError, match=rf"best\.pt: not a readable checkpoint .*Delete {tmp_path} to begin anew"):
        train_recipe(checked, data, tmp_path, quiet)


def test_a_recipe_can_be_mended_until_there_is_a_checkpoint(data: Path, tmp_path: Path) -> None:
    elsewhere = [{**FIELDS["data"][0], "path": "nowhere"}]
    with pytest.raises(DataError, match="nowhere: no such folder"):
        train_recipe(recipe_of(data=elsewhere), data, tmp_path, quiet)
    train_recipe(recipe_of(schedule={"steps": 1}), data, tmp_path, quiet)
    assert json.loads((tmp_path / "recipe.json").read_text())["data"][0]["path"] == "eyes"
