"""A training run becomes a model file that says where it comes from."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from exporting import infer, manifest_of, noise, reference
from numpy.typing import NDArray
from torch import nn

from vesselrt.export.sources import run as runs
from vesselrt.export.sources.run import source_from_run
from vesselrt.export.weights import hash_weights
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import DataSource, Input, Provenance, Tile
from vesselrt.runtime.modelfile import read_manifest
from vesselrt.training.fit.recipe import BUILT_IN, Recipe

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]


Export = Callable[..., tuple[int, str, str]]


# From a training run


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """What training leaves behind, as far as export reads it."""
    recipe = Recipe.model_validate(
        {
            **manifest_of(margin=8).model_dump(include={"name", "version", "licence", "description", "preparation"}),
            "input": Input(mean=(0.3,), std=(0.2,)),
            "tile": Tile(size=64, multiple=4, margin=8),
            "data": [{"kind": "folder", "path": "eyes", "name": "eyes", "terms": "CC0"}],
            "network": {
                "factory": "torch.nn:Conv2d",
                "arguments": {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "padding": 1},
            },
            "schedule": {"steps": 70},
            "seed": 5,
            "tolerance": {"f32": 1e-4},
        }
    )
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text(recipe.model_dump_json())
    torch.manual_seed(2)
    state = nn.Conv2d(1, 1, 3, padding=1).state_dict()
    torch.save({"network": state, "step": 70, "score": 0.5, "shift": 0.75}, run / "best.pt")
    return run


def test_a_run_becomes_a_model_file(
    vesselrt_export: Export, run_folder: Path, tmp_path: Path, fundus_photo: Callable[[int, int, int], Photo]
) -> None:
    for i in range(11):
        image, truth = fundus_photo(64, 64, i)
        for kind, pixels in (("images", image), ("masks", truth * np.uint8(255))):
            (tmp_path / "eyes" / kind).mkdir(parents=True, exist_ok=True)
            onto = tmp_path / "eyes" / kind / f"{i:02}.png"
            assert cv2.imwrite(str(onto), pixels)
    code, _, err = vesselrt_export("--run", run_folder, "--data", tmp_path, "-o", "tiny.onnx")
    assert (code, err) == (0, "")
    manifest = read_manifest(tmp_path / "tiny.onnx")
    state = torch.load(run_folder / "best.pt", weights_only=True)["network"]
    known = manifest.provenance
    assert known.recipe == "tiny 0.1, seed 5, 70 steps, calibration +0.750"
    assert known.data == (DataSource(name="eyes", split="train", terms="CC0"),)
    assert known.weights_sha256 == hash_weights(state)
    assert re.fullmatch("[0-9a-f]{40}|", known.commit)
    assert known.parity["f32"]["images"] == 5  # two of the two validation photographs, three kinds of noise
    network = nn.Conv2d(1, 1, 3, padding=1)
    network.load_state_dict(state)
    expected = reference(network, manifest, noise(1, 1, 8, 12), shift=0.75)
    assert infer(tmp_path / "tiny.onnx", noise(1, 1, 8, 12)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("recipe.json", r"run: no training run \(recipe.json\)"), ("best.pt", "run: the run has no best.pt yet")],
)
def test_a_run_without_weights(run_folder: Path, missing: str, message: str) -> None:
    (run_folder / missing).unlink()
    with pytest.raises(DataError, match=message):
        source_from_run(run_folder, None)


@pytest.mark.parametrize("final", [[], [{"steps": 20}]])
def test_a_run_that_was_broken_off_is_not_exported(run_folder: Path, final: list[Any]) -> None:
    kept = run_folder / "recipe.json"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "final": final}))
    state = torch.load(run_folder / "best.pt", weights_only=True)
    del state["shift"]
    torch.save(state, run_folder / ("final-1.pt" if final else "best.pt"))
    with pytest.raises(DataError, match=r"the run has not come to its end, .* not calibrated yet") as caught:
        source_from_run(run_folder, None)
    advice = shlex.split(str(caught.value).partition("vesselrt ")[2])
    assert advice == ["train", str(kept), "--data", "DATA", "--run", str(run_folder)]
    assert Recipe.read(Path(advice[1])) == Recipe.model_validate_json(kept.read_text())  # or it were another recipe


def test_numbers_of_a_run_stay_numbers(run_folder: Path) -> None:
    kept = run_folder / "recipe.json"
    fields = json.loads(kept.read_text())
    layers = {"factory": "torch.nn:GroupNorm", "arguments": {"num_groups": 1, "num_channels": 1, "eps": 1e-6}}
    kept.write_text(json.dumps({**fields, "network": layers}))  # 1e-06: to YAML a text
    torch.save({"network": nn.GroupNorm(1, 1).state_dict(), "shift": 0.0}, run_folder / "best.pt")
    assert source_from_run(run_folder, None).network.eps == 1e-6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"not a readable recipe \("),
        ('{"name": 1}', "not a valid recipe: "),
        ("name: tiny", r"not a readable recipe \("),
    ],
)
def test_a_recipe_of_a_run_that_is_damaged(run_folder: Path, text: str, message: str) -> None:
    (run_folder / "recipe.json").write_text(text)
    with pytest.raises(DataError, match=rf"run/recipe\.json: {message}"):
        source_from_run(run_folder, None)


def test_a_run_of_a_network_of_the_users_own(
    vesselrt_export: Export, own: nn.Module, run_folder: Path, tmp_path: Path
) -> None:
    kept = run_folder / "recipe.json"
    seen = {"input": {"mean": [0.3] * 3, "std": [0.2] * 3}, "preparation": {"channels": "rgb"}}
    fields = {**json.loads(kept.read_text()), **seen, "network": {"factory": "ownnets.thin:build"}}
    kept.write_text(json.dumps(fields))
    torch.save({"network": own.state_dict(), "shift": 0.0}, run_folder / "best.pt")
    code, _, err = vesselrt_export("run", "-o", "tiny.onnx")
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([], ""),
        (["schedule.learning_rate=0.5", "loss.thin=1.5"], ", loss.thin=1.5, schedule.learning_rate=0.5"),
        (["seed=3", "data.0.path=/home/me/eyes"], ""),
        (["patches=null", "schedule.patience=4"], ", patches=null, schedule.patience=4"),
        (["version=2.0.0", "loss.thin=1.5"], ""),
        (["name=mine", "loss.thin=1.5"], ""),
    ],
)
def test_what_was_changed_of_a_built_in_recipe_is_in_the_manifest(
    tmp_path: Path, changes: list[str], said: str
) -> None:
    recipe = Recipe.read(BUILT_IN / "unet.yaml", changes)
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json(indent=1))
    torch.save({"network": recipe.network.build(fresh=False).state_dict(), "shift": 0.0}, tmp_path / "best.pt")
    known = source_from_run(tmp_path, None).manifest.provenance.recipe
    assert known.partition("calibration +0.000")[2] == said


@pytest.mark.parametrize("name", ["photographs.json", "history.json"])
def test_a_run_whose_notes_are_damaged(run_folder: Path, name: str) -> None:
    (run_folder / name).write_text('[{"ste')
    with pytest.raises(DataError, match=rf"run/{name}: not what training writes: .*Invalid JSON"):
        source_from_run(run_folder, None)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_another_projects_commit_is_not_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = runs._commit()
    assert re.fullmatch("[0-9a-f]{40}|", commit)
    package = tmp_path / "site-packages" / "vesselrt" / "export"
    package.mkdir(parents=True)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "another project"], check=True)
    monkeypatch.setattr(runs, "__file__", str(package / "sources" / "run.py"))
    assert runs._commit() == ""


def test_a_run_with_final_stages_is_exported_from_its_end(run_folder: Path) -> None:
    kept = run_folder / "recipe.json"
    fields = json.loads(kept.read_text())
    kept.write_text(json.dumps({**fields, "final": [{"steps": 20}, {"steps": 10}]}))
    with pytest.raises(DataError, match=r"the run has no final-2.pt yet. Go on with it by: vesselrt train"):
        source_from_run(run_folder, None)
    state = torch.load(run_folder / "best.pt", weights_only=True)
    torch.save({**state, "network": {k: v + 1 for k, v in state["network"].items()}}, run_folder / "final-2.pt")
    source = source_from_run(run_folder, None)
    assert source.manifest.provenance.recipe == "tiny 0.1, seed 5, 100 steps, calibration +0.750"
    (run_folder / "history.json").write_text(json.dumps([{"step": 10, "loss": 0.4}, {"step": 40, "loss": 0.3}]))
    ended_early = source_from_run(run_folder, None)
    assert ended_early.manifest.provenance.recipe == "tiny 0.1, seed 5, 70 steps, calibration +0.750"
    assert all(torch.equal(v, state["network"][k] + 1) for k, v in source.network.state_dict().items())


def test_what_a_teacher_was_shown_is_in_the_manifest(run_folder: Path) -> None:
    def shown(name: str, *photographs: str) -> DataSource:
        return DataSource(name=name, split="train", terms="CC0", photographs=photographs)

    (run_folder / "photographs.json").write_text(json.dumps({"eyes": ["a", "b"]}))
    known = Provenance(data=(shown("some of them", "a"), shown("others", "b", "c"), shown("untold")))
    teacher = manifest_of().model_copy(update={"name": "wise", "version": "3.1", "provenance": known})
    (run_folder / "teacher.json").write_text(teacher.model_dump_json())
    provenance = source_from_run(run_folder, None).manifest.provenance
    assert provenance.data == (shown("eyes", "a", "b"), shown("others", "b", "c"), shown("untold"))
    assert provenance.recipe == "tiny 0.1, seed 5, 70 steps, calibration +0.750, taught by wise 3.1"
