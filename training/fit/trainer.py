"""The steps of one stage: network, optimiser, learning rate, moving average, and the checkpoint that holds them."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vesselrt.runtime.hardware import gains_by_bf16
from vesselrt.training.fit.checkpoints import read_checkpoint, write_checkpoint
from vesselrt.training.fit.loss import segmentation_loss
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.stages import Stage
from vesselrt.training.fit.validation import normalise_pixels

SECONDS_BETWEEN_CHECKPOINTS = 120.0
"""Of training: what an interruption may cost."""
OnStep = Callable[[int, int, float], None]
"""Called after every step with its number, the number of all steps, and the loss."""
_TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Trainer:
    """Trains the network of a recipe for one stage, and goes on from the stage's checkpoint where there is one."""

    def __init__(
        self,
        recipe: Recipe,
        stage: Stage,
        checkpoint: Path,
        device: torch.device,
        weights: dict[str, Tensor] | None = None,
    ) -> None:
        """`weights` to begin with; None: those that the network's factory gives. A checkpoint counts more than both."""
        self.recipe, self.stage, self.checkpoint, self.device = recipe, stage, checkpoint, device
        self.step = 0
        self.losses: list[float] = []
        """Of the steps since the last validation."""
        self.history: list[dict[str, Any]] = []
        """The validations so far, for vesselrt.training.fit.record."""
        resumes, schedule = checkpoint.exists(), stage.schedule
        self.network: nn.Module = recipe.network.build(fresh=weights is None and not resumes)
        self.network.to(device, memory_format=torch.channels_last)
        if weights is not None:
            self.network.load_state_dict(weights)
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(schedule.average), use_buffers=True
        )
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
        )
        self.plateau: ReduceLROnPlateau | None = None
        if (plateau := stage.plateau) is not None:
            self.plateau = ReduceLROnPlateau(self.optimiser, "max", plateau.factor, plateau.patience, threshold=0.0)
        self.arithmetic = choose_arithmetic(recipe.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.arithmetic == "fp16")
        if resumes:
            self.restore()
        self._began, self._saved, self._first_step = time.monotonic(), time.monotonic(), self.step

    def train(self, batches: Iterable[tuple[Tensor, Tensor]], on_step: OnStep, on_interval: Callable[[], bool]) -> None:
        """Takes the steps that are left: a batch each, as `update` takes it.

        `on_interval` is called every `validate_every` steps and after the last one; where it gives False, the stage
        ends there. The checkpoint is written after it, and every two minutes.
        """
        schedule = self.stage.schedule
        for pixels, truth in batches:
            self.losses.append(self.update(pixels, truth))
            on_step(self.step, schedule.steps, self.losses[-1])
            if self.step % schedule.validate_every == 0 or self.step == schedule.steps:
                goes_on = on_interval()
                self.losses = []
                self.save()
                if not goes_on:
                    break
            elif time.monotonic() > self._saved + SECONDS_BETWEEN_CHECKPOINTS:
                self.save()

    def update(self, pixels: Tensor, truth: Tensor) -> float:
        """One step on (N, C, h, w) uint8 and the truth, as `segmentation_loss` takes it; returns the loss."""
        pixels, truth = pixels.to(self.device), truth.to(self.device)
        if self.plateau is None or self.step < self.stage.schedule.warmup:
            for group in self.optimiser.param_groups:
                group["lr"] = self._scheduled_rate()
        self.network.train()
        windows = normalise_pixels(pixels, self.recipe).contiguous(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, _TYPES[self.arithmetic], enabled=self.arithmetic != "f32"):
            logits = self.network(windows).float()
        loss = segmentation_loss(logits, truth, self.recipe.loss, self.stage.thin, exclusive=self.recipe.exclusive)
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
    def averaged(self) -> nn.Module:
        """The network with the moving average of its weights: what a stage is judged by, and gives."""
        network: nn.Module = self.average.module
        return network

    @property
    def rate(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimiser.param_groups[0]["lr"])

    def judge(self, score: float) -> None:
        """Takes a validation's score: where it stays on a plateau, the learning rate falls."""
        if self.plateau is not None:
            self.plateau.step(score)

    def seconds_per_step(self) -> float:
        """Since this process began, validations included; 0 before its first step."""
        done = self.step - self._first_step
        return (time.monotonic() - self._began) / done if done else 0.0

    def _scheduled_rate(self) -> float:
        schedule = self.stage.schedule
        if self.step < schedule.warmup:
            return schedule.learning_rate * (self.step + 1) / schedule.warmup
        done = (self.step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
        return float(schedule.learning_rate * 0.5 * (1 + np.cos(np.pi * done)))

    def save(self) -> None:
        """Writes the checkpoint: everything that the next step depends on."""
        self._saved = time.monotonic()
        state = {
            "step": self.step,
            "losses": self.losses,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "plateau": self.plateau.state_dict() if self.plateau else {},
            "scaler": self.scaler.state_dict(),
            "random": torch.get_rng_state(),  # for dropout; crops have generators of their own
            "random_cuda": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
            "history": json.dumps(self.history),
        }
        write_checkpoint(state, self.checkpoint)

    def restore(self) -> None:
        """Goes back to the checkpoint. Raises DataError for one that is damaged."""
        state = read_checkpoint(self.checkpoint, self.checkpoint)
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
        self.history = json.loads(state["history"])


def choose_arithmetic(asked: str, device: torch.device) -> str:
    """f32, bf16 or fp16: where a processor does not gain by it, bf16 can be far slower than f32."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()  # noqa: SLF001
    return "bf16" if native and gains_by_bf16() else "f32"
