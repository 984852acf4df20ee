"""What README.md promises is run."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from vesselrt.cli import app

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


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
    command = typer.main.get_command(app)
    known = command.get_command(typer.Context(command), arguments[0])  # type: ignore[attr-defined]
    assert known is not None, arguments[0]
    if arguments[0] == "bench":  # hands its arguments on
        from vesselrt.benchmarks.bench import app as bench

        known = typer.main.get_command(bench)
    offered = {option for parameter in known.params for option in parameter.opts}
    assert {a for a in arguments[1:] if a.startswith("-")} <= offered


def test_pictures_and_links_exist() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert targets
    assert [t for t in targets if not (Path(__file__).parents[2] / t).exists()] == []
