"""A results folder of nnU-Net v2: which network its plans mean, and what becomes of the rest.

A small network stands for the library's, which is used itself where it is installed.
"""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from sources import Trap
from torch import Tensor, nn

from vesselrt.export.sources import nnunet
from vesselrt.export.sources.finding import find_source
from vesselrt.export.sources.nnunet import MeanOfNetworks, read_nnunet
from vesselrt.runtime.errors import DataError, MissingExtraError, OptionError

ARGUMENTS = {
    "n_stages": 3,
    "features_per_stage": [4, 8, 8],
    "conv_op": "torch.nn.modules.conv.Conv2d",
    "kernel_sizes": [[3, 3]] * 3,
    "strides": [[1, 1], [2, 2], [2, 1]],
    "n_conv_per_stage": [1, 1, 1],
    "n_conv_per_stage_decoder": [1, 1],
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
    "norm_op_kwargs": {"eps": 1e-5, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}
CONFIGURATION = {
    "patch_size": [64, 48],
    "spacing": [1.0, 1.0],
    "normalization_schemes": ["ZScoreNormalization"] * 3,
    "use_mask_for_norm": [False] * 3,
    "architecture": {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": ARGUMENTS,
    },
}
OLD = {
    "UNet_class_name": "PlainConvUNet",
    "UNet_base_num_features": 4,
    "unet_max_num_features": 8,
    "n_conv_per_stage_encoder": [1, 1, 1],
    "n_conv_per_stage_decoder": [1, 1],
    "pool_op_kernel_sizes": [[1, 1], [2, 2], [2, 1]],
    "conv_kernel_sizes": [[3, 3]] * 3,
}
DATASET = {"channel_names": {"0": "R", "1": "G", "2": "B"}, "labels": {"background": 0, "vessel": 1}}

Write = Callable[..., Path]


class PlainConvUNet(nn.Module):
    """Stands for the library's: keeps what it is built with."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.built_with = arguments
        self.look = nn.Conv2d(arguments["input_channels"], arguments["num_classes"], 1)

    def forward(self, image: Tensor) -> Tensor:
        answer: Tensor = self.look(image)
        return answer


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType(nnunet._UNETS)
    module.PlainConvUNet = PlainConvUNet
    monkeypatch.setattr(PlainConvUNet, "__module__", nnunet._UNETS)
    monkeypatch.setitem(sys.modules, nnunet._UNETS, module)
    for parent in (nnunet.LIBRARY, f"{nnunet.LIBRARY}.architectures"):
        monkeypatch.setitem(sys.modules, parent, ModuleType(parent))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_folder(
        configuration: dict[str, Any] = CONFIGURATION,
        dataset: dict[str, Any] = DATASET,
        folds: tuple[str, ...] = ("0", "1"),
        channels: int = 2,
        **plans: Any,
    ) -> Path:
        folder = tmp_path / "nnUNetTrainer__nnUNetPlans__2d"
        folder.mkdir()
        told = {"dataset_name": "Dataset501_Eyes", "configurations": {"2d": configuration}, **plans}
        (folder / "plans.json").write_text(json.dumps(told))
        (folder / "dataset.json").write_text(json.dumps(dataset))
        for number, fold in enumerate(folds):
            torch.manual_seed(number)
            weights = nn.Conv2d(len(dataset["channel_names"]), channels, 1).state_dict()
            checkpoint = {
                "network_weights": {f"look.{name}": value for name, value in weights.items()},
                "_best_ema": np.float64(0.81),  # NumPy's scalars are among its neighbours
                "logging": {"mean_fg_dice": [np.float64(0.5)], "epoch_start_timestamps": [1.0]},
                "init_args": {"configuration": "2d", "device": torch.device("cpu")},
                "trainer_name": "nnUNetTrainer",
                "inference_allowed_mirroring_axes": (0, 1),
            }
            (folder / f"fold_{fold}").mkdir()
            torch.save(checkpoint, folder / f"fold_{fold}" / "checkpoint_final.pth")
        return folder

    return write_folder


@pytest.mark.usefixtures("library")
def test_a_folder_tells_what_its_network_is(write: Write) -> None:
    found = read_nnunet(write())
    assert found.facts == {
        "name": "dataset501_eyes-2d",
        "preparation": {"normalise": "zscore", "channels": "rgb"},
        "input": {"mean": [0.0] * 3, "std": [1.0] * 3},
        "tile": {"size": 64, "multiple": 1, "margin": 16, "blend": "gaussian", "fixed": True},
        "classes": ["vessel"],
        "provenance": {"recipe": "nnU-Net v2 Dataset501_Eyes 2d, fold_0 (final), fold_1 (final)"},
    }
    assert (found.channels, found.output) == (3, "softmax")
    assert isinstance(found.network, MeanOfNetworks)
    built: Any = found.network.networks[0].built_with
    assert (built["conv_op"], built["norm_op"], built["nonlin"]) == (nn.Conv2d, nn.InstanceNorm2d, nn.LeakyReLU)
    assert (built["deep_supervision"], built["num_classes"], built["dropout_op"]) == (False, 2, None)


@pytest.mark.usefixtures("library")
def test_folds_are_averaged_before_the_softmax(write: Write) -> None:
    folder = write(folds=("0", "1", "all"))
    image = torch.rand(1, 3, 4, 4)
    with torch.inference_mode():
        first, second, third = (read_nnunet(folder, fold).network(image) for fold in ("0", "1", "all"))
        assert torch.allclose(read_nnunet(folder).network(image), (first + second) / 2)
        assert torch.allclose(read_nnunet(folder, "1, 0").network(image), (first + second) / 2)
    assert not torch.allclose(first, third)
    hashes = {read_nnunet(folder, fold).weights_sha256 for fold in (None, "0", "1", "all")}
    assert len(hashes) == 4
    with pytest.raises(
        OptionError, match=r"no fold_3 with checkpoint_final.pth or .* There are: 0, 1, all. Say --fold"
    ):
        read_nnunet(folder, "0,3")


@pytest.mark.usefixtures("library")
def test_the_best_checkpoint_serves_where_training_did_not_end(write: Write) -> None:
    folder = write(folds=("0",))
    (folder / "fold_0" / "checkpoint_final.pth").rename(folder / "fold_0" / "checkpoint_best.pth")
    assert read_nnunet(folder, "all").facts["provenance"]["recipe"].endswith("fold_0 (best)")


@pytest.mark.usefixtures("library")
def test_plans_of_before_the_architecture_was_written(write: Write) -> None:
    plain = {key: value for key, value in CONFIGURATION.items() if key != "architecture"}
    network = read_nnunet(write({**plain, **OLD}, folds=("0",))).network
    expected = {"features_per_stage": [4, 8, 8], "n_conv_per_stage": [1, 1, 1], "conv_bias": True, "n_stages": 3}
    assert {key: network.built_with[key] for key in expected} == expected
    assert network.built_with["norm_op"] is nn.InstanceNorm2d


@pytest.mark.usefixtures("library")
def test_what_a_configuration_inherits(write: Write) -> None:
    child = {"inherits_from": "parent", "patch_size": [96, 96]}
    folder = write(folds=("0",), configurations={"2d": child, "parent": CONFIGURATION})
    assert read_nnunet(folder).facts["tile"]["size"] == 96


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("labels", "channels", "output", "classes"),
    [
        ({"background": 0, "vein": 2, "artery": 1, "ignore": 3}, 3, "softmax", ["artery", "vein"]),
        ({"background": 0, "retina": [1, 2], "vessel": [2]}, 2, "sigmoid", ["retina", "vessel"]),
    ],
)
def test_labels_become_classes(write: Write, labels: Any, channels: int, output: str, classes: list[str]) -> None:
    found = read_nnunet(write(dataset={**DATASET, "labels": labels}, channels=channels, folds=("0",)))
    assert (found.output, found.facts["classes"]) == (output, classes)


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("scheme", "masked", "preparation", "std"),
    [
        ("ZScoreNormalization", True, {"normalise": "zscore-nonzero"}, 1.0),
        ("RescaleTo01Normalization", True, {"normalise": "range"}, 1.0),
        ("RGBTo01Normalization", False, {}, 1.0),
        ("NoNormalization", False, {}, 1 / 255),
    ],
)
def test_schemes_of_normalisation(write: Write, scheme: str, masked: bool, preparation: Any, std: float) -> None:
    changed = {"normalization_schemes": [scheme] * 3, "use_mask_for_norm": [masked] * 3}
    facts = read_nnunet(write({**CONFIGURATION, **changed}, folds=("0",))).facts
    assert facts["preparation"] == {**preparation, "channels": "rgb"}
    assert facts["input"] == {"mean": [0.0] * 3, "std": [std] * 3}


@pytest.mark.usefixtures("library")
def test_fixed_intensities_are_computed_by_the_graph(write: Write) -> None:
    changed = {"normalization_schemes": ["CTNormalization"] * 3}
    told = {"mean": 100.0, "std": 50.0, "percentile_00_5": 20.0, "percentile_99_5": 200.0}
    properties = {str(number): told for number in range(3)}
    folder = write({**CONFIGURATION, **changed}, folds=("0",), foreground_intensity_properties_per_channel=properties)
    network = read_nnunet(folder).network
    values = torch.tensor([0.0, 20, 150, 250]).reshape(1, 1, 2, 2).repeat(1, 3, 1, 1)
    with torch.inference_mode():
        assert torch.allclose(network(values), network.network((values.clamp(20, 200) - 100) / 50))


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"patch_size": [32, 64, 64]}, "its configuration 2d is for volumes. Expected one for pictures"),
        ({"spacing": [0.5, 0.5]}, r"resampled to a spacing of \[0.5, 0.5\], and photographs have none"),
        (
            {"normalization_schemes": ["ZScoreNormalization", "NoNormalization"]},
            "normalised by NoNormalization, ZScore",
        ),
        ({"normalization_schemes": ["Own"] * 3}, "normalised by Own. Expected one for all, of ZScoreNormalization, "),
        ({"architecture": {"network_class_name": "os.system", "arch_kwargs": ARGUMENTS}}, "its network is os.system."),
        (
            {
                "architecture": {
                    "network_class_name": "PlainConvUNet",
                    "arch_kwargs": {**ARGUMENTS, "nonlin": "os.abort"},
                }
            },
            "plans.json names os.abort as nonlin. Expected a part of torch.nn.",
        ),
        ({"architecture": {}}, r"plans.json or dataset.json is not as nnU-Net v2 writes it \(KeyError"),
    ],
)
def test_what_is_refused(write: Write, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_nnunet(write({**CONFIGURATION, **changed}, folds=("0",)))


@pytest.mark.usefixtures("library")
def test_nothing_is_unpickled(write: Write, tmp_path: Path) -> None:
    folder, mark = write(folds=("0",)), tmp_path / "it ran"
    torch.save({"network_weights": {}, "logging": Trap(mark)}, folder / "fold_0" / "checkpoint_final.pth")
    with pytest.raises(DataError, match="not a weights file that can be read safely"):
        read_nnunet(folder)
    assert not mark.exists()


def test_the_library_is_an_extra(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, nnunet.LIBRARY, None)
    monkeypatch.setitem(sys.modules, nnunet._UNETS, None)
    with pytest.raises(MissingExtraError, match=r"a folder of nnU-Net needs .* pip install 'vesselrt\[nnunet\]'"):
        read_nnunet(write())


@pytest.mark.usefixtures("library")
def test_a_fold_belongs_to_no_other_source(write: Write, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(json.dumps({"version": "1", "licence": "none", "description": "Eyes."}))
    folder = str(write())
    source = find_source(folder, manifest=tmp_path / "m.yaml", fold="0")
    assert (source.manifest.preparation.normalise, source.manifest.class_names) == ("zscore", ("vessel",))
    assert (source.manifest.tile.fixed, source.manifest.tile.margin) == (True, 16)
    (tmp_path / "m.yaml").write_text(
        json.dumps({"version": "1", "licence": "none", "description": "Eyes.", "tile": {"size": 32}})
    )
    source = find_source(folder, manifest=tmp_path / "m.yaml", fold="0")
    assert (source.manifest.tile.size, set(source.untold)) == (32, {"margin"})
    with pytest.raises(OptionError, match=r"a.b:c is no folder of nnU-Net, and --fold does not belong to it"):
        find_source("a.b:c", fold="0")


@pytest.mark.skipif(importlib.util.find_spec(nnunet.LIBRARY) is None, reason=f"{nnunet.LIBRARY} is not installed")
def test_the_library_builds_what_the_plans_say(write: Write, tmp_path: Path) -> None:
    unet: Any = importlib.import_module(nnunet._UNETS)
    layers = {"conv_op": nn.Conv2d, "norm_op": nn.InstanceNorm2d, "nonlin": nn.LeakyReLU}
    network = unet.PlainConvUNet(3, num_classes=2, **{**ARGUMENTS, **layers, "deep_supervision": True})
    folder = write(folds=("0",))
    torch.save({"network_weights": network.state_dict()}, folder / "fold_0" / "checkpoint_final.pth")
    network.decoder.deep_supervision = False
    image = torch.rand(1, 3, 64, 48)
    with torch.inference_mode():
        assert torch.equal(read_nnunet(folder).network.eval()(image), network.eval()(image))
