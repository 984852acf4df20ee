"""The cache of engines: what is found again, what is mended, and several processes at it at once."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from manifests import make_manifest

from vesselrt.runtime.engines import cache as cache_module
from vesselrt.runtime.engines.cache import EngineCache, EngineKey, installed_compiler
from vesselrt.runtime.engines.enginefile import Engine, Profile, read_engine
from vesselrt.runtime.errors import DeviceError, EngineError, ExportError, OptionError

MANIFEST = make_manifest(name="tiny", version="0.1", precision="fp16")
WANTED = EngineKey("ab" * 32, "tensorrt_rtx", "1.2.3.4", "sm75", "fp16", Profile(tile=64, batch=(1, 1, 4)))


def engine_of(wanted: EngineKey = WANTED, plan: bytes = b"a plan") -> Engine:
    return Engine.of(
        plan,
        MANIFEST.model_copy(update={"precision": wanted.precision}),
        flavour=wanted.flavour,
        version=wanted.version,
        targets=(wanted.target,),
        profile=wanted.profile,
        model_sha256=wanted.model_sha256,
        proof="00" * 256,
    )


class Build:
    """Builds, and counts how often."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.count = engine, 0

    def __call__(self) -> Engine:
        self.count += 1
        return self.engine


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache(tmp_path / "cache")


def names(cache: EngineCache, pattern: str = "*.engine*") -> list[str]:
    return sorted(path.name for path in cache.folder.glob(pattern))


def test_an_engine_is_built_once(cache: EngineCache) -> None:
    build = Build(engine_of())
    engine, path = cache.get(WANTED, MANIFEST, build)
    assert engine == engine_of() == read_engine(path)
    assert path.parent == cache.folder
    assert cache.get(WANTED, MANIFEST, build) == (engine, path)
    assert EngineCache(cache.folder).get(WANTED, MANIFEST, build) == (engine, path)
    assert build.count == 1
    assert names(cache) == [path.name]


@pytest.mark.parametrize(
    "change",
    [
        {"model_sha256": "cd" * 32},
        {"flavour": "tensorrt"},
        {"version": "1.2.3.5"},
        {"target": "sm86"},
        {"precision": "f32"},
        {"profile": Profile(tile=128, batch=(1, 1, 4))},
        {"profile": Profile(tile=64, batch=(1, 1, 8))},
    ],
)
def test_whatever_an_engine_depends_on_is_an_engine_of_its_own(cache: EngineCache, change: dict[str, Any]) -> None:
    cache.get(WANTED, MANIFEST, Build(engine_of()))
    other = replace(WANTED, **change)
    build = Build(engine_of(other))
    engine, _ = cache.get(other, MANIFEST, build)
    assert (engine, build.count) == (engine_of(other), 1)
    assert len(names(cache)) == 2
    # and one that lies under the other's name is not taken for it
    cache.folder.joinpath(other.name + ".engine").write_bytes(
        cache.folder.joinpath(WANTED.name + ".engine").read_bytes()
    )
    assert cache.get(other, MANIFEST, build)[0] == engine_of(other)
    assert build.count == 2


def cut(content: bytes) -> bytes:
    return content[:-1]


def flipped(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [(cut, "the plan is cut off"), (flipped, "the plan is damaged"), (lambda _: b"", "not an engine file")],
)
def test_a_damaged_engine_is_built_again_with_a_line_that_says_so(
    cache: EngineCache, damage: Callable[[bytes], bytes], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    build = Build(engine_of())
    _, path = cache.get(WANTED, MANIFEST, build)
    path.write_bytes(damage(path.read_bytes()))
    assert cache.get(WANTED, MANIFEST, build)[0] == engine_of()
    assert build.count == 2
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert message in warning
    assert str(path) in warning
    assert warning.endswith("It is compiled again.")


def test_a_build_that_fails_leaves_nothing(cache: EngineCache) -> None:
    def fails() -> Engine:
        raise ExportError("Det is not known.")

    with pytest.raises(ExportError, match="Det is not known"):
        cache.get(WANTED, MANIFEST, fails)
    assert names(cache) == []
    cache.get(WANTED, MANIFEST, Build(engine_of()))  # the lock is free


def test_a_compiler_that_makes_something_else_is_not_believed(cache: EngineCache) -> None:
    with pytest.raises(EngineError, match=r"^the compiler made something else than tiny 0\.1 to fp16 for sm75\."):
        cache.get(WANTED, MANIFEST, Build(engine_of(replace(WANTED, target="sm86"))))
    assert names(cache) == []


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    several = [replace(WANTED, model_sha256=digit * 64) for digit in "0123"]
    plans = [b"p" * 10_000] * 4
    cache = EngineCache(tmp_path, most=35_000)
    for age, (wanted, plan) in enumerate(zip(several[:3], plans, strict=False)):
        _, path = cache.get(wanted, MANIFEST, Build(engine_of(wanted, plan)))
        os.utime(path, (age, age))
    (tmp_path / f"{several[0].name}.kernels").write_bytes(b"k" * 100)
    (tmp_path / f"{several[1].name}.kernels").write_bytes(b"k" * 100)
    cache.get(several[0], MANIFEST, Build(engine_of()))  # used now, so it stays
    cache.get(several[3], MANIFEST, Build(engine_of(several[3], plans[3])))
    assert names(cache, "*") == sorted(
        [*(f"{several[i].name}.engine" for i in (0, 2, 3)), f"{several[0].name}.kernels", "lock"]
    )
    EngineCache(tmp_path, most=0).get(WANTED, MANIFEST, Build(engine_of()))
    assert names(cache) == [f"{WANTED.name}.engine"]  # the one that is needed is kept, however small the limit


def folder_of_kernels(folder: Path, model: str, size: int, age: int) -> Path:
    """As ONNX Runtime fills it."""
    kernels = EngineCache(folder, most=1 << 40).kernels_folder(model * 64)
    (kernels / "deeper").mkdir(exist_ok=True)
    (kernels / "deeper" / "graph.bin").write_bytes(b"k" * size)
    os.utime(kernels, (age, age))
    return kernels


def test_kernels_of_onnx_runtime_count_and_make_room(tmp_path: Path) -> None:
    old, new = (folder_of_kernels(tmp_path, model, 50_000, age) for age, model in enumerate("ab"))
    _, engine = EngineCache(tmp_path, most=1 << 40).get(WANTED, MANIFEST, Build(engine_of()))
    os.utime(engine, (5, 5))
    cache, other = EngineCache(tmp_path, most=80_000), replace(WANTED, target="sm86")
    cache.get(other, MANIFEST, Build(engine_of(other)))
    assert (old.exists(), new.exists(), engine.exists()) == (False, True, True)
    # What ONNX Runtime has written since makes room when it is used next, and stays itself.
    (new / "more.bin").write_bytes(b"k" * 50_000)
    assert cache.kernels_folder("b" * 64) == new
    assert (new / "more.bin").exists()
    assert names(cache) == []
    assert EngineCache(tmp_path, most=0).kernels_folder("c" * 64).is_dir()
    assert names(cache, "*") == ["lock", f"onnxruntime-{'c' * 32}"]


def test_kernels_whose_engine_is_gone_make_room_too(tmp_path: Path) -> None:
    orphan = tmp_path / f"{'0' * 32}.kernels"
    orphan.write_bytes(b"k" * 50_000)
    os.utime(orphan, (1, 1))
    _, engine = EngineCache(tmp_path, most=1 << 40).get(WANTED, MANIFEST, Build(engine_of()))
    other = replace(WANTED, target="sm86")
    EngineCache(tmp_path, most=40_000).get(other, MANIFEST, Build(engine_of(other)))
    assert (orphan.exists(), engine.exists()) == (False, True)


def test_what_is_not_of_the_cache_neither_counts_nor_goes(tmp_path: Path) -> None:
    (tmp_path / "photographs").mkdir()
    mine = [tmp_path / "photographs" / "eye.jpg", tmp_path / "fundus.engine", tmp_path / "fundus.kernels"]
    for path in mine:
        path.write_bytes(b"m" * 50_000)
    _, engine = EngineCache(tmp_path, most=20_000).get(WANTED, MANIFEST, Build(engine_of()))
    EngineCache(tmp_path, most=20_000).kernels_folder("a" * 64)
    assert [path.exists() for path in (*mine, engine)] == [True] * 4


def test_a_file_that_goes_while_the_cache_looks_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft = tmp_path / f"{'0' * 32}.kernels.07ab07ab.tmp"
    draft.touch()
    fullmatch = cache_module._ENTRY_NAME.fullmatch

    def seen_and_gone(name: str) -> Any:
        draft.unlink(missing_ok=True)  # its writer is done
        return fullmatch(name)

    monkeypatch.setattr(cache_module, "_ENTRY_NAME", SimpleNamespace(fullmatch=seen_and_gone))
    EngineCache(tmp_path).kernels_folder("a" * 64)


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache, build = EngineCache(tmp_path / "file" / "cache"), Build(engine_of())
    with pytest.raises(
        EngineError, match=r"^the cache of engines can't be written: .*VESSELRT_CACHE.*vesselrt compile"
    ):
        cache.get(WANTED, MANIFEST, build)
    assert build.count == 0


def test_a_full_disk_leaves_what_was_there(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    _, path = cache.get(WANTED, MANIFEST, Build(engine_of()))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    other = replace(WANTED, target="sm86")
    with pytest.raises(EngineError, match=r"can't be written: .*No space left on device\. Name another folder"):
        cache.get(other, MANIFEST, Build(engine_of(other)))
    assert names(cache) == [path.name]
    assert cache.get(WANTED, MANIFEST, Build(engine_of()))[0] == engine_of()


def test_the_environment_names_folder_and_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VESSELRT_CACHE", str(tmp_path))
    monkeypatch.setenv("VESSELRT_CACHE_MB", "2")
    cache = EngineCache()
    assert (cache.folder, cache._max_bytes) == (tmp_path, 2_000_000)
    monkeypatch.delenv("VESSELRT_CACHE")
    monkeypatch.delenv("VESSELRT_CACHE_MB")
    assert EngineCache().folder.parts[-2:] == ("vesselrt", "engines")
    monkeypatch.setenv("VESSELRT_CACHE_MB", "much")
    with pytest.raises(OptionError, match=r"^VESSELRT_CACHE_MB is 'much'\. Expected a number of MB\.$"):
        EngineCache()


def test_without_a_compiler_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    with pytest.raises(DeviceError, match=r"^nothing here compiles engines\. Run: pip install 'vesselrt\[tensorrt\]'"):
        installed_compiler()


# Several processes. Each runs this file as a program: FOLDER_VARIABLE build | hang-in-build | hang-in-write


def start(folder: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", __file__, str(folder), how]
    tests = str(Path(__file__).resolve().parents[2])  # what this file stands on
    path = os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_of_several_processes_one_builds(tmp_path: Path) -> None:
    processes = [start(tmp_path, "build") for _ in range(3)]
    said = sorted(process.communicate(timeout=60)[0] for process in processes)
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert said == ["", "", "built\n"]
    assert read_engine(tmp_path / f"{WANTED.name}.engine") == engine_of()


@pytest.mark.parametrize("how", ["hang-in-build", "hang-in-write"])
def test_a_process_that_is_killed_leaves_nothing_in_the_way(tmp_path: Path, how: str) -> None:
    process = start(tmp_path, how)
    assert process.stdout is not None
    assert process.stdout.readline() == "hanging\n"
    waiting = start(tmp_path, "build")  # a second one waits for the lock, until the first is killed
    time.sleep(0.3)
    assert waiting.poll() is None
    assert len(list(tmp_path.glob("*.tmp"))) == (how == "hang-in-write")
    kill(process)
    assert waiting.communicate(timeout=60)[0] == "built\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["lock", f"{WANTED.name}.engine"])


def main() -> None:
    """The program that the tests above start."""
    folder, how = Path(sys.argv[1]), sys.argv[2]

    def hang(*_: object) -> None:
        print("hanging", flush=True)
        time.sleep(600)

    def build() -> Engine:
        if how == "hang-in-build":
            hang()
        if how == "build":
            time.sleep(0.3)
            print("built", flush=True)
        return engine_of()

    if how == "hang-in-write":
        os.fsync = hang  # type: ignore[assignment]
    EngineCache(folder).get(WANTED, MANIFEST, build)


if __name__ == "__main__":
    main()


def test_what_a_library_compiled_is_kept_and_counts(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "cache", most=250)
    for number in range(3):
        cache.keep_compiled(f"{number:032x}", bytes([number]) * 80)
        os.utime(cache.folder / f"{number:032x}.openvino", (number, number))
    assert cache.read_compiled(f"{0:032x}") is None  # removed to make room: each has 112 bytes
    assert cache.read_compiled(f"{1:032x}") == b"\1" * 80
    (cache.folder / f"{4:032x}.openvino.ab12.tmp").write_bytes(b"of a process that was killed")
    cache.keep_compiled(f"{5:032x}", b"new")
    assert names(cache, "*.tmp") == []


def test_nobody_waits_to_keep_what_was_compiled(cache: EngineCache) -> None:
    """Another process may hold the folder for minutes, while it compiles an engine."""
    with cache._locked(), pytest.raises(EngineError, match=r"^the cache of engines can't be written"):
        EngineCache(cache.folder).keep_compiled("ab" * 16, b"compiled")
    assert cache.read_compiled("ab" * 16) is None
