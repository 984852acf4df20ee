"""What a run tells people."""

from pathlib import Path
from typing import Any

import cv2

from vesselrt.training.fit.record import draw_curves


def drawn(history: list[dict[str, Any]], path: Path) -> bytes:
    draw_curves(history, path)
    pixels = cv2.imread(str(path))
    assert pixels is not None
    assert pixels.shape == (400, 1000, 3)
    return pixels.tobytes()


def test_the_curves_are_a_picture_of_the_history(tmp_path: Path) -> None:
    history = [
        {"step": step, "loss": 1 / step, "groups": {"eyes": {"f1": 0.1 * step, "best_f1": 0.2 * step}}}
        for step in (2, 4)
    ]
    pixels = drawn(history, tmp_path / "curves.png")
    assert pixels == drawn(history, tmp_path / "again.png")
    assert pixels != drawn(history[:1], tmp_path / "shorter.png")
