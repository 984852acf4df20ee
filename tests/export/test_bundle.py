"""A MONAI bundle is read without running its code."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from sources import FIELDS, Trap

from vesselrt.export.sources import bundle
from vesselrt.export.sources.finding import find_source
from vesselrt.export.weights import hash_weights
from vesselrt.runtime.errors import DataError, ManifestError

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
    nets = pytest.importorskip("monai.networks.nets", reason="needs MONAI")

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
    assert found.weights_sha256 == hash_weights(found.network.state_dict())
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
    with pytest.raises(ManifestError, match=r"bundle does not say: licence. Write it in a"):
        find_source(str(folder))
    path = tmp_path / "m.yaml"
    path.write_text("tile: {multiple: 2}\n")
    with pytest.raises(ManifestError, match=r"m.yaml does not say: licence. Add it there."):
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
