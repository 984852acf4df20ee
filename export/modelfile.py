"""Writing model files."""

from pathlib import Path

import onnx

from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.manifest import METADATA_KEY, Manifest
from vesselrt.runtime.modelfile import read_manifest, seal


def write_model_file(model: onnx.ModelProto, manifest: Manifest, path: Path) -> Manifest:
    """Writes a graph with its manifest, and returns the manifest as it is in the file, with the hash of the content.

    The file appears as it is written: write a draft, and move it.
    """
    unsealed = manifest.model_copy(update={"content_sha256": "0" * 64})
    onnx.helper.set_model_props(model, {METADATA_KEY: unsealed.to_json()})
    content, digest = seal(model.SerializeToString())
    path.write_bytes(content)
    return manifest.model_copy(update={"content_sha256": digest})


def record_metrics(path: Path, metrics: dict[str, dict[str, float]]) -> None:
    """Adds measured figures (data set → metric → value) to the manifest of a model file; the graph stays as it is."""
    manifest = read_manifest(path)
    merged = {**manifest.provenance.metrics, **metrics}
    provenance = manifest.provenance.model_copy(update={"metrics": merged})
    with atomic_write(path) as name:
        write_model_file(onnx.load(path), manifest.model_copy(update={"provenance": provenance}), name)
