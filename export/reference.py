"""A PyTorch network as what its model file is compared with."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vesselrt.export.head import Answers
from vesselrt.export.windows import values_for_network
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ExportError
from vesselrt.runtime.manifest import Manifest


class Picked(nn.Module):
    """A network that gives one tensor: of several the one that `pick` names."""

    def __init__(self, network: nn.Module, pick: str | None) -> None:
        super().__init__()
        self.network, self.pick = network, pick

    def forward(self, image: Tensor) -> Tensor:
        """Normalised (N, C, H, W) → (N, K, H, W). Raises ExportError that lists what there is."""
        return pick_tensor(self.network(image), self.pick)


def pick_tensor(answer: Any, pick: str | None) -> Tensor:
    """The tensor (N, K, H, W) of a network's answer. Raises ExportError that lists what there is."""
    if isinstance(answer, Tensor):
        if pick is not None:
            raise ExportError(f"the network gives one tensor, and --pick {pick} does not belong to it. Leave it out.")
        if answer.ndim != 4:
            raise ExportError(f"the network gives a tensor of {answer.ndim} dimensions. Expected (N, K, H, W).")
        return answer
    parts = _parts(answer)
    if pick is None and len(parts) == 1:
        (pick,) = parts
    chosen = _chosen(answer, parts, pick)
    if not _is_map(chosen):
        listed = ", ".join(f"{key} {_shape(value)}" for key, value in parts.items()) or "nothing that can be named"
        wrong = "" if pick is None else f"--pick {pick} is {'none of them' if chosen is None else _shape(chosen)}. "
        fitting = " or ".join(f"--pick {key}" for key, value in parts.items() if _is_map(value))
        raise ExportError(
            f"the network gives a {type(answer).__name__}: {listed}. {wrong}"
            + (f"Say which one holds the mask: {fitting}." if fitting else "Expected a tensor (N, K, H, W) in it.")
        )
    picked: Tensor = chosen
    return picked


def _parts(answer: Any) -> dict[str, Any]:
    """What an answer holds, by what a user types."""
    if isinstance(answer, Mapping):
        return {str(key): value for key, value in answer.items()}
    if isinstance(answer, Sequence) and not isinstance(answer, str):
        return {str(index): value for index, value in enumerate(answer)}
    named = getattr(answer, "__dict__", {})
    return {key: value for key, value in named.items() if value is not None and not key.startswith("_")}


def _chosen(answer: Any, parts: dict[str, Any], pick: str | None) -> Any:
    if pick is None or pick in parts:
        return parts.get(pick or "")
    try:
        return list(parts.values())[int(pick)]
    except (ValueError, IndexError):
        named = None if pick.startswith("_") else getattr(answer, pick, None)
        return None if callable(named) else named


def _is_map(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 4


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"({', '.join(map(str, value.shape))})"
    return type(value).__name__


class _SidesSeen(TorchDispatchMode):
    """Keeps the sides of square maps (1, C, h, h) that any operation gives, whatever module it belongs to."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sides: set[int] = set()

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = call(*args, **(kwargs or {}))
        if isinstance(given, Tensor) and given.ndim == 4 and given.shape[2] == given.shape[3] and given.shape[0] == 1:
            self.sides.add(given.shape[2])
        return given


class TorchReference:
    """A network in evaluation, in double precision where it can be computed so."""

    name = "the network"

    def __init__(self, network: nn.Module, manifest: Manifest, pick: str | None) -> None:
        self.network = Picked(network, pick).eval()
        self.double: nn.Module | None = None
        try:
            self.double = copy.deepcopy(self.network).double()
        except Exception:  # noqa: BLE001 - what can't be copied is compared in float32
            self.double = None
        self.manifest = manifest

    def answer(self, batch: Image) -> Answers:
        """(N, K, h, w) float64 of (N, C, h, w) uint8; float32 of a network that can't compute in float64."""
        if self.double is not None:
            try:
                return self._run(self.double, batch, np.float64)
            except (RuntimeError, TypeError):  # a type is written in its code
                rounded = self._run(self.network, batch, np.float32)  # raises where the window is what is wrong
                self.double = None
                return rounded
        return self._run(self.network, batch, np.float32)

    def rounded(self, batch: Image) -> Answers | None:
        """The same as the network is used, in float32; None where `answer` is that."""
        return None if self.double is None else self._run(self.network, batch, np.float32)

    def inner_sides(self, window: Image) -> set[int]:
        """Sides of the square maps that it computes of a square window (1, C, h, h) uint8."""
        seen = _SidesSeen()
        with seen:
            self._run(self.network, window, np.float32)
        return seen.sides

    def _run(self, network: nn.Module, batch: Image, kind: type[np.floating[Any]]) -> Answers:
        with torch.inference_mode():
            answer = network(torch.from_numpy(values_for_network(batch, self.manifest, kind)))
        return np.asarray(answer.numpy(), kind)

    def random_part(self, batch: Image) -> str:
        """The innermost module whose answer to the same input differs from run to run."""
        runs: list[list[tuple[str, Any]]] = []

        def note(name: str) -> Any:
            return lambda module, _, given: runs[-1].append((f"{name} ({type(module).__name__})".strip(), given))

        named = self.network.network.named_modules()
        hooks = [module.register_forward_hook(note(name)) for name, module in named]
        try:
            for _ in range(2):
                runs.append([])
                self._run(self.network, batch, np.float32)
        finally:
            for hook in hooks:
                hook.remove()
        for (name, one), (_, other) in zip(*runs, strict=False):
            if isinstance(one, Tensor) and isinstance(other, Tensor) and not torch.allclose(one, other, 1e-3, 1e-3):
                return str(name)
        return "a part of it"
