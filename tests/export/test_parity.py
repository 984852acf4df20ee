"""The proof: what is compared, what is refused, and how a failure reads."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exporting import Diverging, manifest_of, tree
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vesselrt.export import parity, proven
from vesselrt.export.graph import export_model
from vesselrt.export.head import Head
from vesselrt.export.reference import TorchReference
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
    with pytest.raises(ExportError, match=r"values from 0 to 1 on every window.* say --output probability\.$"):
        export_model(Clamped(), manifest_of(margin=24), tmp_path / "a.onnx", [])
    assert tree(tmp_path) == set()
    export_model(Clamped(), manifest_of(margin=24), tmp_path / "a.onnx", [], Head("probability"))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (parity.WindowError("the exported file fails on a window."), "the exported file fails on a window."),
        (parity.DiffersError("f32: the file differs. Nothing was written."), "f32: the file differs."),
    ],
)
def test_a_file_that_runs_or_is_exact_in_one_size_alone_gets_a_fixed_tile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, error: ExportError, told: str
) -> None:
    def check(
        reference: parity.Reference, head: Head, manifest: Manifest, path: Path, photographs: list[Any]
    ) -> dict[str, dict[str, float]]:
        if not manifest.tile.fixed:
            raise error
        return parity.check_parity(reference, head, manifest, path, photographs)

    monkeypatch.setattr(proven, "check_parity", check)
    written = export_model(nn.Conv2d(1, 1, 3, padding=1), manifest_of(margin=24), tmp_path / "a.onnx", [])
    assert written.tile.fixed
    assert read_manifest(tmp_path / "a.onnx") == written
    assert f"{told} The tile is fixed, at 64 pixels." in caplog.text


def test_onnx_runtimes_own_failure_is_one_sentence(tmp_path: Path) -> None:
    network = nn.Conv2d(1, 1, 3, padding=1)
    export_model(network, manifest_of(margin=24), tmp_path / "a.onnx", [])
    model = onnx.load(tmp_path / "a.onnx")
    for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_value = 64
    onnx.save(model, tmp_path / "b.onnx")
    reference = TorchReference(network, manifest_of(margin=24), None)
    with pytest.raises(parity.WindowError, match=r"^the exported file fails on a window of ") as caught:
        parity.check_parity(reference, Head(), manifest_of(margin=24), tmp_path / "b.onnx", [])
    assert "\n" not in str(caught.value)


class Dropping(nn.Module):
    """Dropout that stays on in evaluation, inside of a named part."""

    def __init__(self) -> None:
        super().__init__()
        self.look, self.head = nn.Conv2d(1, 4, 3, padding=1), Head4()

    def forward(self, image: Tensor) -> Tensor:
        answer: Tensor = self.head(self.look(image))
        return answer


class Head4(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(4, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.last(functional.dropout(x, 0.5))
        return answer


def test_dropout_that_stays_on_is_named() -> None:
    manifest, batch = manifest_of(margin=24), np.full((1, 1, 8, 8), 99, np.uint8)
    reference = TorchReference(Dropping(), manifest, None)
    expected = Head().probability(reference.answer(batch))
    with pytest.raises(
        ExportError, match=r"^the network gives other values each time .*: head.last \(Conv2d\) is random"
    ):
        parity._check_repeats(reference, Head(), batch, expected)


class Shaky(nn.Module):
    """Loses digits in float32: it subtracts what it added."""

    def __init__(self, added: float) -> None:
        super().__init__()
        self.look, self.added = nn.Conv2d(1, 1, 3, padding=1), added

    def forward(self, image: Tensor) -> Tensor:
        # The sums are written so that an exporter does not take them away.
        large = self.look(image) + self.added * (1 + image.abs().sum(1, keepdim=True) * 0)
        answer: Tensor = large - self.added
        return answer


def test_a_file_may_be_as_far_off_as_the_network_itself_is_in_float32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    figures = export_model(Shaky(1e4), manifest_of(margin=24), tmp_path / "a.onnx", []).provenance.parity["f32"]
    assert 1e-4 < figures["largest_difference"] < 1e-2  # over the tolerance: float32 costs the network as much


@dataclass
class Drawn:
    """A reference whose exact answers and float32 answers are given, one a batch."""

    name: str
    exact: list[NDArray[np.float64]]
    single: list[NDArray[np.float64]]

    def answer(self, batch: NDArray[np.uint8]) -> NDArray[np.float64]:
        return self.exact[int(batch[0, 0, 0, 0])]

    def rounded(self, batch: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        return self.single[int(batch[0, 0, 0, 0])]

    def random_part(self, batch: NDArray[np.uint8]) -> str:
        raise AssertionError

    def inner_sides(self, window: NDArray[np.uint8]) -> set[int]:
        raise AssertionError


@pytest.mark.parametrize(
    ("off", "own", "photographs", "passes"),
    [
        ((0.0, 0.0), 0.0, 1, True),
        ((0.0, 0.003), 0.001, 0, True),  # within four times what float32 costs
        ((0.0, 0.005), 0.001, 0, False),
        ((0.0, 0.005), 0.001, 1, True),  # photographs decide
        ((0.005, 0.0), 0.001, 1, False),
        ((0.0, 0.3), 0.001, 1, False),  # noise where pixels flip
    ],
)
def test_photographs_decide_over_noise(off: tuple[float, float], own: float, photographs: int, *, passes: bool) -> None:
    exact = [np.full((1, 1, 4, 4), 0.4) for _ in off]
    reference = Drawn("the network", exact, [e + own for e in exact])
    batches = [np.full((1, 1, 4, 4), i, np.uint8) for i in range(2)]
    proof = parity._Proof(reference, Head("probability"), manifest_of(), batches, exact)
    obtained = [(e + o).astype(np.float32) for e, o in zip(exact, off, strict=True)]
    if passes:
        assert parity._compare_f32(proof, obtained, photographs)["largest_difference"] == pytest.approx(
            max(off), abs=1e-6
        )
        return
    with pytest.raises(ExportError, match="f32: the model file differs from the network by up to"):
        parity._compare_f32(proof, obtained, photographs)
