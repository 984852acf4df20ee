"""What a run tells people while it goes on.

RUN/history.json     loss, learning rate and validation figures
RUN/curves.png       the same, drawn
RUN/tensorboard/     the same, for: tensorboard --logdir RUN
RUN/predictions.png  at the end: validation photographs, what was found in them, and where that is right
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tensorboardX import SummaryWriter

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.output.pictures import draw_overlay
from vesselrt.training.evaluation.evaluate import EvaluatedPhoto
from vesselrt.training.evaluation.figures import Truth
from vesselrt.training.evaluation.overlay import draw_errors
from vesselrt.training.fit.validation import ValidationCase

Entry = dict[str, Any]
"""A validation: step, loss (mean since the one before), rate, score (mean F1 of the groups; of several classes, mean of
their best F1), groups (their figures)."""
_SHOWN = 4
_SHOWN_SIDE = 640  # px of a shown photograph


class RunRecord:
    """The files of a run, from its history so far; closes what TensorBoard reads as a context manager."""

    def __init__(self, run: Path, history: list[Entry]) -> None:
        self.run, self.history = run, history
        self._board: SummaryWriter | None = None

    def add(self, entry: Entry) -> None:
        """Adds a validation, and writes all files anew."""
        self.history.append(entry)
        with atomic_write(self.run / "history.json") as path:
            path.write_text(json.dumps(self.history, indent=1), "utf-8")
        draw_curves(self.history, self.run / "curves.png")
        self._board = self._board or SummaryWriter(str(self.run / "tensorboard"), purge_step=entry["step"])
        scalars = {"loss": entry["loss"], "learning rate": entry["rate"]}
        scalars |= {f"{name}/{group}": value for group, fs in entry["groups"].items() for name, value in fs.items()}
        for name, value in scalars.items():
            self._board.add_scalar(name, value, entry["step"])
        self._board.flush()

    @property
    def best(self) -> float:
        """The best score so far; before the first validation less than any."""
        return max((h["score"] for h in self.history), default=-1.0)

    def stale(self, patience: int | None) -> bool:
        """Whether the last `patience` validations all stayed below the best score before them; None: never."""
        scores = [h["score"] for h in self.history]
        return patience is not None and len(scores) - int(np.argmax([*scores, -1.0])) > patience

    def __enter__(self) -> "RunRecord":
        return self

    def __exit__(self, *_: object) -> None:
        if self._board is not None:
            self._board.close()


def draw_curves(history: Sequence[Entry], path: Path) -> None:
    """Loss and validation F1 against the step, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [h["step"] for h in history]
    left.plot(steps, [h["loss"] for h in history])
    left.set(xlabel="step", ylabel="training loss")
    for name in history[-1]["groups"]:
        (line,) = right.plot(steps, [h["groups"][name]["f1"] for h in history], label=name)
        right.plot(steps, [h["groups"][name]["best_f1"] for h in history], ":", color=line.get_color())
    right.set(xlabel="step", ylabel="validation F1 (dotted: at the best threshold)")
    right.legend(fontsize=7)
    figure.savefig(path, dpi=100)


def draw_predictions(
    cases: Sequence[ValidationCase], find: Callable[[Image], NDArray[np.bool_]], colours: Sequence[str], path: Path
) -> None:
    """Photograph, truth, what `find` finds, (H, W) or (K, H, W), and where that is right: a row for each of the first
    cases, as a PNG. Of several classes each has its colour, and a picture of where it is right.
    """
    rows = []
    for case in cases[:_SHOWN]:
        truths, found = (maps.reshape(-1, *case.inside.shape) for maps in (case.truth, find(case.image)))
        judged = [
            draw_errors(EvaluatedPhoto(case.group, case.image, Truth.of(truth, case.inside), mask))
            for truth, mask in zip(truths, found, strict=True)
        ]
        shown = colours if len(truths) > 1 else ["#ffffff"]
        pictures = [case.image, _paint_masks(truths, shown), _paint_masks(found, shown), *judged]
        rows.append(np.hstack([_fit_into_square(picture) for picture in pictures]))
    _, png = cv2.imencode(".png", np.vstack(rows)[:, :, ::-1])
    with atomic_write(path) as name:
        name.write_bytes(png.tobytes())


def _paint_masks(masks: NDArray[np.bool_], colours: Sequence[str]) -> Image:
    """(K, H, W) → (H, W, 3): each in its colour, on black."""
    black = np.zeros((*masks.shape[1:], 3), np.uint8)
    return draw_overlay(black, zip(masks, colours, strict=True), 1.0)


def _fit_into_square(picture: Image) -> Image:
    """Scaled to fit into a square, black beside it."""
    height, width = picture.shape[:2]
    factor = _SHOWN_SIDE / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    canvas = np.zeros((_SHOWN_SIDE, _SHOWN_SIDE, 3), np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return canvas
