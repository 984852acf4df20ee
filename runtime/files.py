"""Atomic writes: a reader never finds half a file."""

import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vesselrt.runtime.errors import OptionError

_MAX_LINKS = 40  # as Linux


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives a temporary name to write to; when the block ends, that file replaces `path`.

    When the block fails, nothing is left and an old file stays unchanged. Missing folders are created, and removed
    again when it fails. Links are
    followed, and the file keeps its permissions. What can't be replaced (a pipe, a device, /dev/stdout, a file that is
    a mount point) is written to when the block has ended.
    """
    target = _resolve_links(path)
    if target is None:
        with _write_into(path) as name:
            yield name
        return
    missing = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    name = target.with_name(
        f"{target.name}.{secrets.token_hex(4)}.tmp"
    )  # a name of its own: two processes may write one file
    try:
        yield name
        if target.is_file():
            shutil.copymode(target, name)
        try:
            name.replace(target)
        except OSError as error:
            if error.errno != errno.EBUSY:  # a mount point, as of `docker run -v $PWD/x.json:/x.json`
                raise
            _copy_content(name, target)
    except BaseException:
        name.unlink(missing_ok=True)
        with suppress(OSError):  # another process may have written there
            for folder in missing:
                folder.rmdir()
        raise
    finally:
        name.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """For use before long work: checks that the file `path` can be written. Nothing is created.

    Raises OptionError.
    """
    _check_target(path, path)


def check_writable_folder(path: Path) -> None:
    """The same for a folder of output files, which may be missing. Raises OptionError."""
    _check_target(path / "file", path)


def _check_target(path: Path, named: Path) -> None:
    try:
        target = _resolve_links(path)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if target is not None:
            folder = next(parent for parent in target.absolute().parents if parent.exists())
            with tempfile.TemporaryFile(dir=folder):  # permissions alone don't show a read-only file system
                pass
        elif not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise OptionError(f"{named} can't be written: {error.strerror}. Name another place.") from None


def _resolve_links(path: Path) -> Path | None:
    """The file that links lead to, which may be missing. None for something that a file can't replace."""
    if path.exists() and not path.is_file() and not path.is_dir():
        return None
    for _ in range(_MAX_LINKS):
        if not path.is_symlink():
            alone = path.is_file() and not os.access(path.parent, os.W_OK)  # no file can be created beside it
            return None if alone else path
        if path.parent.resolve().is_relative_to("/proc"):  # an open file of this process: its readers keep it
            return None
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


@contextmanager
def _write_into(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vesselrt.") as folder:
        name = Path(folder) / path.name
        yield name
        _copy_content(name, path)


def _copy_content(source: Path, target: Path) -> None:
    with source.open("rb") as file, target.open("wb") as into:
        shutil.copyfileobj(file, into)
