r"""Engine files (.engine): a TensorRT plan together with everything that is known about it.

     8 bytes   89 76 72 74 0d 0a 1a 0a    "\x89vrt\r\n\x1a\n"
     4 bytes   n, the length of the header: unsigned, little-endian
    32 bytes   SHA-256 of the header
     n bytes   header: one JSON object in UTF-8
     the rest  plan, as TensorRT serialized it

What holds for every engine file:

- The first 44 bytes and the key "format" of the header mean the same in every format, so a reader can always tell a
  newer file from a damaged one. This is format 1.
- The header is at most 1 MiB. Its keys are the fields of `Header` here and the model's `manifest`, all of them and no
  others; a new key is a new format.
- The header knows the plan's size and SHA-256, and the file ends where the plan does. So a file that was cut, extended
  or changed in any bit is found, and the plan is not handed to TensorRT, which trusts what it is given.
- The header knows the network's answer to one fixed window, so each load checks that the GPU computes the same.
- Hashes find accidents, not forgery. Run engine files only from people you trust, as with any program.
- An engine runs with the exact release of TensorRT that made it, on the GPUs it was made for, and on no other.
- A file is written whole or not at all.

Reading needs no TensorRT and no GPU.
"""

import hashlib
import importlib
import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import DeviceError, EngineError, ManifestError, ModelNotFoundError, first_line
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.manifest import Facts, Hash, Manifest, Normalisation, explain
from vesselrt.runtime.photo.normalisation import normalise_window

FORMAT: Literal[1] = 1
ENGINE_SUFFIX = ".engine"
_MAGIC = b"\x89vrt\r\n\x1a\n"  # as in PNG: a transfer that changes line ends or drops the eighth bit shows here
_PREFIX = struct.Struct("<8sI32s")
_MAX_HEADER_BYTES = 1 << 20

Flavour = Literal["tensorrt_rtx", "tensorrt"]
"""The Python module that makes and runs the plan."""
FLAVOUR_NAMES: dict[Flavour, str] = {"tensorrt_rtx": "TensorRT for RTX", "tensorrt": "TensorRT"}
_REQUIREMENTS: dict[Flavour, str] = {"tensorrt_rtx": "'vesselrt[tensorrt]'", "tensorrt": "tensorrt"}


def import_tensorrt(flavour: Flavour) -> Any:
    """The module that makes and runs plans. Raises DeviceError, with what to install."""
    try:
        return importlib.import_module(flavour)
    except (ImportError, OSError) as error:  # OSError: a library that it opens is missing
        reason = first_line(error)
        raise DeviceError(
            f"{FLAVOUR_NAMES[flavour]} can't be imported ({reason}). Run: pip install {_REQUIREMENTS[flavour]}"
        ) from None


MAX_BATCH = 4
"""Default for the largest number of windows at once."""


class Profile(Facts):
    """The shapes that an engine takes: (N, C, tile, tile), N within the batch's range."""

    tile: Annotated[int, Field(ge=16)]
    """Side of the window in pixels."""
    batch: tuple[Annotated[int, Field(ge=1)], int, int]
    """Smallest, the one it was tuned for, largest."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "Profile":
        if list(self.batch) != sorted(self.batch):
            raise ValueError(f"batch {self.batch} must rise")
        return self

    @classmethod
    def of(cls, manifest: Manifest, max_batch: int = MAX_BATCH) -> "Profile":
        """The profile of a model. Most photographs are one tile at its scale, so it is tuned for a batch of one."""
        return cls(tile=manifest.tile.size, batch=(1, 1, max_batch))


def proof_window(channels: int, tile: int, how: Normalisation | None = None) -> Image:
    """(channels, tile, tile) uint8: dark lines on a lit ground. The same on every machine, as integers are.

    `how`: it is normalised as a photograph, to 3 × channels.
    """
    down, across = np.mgrid[:tile, :tile]
    lit = 150 + (down * 40 // tile) - 70 * ((across + down // 2) % 89 < 5) - 45 * ((2 * down - across) % 131 < 3)
    window = np.repeat(lit.astype(np.uint8)[None], channels, axis=0)
    return window if how is None else normalise_window(window, how)


_PROOF_PLACES = 16 * 16


def proof_from_probability(probability: Image) -> Image:
    """(256 × C,) uint8: the answer to `proof_window`, (C, tile, tile) uint8, at 16 × 16 places of each class."""
    places = (2 * np.arange(16) + 1) * probability.shape[1] // 32
    return probability[:, places[:, None], places].reshape(-1)


class Header(Facts):
    """What is known about a plan, beside its model's manifest."""

    format: Literal[1]
    flavour: Flavour
    version: str
    """The exact release of the flavour."""
    targets: Annotated[tuple[Annotated[str, Field(pattern=r"^sm\d{2,3}$")], ...], Field(min_length=1)]
    """Compute capabilities of the GPUs that it was made for: sm75 is 7.5."""
    profile: Profile
    model_sha256: Hash
    """Of the model file that it was made from."""
    proof: Annotated[str, Field(pattern="^([0-9a-f]{512})+$")]
    """In hexadecimal, `proof_from_probability` of what the graph gave on the processor that made the engine: a GPU must
    give the same."""
    plan_size: Annotated[int, Field(ge=1)]
    plan_sha256: Hash

    @property
    def proven(self) -> Image:
        """`proof` as (256 × C,) uint8."""
        return np.frombuffer(bytes.fromhex(self.proof), np.uint8)


@dataclass(frozen=True)
class Engine:
    """An engine file in memory, complete."""

    header: Header
    manifest: Manifest
    """Of the graph that was compiled: `manifest.precision` is what the engine computes in."""
    plan: bytes

    @classmethod
    def of(cls, plan: bytes, manifest: Manifest, **known: Any) -> "Engine":
        """A new engine; `known` are the fields of `Header` that don't follow from the plan."""
        digest = hashlib.sha256(plan).hexdigest()
        return cls(Header(format=FORMAT, plan_size=len(plan), plan_sha256=digest, **known), manifest, plan)

    def write(self, path: Path) -> None:
        """Writes the file, whole or not at all, over an old one too. Raises OSError."""
        fields = {**self.header.model_dump(mode="json"), "manifest": self.manifest.model_dump(mode="json")}
        header = json.dumps(fields).encode()
        prefix = _PREFIX.pack(_MAGIC, len(header), hashlib.sha256(header).digest())
        with atomic_write(path) as name, name.open("wb") as file:
            file.writelines((prefix, header, self.plan))
            file.flush()
            os.fsync(file.fileno())  # else a crash may leave an empty file under this name


def is_engine(path: Path) -> bool:
    """Whether a file begins as an engine file does."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_engine(path: Path) -> Engine:
    """Reads an engine file and checks its hashes.

    Raises ModelNotFoundError, EngineError for another, damaged or newer file, ManifestError when its
    manifest is missing or of a newer schema.
    """
    try:
        with path.open("rb") as file:
            header, manifest = _read_header(file, path)
            size = os.fstat(file.fileno()).st_size - file.tell()
            plan = file.read() if size == header.plan_size else b""  # a false size must not cost memory
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ModelNotFoundError(f"no engine file {path}. Make one with: vesselrt compile") from None
    if size != header.plan_size:
        wrong = "cut off" if size < header.plan_size else "too long"
        raise EngineError(f"{path}: the plan is {wrong}: {size} bytes, not {header.plan_size}. {_ADVICE}")
    if hashlib.sha256(plan).hexdigest() != header.plan_sha256:
        raise EngineError(f"{path}: the plan is damaged, its SHA-256 is another. {_ADVICE}")
    return Engine(header, manifest, plan)


_ADVICE = "Copy the file again, or compile the model again."


def _read_header(file: BinaryIO, path: Path) -> tuple[Header, Manifest]:
    prefix = file.read(_PREFIX.size)
    if not prefix.startswith(_MAGIC):
        raise EngineError(f"{path}: not an engine file, or damaged. Make engine files with: vesselrt compile")
    if len(prefix) < _PREFIX.size:
        raise EngineError(f"{path}: cut off after {len(prefix)} bytes. {_ADVICE}")
    _, length, digest = _PREFIX.unpack(prefix)
    text = file.read(length) if length <= _MAX_HEADER_BYTES else b""
    if hashlib.sha256(text).digest() != digest:
        raise EngineError(f"{path}: the header is damaged or cut off. {_ADVICE}")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EngineError(f"{path}: the header is not JSON ({error}). Compile the model again.") from None
    return _check_header(fields, path)


def _check_header(fields: Any, path: Path) -> tuple[Header, Manifest]:
    fields = fields if isinstance(fields, dict) else {}
    found = fields.get("format")
    if isinstance(found, int) and found > FORMAT:
        raise EngineError(
            f"{path}: an engine file of format {found}, this vesselrt reads up to {FORMAT}. "
            "Run: pip install -U vesselrt"
        )
    manifest = fields.pop("manifest", None)
    if manifest is None:
        raise ManifestError(f"{path}: an engine without a manifest. Compile the model again with: vesselrt compile")
    try:
        header = Header.model_validate(fields)
    except ValidationError as error:
        raise EngineError(f"{path}: the header is not valid: {explain(error)}. Compile the model again.") from None
    checked = Manifest.from_fields(manifest, source=str(path))
    if len(header.proven) != _PROOF_PLACES * len(checked.classes):
        raise EngineError(f"{path}: its proof is not of {len(checked.classes)} class(es). Compile the model again.")
    return header, checked
