"""A network of several classes becomes a model file in which each of them is proven, in every precision."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from exporting import infer, manifest_of, noise, tree
from numpy.typing import NDArray
from torch import Tensor, nn

import vesselrt
from vesselrt.cli.export import _vessel_channel
from vesselrt.export import flips, parity
from vesselrt.export.emulation import answers_of
from vesselrt.export.graph import export_model
from vesselrt.export.head import Head, Output
from vesselrt.export.precision import convert_model
from vesselrt.runtime.devices import Device
from vesselrt.runtime.errors import ExportError, OptionError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import read_manifest

CLASSES = ["artery", {"name": "vein", "threshold": 0.4}]


def manifest_with(classes: list[Any] = CLASSES, **fields: Any) -> Manifest:
    given = manifest_of("rgb", multiple=4, margin=8).model_dump(mode="json", exclude={"schema_version"})
    return Manifest.from_fields({**given, "classes": classes, **fields}, source="test")


def network_of(channels: int) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, channels, 1)).eval()


class Activated(nn.Module):
    """A network with its activation inside."""

    def __init__(self, channels: int, activation: nn.Module) -> None:
        super().__init__()
        self.network, self.activation = network_of(channels), activation

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.activation(self.network(image))
        return found


def expected_of(network: nn.Module, pixels: NDArray[np.uint8], output: Output, classes: int) -> NDArray[np.float32]:
    """What the model file is to compute, written out once more."""
    with torch.inference_mode():
        answer = network((torch.from_numpy(pixels).float() / 255 - 0.3) / 0.2).numpy().astype(np.float64)
    if output in ("logits", "sigmoid"):
        return np.asarray(1 / (1 + np.exp(-answer)), np.float32)
    if output == "softmax":
        answer = np.exp(answer - answer.max(1, keepdims=True))
        answer /= answer.sum(1, keepdims=True)
    return np.asarray(answer[:, -classes:], np.float32)


HEADS: dict[str, tuple[nn.Module, Output]] = {
    "a sigmoid for each": (network_of(2), "logits"),
    "a sigmoid for each, said so": (network_of(2), "sigmoid"),
    "a softmax with the background": (network_of(3), "softmax"),
    "a softmax after one in logarithms": (Activated(3, nn.LogSoftmax(dim=1)), "softmax"),
    "sigmoids inside": (Activated(2, nn.Sigmoid()), "probability"),
    "a softmax inside": (Activated(3, nn.Softmax(dim=1)), "probability"),
}


@pytest.mark.parametrize("head", HEADS)
def test_each_channel_is_a_class(tmp_path: Path, head: str) -> None:
    network, output = HEADS[head]
    written = export_model(network, manifest_with(), tmp_path / "a.onnx", [], Head(output))
    assert read_manifest(tmp_path / "a.onnx") == written
    assert written.exclusive is (output == "softmax")
    pixels = noise(2, 3, 20, 24)
    np.testing.assert_allclose(
        infer(tmp_path / "a.onnx", pixels), expected_of(network, pixels, output, 2), atol=1e-6, rtol=0
    )
    figures = written.provenance.parity["f32"]
    assert list(figures) == ["largest_difference", "flipped", "images", "flipped_artery", "flipped_vein"]
    assert figures["flipped"] == max(figures["flipped_artery"], figures["flipped_vein"])


@pytest.mark.parametrize("device", ["cpu:openvino", "cpu:onnxruntime"])
def test_the_file_runs_in_both_libraries(tmp_path: Path, device: Device) -> None:
    network, output = HEADS["a softmax with the background"]
    export_model(network, manifest_with(), tmp_path / "a.onnx", [], Head(output))
    image = noise(75, 90, 3)
    with vesselrt.load(tmp_path / "a.onnx", device=device, precision="f32") as segmenter:
        result = segmenter.segment(image)
    assert result.classes == ("artery", "vein")
    padded = np.zeros((1, 3, 76, 92), np.uint8)
    padded[0, :, :75, :90] = image.transpose(2, 0, 1)
    expected = expected_of(network, padded, output, 2)[0, :, :75, :90] * 255
    assert np.abs(result.probability - expected).max() <= 0.51
    assert not (result.mask(class_="artery") & result.mask(class_="vein")).any()


@pytest.mark.parametrize(
    ("channels", "output", "message"),
    [
        (
            3,
            "logits",
            r"gives 3 channel\(s\), and --output logits has 2\. Say --output softmax where the first channel",
        ),
        (
            2,
            "softmax",
            r"gives 2 channel\(s\), and --output softmax has 3\. The manifest names the classes artery, vein:",
        ),
        (1, "probability", r"gives 1 channel\(s\), and --output probability has 2 or 3\."),
    ],
)
def test_channels_and_classes_must_agree(tmp_path: Path, channels: int, output: Output, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        export_model(network_of(channels), manifest_with(), tmp_path / "a.onnx", [], Head(output))
    assert tree(tmp_path) == set()


@pytest.mark.parametrize("output", ["logits", "softmax", "sigmoid", "probability"])
@pytest.mark.parametrize("said", [{"artery": 3, "vein": 1}, {"vein": 2, "artery": -3}])
def test_the_channel_of_each_class_can_be_said(tmp_path: Path, output: Output, said: dict[str, int]) -> None:
    network = network_of(4) if output != "probability" else Activated(4, nn.Softmax(dim=1))
    written = export_model(network, manifest_with(), tmp_path / "a.onnx", [], Head(output, vessel=said))
    assert written.exclusive is (output == "softmax")
    pixels = noise(2, 3, 20, 24)
    expected = expected_of(network, pixels, output, 4)[:, [said["artery"], said["vein"]]]
    np.testing.assert_allclose(infer(tmp_path / "a.onnx", pixels), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (1, r"--vessel 1 is one channel, of 2 classes\. Say --vessel artery=0,vein=1\.$"),
        ({"artery": 0}, r"--vessel names artery\. Expected another channel for each class .*: artery=0,vein=1\.$"),
        ({"artery": 0, "disc": 1}, r"--vessel names artery, disc\. Expected"),
        ({"artery": 1, "vein": 1}, r"--vessel names artery, vein\. Expected another channel for each"),
        ({"artery": 1, "vein": 3}, r"the network gives 3 channel\(s\)\. Expected --vessel 0 to 2\.$"),
        ({"artery": 2, "vein": -1}, r"names artery, vein\. Expected another channel for each"),
    ],
)
def test_what_is_said_of_channels_must_fit(tmp_path: Path, said: int | dict[str, int], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        export_model(network_of(3), manifest_with(), tmp_path / "a.onnx", [], Head("softmax", vessel=said))
    assert tree(tmp_path) == set()


def test_more_channels_than_a_class_ask_for_names(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"Name a class for each channel but the background's, as `classes` of the"):
        export_model(network_of(3), manifest_with(["vessel"]), tmp_path / "a.onnx", [], Head("softmax"))


def test_an_activation_is_not_applied_twice(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the network ends with Softmax"):
        export_model(Activated(3, nn.Softmax(dim=1)), manifest_with(), tmp_path / "a.onnx", [], Head("softmax"))
    with pytest.raises(ExportError, match="the network ends with Sigmoid: it gives a probability already"):
        export_model(Activated(2, nn.Sigmoid()), manifest_with(), tmp_path / "a.onnx", [])
    with pytest.raises(ExportError, match=r"a calibration of \+0\.500 is for the logits of one class\."):
        export_model(network_of(2), manifest_with(), tmp_path / "a.onnx", [], Head(shift=0.5))


def test_one_wrong_class_is_found(tmp_path: Path) -> None:
    """As a faulty exporter would do it."""

    class Diverging(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image[:, :2] + torch.tensor([0.0, 0.1 if torch.compiler.is_exporting() else 0.0])[:, None, None]

    with pytest.raises(ExportError, match=r"differs from the network by up to 0\.02"):
        export_model(Diverging(), manifest_with(), tmp_path / "a.onnx", [])


def test_flips_are_counted_for_each_class() -> None:
    expected, obtained = np.zeros((1, 2, 2, 2), np.float32), np.zeros((1, 2, 2, 2), np.float32)
    expected[0, 0, 0] = 0.6  # two of four pixels
    obtained[0, 1, 0, 0] = 0.45  # one that only the vein's own threshold lets through
    assert flips.flipped_shares([expected], [obtained], manifest_with()) == {"artery": 0.5, "vein": 0.25}
    # Where classes exclude each other, the more probable one takes a pixel from the other.
    expected[0, 1], obtained[0, 1], obtained[0, 0, 0] = 0.5, 0.7, 0.6
    shares = flips.flipped_shares([expected], [obtained], manifest_with(exclusive=True))
    assert shares == {"artery": 0.5, "vein": 0.5}


def test_a_small_class_can_not_vanish_unseen() -> None:
    """All of it is one pixel in four hundred, fewer than may flip of a large one."""
    expected = np.zeros((1, 2, 40, 40), np.float32)
    expected[0, 0, :20], expected[0, 1, 0, :4] = 0.9, 0.9
    obtained = expected.copy()
    obtained[0, 1] = 0
    shares = flips.flipped_shares([expected], [obtained], manifest_with())
    assert shares == {"artery": 0, "vein": 0.1}
    assert shares["vein"] > parity.MOST_FLIPPED > 4 / 1600


def test_fp16_and_int8_are_compared_class_by_class(tmp_path: Path) -> None:
    network, output = HEADS["a softmax with the background"]
    export_model(network, manifest_with(), tmp_path / "a.onnx", [], Head(output))
    written = convert_model(tmp_path / "a.onnx", tmp_path / "b.onnx", "fp16", [])
    assert (written.exclusive, written.class_names) == (True, ("artery", "vein"))
    model, windows = onnx.load(tmp_path / "a.onnx"), [noise(1, 3, 64, 64)]
    expected = answers_of(model, windows)
    expected[0][0, 1] = 0  # what is compared with has no vein at all
    half = written.provenance.parity["fp16"]
    assert half["flipped"] == max(half["flipped_artery"], half["flipped_vein"]) < 0.001
    with pytest.raises(ExportError, match=r"^int8: \d+\.\d+% of the pixels flip against the f32 model file"):
        parity.check_int8(expected, model, written.model_copy(update={"exclusive": False}), windows)


def test_an_engine_has_a_channel_for_each_class(tmp_path: Path) -> None:
    network, output = HEADS["a softmax with the background"]
    export_model(network, manifest_with(), tmp_path / "a.onnx", [], Head(output))
    pytest.importorskip("tensorrt_rtx", reason="needs TensorRT for RTX")
    from vesselrt.export.engine import build
    from vesselrt.runtime.engines.enginefile import read_engine

    build(tmp_path / "a.onnx", ["sm75"], "fp16").write(tmp_path / "a.engine")
    engine = read_engine(tmp_path / "a.engine")
    assert engine.manifest.class_names == ("artery", "vein")
    assert engine.header.proven.shape == (512,)


def test_the_command_takes_channels_by_name() -> None:
    assert _vessel_channel("artery=1,vein=-1") == {"artery": 1, "vein": -1}
    assert (_vessel_channel("2"), _vessel_channel(None)) == (2, None)
    for said in ("artery=1,2", "artery=", "vein"):
        with pytest.raises(OptionError, match=f"^--vessel {said}: expected the number of a channel, from 0, or of"):
            _vessel_channel(said)
