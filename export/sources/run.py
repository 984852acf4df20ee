"""A training run: the weights that it ended with, and what it knows of them."""

import json
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from torch import nn

from vesselrt.export.sources.source import Source
from vesselrt.export.weights import fill_network, hash_weights, load_weights
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import ClassFacts, DataSource, Manifest, Provenance, explain
from vesselrt.training.fit.recipe import BUILT_IN, Recipe
from vesselrt.training.fit.thresholds import read_thresholds

_PARITY_PHOTOGRAPHS = 2  # of each data set's validation part
T = TypeVar("T")


class _Entry(BaseModel):
    """One validation."""

    step: int


_HASHES = TypeAdapter(dict[str, tuple[str, ...]])  # by data set
_HISTORY = TypeAdapter(list[_Entry])
_ANCESTOR: TypeAdapter[Manifest | None] = TypeAdapter(Manifest)


def source_from_run(run: Path, data: Path | None) -> Source:
    """The weights that a training run ended with; parity is measured on validation photographs, where `data` has them.

    Raises DataError when the folder holds no run, or one that has not come to its end.
    """
    kept = run / "recipe.json"
    if not kept.is_file():
        raise DataError(f"{run}: no training run (recipe.json). Make one with: vesselrt train")
    recipe = Recipe.read(kept)
    best = run / recipe.outcome
    further = f"Go on with it by: vesselrt train {kept} --data DATA --run {run}"
    if not best.is_file():
        raise DataError(f"{run}: the run has no {best.name} yet. {further}")
    weights, shift = load_weights(best)
    if shift is None:  # what training writes last
        raise DataError(f"{run}: the run has not come to its end, its {best.name} is not calibrated yet. {further}")
    network: nn.Module = recipe.network.build(fresh=False)
    fill_network(network, weights, best)
    manifest = _manifest(run, recipe, hash_weights(weights), shift)
    photographs = []
    if data is not None:
        for data_set in recipe.data:
            photographs += [s.read_image() for s in data_set.samples(data, "validation")[:_PARITY_PHOTOGRAPHS]]
    return Source(network, manifest, photographs, shift, "softmax" if recipe.exclusive else "logits")


def _manifest(run: Path, recipe: Recipe, weights_sha256: str, shift: float) -> Manifest:
    hashes = _read_kept(run / "photographs.json", _HASHES, {})
    teacher, start = (_read_kept(run / f"{name}.json", _ANCESTOR, None) for name in ("teacher", "start"))
    steps = _steps(run, recipe)
    told = f"{recipe.name} {recipe.version}, seed {recipe.seed}, {steps} steps, calibration {shift:+.3f}"
    ancestors = [
        f"{how} {ancestor.name} {ancestor.version}"
        for how, ancestor in (("from the weights of", start), ("taught by", teacher))
        if ancestor
    ]
    return Manifest(
        name=recipe.name,
        version=recipe.version,
        licence=recipe.licence,
        description=recipe.description,
        preparation=recipe.preparation,
        input=recipe.input,
        tile=recipe.tile,
        classes=_calibrated_classes(run, recipe),
        exclusive=recipe.exclusive,
        tolerance=recipe.tolerance,
        provenance=Provenance(
            recipe=", ".join([told, *ancestors, *_changes(recipe)]),
            data=_with_learned(
                tuple(
                    DataSource(name=d.name, split="train", terms=d.terms, photographs=hashes.get(d.name, ()))
                    for d in recipe.data
                ),
                [ancestor for ancestor in (teacher, start) if ancestor],
            ),
            weights_sha256=weights_sha256,
            commit=_commit(),
        ),
    )


def _calibrated_classes(run: Path, recipe: Recipe) -> tuple[ClassFacts, ...]:
    """The recipe's classes; of several each with the threshold that calibration found."""
    if len(recipe.classes) == 1:
        return recipe.classes
    found = read_thresholds(run)
    return tuple(c.model_copy(update={"threshold": found.get(c.name, c.threshold)}) for c in recipe.classes)


def _with_learned(own: tuple[DataSource, ...], ancestors: Iterable[Manifest]) -> tuple[DataSource, ...]:
    """And the data sets of the models that it comes from: a network that never saw them learned from them."""
    found = own
    for data in (data for ancestor in ancestors for data in ancestor.provenance.data):
        known = {photograph for other in found for photograph in other.photographs}
        if data not in found and not (data.photographs and known.issuperset(data.photographs)):
            found += (data,)
    return found


def _read_kept(path: Path, kind: TypeAdapter[T], absent: T) -> T:
    """What a run wrote there, or `absent` where it wrote nothing. Raises DataError."""
    try:
        return kind.validate_json(path.read_bytes()) if path.exists() else absent
    except ValidationError as error:
        raise DataError(f"{path}: not what training writes: {explain(error)}") from None


def _changes(recipe: Recipe) -> list[str]:
    """What differs from the built-in recipe of this name and version, as `--set` takes it; without one, nothing.

    Not the seed and the data: a manifest tells of these anyway, and not of where the data lay.
    """
    path = BUILT_IN / f"{recipe.name}.yaml"
    built_in = Recipe.read(path) if path.is_file() else recipe
    if built_in.version != recipe.version:
        return []
    was, now = (r.model_dump(mode="json", exclude={"seed", "data"}) for r in (built_in, recipe))
    return list(_differences(was, now))


def _differences(was: Any, now: Any, *place: str) -> Iterator[str]:
    """Each field that is not what it was, and its value as JSON; lists stay whole."""
    if isinstance(was, dict) and isinstance(now, dict):
        for name in {**was, **now}:
            yield from _differences(was.get(name), now.get(name), *place, name)
    elif was != now:
        yield f"{'.'.join(place)}={json.dumps(now, ensure_ascii=False)}"


def _steps(run: Path, recipe: Recipe) -> int:
    """Of the optimiser, as they were run: validation may have ended the first stage early."""
    history = _read_kept(run / "history.json", _HISTORY, [])
    first = history[-1].step if history else recipe.schedule.steps
    return first + sum(stage.steps for stage in recipe.final)


def _commit() -> str:
    """Of the checkout that exports, which need not be the one that trained; empty outside of one, or in another's."""
    package = Path(__file__).resolve().parents[1]
    command = ["git", "-C", str(package), "rev-parse", "--show-toplevel", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    root, _, commit = done.stdout.strip().partition("\n")
    return commit if commit and Path(root) == package.parent else ""
