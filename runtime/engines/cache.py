"""The cache of engines: model files are compiled once, and the engines are kept for the next start.

The key of an engine is everything that it depends on: SHA-256 of the model file, TensorRT's flavour and exact
release, GPU, precision and profile. The file name holds it as a hash, the header holds it in full. Both are checked at
every use, and so is the hash of the plan. An engine that fails a check is compiled again. Beside FILE.engine,
FILE.kernels holds what TensorRT for RTX compiled for this GPU; onnxruntime-MODEL/ holds what ONNX Runtime compiled, and
FILE.openvino what OpenVINO did, after its SHA-256. All of it counts towards the size limit, and the least recently used
entry is removed first. Other files in the folder stay untouched.

One process at a time changes the folder. A process that is killed leaves a temporary file; the next change removes it.
"""

import contextlib
import hashlib
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Protocol

from vesselrt.runtime.engines.enginefile import ENGINE_SUFFIX, FLAVOUR_NAMES, Engine, Flavour, Profile, read_engine
from vesselrt.runtime.errors import DeviceError, EngineError, ManifestError, ModelNotFoundError, OptionError
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.manifest import Manifest, Precision

# What takes long to import is imported where it is used: most starts only read.

logger = logging.getLogger(__name__)

FOLDER_VARIABLE, SIZE_VARIABLE = "VESSELRT_CACHE", "VESSELRT_CACHE_MB"
"""Environment variables: the cache's folder, and its size limit in MB (10⁶ bytes)."""
KERNELS_SUFFIX, _COMPILED_SUFFIX = ".kernels", ".openvino"
_DEFAULT_MB = 1000
_DIGEST_BYTES = 32
_ENTRY_NAME = re.compile(r"((?:onnxruntime-)?[0-9a-f]{32})(?:\.engine|\.kernels|\.openvino)?(?:\.[0-9a-f]+\.tmp)?")
"""Names in the folder; the first group is the entry that a file belongs to."""


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on."""

    model_sha256: str
    flavour: Flavour
    version: str
    target: str
    precision: Precision
    profile: Profile

    @property
    def name(self) -> str:
        """Name of the engine's file, without suffix."""
        return hashlib.sha256(repr(astuple(self)).encode()).hexdigest()[:32]

    def matches(self, engine: Engine) -> bool:
        header = engine.header
        found = (header.model_sha256, header.flavour, header.version, header.targets, header.profile)
        key = (self.model_sha256, self.flavour, self.version, (self.target,), self.profile)
        return found == key and engine.manifest.precision == self.precision


class Compile(Protocol):
    """Compiles a model file. TensorRT is an extra, so the compiler is looked up among the installed entry points."""

    def __call__(
        self, path: Path, targets: list[str], precision: Precision, max_batch: int, flavour: Flavour
    ) -> Engine:
        """Raises ModelError, OptionError, DeviceError or ExportError."""
        ...


def installed_compiler() -> Compile:
    """The entry point `engine` of the group `vesselrt.compilers`; vesselrt's own is `vesselrt.export.engine:build`.

    Raises DeviceError when what it needs is not installed.
    """
    from importlib.metadata import entry_points

    for entry in entry_points(group="vesselrt.compilers", name="engine"):
        with contextlib.suppress(ImportError):
            compiler: Compile = entry.load()
            return compiler
    raise DeviceError("nothing here compiles engines. Run: pip install 'vesselrt[tensorrt]', or name an engine file.")


class EngineCache:
    """A folder of engines."""

    def __init__(self, folder: Path | None = None, most: int | None = None) -> None:
        """None: what the environment says, else the system's folder for caches, and 1000 MB. Raises OptionError."""
        self.folder = folder or _default_folder()
        self._max_bytes = _max_bytes() if most is None else most

    def get(self, key: EngineKey, manifest: Manifest, build: Callable[[], Engine]) -> tuple[Engine, Path]:
        """The engine and its file; `build` makes it when it is missing, stale or damaged.

        Raises EngineError when the folder can't be written, and what `build` raises. Nothing is changed then.
        """
        path = self.folder / (key.name + ENGINE_SUFFIX)
        # The process that compiles it again logs what was wrong.
        with contextlib.suppress(ModelNotFoundError, EngineError, ManifestError):
            return self._read(path, key), path
        with self._locked():
            try:
                return self._read(path, key), path  # another process made it meanwhile
            except ModelNotFoundError:
                pass
            except (EngineError, ManifestError) as error:
                logger.warning("%s It is compiled again.", error)
            what = f"{manifest.name} {manifest.version} to {key.precision} for {key.target}"
            logger.info("compiling %s by %s %s, once", what, FLAVOUR_NAMES[key.flavour], key.version)
            started = time.monotonic()
            engine = build()
            if not key.matches(engine):
                raise EngineError(f"the compiler made something else than {what}. Update vesselrt.")
            self._write(engine, path)
            logger.info("compiled in %.1f s, kept in %s", time.monotonic() - started, path)
            return self._read(path, key), path

    def kernels_folder(self, model_sha256: str) -> Path:
        """A folder for what ONNX Runtime compiles of a model. Raises EngineError when it can't be written."""
        path = self.folder / f"onnxruntime-{model_sha256[:32]}"
        with self._locked():
            try:
                path.mkdir(exist_ok=True)
                os.utime(path)
                self._shrink(path)
            except OSError as error:
                raise self._unwritable_error(error) from None
        return path

    def read_compiled(self, name: str) -> bytes | None:
        """What `keep_compiled` kept under the name; None where it kept nothing, or what is there is damaged."""
        path = self.folder / (name + _COMPILED_SUFFIX)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        digest, compiled = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(compiled).digest() != digest:
            return None
        with contextlib.suppress(OSError):  # a folder that is only read
            os.utime(path)
        return compiled

    def keep_compiled(self, name: str, compiled: bytes) -> None:
        """Keeps what a library compiled of a model, under 32 hexadecimal digits.

        Raises EngineError when the folder can't be written, and at once when another process is changing it.
        """
        path = self.folder / (name + _COMPILED_SUFFIX)
        with self._locked(timeout=0):
            try:
                for draft in self.folder.glob(f"*{_COMPILED_SUFFIX}.*.tmp"):  # nobody else writes them now
                    draft.unlink()
                with atomic_write(path) as draft:
                    draft.write_bytes(hashlib.sha256(compiled).digest() + compiled)
                self._shrink(path)
            except OSError as error:
                raise self._unwritable_error(error) from None

    def _read(self, path: Path, key: EngineKey) -> Engine:
        engine = read_engine(path)
        if not key.matches(engine):
            raise EngineError(f"{path}: holds an engine of something else.")
        with contextlib.suppress(OSError):  # a folder that is only read
            os.utime(path)
        return engine

    def _write(self, engine: Engine, path: Path) -> None:
        try:
            for draft in self.folder.glob(f"*{ENGINE_SUFFIX}.*.tmp"):  # nobody else writes engines now
                draft.unlink()
            engine.write(path)
            self._shrink(path)
        except OSError as error:
            raise self._unwritable_error(error) from None

    def _shrink(self, latest: Path) -> None:
        """Removes the least recently used entries until the rest is within the limit; never the entry of `latest`."""
        entries: dict[str, list[Path]] = {}
        for path in self.folder.iterdir():
            if ours := _ENTRY_NAME.fullmatch(path.name):
                entries.setdefault(ours[1], []).append(path)
        sizes = {name: sum(map(_bytes_on_disk, paths)) for name, paths in entries.items()}
        # The first by name is the engine, which is touched at each use; its kernels are not.
        used = {name: _time_of_use(min(paths)) for name, paths in entries.items()}
        for name in sorted(entries.keys() - {latest.name.partition(".")[0]}, key=used.__getitem__):
            if sum(sizes.values()) <= self._max_bytes:
                return
            for path in entries[name]:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)  # a process that uses it may write to it now
                else:
                    path.unlink(missing_ok=True)
            del sizes[name]
            logger.info("removed from the cache, to make room: %s", self.folder / name)

    @contextlib.contextmanager
    def _locked(self, timeout: float = -1) -> Iterator[None]:
        """Waits `timeout` seconds for other processes; below 0: as long as they take."""
        from filelock import FileLock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "lock")
            lock.acquire(timeout=timeout)
        except OSError as error:
            raise self._unwritable_error(error) from None
        try:
            yield
        finally:
            lock.release()

    def _unwritable_error(self, error: OSError) -> EngineError:
        return EngineError(
            f"the cache of engines can't be written: {error}. "
            f"Name another folder in {FOLDER_VARIABLE}, or make an engine file with vesselrt compile and name that."
        )


def _default_folder() -> Path:
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("vesselrt") / "engines"


def _max_bytes() -> int:
    text = os.environ.get(SIZE_VARIABLE) or str(_DEFAULT_MB)
    if not text.isdecimal():
        raise OptionError(f"{SIZE_VARIABLE} is {text!r}. Expected a number of MB.")
    return int(text) * 10**6


def _bytes_on_disk(path: Path) -> int:
    """Bytes of a file, or of all in a folder; 0 for what another process has removed meanwhile."""
    total = 0
    for part in (path, *path.rglob("*")) if path.is_dir() else (path,):
        with contextlib.suppress(FileNotFoundError):
            total += part.lstat().st_size
    return total


def _time_of_use(path: Path) -> float:
    """Seconds since the epoch; 0 for what another process has removed meanwhile."""
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:
        return 0.0
