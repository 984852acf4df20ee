"""A folder that `save_pretrained` of segmentation_models_pytorch wrote → its network, weights and facts.

    config.json          the class (`_model_class`) and its arguments
    model.safetensors    the weights

segmentation_models_pytorch builds the network: it is imported here alone. Nothing is downloaded.
"""

import importlib
import json
from pathlib import Path
from typing import Any

from torch import nn

from vesselrt.export.head import Output
from vesselrt.export.sources.source import Found
from vesselrt.export.weights import fill_network, hash_weights, load_weights
from vesselrt.runtime.errors import DataError, MissingExtraError

LIBRARY = "segmentation_models_pytorch"
_CLASSES = (
    *("DPT", "DeepLabV3", "DeepLabV3Plus", "FPN", "Linknet", "MAnet"),
    *("PAN", "PSPNet", "Segformer", "UPerNet", "Unet", "UnetPlusPlus"),
)
"""Its architectures."""
_OUTPUTS: dict[str | None, Output] = {
    None: "logits",
    "identity": "logits",
    "sigmoid": "probability",
    "softmax": "probability",
    "softmax2d": "probability",
}


def is_smp_folder(folder: Path) -> bool:
    """Whether the two files of `save_pretrained` are there, which are named as those of transformers are."""
    return (folder / "config.json").is_file() and (folder / "model.safetensors").is_file()


def read_smp_folder(folder: Path) -> Found:
    """Raises DataError for a configuration that is none, MissingExtraError where the library is not installed."""
    config = _config(folder / "config.json")
    arguments = {key: value for key, value in config.items() if not key.startswith("_")}
    activation, channels = arguments.get("activation"), arguments.get("in_channels", 3)
    if not isinstance(activation, str | None) or activation not in _OUTPUTS:
        raise DataError(
            f"{folder}: its activation is {activation}. Expected one of "
            f"{', '.join(map(str, _OUTPUTS))}: build the network with activation=None, and save it again."
        )
    name = f"{config['_model_class']} {arguments.get('encoder_name', '')}".strip()
    # A second head, for the class of the whole image, would make the answer a pair.
    arguments |= {"encoder_weights": None, "aux_params": None}
    network = _build(config["_model_class"], arguments, folder)
    facts: dict[str, Any] = {
        "input": {},
        "tile": {},
        "preparation": {"channels": "rgb"} if channels == 3 else {},
        "provenance": {"recipe": f"{LIBRARY} {name}"},
    }
    path = folder / "model.safetensors"
    weights = {k: v for k, v in load_weights(path)[0].items() if not k.startswith("classification_head.")}
    taken = fill_network(network, weights, path)
    return Found(network, hash_weights(taken), facts, channels, _OUTPUTS[activation])


def _fields(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: can't be read ({error}). Save it again with save_pretrained.") from None


def _config(path: Path) -> dict[str, Any]:
    fields = _fields(path)
    kind = fields.get("_model_class") if isinstance(fields, dict) else None
    if kind not in _CLASSES:
        raise DataError(f"{path}: its _model_class is {kind}. Expected one of {', '.join(_CLASSES)}.")
    encoder = str(fields.get("encoder_name", ""))
    if set(encoder) & set(":/\\"):
        raise DataError(f"{path}: its encoder {encoder} is one from elsewhere. Expected a name that the library has.")
    return dict(fields)


def _build(kind: str, arguments: dict[str, Any], source: Path) -> nn.Module:
    try:
        library = importlib.import_module(LIBRARY)
    except ModuleNotFoundError as error:
        if error.name not in (LIBRARY, "torchvision", "timm"):
            raise
        raise MissingExtraError.of(f"a checkpoint of {LIBRARY}", "smp") from None
    except (ImportError, OSError, RuntimeError) as error:
        raise DataError(
            f"{LIBRARY} can't be imported ({' '.join(str(error).split())}). Its torchvision must be made for the torch "
            "that is installed: install both from one index."
        ) from None
    try:
        network: nn.Module = getattr(library, kind)(**arguments)
    except Exception as error:  # noqa: BLE001 - what a class raises for wrong arguments is its own matter
        raise DataError(
            f"{source}: {LIBRARY} can't build its {kind}: {' '.join(str(error).split())}. "
            "Use the release that saved it."
        ) from None
    return network
