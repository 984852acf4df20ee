"""What a run keeps in its folder to go on with: checkpoints, and what the run is of."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vesselrt.runtime.errors import DataError, first_line
from vesselrt.runtime.files import atomic_write
from vesselrt.training.fit.distillation import Ancestor
from vesselrt.training.fit.recipe import Recipe


def write_checkpoint(state: dict[str, Any], path: Path) -> None:
    """Writes the whole file or nothing of it."""
    with atomic_write(path) as name, name.open("wb") as file:  # a file: given a name, torch writes it into the archive
        torch.save(state, file)


def read_checkpoint(path: Path, spoilt: Path) -> dict[str, Any]:
    """What `write_checkpoint` wrote. Raises DataError for a damaged file, without which `spoilt` is of no use."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - what a damaged file raises inside torch
        raise DataError(
            f"{path}: not a readable checkpoint ({first_line(error)}). Delete {spoilt} to begin anew."
        ) from None
    return state


def load_network(recipe: Recipe, path: Path, device: torch.device) -> tuple[nn.Module, float]:
    """A network with the weights of a run, and what calibration adds to its logits. Raises DataError."""
    state = read_checkpoint(path, path.parent)
    network: nn.Module = recipe.network.build(fresh=False).to(device)
    network.load_state_dict(state["network"])
    return network, float(state.get("shift", 0.0))


def claim_run_folder(
    folder: Path, recipe: Recipe, photographs: dict[str, list[str]], ancestors: Mapping[str, Ancestor]
) -> None:
    """Writes what the run is of: recipe, photographs (data set → hashes) and the manifest of each ancestor.

    Raises DataError where a checkpoint there is of something else.
    """
    texts = {
        "of another recipe": (folder / "recipe.json", recipe.model_dump_json(indent=1)),
        "on other photographs": (folder / "photographs.json", json.dumps(photographs, indent=1)),
    }
    for role, ancestor in ancestors.items():
        texts[f"with another {role}"] = (folder / f"{role}.json", ancestor.manifest.model_dump_json(indent=1))
    if (folder / recipe.stages[0].checkpoint_file).exists():
        for other, (kept, text) in texts.items():
            if kept.exists() and not _holds(kept, text):
                raise DataError(f"{folder}: holds a run {other}. Name another folder with --run, or delete this one.")
    else:  # without a checkpoint there is nothing to lose, and no final stage to go on with
        for stale in (*folder.glob("final-*-last.pt"), folder / "teacher.json", folder / "start.json"):
            stale.unlink(missing_ok=True)
    for kept, text in texts.values():
        with atomic_write(kept) as name:
            name.write_text(text, "utf-8")


def _holds(kept: Path, text: str) -> bool:
    """Whether a file says the same as `text`. A recipe may say it in the spelling of an earlier version."""
    if kept.name != "recipe.json":
        return kept.read_text("utf-8") == text
    try:
        return Recipe.read(kept).model_dump_json(indent=1) == text
    except DataError:
        return False
