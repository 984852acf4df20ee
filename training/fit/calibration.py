"""After the first stage: the logits are shifted until 0.5 is the right threshold; several classes get one each."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vesselrt.training.fit.checkpoints import load_network, read_checkpoint, write_checkpoint
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.thresholds import write_thresholds
from vesselrt.training.fit.validation import (
    HALF_LEVEL,
    F1Curve,
    ValidationCase,
    validate_classes,
    validate_network,
)


def calibrate(
    recipe: Recipe,
    cases: list[ValidationCase],
    weights: Path,
    device: torch.device,
    report: Callable[[str], None] = print,
) -> None:
    """Makes 0.5 the right threshold for a camera as validation has them, the known and the held-out ones alike.

    That is the median of each one's best threshold: one data set whose few annotations are sparse does not move it.

    What is added to the logits to this end is written into the file `weights` as `shift`; export folds it into the
    model file. A recipe may do without: then `shift` is 0.

    Of several classes the logits stay as they are, and the threshold of each is written beside `weights`, by
    `write_thresholds`; the manifest gets them at export.
    """
    state = read_checkpoint(weights, weights.parent)
    if not recipe.calibrated:
        write_checkpoint({**state, "shift": 0.0}, weights)
        return
    network, _ = load_network(recipe, weights, device)
    if len(recipe.classes) > 1:
        thresholds = _class_thresholds(recipe, validate_classes(network, cases, recipe, device), report)
        write_thresholds(thresholds, weights.parent)
        write_checkpoint({**state, "shift": 0.0}, weights)
        return
    curves = validate_network(network, cases, recipe, device)
    level, threshold = _middle_of_best(curves)
    shift = float(np.log((1 - threshold) / threshold))
    figures = "  ".join(f"{name} {curve[HALF_LEVEL]:.4f} to {curve[level]:.4f}" for name, curve in curves.items())
    report(f"calibration: threshold {threshold:.3f} becomes 0.5\n  {figures}")
    write_checkpoint({**state, "shift": shift}, weights)


def _class_thresholds(
    recipe: Recipe, found: dict[str, dict[str, F1Curve]], report: Callable[[str], None]
) -> dict[str, float]:
    """Of each class, in 1/1000; a threshold that the recipe names itself stays."""
    thresholds = {}
    for facts in recipe.classes:
        curves = found[facts.name]
        level, threshold = _middle_of_best(curves)
        thresholds[facts.name] = round(threshold, 3) if facts.threshold is None else facts.threshold
        figures = "  ".join(f"{name} {curve[HALF_LEVEL]:.4f} to {curve[level]:.4f}" for name, curve in curves.items())
        report(f"calibration: threshold of {facts.name} {thresholds[facts.name]:.3f}\n  {figures}")
    return thresholds


def _middle_of_best(curves: dict[str, F1Curve]) -> tuple[int, float]:
    """The median of each camera's best level, and the threshold just below it."""
    level = round(float(np.median([int(np.argmax(curve)) for curve in curves.values()])))
    return level, min(max((level - 0.5) / 255, 0.01), 0.99)
