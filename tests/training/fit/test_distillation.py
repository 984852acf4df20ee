"""A network that learns from another: that the teacher's answers arrive, and that its weights do, exactly where they
can.
"""

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from taught_networks import NET, recipe_of, windows_of, write_teacher
from torch import Tensor, nn

from vesselrt.export.modelfile import write_model_file
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import ClassFacts, DataSource, Manifest, Provenance
from vesselrt.runtime.modelfile import read_manifest
from vesselrt.training.data.samples import hash_photograph
from vesselrt.training.fit import distillation
from vesselrt.training.fit.distillation import Teacher, inherit_weights
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.run import train_recipe
from vesselrt.training.fit.sampling import Crops, read_sources
from vesselrt.training.networks import Residual, VesselNet

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> tuple[VesselNet, Path]:
    """A network whose residual blocks are something one convolution can be, and its model file, calibrated by 0.5."""
    torch.manual_seed(0)
    network = VesselNet(1, (4, 8, 8))
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0.3, 0.1)
    for part in network.modules():
        if isinstance(part, Residual):  # of what is positive, its ReLU is the identity
            for weight in part.second.parameters():
                nn.init.zeros_(weight)
    return network, write_teacher(network, tmp_path_factory.mktemp("teacher"))


def test_the_teacher_answers_as_its_network_does(teacher: tuple[VesselNet, Path]) -> None:
    network, path = teacher
    checked = recipe_of(path)
    pixels, windows = windows_of(checked)
    with torch.inference_mode():
        expected = torch.sigmoid(network(windows) + 0.5).numpy()
    assert expected.std() > 0.02
    taught = Teacher(checked)
    for crop, probability in zip(pixels, expected, strict=True):
        answer = taught.answer(crop, np.random.default_rng(0))
        assert answer.dtype == np.float32
        np.testing.assert_allclose(answer, probability, rtol=0, atol=0.51 / 255)


def test_its_share_of_the_truth_is_the_teachers(teacher: tuple[VesselNet, Path], data: Path) -> None:
    taught, alone = recipe_of(teacher[1]), recipe_of(teacher[1], distillation=None)
    asked = Teacher(taught)
    sources = read_sources(alone, alone.stages[0], data)
    mixed_crops, crops = (Crops(r.stages[0], sources, 0, asked) for r in (taught, alone))
    for number in range(4):
        (pixels, mixed), (same, truth) = mixed_crops[number], crops[number]
        np.testing.assert_array_equal(pixels, same)
        answer = asked.answer(pixels.transpose(1, 2, 0), np.random.default_rng(0))
        np.testing.assert_allclose(mixed[0], 0.25 * truth[0] + 0.75 * answer[0], rtol=0, atol=1e-6)


def test_a_turned_teacher_sees_every_way_and_its_answer_is_turned_back(teacher: tuple[VesselNet, Path]) -> None:
    path = teacher[1]
    plain, turned = (
        Teacher(recipe_of(path, distillation={"teacher": str(path), "turned": turned})) for turned in (False, True)
    )
    crop = np.random.default_rng(0).integers(0, 256, (32, 32, 1), dtype=np.uint8)
    random = np.random.default_rng(0)
    answers = [turned.answer(crop, random) for _ in range(60)]
    ways = {}
    for quarters in range(4):
        for flipped in (False, True):
            seen = np.rot90(crop, quarters)
            answer = plain.answer(np.ascontiguousarray(seen[:, ::-1] if flipped else seen), random)
            ways[quarters, flipped] = np.rot90(answer[:, :, ::-1] if flipped else answer, -quarters, (1, 2))
    found = [[way for way, expected in ways.items() if np.array_equal(answer, expected)] for answer in answers]
    assert all(len(one) == 1 for one in found)  # the eight differ
    assert {one[0] for one in found} == set(ways)


def heir_of(recipe: Recipe) -> tuple[nn.Module, Tensor]:
    """The recipe's network with the weights it inherits, and the windows that it saw for it."""
    _, windows = windows_of(recipe)
    heir: nn.Module = recipe.network.build()
    heir.load_state_dict(inherit_weights(recipe, Teacher(recipe), windows))
    return heir, windows


@pytest.mark.parametrize(
    ("levels", "tolerance"),
    [
        ({}, 2e-3),
        ({"encoder": [1, 1, 2], "decoder": [1, 1]}, 2e-3),
        # A ReLU is in between: found by rounds, and not at once.
        ({"encoder": [0, 1, 1], "decoder": [2, 1]}, 0.1),
        ({"encoder": [1, 0, 1], "decoder": [1, 2]}, 0.1),
    ],
    ids=["the same", "single", "no first", "no second"],
)
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_what_one_convolution_can_do_is_inherited(
    teacher: tuple[VesselNet, Path], levels: dict[str, Any], tolerance: float, training: bool
) -> None:
    network, path = teacher
    checked = recipe_of(path, levels)
    heir, windows = heir_of(checked)
    with torch.inference_mode():
        expected = network(windows) + 0.5
        obtained = heir.train(training)(windows)
    assert expected.std() > 0.3
    torch.testing.assert_close(obtained, expected, rtol=0, atol=tolerance)


def test_a_block_of_fewer_inner_channels_inherits_those_that_count(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = VesselNet(1, (4, 8, 8))
    for part in network.modules():
        if isinstance(part, Residual):
            weights = dict(part.named_parameters())
            nn.init.normal_(weights["first.1.bias"], 0.3, 0.1)
            nn.init.zeros_(weights["second.0.weight"][:, ::2])  # half of the channels are for nothing
    checked = recipe_of(write_teacher(network, tmp_path), {"inner": [2, 4, 4]})
    heir, windows = heir_of(checked)
    with torch.inference_mode():
        expected, obtained = network(windows) + 0.5, heir.eval()(windows)
    assert expected.std() > 0.1
    torch.testing.assert_close(obtained, expected, rtol=0, atol=2e-3)


def test_what_enlarges_by_copies_inherits_the_mean_of_each_block(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = VesselNet(1, (4, 8, 8))
    for part in network.modules():
        if isinstance(part, nn.ConvTranspose2d):
            with torch.no_grad():  # of four that are alike, the mean is each of them
                part.weight.copy_(part.weight.mean((2, 3), keepdim=True).expand_as(part.weight))
    checked = recipe_of(write_teacher(network, tmp_path), {"upsampling": "nearest"})
    heir, windows = heir_of(checked)
    with torch.inference_mode():
        expected, obtained = network(windows) + 0.5, heir.eval()(windows)
    assert expected.std() > 0.1
    torch.testing.assert_close(obtained, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preparation": {"channels": "green", "field_of_view": 80}}, "Expected a teacher that sees what the network"),
        ({"preparation": {"channels": "green", "field_of_view": [96, 120]}}, "may differ by a twentieth at most"),
        ({"preparation": {"channels": "green"}}, "Expected a teacher that sees what the network"),
        ({"schedule": {"steps": 2, "crop": 36}}, r"can't answer for crops of 36 px. Set crop to a multiple of 8"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_before_anything_is_read(
    teacher: tuple[VesselNet, Path], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    checked = recipe_of(teacher[1], {"widths": [4, 8]}, **changes)  # a network that takes crops of 36 px
    with pytest.raises(DataError, match=message):
        train_recipe(checked, tmp_path / "nowhere", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("field", [92, [96, 100]])
def test_a_teacher_may_see_photographs_at_a_slightly_other_scale(
    teacher: tuple[VesselNet, Path], field: int | list[int]
) -> None:
    Teacher(recipe_of(teacher[1], preparation={"channels": "green", "field_of_view": field}))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            {"factory": NET, "arguments": {"channels": 1, "widths": [4, 8, 16]}},
            r"no VesselNet of channels: 1, widths: \[4, 8, 16\]",
        ),
        (
            {"factory": "torch.nn:ReLU", "arguments": {}},
            "a ReLU can't begin with the weights of a model file. Expected a VesselNet",
        ),
    ],
)
def test_weights_that_cannot_be_inherited(
    teacher: tuple[VesselNet, Path], network: dict[str, Any], message: str
) -> None:
    checked = recipe_of(teacher[1]).model_copy(
        update={"network": recipe_of(teacher[1]).network.model_copy(update=network)}
    )
    with pytest.raises(DataError, match=message):
        inherit_weights(checked, Teacher(checked), windows_of(checked)[1])


def test_a_run_begins_with_the_teachers_weights_and_resumes_with_its_own(
    teacher: tuple[VesselNet, Path], data: Path, tmp_path: Path
) -> None:
    given = {"teacher": str(teacher[1]), "share": 0.0, "inherit": True}
    still = {"steps": 1, "batch": 2, "crop": 32, "warmup": 0, "learning_rate": 1e-9, "average": 0.0}
    final = {**still, "learning_rate": 1e-3, "distilled": 0.5}
    checked = recipe_of(teacher[1], distillation=given, schedule=still, final=[final])
    said: list[str] = []
    train_recipe(checked, data, tmp_path, said.append)
    assert f"inheriting the weights of {teacher[1]}" in said
    best = torch.load(tmp_path / "best.pt", weights_only=True)["network"]
    torch.testing.assert_close(best["head.0.weight"], teacher[0].state_dict()["head.0.weight"], rtol=0, atol=1e-6)
    (tmp_path / "final-1.pt").unlink()
    said.clear()
    train_recipe(checked, data, tmp_path, said.append)
    assert not any(line.startswith("inheriting") for line in said)
    assert (tmp_path / "final-1.pt").exists()
    assert Manifest.model_validate_json((tmp_path / "teacher.json").read_text()) == read_manifest(teacher[1])


def test_a_teacher_of_several_classes_is_refused(
    teacher: tuple[VesselNet, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    several = read_manifest(teacher[1]).model_copy(
        update={"classes": (ClassFacts(name="artery"), ClassFacts(name="vein"))}
    )
    monkeypatch.setattr(distillation, "read_manifest", lambda _: several)
    with pytest.raises(DataError, match=r"has the classes artery, vein. Expected those of the recipe: vessel"):
        Teacher(recipe_of(teacher[1]))


def test_a_teacher_that_knows_a_test_photograph_is_refused(
    teacher: tuple[VesselNet, Path], data: Path, tmp_path: Path
) -> None:
    for i, name in enumerate(("Image_01L", "Image_09L", "Image_11L")):
        image = cv2.imread(str(data / "eyes" / "images" / f"{i}.png"))
        assert image is not None
        assert cv2.imwrite(str(tmp_path / f"{name}.jpg"), image)
        shutil.copy(data / "eyes" / "masks" / f"{i}.png", tmp_path / f"{name}_1stHO.png")
    chase = {"kind": "chase_db1", "path": ".", "name": "CHASE", "terms": "none"}
    manifest = read_manifest(teacher[1])
    knows = Provenance(
        data=(DataSource(name="x", split="all", terms="", photographs=(hash_photograph(tmp_path / "Image_11L.jpg"),)),)
    )
    model = tmp_path / "knows.onnx"
    write_model_file(onnx.load(teacher[1]), manifest.model_copy(update={"provenance": knows}), model)
    checked = recipe_of(model, data=[chase])
    with pytest.raises(DataError, match=r"Image_11L.jpg: a test photograph, and .*knows.onnx was trained on it"):
        train_recipe(checked, tmp_path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_final_stage_needs_a_teacher_to_be_distilled() -> None:
    with pytest.raises(ValueError, match=r"final.distilled needs a teacher: name one in distillation"):
        recipe_of(Path("x"), distillation=None, final=[{"steps": 1, "distilled": 0.5}])
