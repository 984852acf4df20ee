"""Model files: an ONNX file that carries its manifest in its metadata."""

import hashlib
from pathlib import Path

import onnxruntime

from vesselrt.runtime.errors import ManifestError, ModelError, ModelNotFoundError
from vesselrt.runtime.manifest import METADATA_KEY, Manifest

_BUILT_IN = Path(__file__).parent / "models"
DEFAULT = "fundus"


def models() -> dict[str, Manifest]:
    """The built-in models: name → manifest."""
    return {path.stem: read_manifest(path) for path in sorted(_BUILT_IN.glob("*.onnx"))}


def find(model: str | Path | None) -> Path:
    """The file of a built-in model, named without suffix (None: the default one), or a path as given.

    Raises ModelNotFoundError.
    """
    name = str(model or DEFAULT)
    built_in = _BUILT_IN / f"{name}.onnx"
    if "/" not in name and built_in.is_file():
        return built_in
    if Path(name).is_file():
        return Path(name)
    offered = ", ".join(p.stem for p in sorted(_BUILT_IN.glob("*.onnx")))
    raise ModelNotFoundError(f"no model {name}: neither a file nor a built-in model. Built-in: {offered}.")


def read_manifest(path: Path) -> Manifest:
    """Reads the manifest of a model file, and that the file is whole.

    Raises ModelError when it is not an ONNX model, ManifestError when it carries no valid manifest.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        found = _signature(session)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime has no public error class
        reason = str(error).splitlines()[0][:200]
        raise ModelError(f"{path}: not a usable ONNX model, or damaged ({reason}). Export or copy it again.") from None
    if text is None:
        raise ManifestError(
            f"{path}: an ONNX model without a vesselrt manifest. Make model files with: vesselrt export"
        )
    manifest = Manifest.from_json(text, source=str(path))
    expected = [("tensor(uint8)", manifest.channel_count), ("tensor(float)", len(manifest.classes))]
    if found != expected:
        raise ModelError(
            f"{path}: its graph has inputs and outputs {found}, its manifest says {expected}. Export it again."
        )
    return manifest


def _signature(session: onnxruntime.InferenceSession) -> list[tuple[str, int | str | None]]:
    """Type and channels of each input and output of a graph; None for one that is not (N, C, H, W)."""
    values = (*session.get_inputs(), *session.get_outputs())
    return [(v.type, v.shape[1] if len(v.shape) == 4 else None) for v in values]


def sha256(path: Path) -> str:
    """Hash of the whole file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
