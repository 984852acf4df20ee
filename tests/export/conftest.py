"""What holds for all tests of export."""

import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from exporting import manifest_of, thin
from safetensors.torch import save_file
from sources import FIELDS, Run
from torch import nn

from vesselrt import cli


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The networks are tiny: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line, word by word, in an empty folder: its exit code, and what it said on both streams."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [*words])
        code = 0
        try:
            cli.main()
        except SystemExit as done:
            code = int(done.code or 0)
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def vesselrt(run_command: Callable[..., tuple[int, str, str]], tmp_path: Path) -> Run:
    """The command line in an empty folder that holds network.yaml of the page."""
    (tmp_path / "network.yaml").write_text(yaml.safe_dump(FIELDS))
    return lambda line: run_command(*shlex.split(line))


@pytest.fixture
def vesselrt_export(run_command: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    return lambda *arguments: run_command("vesselrt", "export", *map(str, arguments))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A module of the user's own in the folder where the command is run, with weights and a manifest."""
    (tmp_path / "ownnets").mkdir()
    (tmp_path / "ownnets" / "thin.py").write_text(
        "from torch import nn\n\n\ndef build():\n    return nn.Conv2d(3, 1, 3, padding=1)\n"
    )
    for name in ("ownnets", "ownnets.thin"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    network = thin()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    fields = manifest_of("rgb", multiple=1, margin=1).model_dump(mode="json", exclude={"provenance", "schema_version"})
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(fields))
    return network
