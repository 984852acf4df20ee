"""What README.md promises is run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from vesselrt import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
INSTALL, *_ = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_it_is_read_in_a_few_minutes() -> None:
    assert len(README.split()) <= 1200


@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code: str, fundus_jpeg: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "photo.jpg").write_bytes(fundus_jpeg)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("vesselrt ")]


@pytest.mark.parametrize("arguments", commands(), ids=" ".join)
def test_commands_have_these_options(arguments: list[str]) -> None:
    command = typer.main.get_command(cli.app)
    known = command.get_command(typer.Context(command), arguments[0])  # type: ignore[attr-defined]
    assert known is not None, arguments[0]
    if arguments[0] == "bench":  # hands its arguments on
        from vesselrt.benchmarks.bench import app as bench

        known = typer.main.get_command(bench)
    offered = {option for parameter in known.params for option in parameter.opts}
    assert {a for a in arguments[1:] if a.startswith("-")} <= offered


@pytest.mark.parametrize(
    "arguments", [c for c in commands() if c[0] in {"predict", "models"} and "my.onnx" not in c], ids=" ".join
)
def test_commands_run(
    arguments: list[str], fundus_jpeg: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photo.jpg").write_bytes(fundus_jpeg)
    (tmp_path / "server").symlink_to(ROOT / "server")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vesselrt", *arguments])
    with pytest.raises(SystemExit) as done:
        cli.main()
    assert done.value.code == 0
    if "-o" in arguments:
        assert Path(arguments[arguments.index("-o") + 1]).stat().st_size > 1000


@pytest.mark.slow
def test_the_first_lines_work_in_a_new_shell(tmp_path: Path) -> None:
    """In a copy of what is committed, with no environment active: installing draws packages from the index."""
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    copy = ["tar", "--create", "--null", "--files-from=-"]
    archive = subprocess.run(copy, cwd=ROOT, check=True, capture_output=True, input=files).stdout
    subprocess.run(["tar", "--extract"], cwd=tmp_path, check=True, input=archive)
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    path = f"{Path(sys.base_prefix) / 'bin'}{os.pathsep}{kept['PATH']}"
    done = subprocess.run(
        ["sh", "-e", "-c", INSTALL],
        cwd=tmp_path,
        env=kept | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "overlay.png").stat().st_size > 100_000


def test_pictures_and_links_exist() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert [t for t in targets if not (ROOT / t).exists()] == []
