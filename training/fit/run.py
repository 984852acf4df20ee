"""A training run: a recipe and a data folder become a run folder with the weights to export.

RUN/recipe.json      the recipe as it was run
RUN/photographs.json the hashes of the photographs that were trained on or chosen by
RUN/teacher.json     the manifest of the model that it learns from, where there is one
RUN/start.json       that of the model whose weights it began with
RUN/last.pt          everything needed to go on after a kill, written every validation and every two minutes
RUN/best.pt          weights (moving average) with the best validation score, and their calibration
RUN/thresholds.json  of several classes: the threshold of each
RUN/final-1.pt       weights after the first of the final stages, where there are some; RUN/final-1-last.pt to resume
and what vesselrt.training.fit.record writes for people.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import to_bytes
from vesselrt.runtime.output.classes import ClassLayers, layers_of
from vesselrt.training.fit.calibration import calibrate
from vesselrt.training.fit.checkpoints import claim_run_folder, load_network, read_checkpoint, write_checkpoint
from vesselrt.training.fit.distillation import Ancestor, Teacher, inherit_weights, start_weights
from vesselrt.training.fit.preflight import check_network, hash_photographs
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.record import RunRecord, draw_predictions
from vesselrt.training.fit.sampling import Crops, DrawCrop, draw_windows, load_batches, read_sources
from vesselrt.training.fit.stages import Stage, equivalent_steps
from vesselrt.training.fit.thresholds import read_thresholds
from vesselrt.training.fit.trainer import OnStep, Trainer
from vesselrt.training.fit.validation import (
    ValidationCase,
    predict_probability,
    read_validation_cases,
    summarise_curves,
    validate_network,
)

SHOWN_CROPS = 32
"""That a network sees before it trains, where its weights come from another model."""


def train_recipe(
    recipe: Recipe,
    data: Path,
    folder: Path,
    report: Callable[[str], None] = print,
    on_step: OnStep = lambda *_: None,
) -> Path:
    """Runs the recipe, or goes on where an interrupted run stopped; returns the path of the weights to export.

    Raises DataError when data are missing or don't fit together, a photograph of a test split is among those to train
    on or those of its ancestors, the network, the teacher or the start does not fit the recipe, or `folder` belongs to
    another recipe, other photographs or another ancestor.
    """
    check_network(recipe)
    torch.manual_seed(recipe.seed)  # after the trial, which may draw
    report("reading data")
    teacher = Teacher(recipe) if recipe.distillation else None
    start = Ancestor(recipe.start) if recipe.start is not None else None
    ancestors = {role: ancestor for role, ancestor in (("teacher", teacher), ("start", start)) if ancestor}
    photographs = hash_photographs(recipe, data, ancestors.values(), report)
    first, *final = recipe.stages
    if final:
        steps = " + ".join(f"{stage.schedule.steps:,}" for stage in final)
        report(f"{recipe.schedule.steps:,} steps, then {steps} in final stages (--set final.0.steps=N sets the first)")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = _Run(recipe, data, folder, teacher, start, device, report, on_step)
    weights = run.select_weights(first, photographs, ancestors)
    for stage in final:
        weights = run.refine_weights(stage, weights)
    return weights


@dataclass(frozen=True)
class _Run:
    """What the stages of a run share."""

    recipe: Recipe
    data: Path
    folder: Path
    teacher: Teacher | None
    start: Ancestor | None
    device: torch.device
    report: Callable[[str], None]
    on_step: OnStep

    def select_weights(
        self, stage: Stage, photographs: dict[str, list[str]], ancestors: Mapping[str, Ancestor]
    ) -> Path:
        """Trains without the validation part, keeps the weights that do best on it, and calibrates them."""
        sources = read_sources(self.recipe, stage, self.data)
        cases = list(read_validation_cases(self.recipe, self.data))
        self.report(f"{sum(map(len, sources))} training photographs, {len(cases)} validation photographs")
        self.folder.mkdir(parents=True, exist_ok=True)  # only now: a start that fails leaves nothing behind
        claim_run_folder(self.folder, self.recipe, photographs, ancestors)
        best, checkpoint = self.folder / stage.weights_file, self.folder / stage.checkpoint_file
        weights = None if checkpoint.exists() else self._first_weights(stage, sources)
        trainer = Trainer(self.recipe, stage, checkpoint, self.device, weights)
        if trainer.step:
            self.report(f"resuming after step {trainer.step}")
        self.report(f"training in {trainer.arithmetic} on {self.device.type}")
        with RunRecord(self.folder, trainer.history) as record:
            if not record.stale(stage.patience):
                crops = Crops(stage, sources, trainer.step * stage.schedule.batch, self.teacher)
                validate = partial(self._validate, trainer, cases, record)
                trainer.train(load_batches(crops, self.device), self.on_step, validate)
        if pace := trainer.seconds_per_step():
            self.report(f"{pace:.2f} s a step with its share of validation; {describe_peak_memory(self.device)}")
        calibrate(self.recipe, cases, best, self.device, self.report)
        self._draw_predictions(cases, best)
        return best

    def refine_weights(self, stage: Stage, start: Path) -> Path:
        """A final stage: from the weights in `start`, on all of the training split, all its steps."""
        sources = read_sources(self.recipe, stage, self.data)
        given = read_checkpoint(start, self.folder)
        trainer = Trainer(self.recipe, stage, self.folder / stage.checkpoint_file, self.device, given["network"])
        self.report(
            f"final stage {stage.number}: {sum(map(len, sources))} photographs, "
            f"from step {trainer.step} to {stage.schedule.steps}"
        )

        def tell() -> bool:
            minutes = self._minutes_left(trainer)
            self.report(f"step {trainer.step}  loss {trainer.losses[-1]:.4f}  {minutes:.0f} min left")
            return True

        crops = Crops(stage, sources, trainer.step * stage.schedule.batch, self.teacher)
        trainer.train(load_batches(crops, self.device), self.on_step, tell)
        path = self.folder / stage.weights_file
        state = {"network": trainer.averaged.state_dict(), "step": trainer.step, "shift": given["shift"]}
        write_checkpoint(state, path)
        return path

    def _first_weights(self, stage: Stage, sources: list[list[DrawCrop]]) -> dict[str, Tensor] | None:
        """Those of another model, that it begins with; None: those that the network's factory gives."""
        recipe, shown = self.recipe, partial(draw_windows, self.recipe, Crops(stage, sources, 0), SHOWN_CROPS)
        if self.start is not None:
            self.report(f"starting with the weights of {recipe.start}")
            return start_weights(recipe, self.start, shown())
        if self.teacher is not None and recipe.distillation is not None and recipe.distillation.inherit:
            self.report(f"inheriting the weights of {recipe.distillation.teacher}")
            return inherit_weights(recipe, self.teacher, shown())
        return None

    def _validate(self, trainer: Trainer, cases: list[ValidationCase], record: RunRecord) -> bool:
        """Judges the weights, keeps them if they are the best so far, and tells; False: no better score is expected."""
        groups = summarise_curves(validate_network(trainer.averaged, cases, self.recipe, self.device))
        # Of several classes each gets a threshold of its own afterwards: a rare one may have none over 0.5 until then.
        figure = "f1" if len(self.recipe.classes) == 1 else "best_f1"
        score, loss = float(np.mean([g[figure] for g in groups.values()])), float(np.mean(trainer.losses))
        if score > record.best:
            state = {"network": trainer.averaged.state_dict(), "step": trainer.step, "score": score}
            write_checkpoint(state, self.folder / trainer.stage.weights_file)
        record.add({"step": trainer.step, "loss": loss, "rate": trainer.rate, "score": score, "groups": groups})
        trainer.judge(score)
        figures = "  ".join(
            f"{n} {g['f1']:.4f} (best {g['best_f1']:.4f} at {g['best_threshold']:.2f})" for n, g in groups.items()
        )
        minutes = self._minutes_left(trainer)
        self.report(f"step {trainer.step}  loss {loss:.4f}  score {score:.4f}  {minutes:.0f} min left\n  {figures}")
        patience = trainer.stage.patience
        if record.stale(patience):
            self.report(f"no better score in {patience} validations: ended after step {trainer.step}")
            return False
        return True

    def _minutes_left(self, trainer: Trainer) -> float:
        """Of this stage and of those after it, at the pace so far."""
        stage = trainer.stage
        later = equivalent_steps(stage.schedule, self.recipe.stages[stage.number + 1 :])
        return (stage.schedule.steps - trainer.step + later) * trainer.seconds_per_step() / 60

    def _draw_predictions(self, cases: Sequence[ValidationCase], weights: Path) -> None:
        network, shift = load_network(self.recipe, weights, self.device)
        every = layers_of(
            self.recipe.classes, 0.5, read_thresholds(self.folder) if len(self.recipe.classes) > 1 else None
        )

        def find_classes(image: Image) -> NDArray[np.bool_]:
            levels = to_bytes(predict_probability(network, image, self.recipe, self.device, shift))
            maps = levels.reshape(-1, *image.shape[:2])
            return np.stack([mask for _, mask in ClassLayers(maps, every, every, self.recipe.exclusive).masks()])

        colours = [layer.colour for layer in every]
        draw_predictions(cases, find_classes, colours, self.folder / "predictions.png")


def describe_peak_memory(device: torch.device) -> str:
    """The largest memory so far, of the GPU or of this process; data loaders are processes of their own."""
    if device.type == "cuda":
        return f"at most {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB of GPU memory"
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return "memory not measured"
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return f"at most {getrusage(RUSAGE_SELF).ru_maxrss * unit / 2**30:.2f} GiB of memory"
