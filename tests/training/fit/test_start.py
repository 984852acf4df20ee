"""A network that starts with the weights of a model file."""

from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from taught_networks import NET, recipe_of, windows_of, write_teacher
from torch import nn

from vesselrt.export.modelfile import write_model_file
from vesselrt.export.sources.run import source_from_run
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import DataSource, Provenance
from vesselrt.runtime.modelfile import read_manifest
from vesselrt.training.data.finding import list_unchecked_samples
from vesselrt.training.data.samples import hash_photograph
from vesselrt.training.data.splits import Split
from vesselrt.training.fit.distillation import Ancestor, start_weights
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.run import train_recipe
from vesselrt.training.networks import VesselNet


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[VesselNet, Path]:
    """A network and its model file, calibrated by 0.5."""
    torch.manual_seed(0)
    network = VesselNet(1, (4, 8, 8))
    return network, write_teacher(network, tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"encoder": [1, 0, 2], "decoder": [2, 1]},
        {"inner": [2, 4, 6], "upsampling": "nearest"},
        {"logits": 2, "encoder": [1, 1, 1]},
    ],
    ids=["usual", "branched", "nearest", "two classes"],
)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_a_network_starts_with_the_weights_of_a_model_file(
    tmp_path: Path, shape: dict[str, Any], training: bool
) -> None:
    torch.manual_seed(0)
    network = VesselNet(1, (4, 8, 8), **shape)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0.3, 0.1)
    several = {"classes": ["artery", "vein"]} if shape.get("logits") else {}
    path = write_teacher(network, tmp_path, **several)
    checked = recipe_of(path, shape, distillation=None, start=str(path), **several)
    _, windows = windows_of(checked)
    heir = checked.network.build()
    heir.load_state_dict(start_weights(checked, Ancestor(str(path)), windows))
    with torch.inference_mode():
        expected = network.eval()(windows) + (0 if several else 0.5)
        obtained = heir.train(training)(windows)
    assert expected.std() > 0.1
    torch.testing.assert_close(obtained, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": {"factory": NET, "arguments": {"channels": 1, "widths": [4, 8]}}}, r"no VesselNet of .*\[4, 8\]"),
        ({"network": {"factory": "torch.nn:ReLU", "arguments": {}}}, "a ReLU can't begin with the weights of a model"),
        ({"input": {"mean": [0.0], "std": [0.2]}}, r"takes green with .*0.3.*, the recipe green with .*0.0.* the same"),
    ],
)
def test_a_start_that_does_not_fit(model: tuple[VesselNet, Path], changes: dict[str, Any], message: str) -> None:
    usual = recipe_of(model[1], distillation=None, start=str(model[1])).model_dump(mode="json")
    checked = Recipe.model_validate(usual | changes)
    with pytest.raises(DataError, match=message):
        start_weights(checked, Ancestor(str(model[1])), torch.zeros(1, 1, 32, 32))


def test_a_run_starts_with_another_models_weights_and_its_file_tells_so(
    model: tuple[VesselNet, Path], data: Path, tmp_path: Path
) -> None:
    seen = DataSource(name="elsewhere", split="train", terms="CC0-1.0", photographs=("ab",))
    known = read_manifest(model[1]).model_copy(update={"provenance": Provenance(data=(seen,))})
    file, run = tmp_path / "known.onnx", tmp_path / "run"
    write_model_file(onnx.load(model[1]), known, file)
    still = {"steps": 1, "batch": 2, "crop": 32, "warmup": 0, "learning_rate": 1e-9, "average": 0.0}
    said: list[str] = []
    train_recipe(recipe_of(file, distillation=None, start=str(file), schedule=still), data, run, said.append)
    assert f"starting with the weights of {file}" in said
    best = torch.load(run / "best.pt", weights_only=True)["network"]
    torch.testing.assert_close(best["head.0.weight"], model[0].state_dict()["head.0.weight"], rtol=0, atol=1e-6)
    provenance = source_from_run(run, None).manifest.provenance
    assert seen in provenance.data
    assert provenance.recipe is not None
    assert "from the weights of teacher 0.1" in provenance.recipe


@pytest.mark.parametrize(("split", "told"), [("validation", True), ("train", False)])
def test_validation_photographs_that_the_start_has_seen_are_told(
    model: tuple[VesselNet, Path], data: Path, tmp_path: Path, split: Split, told: bool
) -> None:
    photographs = tuple(hash_photograph(s.image) for s in list_unchecked_samples("folder", data / "eyes", split))
    seen = DataSource(name="eyes", split="train", terms="CC0-1.0", photographs=photographs)
    known = read_manifest(model[1]).model_copy(update={"provenance": Provenance(data=(seen,))})
    file = tmp_path / "known.onnx"
    write_model_file(onnx.load(model[1]), known, file)
    said: list[str] = []
    train_recipe(recipe_of(file, distillation=None, start=str(file)), data, tmp_path / "run", said.append)
    assert len(photographs) > 0
    line = f"teacher 0.1 has seen {len(photographs)} of the validation photographs: scores on them may be too good"
    assert (line in said) == told


def test_a_network_has_one_start() -> None:
    with pytest.raises(ValueError, match=r"start and distillation.inherit both say what the network begins with"):
        recipe_of(Path("x"), distillation={"teacher": "x", "inherit": True}, start="y")
