"""Models by their SHA-256: a file that must have it, or an address to fetch it from.

    my.onnx#sha256=3fa0...                       this file, if it has this hash
    https://example.org/my.onnx#sha256=3fa0...   fetched when it is first named, and kept under its hash

Nothing is fetched but what a user named. The hash is compared before anything reads the file as a model, and again at
every later start. Two folders are looked at first, for a file that is named by its hash, such as `3fa0....onnx`:

    VESSELRT_MODEL_FOLDER   a folder of yours, which is only read
    VESSELRT_CACHE/models   where vesselrt keeps what it fetched; by default ~/.cache/vesselrt/models

With VESSELRT_OFFLINE=1 no connection is made: what lies in neither folder is an error.
"""

import hashlib
import logging
import os
import re
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from vesselrt.runtime.addresses import check_address, plain_address
from vesselrt.runtime.errors import ModelError, ModelNotFoundError, OptionError
from vesselrt.runtime.files import atomic_write

logger = logging.getLogger(__name__)

FOLDER_VARIABLE, OFFLINE_VARIABLE = "VESSELRT_MODEL_FOLDER", "VESSELRT_OFFLINE"
"""Environment variables. Any value of the second but 0 forbids connections."""
_MARK = "#sha256="


def split_hash(model: str, given: str | None = None) -> tuple[str, str | None]:
    """The name of a model without its SHA-256, and this in lower case; `given`: one that was said beside the name.

    Raises OptionError for what is no SHA-256, and for two that differ.
    """
    name, mark, said = model.partition(_MARK)
    digests = {digest.strip().lower() for digest in (said if mark else None, given) if digest is not None}
    for digest in digests:
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise OptionError(f"sha256 of {plain_address(name)} is {digest[:80]!r}. Expected 64 hexadecimal digits.")
    if len(digests) > 1:
        raise OptionError(f"{plain_address(name)} is named with two different sha256. Say one.")
    return name, next(iter(digests), None)


def check_file(path: Path, digest: str) -> None:
    """Raises ModelError for a file of another SHA-256, and one that can't be read."""
    try:
        found = _digest_of(path)
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror}). Check its permissions.") from None
    if found != digest:
        raise ModelError(f"{path}: its SHA-256 is {found}, and {digest} was expected. It is not used.")


def fetch_model(address: str, digest: str | None) -> Path:
    """The file of this SHA-256, from a folder where it lies already, or else from its address.

    Raises OptionError for an address that is not taken, ModelNotFoundError where there is no such file, ModelError.
    """
    name = plain_address(address)
    if digest is None:
        raise OptionError(f"{name}: what is fetched needs its SHA-256. Add it to the address: {_MARK}...")
    check_address(address)
    kept = _cache_folder() / (digest + (".engine" if urlsplit(address).path.endswith(".engine") else ".onnx"))
    folder = os.environ.get(FOLDER_VARIABLE)
    for path in (Path(folder) / kept.name, kept) if folder else (kept,):
        if path.is_file():
            try:
                check_file(path, digest)
            except ModelError as error:  # damaged: fetched again
                logger.warning("%s", error)
            else:
                return path
    if os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0"):
        raise ModelNotFoundError(
            f"{name} is not here, and {OFFLINE_VARIABLE} forbids connections. Put the file as {kept.name} into "
            f"{kept.parent}, or into a folder that {FOLDER_VARIABLE} names."
        )
    try:
        with atomic_write(kept) as draft, draft.open("wb") as file:
            _fetch_into(file, address, digest)
    except ModelNotFoundError:  # which is an OSError too
        raise
    except OSError as error:
        raise ModelError(f"{name}: can't be kept in {kept.parent} ({error.strerror or error}).") from None
    return kept


def _fetch_into(file: BinaryIO, address: str, digest: str) -> None:
    from vesselrt.runtime.fetching import read_address  # which imports much

    logger.info("fetching %s, once", plain_address(address))
    hashed = hashlib.sha256()
    for piece in read_address(address):
        file.write(piece)
        hashed.update(piece)
    if hashed.hexdigest() != digest:
        raise ModelError(
            f"{plain_address(address)}: what came has the SHA-256 {hashed.hexdigest()}, and {digest} was expected. "
            "It is not used."
        )


def _digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _cache_folder() -> Path:
    named = os.environ.get("VESSELRT_CACHE")  # as of vesselrt.runtime.engines.cache, whose files lie beside
    if named:
        return Path(named) / "models"
    from platformdirs import user_cache_path

    return user_cache_path("vesselrt") / "models"
