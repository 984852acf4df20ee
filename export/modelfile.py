"""Writing model files."""

from pathlib import Path

import onnx

from vesselrt.runtime.manifest import METADATA_KEY, Manifest


def write(model: onnx.ModelProto, manifest: Manifest, path: Path) -> None:
    """Writes a graph with its manifest. The file appears as it is written: write a draft, and move it."""
    onnx.helper.set_model_props(model, {METADATA_KEY: manifest.to_json()})
    onnx.save(model, path)
