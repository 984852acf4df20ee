"""Dockerfile.trt without Docker: its scripts, its health check and its context; `make lint` reads it with hadolint."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import typer
import yaml

from vesselrt.cli import app
from vesselrt.runtime.engines.enginefile import read_engine
from vesselrt.server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
IGNORE = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
LET_THROUGH = [line.removeprefix("!") for line in IGNORE if line.startswith("!")]


def stages(name: str) -> list[list[tuple[str, str]]]:
    """The instructions of each stage, (name, arguments)."""
    text = re.sub(r"^#.*\n", "", (ROOT / name).read_text("utf-8"), flags=re.MULTILINE)
    lines = [line.split(maxsplit=1) for line in text.replace("\\\n", "").splitlines() if line]
    starts = [i for i, (name, _) in enumerate(lines) if name == "FROM"]
    return [[(name, rest) for name, rest in lines[a:b]] for a, b in zip(starts, [*starts[1:], None], strict=True)]


PAGE, BUILD, FINAL = stages("Dockerfile.trt")
CPU_PAGE, CPU_BUILD, CPU_FINAL = stages("Dockerfile")


def arguments(stage: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for instruction, rest in stage if instruction == name]


def health_check(port: int) -> list[str]:
    """The command of the HEALTHCHECK, for this Python and another port."""
    (line,) = arguments(FINAL, "HEALTHCHECK")
    command: list[str] = json.loads(line.partition(" CMD ")[2])
    (exposed,) = arguments(FINAL, "EXPOSE")
    assert command[0] == "python"
    assert command[-1].count(exposed) == 1
    return [sys.executable, *command[1:-1], command[-1].replace(exposed, str(port))]


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([\w.+]+)", (ROOT / "requirements" / name).read_text("utf-8"), re.MULTILINE))


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What .dockerignore lets through."""
    folder = tmp_path_factory.mktemp("context")
    hidden = shutil.ignore_patterns(*(line.removeprefix("**/") for line in IGNORE if line.startswith("**/")))
    closed = {ROOT / line for line in IGNORE if line[0] not in "#!*"}

    def ignored(parent: str, names: list[str]) -> set[str]:
        return hidden(parent, names) | {name for name in names if Path(parent, name) in closed}

    for name in LET_THROUGH:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


# The file


def test_both_stages_stand_on_one_python() -> None:
    bases = [arguments(stage, "FROM")[0].split()[0] for stage in (BUILD, FINAL)]
    assert bases[0] == bases[1]
    assert re.fullmatch(r"python:\d\.\d+-slim-[a-z]+", bases[0])


def test_nothing_is_named_that_the_context_lacks(context: Path) -> None:
    sources = [a for stage in (PAGE, BUILD, FINAL) for a in arguments(stage, "COPY") if "--from=" not in a]
    assert sources
    assert [s for s in sources if not all((context / name).exists() for name in s.split()[:-1])] == []
    assert [name for name in LET_THROUGH if not (ROOT / name).exists()] == []


def test_the_context_is_closed_but_for_what_is_named() -> None:
    rules = [line for line in IGNORE if not line.startswith("#")]
    assert rules[0] == "*"
    assert rules[-3:] == ["**/.*", "**/__pycache__", "**/*.egg-info"]  # last, so that no folder let through brings them


def test_what_is_copied_from_the_build_keeps_its_place() -> None:
    copied = [a.split()[-2:] for a in arguments(FINAL, "COPY")]  # an environment can't be moved
    assert copied == [["/opt/vesselrt"] * 2, ["/srv/vesselrt"] * 2]


def test_the_image_does_not_run_as_root() -> None:
    (user,) = arguments(FINAL, "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    (copied,) = [a for a in arguments(FINAL, "COPY") if a.endswith(" /srv/vesselrt")]
    assert f"--chown={user} " in copied
    names = [name for name, _ in FINAL]
    assert max(i for i, name in enumerate(names) if name in {"RUN", "COPY"}) < names.index("USER")


def test_what_it_serves_is_what_it_built() -> None:
    (command,) = arguments(FINAL, "CMD")
    words = json.loads(command)
    group = typer.main.get_command(app)
    serve = group.get_command(typer.Context(group), words[0])  # type: ignore[attr-defined]
    assert {word for word in words if word.startswith("--")} <= {o for p in serve.params for o in p.opts}
    assert shlex.split(arguments(BUILD, "RUN")[-1])[-1] == words[words.index("--model") + 1]


@pytest.mark.parametrize("build", [BUILD, CPU_BUILD])
def test_the_page_is_built_and_not_taken_from_whoever_builds(build: list[tuple[str, str]], context: Path) -> None:
    assert not (context / "server/static/page").exists()
    assert not (context / "server/web/node_modules").exists()
    (place,) = arguments(PAGE, "WORKDIR")
    page = f"{Path(place).parent}/static/page"  # where server/web/scripts/place.mjs puts it
    copied = ("COPY", f"--from=page {page} server/static/page")
    assert build.index(("COPY", ". .")) < build.index(copied)
    assert all(name != "RUN" for name, _ in build[build.index(("COPY", ". .")) : build.index(copied)])


# The lock


def test_the_image_runs_what_the_tests_run() -> None:
    ours, tested = pins("trt.txt"), pins("dev.txt") | pins("torch-cuda.txt")
    assert {name: version for name, version in ours.items() if tested.get(name, version) != version} == {}


def test_the_lock_holds_the_extra_and_the_run_lock() -> None:
    extras = SETTINGS["project"]["optional-dependencies"]
    assert "vesselrt[engines]" in extras["tensorrt"]
    lines = [line for line in extras["tensorrt"] + extras["engines"] if not line.startswith("vesselrt[")]
    named = {re.split(r"[<>=; \[]", line)[0] for line in lines}
    assert named | set(pins("run.txt")) <= set(pins("trt.txt"))


# The health check


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server on a free port that answers /health with `status`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_healthy_is_ready_and_not_only_alive(status: int, healthy: bool) -> None:
    with answering(status) as port:
        # A proxy that docker hands to containers is not asked.
        done = subprocess.run(health_check(port), env={"http_proxy": "http://127.0.0.1:9"}, check=False)
    assert done.returncode == (0 if healthy else 1)


def test_a_server_that_is_not_there_is_not_healthy() -> None:
    done = subprocess.run(health_check(free_port()), capture_output=True, check=False)
    assert done.returncode == 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# The scripts


def test_the_context_makes_the_whole_wheel(context: Path, tmp_path: Path) -> None:
    shutil.copytree(context, tmp_path / "build", symlinks=True)
    page = {f"server/static/page/{name}" for name in ("index.html", "licences.txt", "_next/static/chunks/0-a_b.js")}
    for name in page:  # as `make web` leaves them
        (tmp_path / "build" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "build" / name).write_text("built", "utf-8")
    # What an earlier build left, to its end and not to its end, is not packed again.
    for left in ("build/lib/vesselrt/gone.py", f"build/bdist.{sysconfig.get_platform()}/wheel/vesselrt/gone.py"):
        (tmp_path / "build" / left).parent.mkdir(parents=True)
        (tmp_path / "build" / left).write_text("stale", "utf-8")
    make = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    command = [sys.executable, "-c", make, str(tmp_path)]
    subprocess.run(command, cwd=tmp_path / "build", check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    folders = SETTINGS["tool"]["setuptools"]["package-dir"]
    sources = {f"{p.replace('.', '/')}/{f.name}" for p, folder in folders.items() for f in (ROOT / folder).glob("*.py")}
    assert sources | {"vesselrt/runtime/models/fundus.onnx", "vesselrt/server/static/fallback.html"} <= held
    assert {f"vesselrt/{name}" for name in page} <= held
    assert not any("/web/" in name for name in held), "the page's sources are not shipped"
    assert "vesselrt/gone.py" not in held
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = archive.read(name).decode()
    assert "Description-Content-Type: text/markdown" in metadata
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", metadata) == [], "links that lead nowhere on an index page"


@pytest.mark.parametrize(
    ("made", "accepted"), [("sm75 in fp16", True), ("sm75 in f32", False), ("sm75, sm86 in fp16", False)]
)
def test_only_an_fp16_engine_for_one_kind_of_gpu_is_accepted(made: str, accepted: bool, tmp_path: Path) -> None:
    """In an environment whose programs only note how they are called."""
    programs = {"python": "", "vesselrt": f'[ "$1" = compile ] || echo "  engine     TensorRT for RTX 1.7 for {made}"'}
    (tmp_path / "bin").mkdir()
    for name, body in programs.items():
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/calls\n{body}\n', "utf-8")
        program.chmod(0o755)
    engine = tmp_path / "engines" / "a.engine"
    script = [str(ROOT / "docker" / "engine.sh"), str(tmp_path), "sm75", str(engine)]
    done = subprocess.run(script, check=False, capture_output=True, text=True)
    calls = (tmp_path / "calls").read_text("utf-8").splitlines()
    assert done.returncode == (0 if accepted else 1)
    assert (made in done.stderr) is not accepted
    assert f"vesselrt compile fundus --target sm75 --out {engine}" in calls
    assert any("uninstall" in call for call in calls) is accepted


@pytest.mark.slow
def test_the_build_makes_an_environment_that_serves(context: Path, tmp_path: Path) -> None:
    built = tmp_path / "image"
    run_build(context, built)

    engine = read_engine(built / "srv/vesselrt/fundus.engine")
    assert (engine.header.targets, engine.manifest.precision) == (("sm75",), "fp16")
    assert all((built / a.split()[-2].lstrip("/")).exists() for a in arguments(FINAL, "COPY"))

    programs = built / "opt/vesselrt/bin"
    find = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n)))"
    names = ["torch", "onnx", "setuptools", "pip", "openvino", "tensorrt_rtx", "cuda", "onnxruntime"]
    found = subprocess.run(
        [programs / "python", "-c", find, *names], env={}, check=True, capture_output=True, text=True
    )
    assert found.stdout.split() == ["tensorrt_rtx", "cuda", "onnxruntime"]

    (command,) = arguments(FINAL, "CMD")
    words = [word.replace("/srv/", f"{built}/srv/") for word in json.loads(command)]
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([programs / "vesselrt", *words], env=hidden, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("error: ")) == (1, "", 1)
    port = free_port()
    with subprocess.Popen([programs / "vesselrt", "serve", "--port", str(port), "--device", "cpu"], env={}) as server:
        try:
            assert becomes_healthy(port, seconds=60)
        finally:
            server.terminate()


def run_build(context: Path, built: Path) -> None:
    """The RUN instructions of the build stage, in a clean environment, with `built` in place of /."""
    defaults = dict(argument.split("=") for argument in arguments(BUILD, "ARG"))
    # Of this environment only what says where packages come from.
    kept = {
        k: v for k, v in os.environ.items() if k in {"HOME", "LANG"} or re.match("PIP_|SSL_|REQUESTS_|.*_proxy$", k)
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"
    for line in arguments(BUILD, "RUN"):
        command = re.sub(r"^(--\S+ )*", "", line).replace(" /", f" {built}/")
        subprocess.run(["sh", "-euc", command], cwd=context, env={**kept, **defaults, "PATH": path}, check=True)


def becomes_healthy(port: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if subprocess.run(health_check(port), capture_output=True, check=False).returncode == 0:
            return True
        time.sleep(0.2)
    return False


# The image without a GPU, and compose.yaml


def test_the_plain_image_is_made_like_the_other(context: Path) -> None:
    for name in ("FROM", "USER", "WORKDIR", "EXPOSE", "ENTRYPOINT"):
        assert arguments(CPU_FINAL, name) == arguments(FINAL, name)
    check, other = (arguments(stage, "HEALTHCHECK")[0].partition(" CMD ")[2] for stage in (CPU_FINAL, FINAL))
    assert check == other
    assert json.loads(arguments(CPU_FINAL, "CMD")[0]) == ["serve", "--host", "0.0.0.0"]
    assert CPU_PAGE == PAGE
    names = [name for name, _ in CPU_FINAL]
    assert max(i for i, name in enumerate(names) if name in {"RUN", "COPY"}) < names.index("USER")
    sources = [a for a in arguments(CPU_BUILD, "COPY") if "--from=" not in a]
    assert [s for s in sources if not all((context / name).exists() for name in s.split()[:-1])] == []


def test_compose_sets_what_there_is_and_takes_what_it_can_away() -> None:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    service = document["services"]["vesselrt"]
    given = {name.removeprefix("VESSELRT_").lower(): value for name, value in service["environment"].items()}
    assert given.pop("secrets") == "/run/secrets"
    settings = ServerSettings(**given)
    (secret,) = document["secrets"]
    assert secret.removeprefix("vesselrt_") in ServerSettings.model_fields
    assert int(service["stop_grace_period"].removesuffix("s")) > settings.drain
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
