"""The manifest of a model that needs nothing special: a test names what it is about, and no more."""

from typing import Any

from vesselrt.runtime.manifest import Manifest


def make_manifest(**changed: Any) -> Manifest:
    """A model that reads the green channel at its own resolution, in tiles of 64 px; `changed`: fields as in JSON."""
    fields = {
        "name": "test",
        "version": "1",
        "licence": "none",
        "description": "For this test.",
        "preparation": {"channels": "green"},
        "input": {"mean": [0.0], "std": [1.0]},
        "tile": {"size": 64, "multiple": 16, "margin": 16},
    }
    return Manifest.from_fields(fields | changed, source="test")
