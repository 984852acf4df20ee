"""Files appear whole or not at all, wherever they are to go."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.files import atomic_write, check_writable, check_writable_folder


def write(path: Path, content: bytes = b"new") -> None:
    with atomic_write(path) as name:
        name.write_bytes(content)


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def test_a_new_file_in_a_new_folder(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "file")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"new"
    assert tree(tmp_path) == {"a", "a/b", "a/b/file"}


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail() -> None:
        with atomic_write(path) as name:
            name.write_bytes(b"ne")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_bytes() == b"old"
    assert tree(tmp_path) == {"file"}


def test_an_old_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o600)
    write(path)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)


def test_two_threads_may_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_write(path) as first, atomic_write(path) as second:
        assert first != second
        first.write_bytes(b"1")
        second.write_bytes(b"2")
    assert path.read_bytes() == b"1"
    assert tree(tmp_path) == {"file"}


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "file").write_bytes(b"old")
    (tmp_path / "far" / "link").symlink_to("file")
    (tmp_path / "link").symlink_to(Path("far") / "link")
    (tmp_path / "new").symlink_to(Path("far") / "made")
    write(tmp_path / "link")
    write(tmp_path / "new", b"made")
    assert (tmp_path / "far" / "file").read_bytes() == b"new"
    assert (tmp_path / "far" / "made").read_bytes() == b"made"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "link").is_symlink()
    assert tree(tmp_path) == {"far", "far/file", "far/link", "far/made", "link", "new"}


def test_links_that_lead_nowhere_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        write(tmp_path / "a")
    assert tree(tmp_path) == {"a", "b"}


def test_a_pipe_is_written_into(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write(pipe, b"x" * 200_000)
    reader.join(10)
    assert found == [b"x" * 200_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["/proc/self/fd/1", "/dev/stdout", "/dev/fd/1"])
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux")
def test_what_is_open_is_written_into(tmp_path: Path, name: str) -> None:
    code = (
        "import sys; from pathlib import Path; from vesselrt.runtime.files import atomic_write\n"
        "with atomic_write(Path(sys.argv[1])) as name: name.write_bytes(b'new')\n"
        "print(' and more', flush=True)"
    )
    with (tmp_path / "out").open("ab") as out:
        subprocess.run([sys.executable, "-c", code, name], stdout=out, check=True, timeout=60)
    assert (tmp_path / "out").read_bytes() == b"new and more\n"
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, check=True, timeout=60)
    assert done.stdout == b"new and more\n"
    assert tree(tmp_path) == {"out"}


def test_a_file_that_is_mounted_alone_is_written_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    number = path.stat().st_ino

    def busy(self: Path, _: Path) -> None:
        raise OSError(16, os.strerror(16))

    monkeypatch.setattr(Path, "replace", busy)
    write(path)
    assert (path.read_bytes(), path.stat().st_ino) == (b"new", number)
    assert tree(tmp_path) == {"file"}


def test_a_file_in_a_folder_that_takes_no_other_is_written_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "access", lambda name, _: Path(name) != tmp_path)  # root may write anywhere
    check_writable(path)
    write(path)
    assert path.read_bytes() == b"new"
    assert tree(tmp_path) == {"file"}


def test_what_can_be_written_passes_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    os.mkfifo(tmp_path / "pipe")
    before = tree(tmp_path)
    for name in ("old", "new", "a/b/c", "pipe"):
        check_writable(tmp_path / name)
    check_writable_folder(tmp_path)
    check_writable_folder(tmp_path / "d" / "e")
    assert tree(tmp_path) == before
    assert (tmp_path / "old").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("", "Is a directory"), ("file/x", "Not a directory"), ("a/../file/x/y", "Not a directory"), ("loop", "symbolic")],
)
def test_what_can_not_be_written_is_said_with_the_reason(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "a").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OptionError, match=rf"can't be written: .*{reason}.*\. Name another place\."):
        check_writable(tmp_path / name)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="Linux")
def test_a_file_system_that_takes_no_file_is_said_even_to_root() -> None:
    with pytest.raises(OptionError, match=r"^/proc/vesselrt\.json can't be written: "):
        check_writable(Path("/proc/vesselrt.json"))
