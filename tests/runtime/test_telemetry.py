"""Nothing is told to anybody: what commands write and whom they call, in an empty home.

Three look on: what lies in the home at the end; Python's audit hooks; and, where it is installed and allowed, strace,
which sees libraries in C++ too.
"""

import hashlib
import http.client
import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

import vesselrt
from vesselrt.runtime import telemetry

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(vesselrt.__file__).parent.parent

HOOK = r"""
import os, sys

log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CALLS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
LOOKUPS = {"socket.getaddrinfo", "socket.gethostbyname"}

def hear(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)) and arguments[2] & WRITING:
        told = "write", os.path.abspath(os.fsdecode(arguments[0]))
    elif event == "os.mkdir":
        told = "write", os.path.abspath(os.fsdecode(arguments[0]))
    elif event in CALLS and arguments[0].family.name != "AF_UNIX":
        told = "call", event, arguments[1]
    elif event in LOOKUPS and arguments[0] != "127.0.0.1":
        told = "call", event, arguments[0]
    else:
        return
    os.write(log, (" ".join(map(str, told)) + "\n").encode(errors="backslashreplace"))

sys.addaudithook(hear)
"""
"""As `sitecustomize`, it runs at the start of every Python process that inherits the environment."""

LIBRARY = """
import vesselrt
from pathlib import Path
Path("out").mkdir()
for device in ("cpu:openvino", "cpu:onnxruntime"):
    with vesselrt.load(device=device) as segmenter:
        result = segmenter.segment("photo.jpg")
        for form in ("mask", "probability", "overlay", "svg", "geojson", "json"):
            Path("out", form).write_bytes(result.encode(form))
"""
CLI = ("-m", "vesselrt.cli")
COMMANDS: dict[str, tuple[str, ...]] = {
    "library": ("-c", LIBRARY),
    "predict": (*CLI, "predict", "photo.jpg", "--out", "out"),
    "serve": (*CLI, "serve", "--port", "0", "--workers", "2"),
    "train": (*CLI, "train", "recipe.yaml", "--data", ".", "--run", "out/run"),
    "export": (
        *CLI,
        "export",
        "nets:thin",
        *("--weights", "thin.pth", "--manifest", "manifest.yaml"),
        "-o",
        "out/x.onnx",
    ),
}
MANIFEST: dict[str, Any] = {
    "name": "tiny",
    "version": "0.1",
    "licence": "CC0-1.0",
    "description": "Trained on pictures that were never taken.",
    "preparation": {"channels": "green", "field_of_view": 96},
    "input": {"mean": [0.3], "std": [0.2]},
    "tile": {"size": 64, "multiple": 4, "margin": 8},
}
RECIPE: dict[str, Any] = {
    **MANIFEST,
    "data": [{"kind": "folder", "path": "eyes", "name": "eyes", "terms": "CC0-1.0"}],
    "network": {"factory": "vesselrt.training.networks:VesselNet", "arguments": {"channels": 1, "widths": [4, 8]}},
    "cameras": {"sensor": [64, 96]},
    "held_out_cameras": False,
    "schedule": {"steps": 2, "batch": 2, "crop": 32, "warmup": 1, "validate_every": 2},
    "precision": "f32",
}
_FONTS = {f"home/{name}" for name in (".cache", ".config", ".cache/matplotlib", ".config/matplotlib")}
_COMPILED = {f"home/{name}" for name in (".cache", ".cache/vesselrt", ".cache/vesselrt/engines")}
KEPT = {
    "library": _COMPILED,
    "predict": _COMPILED,
    "serve": _COMPILED,
    "train": {*_FONTS, *_COMPILED, "tmp/torchinductor"},
    "export": {*_COMPILED, "tmp/torchinductor"},
}
"""What may be left outside of the output, as docs/security.md says: compiled networks, a list of fonts, an empty folder
of PyTorch."""


_IN_CACHES = re.compile(r"/matplotlib/|/engines/(lock|[0-9a-f]{32}\.openvino)$")


@dataclass(frozen=True)
class Seen:
    """What was seen of one command."""

    folder: Path
    """Holds its `home`, `tmp` for temporary files, and `work`, its current folder, with `out` to write to."""
    audited: list[str]
    """Lines of the audit hook: `write PATH` or `call EVENT ADDRESS`."""
    traced: list[str] | None
    """Lines of strace; None: it can't look here."""

    def left(self) -> set[str]:
        """What lies outside of `work` at the end."""
        found = (path for place in ("home", "tmp") for path in (self.folder / place).rglob("*"))
        names = {str(path.relative_to(self.folder)) for path in found}
        return {re.sub(r"(torchinductor)_.*", r"\1", name) for name in names if not _IN_CACHES.search(name)}

    def strange(self, paths: set[str]) -> set[str]:
        """Of files that were written those that should not be: not the output's, nor temporary."""
        allowed = [
            self.folder / name
            for name in ("work/out", "tmp", "audit", "home/.cache/matplotlib", "home/.cache/vesselrt")
        ]
        allowed += [Path("/dev/null"), Path("/dev/shm")]
        found = {self.folder / "work" / path for path in paths} - {self.folder / name for name in _FONTS | _COMPILED}
        found -= {self.folder / "work"}  # a file without a name, by which a command tries whether it may write there
        return {str(path) for path in found if not any(path.is_relative_to(place) for place in allowed)}


@cache
def strace_works() -> bool:
    """It is installed, and this process may trace its children: containers often forbid it."""
    try:
        return subprocess.run(["strace", "-f", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, fundus_jpeg: bytes, fundus_photo: Callable[..., Photo]) -> Path:
    """What the commands read."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "photo.jpg").write_bytes(fundus_jpeg)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE), "utf-8")
    (folder / "manifest.yaml").write_text(yaml.safe_dump(MANIFEST), "utf-8")
    (folder / "nets.py").write_text("from torch import nn\n\ndef thin():\n    return nn.Conv2d(1, 1, 3, padding=1)\n")
    for i in range(6):
        image, truth = fundus_photo(100, 96, i)
        for kind, pixels in (("images", image[:, :, ::-1]), ("masks", truth * np.uint8(255))):
            (folder / "eyes" / kind).mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(folder / "eyes" / kind / f"{i}.png"), pixels)
    return folder


@pytest.fixture(scope="module")
def watch(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Seen]:
    """Runs one of `COMMANDS`, once for all tests."""

    @cache
    def run(name: str) -> Seen:
        if name in ("train", "export"):
            torch = pytest.importorskip("torch", reason="needs the extra train")
            torch.save(torch.nn.Conv2d(1, 1, 3).state_dict(), work / "thin.pth")
        folder = tmp_path_factory.mktemp(name)
        shutil.copytree(work, folder / "work")
        return watched(COMMANDS[name], folder, serve_one if name == "serve" else None)

    return run


def watched(command: tuple[str, ...], folder: Path, use: Callable[[subprocess.Popen[str]], None] | None = None) -> Seen:
    """Runs Python with `command` in `folder`/work to its end; `use` is given a command that stays, and ends it."""
    for name in ("home", "tmp", "hook", "work"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "hook" / "sitecustomize.py").write_text(HOOK, "utf-8")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": os.pathsep.join((str(folder / "hook"), str(SOURCES))),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AUDIT_LOG": str(folder / "audit"),
    }
    log, calls = folder / "strace", "connect,sendto,sendmsg,sendmmsg,openat,open,creat,mkdir,mkdirat"
    # -D: the command itself stays this process's child, which can end it.
    tracer = ["strace", "-D", "-f", "--seccomp-bpf", "-s", "300", "-o", str(log), "-e", calls] if strace_works() else []
    with subprocess.Popen(
        [*tracer, sys.executable, *command],
        cwd=folder / "work",
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            if use is not None:
                use(process)
            said = process.communicate(timeout=300)[0]
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, said
    traced = log.read_text("utf-8", "replace").splitlines() if tracer else None
    return Seen(folder, (folder / "audit").read_text("utf-8").splitlines(), traced)


def serve_one(process: subprocess.Popen[str]) -> None:
    """Has a server segment a photograph, and ends it."""
    assert process.stdout is not None
    said = process.stdout.readline()
    address = re.search(r"http://127\.0\.0\.1:(\d+)", said)
    assert address, said
    connection = http.client.HTTPConnection("127.0.0.1", int(address[1]), timeout=120)
    disc = cv2.circle(np.zeros((300, 300, 3), np.uint8), (150, 150), 140, (40, 80, 160), -1)
    connection.request("POST", "/predict", cv2.imencode(".png", disc)[1].tobytes(), {"Content-Type": "image/png"})
    answer = connection.getresponse()
    assert (answer.status, answer.read(4)) == (200, b"\x89PNG")
    connection.close()
    process.terminate()


def audited_writes(seen: Seen) -> set[str]:
    return {line.removeprefix("write ") for line in seen.audited if line.startswith("write ")}


def traced_writes(seen: Seen) -> set[str]:
    """Files opened to be written, and folders made."""
    opened = re.compile(r'open(?:at)?\([^"]*"([^"]+)", [A-Z_|]*O_(?:WRONLY|RDWR|CREAT)')
    made = re.compile(r'(?:mkdir|mkdirat|creat)\([^"]*"([^"]+)"')
    found = (pattern.search(line) for line in seen.traced or () for pattern in (opened, made))
    return {match[1] for match in found if match}


WATCHED = [pytest.param(n, marks=[pytest.mark.slow] if n in ("train", "export") else []) for n in COMMANDS]


def audited_calls(seen: Seen) -> list[str]:
    return [line for line in seen.audited if line.startswith("call ")]


def traced_calls(seen: Seen) -> list[str]:
    """Processes of one machine may talk by AF_UNIX; a server answers on the connection that it accepted."""
    return [line for line in seen.traced or () if re.search(r"sa_family=AF_INET6?,", line)]


@pytest.mark.parametrize("name", WATCHED)
def test_nothing_is_left_written_or_called(name: str, watch: Callable[[str], Seen]) -> None:
    seen = watch(name)
    assert seen.left() <= KEPT.get(name, set())
    assert seen.strange(audited_writes(seen)) == set()
    assert audited_calls(seen) == []
    if name != "serve":
        assert any(f"{seen.folder.name}/work/out" in path for path in audited_writes(seen)), "the hook is not heard"


@pytest.mark.parametrize("name", WATCHED)
def test_nor_by_libraries_that_python_does_not_see(name: str, watch: Callable[[str], Seen]) -> None:
    if not strace_works():
        pytest.skip("strace is not installed, or may not trace here")
    seen = watch(name)
    assert seen.traced
    assert seen.strange(traced_writes(seen)) == set()
    assert traced_calls(seen) == []


def test_those_who_look_on_see(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        told = f"import socket, pathlib; socket.create_connection(('localhost', {port}))"
        seen = watched(("-c", f"{told}; (pathlib.Path.home() / 'id').touch(); pathlib.Path('x').mkdir()"), tmp_path)
    assert seen.left() == {"home/id"}
    expected = {str(tmp_path / "home" / "id"), str(tmp_path / "work" / "x")}
    assert seen.strange(audited_writes(seen)) == expected
    assert f"call socket.connect ('127.0.0.1', {port})" in audited_calls(seen)
    assert "call socket.getaddrinfo localhost" in audited_calls(seen)
    if strace_works():
        assert seen.strange(traced_writes(seen)) == expected
        assert any(f"htons({port})" in line for line in traced_calls(seen))


def test_an_address_that_was_named_is_all_that_is_called(work: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((work / "photo.jpg").read_bytes()).hexdigest()
    code = "import sys; from vesselrt.runtime.modelfile import find_model_file; find_model_file(sys.argv[1])"
    files = partial(http.server.SimpleHTTPRequestHandler, directory=work)
    with http.server.HTTPServer(("127.0.0.1", 0), files) as server:
        threading.Thread(target=server.handle_request).start()
        seen = watched(("-c", code, f"http://127.0.0.1:{server.server_port}/photo.jpg#sha256={digest}"), tmp_path)
    assert audited_calls(seen) == [f"call socket.connect ('127.0.0.1', {server.server_port})"]
    assert max(seen.left()) == f"home/.cache/vesselrt/models/{digest}.onnx"
    assert not strace_works() or len(traced_calls(seen)) == 1


# The user's own choice


@pytest.fixture
def _fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As in a process that has imported nothing."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    monkeypatch.delitem(sys.modules, "openvino_telemetry", raising=False)


@pytest.mark.usefixtures("_fresh")
def test_off_unless_it_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    telemetry.turn_off()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    with pytest.raises(ModuleNotFoundError):
        __import__("openvino_telemetry")


@pytest.mark.usefixtures("_fresh")
def test_a_choice_in_the_environment_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", "0")
    telemetry.turn_off()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "0"


@pytest.mark.usefixtures("_fresh")
@pytest.mark.parametrize(
    ("consent", "allowed"), [(b"1", True), (b"1\n", True), (b"0", False), (b"", False), (b"\xff", False)]
)
def test_a_consent_given_to_openvino_stands(consent: bytes, allowed: bool, tmp_path: Path) -> None:
    (tmp_path / "intel").mkdir()
    (tmp_path / "intel" / "openvino_telemetry").write_bytes(consent)
    telemetry.turn_off()
    assert ("openvino_telemetry" not in sys.modules) == allowed
