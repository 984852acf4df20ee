"""Training on generated photographs: what a recipe may say, and that a run can be repeated, broken off and judged."""

import asyncio
import hashlib
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import cv2
import httpx
import numpy as np
import pytest
import torch
import yaml
from fastapi import FastAPI
from numpy.typing import NDArray
from torch import nn
from typer.testing import CliRunner

import vesselrt
from vesselrt import cli
from vesselrt.runtime.backends import to_bytes
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import read_manifest
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.application import create_app
from vesselrt.training.data.finding import find
from vesselrt.training.data.samples import Sample
from vesselrt.training.fit import loop, recipe, validation
from vesselrt.training.fit.loop import Crops, train
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.validation import HALF, Case
from vesselrt.training.networks import VesselNet
from vesselrt.training.synthetic import slitlamp

# Python 3.12 and later warn when a process with threads forks, as PyTorch's loader does.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]
Draw = Callable[[int, int, int], Photo]

FIELDS: dict[str, Any] = {
    "name": "tiny",
    "version": "0.1",
    "licence": "CC0-1.0",
    "description": "Trained on pictures that were never taken.",
    "seed": 7,
    "data": [{"kind": "folder", "path": "eyes", "name": "eyes", "terms": "CC0-1.0"}],
    "preparation": {"channels": "green", "field_of_view": 96},
    "input": {"mean": [0.3], "std": [0.2]},
    "tile": {"size": 64, "multiple": 4, "margin": 8},
    "network": {"factory": "vesselrt.training.networks:VesselNet", "arguments": {"channels": 1, "widths": [4, 8]}},
    "cameras": {"sensor": [64, 96]},
    "held_out_cameras": False,
    "schedule": {"steps": 4, "batch": 2, "crop": 32, "warmup": 2, "average": 0.5, "validate_every": 2},
    "precision": "f32",
}

STEADY = {
    "foreign": 0,
    "zoom": (1, 1),
    "stretch": 0,
    "blur": (0, 0),
    "noise": (0, 0),
    "gamma": (1, 1),
    "contrast": (1, 1),
    "illumination": 0,
    "haze": (0, 0),
    "crosstalk": 0,
}
"""A family of one camera, which changes nothing."""


def recipe_of(**changes: Any) -> Recipe:
    """The tiny recipe; a change of a section keeps the rest of the section."""
    fields = {k: {**FIELDS.get(k, {}), **v} if isinstance(v, dict) else v for k, v in changes.items()}
    return Recipe.model_validate({**FIELDS, **fields})


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The networks are tiny: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def _no_gpu() -> Iterator[None]:
    """What is compared bit by bit runs on the processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield


def write(image: Path, truth: Path, photo: Photo) -> None:
    for path, pixels in ((image, photo[0][:, :, ::-1]), (truth, photo[1] * np.uint8(255))):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, fundus_photo: Draw) -> Path:
    """Six photographs: the fifth is for validation."""
    root = tmp_path_factory.mktemp("data")
    for i in range(6):
        write(root / "eyes" / "images" / f"{i}.png", root / "eyes" / "masks" / f"{i}.png", fundus_photo(100, 96, i))
    return root


def contents(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def quiet(line: str) -> None:
    pass


# Recipes


@pytest.mark.parametrize("path", sorted(recipe.BUILT_IN.glob("*.yaml")), ids=lambda p: p.stem)
def test_built_in_recipes_are_valid_and_their_networks_small(path: Path) -> None:
    checked = Recipe.read(path)
    assert checked.name == path.stem
    network = checked.network.build()
    assert sum(p.numel() for p in network.parameters()) <= 5_000_000
    channels, tile = len(checked.input.mean), checked.tile
    # Two windows: of the smallest shape that tiling may ask for, or of the only one.
    height, width = (tile.size, tile.size) if tile.fixed else (2 * tile.multiple, 4 * tile.multiple)
    with torch.inference_mode():
        assert network.eval()(torch.zeros(2, channels, height, width)).shape == (2, 1, height, width)
        crop = checked.schedule.crop
        assert network(torch.zeros(1, channels, crop, crop)).shape == (1, 1, crop, crop)


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
    path: Path, data: Path, tmp_path: Path, fundus_photo: Draw
) -> None:
    checked = Recipe.read(path)
    changes, root, photograph = dict(SMALL), data, data / "eyes" / "images" / "0.png"
    unseen = tmp_path / "unseen" / "eyes"  # a folder is trained on whole
    write(unseen / "images" / "9.png", unseen / "masks" / "9.png", fundus_photo(100, 96, 9))
    for number, data_set in enumerate(checked.data):
        changes[f"data.{number}.path"] = "eyes"
        if data_set.kind == "geojson":
            root, unseen, photograph = tmp_path, tmp_path / "eyes", tmp_path / "eyes" / "8.png"
            slitlamp.write(tmp_path / "eyes", 9, height=96, width=128)
        else:
            changes[f"data.{number}.kind"] = "folder"
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
    assert manifest.name == path.stem
    assert 0 <= manifest.provenance.metrics["eyes test"]["f1"] <= 1
    with vesselrt.load(file, precision="f32") as segmenter:
        expected = segmenter.segment(photograph).encode("mask")
        answer = asyncio.run(ask(create_app(segmenter, warm=True), photograph.read_bytes()))
    assert (answer.status_code, answer.content) == (200, expected)


def test_the_built_in_model_learns_from_its_two_data_sets_alone() -> None:
    checked = Recipe.read(recipe.BUILT_IN / "fundus.yaml")
    assert [(d.kind, d.name) for d in checked.data] == [("chase_db1", "CHASE_DB1"), ("hrf", "HRF")]
    assert all(d.terms.startswith("CC BY 4.0") for d in checked.data)


def test_a_recipe_survives_its_file(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(FIELDS))
    (tmp_path / "r.json").write_text(recipe_of().model_dump_json())
    assert Recipe.read(tmp_path / "r.yaml") == Recipe.read(tmp_path / "r.json") == recipe_of()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"schedule": {"steps": 4, "epochs": 3}}, "schedule.epochs: Extra inputs are not permitted"),
        ({"cameras": {"blurr": 1}}, "cameras.blurr: Extra inputs are not permitted"),
        ({"name": None}, "name: Input should be a valid string"),
        ({"name": "Fundus 1"}, "name: String should match pattern"),
        ({"version": 1.0}, "version: Input should be a valid string"),
        ({"schedule": {"steps": "many"}}, "schedule.steps: Input should be a valid integer"),
        ({"schedule": {"steps": 0}}, "schedule.steps: Input should be greater than or equal to 1"),
        ({"schedule": {}}, "schedule.steps: Field required"),
        ({"data": []}, "data: Tuple should have at least 1 item"),
        (
            {"data": [{**FIELDS["data"][0], "kind": "retina"}]},
            "data.0.kind: Input should be 'drive', 'chase_db1', 'hrf'",
        ),
        ({"precision": "fp8"}, "precision: Input should be 'auto', 'f32', 'bf16' or 'fp16'"),
        (
            {"tile": {"size": 65, "multiple": 4, "margin": 8}},
            "tile: Value error, size 65 and margin 8 must be multiples of 4",
        ),
        ({"input": {"mean": [0.3] * 3, "std": [0.2] * 3}}, "Value error, input.mean and input.std need 1 value(s)"),
        ({"preparation": {"channels": "rgb"}}, "Value error, input.mean and input.std need 3 value(s)"),
        ({"seed": -5}, "seed: Input should be greater than or equal to 0"),
        ({"seed": 2**63}, "seed: Input should be less than"),
        ({"schedule": {"steps": 1, "crop": 100_000}}, "schedule.crop: Input should be less than or equal to 4096"),
        ({"cameras": {"foreign": 7}}, "cameras.foreign: Input should be less than or equal to 1"),
        ({"cameras": {"sensor": [0, 0]}}, "cameras.sensor.0: Input should be greater than 0"),
        ({"cameras": {"hand": [0, 0]}}, "cameras.hand.0: Input should be greater than 0"),
        ({"cameras": {"zoom": [0.5, float("inf")]}}, "cameras.zoom.1: Input should be a finite number"),
        ({"cameras": {"blur": [-1, 0]}}, "cameras.blur.0: Input should be greater than or equal to 0"),
        ({"cameras": {"jpeg": [35, 101]}}, "cameras.jpeg.1: Input should be less than or equal to 100"),
        ({"cameras": {"noise": [0.2, 0.1]}}, "cameras.noise: Value error, [0.2, 0.1] must begin with the smaller one"),
        ({"cameras": {"jpeg": [95, 35]}}, "cameras.jpeg: Value error, [95.0, 35.0] must begin with the smaller one"),
        ({"patches": {"zoom": [0, 1]}}, "patches.zoom.0: Input should be greater than 0"),
        ({"patches": {"contrast": [-1, 0]}}, "patches.contrast.0: Input should be greater than 0"),
        ({"patches": {"zoom": [1.1, 0.9]}}, "patches.zoom: Value error, [1.1, 0.9] must begin with the smaller one"),
        ({"data": FIELDS["data"] * 2}, "Value error, data sets that share a name: eyes. Give each its own"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({**FIELDS, **change}))
    with pytest.raises(DataError) as caught:
        Recipe.read(path)
    assert str(caught.value).startswith(f"{path}: not a valid recipe: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_wrong_field_is_named_at_once(tmp_path: Path) -> None:
    fields = {**FIELDS, "colour": "red", "seed": "x"}
    del fields["licence"]
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(fields))
    with pytest.raises(DataError) as caught:
        Recipe.read(tmp_path / "r.yaml")
    assert [name for name in ("licence: ", "seed: ", "colour: ") if name not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not a readable recipe (.*No such file"),
        (b"name: [tiny", "not a readable recipe (.*expected ',' or ']'"),
        (b"\xff\xfe\x00", "not a readable recipe ("),
        (b"", "not a valid recipe: file: Input should be a valid dictionary"),
        (b"- name", "not a valid recipe: file: Input should be a valid dictionary"),
        (b"!!python/object/apply:os.getcwd []", "not a readable recipe (.*could not determine a constructor"),
    ],
)
def test_what_is_no_recipe(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "r.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        Recipe.read(path)
    position = 0
    for part in message.split(".*"):
        position = str(caught.value).index(part, position)


@pytest.mark.parametrize(
    ("factory", "arguments"),
    [
        ("nowhere.nets:Net", {}),
        ("torch.nn", {}),
        ("torch.nn:Nothing", {}),
        (":Conv2d", {}),
        ("torch.nn:Conv2d", {"colour": 1}),
        ("torch:zeros", {"size": [-1]}),  # a RuntimeError
    ],
)
def test_a_network_that_cannot_be_built_is_named(factory: str, arguments: dict[str, Any]) -> None:
    checked = recipe_of(network={"factory": factory, "arguments": arguments})
    with pytest.raises(DataError, match=rf"^network {factory} can't be built: .*Expected package\.module:callable\.$"):
        checked.network.build()


CONVOLUTION = {"in_channels": 1, "out_channels": 2, "kernel_size": 1}
TRANSUNET = {"channels": 1, "tile": 64, "widths": [4, 4, 4, 4], "embedding": 4, "depth": 1, "heads": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": {"crop": 50}}, r"VesselNet does not take crops of shape \(2, 1, 50, 50\): .*\. Mend crop or"),
        (
            {"final": {"steps": 1, "batch": 1, "crop": 50}},
            r"VesselNet does not take crops of shape \(1, 1, 50, 50\): .*\. Mend crop or",
        ),
        (
            {"preparation": {"channels": "rgb"}, "input": {"mean": [0.3] * 3, "std": [0.2] * 3}},
            r"VesselNet does not take crops of shape \(2, 3, 32, 32\): .*\. Mend crop or the network's arguments\.$",
        ),
        (
            {"network": {"factory": "torch.nn:Conv2d", "arguments": CONVOLUTION}},
            r"Conv2d makes \(2, 2, 32, 32\) of crops .*\. Expected logits of shape \(2, 1, 32, 32\)\.$",
        ),
        (
            {"network": {"factory": "torch.nn:LSTM", "arguments": {"input_size": 32, "hidden_size": 32}}},
            r"torch\.nn:LSTM does not take crops of shape",
        ),
        (
            {"network": {"factory": "vesselrt.training.networks:TransUNet", "arguments": TRANSUNET}},
            r"TransUNet does not take crops of shape \(2, 1, 32, 32\): a window of 32 × 32 pixels\. Expected 64 × 64",
        ),
        (
            {"network": {"factory": "builtins:dict", "arguments": {}}},
            r"builtins:dict gives a dict\. Expected a torch\.nn\.Module\.$",
        ),
        ({"network": {"factory": "torch.nn:Identity", "arguments": {}}}, "Identity has no weights to train"),
    ],
)
def test_a_network_that_does_not_fit_is_named_before_anything_is_read(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=rf"^network .*{message}"):
        train(recipe_of(**changes), tmp_path / "nowhere", tmp_path / "run", quiet)
    assert not (tmp_path / "run").exists()


# The built-in network


@pytest.mark.parametrize(("channels", "widths"), [(1, (4, 8)), (3, (4, 8, 8)), (1, (16, 32, 64, 128))])
def test_vessel_net_keeps_the_size(channels: int, widths: tuple[int, ...]) -> None:
    network = VesselNet(channels, widths).eval()
    assert network.stride == 2 ** len(widths)
    with torch.inference_mode():
        for height, width in ((network.stride, network.stride), (2 * network.stride, 5 * network.stride)):
            assert network(torch.zeros(2, channels, height, width)).shape == (2, 1, height, width)


LEVELS = [((2, 2, 2), (2, 2)), ((1, 0, 2), (0, 1)), ((0, 1, 1), (1, 1))]


@pytest.mark.parametrize(("encoder", "decoder"), LEVELS)
def test_vessel_net_has_the_convolutions_it_is_told(encoder: tuple[int, ...], decoder: tuple[int, ...]) -> None:
    network = VesselNet(1, (8, 12, 16), encoder, decoder).eval()
    square = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.in_channels == m.out_channels]
    assert len(square) == sum(encoder) + sum(decoder)
    with torch.inference_mode():
        assert network(torch.zeros(2, 1, 16, 24)).shape == (2, 1, 16, 24)


@pytest.mark.parametrize(
    ("encoder", "decoder", "message"),
    [
        ((2, 2), (2, 2), "convolutions of 2 and 2 levels. Expected 3 in the encoder and 2 in the decoder"),
        ((2, 2, 2), (2, 2, 2), "convolutions of 3 and 3 levels. Expected 3 in the encoder and 2 in the decoder"),
        ((2, 2, 3), (2, 2), "3 convolutions at a level. Expected 0, 1 or 2"),
    ],
)
def test_convolutions_that_vessel_net_has_no_place_for(
    encoder: tuple[int, ...], decoder: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        VesselNet(1, (4, 8, 16), encoder, decoder)


def test_vessel_net_sees_no_further_than_the_recipes_margin() -> None:
    checked = Recipe.read(recipe.BUILT_IN / "fundus.yaml")
    network = checked.network.build().eval()
    for weight in network.parameters():
        nn.init.constant_(weight, 0.01)  # nothing cancels and no ReLU is shut: all that can be seen is seen
    pixels = torch.ones(1, len(checked.input.mean), 64, 2 * 256, requires_grad=True)
    network(pixels)[0, 0, :, 256].sum().backward()
    assert pixels.grad is not None
    seen = pixels.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
    radius = max(256 - int(seen.min()), int(seen.max()) - 256)
    assert 64 < radius <= checked.tile.margin


# Runs


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run."""
    return train(recipe_of(), data, tmp_path_factory.mktemp("whole"), quiet).parent


class PowerCutError(Exception):
    """Ends a run at a step, as a kill would: nothing of it is written any more."""


def cut_after(last: int) -> Callable[[int, int, float], None]:
    def advance(step: int, steps: int, loss: float) -> None:
        if step == last:
            raise PowerCutError

    return advance


def test_a_run_leaves_everything_behind(whole: Path) -> None:
    files = {"recipe.json", "photographs.json", "last.pt", "best.pt", "history.json", "curves.png", "predictions.png"}
    (board,) = set(contents(whole)) - files
    assert board.startswith("events.out.tfevents")
    assert files < set(contents(whole))
    assert Recipe.read(whole / "recipe.json") == recipe_of()
    history = json.loads((whole / "history.json").read_text())
    assert [h["step"] for h in history] == [2, 4]
    for entry in history:
        assert set(entry) == {"step", "loss", "rate", "score", "groups"}
        assert set(entry["groups"]) == {"eyes"}
        assert entry["score"] == entry["groups"]["eyes"]["f1"] <= entry["groups"]["eyes"]["best_f1"]
        assert 0 < entry["loss"] < 10
    curves = cv2.imread(str(whole / "curves.png"))
    assert curves is not None
    assert curves.shape == (400, 1000, 3)
    shown = cv2.imread(str(whole / "predictions.png"))
    assert shown is not None
    assert shown.shape == (640, 4 * 640, 3)  # one validation photograph: itself, truth, found, judged
    assert (shown[:600, 640:1220].min(), shown[:600, 640:1220].max()) == (0, 255)
    best = torch.load(whole / "best.pt", weights_only=True)
    assert set(best) == {"network", "step", "score", "shift"}
    assert best["score"] == max(h["score"] for h in history)
    assert best["step"] == next(h["step"] for h in history if h["score"] == best["score"])
    VesselNet(1, (4, 8)).load_state_dict(best["network"])


@pytest.mark.parametrize("last", [1, 3])
def test_a_run_that_was_cut_off_ends_like_one_that_was_not(data: Path, whole: Path, tmp_path: Path, last: int) -> None:
    run = tmp_path / "run"
    with pytest.raises(PowerCutError):
        train(recipe_of(), data, run, quiet, cut_after(last))
    assert (run / "last.pt").exists() == (last > 2)  # written after step 2
    steps: list[tuple[int, int]] = []
    said: list[str] = []
    best = train(recipe_of(), data, run, said.append, lambda step, total, loss: steps.append((step, total)))
    assert steps == [(step, 4) for step in (range(3, 5) if last > 2 else range(1, 5))]
    assert ("resuming after step 2" in said) == (last > 2)
    assert best == run / "best.pt"
    assert same(run, whole)


@pytest.mark.parametrize("last", [2, 4])
def test_a_run_is_kept_between_validations_too(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int
) -> None:
    monkeypatch.setattr(loop, "SAVED_EVERY", 0)
    with pytest.raises(PowerCutError):
        train(recipe_of(), data, tmp_path, quiet, cut_after(last))
    said: list[str] = []
    train(recipe_of(), data, tmp_path, said.append)
    assert f"resuming after step {last - 1}" in said
    assert same(tmp_path, whole)


def same(one: Path, other: Path) -> bool:
    """Bit by bit, except the files that hold times or are drawn."""
    for name in ("last.pt", "best.pt"):
        a, b = (torch.load(folder / name, weights_only=True) for folder in (one, other))
        if not equal(a, b):
            return False
    return all(
        (one / n).read_bytes() == (other / n).read_bytes() for n in ("recipe.json", "history.json", "curves.png")
    )


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(v, b[k]) for k, v in a.items())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


FINAL = {"steps": 4, "batch": 2, "crop": 32, "warmup": 1, "average": 0.5, "validate_every": 2, "foreign": 0.25}


@pytest.mark.parametrize("last", [1, 2])
def test_final_stages_go_on_from_the_best_weights_and_survive_a_cut(
    data: Path, whole: Path, tmp_path: Path, last: int
) -> None:
    staged = recipe_of(final=[FINAL, {**FINAL, "steps": 3, "thin": 0.5}])
    one, other = tmp_path / "one", tmp_path / "other"
    said: list[str] = []
    assert train(staged, data, one, said.append) == one / staged.outcome == one / "final-2.pt"
    # Five to train on, and the one of validation.
    assert {f"final stage {n}: 6 photographs, from step 0 to {steps}" for n, steps in ((1, 4), (2, 3))} <= set(said)
    states = [torch.load(one / f"{name}.pt", weights_only=True) for name in ("best", "final-1", "final-2")]
    best, *finals = states
    assert equal(best, torch.load(whole / "best.pt", weights_only=True)), "the stage before is the same without them"
    for before, state, steps in zip(states, finals, (4, 3), strict=False):
        assert set(state) == {"network", "step", "shift"}
        assert state["step"] == steps
        assert state["shift"] == best["shift"]
        assert not equal(state["network"], before["network"])

    def cut(step: int, steps: int, loss: float) -> None:
        if (other / "final-1.pt").exists():
            cut_after(last)(step, steps, loss)

    with pytest.raises(PowerCutError):
        train(staged, data, other, quiet, cut)
    assert not (other / "final-2.pt").exists()
    train(staged, data, other, quiet)
    for name, state in zip(("final-1", "final-2"), finals, strict=True):
        assert equal(state, torch.load(other / f"{name}.pt", weights_only=True))


PLATEAU = {"plateau": {"factor": 0.5, "patience": 0}, "steps": 8, "warmup": 0, "validate_every": 1, "average": 0.0}


def no_better(*_: Any) -> dict[str, NDArray[np.float64]]:
    return {"eyes": np.full(256, 0.25)}


def test_on_a_plateau_the_learning_rate_falls_and_a_cut_changes_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "validate", no_better)
    checked = recipe_of(schedule={**PLATEAU, "learning_rate": 0.5, "plateau": {"factor": 0.5, "patience": 1}})
    train(checked, data, tmp_path / "one", quiet)
    rates = [h["rate"] for h in json.loads((tmp_path / "one" / "history.json").read_text())]
    # The first score is the best; two in a row that are no better halve the rate of the step after them.
    assert rates == [0.5, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]
    with pytest.raises(PowerCutError):
        train(checked, data, tmp_path / "other", quiet, cut_after(5))
    train(checked, data, tmp_path / "other", quiet)
    assert same(tmp_path / "one", tmp_path / "other")


def test_a_run_without_a_better_score_ends_early_and_stays_ended(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "validate", no_better)
    checked = recipe_of(schedule={"steps": 9, "warmup": 0, "validate_every": 1, "patience": 3})
    said: list[str] = []
    best = train(checked, data, tmp_path, said.append)
    assert "no better score in 3 validations: ended after step 4" in said
    assert torch.load(best, weights_only=True)["step"] == 1
    before = contents(tmp_path)
    steps: list[int] = []
    train(checked, data, tmp_path, quiet, lambda step, *_: steps.append(step))
    assert steps == []
    assert contents(tmp_path) == before


def test_half_precision_scales_its_gradients(data: Path, tmp_path: Path) -> None:
    train(recipe_of(precision="fp16"), data, tmp_path, quiet)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["scaler"]["scale"] > 1
    assert all(torch.isfinite(v).all() for v in state["network"].values())


@pytest.mark.parametrize(("native", "gains", "expected"), [(1, 1, "bf16"), (0, 1, "f32"), (1, 0, "f32")])
def test_auto_takes_bf16_where_the_processor_has_instructions_and_gains_by_them(
    monkeypatch: pytest.MonkeyPatch, native: int, gains: int, expected: str
) -> None:
    monkeypatch.setattr(loop, "gains_by_bf16", lambda: gains)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert loop._arithmetic("auto", torch.device("cpu")) == expected
    assert loop._arithmetic("fp16", torch.device("cpu")) == "fp16"


@pytest.mark.parametrize("part", ["Image_01L", "Image_09L"])
def test_a_test_photograph_under_another_name_is_not_trained_on(tmp_path: Path, fundus_photo: Draw, part: str) -> None:
    root = tmp_path / "CHASE"
    for name in ("Image_01L", "Image_09L", "Image_11L"):
        write(root / f"{name}.jpg", root / f"{name}_1stHO.png", fundus_photo(100, 96, int(name[6:8])))
    (root / f"{part}.jpg").write_bytes((root / "Image_11L.jpg").read_bytes())
    checked = recipe_of(data=[{"kind": "chase_db1", "path": "CHASE", "name": "CHASE", "terms": "none"}])
    with pytest.raises(DataError, match=rf"{part}\.jpg is the test photograph .*Image_11L\.jpg\. Take it out"):
        train(checked, tmp_path, tmp_path / "run", quiet)
    assert not (tmp_path / "run").exists()


def test_a_test_photograph_saved_anew_is_not_trained_on(tmp_path: Path, fundus_photo: Draw) -> None:
    for name in ("Image_01L", "Image_09L", "Image_11L"):
        root = tmp_path / "CHASE"
        write(root / f"{name}.jpg", root / f"{name}_1stHO.png", fundus_photo(100, 96, int(name[6:8])))
    pixels = cv2.imread(str(tmp_path / "CHASE" / "Image_11L.jpg"))
    (tmp_path / "mine" / "images").mkdir(parents=True)
    assert pixels is not None
    assert cv2.imwrite(str(tmp_path / "mine" / "images" / "a.png"), pixels)
    sets = [("chase_db1", "CHASE"), ("folder", "mine")]
    checked = recipe_of(data=[{"kind": k, "path": p, "name": p, "terms": "none"} for k, p in sets])
    with pytest.raises(DataError, match=r"a\.png is the test photograph .*Image_11L\.jpg\. Take it out"):
        train(checked, tmp_path, tmp_path / "run", quiet)


def test_a_recipe_trains_on_patches_of_resized_photographs(data: Path, tmp_path: Path) -> None:
    checked = recipe_of(
        preparation={"field_of_view": None, "size": (64, 80)},
        patches={},
        calibrated=False,
        tile={"size": 32, "multiple": 4, "margin": 0, "blend": "gaussian"},
    )
    best = train(checked, data, tmp_path, quiet)
    assert torch.load(best, weights_only=True)["shift"] == 0


def test_a_cut_changes_nothing_for_a_network_that_drops_by_chance(data: Path, tmp_path: Path) -> None:
    widths = {"spatial_dims": 2, "in_channels": 1, "out_channels": 1, "features": [4] * 6, "dropout": 0.5}
    network = {"factory": "monai.networks.nets:BasicUNet", "arguments": widths}
    fields = recipe_of(tile={"size": 64, "multiple": 16, "margin": 16}).model_dump()
    checked = Recipe.model_validate({**fields, "network": network})
    train(checked, data, tmp_path / "one", quiet)
    with pytest.raises(PowerCutError):
        train(checked, data, tmp_path / "other", quiet, cut_after(3))
    train(checked, data, tmp_path / "other", quiet)
    assert same(tmp_path / "one", tmp_path / "other")


def test_weights_that_are_replaced_are_not_downloaded_first() -> None:
    network = recipe.Network(factory="builtins:dict", arguments={"pretrained": True, "width": 4})
    assert network.build() == {"pretrained": True, "width": 4}
    assert network.build(fresh=False) == {"pretrained": False, "width": 4}
    assert recipe.Network(factory="builtins:dict", arguments={"width": 4}).build(fresh=False) == {"width": 4}


class Downloaded(VesselNet):
    """Its first weights can be had once."""

    asked: ClassVar[list[bool]] = []

    def __init__(self, pretrained: bool) -> None:
        super().__init__(1, (4, 8))
        self.asked.append(pretrained)


def test_a_run_that_goes_on_downloads_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Downloaded, "asked", [])
    fields = recipe_of(final=FINAL).model_dump()
    network = {"factory": f"{__name__}:Downloaded", "arguments": {"pretrained": True}}
    checked = Recipe.model_validate({**fields, "network": network})
    with pytest.raises(PowerCutError):
        train(checked, data, tmp_path, quiet, cut_after(3))
    assert Downloaded.asked == [False, True]  # the trial, and the run
    train(checked, data, tmp_path, quiet)
    assert not any(Downloaded.asked[2:])


def test_a_checkpoint_holds_the_generators_of_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = loop._Trainer(recipe_of(), torch.device("cpu"))
    trainer.save(tmp_path / "cpu.pt", [])
    trainer.device = torch.device("cuda")
    states, found = [torch.arange(4, dtype=torch.uint8), torch.ones(4, dtype=torch.uint8)], []
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: states)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, number: found.append((state, number)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    trainer.save(tmp_path / "gpu.pt", [])
    trainer.restore(tmp_path / "gpu.pt")
    ((state, number),) = found
    assert (state.tolist(), number) == ([0, 1, 2, 3], 0)
    older = torch.load(tmp_path / "cpu.pt", weights_only=True)
    del older["random_cuda"]
    torch.save(older, tmp_path / "older.pt")
    for name in ("cpu.pt", "older.pt"):
        trainer.restore(tmp_path / name)
    assert len(found) == 1


def test_another_seed_is_another_run(data: Path, whole: Path, tmp_path: Path) -> None:
    train(recipe_of(seed=8), data, tmp_path, quiet)
    assert not same(tmp_path, whole)


def test_a_run_that_is_done_stays_as_it_is(data: Path, whole: Path) -> None:
    before = contents(whole)
    steps: list[int] = []
    assert train(recipe_of(), data, whole, quiet, lambda step, *_: steps.append(step)) == whole / "best.pt"
    assert steps == []
    assert contents(whole) == before


def test_a_run_of_another_recipe_is_not_touched(data: Path, whole: Path) -> None:
    before = contents(whole)
    with pytest.raises(DataError, match=r"holds a run of another recipe\. Name another folder with --run, or delete"):
        train(recipe_of(seed=8), data, whole, quiet)
    assert contents(whole) == before


def test_a_run_on_other_photographs_is_not_touched(data: Path, whole: Path, tmp_path: Path, fundus_photo: Draw) -> None:
    shutil.copytree(data, tmp_path / "data")
    write(tmp_path / "data" / "eyes" / "images" / "2.png", tmp_path / "2.png", fundus_photo(100, 96, 99))
    before = contents(whole)
    with pytest.raises(DataError, match=r"holds a run on other photographs\. Name another folder with --run, or"):
        train(recipe_of(), tmp_path / "data", whole, quiet)
    assert contents(whole) == before


def test_a_damaged_checkpoint_is_named_and_can_be_deleted(data: Path, tmp_path: Path) -> None:
    checked = recipe_of(schedule={"steps": 1}, final={**FINAL, "steps": 1})
    train(checked, data, tmp_path, quiet)
    last = tmp_path / "last.pt"
    for content in (last.read_bytes()[:2000], b"", b"no archive"):
        last.write_bytes(content)
        with pytest.raises(DataError, match=r"last\.pt: not a readable checkpoint \(.*\)\. Delete .*last\.pt to begin"):
            train(checked, data, tmp_path, quiet)
    last.unlink()
    said: list[str] = []
    train(checked, data, tmp_path, said.append)
    assert "final stage 1: 6 photographs, from step 0 to 1" in said  # not from what the run before left
    (tmp_path / "best.pt").write_bytes(b"")
    with pytest.raises(DataError, match=rf"best\.pt: not a readable checkpoint .*Delete {tmp_path} to begin anew"):
        train(checked, data, tmp_path, quiet)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (np.full((96, 90), 255, np.uint8), r"fov/4\.png: 90 × 96 pixels, but its truth .*4\.png has 96 × 100\."),
        (np.zeros((100, 96), np.uint8), r"fov/4\.png: the mask is empty\."),
    ],
)
def test_a_field_of_view_that_does_not_fit_is_named_before_the_first_step(
    data: Path, tmp_path: Path, field: NDArray[np.uint8], message: str
) -> None:
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "eyes" / "fov").mkdir()
    for i in range(6):
        pixels = field if i == 4 else np.full((100, 96), 255, np.uint8)
        assert cv2.imwrite(str(tmp_path / "data" / "eyes" / "fov" / f"{i}.png"), pixels)
    steps: list[int] = []
    with pytest.raises(DataError, match=message):
        train(recipe_of(), tmp_path / "data", tmp_path / "run", quiet, lambda step, *_: steps.append(step))
    assert steps == []


def test_a_recipe_can_be_mended_until_there_is_a_checkpoint(data: Path, tmp_path: Path) -> None:
    elsewhere = [{**FIELDS["data"][0], "path": "nowhere"}]
    with pytest.raises(DataError, match="nowhere: no such folder"):
        train(recipe_of(data=elsewhere), data, tmp_path, quiet)
    train(recipe_of(schedule={"steps": 1}), data, tmp_path, quiet)
    assert json.loads((tmp_path / "recipe.json").read_text())["data"][0]["path"] == "eyes"


def test_a_network_that_finds_nothing_is_kept_all_the_same(data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(validation, "predict", lambda network, image, *_: np.zeros(image.shape[:2], np.float32))
    best = train(recipe_of(schedule={"steps": 1}), data, tmp_path, quiet)
    assert torch.load(best, weights_only=True)["score"] == 0


def test_sizes_that_disagree_are_named(data: Path, tmp_path: Path, fundus_photo: Draw) -> None:
    for i in range(5):
        (image, _), (_, truth) = fundus_photo(96, 96, i), fundus_photo(90, 96, i)
        write(tmp_path / "eyes" / "images" / f"{i}.png", tmp_path / "eyes" / "masks" / f"{i}.png", (image, truth))
    with pytest.raises(
        DataError, match=r"0\.png: 96 × 96 pixels, but its truth .*0\.png has 96 × 90\. They must agree\."
    ):
        train(recipe_of(), tmp_path, tmp_path / "run", quiet)


def test_loss_falls_and_vessels_are_found(data: Path, tmp_path: Path) -> None:
    """Four photographs and cameras that change little can be learned by heart."""
    easy = recipe_of(
        cameras=STEADY,
        schedule={"steps": 100, "batch": 4, "crop": 64, "learning_rate": 0.02, "average": 0.9, "validate_every": 100},
        network={"arguments": {"channels": 1, "widths": [8, 16]}},
    )
    losses: list[float] = []
    train(easy, data, tmp_path, quiet, lambda step, total, loss: losses.append(loss))
    assert np.mean(losses[-10:]) < 0.65 * np.mean(losses[:10])
    (entry,) = json.loads((tmp_path / "history.json").read_text())
    assert entry["loss"] == pytest.approx(np.mean(losses))
    assert entry["score"] > 0.6


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


def test_a_recipe_can_be_changed_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(FIELDS))
    changes = ["schedule.steps=9", "data.0.kind=drive", "preparation.field_of_view=[96, 128]", "patches.noise=0.5"]
    changed = Recipe.read(path, changes)
    assert changed.schedule.steps == 9
    assert changed.schedule.batch == 2
    assert [(d.kind, d.name) for d in changed.data] == [("drive", "eyes")]
    assert changed.preparation.field_of_view == (96, 128)
    assert changed.patches is not None
    assert changed.patches.noise == 0.5
    assert Recipe.read(path, ["final=[]", "name=other"]).name == "other"


@pytest.mark.parametrize(("given", "steps"), [(None, []), ({"steps": 3}, [3]), ([{"steps": 3}, {"steps": 5}], [3, 5])])
def test_final_stages_are_none_one_or_a_list(given: Any, steps: list[int]) -> None:
    assert [stage.steps for stage in recipe_of(final=given).final] == steps


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("schedule.epochs=3", "schedule.epochs: Extra inputs are not permitted"),
        ("schedule.steps=many", "schedule.steps: Input should be a valid integer"),
        ("schedule.steps", "can't set 'schedule.steps': it has no =. Expected a field and its value"),
        ("data.7.kind=drive", "can't set 'data.7.kind=drive': list index out of range"),
        ("data.first=1", "can't set 'data.first=1': invalid literal for int"),
        ("name.x=1", "can't set 'name.x=1': "),
        ("seed=[", "can't set 'seed=\\[': while parsing"),
    ],
)
def test_a_change_that_does_not_fit_is_named(tmp_path: Path, change: str, message: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(FIELDS))
    with pytest.raises(DataError, match=message):
        Recipe.read(path, [change])


# What is drawn, and what is never read


def test_a_crop_is_its_number(data: Path) -> None:
    checked = recipe_of(cameras={"foreign": 0.5})
    sources = [loop._draws(checked.data[0].samples(data, "train"), checked)]
    late = Crops(checked, sources, start=6)
    early = Crops(checked, sources, start=0)
    assert (len(early), len(late)) == (8, 2)
    for a, b in zip((early[6], early[7]), (late[0], late[1]), strict=True):
        assert np.array_equal(a[0], b[0])
        assert np.array_equal(a[1], b[1])
    assert (early[0][0].shape, early[0][1].shape) == ((1, 32, 32), (1, 32, 32))
    assert len({early[i][0].tobytes() for i in range(8)}) == 8


def test_a_share_of_the_crops_has_the_second_observers_truth(tmp_path: Path, fundus_photo: Draw) -> None:
    pixels, truth = fundus_photo(96, 96, 1)
    for suffix, picture in ((".jpg", pixels), ("_1stHO.png", truth), ("_2ndHO.png", np.zeros_like(truth))):
        cv2.imwrite(str(tmp_path / f"Image_01L{suffix}"), picture.astype(np.uint8) * (1 if suffix == ".jpg" else 255))
    checked = recipe_of(cameras=STEADY, schedule={"crop": 96})

    def empty(share: float) -> float:
        (draw,) = loop._draws(find("chase_db1", tmp_path, "train"), checked, share)
        return float(np.mean([not draw(np.random.default_rng(i))[1].any() for i in range(60)]))

    assert empty(0.0) == 0
    assert empty(1.0) == 1
    assert 0.1 < empty(0.3) < 0.5


def test_a_second_observers_mask_of_another_size_is_named(tmp_path: Path, fundus_photo: Draw) -> None:
    pixels, truth = fundus_photo(96, 96, 1)
    for suffix, picture in ((".jpg", pixels), ("_1stHO.png", truth), ("_2ndHO.png", truth[:80])):
        cv2.imwrite(str(tmp_path / f"Image_01L{suffix}"), picture.astype(np.uint8) * (1 if suffix == ".jpg" else 255))
    with pytest.raises(DataError, match=r"_01L\.jpg: 96 × 96 pixels, but its truth .*_2ndHO\.png has 96 × 80\."):
        loop._draws(find("chase_db1", tmp_path, "train"), recipe_of(), 0.3)


def test_data_sets_take_turns_whatever_their_size() -> None:
    def flat(level: int) -> loop.Draw:
        return lambda random: (np.full((4, 4, 1), level, np.uint8), np.zeros((4, 4), np.float32))

    crops = Crops(recipe_of(), [[flat(200)], [flat(40), flat(60), flat(80)]], start=0)
    brightest = [int(crops[i][0].max()) for i in range(8)]
    assert brightest[::2] == [200] * 4
    assert set(brightest[1::2]) <= {40, 60, 80}


@pytest.mark.parametrize("final", [[], [{**FINAL, "steps": 1}]])
def test_the_test_split_is_never_read_and_validation_is_apart(
    tmp_path: Path, fundus_photo: Draw, monkeypatch: pytest.MonkeyPatch, final: list[dict[str, Any]]
) -> None:
    root = tmp_path / "CHASE"
    for subject in (1, 2, 9, 10):
        name = f"Image_{subject:02}L"
        write(root / f"{name}.jpg", root / f"{name}_1stHO.png", fundus_photo(100, 96, subject))
    for subject in (11, 14):  # the test split: whoever reads it fails
        for name in (f"Image_{subject:02}L.jpg", f"Image_{subject:02}L_1stHO.png"):
            (root / name).write_bytes(b"the test split")
    splits: list[str] = []
    read: list[tuple[str, str]] = []

    def noted(kind: Any, folder: Path, split: Any) -> list[Sample]:
        splits.append(split)
        return find(kind, folder, split)

    def opened(how: Callable[[Sample], Any]) -> Callable[[Sample], Any]:
        def reads(sample: Sample) -> Any:
            read.append((splits[-1], sample.name))
            return how(sample)

        return reads

    monkeypatch.setattr(recipe, "find", noted)
    monkeypatch.setattr(Sample, "read_image", opened(Sample.read_image))
    monkeypatch.setattr(Sample, "read_truth", opened(Sample.read_truth))
    checked = recipe_of(
        data=[{"kind": "chase_db1", "path": "CHASE", "name": "CHASE", "terms": "none"}],
        schedule={"steps": 1},
        final=final,
    )
    train(checked, tmp_path, tmp_path / "run", quiet)
    assert splits == ["train", "validation"] * (1 + len(final))
    assert set(read) == {
        ("train", "Image_01L"),
        ("train", "Image_02L"),
        ("validation", "Image_09L"),
        ("validation", "Image_10L"),
    }


def test_thin_vessels_are_what_no_square_of_five_pixels_fits_into() -> None:
    truth = torch.zeros(1, 1, 40, 60)
    for width, top in ((1, 4), (4, 10), (5, 20), (8, 30)):
        truth[..., top : top + width, 3:57] = 1
    thin = loop.thin_part(truth)
    assert thin.sum(dim=3).flatten().tolist() == [54 if row in (4, 10, 11, 12, 13) else 0 for row in range(40)]


def test_the_weight_of_thin_vessels_adds_their_cross_entropy() -> None:
    truth = torch.zeros(1, 1, 32, 32)
    truth[..., 5:7, 4:28] = 1  # thin: 48 of 1024 pixels
    pixels = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    losses = []
    for weight in (0.0, 2.0):
        torch.manual_seed(0)
        trainer = loop._Trainer(recipe_of(loss={"thin": weight}), torch.device("cpu"))
        logits = trainer.network.train()(validation.normalise(pixels, trainer.recipe))
        expected = weight * float(torch.log1p(torch.exp(-logits))[truth == 1].sum().detach()) / 1024
        losses.append(trainer.update(pixels, truth) - expected)
    assert losses[1] == pytest.approx(losses[0], abs=1e-6)


# Validation and calibration


@pytest.fixture
def bright() -> tuple[Recipe, Case]:
    """A network that returns its input, and a photograph in which all pixels from level 90 on are vessel."""
    image = np.dstack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3)
    inside = np.ones((16, 16), bool)
    inside[15] = False  # levels 240 to 255 do not count
    checked = recipe_of(
        preparation={"field_of_view": None},
        input={"mean": [0.5], "std": [0.1]},
        network={"factory": "torch.nn:Identity", "arguments": {}},
    )
    return checked, Case("ramp", image, image[:, :, 1] >= 90, inside)


def test_validation_counts_by_hand(bright: tuple[Recipe, Case]) -> None:
    checked, case = bright
    curve = validation.validate(nn.Identity(), [case, case], checked, torch.device("cpu"))["ramp"]
    assert curve.shape == (256,)
    assert curve[0] == pytest.approx(2 * 150 / (240 + 150))  # everything is painted: 150 of 240 are vessel
    assert curve[HALF] == pytest.approx(2 * 112 / (112 + 150))  # from level 128 on: 112, all of them vessel
    assert curve.max() == 1
    figures = validation.summarise({"ramp": curve})["ramp"]
    assert (figures["f1"], figures["best_f1"]) == (curve[HALF], 1)
    level = 1 / (1 + np.exp(-(np.array([89, 90]) / 255 - 0.5) / 0.1))
    assert level[0] < figures["best_threshold"] < level[1] + 1 / 255


def test_calibration_makes_the_best_threshold_0_5(bright: tuple[Recipe, Case], tmp_path: Path) -> None:
    checked, case = bright
    torch.save({"network": {}, "step": 3, "score": 0.25}, tmp_path / "best.pt")
    said: list[str] = []
    path = loop.calibrate(checked, [case], tmp_path, torch.device("cpu"), said.append)
    state = torch.load(path, weights_only=True)
    assert (state["network"], state["step"], state["score"]) == ({}, 3, 0.25)
    logits = (np.array([89, 90], np.float32) / 255 - 0.5) / 0.1 + state["shift"]
    levels = to_bytes((1 / (1 + np.exp(-logits)))[None])[0]
    assert levels[0] < HALF <= levels[1]
    assert "becomes 0.5" in said[-1]
    assert "ramp 0.8550 to 1.0000" in said[-1]


def test_held_out_cameras_are_validated_apart(data: Path) -> None:
    cases = list(validation.cases_of(recipe_of(held_out_cameras=True), data))
    assert [c.group for c in cases] == ["eyes", "coarse-ccd", "scanned-film", "dim-portable"]
    for case in cases:
        assert case.image.shape[:2] == case.truth.shape == case.inside.shape


# Scaled back, the one is interpolated in 8 bits and the other in floating point.
@pytest.mark.parametrize(
    ("scaled", "tolerance"),
    [({"field_of_view": None}, 0.51), ({"field_of_view": 96}, 1.5), ({"field_of_view": None, "size": (96, 80)}, 1.5)],
)
def test_prediction_equals_the_runtime(fundus_photo: Draw, scaled: dict[str, Any], tolerance: float) -> None:
    """What training judges is what the runtime gives, tiles and all."""
    torch.manual_seed(1)
    checked, image = recipe_of(preparation=scaled), fundus_photo(130, 110, 3)[0]
    network = checked.network.build().eval()

    class Torch:
        """A backend on PyTorch."""

        info = None
        batch = 2

        def infer(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
            for pixels in batches:
                with torch.inference_mode():
                    logits = network(validation.normalise(torch.from_numpy(pixels.copy()), checked))
                yield to_bytes(torch.sigmoid(logits).numpy())

    manifest = Manifest(
        **{k: getattr(checked, k) for k in ("name", "version", "licence", "description", "preparation", "input")},
        tile=checked.tile.model_copy(update={"margin": 24, "size": 64}),
    )
    tiled = Segmenter(manifest, Torch()).segment(image).probability  # type: ignore[arg-type]
    whole = validation.predict(network, image, checked, torch.device("cpu"))
    assert np.abs(tiled - 255 * whole).max() <= tolerance
    assert tiled.std() > 1


def test_a_start_that_fails_leaves_no_folder_and_tells_all_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> list[object]:
        raise DataError("a photograph that can't be read")

    monkeypatch.setattr(loop, "_try_network", lambda _: None)
    monkeypatch.setattr(loop, "_photographs", lambda *_: {})
    monkeypatch.setattr(recipe.DataSet, "samples", broken)
    said: list[str] = []
    checked = Recipe.read(recipe.BUILT_IN / "fundus.yaml", ["schedule.steps=100"])
    with pytest.raises(DataError, match="can't be read"):
        train(checked, tmp_path, tmp_path / "run", said.append)
    assert not (tmp_path / "run").exists()
    stages = " + ".join(f"{stage.steps:,}" for stage in checked.final)
    assert said[-1].startswith(f"100 steps, then {stages} in final stages (--set final.0.steps=N")


def test_the_time_left_counts_the_final_stages() -> None:
    checked = Recipe.read(recipe.BUILT_IN / "fundus.yaml")
    final = checked.final[0].model_copy(update={"steps": 30, "batch": 2 * checked.schedule.batch})
    schedule = checked.schedule.model_copy(update={"crop": final.crop})
    assert loop._in_steps_of(schedule, [final, final]) == 120
    assert loop._in_steps_of(schedule, []) == 0
