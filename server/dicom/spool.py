"""A queue on the disk, of which a kill loses nothing: each step is a rename.

    incoming/NAME.dcm        a photograph, whole and synced before its sender is told that it came
    outgoing/NAME/RESULT.dcm what was made of it; the folder appears with all of them, then the photograph goes
    failed/NAME.dcm, .txt    one of which nothing can be made, and why

NAME is a hash of the instance's UID: no file is named after a patient. Nobody but the owner may read the folder.
"""

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from vesselrt.runtime.errors import OptionError

_SUFFIX = ".dcm"


class SpoolFullError(OSError):
    """There is no more room in the queue."""


class Spool:
    """The folder. One process uses it at a time."""

    def __init__(self, folder: Path, most: int) -> None:
        """`most`: bytes of photographs that may wait. Raises OptionError where another process uses the folder."""
        self._folder, self._most, self._keeping = folder, most, threading.Lock()
        self._parts = {name: folder / name for name in ("incoming", "outgoing", "failed", "making")}
        for part in (folder, *self._parts.values()):
            part.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = _lock(folder / "lock")
        shutil.rmtree(self._parts["making"])  # what a kill left half made
        self._parts["making"].mkdir(mode=0o700)
        for one in self._parts["outgoing"].iterdir():
            with suppress(OSError):  # its results wait, or somebody else put it there
                one.rmdir()

    def keep(self, uid: str, content: bytes) -> None:
        """Keeps a photograph; when this returns, it stands on the disk. Raises SpoolFullError, OSError."""
        with self._keeping:
            waiting = sum(map(_size_of, self._parts["incoming"].iterdir()))
            if waiting + len(content) > self._most:
                raise SpoolFullError(f"{waiting:,} bytes wait, and the limit is {self._most:,}")
            target = self._parts["incoming"] / f"{_name_of(uid)}{_SUFFIX}"
            with self._making() as made:
                _write_synced(made / target.name, content)
                (made / target.name).replace(target)
            _sync_folder(target.parent)

    def waiting(self) -> list[Path]:
        """The photographs to be worked on, the first that came first."""
        return sorted(self._parts["incoming"].glob(f"*{_SUFFIX}"), key=_age_of)

    def finish(self, photo: Path, results: Mapping[str, bytes]) -> None:
        """Keeps what was made of a photograph, name → content, all of it or nothing, and lets the photograph go."""
        target = self._parts["outgoing"] / photo.stem
        if results and not target.exists():  # a kill between the two steps: they wait to be sent already
            with self._making() as made:
                for name, content in results.items():
                    _write_synced(made / f"{name}{_SUFFIX}", content)
                _sync_folder(made)
                made.replace(target)
            _sync_folder(target.parent)
        photo.unlink(missing_ok=True)

    @contextmanager
    def _making(self) -> Iterator[Path]:
        """A folder that is gone afterwards, unless it was renamed: what does not fit on a full disk fills no more."""
        made = Path(tempfile.mkdtemp(dir=self._parts["making"]))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def is_finished(self, photo: Path) -> bool:
        """Whether results of it wait to be sent."""
        return (self._parts["outgoing"] / photo.stem).exists()

    def fail(self, photo: Path, why: str) -> None:
        """Puts a photograph aside."""
        (self._parts["failed"] / f"{photo.stem}.txt").write_text(f"{why}\n", "utf-8")
        photo.replace(self._parts["failed"] / photo.name)

    def results(self) -> list[Path]:
        """The files to be sent."""
        folders = sorted(self._parts["outgoing"].glob("*/"), key=_age_of)
        return [file for folder in folders for file in sorted(folder.glob(f"*{_SUFFIX}"))]

    def sent(self, result: Path) -> None:
        """Lets a result go that its receiver has."""
        result.unlink(missing_ok=True)
        with suppress(OSError):  # others are left in it
            result.parent.rmdir()

    def close(self) -> None:
        """Lets another process use the folder."""
        self._lock.close()


def _name_of(uid: str) -> str:
    return hashlib.sha256(uid.encode()).hexdigest()[:32]


def _lock(path: Path) -> IO[bytes]:
    import fcntl  # of POSIX alone

    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise OptionError(f"{path.parent} is the queue of a process that runs. Name another folder.") from None
    return file


def _size_of(file: Path) -> int:
    """Bytes; 0 where it was worked off meanwhile."""
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0


def _age_of(path: Path) -> int:
    """When it was made; what is gone meanwhile comes first."""
    with suppress(FileNotFoundError):
        return path.stat().st_mtime_ns
    return 0


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes a rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
