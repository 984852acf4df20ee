"""What the tests of training share: a tiny recipe, photographs on disk, power cuts, and when two runs are the same."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vesselrt.training.fit.recipe import Recipe

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]


DrawPhoto = Callable[[int, int, int], Photo]


FIELDS: dict[str, Any] = {
    "name": "tiny",
    "version": "0.1",
    "licence": "CC0-1.0",
    "description": "Trained on pictures that were never taken.",
    "seed": 7,
    "data": [{"kind": "folder", "path": "eyes", "name": "eyes", "terms": "CC0-1.0"}],
    "preparation": {"channels": "green", "field_of_view": 96},
    "input": {"mean": [0.3], "std": [0.2]},
    "tile": {"size": 64, "multiple": 4, "margin": 8},
    "network": {"factory": "vesselrt.training.networks:VesselNet", "arguments": {"channels": 1, "widths": [4, 8]}},
    "cameras": {"sensor": [64, 96]},
    "held_out_cameras": False,
    "schedule": {"steps": 4, "batch": 2, "crop": 32, "warmup": 2, "average": 0.5, "validate_every": 2},
    "precision": "f32",
}


STEADY = {
    "simulated_share": 0,
    "zoom": (1, 1),
    "stretch": 0,
    "blur": (0, 0),
    "noise": (0, 0),
    "gamma": (1, 1),
    "contrast": (1, 1),
    "illumination": 0,
    "haze": (0, 0),
    "crosstalk": 0,
}


def recipe_of(**changes: Any) -> Recipe:
    """The tiny recipe; a change of a section keeps the rest of the section."""
    fields = {k: {**FIELDS.get(k, {}), **v} if isinstance(v, dict) else v for k, v in changes.items()}
    return Recipe.model_validate({**FIELDS, **fields})


def write_photo(image: Path, truth: Path, photo: Photo) -> None:
    for path, pixels in ((image, photo[0][:, :, ::-1]), (truth, photo[1] * np.uint8(255))):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)


def quiet(line: str) -> None:
    pass


def hash_folder(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


@contextmanager
def use_one_thread() -> Iterator[None]:
    """Threads would only wait for each other, and sums of another order are other sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class PowerCutError(Exception):
    """Ends a run at a step, as a kill would: nothing of it is written any more."""


def cut_after(last: int) -> Callable[[int, int, float], None]:
    def advance(step: int, steps: int, loss: float) -> None:
        if step == last:
            raise PowerCutError

    return advance


def same(one: Path, other: Path) -> bool:
    """Bit by bit, except the files that hold times or are drawn."""
    for name in ("last.pt", "best.pt"):
        a, b = (torch.load(folder / name, weights_only=True) for folder in (one, other))
        if not equal(a, b):
            return False
    return all(
        (one / n).read_bytes() == (other / n).read_bytes() for n in ("recipe.json", "history.json", "curves.png")
    )


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(v, b[k]) for k, v in a.items())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


FINAL = {"steps": 4, "batch": 2, "crop": 32, "warmup": 1, "average": 0.5, "validate_every": 2, "simulated_share": 0.25}
