"""What is checked before a run begins: that the network fits, and that no test photograph is trained on."""

from collections.abc import Callable, Collection
from pathlib import Path

import torch
from torch import Tensor, nn

from vesselrt.runtime.errors import DataError, first_line
from vesselrt.training.data.finding import has_test_split, list_unchecked_samples
from vesselrt.training.data.samples import hash_photograph_and_pixels
from vesselrt.training.data.splits import Split
from vesselrt.training.fit.distillation import Ancestor
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.validation import normalise_pixels

_TRAINED_ON: tuple[Split, ...] = ("train", "validation")


def check_network(recipe: Recipe) -> None:
    """Raises DataError unless the network takes the crops of every stage, and gives the logits of each of their pixels.

    It is tried on one that is built for this alone: the one to train keeps its batch statistics.
    """
    name, network = f"network {recipe.network.factory}", recipe.network.build(fresh=False)
    if not isinstance(network, nn.Module):
        raise DataError(f"{name} gives a {type(network).__name__}. Expected a torch.nn.Module.")
    if not any(weight.requires_grad for weight in network.parameters()):
        raise DataError(f"{name} has no weights to train. Name another.")
    for stage in recipe.stages:
        batch, side = min(2, stage.schedule.batch), stage.schedule.crop
        shape, expected = (batch, len(recipe.input.mean), side, side), (batch, recipe.logit_count, side, side)
        window = normalise_pixels(torch.zeros(shape, dtype=torch.uint8), recipe)
        try:
            with torch.no_grad():
                logits = network.train()(window)
        except Exception as error:  # noqa: BLE001 - the user's own code may raise anything
            raise DataError(
                f"{name} does not take crops of shape {shape}: {first_line(error)}. Mend crop or the network's "
                "arguments."
            ) from None
        given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        if given != expected:
            raise DataError(f"{name} makes {given} of crops of shape {shape}. Expected logits of shape {expected}.")


def hash_photographs(
    recipe: Recipe, data: Path, ancestors: Collection[Ancestor], report: Callable[[str], None]
) -> dict[str, list[str]]:
    """Data set → `hash_photograph` of each photograph to train on or to choose by. Reports how many of the latter an
    ancestor was trained on, or chosen by.

    Raises DataError when one of them, or one that an ancestor was trained on, is a photograph of a test split, under
    whatever name and in whatever lossless file.
    """
    held_out: dict[str, Path] = {}
    for data_set in recipe.data:
        if has_test_split(data_set.kind, data / data_set.path):
            for sample in list_unchecked_samples(data_set.kind, data / data_set.path, "test"):
                held_out |= dict.fromkeys(hash_photograph_and_pixels(sample.image), sample.image)
    for ancestor in ancestors:
        if known := next((held_out[h] for h in ancestor.photographs if h in held_out), None):
            raise DataError(f"{known}: a test photograph, and {ancestor.path} was trained on it. Name another model.")
    used: dict[str, list[str]] = {}
    validation: set[str] = set()
    for data_set in recipe.data:
        used[data_set.name] = []
        root = data / data_set.path
        for split, sample in ((p, s) for p in _TRAINED_ON for s in list_unchecked_samples(data_set.kind, root, p)):
            found = hash_photograph_and_pixels(sample.image)
            if twin := next((held_out[h] for h in found if h in held_out), None):
                raise DataError(f"{sample.image} is the test photograph {twin}. Take it out of what is trained on.")
            used[data_set.name].append(found[0])
            if split == "validation":
                validation.add(found[0])
    for ancestor in ancestors:
        if seen := len(validation & ancestor.photographs):
            model = f"{ancestor.manifest.name} {ancestor.manifest.version}"
            report(f"{model} has seen {seen} of the validation photographs: scores on them may be too good")
    return used
