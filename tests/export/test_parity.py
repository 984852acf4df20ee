"""The proof: what is compared, what is refused, and how a failure reads."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exporting import Diverging, manifest_of, tree
from numpy.typing import NDArray
from torch import Tensor, nn

from vesselrt.export import graph, parity
from vesselrt.export.deployed import Deployed
from vesselrt.export.graph import export_model
from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import read_manifest

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]


def test_a_tolerance_is_a_tolerance(tmp_path: Path) -> None:
    generous = manifest_of("rgb").model_copy(update={"tolerance": {"f32": 0.2}})
    figures = export_model(Diverging(), generous, tmp_path / "tiny.onnx", []).provenance.parity["f32"]
    assert figures["largest_difference"] == pytest.approx(0.025, abs=1e-3)  # the sigmoid's slope is 1/4 at most
    assert figures["flipped"] > 0


def test_flipped_pixels_by_hand() -> None:
    manifest = manifest_of().model_copy(update={"tolerance": {"f32": 0.5}})
    one, other = (
        np.array([[[[0.499, 0.51, 0.1, 0.9]]]], np.float32),
        np.array([[[[0.51, 0.499, 0.4, 0.9]]]], np.float32),
    )
    figures = parity._compare("f32", [one], [other], manifest)
    assert figures == {"largest_difference": pytest.approx(0.3), "flipped": 0.5, "images": 1}


@pytest.mark.parametrize(
    ("expected", "obtained", "who"), [(np.nan, 0.5, "the network itself"), (0.5, np.inf, "f32: the")]
)
def test_a_value_that_is_none_is_no_parity(expected: float, obtained: float, who: str) -> None:
    one, other = (np.full((1, 1, 2, 2), v, np.float32) for v in (expected, obtained))
    with pytest.raises(ExportError, match=f"^{who}.* NaN or infinite"):
        parity._compare("f32", [one], [other], manifest_of())


def test_a_manifest_without_a_tolerance_for_f32_has_the_usual_one() -> None:
    manifest = manifest_of().model_copy(update={"tolerance": {"bf16": 0.3}})
    one, other = (np.full((1, 1, 2, 2), v, np.float32) for v in (0.5, 0.501))
    with pytest.raises(ExportError, match=r"tolerance 0\.0001"):
        parity._compare("f32", [one], [other], manifest)


class Clamped(nn.Module):
    """Ends with a sigmoid that no graph check can see at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.convolution(image)).clamp(0, 1)


def test_a_probability_that_is_called_logits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"values from 0 to 1 on every window.* Say --output probability\.$"):
        export_model(Clamped(), manifest_of(margin=24), tmp_path / "a.onnx", [])
    assert tree(tmp_path) == set()
    export_model(Clamped(), manifest_of(margin=24), tmp_path / "a.onnx", [], output="probability")


def test_a_file_that_runs_in_one_size_alone_gets_a_fixed_tile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def check(module: Deployed, manifest: Manifest, path: Path, photographs: list[Any]) -> dict[str, dict[str, float]]:
        if not manifest.tile.fixed:
            raise parity.WindowError(f"the exported file fails on a window. {parity.SET_FIXED}")
        return parity.check_parity(module, manifest, path, photographs)

    monkeypatch.setattr(graph, "check_parity", check)
    written = export_model(nn.Conv2d(1, 1, 3, padding=1), manifest_of(margin=24), tmp_path / "a.onnx", [])
    assert written.tile.fixed
    assert read_manifest(tmp_path / "a.onnx") == written
    assert "the exported file fails on a window. The tile is fixed, at 64 pixels." in caplog.text


def test_onnx_runtimes_own_failure_is_one_sentence(tmp_path: Path) -> None:
    network = nn.Conv2d(1, 1, 3, padding=1)
    export_model(network, manifest_of(margin=24), tmp_path / "a.onnx", [])
    model = onnx.load(tmp_path / "a.onnx")
    for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_value = 64
    onnx.save(model, tmp_path / "b.onnx")
    module = Deployed(network, manifest_of(margin=24)).eval()
    with pytest.raises(
        parity.WindowError, match=r"^the exported file fails on a window of .* Set tile\.fixed"
    ) as caught:
        parity.check_parity(module, manifest_of(margin=24), tmp_path / "b.onnx", [])
    assert "\n" not in str(caught.value)
