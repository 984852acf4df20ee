"""A folder that `save_pretrained` of transformers wrote → its network, weights and facts. Nothing is downloaded.

    config.json                 the class (`architectures`), its arguments and the names of its classes
    model.safetensors           the weights
    preprocessor_config.json    how a picture becomes the network's input

transformers builds the network: it is imported here alone, offline, and runs no code of the folder.
"""

import importlib
import json
import os
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import interpolate

from vesselrt.export.head import Output
from vesselrt.export.sources.labels import class_names, is_background, model_name
from vesselrt.export.sources.source import Found
from vesselrt.export.weights import hash_weights
from vesselrt.runtime.errors import DataError, MissingExtraError, first_line

LIBRARY = "transformers"
_SEMANTIC = "ForSemanticSegmentation"
_OBJECTS = ("ForUniversalSegmentation", "ForInstanceSegmentation")
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_STRIDE = 32
"""Of the backbones that transformers has for semantic segmentation, the largest."""
_SIDE = 512
"""Of a tile, where the folder tells no size."""


def is_transformers_folder(folder: Path) -> bool:
    """Whether its config.json is one of transformers."""
    path = folder / "config.json"
    if not path.is_file():
        return False
    fields = _read_json(path)
    return isinstance(fields, dict) and "_model_class" not in fields and "architectures" in fields


def read_transformers_folder(folder: Path) -> Found:
    """Raises DataError for a network that gives no map of classes or can't be built, MissingExtraError where the
    library is not installed.
    """
    config = _read_json(folder / "config.json")
    name = _architecture(folder, config)
    if not any((folder / file).is_file() for file in _WEIGHTS):
        pickled = (
            " (pytorch_model.bin is a pickle, which is not read)" if (folder / "pytorch_model.bin").exists() else ""
        )
        raise DataError(f"{folder}: no model.safetensors{pickled}. Save it again with save_pretrained.")
    network = _load(folder, name)
    count = int(network.config.num_labels)
    facts = _facts(folder, config, name)
    output: Output = "logits" if count == 1 else "softmax"
    facts |= _classes(network.config.id2label)
    taken = dict(network.state_dict())
    return Found(Enlarged(network), hash_weights(taken), facts, int(getattr(network.config, "num_channels", 3)), output)


class Enlarged(nn.Module):
    """A network of transformers whose answer is resized to the picture, as its own post-processing does."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Normalised (N, C, H, W) → logits (N, K, H, W)."""
        logits: Tensor = self.network(pixel_values=image).logits
        return interpolate(logits, size=image.shape[-2:], mode="bilinear", align_corners=False)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: can't be read ({error}). Save it again with save_pretrained.") from None


def _architecture(folder: Path, config: dict[str, Any]) -> str:
    """The name of its class. Raises DataError for one that gives no map of classes."""
    named = config["architectures"]
    name = str(named[0]) if isinstance(named, list) and named else str(named)
    if name.endswith(_OBJECTS):
        raise DataError(
            f"{folder}: {name} gives a list of objects, each with a mask and a class, and no map of classes. Train one "
            f"that ends with {_SEMANTIC}, such as SegFormer or UPerNet."
        )
    if not name.endswith(_SEMANTIC):
        raise DataError(f"{folder}: its network is {name}. Expected one that ends with {_SEMANTIC}.")
    return name


def _load(folder: Path, name: str) -> Any:
    library = _library()
    kind = getattr(library, name, None)
    if kind is None or not str(kind.__module__).startswith(f"{LIBRARY}.models."):
        raise DataError(f"{folder}: {LIBRARY} {library.__version__} has no {name}. Install a release that has it.")
    library.utils.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        config = kind.config_class.from_pretrained(str(folder), **local)
        config.use_pretrained_backbone = False  # it would be downloaded, and its weights are in the folder
        network, told = kind.from_pretrained(
            str(folder), config=config, use_safetensors=True, dtype="float32", output_loading_info=True, **local
        )
    except Exception as error:  # noqa: BLE001 - what a class raises for a wrong folder is its own matter
        raise DataError(
            f"{folder}: {LIBRARY} can't load its {name}: {first_line(error)}. Use the release that saved it."
        ) from None
    wrong = [f"{len(told[key])} {key.replace('_keys', '')}" for key in ("missing_keys", "mismatched_keys") if told[key]]
    if wrong:
        raise DataError(
            f"{folder}: the weights do not fit {name}: {', '.join(wrong)}. Save network and weights together, with "
            "save_pretrained."
        )
    return network


def _library() -> Any:
    # Read when the library is imported.
    for variable in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(variable, "1")
    try:
        return importlib.import_module(LIBRARY)
    except ModuleNotFoundError as error:
        if error.name != LIBRARY:
            raise
        raise MissingExtraError.of(f"a folder of {LIBRARY}", "huggingface") from None


def _facts(folder: Path, config: dict[str, Any], name: str) -> dict[str, Any]:
    """What the two configurations tell of a manifest."""
    path = folder / "preprocessor_config.json"
    read = _read_json(path) if path.is_file() else {}
    told = read if isinstance(read, dict) else {}
    try:
        facts: dict[str, Any] = {"input": _input(told), **_sizes(told, config)}
    except (TypeError, ValueError, KeyError) as error:
        raise DataError(f"{path}: not as {LIBRARY} writes it ({error}). Save it again with save_pretrained.") from None
    facts["name"] = model_name(folder.resolve().name)
    facts["preparation"]["channels"] = "rgb"
    facts["provenance"] = {"recipe": f"{LIBRARY} {name}"}
    return facts


def _input(told: dict[str, Any]) -> dict[str, Any]:
    """Mean and std on the scale 0 to 1: transformers computes (value × rescale_factor - mean) / std."""
    if not told:
        return {}
    white = 255 * float(told.get("rescale_factor", 1 / 255)) if told.get("do_rescale", True) else 255.0
    normalised = told.get("do_normalize", True)
    mean, std = (told["image_mean"], told["image_std"]) if normalised else ([0.0] * 3, [1.0] * 3)
    return {key: [float(v) / white for v in values] for key, values in (("mean", mean), ("std", std))}


def _sizes(told: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """The size to which the whole picture is resized, if it is, and a tile that holds it."""
    size = told.get("size", config.get("image_size"))
    height, width = (size.get("height"), size.get("width")) if isinstance(size, dict) else (size, size)
    if not isinstance(height, int) or not isinstance(width, int):
        height = width = None  # the shorter side is told, or nothing
    side = -(-max(height or _SIDE, width or _SIDE) // _STRIDE) * _STRIDE
    resized = bool(height) and bool(told.get("do_resize", bool(told)))
    return {
        "preparation": {"size": [height, width]} if resized else {},
        "tile": {"size": side},
    }


def _classes(id2label: dict[int, str]) -> dict[str, Any]:
    """The names of the classes, where they are told and the first channel is the background's."""
    labels = [str(id2label[number]) for number in sorted(id2label)]
    if len(labels) < 2 or not is_background(labels[0]):
        return {}
    return {"classes": class_names(labels[1:])}
