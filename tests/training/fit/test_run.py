"""A run from its start to its weights: repeated, cut off, gone on with."""

import json
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_training import (
    FINAL,
    STEADY,
    PowerCutError,
    cut_after,
    equal,
    hash_folder,
    quiet,
    recipe_of,
    same,
)

from vesselrt.training.fit import run, trainer, validation
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.run import train_recipe
from vesselrt.training.networks import VesselNet

# Python 3.12 and later warn when a process with threads forks, as PyTorch's loader does.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")


def test_a_run_leaves_everything_behind(whole: Path) -> None:
    files = {"recipe.json", "photographs.json", "last.pt", "best.pt", "history.json", "curves.png", "predictions.png"}
    (board,) = set(hash_folder(whole)) - files
    assert board.startswith("events.out.tfevents")
    assert files < set(hash_folder(whole))
    assert Recipe.read(whole / "recipe.json") == recipe_of()
    history = json.loads((whole / "history.json").read_text())
    assert [h["step"] for h in history] == [2, 4]
    for entry in history:
        assert set(entry) == {"step", "loss", "rate", "score", "groups"}
        assert set(entry["groups"]) == {"eyes"}
        assert entry["score"] == entry["groups"]["eyes"]["f1"] <= entry["groups"]["eyes"]["best_f1"]
        assert 0 < entry["loss"] < 10
    shown = cv2.imread(str(whole / "predictions.png"))
    assert shown is not None
    assert shown.shape == (640, 4 * 640, 3)  # one validation photograph: itself, truth, found, judged
    assert (shown[:600, 640:1220].min(), shown[:600, 640:1220].max()) == (0, 255)
    best = torch.load(whole / "best.pt", weights_only=True)
    assert set(best) == {"network", "step", "score", "shift"}
    assert best["score"] == max(h["score"] for h in history)
    assert best["step"] == next(h["step"] for h in history if h["score"] == best["score"])
    VesselNet(1, (4, 8)).load_state_dict(best["network"])


@pytest.mark.parametrize("last", [1, 3])
def test_a_run_that_was_cut_off_ends_like_one_that_was_not(data: Path, whole: Path, tmp_path: Path, last: int) -> None:
    run = tmp_path / "run"
    with pytest.raises(PowerCutError):
        train_recipe(recipe_of(), data, run, quiet, cut_after(last))
    assert (run / "last.pt").exists() == (last > 2)  # written after step 2
    steps: list[tuple[int, int]] = []
    said: list[str] = []
    best = train_recipe(recipe_of(), data, run, said.append, lambda step, total, loss: steps.append((step, total)))
    assert steps == [(step, 4) for step in (range(3, 5) if last > 2 else range(1, 5))]
    assert ("resuming after step 2" in said) == (last > 2)
    assert best == run / "best.pt"
    assert same(run, whole)


@pytest.mark.parametrize("last", [2, 4])
def test_a_run_is_kept_between_validations_too(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    monkeypatch.setattr(trainer, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    with pytest.raises(PowerCutError):
        train_recipe(recipe_of(), data, tmp_path, quiet, cut_after(last))
    said: list[str] = []
    train_recipe(recipe_of(), data, tmp_path, said.append)
    assert f"resuming after step {last - 1}" in said
    assert same(tmp_path, whole)


@pytest.mark.parametrize("last", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_final_stages_go_on_from_the_best_weights_and_survive_a_cut(
    data: Path, whole: Path, tmp_path: Path, last: int
) -> None:
    staged = recipe_of(final=[FINAL, {**FINAL, "steps": 3, "thin": 0.5}])
    one, other = tmp_path / "one", tmp_path / "other"
    said: list[str] = []
    assert train_recipe(staged, data, one, said.append) == one / staged.outcome == one / "final-2.pt"
    # Five to train on, and the one of validation.
    assert {f"final stage {n}: 6 photographs, from step 0 to {steps}" for n, steps in ((1, 4), (2, 3))} <= set(said)
    states = [torch.load(one / f"{name}.pt", weights_only=True) for name in ("best", "final-1", "final-2")]
    best, *finals = states
    assert equal(best, torch.load(whole / "best.pt", weights_only=True)), "the stage before is the same without them"
    for before, state, steps in zip(states, finals, (4, 3), strict=False):
        assert set(state) == {"network", "step", "shift"}
        assert state["step"] == steps
        assert state["shift"] == best["shift"]
        assert not equal(state["network"], before["network"])

    def cut(step: int, steps: int, loss: float) -> None:
        if (other / "final-1.pt").exists():
            cut_after(last)(step, steps, loss)

    with pytest.raises(PowerCutError):
        train_recipe(staged, data, other, quiet, cut)
    assert not (other / "final-2.pt").exists()
    train_recipe(staged, data, other, quiet)
    for name, state in zip(("final-1", "final-2"), finals, strict=True):
        assert equal(state, torch.load(other / f"{name}.pt", weights_only=True))


PLATEAU = {"plateau": {"factor": 0.5, "patience": 0}, "steps": 8, "warmup": 0, "validate_every": 1, "average": 0.0}


def no_better(*_: Any) -> dict[str, NDArray[np.float64]]:
    return {"eyes": np.full(256, 0.25)}


def test_on_a_plateau_the_learning_rate_falls_and_a_cut_changes_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "validate_network", no_better)
    checked = recipe_of(schedule={**PLATEAU, "learning_rate": 0.5, "plateau": {"factor": 0.5, "patience": 1}})
    train_recipe(checked, data, tmp_path / "one", quiet)
    rates = [h["rate"] for h in json.loads((tmp_path / "one" / "history.json").read_text())]
    # The first score is the best; two in a row that are no better halve the rate of the step after them.
    assert rates == [0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]
    with pytest.raises(PowerCutError):
        train_recipe(checked, data, tmp_path / "other", quiet, cut_after(5))
    train_recipe(checked, data, tmp_path / "other", quiet)
    assert same(tmp_path / "one", tmp_path / "other")


def test_a_run_without_a_better_score_ends_early_and_stays_ended(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "validate_network", no_better)
    checked = recipe_of(schedule={"steps": 9, "warmup": 0, "validate_every": 1, "patience": 3})
    said: list[str] = []
    best = train_recipe(checked, data, tmp_path, said.append)
    assert "no better score in 3 validations: ended after step 4" in said
    assert torch.load(best, weights_only=True)["step"] == 1
    before = hash_folder(tmp_path)
    steps: list[int] = []
    train_recipe(checked, data, tmp_path, quiet, lambda step, *_: steps.append(step))
    assert steps == []
    assert hash_folder(tmp_path) == before


def test_a_recipe_trains_on_patches_of_resized_photographs(data: Path, tmp_path: Path) -> None:
    checked = recipe_of(
        preparation={"field_of_view": None, "size": (64, 80)},
        patches={},
        calibrated=False,
        tile={"size": 32, "multiple": 4, "margin": 0, "blend": "gaussian"},
    )
    best = train_recipe(checked, data, tmp_path, quiet)
    assert torch.load(best, weights_only=True)["shift"] == 0


def test_a_cut_changes_nothing_for_a_network_that_drops_by_chance(data: Path, tmp_path: Path) -> None:
    widths = {"spatial_dims": 2, "in_channels": 1, "out_channels": 1, "features": [4] * 6, "dropout": 0.5}
    network = {"factory": "monai.networks.nets:BasicUNet", "arguments": widths}
    fields = recipe_of(tile={"size": 64, "multiple": 16, "margin": 16}).model_dump()
    checked = Recipe.model_validate({**fields, "network": network})
    train_recipe(checked, data, tmp_path / "one", quiet)
    with pytest.raises(PowerCutError):
        train_recipe(checked, data, tmp_path / "other", quiet, cut_after(3))
    train_recipe(checked, data, tmp_path / "other", quiet)
    assert same(tmp_path / "one", tmp_path / "other")


class Downloaded(VesselNet):
    """Its first weights can be had once."""

    asked: ClassVar[list[bool]] = []

    def __init__(self, pretrained: bool) -> None:
        super().__init__(1, (4, 8))
        self.asked.append(pretrained)


def test_a_run_that_goes_on_downloads_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Downloaded, "asked", [])
    fields = recipe_of(final=FINAL).model_dump()
    network = {"factory": f"{__name__}:Downloaded", "arguments": {"pretrained": True}}
    checked = Recipe.model_validate({**fields, "network": network})
    with pytest.raises(PowerCutError):
        train_recipe(checked, data, tmp_path, quiet, cut_after(3))
    assert Downloaded.asked == [False, True]  # the trial, and the run
    train_recipe(checked, data, tmp_path, quiet)
    assert not any(Downloaded.asked[2:])


def test_another_seed_is_another_run(data: Path, whole: Path, tmp_path: Path) -> None:
    train_recipe(recipe_of(seed=8), data, tmp_path, quiet)
    assert not same(tmp_path, whole)


def test_a_run_that_is_done_stays_as_it_is(data: Path, whole: Path) -> None:
    before = hash_folder(whole)
    steps: list[int] = []
    assert train_recipe(recipe_of(), data, whole, quiet, lambda step, *_: steps.append(step)) == whole / "best.pt"
    assert steps == []
    assert hash_folder(whole) == before


def test_a_network_that_finds_nothing_is_kept_all_the_same(data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(
        validation, "predict_probability", lambda network, image, *_: np.zeros(image.shape[:2], np.float32)
    )
    best = train_recipe(recipe_of(schedule={"steps": 1}), data, tmp_path, quiet)
    assert torch.load(best, weights_only=True)["score"] == 0


def test_loss_falls_and_vessels_are_found(data: Path, tmp_path: Path) -> None:
    """Four photographs and cameras that change little can be learned by heart."""
    easy = recipe_of(
        cameras=STEADY,
        schedule={"steps": 100, "batch": 4, "crop": 64, "learning_rate": 0.02, "average": 0.9, "validate_every": 100},
        network={"arguments": {"channels": 1, "widths": [8, 16]}},
    )
    losses: list[float] = []
    train_recipe(easy, data, tmp_path, quiet, lambda step, total, loss: losses.append(loss))
    assert np.mean(losses[-10:]) < 0.65 * np.mean(losses[:10])
    (entry,) = json.loads((tmp_path / "history.json").read_text())
    assert entry["loss"] == pytest.approx(np.mean(losses))
    assert entry["score"] > 0.6
