"""Weights as people keep them: a state dict, a checkpoint that holds one, safetensors. Nothing is ever unpickled."""

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vesselrt.runtime.errors import DataError, first_line

_WEIGHTS_KEYS = (
    *("network", "state_dict", "model", "model_state_dict", "network_weights", "net", "weights"),
    *("model_state", "ema_state_dict", "params"),
)
"""Where checkpoints of trainers keep the weights."""
_PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "network.")
"""What wrappers put before the name of each weight: DataParallel, Lightning, torch.compile."""
_FORBIDDEN = re.compile(r"GLOBAL (\S+) was not an allowed global")


class _Skipped:
    """Stands for what NumPy makes of bytes, such as the best score so far. Nothing of NumPy is called."""

    def __init__(self, *given: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_SKIPPED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_Skipped, name)
    for name in ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar", "numpy.dtype", "_codecs.encode")
]
"""Scores of trainers, among the weights' neighbours in a checkpoint: nobody reads them here."""


def load_weights(path: Path) -> tuple[dict[str, Tensor], float | None]:
    """A state dict and the calibration shift beside it, if any; .safetensors, or a torch file that holds tensors only.

    Raises DataError: nothing is ever unpickled.
    """
    if path.suffix == ".safetensors":
        return _load_safetensors(path), None
    state = load_checkpoint(path)
    found = [state[key] for key in _WEIGHTS_KEYS if isinstance(state.get(key), dict)]
    if found:
        # Under such a key some keep the configuration of the network: weights are tensors.
        weights = next((f for f in found if any(isinstance(v, Tensor) for v in f.values())), found[0])
        return _named(weights, path), _shift(state, path)
    return _named(state, path), None  # a shift among weights is a weight


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What a torch file holds, with nothing unpickled but tensors, containers and plain values. NumPy's scalars are
    left out: an object without meaning stands for each.

    Raises DataError.
    """
    try:
        with torch.serialization.safe_globals(_SKIPPED):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - what a hostile file raises inside torch is anyone's guess
        raise _unsafe(path, error) from None
    if not isinstance(state, dict):
        raise DataError(f"{path}: holds a {type(state).__name__}. Save it with torch.save(network.state_dict(), ...).")
    return state


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:  # noqa: BLE001 - what a hostile file raises is anyone's guess
        raise _unsafe(path, error) from None


def _unsafe(path: Path, error: Exception) -> DataError:
    forbidden = _FORBIDDEN.search(str(error))
    reason = f"it holds {forbidden[1]}, which runs code" if forbidden else first_line(error).rstrip(".")
    return DataError(
        f"{path}: not a weights file that can be read safely ({reason}). "
        "Save it with torch.save(network.state_dict(), ...) or as safetensors."
    )


def _named(weights: dict[Any, Any], path: Path) -> dict[str, Tensor]:
    """The same. Raises DataError for keys that can't be of a state dict."""
    if strange := [key for key in weights if not isinstance(key, str)]:
        raise DataError(
            f"{path}: names a weight {strange[0]!r}. Expected names of parameters: save it with "
            "torch.save(network.state_dict(), ...)."
        )
    return weights


def _shift(state: dict[str, Any], path: Path) -> float | None:
    """The calibration. Raises DataError where it is no number."""
    if "shift" not in state:
        return None
    try:
        shift = float(state["shift"])
    except (TypeError, ValueError, OverflowError, RuntimeError):
        shift = math.nan
    if not math.isfinite(shift):
        said = " ".join(str(state["shift"]).split())[:40]
        raise DataError(f"{path}: its shift is {said}. Expected a number, which is added to the logits, or none.")
    return shift


def fill_network(network: nn.Module, weights: dict[str, Tensor], source: Path) -> dict[str, Tensor]:
    """Loads the weights and returns those that it took, by the network's names: without what wrappers put before each.

    Raises DataError that counts the keys which are missing, unexpected or of another shape, and names the first.
    """
    expected = network.state_dict()
    fitting = _without_prefixes(weights, expected)
    unlike = [key for key, value in fitting.items() if key in expected and _shape(value) != _shape(expected[key])]
    wrong = {
        "missing": [key for key in expected if key not in fitting],
        "unexpected": [key for key in fitting if key not in expected],
        "of another shape": [f"{k}: {_shape(fitting[k])} and not {_shape(expected[k])}" for k in unlike],
    }
    told = [f"{len(keys)} {what} ({keys[0]}{', …' if keys[1:] else ''})" for what, keys in wrong.items() if keys]
    if told:
        raise DataError(
            f"{source}: the weights do not fit the network: of {len(expected)} keys, {', '.join(told)}. Name the "
            "network that they were saved from."
        )
    network.load_state_dict(fitting)
    return fitting


def _shape(value: Any) -> list[int] | str:
    return list(value.shape) if isinstance(value, Tensor) else type(value).__name__


def _without_prefixes(weights: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with the names that a network expects: of a wrapper's file, those that lie in the network alone."""
    if expected.keys() <= weights.keys():
        return weights
    for prefix in _PREFIXES:
        inside = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        if inside and expected.keys() & inside.keys():
            return inside
        if len(inside) == len(weights) > 0:
            deeper = _without_prefixes(inside, expected)
            if expected.keys() & deeper.keys():
                return deeper
    return weights


def hash_weights(weights: dict[str, Tensor]) -> str:
    """sha256 over names and values, in name order."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].cpu().reshape(-1).view(torch.uint8).numpy().tobytes())  # bf16 has no numpy type
    return digest.hexdigest()
