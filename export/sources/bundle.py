"""A MONAI bundle folder → its network, weights and the facts of its metadata. No code of the bundle runs.

MONAI's own reader evaluates `$` expressions and calls any `_target_`, so that a bundle is a program. Here a network is
built of literals, `@references` to them and classes of `monai.networks.nets` and `torch.nn` alone.

    configs/inference.json   or .yaml, or train.*: network_def
    configs/metadata.json    name, version, description, network_data_format
    models/model.pt          a state dict, or a checkpoint that holds one
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from vesselrt.export.sources.layers import torch_layer
from vesselrt.export.sources.source import Found
from vesselrt.export.weights import fill_network, hash_weights, load_weights
from vesselrt.runtime.errors import DataError, MissingExtraError

_NAMES = [f"{stem}.{suffix}" for stem in ("inference", "train") for suffix in ("json", "yaml", "yml")]
_INSTEAD = "Write the network as a function of your own, and export that: SOURCE package.module:function, --weights."
_RANGES: dict[tuple[float, ...], tuple[float, float]] = {(0, 1): (0.0, 1.0), (0, 255): (0.0, 1 / 255)}
"""Range of the network's input → mean and std on the scale 0 to 1."""
_DEPTH = 32


def is_bundle(folder: Path) -> bool:
    """Whether a configuration lies where a bundle keeps it."""
    return any((folder / "configs" / name).is_file() for name in _NAMES)


def read_bundle(folder: Path, weights: Path | None) -> Found:
    """`weights`: other than models/model.pt.

    Raises DataError that names what is missing, or what can't be built without running the bundle's code.
    """
    config, source = _config(folder / "configs")
    network = _NetworkBuilder(config, source).network()
    path = weights or folder / "models" / "model.pt"
    if not path.is_file():
        scripted = "; TorchScript (model.ts) is code" if path.with_suffix(".ts").is_file() else ""
        raise DataError(
            f"{folder}: no {path.name}{scripted}. Name the weights, saved by torch.save(network.state_dict(), ...), "
            "with --weights."
        )
    state, _ = load_weights(path)
    return Found(network, hash_weights(fill_network(network, state, path)), *_facts(folder))


def _config(folder: Path) -> tuple[dict[str, Any], Path]:
    """The first configuration that defines a network, and where it stands."""
    for path in (folder / name for name in _NAMES):
        if path.is_file():
            config = _load(path)
            if "network_def" in config:
                return config, path
    raise DataError(f"{folder}: no network_def in {', '.join(_NAMES)}. {_INSTEAD}")


def _load(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        fields = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"{path}: can't be read ({' '.join(str(error).split())}). Correct it.") from None
    if not isinstance(fields, dict):
        raise DataError(f"{path}: holds a {type(fields).__name__}. Expected names and values.")
    return fields


def _facts(folder: Path) -> tuple[dict[str, Any], int | None]:
    """What configs/metadata.json tells of a manifest, and the number of channels that the network takes."""
    path = folder / "configs" / "metadata.json"
    metadata = _load(path) if path.is_file() else {}
    name = re.sub("[^a-z0-9._-]+", "-", str(metadata.get("name", folder.resolve().name)).lower()).lstrip("._-")
    facts: dict[str, Any] = {"name": name, "input": {}, "tile": {}, "preparation": {}}
    facts |= {key: str(metadata[key]) for key in ("version", "description") if key in metadata}
    facts["provenance"] = {"recipe": f"MONAI bundle {name} {facts.get('version', '')}".strip()}
    try:
        (image,) = metadata["network_data_format"]["inputs"].values()
        channels = image["num_channels"]
        shape, span = list(image.get("spatial_shape", ())), tuple(map(float, image.get("value_range", ())))
    except (KeyError, TypeError, ValueError, AttributeError):  # metadata are for people: what is odd tells nothing
        return facts, None
    if len(shape) == 3:
        raise DataError(f"{path}: the network takes volumes ({shape}). Photographs have two dimensions.")
    if len(shape) == 2 and shape[0] == shape[1] and isinstance(shape[0], int):
        facts["tile"] = {"size": shape[0]}
    if not isinstance(channels, int):
        return facts, None
    if channels == 3:
        facts["preparation"] = {"channels": "rgb"}
    if (known := _RANGES.get(span)) is not None:
        facts["input"] = {"mean": [known[0]] * channels, "std": [known[1]] * channels}
    return facts, channels


class _NetworkBuilder:
    """Builds `network_def` of a configuration; `source` is named in messages."""

    def __init__(self, config: dict[str, Any], source: Path) -> None:
        self.config, self.source = config, source

    def network(self) -> nn.Module:
        built = self._value(self.config["network_def"], "network_def", 0)
        if not isinstance(built, nn.Module):
            raise self._refuse("network_def", f"is a {type(built).__name__} and not a network")
        return built

    def _value(self, value: Any, place: str, depth: int) -> Any:
        """A literal as it is, a reference followed, a `_target_` built. Raises DataError for everything else."""
        if depth > _DEPTH:
            raise self._refuse(place, "refers to itself, or is nested too deep")
        if isinstance(value, list):
            return [self._value(v, f"{place}::{i}", depth + 1) for i, v in enumerate(value)]
        if isinstance(value, str):
            if value.startswith(("$", "%")):
                raise self._refuse(place, f"is {value!r}, which would have to be evaluated")
            return self._value(self._find(value[1:], place), value[1:], depth + 1) if value.startswith("@") else value
        if not isinstance(value, dict):
            return value
        others = sorted(k for k in value if str(k).startswith("_") and k not in ("_target_", "_desc_"))
        if others:
            raise self._refuse(place, f"asks for {', '.join(others)}")
        fields = {k: self._value(v, f"{place}::{k}", depth + 1) for k, v in value.items() if k != "_desc_"}
        return self._build(fields, place) if "_target_" in fields else fields

    def _find(self, reference: str, place: str) -> Any:
        """What `a::b::0` (or `a#b#0`, as older bundles write) names in the configuration."""
        found: Any = self.config
        for key in re.split("::|#", reference):
            try:
                found = found[int(key)] if isinstance(found, list) else found[key]
            except (KeyError, IndexError, TypeError, ValueError):
                raise self._refuse(place, f"refers to @{reference}, which is not there") from None
        return found

    def _build(self, fields: dict[str, Any], place: str) -> nn.Module:
        target = str(fields.pop("_target_"))
        kind = _class(target)
        if kind is None:
            raise self._refuse(place, f"names {target}, which is no class of monai.networks.nets or torch.nn")
        if "pretrained" in inspect.signature(kind).parameters:
            fields["pretrained"] = False  # it would be downloaded, and the bundle's weights take its place
        try:
            return kind(**fields)
        except Exception as error:  # noqa: BLE001 - what a class raises for wrong arguments is its own matter
            reason = " ".join(str(error).split())
            raise DataError(f"{self.source}: {place}: {target} can't be built: {reason}. {_INSTEAD}") from None

    def _refuse(self, place: str, what: str) -> DataError:
        return DataError(f"{self.source}: {place} {what}. No code of a bundle is run. {_INSTEAD}")


def _class(target: str) -> type[nn.Module] | None:
    """The class that a `_target_` names, fully or by its name alone; None for what must not be built."""
    try:
        from monai.networks import nets
    except ModuleNotFoundError:
        raise MissingExtraError.of("a MONAI bundle", "train") from None
    module, _, name = target.rpartition(".")
    if module in ("", nets.__name__) or module.startswith(f"{nets.__name__}."):
        found = vars(nets).get(name)
    else:
        return torch_layer(target)
    return found if isinstance(found, type) and issubclass(found, nn.Module) else None
