"""The training loop: a recipe and a data folder become a run folder with the best weights.

RUN/recipe.json      the recipe as it was run
RUN/last.pt          everything needed to go on after a kill, written every validation
RUN/best.pt          weights (moving average) with the best validation score, and their calibration
RUN/final.pt         weights after the recipe's final stage, where it has one; RUN/final-last.pt to resume it
RUN/history.json     loss and validation figures
RUN/curves.png       the same, drawn
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from monai.losses.dice import DiceCELoss
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from vesselrt.runtime.backends import to_bytes
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.files import draft
from vesselrt.runtime.preparation import Image, field_of_view, prepare
from vesselrt.training.cameras import HELD_OUT, Source, crop
from vesselrt.training.data import Mask, Sample, Split
from vesselrt.training.figures import f1_by_level
from vesselrt.training.recipe import Final, Recipe

THIN = 5
"""Pixels of the prepared image: vessels narrower than this are thin to the loss."""
HALF = 128
"""The lowest level of the 8-bit probability that threshold 0.5 calls vessel."""
Report = Callable[[str], None]
Advance = Callable[[int, int, float], None]
"""Called after every step with its number, the number of all steps, and the loss."""


def _ignore(step: int, steps: int, loss: float) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """A validation photograph."""

    group: str
    image: Image
    truth: Mask
    inside: Mask
    """Field of view: what counts."""


class Crops(Dataset[tuple[Image, NDArray[np.float32]]]):
    """Crop number i is a function of the seed and i alone, so a resumed run draws what the first would have."""

    def __init__(self, recipe: Recipe, sources: list[list[Source]], start: int) -> None:
        self.recipe, self.sources, self.start = recipe, sources, start

    def __len__(self) -> int:
        return self.recipe.schedule.steps * self.recipe.schedule.batch - self.start

    def __getitem__(self, index: int) -> tuple[Image, NDArray[np.float32]]:
        number = index + self.start
        random = np.random.default_rng((self.recipe.seed, number))
        data_set = self.sources[number % len(self.sources)]  # every set equally often, whatever its size
        source = data_set[random.integers(len(data_set))]
        recipe = self.recipe
        diameter = recipe.preparation.field_of_view or max(source.images[0].shape[:2])
        pixels, truth = crop(
            source, recipe.cameras, diameter, recipe.schedule.crop, recipe.preparation.channels, random
        )
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)), truth[None]


def train(recipe: Recipe, data: Path, run: Path, report: Report = print, advance: Advance = _ignore) -> Path:
    """Runs the recipe, or goes on where an interrupted run stopped; returns the path of the weights to export.

    Raises DataError when data are missing or `run` belongs to another recipe.
    """
    torch.manual_seed(recipe.seed)
    run.mkdir(parents=True, exist_ok=True)
    _claim(run, recipe)
    report("reading data")
    best = _select(recipe, data, run, report, advance)
    return best if recipe.final is None else _finish(recipe, recipe.final, data, best, report, advance)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _select(recipe: Recipe, data: Path, run: Path, report: Report, advance: Advance) -> Path:
    """Trains without the validation part, keeps the weights that do best on it, and calibrates them."""
    device = _device()
    training = [[_source(s) for s in d.samples(data, "train")] for d in recipe.data]
    cases = list(_cases(recipe, data))
    report(f"{sum(map(len, training))} training photographs, {len(cases)} validation photographs")
    trainer = _Trainer(recipe, device)
    history: list[dict[str, Any]] = []
    if (run / "last.pt").exists():
        history = trainer.restore(run / "last.pt")
        report(f"resuming after step {trainer.step}")
    schedule, began, first, losses = recipe.schedule, time.monotonic(), trainer.step, []
    for pixels, truth in _batches(trainer, training):
        losses.append(trainer.update(pixels.to(device), truth.to(device)))
        advance(trainer.step, schedule.steps, losses[-1])
        if trainer.step % schedule.validate_every == 0 or trainer.step == schedule.steps:
            groups = summarise(validate(trainer.average, cases, recipe, device))
            score = float(np.mean([g["f1"] for g in groups.values()]))
            best = max((h["score"] for h in history), default=-1.0)
            history.append({"step": trainer.step, "loss": float(np.mean(losses)), "score": score, "groups": groups})
            if score > best:
                _save(
                    {"network": trainer.average.module.state_dict(), "step": trainer.step, "score": score},
                    run / "best.pt",
                )
            trainer.save(run / "last.pt", history)
            _write(run / "history.json", json.dumps(history, indent=1))
            draw_curves(history, run / "curves.png")
            rate = (time.monotonic() - began) / (trainer.step - first)
            left = (schedule.steps - trainer.step) * rate / 60
            figures = "  ".join(
                f"{n} {g['f1']:.4f} (best {g['best_f1']:.4f} at {g['best_threshold']:.2f})" for n, g in groups.items()
            )
            report(
                f"step {trainer.step}  loss {np.mean(losses):.4f}  score {score:.4f}  {left:.0f} min left\n  {figures}"
            )
            losses = []
    return calibrate(recipe, cases, run, device, report)


def _finish(recipe: Recipe, final: Final, data: Path, best: Path, report: Report, advance: Advance) -> Path:
    """The final stage: from the best weights, on all of the training split, for a fixed number of steps."""
    cameras = recipe.cameras.model_copy(update={"foreign": final.foreign})
    loss = recipe.loss.model_copy(update={"thin": final.thin})
    stage = recipe.model_copy(update={"schedule": final, "cameras": cameras, "loss": loss, "seed": recipe.seed + 1})
    parts: tuple[Split, ...] = ("train", "validation")
    training = [[_source(s) for part in parts for s in d.samples(data, part)] for d in recipe.data]
    start = torch.load(best, map_location="cpu", weights_only=True)
    trainer = _Trainer(stage, _device(), start["network"])
    kept = best.with_name("final-last.pt")
    if kept.exists():
        trainer.restore(kept)
    report(f"final stage: {sum(map(len, training))} photographs, from step {trainer.step} to {final.steps}")
    for pixels, truth in _batches(trainer, training):
        value = trainer.update(pixels.to(trainer.device), truth.to(trainer.device))
        advance(trainer.step, final.steps, value)
        if trainer.step % final.validate_every == 0 or trainer.step == final.steps:
            trainer.save(kept, [])
            report(f"step {trainer.step}  loss {value:.4f}")
    path = best.with_name("final.pt")
    _save({"network": trainer.average.module.state_dict(), "step": trainer.step, "shift": start["shift"]}, path)
    return path


def _batches(trainer: "_Trainer", sources: list[list[Source]]) -> DataLoader[tuple[Image, NDArray[np.float32]]]:
    """The batches that are left of the trainer's schedule."""
    batch = trainer.recipe.schedule.batch
    return DataLoader(
        Crops(trainer.recipe, sources, trainer.step * batch),
        batch,
        num_workers=min(2, os.cpu_count() or 1),
        worker_init_fn=_one_thread,
        pin_memory=trainer.device.type == "cuda",
    )


def calibrate(recipe: Recipe, cases: list[Case], run: Path, device: torch.device, report: Report = print) -> Path:
    """Makes 0.5 the right threshold for a camera as validation has them, the known and the held-out ones alike.

    That is the median of each one's best threshold: one data set whose few annotations are sparse does not move it.

    What is added to the logits to this end is written into best.pt as `shift`; export folds it into the file.
    """
    path = run / "best.pt"
    state = torch.load(path, map_location=device, weights_only=True)
    network: nn.Module = recipe.network.build().to(device)
    network.load_state_dict(state["network"])
    curves = validate(network, cases, recipe, device)
    level = round(float(np.median([int(np.argmax(curve)) for curve in curves.values()])))
    threshold = min(max((level - 0.5) / 255, 0.01), 0.99)
    shift = float(np.log((1 - threshold) / threshold))
    figures = "  ".join(f"{name} {curve[HALF]:.4f} to {curve[level]:.4f}" for name, curve in curves.items())
    report(f"calibration: threshold {threshold:.3f} becomes 0.5\n  {figures}")
    _save({**state, "shift": shift}, path)
    return path


class _Trainer:
    """Network, optimiser, schedule and moving average: the state that a checkpoint holds."""

    def __init__(self, recipe: Recipe, device: torch.device, weights: dict[str, Tensor] | None = None) -> None:
        self.recipe, self.device, self.step = recipe, device, 0
        self.network: nn.Module = recipe.network.build().to(device, memory_format=torch.channels_last)
        if weights is not None:
            self.network.load_state_dict(weights)
        self.average = AveragedModel(
            self.network,
            multi_avg_fn=get_ema_multi_avg_fn(recipe.schedule.average),
            use_buffers=True,
        )
        schedule = recipe.schedule
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        self.loss = DiceCELoss(
            sigmoid=True, batch=True, lambda_dice=recipe.loss.dice, lambda_ce=recipe.loss.cross_entropy
        )

    def update(self, pixels: Tensor, truth: Tensor) -> float:
        """One step on (N, C, h, w) uint8 and (N, 1, h, w) float in 0..1; returns the loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate()
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.precision == "bf16"):
            logits = self.network(normalise(pixels, self.recipe).contiguous(memory_format=torch.channels_last))
        loss: Tensor = self.loss(logits.float(), truth)
        if self.recipe.loss.thin:
            missed = functional.softplus(-logits.float())  # cross-entropy where the truth is vessel
            loss = loss + self.recipe.loss.thin * (thin_part(truth) * missed).mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return float(loss.detach())

    def _rate(self) -> float:
        schedule = self.recipe.schedule
        if self.step < schedule.warmup:
            return schedule.learning_rate * (self.step + 1) / schedule.warmup
        done = (self.step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
        return float(schedule.learning_rate * 0.5 * (1 + np.cos(np.pi * done)))

    def save(self, path: Path, history: list[dict[str, Any]]) -> None:
        _save(
            {
                "step": self.step,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "history": json.dumps(history),
            },
            path,
        )

    def restore(self, path: Path) -> list[dict[str, Any]]:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        history: list[dict[str, Any]] = json.loads(state["history"])
        return history


def thin_part(truth: Tensor) -> Tensor:
    """The part of the truth (N, 1, h, w), 0..1, that no square of THIN pixels fits into: what an opening removes."""
    eroded = -functional.max_pool2d(-truth, THIN, stride=1, padding=THIN // 2)
    opened = functional.max_pool2d(eroded, THIN, stride=1, padding=THIN // 2)
    return truth - opened


def normalise(pixels: Tensor, recipe: Recipe) -> Tensor:
    """(N, C, h, w) uint8 → float, as the exported graph does it."""
    mean = torch.tensor(recipe.input.mean, device=pixels.device)[:, None, None]
    std = torch.tensor(recipe.input.std, device=pixels.device)[:, None, None]
    return (pixels.float() / 255 - mean) / std


def validate(
    network: nn.Module, cases: list[Case], recipe: Recipe, device: torch.device
) -> dict[str, NDArray[np.float64]]:
    """Group → F1 at each of the 256 levels of the 8-bit probability that could be the lowest called vessel.

    Pixels are pooled, at the photographs' own resolution, inside the field of view.
    """
    counts: dict[str, NDArray[np.int64]] = {}
    for case in cases:
        levels = to_bytes(predict(network, case.image, recipe, device))[case.inside]
        truth = case.truth[case.inside]
        found = np.stack([np.bincount(levels[truth == kind], minlength=256) for kind in (True, False)])
        counts[case.group] = counts.get(case.group, np.zeros_like(found)) + found
    return {group: f1_by_level(*count) for group, count in counts.items()}


def summarise(curves: dict[str, NDArray[np.float64]]) -> dict[str, dict[str, float]]:
    """Group → F1 at threshold 0.5, and the best F1 with its threshold."""
    return {
        group: {
            "f1": float(curve[HALF]),
            "best_f1": float(curve.max()),
            "best_threshold": (int(curve.argmax()) - 0.5) / 255,
        }
        for group, curve in curves.items()
    }


@torch.inference_mode()
def predict(network: nn.Module, image: Image, recipe: Recipe, device: torch.device) -> NDArray[np.float32]:
    """(H, W) probability of a whole photograph, without tiles: the reference that the runtime is held to."""
    network.eval()
    prepared = prepare(image, recipe.preparation)
    height, width, _ = prepared.pixels.shape
    multiple = recipe.tile.multiple
    padded = np.pad(prepared.pixels, ((0, -height % multiple), (0, -width % multiple), (0, 0)))
    pixels = torch.from_numpy(padded.transpose(2, 0, 1)[None].copy()).to(device)
    inputs = normalise(pixels, recipe).contiguous(memory_format=torch.channels_last)
    inside = torch.sigmoid(network(inputs).float())[0, 0, :height, :width].cpu().numpy()
    result = np.zeros(image.shape[:2], np.float32)
    box = prepared.box
    box.cut(result)[:] = cv2.resize(inside, (box.width, box.height), interpolation=cv2.INTER_LINEAR)
    return result


def _cases(recipe: Recipe, data: Path) -> Iterator[Case]:
    for data_set in recipe.data:
        for number, sample in enumerate(data_set.samples(data, "validation")):
            image = sample.read_image()
            yield Case(data_set.name, image, sample.read_truth(), sample.read_field_of_view(image.shape))
            if recipe.held_out_cameras:
                source = _source(sample)
                for name, camera in HELD_OUT.items():
                    shown, truth = camera.photograph(source, number)
                    yield Case(name, shown, truth, np.ones(truth.shape, bool))


def _source(sample: Sample) -> Source:
    image, truth = sample.read_image(), sample.read_truth()
    if image.shape[:2] != truth.shape:
        raise DataError(f"{sample.image}: {image.shape[:2]} pixels, its truth {truth.shape}. They must agree.")
    box = field_of_view(image)
    return Source.build(np.ascontiguousarray(box.cut(image)), box.cut(truth))


def _claim(run: Path, recipe: Recipe) -> None:
    text, kept = recipe.model_dump_json(indent=1), run / "recipe.json"
    begun = (run / "last.pt").exists()  # without a checkpoint there is nothing to lose
    if begun and kept.exists() and kept.read_text("utf-8") != text:
        raise DataError(f"{run}: holds a run of another recipe. Name another folder with --run, or delete this one.")
    _write(kept, text)


def _save(state: dict[str, Any], path: Path) -> None:
    with draft(path) as name, name.open("wb") as file:  # a file: given a name, torch writes it into the archive
        torch.save(state, file)


def _write(path: Path, text: str) -> None:
    with draft(path) as name:
        name.write_text(text, "utf-8")


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def draw_curves(history: list[dict[str, Any]], path: Path) -> None:
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
