"""A network learns from a finished model: from its answers, and it may begin with its weights."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Backend
from vesselrt.runtime.devices import open_backend
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import Preparation
from vesselrt.runtime.modelfile import find_model_file, read_manifest
from vesselrt.training.fit.recipe import Recipe
from vesselrt.training.networks import Branched, Residual, VesselNet, fold_branches

_FIT_PLACES = 40_000  # pixels that a convolution is fitted to
_FIT_ROUNDS = 12
_SCALES_DIFFER = 0.05  # at most, for a teacher to know what it sees


class Ancestor:
    """A model file that a network has its weights from. What it was trained on, the network has learned from too."""

    def __init__(self, model: str) -> None:
        """`model`: the name of a built-in model, or the path of a model file. Raises ModelError."""
        self.path = find_model_file(model)
        self.manifest = read_manifest(self.path)

    @property
    def photographs(self) -> set[str]:
        """`hash_photograph` of each photograph that it was trained on."""
        return {digest for data in self.manifest.provenance.data for digest in data.photographs}


class Teacher(Ancestor):
    """A model file that answers for crops. Each process loads it at its first question, on one thread."""

    def __init__(self, recipe: Recipe) -> None:
        """Raises DataError when the recipe names no teacher, or one of another preparation, crop size or classes."""
        if recipe.distillation is None:
            raise DataError("the recipe names no teacher. Name one in distillation.")
        super().__init__(recipe.distillation.teacher)
        self._turned = recipe.distillation.turned
        self._backend: Backend | None = None
        preparation, tile = self.manifest.preparation, self.manifest.tile
        if not _shows_alike(preparation, recipe.preparation):
            raise DataError(
                f"{self.path}: its preparation is {preparation}, the recipe's {recipe.preparation}. "
                "Expected a teacher that sees what the network sees: fields of view may differ by a twentieth at most."
            )
        told, wanted = (_describe_classes(of.class_names, of.exclusive) for of in (self.manifest, recipe))
        several = max(len(self.manifest.classes), len(recipe.classes)) > 1
        if several and told != wanted:  # a single one may have another name
            raise DataError(f"{self.path}: has the classes {told}. Expected those of the recipe: {wanted}.")
        for crop in (stage.schedule.crop for stage in recipe.stages):
            if crop % tile.multiple or (tile.fixed and crop != tile.size):
                expected = tile.size if tile.fixed else f"a multiple of {tile.multiple}"
                raise DataError(f"{self.path}: can't answer for crops of {crop} px. Set crop to {expected}.")

    def answer(self, pixels: Image, random: np.random.Generator) -> NDArray[np.float32]:
        """The probability of each class, (K, h, w) in 0..1, of a square crop (h, w, C) uint8.

        `random` draws how the crop is turned, where the recipe says so; the answer is turned back.
        """
        if not self._turned:
            return self._answer(pixels)
        quarters, across = int(random.integers(4)), int(random.choice((-1, 1)))
        shown = np.rot90(pixels, quarters)[:, ::across]
        return np.rot90(self._answer(shown)[..., ::across], -quarters, (1, 2))

    def _answer(self, pixels: Image) -> NDArray[np.float32]:
        if self._backend is None:  # not OpenVINO: it can't start in a forked process when it ran in its parent
            _, self._backend = open_backend(self.path, "cpu:onnxruntime", "f32", threads=1)
        (levels,) = self._backend.infer([np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]])
        probability: NDArray[np.float32] = levels[0] / np.float32(255)
        return probability


def _shows_alike(one: Preparation, other: Preparation) -> bool:
    """Whether photographs look the same after both, but for a scale of some percent: crops are zoomed by more."""
    if one.field_of_view is None or other.field_of_view is None:
        return one == other
    alike = one.model_copy(update={"field_of_view": other.field_of_view}) == other
    return alike and np.allclose(one.field_of_view, other.field_of_view, rtol=_SCALES_DIFFER)


def _describe_classes(names: tuple[str, ...], exclusive: bool) -> str:
    return f"{', '.join(names)}{', exclusive' if exclusive else ''}"


def start_weights(recipe: Recipe, start: Ancestor, windows: Tensor) -> dict[str, Tensor]:
    """The weights in a model file, for the recipe's network; `windows` as `inherit_weights` takes them.

    Raises DataError when the network is no VesselNet, or the file none of the same shape and input.
    """
    network, told = _build_vessel_net(recipe), start.manifest
    if (told.preparation.channels, told.input) != (recipe.preparation.channels, recipe.input):
        raise DataError(
            f"{start.path}: takes {told.preparation.channels} with {told.input}, the recipe "
            f"{recipe.preparation.channels} with {recipe.input}. Expected the same."
        )
    source = _read_network(recipe, start.path, recipe.network.arguments)
    network.load_state_dict(network.state_dict() | source.state_dict())
    network.eval()
    with torch.no_grad():
        for part in network.modules():
            if isinstance(part, Branched):  # the file has the sum of its branches
                part.weight.sub_(part.kernel() - part.weight)
        _refresh_norms(network, windows)
    weights: dict[str, Tensor] = network.state_dict()
    return weights


def inherit_weights(recipe: Recipe, teacher: Teacher, windows: Tensor) -> dict[str, Tensor]:
    """The weights of the recipe's network, made from the teacher's. `windows`: (N, C, h, w) float, as the network takes
    them.

    What both have is copied. A single convolution in the place of a residual block, or of a stem or down convolution
    and the block after it, is fitted to what these made of `windows`, by least squares. A residual block of fewer inner
    channels keeps those that count most, and its second convolution is fitted in the same way (He et al., 2017). Batch
    norms begin with the statistics of `windows`, so that the network answers while it trains as it does afterwards.

    Raises DataError when the network is no VesselNet, or the teacher none of the same widths.
    """
    network, arguments = _build_vessel_net(recipe), recipe.network.arguments
    source = _read_network(recipe, teacher.path, {k: arguments[k] for k in ("channels", "widths") if k in arguments})
    _copy_shared_weights(source, network)
    nearest = not isinstance(network.up[0], nn.ConvTranspose2d)
    if nearest:
        _average_blocks(source, network)
    network.eval()
    levels = [("encoder", i) for i in range(len(network.encoder))]
    levels += [("decoder", i) for i in reversed(range(len(network.decoder)))]
    with torch.no_grad():
        for part, i in levels:
            block, taught = getattr(network, part)[i], getattr(source, part)[i]
            if isinstance(block, nn.Identity) and part == "encoder":
                block = network.down[i - 1] if i else network.stem
            if isinstance(block, nn.Sequential):
                _fit_convolution(
                    block, _record_pass(network, block, windows)[0], _record_pass(source, taught, windows)[1]
                )
            if isinstance(block, Residual) and (_has_fewer(block, taught) or (nearest and part == "decoder")):
                shown, given = (_record_pass(n, part, windows)[0] for n, part in ((source, taught), (network, block)))
                between = taught.first(shown)
                _keep_channels(block, taught, between)
                _fit_convolution(block.second, block.first(given), shown + taught.second(between), given)
        _refresh_norms(network, windows)
    weights: dict[str, Tensor] = network.state_dict()
    return weights


def _build_vessel_net(recipe: Recipe) -> VesselNet:
    network = recipe.network.build(fresh=False)
    if not isinstance(network, VesselNet):
        raise DataError(
            f"a {type(network).__name__} can't begin with the weights of a model file. Expected a VesselNet; or leave "
            "out start, and distillation.inherit."
        )
    return network


def _read_network(recipe: Recipe, path: Path, arguments: dict[str, Any]) -> VesselNet:
    """What a model file computes, in PyTorch, for inference; its calibration is in its last bias. Raises DataError."""
    graph = onnx.load(path).graph
    given = {tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    network = cast(VesselNet, fold_branches(VesselNet(**arguments)).eval())
    names, state = _convolution_names(network, len(recipe.input.mean)), network.state_dict()
    try:
        for name, node in zip(names, nodes, strict=True):
            state[f"{name}.weight"] = given[node.input[1]]
            norm = f"{name.rpartition('.')[0]}.1"
            normed = f"{norm}.running_var" in state  # folded into the convolution: nothing but a bias is left
            if normed:
                state[f"{norm}.running_var"] -= 1e-5  # which PyTorch adds
            bias = f"{norm if normed else name}.bias"
            state[bias] = given[node.input[2]] if len(node.input) == 3 else torch.zeros_like(state[bias])
        network.load_state_dict(state)
    except (ValueError, KeyError, RuntimeError):  # another number, from elsewhere, of another shape
        shape = ", ".join(f"{name}: {value}" for name, value in arguments.items())
        raise DataError(
            f"{path}: no VesselNet of {shape}, whose weights the network could begin with. Name another model, or "
            "leave out start, and distillation.inherit."
        ) from None
    ends = [node for node in graph.node if node.op_type == "Add" and graph.node[-1].input[0] in node.output]
    shift = float(given[ends[0].input[1]]) if ends else 0.0  # export adds it to the logits
    with torch.no_grad():
        cast(nn.Parameter, network.head[0].bias).add_(shift)
    return network


def _convolution_names(network: VesselNet, channels: int) -> list[str]:
    """Names of its convolutions, in the order in which they compute: a model file keeps that, and not all names."""
    names: list[str] = []
    hooks = [
        module.register_forward_hook(lambda *_, name=name: names.append(name))
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    network(torch.zeros(1, channels, network.stride, network.stride))
    for hook in hooks:
        hook.remove()
    return names


def _copy_shared_weights(teacher: VesselNet, network: VesselNet) -> None:
    """Copies the weights of all parts that both have."""
    state = teacher.state_dict()
    own = network.state_dict()
    network.load_state_dict({k: state[k] if k in state and state[k].shape == own[k].shape else own[k] for k in own})


def _average_blocks(teacher: VesselNet, network: VesselNet) -> None:
    """Where a pixel gives four that are alike, they are the mean of those that the teacher's gives."""
    for own, other in zip(network.up, teacher.up, strict=True):
        convolution, transposed = cast(nn.Sequential, own)[0], cast(nn.ConvTranspose2d, other)
        convolution.load_state_dict(
            {"weight": transposed.weight.mean((2, 3), keepdim=True).transpose(0, 1), "bias": transposed.bias}
        )


def _has_fewer(block: Residual, taught: Residual) -> bool:
    first, other = (cast(nn.Conv2d, of.first[0]) for of in (block, taught))
    return first.out_channels < other.out_channels


def _keep_channels(block: Residual, taught: Residual, between: Tensor) -> None:
    """Fills the first convolution with the teacher's channels of most effect: their RMS times the weights after them.

    `between` (N, inner of the teacher, h, w) is what the teacher's first convolution makes.
    """
    weights = cast(nn.Conv2d, taught.second[0]).weight * _slopes(taught.second[1])[:, None, None, None]
    effects = between.square().mean((0, 2, 3)) * weights.square().sum((0, 2, 3))
    kept = effects.topk(cast(nn.Conv2d, block.first[0]).out_channels).indices.sort().values
    for own, other in zip(block.first.state_dict().values(), taught.first.state_dict().values(), strict=True):
        own.copy_(other[kept] if other.ndim else other)


def _slopes(norm: nn.Module) -> Tensor:
    norm = cast(nn.BatchNorm2d, norm)
    return norm.weight / (cast(Tensor, norm.running_var) + norm.eps).sqrt()


def _record_pass(network: nn.Module, part: nn.Module, windows: Tensor) -> tuple[Tensor, Tensor]:
    """Input and output of a part of the network."""
    found: list[tuple[Tensor, Tensor]] = []
    hook = part.register_forward_hook(lambda _, given, answer: found.append((given[0], answer)))
    network(windows)
    hook.remove()
    return found[0]


def _fit_convolution(block: nn.Sequential, given: Tensor, wanted: Tensor, added: Tensor | None = None) -> None:
    """Sets convolution and batch norm so that with a ReLU they make `wanted` (N, O, h, w) from `given` (N, I, H, W).

    `added`, like `wanted`, is what a residual block adds before its ReLU. `wanted` is before or after the ReLU: where
    it is not above 0, every value below 0 is right, and the last fit's own value is the aim of the next one.
    """
    convolution, norm = cast(nn.Conv2d, block[0]), cast(nn.BatchNorm2d, block[1])
    size, stride, padding = convolution.kernel_size[0], convolution.stride[0], int(convolution.padding[0])
    places = torch.randperm(wanted[0, 0].numel(), generator=torch.Generator().manual_seed(0))[
        : _FIT_PLACES // len(given)
    ]
    columns = [functional.unfold(g[None], size, 1, padding, stride)[0, :, places] for g in given]
    rows = functional.pad(torch.cat(columns, 1).T, (0, 1), value=1.0).double()  # (P, I·k·k + 1)
    offset, target = (
        images.flatten(2)[:, :, places].transpose(1, 2).flatten(0, 1).double()  # (P, O)
        for images in (torch.zeros_like(wanted) if added is None else added, wanted)
    )
    squares = rows.T @ rows
    squares.diagonal().add_(1e-6 * squares.diagonal().mean())
    factor = torch.linalg.cholesky(squares)
    solution = torch.cholesky_solve(rows.T @ (target - offset), factor)  # (I·k·k + 1, O)
    for _ in range(_FIT_ROUNDS):
        aim = torch.where(target > 0, target, (rows @ solution + offset).clamp(max=0)) - offset
        solution = torch.cholesky_solve(rows.T @ aim, factor)
    kernel = solution[:-1].T.reshape(norm.num_features, -1, size, size).float()
    if isinstance(convolution, Branched):
        kernel -= convolution.kernel() - convolution.weight
    convolution.weight.copy_(kernel)
    ones = torch.ones(norm.num_features)
    _set_norm(norm, mean=0 * ones, variance=ones - norm.eps, weight=ones, bias=solution[-1].float())


def _set_norm(norm: nn.BatchNorm2d, *, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor) -> None:
    for own, value in (
        (norm.running_mean, mean),
        (norm.running_var, variance),
        (norm.weight, weight),
        (norm.bias, bias),
    ):
        cast(Tensor, own).copy_(value)


def _refresh_norms(network: nn.Module, windows: Tensor) -> None:
    """Gives batch norms the statistics of `windows`; what they compute stays the same."""

    def measure(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        norm = cast(nn.BatchNorm2d, module)
        mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
        slope = _slopes(norm)
        offset = norm.bias - mean * slope
        variance, mean = torch.var_mean(given[0], dim=(0, 2, 3))
        _set_norm(
            norm, mean=mean, variance=variance, weight=slope * (variance + norm.eps).sqrt(), bias=offset + mean * slope
        )

    hooks = [m.register_forward_pre_hook(measure) for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    network(windows)
    for hook in hooks:
        hook.remove()
