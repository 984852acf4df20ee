"""`vesselrt models`, `info` and `engine info`: what a model, an engine or an ONNX file is."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vesselrt.cli.console import needs_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vesselrt.runtime.engines.enginefile import Engine
    from vesselrt.runtime.manifest import Manifest, Preparation
    from vesselrt.runtime.modelproto import GraphValue


AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, for programs.")]


def models(as_json: AsJson = False) -> None:
    """List the built-in models and what their manifests say."""
    from vesselrt.runtime.modelfile import list_models

    if as_json:
        typer.echo(json.dumps({name: m.model_dump(mode="json") for name, m in list_models().items()}, indent=2))
        return
    for manifest in list_models().values():
        typer.echo(describe_model(manifest))


def info(
    file: Annotated[str, typer.Argument(help="Model file, built-in model, engine file, or any ONNX file.")],
    as_json: AsJson = False,
) -> None:
    """Say what a file is, what it takes and gives, and what to do with it next."""
    from vesselrt.runtime.engines.enginefile import is_engine
    from vesselrt.runtime.modelfile import find_model_file, has_manifest

    path = find_model_file(file)
    if is_engine(path):
        facts, text = _engine_facts(path)
    elif has_manifest(path):
        facts, text = _model_facts(path, file)
    else:
        facts, text = _graph_facts(path)
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    lines = [text, f"  file       {facts['bytes'] / 1e6:.1f} MB, sha256 {facts['sha256']}"]
    lines += [f"  {'next' if not i else '':<10} {line}" for i, line in enumerate(facts["next"])]
    typer.echo("\n".join(lines))


def _file_facts(kind: str, path: Path) -> dict[str, Any]:
    from vesselrt.runtime.modelfile import sha256

    return {"kind": kind, "file": str(path), "bytes": path.stat().st_size, "sha256": sha256(path)}


def _engine_facts(path: Path) -> tuple[dict[str, Any], str]:
    from vesselrt.runtime.engines.enginefile import read_engine
    from vesselrt.runtime.engines.preflight import find_obstacles

    engine = read_engine(path)
    obstacles = find_obstacles(engine)
    facts = _file_facts("engine", path) | {
        "precision": engine.manifest.precision,
        "manifest": engine.manifest.model_dump(mode="json"),
        "engine": engine.header.model_dump(mode="json"),
        "runs_here": not obstacles,
        "next": [f"vesselrt predict photo.jpg --model {path}"],
    }
    return facts, f"{describe_engine(engine)}\n{_describe_obstacles(obstacles)}"


def _model_facts(path: Path, named: str) -> tuple[dict[str, Any], str]:
    """Of a model file. Needs no library of ONNX."""
    from vesselrt.runtime.modelfile import read_manifest
    from vesselrt.runtime.modelproto import read_model_head

    manifest, head = read_manifest(path), read_model_head(path.read_bytes())
    inputs, outputs = ([_described(value)] for value in head.values)
    facts = _file_facts("model", path) | {"opset": head.opset, "inputs": inputs, "outputs": outputs}
    facts |= {"precision": manifest.precision, "manifest": manifest.model_dump(mode="json")}
    facts["next"] = [f"vesselrt predict photo.jpg --model {named}"]
    if manifest.precision == "f32":
        facts["next"].append(f"vesselrt convert {named} --photos photo.jpg -o {path.stem}-fp16.onnx")
    return facts, "\n".join([describe_model(manifest), *_describe_ends(facts)])


def _described(value: "GraphValue") -> dict[str, Any]:
    """As `graph_ends` describes an input or output."""
    shape = ["?" if axis is None else axis for axis in value.axes]
    return {"name": value.name, "type": value.type.removeprefix("tensor(").removesuffix(")"), "shape": shape}


def _graph_facts(path: Path) -> tuple[dict[str, Any], str]:
    """Of an ONNX file without a manifest."""
    with needs_extra("vesselrt info of a foreign ONNX file", "engines"):
        from vesselrt.export.sources.onnxfile import graph_ends, opset_of, read_graph

    model = read_graph(path)
    inputs, outputs = graph_ends(model)
    facts = _file_facts("onnx", path) | {"opset": opset_of(model), "inputs": inputs, "outputs": outputs}
    picked = f" --pick {outputs[0]['name']}" if len(outputs) > 1 else ""
    facts["next"] = [f"vesselrt export {path} -m manifest.yaml{picked} -o {path.stem}-model.onnx"]
    maker = f" of {model.producer_name} {model.producer_version}".rstrip() if model.producer_name else ""
    return facts, "\n".join([f"{path}: an ONNX file{maker}, without a manifest", *_describe_ends(facts)])


def _describe_ends(facts: dict[str, Any]) -> list[str]:
    """What a graph takes and gives."""
    ends = [
        f"  {kind:<10} {end['name']} {end['type']} ({', '.join(map(str, end['shape']))})"
        for kind, group in (("takes", facts["inputs"]), ("gives", facts["outputs"]))
        for end in group
    ]
    return [*ends, f"  opset      {facts['opset']}"]


def engine_info(file: Annotated[Path, typer.Argument(help="Engine file.")]) -> None:
    """Say what an engine file is, and whether this machine can run it."""
    from vesselrt.runtime.engines.enginefile import read_engine
    from vesselrt.runtime.engines.preflight import find_obstacles

    engine = read_engine(file)
    typer.echo(describe_engine(engine))
    typer.echo(_describe_obstacles(find_obstacles(engine)))


def _describe_obstacles(found: "Sequence[str]") -> str:
    return "  here       " + ("does not run: " + " ".join(found) if found else "runs")


def describe_model(manifest: "Manifest") -> str:
    """A manifest for people: what the model is for, how it sees, what it was trained and measured on."""
    prepared, tile, provenance = manifest.preparation, manifest.tile, manifest.provenance
    lines = [
        f"{manifest.name} {manifest.version} ({manifest.licence})",
        f"  {manifest.description}",
        f"  input      {prepared.channels}, {_describe_scale(prepared)}; tiles of {tile.size} px, margin {tile.margin}",
        *([f"  normalised {prepared.normalise}, each photograph by its own values"] if prepared.normalise else []),
        *_describe_tiling(manifest),
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


def _describe_tiling(manifest: "Manifest") -> list[str]:
    """What export found out about tiles."""
    tile, found = manifest.tile, manifest.provenance.tiling
    if found is None:
        return []
    field = found.receptive_field
    seen = f"{field} px" if field is not None else "more than a quarter of a tile"
    exact = tile.blend == "exact" and field is not None and field <= tile.margin
    way = "exact" if exact else "blended" if tile.blend == "gaussian" else "cut at the margin"
    lines = [f"  tiles      {way}; the network sees {seen} around a pixel"]
    if found.flipped is not None:
        where = f"{found.photographs} photograph(s)" if found.photographs else "a drawn photograph"
        lines.append(
            f"             against the whole image: flipped {found.flipped:.2g}, largest_difference "
            f"{found.largest_difference:.2g} ({where})"
        )
    return lines


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
