"""The stages of a training run: how long each is, how it learns, and what it learns from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from vesselrt.runtime.manifest import Facts
from vesselrt.training.data.splits import Split


class Schedule(Facts):
    """AdamW (without weight decay: Adam); the learning rate rises linearly, then falls along a cosine."""

    steps: Annotated[int, Field(ge=1)]
    """Of the optimiser, at most. A pass over n photographs is n / batch of them."""
    batch: Annotated[int, Field(ge=1)] = 16
    crop: Annotated[int, Field(ge=32, le=4096)] = 256
    """Side of a training crop in pixels of the prepared image."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    warmup: Annotated[int, Field(ge=0)] = 200
    """Steps in which the learning rate rises."""
    average: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Decay of the exponential moving average of the weights; the average is what is kept. 0: no averaging."""
    validate_every: Annotated[int, Field(ge=1)] = 500
    """Steps."""


class Plateau(Facts):
    """The learning rate falls by `factor` when more than `patience` validations in a row gave no better score."""

    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    patience: Annotated[int, Field(ge=0)] = 5


class FirstSchedule(Schedule):
    """The first stage: validation may end it early."""

    plateau: Plateau | None = None
    """In place of the cosine."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Validations in a row without a better score that end the stage; null: it takes all its steps."""


class FinalSchedule(Schedule):
    """A stage after validation, from the weights before it, on the whole training split, validation part included.

    Its length is fixed and its last weights are kept: nothing is left to choose by, and nothing is chosen.
    """

    simulated_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of crops seen through a simulated camera, in this stage."""
    thin: Annotated[float, Field(ge=0)] = 0.0
    """`loss.thin` of this stage."""
    distilled: Annotated[float, Field(ge=0, le=1)] = 0.0
    """`distillation.share` of this stage."""
    second_observer: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the crops whose truth is a second observer's, of photographs that have one. What two people see
    differently is then learned as uncertain. Tests go by the first alone."""


@dataclass(frozen=True)
class Stage:
    """One stage of a run: all that differs between stages. What they share is in the recipe."""

    number: int
    """0: the first stage, which validation judges; from 1 on: the final stages."""
    schedule: Schedule
    seed: int
    splits: tuple[Split, ...]
    """Of the data sets: what is trained on."""
    simulated_share: float
    """Share of crops seen through a simulated camera."""
    thin: float
    """Further weight in the loss of the truth's thin vessels."""
    teacher_share: float
    """Share of the truth that is the teacher's probability; 0: there may be no teacher."""
    second_observer: float = 0.0
    """Share of the crops whose truth is a second observer's, of photographs that have one."""
    plateau: Plateau | None = None
    patience: int | None = None

    @property
    def weights_file(self) -> str:
        """Of the run's folder: the weights that the stage ends with."""
        return f"final-{self.number}.pt" if self.number else "best.pt"

    @property
    def checkpoint_file(self) -> str:
        """Of the run's folder: what an interrupted stage goes on from."""
        return f"final-{self.number}-last.pt" if self.number else "last.pt"


def equivalent_steps(schedule: Schedule, stages: Sequence[Stage]) -> float:
    """How many steps of `schedule` take as long as all of the stages, by the pixels that they see."""
    pixels = sum(s.schedule.steps * s.schedule.batch * s.schedule.crop**2 for s in stages)
    return pixels / (schedule.batch * schedule.crop**2)
