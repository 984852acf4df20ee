"""What the tests of commands share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

CPU = ("--device", "cpu:onnxruntime")  # f32: the mirror is exact


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


def save(path: Path, green: NDArray[Any]) -> Path:
    """A photograph of which the mirror's probability is `green` / 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blue, red = np.zeros_like(green), np.full_like(green, 90)
    assert cv2.imwrite(str(path), np.dstack([blue, green, red]).astype(np.uint8))
    return path


def levels(seed: int, shape: tuple[int, int] = (37, 91)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def grey(path: Path) -> NDArray[Any]:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    return pixels


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


REPOSITORY = Path(__file__).resolve().parents[1]
