"""A missing extra is one line that installs it, and nothing asks for more than it needs."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import onnx
import pytest
from commands import CPU, REPOSITORY, levels, save

from vesselrt import cli
from vesselrt.runtime.modelfile import find_model_file, read_manifest

# What isn't installed


BLOCKED = """
import sys
for name in {names!r}:
    sys.modules[name] = None
sys.argv = ["vesselrt", *{arguments!r}]
from vesselrt.cli import main
main()
"""


@pytest.mark.parametrize(
    ("names", "arguments", "doing", "extra"),
    [
        (["torch", "monai"], "train fundus --data .", "train", "train"),
        (["monai"], "train fundus --data .", "train", "train"),
        (["torch"], "export -o m.onnx --run .", "export", "export"),
        (["onnx"], "export -o m.onnx --run .", "export", "export"),
        (["skimage"], "evaluate fundus .", "evaluate", "evaluate"),
        (["skimage"], "compare fundus .", "compare", "evaluate"),
        (["skimage"], "measure . -o results.csv", "measure", "measure"),
        (["torch", "onnx"], "convert fundus -o m.onnx", "convert", "engines"),
    ],
)
def test_a_missing_extra_is_one_line_that_installs_it(
    tmp_path: Path, names: list[str], arguments: str, doing: str, extra: str
) -> None:
    code = BLOCKED.format(names=names, arguments=arguments.split())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: vesselrt {doing} needs packages that are not installed. Run: pip install 'vesselrt[{extra}]'\n"
    )


def test_what_a_model_file_is_needs_no_extra(tmp_path: Path) -> None:
    def info(names: list[str], file: str) -> subprocess.CompletedProcess[str]:
        code = BLOCKED.format(names=names, arguments=["info", file, "--json"])
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)

    done = info(["torch", "onnx", "yaml"], "fundus")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    model = onnx.load(find_model_file("fundus"))
    assert (told["kind"], told["opset"]) == ("model", model.opset_import[0].version)
    assert told["inputs"][0]["name"] == model.graph.input[0].name
    model.ClearField("metadata_props")
    onnx.save(model, tmp_path / "foreign.onnx")
    done = info(["onnx"], "foreign.onnx")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("Run: pip install 'vesselrt[engines]'\n")


def test_figures_are_recorded_without_torch(mirror: Path, measured: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", str(mirror), str(measured), "--record", *CPU]
    code = BLOCKED.format(names=["torch"], arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert "eyes test" in read_manifest(mirror).provenance.metrics
    code = BLOCKED.format(names=["torch", "onnx"], arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("packages that are not installed. Run: pip install 'vesselrt[engines]'\n")


def test_simplified_outlines_need_an_extra(mirror: Path, tmp_path: Path) -> None:
    save(tmp_path / "eye.png", levels(0))
    arguments = ["predict", "eye.png", "--format", "geojson", "--simplify", "1", "--model", str(mirror), *CPU]
    code = BLOCKED.format(names=["shapely"], arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: simplifying outlines needs packages that are not installed. Run: pip install 'vesselrt[outlines]'\n"
    )


def test_every_extra_that_is_named_exists() -> None:
    source = "".join(file.read_text("utf-8") for file in Path(cli.__file__).parent.glob("*.py"))
    named = set(re.findall(r'needs_extra\("[^"]+", "(\w+)"\)', source))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    assert named
    assert named <= set(project["optional-dependencies"])


def test_predict_needs_no_extra(mirror: Path, tmp_path: Path) -> None:
    save(tmp_path / "eye.png", levels(0))
    names = ["torch", "monai", "onnx", "skimage", "scipy", "matplotlib", "yaml", "safetensors", "shapely", "fastapi"]
    arguments = ["predict", "eye.png", "--model", str(mirror), *CPU]
    code = BLOCKED.format(names=names, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "eye-mask.png").is_file()
