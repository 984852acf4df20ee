"""Model files: an ONNX file that carries its manifest in its metadata.

What holds for every model file that vesselrt writes:

- The manifest is JSON, the value of METADATA_KEY in the file's metadata, and holds `"content_sha256":"…"`: the SHA-256
  of the file with zeros in place of these 64 digits. So any change of its weights or its manifest is found, before
  a library gets the file.
- All weights are in the file. One that keeps some of them in other files is refused: their content is not in the hash.
- Hashes find accidents, not forgery.

A file without this hash was written by an older vesselrt: it is loaded with a warning.
"""

import hashlib
import logging
import re
from pathlib import Path

from vesselrt.runtime.addresses import is_address
from vesselrt.runtime.errors import ManifestError, ModelError, ModelNotFoundError
from vesselrt.runtime.manifest import METADATA_KEY, Manifest
from vesselrt.runtime.modelproto import find_metadata, read_model_head
from vesselrt.runtime.remote import check_file, fetch_model, split_hash

logger = logging.getLogger(__name__)

BUILT_IN = Path(__file__).parent / "models"
DEFAULT_MODEL = "fundus"
INT8_SUFFIX = ".int8.onnx"
"""`fundus.int8.onnx` is `fundus.onnx` in INT8, and is loaded by that name."""


def list_models() -> dict[str, Manifest]:
    """The built-in models: name → manifest.

    >>> sorted(vesselrt.models())  # another version than the usual one has it in its name
    ['fundus', 'fundus@2.0.0-rc.3']
    """
    return {path.stem: read_manifest(path) for path in _built_in()}


def _built_in() -> list[Path]:
    return [path for path in sorted(BUILT_IN.glob("*.onnx")) if not path.name.endswith(INT8_SUFFIX)]


def find_model_file(model: str | Path | None, digest: str | None = None) -> Path:
    """The file of a built-in model, named without suffix (None: the default one), of a path, or of an address.

    A built-in model may be named with its version, so that a later vesselrt does not take another: `fundus@1.2.0`. Each
    may be followed by the SHA-256 that the file must have, see vesselrt.runtime.remote; `digest`: the same beside
    the name. Raises ModelNotFoundError, ModelError for another file or one that can't be fetched, OptionError.
    """
    name, digest = split_hash(str(model or DEFAULT_MODEL), digest)
    if is_address(name):
        return fetch_model(name, digest)
    path = _find_local_file(name)
    if digest is not None:
        check_file(path, digest)
    return path


def _find_local_file(name: str) -> Path:
    if "/" not in name and (built_in := _find_built_in(name)) is not None:
        return built_in
    if Path(name).is_file():
        return Path(name)
    offered = ", ".join(path.stem for path in _built_in())
    raise ModelNotFoundError(f"no model {name}: neither a file nor a built-in model. Built-in: {offered}.")


def _find_built_in(name: str) -> Path | None:
    file = BUILT_IN / f"{name}.onnx"
    if file.is_file():
        return file
    base, _, version = name.partition("@")
    newest = BUILT_IN / f"{base}.onnx"
    return newest if newest.is_file() and read_manifest(newest).version == version else None


def int8_path(path: Path) -> Path:
    """Where the INT8 file of an f32 model file lies, if there is one."""
    return path.with_name(path.name.removesuffix(".onnx") + INT8_SUFFIX)


def int8_file(path: Path, manifest: Manifest) -> tuple[Path, Manifest] | None:
    """The INT8 file that `vesselrt convert` made of this f32 one, beside it, with its manifest; None: there is none.

    One that was made of another file, an older one say, is passed over with a warning. Raises ModelError for a damaged
    one.
    """
    beside = int8_path(path)
    if not beside.is_file():
        return None
    found = read_manifest(beside)
    made_of_it = found.provenance.f32_graph_sha256 == graph_sha256(path) and _lasting(found) == _lasting(manifest)
    if (found.precision, manifest.precision) != ("int8", "f32") or not made_of_it:
        logger.warning("%s is not used: it was not made of %s as that is now. Convert it again.", beside, path.name)
        return None
    return beside, found


def loaded_file(path: Path, loaded: Manifest) -> Path:
    """The file that `load` took of the one that was named: that one, or the INT8 file beside it."""
    if loaded.precision != "int8" or path.suffix != ".onnx" or read_manifest(path).precision == "int8":
        return path
    return int8_path(path)


def graph_sha256(path: Path) -> str:
    """Hash of a model file without its manifest, so that figures which are recorded later do not change it.

    Raises ModelError for a file without one.
    """
    content = path.read_bytes()
    try:
        entry = find_metadata(content, METADATA_KEY)
    except ValueError as error:
        raise ModelError(f"{path}: has no manifest ({error}). {_ADVICE}") from None
    return hashlib.sha256(content[: entry.start] + content[entry.end :]).hexdigest()


def _lasting(manifest: Manifest) -> Manifest:
    """What a file in another precision has in common with the one that it was made of."""
    provenance = manifest.provenance.model_copy(
        update={"metrics": {}, "parity": {}, "float_operations": (), "f32_graph_sha256": None}
    )
    changed = {"precision": "f32", "content_sha256": None, "provenance": provenance}
    return manifest.model_copy(update=changed)


def has_manifest(path: Path) -> bool:
    """Whether a file is an ONNX model with a manifest in it, whole or not; ModelError where it can't be read."""
    try:
        find_metadata(_read_content(path), METADATA_KEY)
    except ValueError:
        return False
    return True


def read_manifest(path: Path) -> Manifest:
    """Reads the manifest of a model file and checks the file's hash.

    The nodes of its graph are first read by the library that compiles it.

    Raises ModelError when it is damaged or not an ONNX model, ManifestError when it carries no valid manifest.
    """
    content = _read_content(path)
    proven = _check_content(path, content)
    try:
        head = read_model_head(content)
    except ValueError as error:
        raise unusable_model(path, str(error)) from None
    text = head.metadata.get(METADATA_KEY)
    if text is None:
        raise ManifestError(
            f"{path}: an ONNX model without a vesselrt manifest. Make model files with: vesselrt export"
        )
    manifest = Manifest.from_json(text, source=str(path))
    if manifest.content_sha256 != proven:  # for example, its JSON has other spaces
        raise ModelError(f"{path}: its manifest was changed by another program. {_ADVICE}")
    if proven is None:
        logger.warning(
            "%s: its manifest has no SHA-256 of the file, so damage would not be found. Export it again, or write "
            "one into it with: vesselrt evaluate --record",
            path,
        )
    found = [(value.type, value.axes[1] if len(value.axes) == 4 else None) for value in head.values]
    expected = [("tensor(uint8)", manifest.channel_count), ("tensor(float)", len(manifest.classes))]
    if found != expected:
        raise ModelError(
            f"{path}: its graph has inputs and outputs {found}, its manifest says {expected}. Export it again."
        )
    return manifest


_ADVICE = "Export or copy it again."
_HASH_PATTERN = re.compile(rb'"content_sha256":"([0-9a-f]{64})"')
_EXTERNAL_DATA = b"\x0a\x08location\x12"  # how an entry of a tensor's `external_data` begins


def unusable_model(path: Path, reason: str) -> ModelError:
    """The error for a file that is no ONNX model, or one that a library can't use."""
    return ModelError(f"{path}: not a usable ONNX model, or damaged ({reason[:200]}). {_ADVICE}")


def _read_content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror}). {_ADVICE}") from None


def _check_content(path: Path, content: bytes) -> str | None:
    """The hash that a model file holds of its content, checked; None where it holds none.

    Raises ModelError when the content has another hash, and for weights in other files, which the hash does not cover.
    """
    if _EXTERNAL_DATA in content:
        raise ModelError(f"{path}: keeps weights in other files. Make one file with: vesselrt export")
    place = _HASH_PATTERN.search(content)
    if place is None:
        return None
    digest = _content_sha256(content, *place.span(1))
    if place[1] != digest.encode():
        raise ModelError(f"{path}: damaged, or changed since it was written: its SHA-256 is another. {_ADVICE}")
    return digest


def seal(content: bytes) -> tuple[bytes, str]:
    """A model file's content with its hash in its manifest, in place of the 64 digits there; and the hash."""
    place = _HASH_PATTERN.search(content)
    if place is None:
        raise ValueError("the manifest has no content_sha256 of 64 digits")
    start, end = place.span(1)
    digest = _content_sha256(content, start, end)
    return b"".join((content[:start], digest.encode(), content[end:])), digest


def _content_sha256(content: bytes, start: int, end: int) -> str:
    """Hash of the content with zeros from `start` to `end`."""
    view = memoryview(content)
    digest = hashlib.sha256(view[:start])
    digest.update(b"0" * (end - start))
    digest.update(view[end:])
    return digest.hexdigest()


def sha256(path: Path) -> str:
    """Hash of the whole file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
