"""Photographs to train on, and one run that many tests look at."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_training import DrawPhoto, quiet, recipe_of, use_one_thread, write_photo

from vesselrt.training.fit import record
from vesselrt.training.fit.run import train_recipe


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread: None) -> None:
    """In every module of this folder."""


@pytest.fixture(scope="session", autouse=True)
def _no_gpu() -> Iterator[None]:
    """What is compared bit by bit runs on the processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield


@pytest.fixture(scope="session", autouse=True)
def _curves_as_text() -> Iterator[None]:
    """Matplotlib takes longer than the training of a tiny network: what it would draw is written as text."""

    def write_history(history: list[record.Entry], path: Path) -> None:
        path.write_text(json.dumps(history))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "draw_curves", write_history)
        yield


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, fundus_photo: DrawPhoto) -> Path:
    """Six photographs: the fifth is for validation."""
    root = tmp_path_factory.mktemp("data")
    for i in range(6):
        write_photo(
            root / "eyes" / "images" / f"{i}.png", root / "eyes" / "masks" / f"{i}.png", fundus_photo(100, 96, i)
        )
    return root


@pytest.fixture(scope="session")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run."""
    with use_one_thread():  # fixtures of a session come before those of a module
        return train_recipe(recipe_of(), data, tmp_path_factory.mktemp("whole"), quiet).parent
