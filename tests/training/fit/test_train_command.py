"""`vesselrt train`, and the way of every built-in recipe from photographs to an answer."""

import asyncio
import json
import shlex
import sys
from pathlib import Path

import httpx
import pytest
import yaml
from fastapi import FastAPI
from tiny_training import (
    FIELDS,
    DrawPhoto,
    write_photo,
)
from typer.testing import CliRunner

import vesselrt
from vesselrt import cli
from vesselrt.runtime.modelfile import read_manifest
from vesselrt.server.http.application import create_app
from vesselrt.training.fit import recipe
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.synthetic import slitlamp

# Python 3.12 and later warn when a process with threads forks, as PyTorch's loader does.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")


SMALL = {
    "schedule.steps": 2,
    "schedule.batch": 1,
    "schedule.validate_every": 2,
    "held_out_cameras": "false",
    "final": "[]",
    "distillation": "null",
}


async def ask(app: FastAPI, photograph: bytes) -> httpx.Response:
    """What a server with this application answers."""
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://x") as client,
    ):
        return await client.post("/predict", content=photograph, headers={"Content-Type": "image/png"})


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(recipe.BUILT_IN.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_goes_from_training_to_an_answer(
    path: Path, data: Path, tmp_path: Path, fundus_photo: DrawPhoto
) -> None:
    checked = Recipe.read(path)
    changes, root, photograph = dict(SMALL), data, data / "eyes" / "images" / "0.png"
    unseen = tmp_path / "unseen" / "eyes"  # a folder is trained on whole
    write_photo(unseen / "images" / "9.png", unseen / "masks" / "9.png", fundus_photo(100, 96, 9))
    for number, data_set in enumerate(checked.data):
        changes[f"data.{number}.path"] = "eyes"
        if data_set.kind == "geojson":
            root, unseen, photograph = tmp_path, tmp_path / "eyes", tmp_path / "eyes" / "8.png"
            slitlamp.write_slit_lamp_data_set(tmp_path / "eyes", 9, height=96, width=128)
        else:
            changes[f"data.{number}.kind"] = "folder"
            if data_set.classes:  # evaluation does not read the recipe
                told = {"classes": data_set.model_dump(mode="json")["classes"], "ignore": {"colours": ["#ffffff"]}}
                (unseen / "dataset.json").write_text(json.dumps(told))
    if checked.preparation.field_of_view is not None:
        changes["preparation.field_of_view"] = 128
    settings = [part for name, value in changes.items() for part in ("--set", f"{name}={value}")]
    run, file = tmp_path / "run", tmp_path / "model.onnx"
    for command in (
        ["train", path.stem, "--data", root, "--run", run, *settings],
        ["export", run, "-o", file, "--data", root],
        ["evaluate", file, unseen, "--record"],
    ):
        done = CliRunner().invoke(cli.app, list(map(str, command)))
        assert done.exit_code == 0, done.output
    manifest = read_manifest(file)
    assert manifest.name == checked.name
    assert 0 <= manifest.provenance.metrics["eyes test"]["f1"] <= 1
    with vesselrt.load(file, precision="f32") as segmenter:
        expected = segmenter.segment(photograph).encode("mask")
        answer = asyncio.run(ask(create_app(segmenter, warm=True), photograph.read_bytes()))
    assert (answer.status_code, answer.content) == (200, expected)


def test_the_command_line_trains_and_says_what_comes_next(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = {"factory": "torch.nn:Conv2d", "arguments": {"in_channels": 1, "out_channels": 1, "kernel_size": 1}}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({**FIELDS, "network": network, "schedule": {"steps": 1}}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def run(command: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as done:
            cli.main()
        assert not done.value.code
        return capsys.readouterr()

    out, err = run(f"vesselrt train r.yaml --data {shlex.quote(str(data))} --set schedule.batch=3")
    assert json.loads(Path("runs/tiny/recipe.json").read_text())["schedule"]["batch"] == 3
    assert "s a step with its share of validation; at most " in err
    assert out.splitlines()[0] == "runs/tiny/best.pt"
    assert "5 training photographs, 1 validation photographs\n" in err
    assert "step 1  loss " in err
    following = out.splitlines()[1].removeprefix("next: ")
    assert following == f"vesselrt export runs/tiny -o tiny.onnx --data {data}"
    run(following)
    provenance = read_manifest(tmp_path / "tiny.onnx").provenance
    assert provenance.parity["f32"]["images"] == 4
    assert len(set(provenance.data[0].photographs)) == 6
    _, err = run(f"vesselrt evaluate tiny.onnx {shlex.quote(str(data / 'eyes'))} --kind folder")
    assert "not a test: tiny was trained on 6 of these photographs, 0, 1, 2, 3, 4, 5\n" in err.replace("\n0", " 0")
