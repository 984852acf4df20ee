"""What the JSON of every measurement begins with, and how it is written."""

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from json import dumps
from pathlib import Path
from typing import Any

from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import loaded_file, sha256


@dataclass(frozen=True)
class JsonReport:
    """A dataclass that is written as JSON: its fields are the keys."""

    def to_json(self) -> str:
        """All figures, unrounded."""
        return dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)

    def write(self, path: Path | None) -> None:
        """Writes the JSON, whole or not at all; None: nowhere. Raises OSError."""
        if path is not None:
            with atomic_write(path) as name:
                name.write_text(self.to_json() + "\n", "utf-8")


@dataclass(frozen=True, kw_only=True)
class MeasurementReport(JsonReport):
    """What is needed to understand figures. Times are in milliseconds, unless a name says otherwise."""

    schema: int
    date: str
    """UTC, ISO 8601."""
    machine: dict[str, Any]
    """cpu, cores (that may be used), os, load (average over the minute before the start, where the system tells); of
    `vesselrt bench` also what `machine_facts` tells."""
    versions: dict[str, str]
    """Package → version."""
    model: dict[str, str | float]
    """name, version, sha256 (of the file), threshold."""


def report_head(
    schema: int, where: Mapping[str, Any], model: Path, manifest: Manifest, versions: dict[str, str]
) -> dict[str, Any]:
    """The fields of `MeasurementReport`.

    `where`: what `machine` told before the start, so that its load is that of others. `versions`: of packages that
    bear on the figures, beside vesselrt and Python.
    """
    return {
        "schema": schema,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": dict(where),
        "versions": {
            "vesselrt": version("vesselrt"),
            "python": sys.version.split()[0],
            **versions,
        },
        "model": describe_model_file(model, manifest),
    }


def describe_model_file(path: Path, manifest: Manifest) -> dict[str, str | float]:
    """As in `MeasurementReport.model`."""
    return {
        "name": manifest.name,
        "version": manifest.version,
        "sha256": sha256(loaded_file(path, manifest)),
        "threshold": manifest.threshold,
    }
