"""After the first stage: the logits are shifted until 0.5 is the right threshold."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vesselrt.training.fit.checkpoints import load_network, read_checkpoint, write_checkpoint
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.validation import HALF_LEVEL, ValidationCase, validate_network


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
    """
    state = read_checkpoint(weights, weights.parent)
    if not recipe.calibrated:
        write_checkpoint({**state, "shift": 0.0}, weights)
        return
    network, _ = load_network(recipe, weights, device)
    curves = validate_network(network, cases, recipe, device)
    level = round(float(np.median([int(np.argmax(curve)) for curve in curves.values()])))
    threshold = min(max((level - 0.5) / 255, 0.01), 0.99)
    shift = float(np.log((1 - threshold) / threshold))
    figures = "  ".join(f"{name} {curve[HALF_LEVEL]:.4f} to {curve[level]:.4f}" for name, curve in curves.items())
    report(f"calibration: threshold {threshold:.3f} becomes 0.5\n  {figures}")
    write_checkpoint({**state, "shift": shift}, weights)
