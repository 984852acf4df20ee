"""From a module to a model file: what is written, and that a failure leaves nothing."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exporting import Diverging, infer, manifest_of, noise, reference, thin, tree
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

import vesselrt
from vesselrt.export.graph import export_model, model_from_network
from vesselrt.export.head import Head
from vesselrt.export.modelfile import record_metrics
from vesselrt.runtime.devices import Device
from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.manifest import Manifest, Provenance
from vesselrt.runtime.modelfile import read_manifest
from vesselrt.training.networks import VesselNet

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]


# A whole export


@dataclass(frozen=True)
class Exported:
    """A model file and what it was made from."""

    path: Path
    network: nn.Module
    manifest: Manifest
    shift: float
    photograph: NDArray[np.uint8]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, fundus_photo: Callable[[int, int, int], Photo]) -> Exported:
    torch.manual_seed(3)
    network = VesselNet(channels=1, widths=(4, 8))
    for module in network.modules():  # a trained network has other statistics than a new one
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    nn.init.normal_(network.get_parameter("head.0.weight"), std=0.5)
    path, (photograph, _) = tmp_path_factory.mktemp("export") / "tiny.onnx", fundus_photo(90, 70, 0)
    manifest = export_model(network, manifest_of(margin=24), path, [photograph], Head(shift=-0.5))
    return Exported(path, network, manifest, -0.5, photograph)


def test_the_manifest_is_in_the_file(exported: Exported) -> None:
    assert read_manifest(exported.path) == exported.manifest
    assert exported.manifest.model_copy(update={"provenance": Provenance(), "content_sha256": None}) == manifest_of(
        margin=24
    )
    assert tree(exported.path.parent) == {"tiny.onnx"}


def test_parity_is_in_the_manifest(exported: Exported) -> None:
    figures = exported.manifest.provenance.parity["f32"]
    assert set(figures) == {"largest_difference", "flipped", "images"}
    assert figures["images"] == 4  # the photograph and three kinds of noise
    assert 0 <= figures["largest_difference"] < 1e-5
    assert figures["flipped"] == 0
    bf16 = exported.manifest.provenance.parity["bf16"]  # emulated where the processor has none
    assert 0 < bf16["largest_difference"] < 0.3


@pytest.mark.parametrize(
    "shape", [(1, 1, 4, 4), (3, 1, 4, 28), (2, 1, 20, 12), (1, 1, 64, 8), (5, 1, 8, 64), (1, 1, 200, 4)]
)
def test_any_batch_and_size_equals_the_network(exported: Exported, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    probability = infer(exported.path, pixels)
    assert probability.shape == shape
    assert probability == pytest.approx(reference(exported.network, exported.manifest, pixels, -0.5), abs=1e-5)
    assert probability.max() - probability.min() > 0.05  # not all the same


@pytest.mark.parametrize("device", ["cpu:onnxruntime", "cpu:openvino"])
def test_the_runtime_equals_the_network_on_a_photograph(exported: Exported, device: Device) -> None:
    green = exported.photograph[:, :, 1]
    pixels = np.zeros((1, 1, 92, 72), np.uint8)
    pixels[0, 0, :90, :70] = green
    whole = reference(exported.network, exported.manifest, pixels, -0.5)[0, 0, :90, :70]
    with vesselrt.load(exported.path, device=device, precision="f32") as segmenter:
        tiled = segmenter.segment(exported.photograph).probability
    assert np.abs(tiled - 255 * whole).max() <= 0.51  # rounding, and nothing at the seams


def test_no_path_of_this_machine_is_in_the_file(exported: Exported) -> None:
    content = exported.path.read_bytes()
    package = Path(vesselrt.__file__).parent
    places = {Path.cwd(), Path.home(), package, package.resolve(), Path(torch.__file__).parent, Path(__file__).parent}
    for place in {*map(str, places), tempfile.gettempdir(), "site-packages", ".py"}:
        assert place == "/" or place.encode() not in content, place


def test_the_file_is_plain_onnx(exported: Exported) -> None:
    model = onnx.load(exported.path)
    onnx.checker.check_model(model, full_check=True)
    assert {o.domain for o in model.opset_import} <= {"", "ai.onnx"}
    assert [i.name for i in model.graph.input] == ["image"]
    assert [o.name for o in model.graph.output] == ["probability"]
    assert "BatchNormalization" not in {n.op_type for n in model.graph.node}  # folded into the convolutions


def test_an_export_is_repeatable() -> None:
    one, other = (model_from_network(thin(), manifest_of("rgb", multiple=1)) for _ in range(2))
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


class Branching(nn.Module):
    """Python decides on the pixels: nothing that a graph can hold."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] if float(x.sum()) > 0 else -x[:, :1]


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Placed(nn.Module):
    """A convolution and a positional embedding: it takes windows of 32 px and no other."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.look = nn.Conv2d(3, 1, 3, padding=1)
        self.place = nn.Parameter(torch.randn(1, 1, 32, 32) / 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.look(x) + self.place
        return logits


def broken(value: float) -> nn.Module:
    network = thin()
    nn.init.constant_(network.weight, value)
    return network


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            Diverging(),
            r"f32: the model file differs from the network by up to 0\.\d+ in probability \(tolerance 0.0001\)",
        ),
        (broken(float("nan")), "the network itself gives NaN or infinite values"),
        (Branching(), "torch can't export this network: Python decides there by values of the image"),
        (
            Pair(),
            r"the network gives a tuple: 0 \(1, 3, 40, 48\), 1 .* Say which one holds the mask: --pick 0 or --pick 1\.",
        ),
        (
            nn.Conv2d(1, 1, 3, padding=1),
            r"the network fails on a window of 48 × 40 pixels: .*expected input.* to have 1 channels",
        ),
        (Placed(), r"fails on a window of .* It takes 32 × 32: say tile.size 32 and tile.fixed true in the manifest\."),
    ],
)
def test_a_failed_export_leaves_everything_as_it_was(tmp_path: Path, network: nn.Module, message: str) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_text("a model that was there before")
    with pytest.raises(ExportError, match=message) as caught:
        export_model(network, manifest_of("rgb"), path, [])
    assert not set("\n\x1b") & set(str(caught.value))
    assert tree(tmp_path) == {"tiny.onnx"}
    assert path.read_text() == "a model that was there before"


def test_a_failed_export_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"Nothing was written\."):
        export_model(Diverging(), manifest_of("rgb"), tmp_path / "tiny.onnx", [])
    assert tree(tmp_path) == set()


# Other networks


def test_a_fixed_tile(tmp_path: Path, fundus_photo: Callable[[int, int, int], Photo]) -> None:
    network, (photograph, _) = Placed(), fundus_photo(75, 61, 4)
    manifest = manifest_of("rgb", size=32, fixed=True, blend="gaussian")
    exported = export_model(network, manifest, tmp_path / "placed.onnx", [photograph])
    assert exported.provenance.parity["f32"]["images"] == 2
    pixels = noise(3, 3, 32, 32)
    assert infer(tmp_path / "placed.onnx", pixels) == pytest.approx(reference(network, manifest, pixels), abs=1e-5)
    with vesselrt.load(tmp_path / "placed.onnx", device="cpu:onnxruntime") as segmenter:
        assert segmenter.segment(photograph).probability.shape == (75, 61)
        small = np.zeros((1, 3, 32, 32), np.uint8)
        small[0, :, 6:26, 11:20] = photograph[40:60, 20:29].transpose(2, 0, 1)
        alone = segmenter.segment(np.ascontiguousarray(photograph[40:60, 20:29])).probability
    assert np.abs(alone - 255 * reference(network, manifest, small)[0, 0, 6:26, 11:20]).max() <= 0.51


def test_a_monai_network(tmp_path: Path, fundus_photo: Callable[[int, int, int], Photo]) -> None:
    nets = pytest.importorskip("monai.networks.nets.unet", reason="needs MONAI")
    torch.manual_seed(0)
    network = nets.UNet(2, in_channels=3, out_channels=1, channels=(4, 8), strides=(2,), norm="batch")
    manifest, (photograph, _) = manifest_of("rgb", margin=16), fundus_photo(80, 70, 0)
    export_model(network, manifest, tmp_path / "unet.onnx", [photograph])
    for shape in ((1, 3, 4, 4), (3, 3, 12, 28)):
        expected = reference(network, manifest, noise(*shape))
        assert infer(tmp_path / "unet.onnx", noise(*shape)) == pytest.approx(expected, abs=1e-5)
    with vesselrt.load(tmp_path / "unet.onnx") as segmenter:
        assert segmenter.segment(photograph).probability.shape == (80, 70)


class Padded(nn.Module):
    """Reads `.data`, as the shortcuts of ResNets do that have no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.look = thin()

    def forward(self, x: Tensor) -> Tensor:
        seen = self.look(x)
        answer: Tensor = torch.cat([seen.data, seen], dim=1).sum(1, keepdim=True)
        return answer


def test_a_network_that_reads_the_data_of_a_tensor(tmp_path: Path) -> None:
    network, manifest = Padded(), manifest_of("rgb")
    export_model(network, manifest, tmp_path / "padded.onnx", [])
    pixels = noise(1, 3, 8, 12)
    assert infer(tmp_path / "padded.onnx", pixels) == pytest.approx(reference(network, manifest, pixels), abs=1e-5)


def deep_unet(norm: str) -> nn.Module:
    nets = pytest.importorskip("monai.networks.nets.unet", reason="needs MONAI")
    torch.manual_seed(0)
    network: nn.Module = nets.UNet(2, in_channels=3, out_channels=1, channels=(4, 4, 4, 4), strides=(2,) * 3, norm=norm)
    return network


def test_instance_norm_in_blended_windows(tmp_path: Path) -> None:
    manifest = manifest_of("rgb", multiple=8, margin=8, blend="gaussian")
    assert (
        export_model(deep_unet("instance"), manifest, tmp_path / "m.onnx", []).provenance.parity["f32"]["images"] == 3
    )


@pytest.mark.parametrize(
    ("norm", "multiple", "reason"),
    [
        ("batch", 4, "Sizes of tensors must match"),
        pytest.param("instance", 8, "more than 1 spatial", marks=pytest.mark.slow),
    ],
)
def test_a_multiple_that_the_network_cannot_take(tmp_path: Path, norm: str, multiple: int, reason: str) -> None:
    message = (
        rf"window of {multiple} × {multiple} pixels: .*{reason}.* say tile.multiple {2 * multiple} in the manifest"
    )
    with pytest.raises(ExportError, match=message):
        export_model(deep_unet(norm), manifest_of("rgb", multiple=multiple), tmp_path / "m.onnx", [])
    assert tree(tmp_path) == set()
    manifest = manifest_of("rgb", multiple=8 if norm == "batch" else 16)
    export_model(deep_unet(norm), manifest, tmp_path / "m.onnx", [])


# Figures


def test_recorded_figures_join_the_manifest_and_the_graph_stays(exported: Exported, tmp_path: Path) -> None:
    path = tmp_path / "copy.onnx"
    path.write_bytes(exported.path.read_bytes())
    record_metrics(path, {"a test": {"f1": 0.5}, "b test": {"f1": 0.25}})
    record_metrics(path, {"b test": {"f1": 0.75}})
    manifest = read_manifest(path)
    assert manifest.provenance.metrics == {"a test": {"f1": 0.5}, "b test": {"f1": 0.75}}
    known = manifest.provenance.model_copy(update={"metrics": {}})
    same = {"provenance": known, "content_sha256": exported.manifest.content_sha256}
    assert manifest.model_copy(update=same) == exported.manifest
    assert onnx.load(path).graph == onnx.load(exported.path).graph
    assert tree(tmp_path) == {"copy.onnx"}


def test_figures_that_cannot_be_written_leave_the_file(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "copy.onnx"
    path.write_bytes(exported.path.read_bytes())

    write_bytes = Path.write_bytes

    def full(to: Path, content: bytes) -> None:
        write_bytes(to, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        record_metrics(path, {"a test": {"f1": 0.5}})
    assert path.read_bytes() == exported.path.read_bytes()
    assert tree(tmp_path) == {"copy.onnx"}


class Attentive(nn.Module):
    """Windows of 4 × 4 pixels attend to themselves, with two heads, as Swin's do."""

    def __init__(self) -> None:
        super().__init__()
        self.inward, self.outward = nn.Conv2d(1, 24, 1), nn.Conv2d(8, 1, 1)
        self.bias = nn.Parameter(torch.randn(1, 2, 16, 16))

    def forward(self, image: Tensor) -> Tensor:
        count, _, height, width = image.shape
        made = self.inward(image).view(count, 24, height // 4, 4, width // 4, 4).permute(0, 2, 4, 3, 5, 1)
        query, key, value = made.reshape(-1, 16, 3, 2, 4).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=self.bias).transpose(1, 2)
        seen = seen.contiguous().view(-1, 16, 8)
        placed = seen.view(count, height // 4, width // 4, 4, 4, 8).permute(0, 5, 1, 3, 2, 4)
        answer: Tensor = self.outward(placed.reshape(count, 8, height, width))
        return answer


def test_fused_attention_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, manifest = Attentive().eval(), manifest_of(margin=16)
    export_model(network, manifest, tmp_path / "attentive.onnx", [])
    pixels = noise(2, 1, 32, 64)
    assert infer(tmp_path / "attentive.onnx", pixels) == pytest.approx(reference(network, manifest, pixels), abs=1e-5)
