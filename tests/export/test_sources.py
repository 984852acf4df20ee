"""Networks from elsewhere: what docs/networks.md promises runs, and what is hostile or unfit is refused untouched."""

import importlib
import importlib.util
import json
import pickle
import re
import shlex
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.export import Dim

from vesselrt import cli
from vesselrt.export.graph import Output, export
from vesselrt.export.sources import bundle, pt2, smp
from vesselrt.export.sources.finding import find_source
from vesselrt.export.weights import hash_weights
from vesselrt.runtime.errors import DataError, ExportError, ManifestError, MissingExtraError
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import read_manifest

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]
Run = Callable[[str], tuple[int, str, str]]

PAGE = (Path(__file__).parents[2] / "docs" / "networks.md").read_text("utf-8")
SECTIONS = PAGE.split("\n## ")
HAS_SMP = importlib.util.find_spec(smp.LIBRARY) is not None
FIELDS: dict[str, Any] = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0])


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The networks are tiny: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def vesselrt(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """The command line in an empty folder that holds network.yaml of the page."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "network.yaml").write_text(yaml.safe_dump(FIELDS))

    def call(line: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", shlex.split(line))
        code = 0
        try:
            cli.main()
        except SystemExit as done:
            code = int(done.code or 0)
        return code, *capsys.readouterr()

    return call


def probability(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["probability"], {"image": pixels})[0], np.float32)


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def normalised(pixels: NDArray[np.uint8]) -> Tensor:
    mean, std = (torch.tensor(FIELDS["input"][part])[:, None, None] for part in ("mean", "std"))
    return (torch.from_numpy(pixels) / 255 - mean) / std


# The page


@pytest.mark.parametrize("section", SECTIONS[1:], ids=[s.partition("\n")[0] for s in SECTIONS[1:]])
def test_the_examples_run(
    section: str, vesselrt: Run, tmp_path: Path, fundus_photo: Callable[[int, int, int], Photo]
) -> None:
    if smp.LIBRARY in section and not HAS_SMP:
        pytest.skip(f"{smp.LIBRARY} is not installed: its torchvision has no build for this torch")
    for i in range(3):
        image, truth = fundus_photo(128, 120, i)
        for kind, pixels in (("images", image[..., ::-1]), ("masks", truth * np.uint8(255))):
            (tmp_path / "eyes" / kind).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "eyes" / kind / f"{i:02}.png"), pixels)
    cv2.imwrite("photo.jpg", fundus_photo(160, 150, 7)[0])
    torch.manual_seed(0)
    for language, code in re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL):
        if language == "python":
            exec(compile(code, "networks.md", "exec"), {})
            continue
        for line in code.splitlines():
            status, out, err = vesselrt(line)
            assert status == 0, f"{line}: {err}"
            if " evaluate " in line:
                assert "f1" in out.lower()
    (made,) = tmp_path.glob("*.onnx")
    manifest = read_manifest(made)
    assert manifest.provenance.parity["f32"]["largest_difference"] < 1e-5
    assert re.fullmatch("[0-9a-f]{64}", manifest.provenance.weights_sha256)
    (mask,) = (p for p in tmp_path.glob("*.png"))
    assert cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE).shape == (160, 150)  # type: ignore[union-attr]


def test_links_of_the_page_exist() -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert targets
    assert [t for t in targets if not (Path(__file__).parents[2] / "docs" / t).exists()] == []


# What a network gives


class Ends(nn.Module):
    """A convolution to so many channels, and what comes after it."""

    def __init__(self, channels: int, end: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(channels)
        self.look, self.end = nn.Conv2d(3, channels, 3, padding=1), end

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.end(3 * self.look(x))
        return answer


MANIFEST = Manifest.from_fields({**FIELDS, "tile": {"size": 64, "multiple": 4, "margin": 4}}, source="test")


@pytest.mark.parametrize(
    ("channels", "end", "output"),
    [
        (2, nn.Identity(), "softmax"),
        (1, nn.Sigmoid(), "probability"),
        (2, nn.Softmax(dim=1), "probability"),
    ],
)
def test_every_kind_of_output_becomes_the_probability_of_vessel(
    tmp_path: Path, channels: int, end: nn.Module, output: Output
) -> None:
    network = Ends(channels, end)
    export(network, MANIFEST, tmp_path / "m.onnx", [], output=output)
    pixels = noise(2, 3, 8, 12)
    with torch.inference_mode():
        answer = network(normalised(pixels))
    expected = answer if output == "probability" else answer.softmax(1)
    assert probability(tmp_path / "m.onnx", pixels) == pytest.approx(expected[:, -1:].numpy(), abs=1e-5)


@pytest.mark.parametrize(
    ("network", "output", "message"),
    [
        (
            Ends(1, nn.Sigmoid()),
            "logits",
            "the network ends with Sigmoid: it gives a probability already. Say --output",
        ),
        (Ends(2, nn.Softmax(dim=1)), "softmax", "the network ends with Softmax: it gives a probability already."),
        (Ends(2, nn.LogSoftmax(dim=1)), "softmax", "the network ends with LogSoftmax. Take that away"),
        (
            Ends(1, nn.Identity()),
            "probability",
            r"gives values from -\d.* to \d.*, no probability. Say --output logits",
        ),
        (
            Ends(2, nn.Identity()),
            "logits",
            "gives 2 channel\\(s\\), and --output logits has 1. For background and vessel say",
        ),
        (
            Ends(1, nn.Identity()),
            "softmax",
            "gives 1 channel\\(s\\), and --output softmax has 2. Say --output logits, or",
        ),
        (
            Ends(3, nn.Identity()),
            "probability",
            "gives 3 channel\\(s\\), and --output probability has 1 or 2. A model file",
        ),
        (Ends(1, nn.Flatten()), "logits", "gives a tensor of 2 dimensions. Expected"),
        (Ends(1, nn.AvgPool2d(2)), "logits", r"gives \(1, 1, 2, 2\) for \(1, 3, 4, 4\). Expected \(1, 1, 4, 4\)"),
    ],
)
def test_an_output_that_is_not_what_was_said_is_refused(
    tmp_path: Path, network: nn.Module, output: Output, message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        export(network, MANIFEST, tmp_path / "m.onnx", [], output=output)
    assert list(tmp_path.iterdir()) == []


# Which source it is


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nothing", "nothing: nothing that can be exported. Expected a training run (recipe.json), a MONAI bundle"),
        (".", ".: nothing that can be exported."),
        ("network.yaml", "network.yaml: nothing that can be exported."),
        ("a.b:c --manifest network.yaml", "a.b:c: a callable needs --weights and --manifest."),
        ("net.pt2 --weights w.pth", "net.pt2 holds its weights, and --weights does not belong to it. Leave it out."),
        ("net.pt2 --data .", "net.pt2 is no training run, and --data does not belong to it."),
        ("run --manifest network.yaml", "run is a training run, and --manifest does not belong to it."),
        ("net.pt2 --run run", "name one SOURCE, and the file to write with -o."),
        ("net.pt2", "net.pt2: not a program that can be read (FileNotFoundError: "),
    ],
)
def test_what_is_no_source_or_has_a_wrong_option(vesselrt: Run, tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.json").write_text("{}")
    code, out, err = vesselrt(f"vesselrt export {line} -o m.onnx")
    assert (code, out) == (1, "")
    assert " ".join(err.split()).startswith(f"error: {message}")


# MONAI bundles

UNET: dict[str, Any] = {
    "spatial_dims": 2,
    "in_channels": 3,
    "out_channels": 1,
    "channels": [4, 8],
    "strides": [2],
    "norm": "batch",
}
IMAGE = {"num_channels": 3, "spatial_shape": [96, 96], "value_range": [0, 255]}


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """`made(definition, image, others)`: a bundle of a U-Net's weights."""
    nets = pytest.importorskip("monai.networks.nets")

    def make(definition: Any, image: Any = IMAGE, **others: Any) -> Path:
        folder = tmp_path / "bundle"
        for part in ("configs", "models"):
            (folder / part).mkdir(parents=True)
        (folder / "configs" / "inference.json").write_text(json.dumps({"network_def": definition, **others}))
        metadata: dict[str, Any] = {"name": "Our Vessels!", "version": "1.2", "description": "Ours."}
        metadata |= {"network_data_format": {"inputs": {"image": image}}}
        (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
        torch.save(nets.UNet(**UNET).state_dict(), folder / "models" / "model.pt")
        return folder

    return make


@pytest.mark.parametrize(
    ("definition", "others"),
    [
        ({"_target_": "UNet", **UNET}, {}),
        ({"_target_": "monai.networks.nets.UNet", "_desc_": "a U-Net", **UNET}, {}),
        (
            {"_target_": "monai.networks.nets.unet.UNet", **UNET, "channels": "@sizes::1"},
            {"sizes": [0, [4, "@last"]], "last": 8},
        ),
        (
            "@nets#0",
            {"nets": [{"_target_": "UNet", **UNET}], "network": "$@network_def.to(@device)", "imports": ["$exit()"]},
        ),
    ],
)
def test_a_bundle_is_read(made: Callable[..., Path], definition: Any, others: dict[str, Any]) -> None:
    folder = made(definition, **others)
    found = bundle.read_bundle(folder, None)
    assert all(torch.equal(found.network.state_dict()[k], v) for k, v in found.weights.items())
    assert found.channels == 3
    assert found.facts == {
        "name": "our-vessels-",
        "version": "1.2",
        "description": "Ours.",
        "preparation": {"channels": "rgb"},
        "input": {"mean": [0.0] * 3, "std": [1 / 255] * 3},
        "tile": {"size": 96},
        "provenance": {"recipe": "MONAI bundle our-vessels- 1.2"},
    }


def test_a_bundle_in_yaml_with_weights_from_beside(made: Callable[..., Path]) -> None:
    folder = made({})
    (folder / "configs" / "inference.json").unlink()
    (folder / "configs" / "train.yaml").write_text(yaml.safe_dump({"network_def": {"_target_": "UNet", **UNET}}))
    (folder / "configs" / "metadata.json").unlink()
    weights = (folder / "models" / "model.pt").rename(folder / "best.pt")
    with pytest.raises(DataError, match=r"bundle: no model.pt. Name the weights"):
        bundle.read_bundle(folder, None)
    found = bundle.read_bundle(folder, weights)
    assert (found.facts["name"], found.channels) == ("bundle", None)
    (folder / "models" / "model.ts").write_bytes(b"")
    with pytest.raises(DataError, match=r"no model.pt; TorchScript \(model.ts\) is code"):
        bundle.read_bundle(folder, None)


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (
            "$__import__('pathlib').Path('ran').touch()",
            'network_def is "[$]__import__.*, which would have to be evaluated',
        ),
        ({"_target_": "UNet", **UNET, "channels": "$[4, 8]"}, r"network_def::channels is '\$\[4, 8\]', which would"),
        ({"_target_": "UNet", **UNET, "norm": ["batch", {"eps": "$1e-3"}]}, "network_def::norm::1::eps is "),
        (
            {"_target_": "os.system", "command": "touch ran"},
            "names os.system, which is no class of monai.networks.nets",
        ),
        ({"_target_": "pathlib.Path.touch", "self": "ran"}, "names pathlib.Path.touch, which is no class"),
        ({"_target_": "monai.networks.nets.torch.load", "f": "x"}, "names monai.networks.nets.torch.load, which is no"),
        ({"_target_": "monai.networks.nets.unet.warnings"}, "which is no class of monai.networks.nets or torch.nn"),
        ({"_target_": "torch.nn.functional.relu"}, "which is no class of monai.networks.nets or torch.nn"),
        ({"_target_": "torch.nn.Parameter"}, "which is no class of monai.networks.nets or torch.nn"),
        ({"_target_": "scripts.net.Own"}, "names scripts.net.Own, .* Write the network as a function of your own"),
        ({"_target_": "UNet", "_requires_": "@imports", **UNET}, "network_def asks for _requires_"),
        ({"_target_": "UNet", "_mode_": "callable", **UNET}, "network_def asks for _mode_"),
        ({"_target_": "UNet", **UNET, "channels": "%train.json::x"}, "channels is '%train.json::x', which would"),
        ({"_target_": "UNet", **UNET, "channels": "@gone"}, "channels refers to @gone, which is not there"),
        ("@network_def", "network_def refers to itself"),
        ({"in_channels": 3}, "network_def is a dict and not a network"),
        ({"_target_": "UNet", "wrong": 1}, "UNet can't be built: .*unexpected keyword argument 'wrong'"),
    ],
)
def test_what_would_run_code_or_cannot_be_built_is_refused(
    made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, definition: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = made(definition)
    with pytest.raises(DataError, match=message):
        bundle.read_bundle(folder, None)
    assert not (tmp_path / "ran").exists()


def test_a_network_of_a_bundle_is_never_downloaded(made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.utils.model_zoo, "load_url", None)  # calling it would be "can't be built"
    fields = {"in_channels": 3, "out_channels": 1, "backbone": "efficientnet-b0", "spatial_dims": 2}
    folder = made({"_target_": "FlexibleUNet", "pretrained": True, **fields})
    with pytest.raises(DataError, match=r"the weights do not fit the network: of \d+ keys, \d+ missing \("):
        bundle.read_bundle(folder, None)


@pytest.mark.parametrize("pickled", [True, False])
def test_weights_of_a_bundle_that_run_code_or_do_not_fit(
    made: Callable[..., Path], tmp_path: Path, pickled: bool
) -> None:
    folder = made({"_target_": "UNet", **UNET})
    path = folder / "models" / "model.pt"
    path.write_bytes(pickle.dumps(Trap(tmp_path / "ran"))) if pickled else torch.save({"a": torch.zeros(1)}, path)
    message = (
        "model.pt: not a weights file that can be read safely"
        if pickled
        else "model.pt: the weights do not fit the network"
    )
    with pytest.raises(DataError, match=message):
        find_source(str(folder))
    assert not (tmp_path / "ran").exists()


def test_a_bundle_says_what_is_missing(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made({"_target_": "UNet", **UNET})
    with pytest.raises(ManifestError, match=r"bundle does not say: licence, tile.multiple, tile.margin. Write it in a"):
        find_source(str(folder))
    path = tmp_path / "m.yaml"
    path.write_text("licence: CC0-1.0\ntile: {multiple: 2}\n")
    with pytest.raises(ManifestError, match=r"m.yaml does not say: tile.margin. Add it there."):
        find_source(str(folder), manifest=path)
    path.write_text("licence: CC0-1.0\ntile: {multiple: 2, margin: 8}\nversion: '7'\n")
    source = find_source(str(folder), manifest=path)
    manifest = source.manifest
    assert (manifest.name, manifest.version, manifest.tile.size, manifest.tile.margin) == ("our-vessels-", "7", 96, 8)
    assert manifest.provenance.weights_sha256 == hash_weights(torch.load(folder / "models" / "model.pt"))
    path.write_text("- licence\n")
    with pytest.raises(ManifestError, match=r"m.yaml: the manifest is not valid: file: "):
        find_source(str(folder), manifest=path)


def test_channels_and_volumes_that_do_not_fit(made: Callable[..., Path], tmp_path: Path) -> None:
    folder = made({"_target_": "UNet", **UNET}, {**IMAGE, "num_channels": 1})
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(FIELDS))
    with pytest.raises(DataError, match=r"its network takes 1 channel\(s\), and preparation.channels is rgb."):
        find_source(str(folder), manifest=tmp_path / "m.yaml")
    (folder / "configs" / "metadata.json").write_text(
        json.dumps({"network_data_format": {"inputs": {"image": {**IMAGE, "spatial_shape": [96, 96, 96]}}}})
    )
    with pytest.raises(DataError, match="the network takes volumes"):
        bundle.read_bundle(folder, None)


# segmentation_models_pytorch: what needs no library

CONFIG = {"_model_class": "Unet", "encoder_name": "resnet18", "in_channels": 3, "classes": 1, "activation": None}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"_model_class": "from_pretrained"}, "its _model_class is from_pretrained. Expected one of DPT, "),
        ({"_model_class": None}, "its _model_class is None"),
        ({"encoder_name": "tu-hf-hub:someone/model"}, "its encoder tu-hf-hub:someone/model is one from elsewhere."),
        ({"activation": "argmax2d"}, "its activation is argmax2d. Expected one of None, identity, sigmoid, "),
        ({"activation": ["sigmoid"]}, r"its activation is \['sigmoid'\]. Expected one of None, identity, sigmoid, "),
    ],
)
def test_a_configuration_that_is_refused(folder: Path, fields: dict[str, Any], message: str) -> None:
    (folder / "config.json").write_text(json.dumps({**CONFIG, **fields}))
    with pytest.raises(DataError, match=message):
        smp.read_smp_folder(folder)


@pytest.mark.parametrize("text", ["[1]", "{", "null"])
def test_a_configuration_that_is_none(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(DataError, match=r"config.json: (can't be read|its _model_class is None)"):
        smp.read_smp_folder(folder)


class Library:
    """Stands for segmentation_models_pytorch: keeps what its class is called with."""

    def __init__(self) -> None:
        self.called: dict[str, Any] = {}

    def Unet(self, **arguments: Any) -> nn.Module:  # noqa: N802 - the library's name
        self.called = arguments
        network = nn.Conv2d(arguments["in_channels"], arguments["classes"], 1)
        network.encoder = nn.Identity()
        network.encoder.output_stride = 32  # type: ignore[assignment]
        return network


def test_a_checkpoint_is_read_and_nothing_is_downloaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setitem(sys.modules, smp.LIBRARY, library)
    weights = {**nn.Conv2d(3, 1, 1).state_dict(), "classification_head.3.weight": torch.zeros(2)}
    save_file(weights, folder / "model.safetensors")
    fields = {**CONFIG, "encoder_weights": "imagenet", "aux_params": {"classes": 2}, "activation": "sigmoid"}
    (folder / "config.json").write_text(json.dumps(fields))
    (folder / "m.yaml").write_text(yaml.safe_dump({**FIELDS, "tile": {"size": 64, "margin": 0}}))
    source = find_source(str(folder), manifest=folder / "m.yaml")
    assert library.called["encoder_weights"] is library.called["aux_params"] is None
    assert "_model_class" not in library.called
    assert source.output == "probability"
    assert source.manifest.tile.multiple == 32
    assert source.manifest.provenance.recipe == f"{smp.LIBRARY} Unet resnet18"
    assert source.network.state_dict().keys() == {"weight", "bias"}


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (ModuleNotFoundError("no", name=smp.LIBRARY), MissingExtraError, r"pip install 'vesselrt\[smp\]'"),
        (
            RuntimeError("operator torchvision::nms does not exist"),
            DataError,
            "Its torchvision must be made for the torch",
        ),
    ],
)
def test_a_library_that_is_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, error: type[Exception], message: str
) -> None:
    def fail(name: str) -> None:
        raise raised

    monkeypatch.setattr(importlib, "import_module", fail)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    with pytest.raises(error, match=message):
        smp.read_smp_folder(folder)


# torch.export


class Trap:
    """Runs when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


class Small(nn.Module):
    """Skips, scaling to a size that is computed, padding, a list and a text as arguments."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.first, self.norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.last, self.drop = nn.Conv2d(8, 1, 1), nn.Dropout(0.5)
        self.scale = nn.Buffer(torch.tensor([0.5]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.norm(self.first(x)))
        deep = nn.functional.gelu(nn.functional.max_pool2d(x, 2), approximate="tanh") * self.scale
        wide = nn.functional.interpolate(deep, size=x.shape[2:], mode="bilinear")
        left, right = torch.cat([x, wide], 1).chunk(2, 1)
        wide = nn.functional.pad(right, [0, 1, 0, 1])[..., : x.shape[2], : x.shape[3]]
        answer: Tensor = self.last(self.drop(torch.cat([left, wide], 1)))
        return answer


VARYING = {0: Dim("batch"), 2: 4 * Dim("rows"), 3: 4 * Dim("columns")}


def saved(path: Path, network: nn.Module, sizes: Any, shape: tuple[int, ...] = (2, 3, 32, 48)) -> Path:
    torch.export.save(torch.export.export(network, (torch.zeros(shape),), dynamic_shapes=(sizes,)), path)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("small") / "net.pt2", Small().eval(), VARYING)


def rewritten(path: Path, to: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """A copy of an archive, each of its files changed."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return to


def test_a_program_computes_what_its_network_does(small: Path) -> None:
    found, network = pt2.read_pt2(small), Small().eval()
    assert (found.channels, found.output, found.facts["tile"]) == (3, "logits", {})
    assert hash_weights(found.weights) == hash_weights(network.state_dict())
    for shape in ((1, 3, 8, 12), (3, 3, 64, 20)):
        pixels = normalised(noise(*shape))
        with torch.inference_mode():
            assert torch.equal(found.network(pixels), network(pixels))


def test_a_program_becomes_a_model_file(small: Path, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({**FIELDS, "tile": {"size": 64, "multiple": 4, "margin": 8}}))
    source = find_source(str(small), manifest=tmp_path / "m.yaml")
    export(source.network, source.manifest, tmp_path / "m.onnx", [], output=source.output)
    for shape in ((1, 3, 4, 20), (3, 3, 32, 8)):
        with torch.inference_mode():
            expected = torch.sigmoid(Small().eval()(normalised(noise(*shape)))).numpy()
        assert probability(tmp_path / "m.onnx", noise(*shape)) == pytest.approx(expected, abs=1e-5)


def test_a_square_is_a_fixed_tile(tmp_path: Path) -> None:
    found = pt2.read_pt2(saved(tmp_path / "n.pt2", Small().eval(), {0: Dim("batch")}, (2, 3, 64, 64)))
    assert found.facts["tile"] == {"size": 64, "fixed": True}


@pytest.mark.parametrize(
    ("network", "sizes", "shape", "message"),
    [
        (Small().eval(), None, (1, 3, 32, 32), r"its batch is fixed at 1, .* Export it anew: torch.export.export\("),
        (Small().eval(), {0: Dim("b")}, (2, 3, 32, 64), "it takes 32×64 pixels. Expected both to vary, or a square"),
        (Small().train(), VARYING, (2, 3, 32, 48), "trains|was exported for training"),
        (nn.Linear(3, 1), {0: Dim("b")}, (2, 3), r"its input has 2 dimensions. Expected \(N, C, H, W\)"),
    ],
)
def test_a_program_that_does_not_fit(
    tmp_path: Path, network: nn.Module, sizes: Any, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        pt2.read_pt2(saved(tmp_path / "net.pt2", network, sizes, shape))


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.hub.load",
        "torch.ops.aten.save.default",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.from_file.out",
        "torch.ops.aten._print.default",
        "torch.ops.aten.relu.__class__",
        "torch.ops.higher_order.cond",
        "torch.ops.own.op.default",
        "_operator.methodcaller",
        "builtins.eval",
        "#own:op",
    ],
)
def test_a_program_that_calls_anything_else_is_refused(small: Path, tmp_path: Path, target: str) -> None:
    def change(name: str, content: bytes) -> bytes:
        return content.replace(b"torch.ops.aten.relu_.default", target.encode()) if "models/" in name else content

    with pytest.raises(DataError, match=rf"calls {re.escape(target)}. Expected operations of ATen"):
        pt2.read_pt2(rewritten(small, tmp_path / "bad.pt2", change))


def test_no_operation_that_is_run_takes_a_file() -> None:
    for full in torch._C._dispatch_get_all_op_names():
        space, _, name = full.partition("::")
        base, _, overload = name.partition(".")
        if space == "aten" and not base.startswith("_"):
            operation = getattr(getattr(torch.ops.aten, base), overload or "default")
            if pt2._computes(operation):
                names = {a.name for a in operation._schema.arguments if "str" in str(a.type)}
                assert not {n for n in names if re.search("file|path|url|name|code|lib", n)}, full


@pytest.mark.parametrize("part", ["weight_0", "sample_inputs/model.pt", "guards", "shapes"])
def test_what_torch_would_run_does_not_run_here(small: Path, tmp_path: Path, part: str) -> None:
    mark = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(mark)!r}).touch()"

    def change(name: str, content: bytes) -> bytes:
        if name.endswith(part):
            return pickle.dumps(Trap(mark))
        if part == "weight_0" and name.endswith("weights_config.json"):
            return content.replace(b'"use_pickle": false', b'"use_pickle": true', 1)
        if "models/" in name and part in ("guards", "shapes"):
            fields = json.loads(content)
            if part == "guards":
                fields["guards_code"] = [code]
            else:
                for value in fields["graph_module"]["graph"]["tensor_values"].values():
                    for size in value["sizes"]:
                        if "as_expr" in size:
                            size["as_expr"]["expr_str"] = code
            return json.dumps(fields).encode()
        return content

    path = rewritten(small, tmp_path / "bad.pt2", change)
    if part == "weight_0":
        with pytest.raises(DataError, match=r"bad.pt2: its first.weight is a pickle, and nothing is unpickled"):
            pt2.read_pt2(path)
    else:
        pt2.read_pt2(path).network(torch.zeros(1, 3, 8, 8))
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", None])
def test_a_file_that_is_no_program(small: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.pt2"
    if content is None:
        torch.save({"weight": torch.zeros(1)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"bad.pt2: (not a program that can be read|holds no program of torch.export)"):
        pt2.read_pt2(path)


def test_a_program_of_another_schema(small: Path, tmp_path: Path) -> None:
    change = {b'"major": 8': b'"major": 9'}

    def newer(_: str, content: bytes) -> bytes:
        for old, new in change.items():
            content = content.replace(old, new)
        return content

    with pytest.raises(DataError, match=r"has schema 9. Expected 8: write it anew"):
        pt2.read_pt2(rewritten(small, tmp_path / "bad.pt2", newer))
