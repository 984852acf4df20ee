"""The networks of other photographs: what they take and give, that the model file does the same, and where weights
come from.
"""

import pickle
import re
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import vesselrt
from vesselrt.export.graph import export_model
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import Manifest
from vesselrt.training.fit.recipe import NetworkFactory
from vesselrt.training.networks import BACKBONES, Branched, EfficientUNet, VesselNet, fold_branches

B0: dict[str, Any] = {"channels": 3, "backbone": "efficientnet-b0", "widths": [16, 8, 8, 4, 4]}
TINY: dict[str, Any] = {"channels": 1, "tile": 64, "widths": [4, 8, 8, 8], "embedding": 12, "depth": 2, "heads": 3}
PLAIN: dict[str, Any] = {"spatial_dims": 2, "in_channels": 3, "out_channels": 1, "norm": "batch", "act": "relu"}
PLAIN["features"] = [4, 4, 8, 8, 8, 4]
HERE = "vesselrt.training.networks"
pytestmark = pytest.mark.usefixtures("one_thread")


def manifest_of(channels: int, **tile: Any) -> Manifest:
    return Manifest.from_fields(
        {
            "name": "tiny",
            "version": "0.1",
            "licence": "CC0-1.0",
            "description": "Random weights.",
            "preparation": {"channels": "green" if channels == 1 else "rgb"},
            "input": {"mean": [0.4] * channels, "std": [0.2] * channels},
            "tile": {"margin": 16, "blend": "gaussian", **tile},
            "tolerance": {"f32": 1e-4},
        },
        source="test",
    )


def lively(network: nn.Module, pixels: Tensor) -> nn.Module:
    """Batch norms that are no two alike, so that folding one wrongly shows, and logits of mean 0 and deviation 1.

    Statistics as after training are no good here: untrained channels hardly vary, and dividing by that little makes an
    EfficientNet's own f32 differ from its f64 by 0.03.
    """
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.8, 1.2)
            nn.init.normal_(part.bias, std=0.1)
            assert part.running_mean is not None
            nn.init.normal_(part.running_mean, std=0.1)
    *_, head = (part for part in network.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d))
    assert head.bias is not None
    with torch.no_grad():
        logits = network.eval()(pixels)
        head.weight /= logits.std()
        head.bias.copy_((head.bias - logits.mean()) / logits.std())
    return network


def leave_out_repeated_blocks(network: EfficientUNet) -> None:
    """One block of each stage, and two of the second: further ones are the same again, and exporting is slow."""
    for number, stage in enumerate(network.network.encoder._blocks):
        del stage[2 if number == 1 else 1 :]


# Exported, they do the same


@pytest.mark.parametrize(
    ("factory", "arguments", "tile", "shapes"),
    [
        pytest.param(
            *(f"{HERE}:EfficientUNet", B0, {"size": 128, "multiple": 32, "margin": 32}),
            [(1, 3, 32, 160), (3, 3, 96, 64)],
            marks=pytest.mark.slow,
        ),
        (f"{HERE}:TransUNet", TINY, {"size": 64, "multiple": 16, "fixed": True}, [(1, 1, 64, 64), (3, 1, 64, 64)]),
        ("monai.networks.nets:BasicUNet", PLAIN, {"size": 64, "multiple": 16}, [(1, 3, 16, 48), (3, 3, 32, 16)]),
    ],
    ids=["EfficientUNet", "TransUNet", "BasicUNet"],
)
def test_the_model_file_does_what_the_network_does(
    factory: str, arguments: dict[str, Any], tile: dict[str, Any], shapes: list[tuple[int, ...]], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    channels, random = shapes[0][1], np.random.default_rng(0)
    network = NetworkFactory(factory=factory, arguments=arguments).build()
    if isinstance(network, EfficientUNet):
        leave_out_repeated_blocks(network)
    lively(network, torch.randn(2, channels, tile["size"], tile["size"]))
    written = export_model(network, manifest_of(channels, **tile), tmp_path / "net.onnx", [])
    assert written.provenance.parity["f32"]["largest_difference"] <= 1e-4
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    for shape in shapes:
        pixels = random.integers(0, 256, shape, dtype=np.uint8)
        with torch.inference_mode():
            expected = torch.sigmoid(network((torch.from_numpy(pixels) / 255 - 0.4) / 0.2)).numpy()
        assert expected.std() > 0.05  # not the same everywhere
        obtained = session.run(None, {"image": pixels})[0]
        np.testing.assert_allclose(np.asarray(obtained), expected, rtol=0, atol=1e-4)
    # On a photograph that no window fits.
    photograph = random.integers(0, 256, (150, 90, 3), dtype=np.uint8)
    with vesselrt.load(tmp_path / "net.onnx", device="cpu:onnxruntime") as segmenter:
        assert segmenter.segment(photograph).probability.shape == (150, 90)


# Branches


def branched() -> VesselNet:
    """Single convolutions at all levels, and every branch of them counts."""
    torch.manual_seed(0)
    network = VesselNet(1, (4, 8), (1, 1), (1,))
    for part in network.modules():
        if isinstance(part, Branched):
            nn.init.normal_(part.point, std=0.3)
            nn.init.normal_(part.narrow, std=0.3)
    lively(network, torch.randn(2, 1, 32, 32))
    return network


def test_branches_are_the_sum_of_their_convolutions() -> None:
    torch.manual_seed(0)
    branches, pixels = Branched(4), torch.randn(2, 4, 9, 7)
    nn.init.normal_(branches.point)
    nn.init.normal_(branches.narrow)
    with torch.inference_mode():
        expected = pixels + functional.conv2d(pixels, branches.weight, padding=1)
        expected += functional.conv2d(pixels, branches.point[:, :, None, None])
        wide = functional.conv2d(pixels, branches.wide, padding=1)  # (2, 8, 9, 7)
        expected += functional.conv2d(wide, branches.narrow[:, :, None, None])
        torch.testing.assert_close(branches(pixels), expected, rtol=0, atol=1e-4)


def test_folding_leaves_one_convolution_that_does_the_same() -> None:
    network, pixels = branched(), torch.randn(2, 1, 32, 48)
    plain = fold_branches(network)
    for layers, kinds in ((network, {Branched, nn.Conv2d}), (plain, {nn.Conv2d})):
        assert {type(part) for part in layers.modules() if isinstance(part, nn.Conv2d)} == kinds
    with torch.inference_mode():
        assert torch.equal(plain(pixels), network(pixels))


def test_every_branch_is_trained() -> None:
    network = branched()
    network(torch.randn(2, 1, 32, 32)).square().mean().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_a_model_file_has_no_branches_and_the_network_keeps_them(tmp_path: Path) -> None:
    network = branched()
    before = network.state_dict().keys()
    written = export_model(network, manifest_of(1, size=64, multiple=4), tmp_path / "net.onnx", [])
    assert network.state_dict().keys() == before
    assert written.provenance.parity["f32"]["largest_difference"] <= 1e-5
    graph = onnx.load(tmp_path / "net.onnx").graph
    kernels = [list(tensor.dims) for tensor in graph.initializer if tensor.dims[-2:] == [3, 3]]
    assert sorted(kernels) == [[4, 4, 3, 3], [4, 4, 3, 3], [4, 4, 3, 3], [8, 4, 3, 3], [8, 8, 3, 3]]
    assert {node.op_type for node in graph.node} <= {
        *("Cast", "Div", "Sub", "Conv", "Relu", "ConvTranspose", "Add", "DepthToSpace", "Sigmoid")
    }


# EfficientUNet


@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_backbone_keeps_the_size(backbone: str) -> None:
    with torch.device("meta"):  # shapes without arithmetic
        network = EfficientUNet(3, backbone)
        assert network(torch.zeros(1, 3, 64, 96)).shape == (1, 1, 64, 96)


def test_every_weight_of_it_is_trained() -> None:
    torch.manual_seed(0)
    network = EfficientUNet(**B0)
    assert {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {0.1}  # validation keeps up
    network(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []


def test_sides_that_it_cannot_halve_are_named() -> None:
    with pytest.raises(ValueError, match=r"a window of 64 × 250 pixels. Expected sides that are multiples of 32"):
        EfficientUNet(**B0)(torch.zeros(1, 3, 64, 250))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backbone": "efficientnet-b8"}, "backbone 'efficientnet-b8'. Expected one of: efficientnet-b0, "),
        ({"widths": [8, 8, 8]}, "3 widths. Expected 5, for strides 16, 8, 4, 2 and 1"),
        ({"pretrained": True, "channels": 1}, "pretrained with 1 channel(s). ImageNet is RGB: expected channels 3"),
    ],
)
def test_what_there_is_no_efficient_unet_of(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        NetworkFactory(factory=f"{HERE}:EfficientUNet", arguments={**B0, **arguments}).build()


FILE = "efficientnet-b0-355c32eb.pth"


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where torch keeps what it downloads, on a machine that reaches nothing."""

    def unreachable(*_: Any, **__: Any) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def published(network: EfficientUNet) -> dict[str, Tensor]:
    """The encoder's weights, all drawn anew, by the names of the published file, and what that holds beside them."""
    torch.manual_seed(5)
    state = network.network.encoder.state_dict()
    drawn = {re.sub(r"^_blocks\.\d+\.", "_blocks.", k): torch.rand(v.shape).to(v.dtype) for k, v in state.items()}
    assert len(drawn) == len(state)
    return {**drawn, "_fc.bias": torch.zeros(1000)}


def test_pretrained_starts_from_the_published_file(checkpoints: Path) -> None:
    from monai.networks.nets import FlexibleUNet

    weights = published(EfficientUNet(**B0))
    torch.save(weights, checkpoints / FILE)
    state = EfficientUNet(**B0, pretrained=True).network.encoder.state_dict()
    assert torch.equal(state["_conv_stem.weight"], weights["_conv_stem.weight"])
    assert torch.equal(state["_blocks.6.15._bn2.running_var"], weights["_blocks.15._bn2.running_var"])
    theirs = FlexibleUNet(3, 1, "efficientnet-b0", pretrained=True).encoder.state_dict()  # MONAI's own reading
    assert [k for k in state if not k.endswith("num_batches_tracked") and not torch.equal(state[k], theirs[k])] == []


def test_weights_that_cannot_be_downloaded(checkpoints: Path) -> None:
    with pytest.raises(DataError) as caught:
        EfficientUNet(**B0, pretrained=True)
    message = str(caught.value)
    assert "the ImageNet weights of efficientnet-b0 can't be loaded (<urlopen error Name or service" in message
    assert "Say pretrained: false, or put https://" in message
    assert message.endswith(f"/{FILE} by hand at {checkpoints / FILE}")


class Trap:
    """Runs when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_a_weights_file_put_there_by_hand_is_not_trusted(checkpoints: Path) -> None:
    mark = checkpoints / "it ran"
    (checkpoints / FILE).write_bytes(pickle.dumps({"_conv_stem.weight": Trap(mark)}, protocol=2))
    with pytest.raises(DataError, match="can't be loaded"):
        EfficientUNet(**B0, pretrained=True)
    torch.save({"_conv_stem.weight": Trap(mark)}, checkpoints / FILE)
    with pytest.raises(DataError, match="can't be loaded"):
        EfficientUNet(**B0, pretrained=True)
    assert not mark.exists()


def test_a_weights_file_of_something_else_is_no_start(checkpoints: Path) -> None:
    weights = published(EfficientUNet(**B0))
    del weights["_blocks.3._bn1.weight"]
    torch.save(weights, checkpoints / FILE)
    with pytest.raises(DataError, match=r"not the ImageNet weights of efficientnet-b0: _blocks.3._bn1.weight is miss"):
        EfficientUNet(**B0, pretrained=True)
