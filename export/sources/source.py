"""A network ready to be exported, and what its manifest needs beyond what the source tells."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vesselrt.export.head import Output
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import DataError, ManifestError
from vesselrt.runtime.manifest import Manifest


@dataclass(frozen=True)
class Found:
    """A network as a file or folder from elsewhere holds it."""

    network: Any
    """A torch.nn.Module, or an OnnxNetwork."""
    weights_sha256: str
    facts: dict[str, Any]
    """Those fields of a manifest that the file or folder tells."""
    channels: int | None
    """That the network takes; None where that is not told."""
    output: Output = "logits"


@dataclass(frozen=True)
class Source:
    """A network ready to be exported."""

    network: Any
    """A torch.nn.Module, or an OnnxNetwork."""
    manifest: Manifest
    photographs: list[Image]
    shift: float = 0.0
    """Calibration: added to the logits."""
    output: Output = "logits"
    """What the network gives, as far as its source tells."""
    untold: frozenset[str] = frozenset()
    """Fields of `manifest.tile` that neither source nor user told: export finds them."""


_FOUND_AT_EXPORT = {"multiple": 1, "margin": 0, "blend": "exact"}
"""Fields of a tile, and what stands there until then."""


def described_source(found: Found, manifest: Path | None, source: str) -> Source:
    """Completes what a source tells of its manifest by what the user's YAML says, which goes before.

    Raises DataError or ManifestError that names what is missing or does not fit.
    """
    fields = found.facts if manifest is None else _merged(found.facts, manifest_fields(manifest))
    fields, untold = with_whole_tile(fields)
    missing = _missing(fields)
    if missing:
        raise ManifestError(
            f"{manifest or source} does not say: {', '.join(missing)}. "
            + ("Add it there." if manifest else "Write it in a YAML file, and name that with --manifest.")
        )
    checked = Manifest.from_fields(fields, source=str(manifest or source))
    if found.channels not in (None, checked.colour_count):
        raise DataError(
            f"{source}: its network takes {found.channels} channel(s), and preparation.channels is "
            f"{checked.preparation.channels}. Expected rgb for 3, green for 1: say it in --manifest."
        )
    described = with_weights_hash(checked, found.weights_sha256)
    return Source(found.network, described, [], output=found.output, untold=untold)


def with_whole_tile(fields: Any) -> tuple[Any, frozenset[str]]:
    """The fields of a manifest with all of its tile that export finds, and the names of those that were not there."""
    tile = fields.get("tile") if isinstance(fields, dict) else None
    if not isinstance(tile, dict):
        return fields, frozenset()
    return {**fields, "tile": {**_FOUND_AT_EXPORT, **tile}}, frozenset(_FOUND_AT_EXPORT.keys() - tile.keys())


def manifest_fields(manifest: Path) -> Any:
    """What a YAML file says of a manifest, unchecked. Raises DataError."""
    try:
        return yaml.safe_load(manifest.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{manifest}: not a readable manifest ({error})") from None


def _merged(known: dict[str, Any], said: Any) -> Any:
    """`said` over `known`, part by part. A scale that is said takes the place of a size that is known, and the size of
    a tile that of its margin.
    """
    if not isinstance(said, dict):
        return said
    prepared = said.get("preparation")
    if isinstance(prepared, dict) and prepared.get("field_of_view") is not None and "size" not in prepared:
        known = {**known, "preparation": {k: v for k, v in known.get("preparation", {}).items() if k != "size"}}
    tile = said.get("tile")
    if isinstance(tile, dict) and "size" in tile:
        known = {**known, "tile": {k: v for k, v in known.get("tile", {}).items() if k != "margin"}}
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


def with_weights_hash(manifest: Manifest, digest: str) -> Manifest:
    """The manifest of weights whose SHA-256 is `digest`."""
    provenance = manifest.provenance.model_copy(update={"weights_sha256": digest})
    return manifest.model_copy(update={"provenance": provenance})
