"""What training judges is what the runtime gives; calibration makes 0.5 the right threshold."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_training import DrawPhoto, recipe_of
from torch import nn

from vesselrt.runtime.backends import to_bytes
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.training.fit import validation
from vesselrt.training.fit.calibration import calibrate
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.fit.validation import HALF_LEVEL, ValidationCase


@pytest.fixture
def bright() -> tuple[Recipe, ValidationCase]:
    """A network that returns its input, and a photograph in which all pixels from level 90 on are vessel."""
    image = np.dstack([np.arange(256, dtype=np.uint8).reshape(16, 16)] * 3)
    inside = np.ones((16, 16), bool)
    inside[15] = False  # levels 240 to 255 do not count
    checked = recipe_of(
        preparation={"field_of_view": None},
        input={"mean": [0.5], "std": [0.1]},
        network={"factory": "torch.nn:Identity", "arguments": {}},
    )
    return checked, ValidationCase("ramp", image, image[:, :, 1] >= 90, inside)


def test_validation_counts_by_hand(bright: tuple[Recipe, ValidationCase]) -> None:
    checked, case = bright
    curve = validation.validate_network(nn.Identity(), [case, case], checked, torch.device("cpu"))["ramp"]
    assert curve.shape == (256,)
    assert curve[0] == pytest.approx(2 * 150 / (240 + 150))  # everything is painted: 150 of 240 are vessel
    assert curve[HALF_LEVEL] == pytest.approx(2 * 112 / (112 + 150))  # from level 128 on: 112, all of them vessel
    assert curve.max() == 1
    figures = validation.summarise_curves({"ramp": curve})["ramp"]
    assert (figures["f1"], figures["best_f1"]) == (curve[HALF_LEVEL], 1)
    level = 1 / (1 + np.exp(-(np.array([89, 90]) / 255 - 0.5) / 0.1))
    assert level[0] < figures["best_threshold"] < level[1] + 1 / 255


def test_calibration_makes_the_best_threshold_0_5(bright: tuple[Recipe, ValidationCase], tmp_path: Path) -> None:
    checked, case = bright
    torch.save({"network": {}, "step": 3, "score": 0.25}, tmp_path / "best.pt")
    said: list[str] = []
    calibrate(checked, [case], tmp_path / "best.pt", torch.device("cpu"), said.append)
    state = torch.load(tmp_path / "best.pt", weights_only=True)
    assert (state["network"], state["step"], state["score"]) == ({}, 3, 0.25)
    logits = (np.array([89, 90], np.float32) / 255 - 0.5) / 0.1 + state["shift"]
    levels = to_bytes((1 / (1 + np.exp(-logits)))[None])[0]
    assert levels[0] < HALF_LEVEL <= levels[1]
    assert "becomes 0.5" in said[-1]
    assert "ramp 0.8550 to 1.0000" in said[-1]


def test_held_out_cameras_are_validated_apart(data: Path) -> None:
    cases = list(validation.read_validation_cases(recipe_of(held_out_cameras=True), data))
    assert [c.group for c in cases] == ["eyes", "coarse-ccd", "scanned-film", "dim-portable"]
    for case in cases:
        assert case.image.shape[:2] == case.truth.shape == case.inside.shape


# Scaled back, the one is interpolated in 8 bits and the other in floating point.
@pytest.mark.parametrize(
    ("scaled", "tolerance"),
    [({"field_of_view": None}, 0.51), ({"field_of_view": 96}, 1.5), ({"field_of_view": None, "size": (96, 80)}, 1.5)],
)
def test_prediction_equals_the_runtime(fundus_photo: DrawPhoto, scaled: dict[str, Any], tolerance: float) -> None:
    """What training judges is what the runtime gives, tiles and all."""
    torch.manual_seed(1)
    checked, image = recipe_of(preparation=scaled), fundus_photo(130, 110, 3)[0]
    network = checked.network.build().eval()

    class Torch:
        """A backend on PyTorch."""

        info = FakeBackend().info
        batch = 2

        def infer(self, batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
            for pixels in batches:
                with torch.inference_mode():
                    logits = network(validation.normalise_pixels(torch.from_numpy(pixels.copy()), checked))
                yield to_bytes(torch.sigmoid(logits).numpy())

    manifest = Manifest(
        **{k: getattr(checked, k) for k in ("name", "version", "licence", "description", "preparation", "input")},
        tile=checked.tile.model_copy(update={"margin": 24, "size": 64}),
    )
    tiled = Segmenter(manifest, Torch()).segment(image).probability  # type: ignore[arg-type]
    whole = validation.predict_probability(network, image, checked, torch.device("cpu"))
    assert np.abs(tiled - 255 * whole).max() <= tolerance
    assert tiled.std() > 1
