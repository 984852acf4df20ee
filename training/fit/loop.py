"""The training loop: a recipe and a data folder become a run folder with the best weights.

RUN/recipe.json      the recipe as it was run
RUN/photographs.json the hashes of the photographs that were trained on or chosen by
RUN/teacher.json     the manifest of the model that it learns from, where there is one
RUN/last.pt          everything needed to go on after a kill, written every validation and every two minutes
RUN/best.pt          weights (moving average) with the best validation score, and their calibration
RUN/final-1.pt       weights after the first of the final stages, where there are some; RUN/final-1-last.pt to resume
and what vesselrt.training.fit.record writes for people.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from monai.losses.dice import DiceCELoss
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import to_bytes
from vesselrt.runtime.errors import DataError, first_line
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.hardware import gains_by_bf16, usable_cores
from vesselrt.training.data.finding import has_test, listed
from vesselrt.training.data.samples import Sample, digests, read_pair
from vesselrt.training.data.splits import Split
from vesselrt.training.fit.distillation import Teacher, inherited
from vesselrt.training.fit.patches import Whole
from vesselrt.training.fit.recipe import Recipe, Schedule, Stage
from vesselrt.training.fit.record import Record, draw_predictions
from vesselrt.training.fit.validation import (
    HALF,
    Case,
    cases_of,
    normalise,
    predict,
    summarise,
    validate,
)
from vesselrt.training.synthetic.cameras import crop, source_of

THIN = 5
"""Pixels of the prepared image: vessels narrower than this are thin to the loss."""
SAVED_EVERY = 120.0
"""Seconds of training that an interruption may cost."""
INHERITED = 32
"""Crops on which a network is fitted to its teacher before it trains."""
_PARTS: tuple[Split, ...] = ("train", "validation")
Report = Callable[[str], None]
Advance = Callable[[int, int, float], None]
"""Called after every step with its number, the number of all steps, and the loss."""
Draw = Callable[[np.random.Generator], tuple[Image, NDArray[np.float32]]]
"""A photograph to train on: gives a random crop (h, w, C) uint8, and its truth (h, w) in 0..1."""


def _ignore(step: int, steps: int, loss: float) -> None:
    pass


class Crops(Dataset[tuple[Image, NDArray[np.float32]]]):
    """Crop number i is a function of the seed and i alone, so a resumed run draws what the first would have."""

    def __init__(self, recipe: Recipe, sources: list[list[Draw]], start: int) -> None:
        self.recipe, self.sources, self.start = recipe, sources, start
        self.share = recipe.distillation.share if recipe.distillation else 0.0
        self.teacher = Teacher(recipe) if self.share else None

    def __len__(self) -> int:
        return self.recipe.schedule.steps * self.recipe.schedule.batch - self.start

    def __getitem__(self, index: int) -> tuple[Image, NDArray[np.float32]]:
        pixels, truth = self.draw(index + self.start)
        if self.teacher is not None:
            truth = (1 - self.share) * truth + self.share * self.teacher.answer(pixels)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)), truth[None]

    def draw(self, number: int) -> tuple[Image, NDArray[np.float32]]:
        """Crop (h, w, C) and its truth (h, w), as annotated."""
        random = np.random.default_rng((self.recipe.seed, number))
        data_set = self.sources[number % len(self.sources)]  # every set equally often, whatever its size
        return data_set[random.integers(len(data_set))](random)


def train(recipe: Recipe, data: Path, run: Path, report: Report = print, advance: Advance = _ignore) -> Path:
    """Runs the recipe, or goes on where an interrupted run stopped; returns the path of the weights to export.

    Raises DataError when data are missing or don't fit together, a photograph of a test split is among those to train
    on or the teacher's, the network or the teacher does not fit the recipe, or `run` belongs to another recipe, other
    photographs or another teacher.
    """
    _try_network(recipe)
    torch.manual_seed(recipe.seed)  # after the trial, which may draw
    report("reading data")
    photographs = _photographs(recipe, data)
    if recipe.final:
        steps = " + ".join(f"{stage.steps:,}" for stage in recipe.final)
        report(f"{recipe.schedule.steps:,} steps, then {steps} in final stages (--set final.0.steps=N sets the first)")
    best = _select(recipe, data, run, photographs, report, advance)
    for number in range(1, len(recipe.final) + 1):
        best = _finish(recipe, number, data, best, report, advance)
    return best


def _try_network(recipe: Recipe) -> None:
    """Raises DataError unless the network takes the crops of every stage, and gives a logit for each of their pixels.

    It is tried on one that is built for this alone: the one to train keeps its batch statistics.
    """
    name, network = f"network {recipe.network.factory}", recipe.network.build(fresh=False)
    if not isinstance(network, nn.Module):
        raise DataError(f"{name} gives a {type(network).__name__}. Expected a torch.nn.Module.")
    if not any(weight.requires_grad for weight in network.parameters()):
        raise DataError(f"{name} has no weights to train. Name another.")
    for stage in (recipe.schedule, *recipe.final):
        batch, side = min(2, stage.batch), stage.crop
        shape, expected = (batch, len(recipe.input.mean), side, side), (batch, 1, side, side)
        window = normalise(torch.zeros(shape, dtype=torch.uint8), recipe)
        try:
            with torch.no_grad():
                logits = network.train()(window)
        except Exception as error:  # noqa: BLE001 - code of others, which may raise anything
            raise DataError(
                f"{name} does not take crops of shape {shape}: {first_line(error)}. Mend crop or the network's "
                "arguments."
            ) from None
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        if given != expected:
            raise DataError(f"{name} makes {given} of crops of shape {shape}. Expected logits of shape {expected}.")


def _photographs(recipe: Recipe, data: Path) -> dict[str, list[str]]:
    """Data set → `digest` of each photograph to train on or to choose by.

    Raises DataError when one of them, or one that the teacher was trained on, is a photograph of a test split, under
    whatever name and in whatever lossless file.
    """
    teacher = Teacher(recipe) if recipe.distillation else None
    held_out: dict[str, Path] = {}
    for data_set in recipe.data:
        if has_test(data_set.kind, data / data_set.path):
            for sample in listed(data_set.kind, data / data_set.path, "test"):
                held_out |= dict.fromkeys(digests(sample.image), sample.image)
    if teacher and (known := next((held_out[d] for d in teacher.photographs if d in held_out), None)):
        raise DataError(f"{known}: a test photograph, and {teacher.path} was trained on it. Name another teacher.")
    used: dict[str, list[str]] = {}
    for data_set in recipe.data:
        used[data_set.name] = []
        for sample in (s for part in _PARTS for s in listed(data_set.kind, data / data_set.path, part)):
            found = digests(sample.image)
            if twin := next((held_out[d] for d in found if d in held_out), None):
                raise DataError(f"{sample.image} is the test photograph {twin}. Take it out of what is trained on.")
            used[data_set.name].append(found[0])
    return used


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _select(
    recipe: Recipe, data: Path, run: Path, photographs: dict[str, list[str]], report: Report, advance: Advance
) -> Path:
    """Trains without the validation part, keeps the weights that do best on it, and calibrates them."""
    training = [_draws(d.samples(data, "train"), recipe) for d in recipe.data]
    cases = list(cases_of(recipe, data))
    report(f"{sum(map(len, training))} training photographs, {len(cases)} validation photographs")
    run.mkdir(parents=True, exist_ok=True)  # only now: a start that fails leaves nothing behind
    _claim(run, recipe, photographs)
    kept = run / "last.pt"
    history: list[dict[str, Any]] = []
    weights = None
    if recipe.distillation and recipe.distillation.inherit and not kept.exists():
        report(f"inheriting the weights of {recipe.distillation.teacher}")
        weights = inherited(recipe, _windows(recipe, training))
    trainer = _Trainer(recipe, _device(), weights, fresh=weights is None and not kept.exists())
    if kept.exists():
        history = trainer.restore(kept)
        report(f"resuming after step {trainer.step}")
    report(f"training in {trainer.arithmetic} on {trainer.device.type}")
    with Record(run, history) as record:
        if not record.stale(recipe.schedule.patience):
            _train(trainer, training, cases, record, report, advance)
    best = calibrate(recipe, cases, run, trainer.device, report)
    network, shift = _load(recipe, best, trainer.device)

    def find(image: Image) -> NDArray[np.bool_]:
        return to_bytes(predict(network, image, recipe, trainer.device, shift)) >= HALF

    draw_predictions(cases, find, run / "predictions.png")
    return best


def _windows(recipe: Recipe, sources: list[list[Draw]]) -> Tensor:
    """(N, C, h, w) crops as the network takes them, on which it inherits."""
    crops = Crops(recipe, sources, 0)
    pixels = np.stack([crops.draw(number)[0] for number in range(INHERITED)])  # (N, h, w, C)
    return normalise(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), recipe)


def _train(
    trainer: "_Trainer", training: list[list[Draw]], cases: list[Case], record: Record, report: Report, advance: Advance
) -> None:
    """The steps that are left of the schedule, with their validations."""
    schedule, began, first = trainer.recipe.schedule, time.monotonic(), trainer.step
    for pixels, truth in _batches(trainer, training):
        trainer.losses.append(trainer.update(pixels, truth))
        advance(trainer.step, schedule.steps, trainer.losses[-1])
        if trainer.step % schedule.validate_every and trainer.step < schedule.steps:
            if time.monotonic() > trainer.saved + SAVED_EVERY:
                trainer.save(record.run / "last.pt", record.history)
            continue
        groups = summarise(validate(trainer.average, cases, trainer.recipe, trainer.device))
        score, loss = float(np.mean([g["f1"] for g in groups.values()])), float(np.mean(trainer.losses))
        if score > record.best:
            state = {"network": trainer.average.module.state_dict(), "step": trainer.step, "score": score}
            _save(state, record.run / "best.pt")
        record.add({"step": trainer.step, "loss": loss, "rate": trainer.rate, "score": score, "groups": groups})
        trainer.judge(score)
        trainer.losses = []
        trainer.save(record.run / "last.pt", record.history)
        ahead = schedule.steps - trainer.step + _in_steps_of(schedule, trainer.recipe.final)
        left = ahead * (time.monotonic() - began) / (trainer.step - first) / 60
        figures = "  ".join(
            f"{n} {g['f1']:.4f} (best {g['best_f1']:.4f} at {g['best_threshold']:.2f})" for n, g in groups.items()
        )
        report(f"step {trainer.step}  loss {loss:.4f}  score {score:.4f}  {left:.0f} min left\n  {figures}")
        if record.stale(schedule.patience):
            report(f"no better score in {schedule.patience} validations: ended after step {trainer.step}")
            break
    if trainer.step > first:
        pace = (time.monotonic() - began) / (trainer.step - first)
        report(f"{pace:.2f} s a step with its share of validation; {_peak(trainer.device)}")


def _in_steps_of(schedule: Stage, stages: Sequence[Stage]) -> float:
    """How many steps of `schedule` take as long as all of the stages, by the pixels that they see."""
    return sum(s.steps * s.batch * s.crop**2 for s in stages) / (schedule.batch * schedule.crop**2)


def _peak(device: torch.device) -> str:
    """The largest memory so far, of the GPU or of this process; data loaders are processes of their own."""
    if device.type == "cuda":
        return f"at most {torch.cuda.max_memory_allocated(device) / 2**30:.2f} GiB of GPU memory"
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:  # Windows
        return "memory not measured"
    unit = 1 if sys.platform == "darwin" else 1024  # bytes
    return f"at most {getrusage(RUSAGE_SELF).ru_maxrss * unit / 2**30:.2f} GiB of memory"


def _finish(recipe: Recipe, number: int, data: Path, start: Path, report: Report, advance: Advance) -> Path:
    """Final stage `number`, from 1: from the weights in `start`, on all of the training split, all its steps."""
    final = recipe.final[number - 1]
    stage = recipe.model_copy(
        update={
            "schedule": Schedule(**final.model_dump(include=set(Stage.model_fields))),
            "cameras": recipe.cameras.model_copy(update={"foreign": final.foreign}),
            "loss": recipe.loss.model_copy(update={"thin": final.thin}),
            "distillation": recipe.distillation and recipe.distillation.model_copy(update={"share": final.distilled}),
            "seed": recipe.seed + number,
        }
    )
    training = [
        _draws((s for part in _PARTS for s in d.samples(data, part)), stage, final.second_observer) for d in recipe.data
    ]
    given = _read(start, start.parent)
    trainer = _Trainer(stage, _device(), given["network"], fresh=False)
    kept = start.with_name(f"final-{number}-last.pt")
    if kept.exists():
        trainer.restore(kept)
    report(f"final stage {number}: {sum(map(len, training))} photographs, from step {trainer.step} to {final.steps}")
    began, first, later = time.monotonic(), trainer.step, _in_steps_of(final, recipe.final[number:])
    for pixels, truth in _batches(trainer, training):
        value = trainer.update(pixels, truth)
        advance(trainer.step, final.steps, value)
        due = trainer.step % final.validate_every == 0 or trainer.step == final.steps
        if due or time.monotonic() > trainer.saved + SAVED_EVERY:
            trainer.save(kept, [])
        if due:
            left = (final.steps - trainer.step + later) * (time.monotonic() - began) / (trainer.step - first) / 60
            report(f"step {trainer.step}  loss {value:.4f}  {left:.0f} min left")
    path = start.with_name(f"final-{number}.pt")
    _save({"network": trainer.average.module.state_dict(), "step": trainer.step, "shift": given["shift"]}, path)
    return path


def _draws(samples: Iterable[Sample], recipe: Recipe, second_observer: float = 0.0) -> list[Draw]:
    """The photographs, read; a share of the crops, `second_observer`, has the second observer's truth."""
    draws = []
    for sample in samples:
        draw = _draw(sample, recipe)
        if second_observer and sample.second is not None:
            other = replace(sample, truth=sample.second, annotation=None)
            draw = partial(_either, draw, _draw(other, recipe), second_observer)
        draws.append(draw)
    return draws


def _draw(sample: Sample, recipe: Recipe) -> Draw:
    image, truth = read_pair(sample)
    if recipe.patches is not None:
        return partial(Whole.build(image, truth, recipe.preparation, recipe.patches).patch, recipe.schedule.crop)
    return partial(crop, source_of(image, truth), recipe.cameras, recipe.preparation, recipe.schedule.crop)


def _either(first: Draw, second: Draw, share: float, random: np.random.Generator) -> tuple[Image, NDArray[np.float32]]:
    return (second if random.random() < share else first)(random)


def _batches(trainer: "_Trainer", sources: list[list[Draw]]) -> DataLoader[tuple[Image, NDArray[np.float32]]]:
    """The batches that are left of the trainer's schedule."""
    batch, cores = trainer.recipe.schedule.batch, usable_cores()
    return DataLoader(
        Crops(trainer.recipe, sources, trainer.step * batch),
        batch,
        num_workers=max(1, cores - 1) if trainer.device.type == "cuda" else min(2, cores),
        worker_init_fn=_one_thread,
        pin_memory=trainer.device.type == "cuda",
        generator=torch.Generator(),  # of the workers' seeds, which nobody uses: not drawn from what the network uses
    )


def _load(recipe: Recipe, path: Path, device: torch.device) -> tuple[nn.Module, float]:
    """A network with saved weights, and what calibration adds to its logits."""
    state = _read(path, path.parent)
    network: nn.Module = recipe.network.build(fresh=False).to(device)
    network.load_state_dict(state["network"])
    return network, float(state.get("shift", 0.0))


def calibrate(recipe: Recipe, cases: list[Case], run: Path, device: torch.device, report: Report = print) -> Path:
    """Makes 0.5 the right threshold for a camera as validation has them, the known and the held-out ones alike.

    That is the median of each one's best threshold: one data set whose few annotations are sparse does not move it.

    What is added to the logits to this end is written into best.pt as `shift`; export folds it into the file.
    """
    path = run / "best.pt"
    state = _read(path, run)
    if not recipe.calibrated:
        _save({**state, "shift": 0.0}, path)
        return path
    network, _ = _load(recipe, path, device)
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

    def __init__(
        self, recipe: Recipe, device: torch.device, weights: dict[str, Tensor] | None = None, *, fresh: bool = True
    ) -> None:
        """`fresh` False: `weights` or `restore` replaces all that the network begins with."""
        self.recipe, self.device, self.step = recipe, device, 0
        self.saved = time.monotonic()
        self.losses: list[float] = []
        """Of the steps since the last validation."""
        self.network: nn.Module = recipe.network.build(fresh=fresh).to(device, memory_format=torch.channels_last)
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
        self.plateau: ReduceLROnPlateau | None = None
        if (plateau := schedule.plateau) is not None:
            self.plateau = ReduceLROnPlateau(self.optimiser, "max", plateau.factor, plateau.patience, threshold=0.0)
        self.arithmetic = _arithmetic(recipe.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.arithmetic == "fp16")
        self.loss = DiceCELoss(
            sigmoid=True, batch=True, lambda_dice=recipe.loss.dice, lambda_ce=recipe.loss.cross_entropy
        )

    def update(self, pixels: Tensor, truth: Tensor) -> float:
        """One step on (N, C, h, w) uint8 and (N, 1, h, w) float in 0..1; returns the loss."""
        pixels, truth = pixels.to(self.device), truth.to(self.device)
        if self.plateau is None or self.step < self.recipe.schedule.warmup:
            for group in self.optimiser.param_groups:
                group["lr"] = self._rate()
        self.network.train()
        with torch.autocast(self.device.type, _TYPES[self.arithmetic], enabled=self.arithmetic != "f32"):
            logits = self.network(normalise(pixels, self.recipe).contiguous(memory_format=torch.channels_last)).float()
        loss: Tensor = self.loss(logits, truth)
        if self.recipe.loss.thin:
            missed = functional.softplus(-logits)  # cross-entropy where the truth is vessel
            loss = loss + self.recipe.loss.thin * (thin_part(truth) * missed).mean()
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.average.update_parameters(self.network)
        self.step += 1
        return float(loss.detach())

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimiser.param_groups[0]["lr"])

    def judge(self, score: float) -> None:
        """A validation's score: where it stays on a plateau, the learning rate falls."""
        if self.plateau is not None:
            self.plateau.step(score)

    def _rate(self) -> float:
        schedule = self.recipe.schedule
        if self.step < schedule.warmup:
            return schedule.learning_rate * (self.step + 1) / schedule.warmup
        done = (self.step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
        return float(schedule.learning_rate * 0.5 * (1 + np.cos(np.pi * done)))

    def save(self, path: Path, history: list[dict[str, Any]]) -> None:
        self.saved = time.monotonic()
        _save(
            {
                "step": self.step,
                "losses": self.losses,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "plateau": self.plateau.state_dict() if self.plateau else {},
                "scaler": self.scaler.state_dict(),
                "random": torch.get_rng_state(),  # of what a network drops by chance; crops need none
                "random_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
                "history": json.dumps(history),
            },
            path,
        )

    def restore(self, path: Path) -> list[dict[str, Any]]:
        state = _read(path, path)
        self.step = state["step"]
        self.losses = state.get("losses", [])
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.plateau is not None:
            self.plateau.load_state_dict(state["plateau"])
        self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"])
        if self.device.type == "cuda":  # a checkpoint of another machine may have more GPUs, or none
            for number, random in enumerate(state.get("random_cuda", [])[: torch.cuda.device_count()]):
                torch.cuda.set_rng_state(random, number)
        history: list[dict[str, Any]] = json.loads(state["history"])
        return history


_TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def _arithmetic(asked: str, device: torch.device) -> str:
    """f32, bf16 or fp16: where a processor does not gain by it, bf16 can be far slower than f32."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # noqa: SLF001
    return "bf16" if native and gains_by_bf16() else "f32"


def thin_part(truth: Tensor) -> Tensor:
    """The part of the truth (N, 1, h, w), 0..1, that no square of THIN pixels fits into: what an opening removes."""
    eroded = -functional.max_pool2d(-truth, THIN, stride=1, padding=THIN // 2)
    opened = functional.max_pool2d(eroded, THIN, stride=1, padding=THIN // 2)
    return truth - opened


def _claim(run: Path, recipe: Recipe, photographs: dict[str, list[str]]) -> None:
    """Writes what the run is of. Raises DataError where a checkpoint there is of something else."""
    texts = {
        "of another recipe": (run / "recipe.json", recipe.model_dump_json(indent=1)),
        "on other photographs": (run / "photographs.json", json.dumps(photographs, indent=1)),
    }
    if recipe.distillation is not None:
        texts["with another teacher"] = (run / "teacher.json", Teacher(recipe).manifest.model_dump_json(indent=1))
    if (run / "last.pt").exists():
        for other, (kept, text) in texts.items():
            if kept.exists() and kept.read_text("utf-8") != text:
                raise DataError(f"{run}: holds a run {other}. Name another folder with --run, or delete this one.")
    else:  # without a checkpoint there is nothing to lose, and no final stage to go on with
        for stale in run.glob("final-*-last.pt"):
            stale.unlink()
    for kept, text in texts.values():
        _write(kept, text)


def _read(path: Path, spoilt: Path) -> dict[str, Any]:
    """What `_save` wrote. Raises DataError for a damaged file, without which `spoilt` is of no use."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - what a damaged file raises inside torch
        raise DataError(
            f"{path}: not a readable checkpoint ({first_line(error)}). Delete {spoilt} to begin anew."
        ) from None
    return state


def _save(state: dict[str, Any], path: Path) -> None:
    with atomic_write(path) as name, name.open("wb") as file:  # a file: given a name, torch writes it into the archive
        torch.save(state, file)


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as name:
        name.write_text(text, "utf-8")


def _one_thread(_: int) -> None:
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
