"""The file of a run that holds the threshold of each class. Export reads it too, so nothing heavy is imported here."""

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from vesselrt.runtime.errors import DataError
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.manifest import explain

_NAME = "thresholds.json"
_FOUND = TypeAdapter(dict[str, float])


def write_thresholds(thresholds: dict[str, float], run: Path) -> None:
    """Class → threshold, into a run's folder. Raises OSError."""
    with atomic_write(run / _NAME) as path:
        path.write_text(json.dumps(thresholds, indent=1), "utf-8")


def read_thresholds(run: Path) -> dict[str, float]:
    """Class → the threshold that calibration found; of one class, or without calibration, none. Raises DataError."""
    path = run / _NAME
    try:
        return _FOUND.validate_json(path.read_bytes()) if path.exists() else {}
    except ValidationError as error:
        raise DataError(f"{path}: not what training writes: {explain(error)}") from None
