"""Network to model file: the file does what the network does, or there is no file."""

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

import vesselrt
from vesselrt import cli
from vesselrt.cli.models import describe_model
from vesselrt.export import graph, parity
from vesselrt.export.graph import Deployed, export, onnx_from_module
from vesselrt.export.modelfile import record_metrics
from vesselrt.export.sources import run as runs
from vesselrt.export.sources.finding import source_from_callable
from vesselrt.export.sources.run import source_from_run
from vesselrt.export.weights import fill_network, hash_weights, load_weights
from vesselrt.runtime.devices import Device
from vesselrt.runtime.errors import DataError, ExportError, ManifestError
from vesselrt.runtime.manifest import DataSource, Input, Manifest, Provenance, Tile
from vesselrt.runtime.modelfile import read_manifest
from vesselrt.training.fit.recipe import BUILT_IN, Recipe
from vesselrt.training.networks import VesselNet

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The networks are tiny: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def manifest_of(channels: str = "green", **tile: Any) -> Manifest:
    count = 1 if channels == "green" else 3
    return Manifest.from_fields(
        {
            "name": "tiny",
            "version": "0.1",
            "licence": "CC0-1.0",
            "description": "Random weights.",
            "preparation": {"channels": channels},
            "input": {"mean": [0.3] * count, "std": [0.2] * count},
            "tile": {"size": 64, "multiple": 4, "margin": 0, **tile},
        },
        source="test",
    )


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*")}


def infer(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["probability"], {"image": pixels})[0], np.float32)


def reference(network: nn.Module, manifest: Manifest, pixels: NDArray[np.uint8], shift: float = 0) -> Any:
    """What the model file is to compute, written out once more."""
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (manifest.input.mean, manifest.input.std))
    with torch.inference_mode():
        logits = network.eval()(torch.from_numpy((pixels.astype(np.float32) / 255 - mean) / std)).numpy()
    return 1 / (1 + np.exp(-(logits.astype(np.float64) + shift)))


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


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
    manifest = export(network, manifest_of(margin=24), path, [photograph], shift=-0.5)
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
    module = Deployed(thin(), manifest_of("rgb", multiple=1)).eval()
    one, other = (onnx_from_module(module, manifest_of("rgb", multiple=1)) for _ in range(2))
    assert one.SerializeToString(deterministic=True) == other.SerializeToString(deterministic=True)


# What fails leaves nothing


def thin() -> nn.Conv2d:
    """The smallest network that looks around itself."""
    torch.manual_seed(0)
    return nn.Conv2d(3, 1, 3, padding=1)


class Diverging(nn.Module):
    """Its output depends on whether it is being exported, as a faulty exporter's would."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] + (0.1 if torch.compiler.is_exporting() else 0.0)


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
        (Branching(), "torch can't export this network: Could not guard on data-dependent expression"),
        (Pair(), r"the network gives a tuple\. Expected one tensor"),
        (nn.Conv2d(1, 1, 3, padding=1), r"torch can't export this network: .*expected input.* to have 1 channels"),
        (Placed(), r"torch can't export this network: .* If its size can't vary, set tile.fixed in the manifest\."),
    ],
)
def test_a_failed_export_leaves_everything_as_it_was(tmp_path: Path, network: nn.Module, message: str) -> None:
    path = tmp_path / "tiny.onnx"
    path.write_text("a model that was there before")
    with pytest.raises(ExportError, match=message) as caught:
        export(network, manifest_of("rgb"), path, [])
    assert not set("\n\x1b") & set(str(caught.value))
    assert tree(tmp_path) == {"tiny.onnx"}
    assert path.read_text() == "a model that was there before"


def test_a_failed_export_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"Nothing was written\."):
        export(Diverging(), manifest_of("rgb"), tmp_path / "tiny.onnx", [])
    assert tree(tmp_path) == set()


def test_a_tolerance_is_a_tolerance(tmp_path: Path) -> None:
    generous = manifest_of("rgb").model_copy(update={"tolerance": {"f32": 0.2}})
    figures = export(Diverging(), generous, tmp_path / "tiny.onnx", []).provenance.parity["f32"]
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


# Other networks


def test_a_fixed_tile(tmp_path: Path, fundus_photo: Callable[[int, int, int], Photo]) -> None:
    network, (photograph, _) = Placed(), fundus_photo(75, 61, 4)
    manifest = manifest_of("rgb", size=32, fixed=True, blend="gaussian")
    exported = export(network, manifest, tmp_path / "placed.onnx", [photograph])
    assert exported.provenance.parity["f32"]["images"] == 2
    pixels = noise(3, 3, 32, 32)
    assert infer(tmp_path / "placed.onnx", pixels) == pytest.approx(reference(network, manifest, pixels), abs=1e-5)
    with vesselrt.load(tmp_path / "placed.onnx", device="cpu:onnxruntime") as segmenter:
        assert segmenter.segment(photograph).probability.shape == (75, 61)
        small = np.zeros((1, 3, 32, 32), np.uint8)
        small[0, :, :20, :9] = photograph[40:60, 20:29].transpose(2, 0, 1)
        alone = segmenter.segment(np.ascontiguousarray(photograph[40:60, 20:29])).probability
    assert np.abs(alone - 255 * reference(network, manifest, small)[0, 0, :20, :9]).max() <= 0.51


def test_a_monai_network(tmp_path: Path, fundus_photo: Callable[[int, int, int], Photo]) -> None:
    nets = pytest.importorskip("monai.networks.nets.unet")
    torch.manual_seed(0)
    network = nets.UNet(2, in_channels=3, out_channels=1, channels=(4, 8), strides=(2,), norm="batch")
    manifest, (photograph, _) = manifest_of("rgb", margin=16), fundus_photo(80, 70, 0)
    export(network, manifest, tmp_path / "unet.onnx", [photograph])
    for shape in ((1, 3, 4, 4), (3, 3, 12, 28)):
        expected = reference(network, manifest, noise(*shape))
        assert infer(tmp_path / "unet.onnx", noise(*shape)) == pytest.approx(expected, abs=1e-5)
    with vesselrt.load(tmp_path / "unet.onnx") as segmenter:
        assert segmenter.segment(photograph).probability.shape == (80, 70)


def deep_unet(norm: str) -> nn.Module:
    nets = pytest.importorskip("monai.networks.nets.unet")
    torch.manual_seed(0)
    network: nn.Module = nets.UNet(2, in_channels=3, out_channels=1, channels=(4, 4, 4, 4), strides=(2,) * 3, norm=norm)
    return network


def test_instance_norm_in_blended_windows(tmp_path: Path) -> None:
    manifest = manifest_of("rgb", multiple=8, margin=8, blend="gaussian")
    assert export(deep_unet("instance"), manifest, tmp_path / "m.onnx", []).provenance.parity["f32"]["images"] == 3


@pytest.mark.parametrize(
    ("norm", "multiple", "reason"),
    [("batch", 4, "Sizes of tensors must match"), ("instance", 8, "more than 1 spatial")],
)
def test_a_multiple_that_the_network_cannot_take(tmp_path: Path, norm: str, multiple: int, reason: str) -> None:
    message = rf"fails on a window of {multiple} × {multiple} pixels: .*{reason}.* tile.multiple, {multiple}. Raise it"
    with pytest.raises(ExportError, match=message):
        export(deep_unet(norm), manifest_of("rgb", multiple=multiple), tmp_path / "m.onnx", [])
    assert tree(tmp_path) == set()
    manifest = manifest_of("rgb", multiple=8 if norm == "batch" else 16)
    export(deep_unet(norm), manifest, tmp_path / "m.onnx", [])


# Weights


class Trap:
    """Runs when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    torch.save({"weight": Trap(mark)}, tmp_path / "w.pth")
    with pytest.raises(
        DataError, match=r"w\.pth: not a weights file that can be read safely \(it holds getattr, which runs code\)"
    ):
        load_weights(tmp_path / "w.pth")
    assert not mark.exists()
    torch.load(tmp_path / "w.pth", weights_only=False)
    assert mark.exists()  # the trap is one


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.pt"])
@pytest.mark.parametrize("content", [None, b"", b"no weights", b"PK\x03\x04 no zip"])
def test_a_file_without_weights_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{re.escape(name)}: not a weights file that can be read safely \([^\n]+\)"):
        load_weights(tmp_path / name)


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module._orig_mod.", "model.net."])
def test_what_a_wrapper_put_before_every_name_is_taken_off(prefix: str) -> None:
    network, source = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), Path("w.pth")
    weights = {prefix + name: torch.full_like(value, 3) for name, value in network.state_dict().items()}
    fill_network(network, weights, source)
    assert all((value == 3).all() for value in network.state_dict().values())


def test_of_a_lightning_file_the_networks_own_weights_are_taken() -> None:
    network = nn.Conv2d(1, 2, 3)
    weights = {f"model.{name}": torch.ones_like(value) for name, value in network.state_dict().items()}
    fill_network(network, {**weights, "loss.pos_weight": torch.ones(1)}, Path("w.ckpt"))
    assert (network.weight == 1).all()


def test_a_checkpoint_that_holds_more_than_tensors_says_what(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "hparams": argparse.Namespace(a=1)}, tmp_path / "w.ckpt")
    with pytest.raises(DataError, match=r"\(it holds argparse\.Namespace, which runs code\)\. Save it with") as caught:
        load_weights(tmp_path / "w.ckpt")
    assert "\n" not in str(caught.value)


class Clamped(nn.Module):
    """Ends with a sigmoid that no graph check can see at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.convolution(image)).clamp(0, 1)


def test_a_probability_that_is_called_logits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"values from 0 to 1 on every window.* Say --output probability\.$"):
        export(Clamped(), manifest_of(margin=24), tmp_path / "a.onnx", [])
    assert tree(tmp_path) == set()
    export(Clamped(), manifest_of(margin=24), tmp_path / "a.onnx", [], output="probability")


def test_several_classes_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"names 2 classes, artery, vein\. A model file holds one: wrap the network"):
        export(
            nn.Conv2d(1, 2, 1),
            manifest_of(margin=24).model_copy(update={"classes": ("artery", "vein")}),
            tmp_path / "a.onnx",
            [],
        )
    assert tree(tmp_path) == set()


def test_a_file_that_runs_in_one_size_alone_gets_a_fixed_tile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def check(module: Deployed, manifest: Manifest, path: Path, photographs: list[Any]) -> dict[str, dict[str, float]]:
        if not manifest.tile.fixed:
            raise parity.WindowError(f"the exported file fails on a window. {parity.SET_FIXED}")
        return parity.check(module, manifest, path, photographs)

    monkeypatch.setattr(graph, "check", check)
    written = export(nn.Conv2d(1, 1, 3, padding=1), manifest_of(margin=24), tmp_path / "a.onnx", [])
    assert written.tile.fixed
    assert read_manifest(tmp_path / "a.onnx") == written
    assert "the exported file fails on a window. The tile is fixed, at 64 pixels." in caplog.text


def test_onnx_runtimes_own_failure_is_one_sentence(tmp_path: Path) -> None:
    network = nn.Conv2d(1, 1, 3, padding=1)
    export(network, manifest_of(margin=24), tmp_path / "a.onnx", [])
    model = onnx.load(tmp_path / "a.onnx")
    for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_value = 64
    onnx.save(model, tmp_path / "b.onnx")
    module = Deployed(network, manifest_of(margin=24)).eval()
    with pytest.raises(
        parity.WindowError, match=r"^the exported file fails on a window of .* Set tile\.fixed"
    ) as caught:
        parity.check(module, manifest_of(margin=24), tmp_path / "b.onnx", [])
    assert "\n" not in str(caught.value)


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(3)], tmp_path / "w.pth")
    with pytest.raises(DataError, match=r"w\.pth: holds a list"):
        load_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("key", ["network", "state_dict", "model", "model_state_dict", "network_weights", "net", None])
def test_weights_alone_or_in_a_checkpoint(tmp_path: Path, key: str | None) -> None:
    weights = {"shift": torch.tensor([1.0, 2.0]), "scale": torch.tensor(3.0)}
    torch.save(weights if key is None else {key: weights, "shift": 0.25, "step": 7}, tmp_path / "w.pt")
    loaded, shift = load_weights(tmp_path / "w.pt")
    assert shift == (None if key is None else 0.25)  # beside the weights it is the calibration, among them a weight
    assert set(loaded) == {"shift", "scale"}
    assert torch.equal(loaded["shift"], weights["shift"])


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({0: torch.zeros(1)}, "names a weight 0. Expected names of parameters"),
        ({"model": {"a": torch.zeros(1), ("b",): torch.zeros(1)}}, r"names a weight \('b',\). Expected"),
        ({"network": {}, "shift": "x"}, "its shift is x. Expected a number"),
        ({"network": {}, "shift": None}, "its shift is None. Expected a number"),
        ({"network": {}, "shift": torch.zeros(2)}, r"its shift is tensor\(\[0., 0.\]\). Expected a number"),
        ({"network": {}, "shift": float("nan")}, "its shift is nan. Expected a number"),
    ],
)
def test_a_checkpoint_that_is_odd_is_named(tmp_path: Path, state: dict[Any, Any], message: str) -> None:
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(DataError, match=rf"w\.pt: {message}"):
        load_weights(tmp_path / "w.pt")


def test_the_hash_is_of_names_and_values() -> None:
    a, b = torch.arange(6.0).reshape(2, 3), torch.tensor(1)
    known = hash_weights({"a": a, "b": b})
    assert re.fullmatch("[0-9a-f]{64}", known)
    assert hash_weights({"b": b.clone(), "a": a.T.contiguous().T}) == known  # order and layout do not matter
    others = [{"a": a, "c": b}, {"a": a, "b": b + 1}, {"a": -a, "b": b}, {"a": a.to(torch.bfloat16), "b": b}]
    assert len({known, *map(hash_weights, others)}) == 5


# The command line


@pytest.fixture
def vesselrt_export(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vesselrt", "export", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as done:
            code = int(done.code or 0)
        return code, *capsys.readouterr()

    return call


Export = Callable[..., tuple[int, str, str]]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """A module of the user's own in the folder where the command is run, with weights and a manifest."""
    (tmp_path / "ownnets").mkdir()
    (tmp_path / "ownnets" / "thin.py").write_text(
        "from torch import nn\n\n\ndef build():\n    return nn.Conv2d(3, 1, 3, padding=1)\n"
    )
    for name in ("ownnets", "ownnets.thin"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    network = thin()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    fields = manifest_of("rgb", multiple=1).model_dump(mode="json", exclude={"provenance", "schema_version"})
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(fields))
    return network


OWN = ("--network", "ownnets.thin:build", "--manifest", "m.yaml", "-o", "new/own.onnx", "--weights")


def test_any_module_from_the_command_line(
    vesselrt_export: Export, own: nn.Module, tmp_path: Path, fundus_jpeg: bytes
) -> None:
    (tmp_path / "eye.jpg").write_bytes(fundus_jpeg)
    before = tree(tmp_path)
    code, out, err = vesselrt_export(*OWN, "w.safetensors", "--photos", "eye.jpg", "--photos", "eye.jpg")
    assert (code, err) == (0, "")
    manifest = read_manifest(tmp_path / "new" / "own.onnx")
    assert out == describe_model(manifest) + "\n"
    assert "parity     f32: largest_difference " in out
    assert manifest.provenance.parity["f32"]["images"] == 5  # two photographs, three kinds of noise
    assert manifest.provenance.weights_sha256 == hash_weights(own.state_dict())
    pixels = noise(2, 3, 7, 5)
    assert infer(tmp_path / "new" / "own.onnx", pixels) == pytest.approx(reference(own, manifest, pixels), abs=1e-5)
    assert {p for p in tree(tmp_path) - before if "__pycache__" not in p} == {"new", "new/own.onnx"}


def test_any_module_to_fp16_in_one_step(
    vesselrt_export: Export, own: nn.Module, tmp_path: Path, fundus_jpeg: bytes
) -> None:
    (tmp_path / "eye.jpg").write_bytes(fundus_jpeg)
    before = tree(tmp_path)
    code, _, err = vesselrt_export(*OWN, "w.pth", "--photos", "eye.jpg", "--precision", "fp16")
    assert (code, err) == (0, "")
    manifest = read_manifest(tmp_path / "new" / "own.onnx")
    assert manifest.precision == "fp16"
    assert manifest.provenance.parity["f32"]["images"] == manifest.provenance.parity["fp16"]["images"] == 4
    pixels = noise(2, 3, 7, 5)
    assert infer(tmp_path / "new" / "own.onnx", pixels) == pytest.approx(reference(own, manifest, pixels), abs=1e-2)
    assert {p for p in tree(tmp_path) - before if "__pycache__" not in p} == {"new", "new/own.onnx"}


def test_a_photograph_that_cannot_be_read(vesselrt_export: Export, own: nn.Module, tmp_path: Path) -> None:
    code, out, err = vesselrt_export(*OWN, "w.pth", "--photos", "gone.jpg")
    assert (code, out) == (1, "")
    assert err.startswith("error: gone.jpg: can't be read")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_weights_of_every_kind(
    own: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: torch.dtype
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    weights = {k: v.to(kind) for k, v in own.state_dict().items()}
    (save_file if name.endswith(".safetensors") else torch.save)(weights, tmp_path / name)
    source = source_from_callable("ownnets.thin:build", tmp_path / name, tmp_path / "m.yaml")
    assert source.manifest.provenance.weights_sha256 == hash_weights(weights)
    assert source.manifest.model_copy(update={"provenance": Provenance()}) == manifest_of("rgb", multiple=1)
    for key, value in source.network.state_dict().items():
        assert torch.equal(value, weights[key].float())
    assert (source.photographs, source.shift) == ([], 0)


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ({"weight": torch.zeros(1, 3, 3, 3)}, ["of 2 keys, 1 missing (bias)."]),
        (
            {"weight": torch.zeros(1, 3, 3, 3), "bias": torch.zeros(1), "head.bias": torch.zeros(1)},
            ["of 2 keys, 1 unexpected (head.bias)."],
        ),
        (
            {"weight": torch.zeros(1, 3, 5, 5), "bias": torch.zeros(1)},
            ["1 of another shape (weight: [1, 3, 5, 5] and not [1, 3, 3, 3])"],
        ),
        ({"weight": torch.zeros(1, 3, 3, 3), "bias": torch.zeros(1), "epoch": 3}, ["of 2 keys, 1 unexpected (epoch)."]),
    ],
)
def test_weights_that_do_not_fit_are_named(
    vesselrt_export: Export, own: nn.Module, tmp_path: Path, state: dict[str, Any], names: list[str]
) -> None:
    torch.save(state, tmp_path / "other.pth")
    code, out, err = vesselrt_export(*OWN, "other.pth")
    assert (code, out) == (1, "")
    assert err.startswith("error: other.pth: the weights do not fit the network: ")
    assert [name for name in names if name not in err] == []
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (None, DataError, "m.yaml: not a readable manifest"),
        ("name: [", DataError, "m.yaml: not a readable manifest"),
        ("", ManifestError, "m.yaml: the manifest is not valid: file: "),
        ("name: own", ManifestError, "m.yaml: the manifest is not valid: version: Field required; licence: Field"),
        ("schema_version: 2", ManifestError, "m.yaml: its manifest has schema 2, this vesselrt reads up to 1."),
    ],
)
def test_a_manifest_that_is_wrong(
    own: nn.Module, tmp_path: Path, text: str | None, error: type[Exception], message: str
) -> None:
    path = tmp_path / "m.yaml"
    path.unlink()
    if text is not None:
        path.write_text(text)
    torch.save({}, tmp_path / "none.pth")
    with pytest.raises(error, match=re.escape(message)):
        source_from_callable("torch.nn:Identity", tmp_path / "none.pth", path)


# From a training run


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """What training leaves behind, as far as export reads it."""
    recipe = Recipe.model_validate(
        {
            **manifest_of(margin=8).model_dump(include={"name", "version", "licence", "description", "preparation"}),
            "input": Input(mean=(0.3,), std=(0.2,)),
            "tile": Tile(size=64, multiple=4, margin=8),
            "data": [{"kind": "folder", "path": "eyes", "name": "eyes", "terms": "CC0"}],
            "network": {
                "factory": "torch.nn:Conv2d",
                "arguments": {"in_channels": 1, "out_channels": 1, "kernel_size": 3, "padding": 1},
            },
            "schedule": {"steps": 70},
            "seed": 5,
            "tolerance": {"f32": 1e-4},
        }
    )
    run = tmp_path / "run"
    run.mkdir()
    (run / "recipe.json").write_text(recipe.model_dump_json())
    torch.manual_seed(2)
    state = nn.Conv2d(1, 1, 3, padding=1).state_dict()
    torch.save({"network": state, "step": 70, "score": 0.5, "shift": 0.75}, run / "best.pt")
    return run


def test_a_run_becomes_a_model_file(
    vesselrt_export: Export, run_folder: Path, tmp_path: Path, fundus_photo: Callable[[int, int, int], Photo]
) -> None:
    for i in range(11):
        image, truth = fundus_photo(64, 64, i)
        for kind, pixels in (("images", image), ("masks", truth * np.uint8(255))):
            (tmp_path / "eyes" / kind).mkdir(parents=True, exist_ok=True)
            onto = tmp_path / "eyes" / kind / f"{i:02}.png"
            assert cv2.imwrite(str(onto), pixels)
    code, _, err = vesselrt_export("--run", run_folder, "--data", tmp_path, "-o", "tiny.onnx")
    assert (code, err) == (0, "")
    manifest = read_manifest(tmp_path / "tiny.onnx")
    state = torch.load(run_folder / "best.pt", weights_only=True)["network"]
    known = manifest.provenance
    assert known.recipe == "tiny 0.1, seed 5, 70 steps, calibration +0.750"
    assert known.data == (DataSource(name="eyes", split="train", terms="CC0"),)
    assert known.weights_sha256 == hash_weights(state)
    assert re.fullmatch("[0-9a-f]{40}|", known.commit)
    assert known.parity["f32"]["images"] == 5  # two of the two validation photographs, three kinds of noise
    network = nn.Conv2d(1, 1, 3, padding=1)
    network.load_state_dict(state)
    expected = reference(network, manifest, noise(1, 1, 8, 12), shift=0.75)
    assert infer(tmp_path / "tiny.onnx", noise(1, 1, 8, 12)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("missing", "message"),
    [("recipe.json", r"run: no training run \(recipe.json\)"), ("best.pt", "run: the run has no best.pt yet")],
)
def test_a_run_without_weights(run_folder: Path, missing: str, message: str) -> None:
    (run_folder / missing).unlink()
    with pytest.raises(DataError, match=message):
        source_from_run(run_folder, None)


@pytest.mark.parametrize("final", [[], [{"steps": 20}]])
def test_a_run_that_was_broken_off_is_not_exported(run_folder: Path, final: list[Any]) -> None:
    kept = run_folder / "recipe.json"
    kept.write_text(json.dumps({**json.loads(kept.read_text()), "final": final}))
    state = torch.load(run_folder / "best.pt", weights_only=True)
    del state["shift"]
    torch.save(state, run_folder / ("final-1.pt" if final else "best.pt"))
    with pytest.raises(DataError, match=r"the run has not come to its end, .* not calibrated yet") as caught:
        source_from_run(run_folder, None)
    advice = shlex.split(str(caught.value).partition("vesselrt ")[2])
    assert advice == ["train", str(kept), "--data", "DATA", "--run", str(run_folder)]
    assert Recipe.read(Path(advice[1])) == Recipe.model_validate_json(kept.read_text())  # or it were another recipe


def test_numbers_of_a_run_stay_numbers(run_folder: Path) -> None:
    kept = run_folder / "recipe.json"
    fields = json.loads(kept.read_text())
    layers = {"factory": "torch.nn:GroupNorm", "arguments": {"num_groups": 1, "num_channels": 1, "eps": 1e-6}}
    kept.write_text(json.dumps({**fields, "network": layers}))  # 1e-06: to YAML a text
    torch.save({"network": nn.GroupNorm(1, 1).state_dict(), "shift": 0.0}, run_folder / "best.pt")
    assert source_from_run(run_folder, None).network.eps == 1e-6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"not a readable recipe \("),
        ('{"name": 1}', "not a valid recipe: "),
        ("name: tiny", r"not a readable recipe \("),
    ],
)
def test_a_recipe_of_a_run_that_is_damaged(run_folder: Path, text: str, message: str) -> None:
    (run_folder / "recipe.json").write_text(text)
    with pytest.raises(DataError, match=rf"run/recipe\.json: {message}"):
        source_from_run(run_folder, None)


def test_a_run_of_a_network_of_the_users_own(
    vesselrt_export: Export, own: nn.Module, run_folder: Path, tmp_path: Path
) -> None:
    kept = run_folder / "recipe.json"
    seen = {"input": {"mean": [0.3] * 3, "std": [0.2] * 3}, "preparation": {"channels": "rgb"}}
    fields = {**json.loads(kept.read_text()), **seen, "network": {"factory": "ownnets.thin:build"}}
    kept.write_text(json.dumps(fields))
    torch.save({"network": own.state_dict(), "shift": 0.0}, run_folder / "best.pt")
    code, _, err = vesselrt_export("run", "-o", "tiny.onnx")
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([], ""),
        (["schedule.learning_rate=0.5", "loss.thin=1.5"], ", loss.thin=1.5, schedule.learning_rate=0.5"),
        (["seed=3", "data.0.path=/home/me/eyes"], ""),
        (["patches=null", "schedule.patience=4"], ", patches=null, schedule.patience=4"),
        (["version=2.0.0", "loss.thin=1.5"], ""),
        (["name=mine", "loss.thin=1.5"], ""),
    ],
)
def test_what_was_changed_of_a_built_in_recipe_is_in_the_manifest(
    tmp_path: Path, changes: list[str], said: str
) -> None:
    recipe = Recipe.read(BUILT_IN / "unet.yaml", changes)
    (tmp_path / "recipe.json").write_text(recipe.model_dump_json(indent=1))
    torch.save({"network": recipe.network.build(fresh=False).state_dict(), "shift": 0.0}, tmp_path / "best.pt")
    known = source_from_run(tmp_path, None).manifest.provenance.recipe
    assert known.partition("calibration +0.000")[2] == said


@pytest.mark.parametrize("name", ["photographs.json", "history.json"])
def test_a_run_whose_notes_are_damaged(run_folder: Path, name: str) -> None:
    (run_folder / name).write_text('[{"ste')
    with pytest.raises(DataError, match=rf"run/{name}: not what training writes: .*Invalid JSON"):
        source_from_run(run_folder, None)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_another_projects_commit_is_not_the_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = runs._commit()
    assert re.fullmatch("[0-9a-f]{40}|", commit)
    package = tmp_path / "site-packages" / "vesselrt" / "export"
    package.mkdir(parents=True)
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "another project"], check=True)
    monkeypatch.setattr(runs, "__file__", str(package / "sources" / "run.py"))
    assert runs._commit() == ""


def test_a_run_with_final_stages_is_exported_from_its_end(run_folder: Path) -> None:
    kept = run_folder / "recipe.json"
    fields = json.loads(kept.read_text())
    kept.write_text(json.dumps({**fields, "final": [{"steps": 20}, {"steps": 10}]}))
    with pytest.raises(DataError, match=r"the run has no final-2.pt yet. Go on with it by: vesselrt train"):
        source_from_run(run_folder, None)
    state = torch.load(run_folder / "best.pt", weights_only=True)
    torch.save({**state, "network": {k: v + 1 for k, v in state["network"].items()}}, run_folder / "final-2.pt")
    source = source_from_run(run_folder, None)
    assert source.manifest.provenance.recipe == "tiny 0.1, seed 5, 100 steps, calibration +0.750"
    (run_folder / "history.json").write_text(json.dumps([{"step": 10, "loss": 0.4}, {"step": 40, "loss": 0.3}]))
    ended_early = source_from_run(run_folder, None)
    assert ended_early.manifest.provenance.recipe == "tiny 0.1, seed 5, 70 steps, calibration +0.750"
    assert all(torch.equal(v, state["network"][k] + 1) for k, v in source.network.state_dict().items())


def test_what_a_teacher_was_shown_is_in_the_manifest(run_folder: Path) -> None:
    def shown(name: str, *photographs: str) -> DataSource:
        return DataSource(name=name, split="train", terms="CC0", photographs=photographs)

    (run_folder / "photographs.json").write_text(json.dumps({"eyes": ["a", "b"]}))
    known = Provenance(data=(shown("some of them", "a"), shown("others", "b", "c"), shown("untold")))
    teacher = manifest_of().model_copy(update={"name": "wise", "version": "3.1", "provenance": known})
    (run_folder / "teacher.json").write_text(teacher.model_dump_json())
    provenance = source_from_run(run_folder, None).manifest.provenance
    assert provenance.data == (shown("eyes", "a", "b"), shown("others", "b", "c"), shown("untold"))
    assert provenance.recipe == "tiny 0.1, seed 5, 70 steps, calibration +0.750, taught by wise 3.1"


# Figures


def test_recorded_figures_join_the_manifest_and_the_graph_stays(exported: Exported, tmp_path: Path) -> None:
    path = tmp_path / "copy.onnx"
    path.write_bytes(exported.path.read_bytes())
    record_metrics(path, exported.manifest, {"a test": {"f1": 0.5}, "b test": {"f1": 0.25}})
    record_metrics(path, read_manifest(path), {"b test": {"f1": 0.75}})
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
        record_metrics(path, exported.manifest, {"a test": {"f1": 0.5}})
    assert path.read_bytes() == exported.path.read_bytes()
    assert tree(tmp_path) == {"copy.onnx"}


def test_what_is_deployed(exported: Exported) -> None:
    module = Deployed(exported.network, exported.manifest, exported.shift).eval()
    pixels = noise(2, 1, 8, 4)
    with torch.inference_mode():
        probability = module(torch.from_numpy(pixels)).numpy()
    assert probability == pytest.approx(reference(exported.network, exported.manifest, pixels, -0.5), abs=1e-6)
