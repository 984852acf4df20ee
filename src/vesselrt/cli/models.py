"""`vesselrt models` and `engine info`: what a model or an engine is, for people."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vesselrt.runtime.engines.enginefile import Engine
    from vesselrt.runtime.manifest import Manifest, Preparation


def models() -> None:
    """List the built-in models and what their manifests say."""
    from vesselrt.runtime.modelfile import list_models

    for manifest in list_models().values():
        typer.echo(describe_model(manifest))


def engine_info(file: Annotated[Path, typer.Argument(help="Engine file.")]) -> None:
    """Say what an engine file is, and whether this machine can run it."""
    from vesselrt.runtime.engines.enginefile import read_engine
    from vesselrt.runtime.engines.preflight import find_obstacles

    engine = read_engine(file)
    typer.echo(describe_engine(engine))
    found = find_obstacles(engine)
    typer.echo("  here       " + ("does not run: " + " ".join(found) if found else "runs"))


def describe_model(manifest: "Manifest") -> str:
    """A manifest for people: what the model is for, how it sees, what it was trained and measured on."""
    prepared, tile, provenance = manifest.preparation, manifest.tile, manifest.provenance
    lines = [
        f"{manifest.name} {manifest.version} ({manifest.licence})",
        f"  {manifest.description}",
        f"  input      {prepared.channels}, {_describe_scale(prepared)}; tiles of {tile.size} px, margin {tile.margin}",
        f"  threshold  {manifest.threshold}",
    ]
    if len(manifest.classes) > 1:
        named = zip(manifest.class_names, manifest.class_thresholds, strict=True)
        kind = "one a pixel" if manifest.exclusive else "they may overlap"
        lines[-1] = "  classes    " + ", ".join(f"{name} (threshold {least:g})" for name, least in named) + f"; {kind}"
    lines += [f"  precision  {manifest.precision}"] if manifest.precision != "f32" else []
    lines += [f"  data       {d.name} ({d.split}): {d.terms}" for d in provenance.data]
    for name, figures in provenance.metrics.items():
        lines.append(f"  measured   {name}: " + ", ".join(f"{k} {v:.4f}" for k, v in figures.items()))
    for precision, figures in provenance.parity.items():
        lines.append(f"  parity     {precision}: " + ", ".join(f"{k} {v:.2g}" for k, v in figures.items()))
    lines += [f"  recipe     {provenance.recipe}"] if provenance.recipe else []
    lines += [f"  weights    sha256 {provenance.weights_sha256[:16]}, commit {provenance.commit[:10] or 'unknown'}"]
    return "\n".join(lines)


def _describe_scale(prepared: "Preparation") -> str:
    if prepared.size is not None:
        return f"resized to {prepared.size[1]} × {prepared.size[0]} px"
    if isinstance(prepared.field_of_view, tuple):
        return "field of view scaled to {} to {} px".format(*prepared.field_of_view)
    return f"field of view scaled to {prepared.field_of_view} px" if prepared.field_of_view else "native resolution"


def describe_engine(engine: "Engine") -> str:
    """An engine for people: the model's manifest, and what was made of it."""
    from vesselrt.runtime.engines.enginefile import FLAVOUR_NAMES

    header, precision = engine.header, engine.manifest.precision
    least, tuned, most = header.profile.batch
    lines = [
        describe_model(engine.manifest),
        f"  engine     {FLAVOUR_NAMES[header.flavour]} {header.version} for {', '.join(header.targets)} in {precision}",
        f"  profile    tiles of {header.profile.tile} px, batch {least} to {most}, tuned for {tuned}",
        f"  made from  model file with sha256 {header.model_sha256[:16]}",
        f"  plan       {header.plan_size / 1e6:.1f} MB, sha256 {header.plan_sha256[:16]}",
    ]
    return "\n".join(lines)
