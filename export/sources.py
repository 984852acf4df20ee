"""Where a network to export comes from: a training run, or anybody's module with its weights and manifest."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml
from torch import nn

from vesselrt.export.graph import fill, hash_weights, load_weights
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import DataSource, Manifest, Provenance
from vesselrt.runtime.preparation import Image
from vesselrt.training.recipe import Network, Recipe

_PARITY_PHOTOGRAPHS = 2  # of each data set's validation part


@dataclass(frozen=True)
class Source:
    """A network ready to be exported."""

    network: nn.Module
    manifest: Manifest
    photographs: list[Image]
    shift: float
    """Calibration: added to the logits."""


def from_run(run: Path, data: Path | None) -> Source:
    """The weights that a training run ended with; parity is measured on validation photographs, where `data` has them.

    Raises DataError when the folder holds no run, or one that has not come to its end.
    """
    kept = run / "recipe.json"
    if not kept.is_file():
        raise DataError(f"{run}: no training run (recipe.json). Make one with: vesselrt train")
    recipe = Recipe.read(kept)
    best = run / ("best.pt" if recipe.final is None else "final.pt")
    if not best.is_file():
        raise DataError(f"{run}: the run has no {best.name} yet. Go on with it by: vesselrt train --run {run}")
    network: nn.Module = recipe.network.build()
    weights, shift = load_weights(best)
    fill(network, weights, best)
    steps = recipe.schedule.steps + (recipe.final.steps if recipe.final else 0)
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
            recipe=f"{recipe.name} {recipe.version}, seed {recipe.seed}, {steps} steps, calibration {shift:+.3f}",
            data=tuple(DataSource(name=d.name, split="train", terms=d.terms) for d in recipe.data),
            weights_sha256=hash_weights(weights),
            commit=_commit(),
        ),
    )
    photographs = []
    if data is not None:
        for data_set in recipe.data:
            photographs += [s.read_image() for s in data_set.samples(data, "validation")[:_PARITY_PHOTOGRAPHS]]
    return Source(network, manifest, photographs, shift)


def from_network(factory: str, weights: Path, manifest: Path) -> Source:
    """Any module: `factory` is package.module:callable, its output are logits (N, K, H, W).

    Raises DataError or ManifestError that name the part which does not fit.
    """
    network = Network(factory=factory).build()
    if not isinstance(network, nn.Module):
        raise DataError(f"network {factory} gives a {type(network).__name__}. Expected a torch.nn.Module.")
    state, shift = load_weights(weights)
    fill(network, state, weights)
    try:
        fields = yaml.safe_load(manifest.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{manifest}: not a readable manifest ({error})") from None
    checked = Manifest.from_fields(fields, source=str(manifest))
    provenance = checked.provenance.model_copy(update={"weights_sha256": hash_weights(state)})
    return Source(network, checked.model_copy(update={"provenance": provenance}), [], shift)


def _commit() -> str:
    """The commit of the checkout that exports; empty outside of one."""
    command = ["git", "-C", str(Path(__file__).resolve().parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
