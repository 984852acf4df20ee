"""A recipe: everything that makes a model, in one short YAML file, checked before anything runs."""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from vesselrt.runtime.errors import DataError, first_line
from vesselrt.runtime.manifest import Facts, Input, Precision, Preparation, Tile, explain
from vesselrt.training.data.finding import Kind, find
from vesselrt.training.data.samples import Sample
from vesselrt.training.data.splits import Split
from vesselrt.training.fit.patches import Patches
from vesselrt.training.synthetic.cameras import Family

BUILT_IN = Path(__file__).parent.parent / "recipes"
"""NAME.yaml of each recipe that vesselrt has."""


class DataSet(Facts):
    """A data set of the recipe, its folder relative to `--data`."""

    kind: Kind
    path: Path
    name: str
    terms: str

    def samples(self, root: Path, split: Split) -> list[Sample]:
        return find(self.kind, root / self.path, split)


class Network(Facts):
    """The network to train, named and not defined: any importable module will do."""

    factory: str
    """`package.module:callable`, called with `arguments`; returns a torch.nn.Module that gives logits."""
    arguments: dict[str, Any] = {}

    def build(self, *, fresh: bool = True) -> Any:
        """`fresh` False: its weights are about to be replaced, so an argument `pretrained` is false.

        Raises DataError when the factory can't be imported or called, or fails.
        """
        module, _, name = self.factory.partition(":")
        spared = {"pretrained": False} if not fresh and "pretrained" in self.arguments else {}
        try:
            return getattr(importlib.import_module(module), name)(**{**self.arguments, **spared})
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001 - code of others, which may raise anything
            raise DataError(
                f"network {self.factory} can't be built: {first_line(error)}. Expected package.module:callable."
            ) from None


class Loss(Facts):
    """Weighted sum of binary cross-entropy and Dice loss, both on soft truth."""

    cross_entropy: Annotated[float, Field(ge=0)] = 1.0
    dice: Annotated[float, Field(ge=0)] = 0.5
    thin: Annotated[float, Field(ge=0)] = 0.0
    """Further weight in the cross-entropy of the truth's thin vessels, which have few pixels."""


class Distillation(Facts):
    """A model that the network learns from, beside the truth (Hinton et al., 2015).

    The teacher sees each crop as the network does, changed by the same simulated camera: it answers for what is to be
    seen there. It works in the processes that draw crops.
    """

    teacher: str
    """Name of a built-in model or path of a model file, of the recipe's preparation."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Of the truth, in the first stage, that is the teacher's probability; the rest is the annotation."""
    inherit: bool = False
    """Begin with the teacher's weights, where both are a VesselNet of the same widths."""


class Stage(Facts):
    """AdamW (without weight decay: Adam); the learning rate rises linearly, then falls along a cosine."""

    steps: Annotated[int, Field(ge=1)]
    """Of the optimiser, at most. A pass over n photographs is n / batch of them."""
    batch: Annotated[int, Field(ge=1)] = 16
    crop: Annotated[int, Field(ge=32, le=4096)] = 256
    """Side of a training crop in pixels of the prepared image."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    warmup: Annotated[int, Field(ge=0)] = 200
    average: Annotated[float, Field(ge=0, lt=1)] = 0.998
    """Decay of the exponential moving average of the weights; the average is what is kept. 0: no averaging."""
    validate_every: Annotated[int, Field(ge=1)] = 500


class Plateau(Facts):
    """The learning rate falls by `factor` when more than `patience` validations in a row gave no better score."""

    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    patience: Annotated[int, Field(ge=0)] = 5


class Schedule(Stage):
    """The first stage: validation may end it early."""

    plateau: Plateau | None = None
    """In place of the cosine."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Validations in a row without a better score that end the stage; null: it takes all its steps."""


class Final(Stage):
    """A stage after validation, from the weights before it, on the whole training split, validation part included.

    Its length is fixed and its last weights are kept: nothing is left to choose by, and nothing is chosen.
    """

    foreign: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of crops seen through a simulated camera, in this stage."""
    thin: Annotated[float, Field(ge=0)] = 0.0
    """`loss.thin` of this stage."""
    distilled: Annotated[float, Field(ge=0, le=1)] = 0.0
    """`distillation.share` of this stage."""
    second_observer: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the crops whose truth is a second observer's, of photographs that have one. What two people see
    differently is then learned as uncertain. Tests go by the first alone."""


class Recipe(Facts):
    """The whole file."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    version: str
    licence: str
    description: str
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    data: Annotated[tuple[DataSet, ...], Field(min_length=1)]
    preparation: Preparation
    input: Input
    tile: Tile
    network: Network
    cameras: Family = Family()
    patches: Patches | None = None
    """Train on patches of the prepared photographs, and not through simulated cameras."""
    held_out_cameras: bool = True
    """Validate on simulated cameras too that training never draws."""
    loss: Loss = Loss()
    distillation: Distillation | None = None
    schedule: Schedule
    final: tuple[Final, ...] = ()
    """One after the other."""
    calibrated: bool = True
    """Shift the probabilities so that validation finds 0.5 the right threshold."""
    precision: Literal["auto", "f32", "bf16", "fp16"] = "auto"
    """Of the training's arithmetic. `auto`: the fastest that the device computes itself."""
    tolerance: dict[Precision, Annotated[float, Field(gt=0)]] = {"f32": 1e-4, "bf16": 0.3}
    """Largest difference in probability from the PyTorch network that the exported file may show."""

    @field_validator("final", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        """One stage may stand without a list, and none be null."""
        return [] if value is None else [value] if isinstance(value, dict) else value

    @property
    def outcome(self) -> str:
        """The file of a run's folder that holds the weights to export."""
        return f"final-{len(self.final)}.pt" if self.final else "best.pt"

    @model_validator(mode="after")
    def _is_consistent(self) -> "Recipe":
        channels = 1 if self.preparation.channels == "green" else 3
        if not len(self.input.mean) == len(self.input.std) == channels:
            raise ValueError(f"input.mean and input.std need {channels} value(s), one a channel")
        if self.distillation is None and any(stage.distilled for stage in self.final):
            raise ValueError("final.distilled needs a teacher: name one in distillation")
        names = [data_set.name for data_set in self.data]
        if twins := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"data sets that share a name: {', '.join(twins)}. Give each its own")
        return self

    @classmethod
    def read(cls, path: Path, changes: Sequence[str] = ()) -> "Recipe":
        """`changes` to what the file says: each "schedule.steps=100", a value as YAML.

        A run's recipe.json is read as JSON: to YAML 1e-6 is a text.

        Raises DataError that names each unknown, missing or wrong field.
        """
        try:
            text = path.read_text("utf-8")
            fields = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise DataError(f"{path}: not a readable recipe ({error})") from None
        for change in changes:
            _apply(change, fields)
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise DataError(f"{path}: not a valid recipe: {explain(error)}") from None


def _apply(change: str, fields: Any) -> None:
    """Sets one field, in place. Sections that the file leaves out are begun; whether they belong there is not asked."""
    place, equals, value = change.partition("=")
    *sections, name = place.split(".")
    expected = "Expected a field and its value: schedule.steps=100"
    if not equals:
        raise DataError(f"can't set {change!r}: it has no =. {expected}")
    try:
        for section in sections:
            fields = fields[int(section)] if isinstance(fields, list) else fields.setdefault(section, {})
        fields[int(name) if isinstance(fields, list) else name] = yaml.safe_load(value)
    except (ValueError, IndexError, TypeError, AttributeError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"can't set {change!r}: {reason}. {expected}") from None
