"""Recipes with several classes: from drawn arteries and veins to a model file that tells them apart."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.losses.dice import DiceCELoss
from pydantic import ValidationError
from tiny_training import quiet, recipe_of, use_one_thread
from torch import Tensor

import vesselrt
from vesselrt.export.graph import export_model
from vesselrt.export.head import Head
from vesselrt.export.sources.run import source_from_run
from vesselrt.runtime.errors import DataError
from vesselrt.training.data.finding import list_samples
from vesselrt.training.evaluation.evaluate import evaluate_model
from vesselrt.training.fit.calibration import calibrate
from vesselrt.training.fit.loss import segmentation_loss
from vesselrt.training.fit.preflight import check_network
from vesselrt.training.fit.recipe import LossWeights, Recipe
from vesselrt.training.fit.run import train_recipe
from vesselrt.training.fit.sampling import Crops, read_sources
from vesselrt.training.fit.thresholds import read_thresholds
from vesselrt.training.fit.validation import ValidationCase, validate_network
from vesselrt.training.synthetic.fundus import draw_fundus_photo, write_fundus_data_set
from vesselrt.training.synthetic.pyramid import PhotoPyramid


def several(logits: int = 2, **changes: Any) -> Recipe:
    """The tiny recipe with arteries and veins."""
    network = {"factory": "vesselrt.training.networks:VesselNet"}
    arguments = {"channels": 1, "widths": [4, 8], "logits": logits}
    fields = {"classes": ["artery", "vein"], "exclusive": logits == 3, "network": {**network, "arguments": arguments}}
    return recipe_of(**{**fields, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_fundus_data_set(root / "eyes", count=5, side=96)
    return root


# The loss


def random_batch(classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, classes, 16, 16)
    return 2 * torch.randn(shape, generator=generator), torch.rand(shape, generator=generator).round()


def loss_of(logits: Tensor, truth: Tensor, thin: float = 0.0, *, exclusive: bool = False) -> float:
    return float(segmentation_loss(logits, truth, LossWeights(), thin, exclusive=exclusive))


def test_of_one_class_the_loss_is_monais_to_the_last_bit() -> None:
    for seed in range(5):
        logits, truth = random_batch(1, seed)
        expected = DiceCELoss(sigmoid=True, batch=True, lambda_dice=0.5, lambda_ce=1.0)(logits, truth)
        assert loss_of(logits, truth) == float(expected)


def test_classes_are_learned_alike() -> None:
    logits, truth = random_batch(2)
    each = [loss_of(logits[:, [i]], truth[:, [i]], thin=0.5) for i in range(2)]
    assert loss_of(logits, truth, thin=0.5) == pytest.approx(sum(each) / 2, rel=1e-5)


def test_exclusive_classes_share_a_crossing_with_the_background_left() -> None:
    truth = torch.zeros(1, 2, 1, 3)
    truth[0, 0, 0, 0] = truth[0, :, 0, 1] = 1.0  # artery, both, none
    right = torch.tensor([[-9.0, 9.0, -9.0], [-9.0, 0.0, 0.0], [9.0, -9.0, -9.0]]).T[None, :, None]
    entropy = [
        float(segmentation_loss(logits, truth, LossWeights(dice=0), 0.0, exclusive=True))
        for logits in (right, right.flip(1))
    ]
    assert entropy[0] == pytest.approx(np.log(2) / 3, abs=1e-2)  # of the crossing alone
    assert entropy[1] > 3


@pytest.mark.parametrize("exclusive", [False, True])
def test_what_is_ignored_teaches_nothing(exclusive: bool) -> None:
    logits, _ = random_batch(2 + exclusive)
    _, truth = random_batch(2)
    ignored = torch.zeros(2, 1, 16, 16)
    ignored[..., 8:] = 1
    logits.requires_grad_()
    with_plane = torch.cat([truth, ignored], dim=1)
    segmentation_loss(logits, with_plane, LossWeights(), 0.0, exclusive=exclusive).backward()
    assert logits.grad is not None
    assert logits.grad[..., 8:].abs().max() == 0
    assert logits.grad[..., :8].abs().min() > 0
    half = loss_of(logits[..., :8].detach(), truth[..., :8], exclusive=exclusive)
    assert loss_of(logits.detach(), with_plane, exclusive=exclusive) == pytest.approx(half, rel=1e-5)


# Crops


def test_crops_have_a_map_of_each_class_and_of_what_is_ignored(data: Path) -> None:
    recipe = several()
    crops = Crops(recipe.stages[0], read_sources(recipe, recipe.stages[0], data), 0)
    pixels, truth = crops[0]
    assert (pixels.shape, truth.shape) == ((1, 32, 32), (3, 32, 32))  # artery, vein, and RITE's white
    every = np.stack([crops[i][1] for i in range(len(crops))])
    assert (every[:, :2].mean(axis=(0, 2, 3)) > 0.01).all()
    assert every[:, 2].max() == 0


def test_a_rare_class_is_in_the_middle_as_often_as_it_is_asked_for() -> None:
    image, masks, _ = draw_fundus_photo(96, 1)
    rare = np.zeros((96, 96), bool)
    rare[20:24, 60:64] = True
    source = PhotoPyramid.build(image, np.stack([masks["vein"], rare]), np.ones((96, 96), bool))
    random = np.random.default_rng(0)
    places = [source.draw_class_pixel(random) for _ in range(200)]
    found = sum(place is not None and 60 <= place[0] * 96 < 64 and 20 <= place[1] * 96 < 24 for place in places)
    assert 80 <= found <= 120
    assert PhotoPyramid.build(image, np.zeros((2, 96, 96), bool)).draw_class_pixel(random) is None


# Validation and calibration


class Known(torch.nn.Module):
    """Gives the logits of the picture's first two rows' classes: what each pixel's level says."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([image, -image], dim=1)


def test_each_class_has_its_curve_and_its_threshold(tmp_path: Path) -> None:
    recipe = several(
        preparation={"field_of_view": None}, input={"mean": [0.5], "std": [0.1]}, tile={"size": 64, "multiple": 4}
    )
    image = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    light = np.broadcast_to(image[:, :, 1] > 160, (64, 64))  # more than half: its threshold is above 0.5
    case = ValidationCase("ramp", image, np.stack([light, ~light]), np.ones((64, 64), bool))
    curves = validate_network(Known(), [case], recipe, torch.device("cpu"))
    assert list(curves) == ["ramp artery", "ramp vein"]
    weights = tmp_path / "best.pt"
    torch.save({"network": {}, "step": 1}, weights)
    told: list[str] = []
    from vesselrt.training.fit import calibration

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "load_network", lambda *_: (Known(), 0.0))
        calibrate(recipe, [case], weights, torch.device("cpu"), told.append)
    found = read_thresholds(tmp_path)
    assert found["artery"] > 0.5 > found["vein"]
    assert curves["ramp artery"].max() == curves["ramp vein"].max() == 1.0
    assert torch.load(weights, weights_only=True)["shift"] == 0
    assert told[0].startswith(f"calibration: threshold of artery {found['artery']:.3f}")


# What can't be


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exclusive": True, "classes": ["vessel"]}, "exclusive is for several classes"),
        ({"classes": ["vein", "vein"]}, "classes need different names"),
        ({"distillation": {"teacher": "fundus", "inherit": True}}, "distillation.inherit is for one class"),
        ({"final": [{"steps": 1, "second_observer": 0.5}]}, "final.second_observer is for one class"),
    ],
)
def test_a_recipe_that_can_not_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        several(**changes)


def test_a_network_needs_a_channel_for_each_class_and_the_background() -> None:
    check_network(several(2))
    check_network(several(3))
    with pytest.raises(DataError, match=r"Expected logits of shape \(2, 3, 32, 32\)"):
        check_network(several(2, exclusive=True))


# The whole road


@pytest.mark.parametrize("logits", [2, 3], ids=["a sigmoid each", "one softmax"])
def test_from_a_recipe_to_figures_of_each_class(data: Path, tmp_path: Path, logits: int) -> None:
    with use_one_thread():
        train_recipe(several(logits, schedule={"steps": 2, "validate_every": 2}), data, tmp_path / "run", quiet)
    (entry,) = json.loads((tmp_path / "run" / "history.json").read_text("utf-8"))
    assert entry["score"] == pytest.approx(np.mean([group["best_f1"] for group in entry["groups"].values()]))
    assert set(read_thresholds(tmp_path / "run")) == {"artery", "vein"}
    source = source_from_run(tmp_path / "run", None)
    assert source.manifest.class_thresholds == tuple(read_thresholds(tmp_path / "run").values())
    path = tmp_path / "a.onnx"
    written = export_model(source.network, source.manifest, path, [], Head(source.output, shift=source.shift))
    assert (written.class_names, written.exclusive) == (("artery", "vein"), logits == 3)
    with vesselrt.load(path, device="cpu:onnxruntime", precision="f32") as segmenter:
        result = segmenter.segment(data / "eyes" / "images" / "1.png")
        assert result.probability.shape == (2, 96, 96)
        samples = list_samples("folder", data / "eyes", "validation")
        measured = evaluate_model(segmenter, samples, name="eyes", split="validation")
    assert list(measured.classes) == ["artery", "vein"]
    assert measured.trained_on == ["5"]
    assert json.loads(measured.to_json())["classes"]["vein"]["threshold"] == written.class_thresholds[1]
