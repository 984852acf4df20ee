"""Where a network to export comes from: a training run, a file or folder of another library, or anybody's module.

A source is told by what it is:

    folder with recipe.json                        training run
    folder with configs/                           MONAI bundle
    folder with config.json, model.safetensors     segmentation_models_pytorch
    file .pt2                                      torch.export
    package.module:callable                        any torch.nn.Module

What a source does not tell of its manifest is asked for, in a YAML file. Nothing is unpickled and no code of a source
runs, but that of a callable which the user names.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from torch import nn

from vesselrt.export.graph import Found, Output, fill, hash_weights, load_weights
from vesselrt.export.sources import bundle, program, smp
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import DataError, ManifestError, OptionError
from vesselrt.runtime.manifest import DataSource, Manifest, Provenance, explain
from vesselrt.training.fit.recipe import BUILT_IN, Network, Recipe

_PARITY_PHOTOGRAPHS = 2  # of each data set's validation part
T = TypeVar("T")


class _Entry(BaseModel):
    """One validation."""

    step: int


_HASHES = TypeAdapter(dict[str, tuple[str, ...]])  # by data set
_HISTORY = TypeAdapter(list[_Entry])
_TEACHER: TypeAdapter[Manifest | None] = TypeAdapter(Manifest)


@dataclass(frozen=True)
class Source:
    """A network ready to be exported."""

    network: nn.Module
    manifest: Manifest
    photographs: list[Image]
    shift: float = 0.0
    """Calibration: added to the logits."""
    output: Output = "logits"
    """What the network gives, as far as its source tells."""


def find(name: str, weights: Path | None = None, manifest: Path | None = None, data: Path | None = None) -> Source:
    """The source of a name. `weights` belong to a callable or a bundle, `data` to a run, `manifest` to all but a run.

    Raises OptionError for what is none, or for an option that does not belong to it; DataError, ManifestError or
    MissingExtraError where the source itself can't be used.
    """
    path = Path(name)
    if (path / "recipe.json").is_file():
        _refuse(f"{name} is a training run", weights=weights, manifest=manifest)
        _reach_own_modules()
        return from_run(path, data)
    _refuse(f"{name} is no training run", data=data)
    if bundle.is_bundle(path):
        return _described(bundle.read(path, weights), manifest, name)
    if smp.is_checkpoint(path) or path.suffix == program.SUFFIX:
        _refuse(f"{name} holds its weights", weights=weights)
        read = program.read if path.suffix == program.SUFFIX else smp.read
        return _described(read(path), manifest, name)
    if path.exists() or ":" not in name:
        raise OptionError(
            f"{name}: nothing that can be exported. Expected a training run (recipe.json), a MONAI bundle (configs/), "
            "a folder of segmentation_models_pytorch (config.json, model.safetensors), a .pt2 file of torch.export, or "
            "package.module:callable."
        )
    if weights is None or manifest is None:
        raise OptionError(f"{name}: a callable needs --weights and --manifest. See: vesselrt export --help")
    _reach_own_modules()
    return from_network(name, weights, manifest)


def _reach_own_modules() -> None:
    """They lie where the command is run. No other source may import from there: none of its code is to run."""
    sys.path.append(str(Path.cwd()))


def _refuse(what: str, **options: Path | None) -> None:
    """Raises OptionError for an option that is given and does not belong to a source."""
    for option, value in options.items():
        if value is not None:
            raise OptionError(f"{what}, and --{option} does not belong to it. Leave it out.")


def from_run(run: Path, data: Path | None) -> Source:
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
    fill(network, weights, best)
    hashes, steps = _kept(run / "photographs.json", _HASHES, {}), _steps(run, recipe)
    teacher = _kept(run / "teacher.json", _TEACHER, None)
    manifest = Manifest(
        name=recipe.name,
        version=recipe.version,
        licence=recipe.licence,
        description=recipe.description,
        preparation=recipe.preparation,
        input=recipe.input,
        tile=recipe.tile,
        tolerance=recipe.tolerance,
        provenance=Provenance(
            recipe=", ".join(
                [
                    f"{recipe.name} {recipe.version}, seed {recipe.seed}, {steps} steps, calibration {shift:+.3f}",
                    *([f"taught by {teacher.name} {teacher.version}"] if teacher else []),
                    *_changes(recipe),
                ]
            ),
            data=_with_taught(
                tuple(
                    DataSource(name=d.name, split="train", terms=d.terms, photographs=hashes.get(d.name, ()))
                    for d in recipe.data
                ),
                teacher,
            ),
            weights_sha256=hash_weights(weights),
            commit=_commit(),
        ),
    )
    photographs = []
    if data is not None:
        for data_set in recipe.data:
            photographs += [s.read_image() for s in data_set.samples(data, "validation")[:_PARITY_PHOTOGRAPHS]]
    return Source(network, manifest, photographs, shift)


def _with_taught(own: tuple[DataSource, ...], teacher: Manifest | None) -> tuple[DataSource, ...]:
    """And the teacher's data sets: a network that never saw them learned from them."""
    known = {photograph for data in own for photograph in data.photographs}
    taught = teacher.provenance.data if teacher else ()
    return (*own, *(data for data in taught if not data.photographs or not known.issuperset(data.photographs)))


def from_network(factory: str, weights: Path, manifest: Path) -> Source:
    """Any module: `factory` is package.module:callable. What it gives is the user's to say.

    Raises DataError or ManifestError that name the part which does not fit.
    """
    network = Network(factory=factory).build()
    if not isinstance(network, nn.Module):
        raise DataError(f"network {factory} gives a {type(network).__name__}. Expected a torch.nn.Module.")
    state, shift = load_weights(weights)
    fill(network, state, weights)
    checked = Manifest.from_fields(_fields(manifest), source=str(manifest))
    return Source(network, _hashed(checked, hash_weights(state)), [], shift or 0.0)


def _described(found: Found, manifest: Path | None, source: str) -> Source:
    """Completes what a source tells of its manifest by what the user's YAML says, which goes before.

    Raises DataError or ManifestError that names what is missing or does not fit.
    """
    fields = found.facts if manifest is None else _merged(found.facts, _fields(manifest))
    missing = _missing(fields)
    if missing:
        raise ManifestError(
            f"{manifest or source} does not say: {', '.join(missing)}. "
            + ("Add it there." if manifest else "Write it in a YAML file, and name that with --manifest.")
        )
    checked = Manifest.from_fields(fields, source=str(manifest or source))
    if found.channels not in (None, checked.channel_count):
        raise DataError(
            f"{source}: its network takes {found.channels} channel(s), and preparation.channels is "
            f"{checked.preparation.channels}. Expected rgb for 3, green for 1: say it in --manifest."
        )
    return Source(found.network, _hashed(checked, hash_weights(found.weights)), [], output=found.output)


def _fields(manifest: Path) -> Any:
    try:
        return yaml.safe_load(manifest.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{manifest}: not a readable manifest ({error})") from None


def _merged(known: dict[str, Any], said: Any) -> Any:
    """`said` over `known`, part by part."""
    if not isinstance(said, dict):
        return said
    parts = {
        k: {**known[k], **v} if isinstance(v, dict) and isinstance(known.get(k), dict) else v for k, v in said.items()
    }
    return {**known, **parts}


def _missing(fields: Any) -> list[str]:
    """Names of the fields that a manifest needs and that are not there."""
    try:
        Manifest.model_validate(fields)
    except ValidationError as error:
        return [".".join(map(str, e["loc"])) for e in error.errors() if e["type"] == "missing"]
    return []


def _hashed(manifest: Manifest, digest: str) -> Manifest:
    provenance = manifest.provenance.model_copy(update={"weights_sha256": digest})
    return manifest.model_copy(update={"provenance": provenance})


def _kept(path: Path, kind: TypeAdapter[T], absent: T) -> T:
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
    history = _kept(run / "history.json", _HISTORY, [])
    first = history[-1].step if history else recipe.schedule.steps
    return first + sum(stage.steps for stage in recipe.final)


def _commit() -> str:
    """Of the checkout that exports, which need not be the one that trained; empty outside of one, or in another's."""
    package = Path(__file__).resolve().parent
    command = ["git", "-C", str(package), "rev-parse", "--show-toplevel", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    root, _, commit = done.stdout.strip().partition("\n")
    return commit if commit and Path(root) == package.parent else ""
