"""A results folder of nnU-Net v2 → its network, weights and facts. nnU-Net itself is not needed.

    nnUNetTrainer__nnUNetPlans__2d/
        plans.json      architecture, patch size, normalisation, spacing
        dataset.json    channels, labels
        fold_0/ ...     checkpoint_final.pth, or checkpoint_best.pth

dynamic_network_architectures builds the network: it is imported here alone. No name in the folder is imported, but
those of its U-Nets and of layers of torch.nn.
"""

import importlib
import json
from dataclasses import dataclass
from math import lcm, prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vesselrt.export.head import Output
from vesselrt.export.sources.labels import class_names, model_name
from vesselrt.export.sources.layers import torch_layer
from vesselrt.export.sources.source import Found
from vesselrt.export.weights import fill_network, hash_weights, load_checkpoint
from vesselrt.runtime.errors import DataError, MissingExtraError, OptionError

LIBRARY = "dynamic_network_architectures"
_UNETS = f"{LIBRARY}.architectures.unet"
_CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
_BATCH_NORM_TRAINER = "nnUNetTrainerBN"
_NORMALISE = {"ZScoreNormalization": "zscore", "RescaleTo01Normalization": "range"}
_FIXED = {"RGBTo01Normalization": 1.0, "NoNormalization": 1 / 255, "CTNormalization": 1 / 255}
"""Normalisations of nnU-Net that are the same for each photograph → std of the network's input on the scale 0 to 1."""


def is_nnunet_folder(folder: Path) -> bool:
    """Whether the two files lie there that nnU-Net writes beside its folds."""
    return (folder / "plans.json").is_file() and (folder / "dataset.json").is_file()


def read_nnunet(folder: Path, fold: str | None = None) -> Found:
    """The network of one fold (`fold`: 0, or all), or the mean of the logits of several (0,1,2; None: all there are).

    Raises OptionError for a fold that is not there, DataError for a configuration that is not of photographs or can't
    be built, MissingExtraError where the library is not installed.
    """
    checkpoints = [_read_fold(path) for path in _fold_files(folder, fold)]
    plans, dataset = _read_json(folder / "plans.json"), _read_json(folder / "dataset.json")
    try:
        trained = _Trained.of(folder, plans, dataset, checkpoints[0])
        facts = _facts(trained)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(
            f"{folder}: plans.json or dataset.json is not as nnU-Net v2 writes it ({type(error).__name__}: {error}). "
            "Copy the folder again."
        ) from None
    networks: list[nn.Module] = []
    taken: dict[str, Tensor] = {}
    for checkpoint in checkpoints:
        network = _build(trained)
        state = fill_network(network, checkpoint.weights, checkpoint.path)
        taken |= {f"{checkpoint.path.parent.name}.{key}": value for key, value in state.items()}
        networks.append(network)
    names = ", ".join(f"{c.path.parent.name} ({c.path.stem.removeprefix('checkpoint_')})" for c in checkpoints)
    facts["provenance"] = {"recipe": f"nnU-Net v2 {trained.title}, {names}"}
    network = networks[0] if len(networks) == 1 else MeanOfNetworks(networks)
    return Found(trained.prepared(network), hash_weights(taken), facts, trained.channels, trained.output)


class MeanOfNetworks(nn.Module):
    """The mean of what several networks of one kind give, as nnU-Net averages its folds: before the softmax."""

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, H, W) → (N, K, H, W)."""
        return torch.stack([network(image) for network in self.networks]).mean(dim=0)


class _Clipped(nn.Module):
    """nnU-Net's CTNormalization, of values 0 to 255: clipped, and scaled by what the training data hold."""

    low: Tensor
    high: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, properties: list[dict[str, float]]) -> None:
        super().__init__()
        self.network = network
        names = {"low": "percentile_00_5", "high": "percentile_99_5", "mean": "mean", "std": "std"}
        for name, key in names.items():
            values = torch.tensor([float(channel[key]) for channel in properties])[:, None, None]
            self.register_buffer(name, values)

    def forward(self, image: Tensor) -> Tensor:
        clipped = torch.minimum(torch.maximum(image, self.low), self.high)
        answer: Tensor = self.network((clipped - self.mean) / self.std.clamp_min(1e-8))
        return answer


@dataclass(frozen=True)
class _Checkpoint:
    path: Path
    weights: dict[str, Tensor]
    configuration: str | None
    trainer: str


@dataclass(frozen=True)
class _Trained:
    """What plans.json and dataset.json say of one configuration."""

    folder: Path
    title: str
    configuration: dict[str, Any]
    labels: list[str]
    """A class for each channel of the network that is not the background's."""
    output: Output
    channels: int
    channel_names: list[str]
    properties: list[dict[str, float]]
    """Of the values of each channel; empty where plans.json has none."""
    trainer: str

    @classmethod
    def of(cls, folder: Path, plans: dict[str, Any], dataset: dict[str, Any], checkpoint: _Checkpoint) -> "_Trained":
        """Raises DataError for a configuration that is not of photographs, KeyError and the like for odd files."""
        name = checkpoint.configuration or folder.resolve().name.rpartition("__")[2]
        if name not in plans["configurations"]:
            raise DataError(
                f"{folder}: {checkpoint.path.name} is of the configuration {name}, and plans.json has "
                f"{', '.join(plans['configurations'])}. Copy the folder again."
            )
        configuration = _inherited(plans["configurations"], name)
        if len(configuration["patch_size"]) != 2:
            raise DataError(f"{folder}: its configuration {name} is for volumes. Expected one for pictures, as 2d is.")
        if [float(side) for side in configuration["spacing"]] != [1.0, 1.0]:
            raise DataError(
                f"{folder}: it was trained on pictures resampled to a spacing of {configuration['spacing']}, and "
                "photographs have none. Expected 1, 1, as nnU-Net's NaturalImage2DIO gives."
            )
        if list(plans.get("transpose_forward", [0, 1, 2])) != [0, 1, 2]:
            raise DataError(f"{folder}: it was trained on pictures laid on their side, which is not known here.")
        output, labels = _labels(dataset)
        named = dataset.get("channel_names") or dataset["modality"]
        names = [str(named[key]) for key in sorted(named, key=int)]
        found = plans.get("foreground_intensity_properties_per_channel")
        found = found or plans.get("foreground_intensity_properties_by_modality") or {}
        properties = [found[str(number)] for number in range(len(names)) if str(number) in found]
        title = f"{plans['dataset_name']} {name}"
        return cls(folder, title, configuration, labels, output, len(names), names, properties, checkpoint.trainer)

    @property
    def normalisation(self) -> str:
        """Raises DataError where channels are normalised in different ways."""
        schemes = set(self.configuration["normalization_schemes"])
        if len(schemes) != 1 or not schemes <= {*_NORMALISE, *_FIXED}:
            raise DataError(
                f"{self.folder}: its channels are normalised by {', '.join(sorted(schemes))}. Expected one for all, of "
                f"{', '.join((*_NORMALISE, *_FIXED))}."
            )
        return str(schemes.pop())

    def prepared(self, network: nn.Module) -> nn.Module:
        """The network behind what nnU-Net computes of fixed numbers and `Input` can't say."""
        if self.normalisation != "CTNormalization":
            return network
        if len(self.properties) != self.channels:
            raise DataError(
                f"{self.folder}: plans.json has no intensities of each channel, which CTNormalization needs."
            )
        return _Clipped(network, self.properties)


def _fold_files(folder: Path, fold: str | None) -> list[Path]:
    """The checkpoint of each fold that was asked for; of none named as nnU-Net does: those with a number."""
    there = {path.name.removeprefix("fold_"): path for path in sorted(folder.glob("fold_*")) if path.is_dir()}
    files = {
        name: next((path / file for file in _CHECKPOINTS if (path / file).is_file()), None)
        for name, path in there.items()
    }
    numbered = [name for name, file in files.items() if name != "all" and file is not None]
    wanted = numbered or ["all"]
    if fold is not None and not (fold == "all" and "all" not in there):
        wanted = [name.strip() for name in fold.split(",")]
    found = [file for name in wanted if (file := files.get(name)) is not None]
    if len(found) != len(wanted):
        offered = ", ".join(name for name, file in files.items() if file is not None) or "none"
        raise OptionError(
            f"{folder}: no fold_{' or fold_'.join(name for name in wanted if files.get(name) is None)} with "
            f"{' or '.join(_CHECKPOINTS)}. There are: {offered}. Say --fold 0, or --fold 0,1."
        )
    return found


def _read_fold(path: Path) -> _Checkpoint:
    content = load_checkpoint(path)
    weights, arguments = content.get("network_weights"), content.get("init_args")
    if not isinstance(weights, dict):
        raise DataError(f"{path}: holds no network_weights, which nnU-Net v2 writes. Copy it again.")
    named = arguments.get("configuration") if isinstance(arguments, dict) else None
    configuration = named if isinstance(named, str) else None
    return _Checkpoint(path, weights, configuration, str(content.get("trainer_name", "")))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: can't be read ({' '.join(str(error).split())}). Copy it again.") from None
    if not isinstance(fields, dict):
        raise DataError(f"{path}: holds a {type(fields).__name__}. Expected names and values.")
    return fields


def _inherited(configurations: dict[str, Any], name: str) -> dict[str, Any]:
    """A configuration over those that it inherits from."""
    found: dict[str, Any] = {}
    for _ in configurations:
        found = {**configurations[name], **found}
        name = configurations[name].get("inherits_from")
        if name is None:
            break
    return found


def _labels(dataset: dict[str, Any]) -> tuple[Output, list[str]]:
    """What the network gives, and the names of its classes in the order of its channels."""
    labels = {name: value for name, value in dataset["labels"].items() if name != "ignore"}
    if any(isinstance(value, list) and len(value) > 1 for value in labels.values()):  # regions, which overlap
        return "sigmoid", class_names(name for name, value in labels.items() if value not in (0, [0]))
    numbers = {name: int(value[0] if isinstance(value, list) else value) for name, value in labels.items()}
    return "softmax", class_names(name for name in sorted(numbers, key=numbers.__getitem__) if numbers[name] != 0)


def _facts(trained: _Trained) -> dict[str, Any]:
    """What the folder tells of a manifest."""
    scheme, count = trained.normalisation, trained.channels
    preparation: dict[str, Any] = {}
    if scheme in _NORMALISE:
        masked = scheme == "ZScoreNormalization" and all(trained.configuration["use_mask_for_norm"])
        preparation["normalise"] = _NORMALISE[scheme] + ("-nonzero" if masked else "")
    first = [name.strip().lower()[:1] for name in trained.channel_names]
    if first == ["b", "g", "r"]:
        raise DataError(f"{trained.folder}: its channels are {', '.join(trained.channel_names)}. Expected red first.")
    if count == 3:
        preparation["channels"] = "rgb"
    elif first == ["g"] and trained.channel_names[0].strip().lower() in ("g", "green"):
        preparation["channels"] = "green"
    size = _tile_side(trained.configuration)
    return {
        "name": model_name(trained.title),
        "preparation": preparation,
        "input": {"mean": [0.0] * count, "std": [_FIXED.get(scheme, 1.0)] * count},
        # Instance norm sees the whole window. So its windows are those of nnU-Net: of one size, at any pixel, all of
        # them inside the photograph, half a window apart at most.
        "tile": {"size": size, "multiple": 1, "margin": size // 4, "blend": "gaussian", "fixed": True},
        "classes": trained.labels,
    }


def _tile_side(configuration: dict[str, Any]) -> int:
    """Pixels of a square tile, which has the longer side of the patch."""
    strides = _architecture(configuration)[1]["strides"]
    multiple = lcm(*(prod(_pair(stride)[axis] for stride in strides) for axis in (0, 1)))
    return int(-(-max(configuration["patch_size"]) // multiple) * multiple)


def _pair(value: Any) -> list[int]:
    return [int(v) for v in value] if isinstance(value, list) else [int(value)] * 2


def _architecture(configuration: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and arguments of the network, whose classes are still names; plans of before nnU-Net 2.4 tell them apart."""
    said = configuration.get("architecture")
    if said is not None:
        return str(said["network_class_name"]), dict(said["arch_kwargs"])
    kind, blocks = configuration["UNet_class_name"], list(configuration["n_conv_per_stage_encoder"])
    base, most = configuration["UNet_base_num_features"], configuration["unet_max_num_features"]
    return kind, {
        "n_stages": len(blocks),
        "features_per_stage": [min(base * 2**stage, most) for stage in range(len(blocks))],
        "conv_op": "torch.nn.modules.conv.Conv2d",
        "kernel_sizes": configuration["conv_kernel_sizes"],
        "strides": configuration["pool_op_kernel_sizes"],
        ("n_conv_per_stage" if kind == "PlainConvUNet" else "n_blocks_per_stage"): blocks,
        "n_conv_per_stage_decoder": configuration["n_conv_per_stage_decoder"],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm2d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def _build(trained: _Trained) -> nn.Module:
    name, arguments = _architecture(trained.configuration)
    try:
        library = importlib.import_module(_UNETS)
    except ModuleNotFoundError:
        raise MissingExtraError.of("a folder of nnU-Net", "nnunet") from None
    kind = vars(library).get(name.rpartition(".")[2])
    if not (isinstance(kind, type) and issubclass(kind, nn.Module) and kind.__module__ == _UNETS):
        raise DataError(f"{trained.folder}: its network is {name}. Expected a U-Net of {_UNETS}.")
    if trained.trainer == _BATCH_NORM_TRAINER:
        arguments |= {"norm_op": "torch.nn.BatchNorm2d", "norm_op_kwargs": {"eps": 1e-5, "affine": True}}
    for key in ("conv_op", "norm_op", "dropout_op", "nonlin"):
        said = arguments.get(key)
        arguments[key] = None if said is None else torch_layer(str(said))
        if said is not None and arguments[key] is None:
            raise DataError(f"{trained.folder}: plans.json names {said} as {key}. Expected a part of torch.nn.")
    outputs = len(trained.labels) + (trained.output == "softmax")
    try:
        return kind(input_channels=trained.channels, num_classes=outputs, **{**arguments, "deep_supervision": False})
    except Exception as error:  # noqa: BLE001 - what a class raises for wrong arguments is its own matter
        raise DataError(
            f"{trained.folder}: {LIBRARY} can't build its {name.rpartition('.')[2]}: {' '.join(str(error).split())}. "
            "Install the release that trained it."
        ) from None
