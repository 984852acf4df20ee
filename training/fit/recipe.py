"""A recipe: everything that makes a model, in one short YAML file. It is checked before anything runs."""

import importlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from vesselrt.runtime.errors import DataError, first_line
from vesselrt.runtime.manifest import ClassFacts, Facts, Input, Precision, Preparation, Tile, explain
from vesselrt.training.data.classes import ClassMarks, ClassRules
from vesselrt.training.data.finding import Kind, list_samples
from vesselrt.training.data.samples import Sample
from vesselrt.training.data.splits import Split
from vesselrt.training.fit.patches import Patches
from vesselrt.training.fit.stages import FinalSchedule, FirstSchedule, Stage
from vesselrt.training.synthetic.cameras import CameraFamily

logger = logging.getLogger(__name__)

BUILT_IN = Path(__file__).parent.parent / "recipes"
"""NAME.yaml of each recipe that vesselrt has."""

_OLD_NAMES = {
    ("cameras", "foreign"): "simulated_share",
    ("cameras", "stroke"): "annotation_widening",
    ("cameras", "hand"): "outline_smoothing",
    ("final", "foreign"): "simulated_share",
}
"""Section and old name of a field → its name now. Old names are read for one more version."""


class DataSet(Facts):
    """A data set of the recipe, its folder relative to `--data`."""

    kind: Kind
    path: Path
    name: str
    terms: str
    classes: dict[str, ClassMarks] | None = None
    """How classes are marked there, each by colours, labels, masks or names; null: as its dataset.json says, or, of
    arteries and veins, as its authors published it."""
    ignore: ClassMarks | None = None
    """Beside `classes`: how pixels are marked that don't count."""
    background: ClassMarks | None = None
    """Beside `classes`: how pixels of none of them are marked; null: black, or label 0."""

    def samples(self, root: Path, split: Split) -> list[Sample]:
        rules = (
            None
            if self.classes is None
            else ClassRules(classes=self.classes, ignore=self.ignore, background=self.background)
        )
        return list_samples(self.kind, root / self.path, split, rules)


class NetworkFactory(Facts):
    """The network to train, named and not defined: any importable module will do."""

    factory: str
    """`package.module:callable`, called with `arguments`; returns a torch.nn.Module that gives logits."""
    arguments: dict[str, Any] = {}

    def build(self, *, fresh: bool = True) -> Any:
        """Builds the network. `fresh` False: its weights will be replaced, so an argument `pretrained` becomes false.

        Raises DataError when the factory can't be imported or called, or fails.
        """
        module, _, name = self.factory.partition(":")
        spared = {"pretrained": False} if not fresh and "pretrained" in self.arguments else {}
        try:
            return getattr(importlib.import_module(module), name)(**{**self.arguments, **spared})
        except DataError:
            raise
        except Exception as error:  # noqa: BLE001 - the user's own code may raise anything
            raise DataError(
                f"network {self.factory} can't be built: {first_line(error)}. Expected package.module:callable."
            ) from None


class LossWeights(Facts):
    """Weighted sum of cross-entropy and Dice loss, both on soft truth; of several classes the mean over them."""

    cross_entropy: Annotated[float, Field(ge=0)] = 1.0
    dice: Annotated[float, Field(ge=0)] = 0.5
    thin: Annotated[float, Field(ge=0)] = 0.0
    """Further weight in the cross-entropy of the truth's thin vessels, which have few pixels."""


class Distillation(Facts):
    """A model that the network learns from, beside the truth (Hinton et al., 2015).

    The teacher sees the same crop as the network, changed by the same simulated camera. It runs in the processes that
    draw crops.
    """

    teacher: str
    """Name of a built-in model or path of a model file, of the recipe's preparation."""
    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """In the first stage: share of the truth that is the teacher's probability. The rest is the annotation."""
    turned: bool = False
    """Show the teacher each crop flipped and turned at random: over many steps, that is the mean of all eight ways."""
    inherit: bool = False
    """Begin with the teacher's weights, where both are a VesselNet of the same widths."""


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
    classes: tuple[ClassFacts, ...] = (ClassFacts(name="vessel"),)
    """Those that the network tells apart, in the order of its channels: names, or as in a manifest."""
    exclusive: bool = False
    """Whether a pixel belongs to one class at most. Then the network ends in a softmax and has a channel more, the
    first, for the background; else in a sigmoid for each class."""
    network: NetworkFactory
    start: str | None = None
    """Built-in model or model file whose weights a VesselNet of the same shape begins with; None: at random."""
    cameras: CameraFamily = CameraFamily()
    patches: Patches | None = None
    """Train on patches of the prepared photographs instead of crops through simulated cameras."""
    held_out_cameras: bool = True
    """Validate also on simulated cameras that training never uses."""
    loss: LossWeights = LossWeights()
    distillation: Distillation | None = None
    schedule: FirstSchedule
    final: tuple[FinalSchedule, ...] = ()
    """One after the other."""
    calibrated: bool = True
    """Shift the probabilities so that validation finds 0.5 the right threshold; of several classes, find the threshold
    of each."""
    precision: Literal["auto", "f32", "bf16", "fp16"] = "auto"
    """Of the training's arithmetic. `auto`: the fastest that the device computes itself."""
    tolerance: dict[Precision, Annotated[float, Field(gt=0)]] = {"f32": 1e-4, "bf16": 0.3}
    """Largest difference in probability between the exported file and the PyTorch network."""

    @field_validator("final", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        """A single stage may be written without a list, and none as null."""
        return [] if value is None else [value] if isinstance(value, dict) else value

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(facts.name for facts in self.classes)

    @property
    def logit_count(self) -> int:
        """Channels that the network gives."""
        return len(self.classes) + self.exclusive

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The first stage, then the final ones."""
        share = self.distillation.share if self.distillation else 0.0
        first = Stage(
            number=0,
            schedule=self.schedule,
            seed=self.seed,
            splits=("train",),
            simulated_share=self.cameras.simulated_share,
            thin=self.loss.thin,
            teacher_share=share,
            plateau=self.schedule.plateau,
            patience=self.schedule.patience,
        )
        later = (
            Stage(
                number=number,
                schedule=final,
                seed=self.seed + number,
                splits=("train", "validation"),
                simulated_share=final.simulated_share,
                thin=final.thin,
                teacher_share=final.distilled,
                second_observer=final.second_observer,
            )
            for number, final in enumerate(self.final, start=1)
        )
        return first, *later

    @property
    def outcome(self) -> str:
        """The file of a run's folder that holds the weights to export."""
        return self.stages[-1].weights_file

    @model_validator(mode="after")
    def _is_consistent(self) -> "Recipe":
        if self.start is not None and self.distillation is not None and self.distillation.inherit:
            raise ValueError("start and distillation.inherit both say what the network begins with. Leave out one")
        if self.preparation.normalise is not None:
            raise ValueError("preparation.normalise is for networks that were trained elsewhere. Leave it out")
        channels = 1 if self.preparation.channels == "green" else 3
        if not len(self.input.mean) == len(self.input.std) == channels:
            raise ValueError(f"input.mean and input.std need {channels} value(s), one a channel")
        if self.distillation is None and any(stage.distilled for stage in self.final):
            raise ValueError("final.distilled needs a teacher: name one in distillation")
        self._check_classes()
        names = [data_set.name for data_set in self.data]
        if twins := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"data sets that share a name: {', '.join(twins)}. Give each its own")
        return self

    def _check_classes(self) -> None:
        if not self.classes or len(set(self.class_names)) < len(self.classes):
            raise ValueError(f"classes need different names, and one at least, not: {', '.join(self.class_names)}")
        several = len(self.classes) > 1
        if self.exclusive and not several:
            raise ValueError("exclusive is for several classes: name them in classes, or leave it out")
        if several and self.distillation is not None and self.distillation.inherit:
            raise ValueError("distillation.inherit is for one class: set it to false, and the answers still teach")
        if several and any(stage.second_observer for stage in self.final):
            raise ValueError("final.second_observer is for one class: a second observer tells vessels alone")

    @classmethod
    def read(cls, path: Path, changes: Sequence[str] = ()) -> "Recipe":
        """Reads a file. `changes`: fields to set in it, each "schedule.steps=100", the value as YAML.

        A run's recipe.json is read as JSON, because YAML takes 1e-6 for a text.

        Raises DataError that names each unknown, missing or wrong field.
        """
        try:
            text = path.read_text("utf-8")
            fields = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise DataError(f"{path}: not a readable recipe ({error})") from None
        for section, field in _OLD_NAMES:
            _rename_field(path, fields, section, field)
        for change in changes:
            _apply_change(change, fields)
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            raise DataError(f"{path}: not a valid recipe: {explain(error)}") from None


def _rename_field(path: Path, fields: Any, section: str, field: str) -> None:
    """Gives a field that still has its old name in a file the name that it has now, in place, with a warning."""
    part = fields.get(section) if isinstance(fields, dict) else None
    for stage in part if isinstance(part, list) else [part]:
        if isinstance(stage, dict) and field in stage:
            name = _OLD_NAMES[section, field]
            if name in stage:
                raise DataError(f"{path}: {section} has {field} and {name}, which are one. Take out {field}.")
            stage[name] = stage.pop(field)
            _warn_of_old_name(str(path), section, field)


def _warn_of_old_name(place: str, section: str, field: str) -> None:
    now = f"{section}.{_OLD_NAMES[section, field]}"
    logger.warning(f"{place}: {section}.{field} is now {now}. Rename it: the next version will not read the old name.")


def _apply_change(change: str, fields: Any) -> None:
    """Sets one field, in place. Missing sections are added; validation comes later."""
    place, equals, value = change.partition("=")
    *sections, name = place.split(".")
    expected = "Expected a field and its value: schedule.steps=100"
    if sections and (sections[0], name) in _OLD_NAMES:
        _warn_of_old_name(f"--set {place}", sections[0], name)
        name = _OLD_NAMES[sections[0], name]
    if not equals:
        raise DataError(f"can't set {change!r}: it has no =. {expected}")
    try:
        for section in sections:
            fields = fields[int(section)] if isinstance(fields, list) else fields.setdefault(section, {})
        fields[int(name) if isinstance(fields, list) else name] = yaml.safe_load(value)
    except (ValueError, IndexError, TypeError, AttributeError, yaml.YAMLError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"can't set {change!r}: {reason}. {expected}") from None
