"""The network of a model file in PyTorch, for the columns beside vesselrt.

onnx2torch (1.5.15 of August 2024, its last release) does not serve: it imports torchvision, and it does not know the
operation Cast of opset 19 and later, with which every model file begins.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Info
from vesselrt.runtime.errors import DeviceError, ModelError
from vesselrt.runtime.hardware import cpu_name


class Twin(nn.Module):
    """The graph of a model file, run by PyTorch operation by operation."""

    def __init__(
        self,
        path: Path,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        """Computes in `dtype` from the first convolution on; what scales the pixels before it is f32, as in engines.

        Raises ModelError for a graph with an operation, or a form of one, that is not known here.
        """
        super().__init__()
        graph = onnx.load(path).graph
        operations = _list_operations(memory_format)
        unknown = sorted({node.op_type for node in graph.node} - operations.keys())
        if unknown:
            raise ModelError(
                f"{path}: PyTorch's columns do not know the operations {', '.join(unknown)}. Run without them."
            )
        self._input, self._output = graph.input[0].name, graph.output[0].name
        weights = {name for node in graph.node if node.op_type.startswith("Conv") for name in node.input[1:]}
        self._constants: dict[str, Tensor] = {}
        for initializer in graph.initializer:
            constant = torch.from_numpy(numpy_helper.to_array(initializer).copy()).to(device)  # ONNX's are read-only
            if initializer.name in weights:
                layout = memory_format if constant.ndim == 4 else torch.contiguous_format
                constant = constant.to(dtype, memory_format=layout)
            self._constants[initializer.name] = constant
        last = {name: step for step, node in enumerate(graph.node) for name in node.input}
        self._steps = []
        for step, node in enumerate(graph.node):
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            _check_form(node.op_type, attributes, path)
            inputs = list(node.input)
            if node.op_type == "Resize":
                inputs, attributes = inputs[:1], {"scale_factor": self._read_scales(inputs, path)}
            # Memory is given back after the last use, as in a module's `forward`.
            done = [n for n in dict.fromkeys(inputs) if last[n] == step and n not in self._constants]
            self._steps.append((operations[node.op_type], inputs, node.output[0], attributes, done))

    def _read_scales(self, inputs: list[str], path: Path) -> tuple[float, ...]:
        """The factors of height and width. As numbers, so that PyTorch need not ask the GPU for them."""
        scales = self._constants.get(inputs[2]) if len(inputs) == 3 else None  # a fourth input gives sizes instead
        if scales is None:
            raise _unknown_form("Resize", {"inputs": inputs}, path)
        return tuple(scales.tolist()[2:])

    def forward(self, image: Tensor) -> Tensor:
        """(N, C, h, w) of any type, 0..255 → (N, 1, h, w) probability."""
        values = {**self._constants, self._input: image}
        for operation, inputs, output, attributes, done in self._steps:
            values[output] = operation(*(values[name] for name in inputs), **attributes)
            for name in done:
                del values[name]
        return values[self._output]


class TorchBackend:
    """A `Twin` in the place of vesselrt's own backend: everything around the network is the same.

    It is run as one tunes it: NHWC, cuDNN's choice of algorithms by trial, TF32 where f32 convolutions have it by
    default, no gradients, the probability rounded to bytes on the GPU, compiled anew for each shape.
    """

    batch = 4

    def __init__(
        self, path: Path, precision: Literal["f32", "fp16"], *, compiled: bool = False, device: str = "cuda"
    ) -> None:
        """`compiled`: by torch.compile, at the first call. Raises DeviceError without a GPU, ModelError as `Twin`."""
        if device == "cuda" and not torch.cuda.is_available():
            raise DeviceError(f"PyTorch {torch.__version__} finds no GPU here. See nvidia-smi.")
        torch.backends.cudnn.benchmark = True
        dtype = {"f32": torch.float32, "fp16": torch.float16}[precision]
        twin = Twin(path, device, dtype, torch.channels_last).eval()
        self._device, self._network = device, torch.compile(twin, dynamic=False) if compiled else twin
        name, threads = (torch.cuda.get_device_name(), 0) if device == "cuda" else (cpu_name(), torch.get_num_threads())
        self.info = Info("torch.compile" if compiled else "torch", torch.__version__, device, name, precision, threads)

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        return map(self._infer, batches)

    def _infer(self, pixels: Image) -> Image:
        with torch.inference_mode():
            probability: Tensor = self._network(torch.from_numpy(pixels).to(self._device))
            answer: Image = (probability.float() * 255).round().to(torch.uint8).cpu().numpy()  # waits for the GPU
        return answer

    def close(self) -> None:
        vars(self).pop("_network", None)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, **given: Any) -> Tensor:
    stride, padding = given.get("strides", 1), given.get("pads", (0, 0))[:2]
    return functional.conv2d(
        x.to(weight.dtype), weight, bias, stride, padding, given.get("dilations", 1), given.get("group", 1)
    )


def _convolve_transposed(x: Tensor, weight: Tensor, bias: Tensor | None = None, **given: Any) -> Tensor:
    stride, padding, more = given.get("strides", 1), given.get("pads", (0, 0))[:2], given.get("output_padding", 0)
    group, dilation = given.get("group", 1), given.get("dilations", 1)
    return functional.conv_transpose2d(x.to(weight.dtype), weight, bias, stride, padding, more, group, dilation)


def _list_operations(memory_format: torch.memory_format) -> dict[str, Callable[..., Tensor]]:
    def convolution(*inputs: Tensor, **given: Any) -> Tensor:
        # An input of one channel is of both layouts, and what the first convolution makes of it stays in the wrong one.
        return _convolve(*inputs, **given).contiguous(memory_format=memory_format)

    return {
        "Add": torch.add,
        "Cast": lambda x, to: x.float(),  # noqa: ARG005 - `_check_form` lets only this type pass
        "Conv": convolution,
        "ConvTranspose": _convolve_transposed,
        "DepthToSpace": lambda x, blocksize, mode: functional.pixel_shuffle(x, blocksize),  # noqa: ARG005 - `_check_form` too
        "Div": torch.div,
        "Mul": torch.mul,
        "Relu": torch.relu,
        "Resize": functional.interpolate,  # by copies: `_check_form` again
        "Sigmoid": torch.sigmoid,
        "Sub": torch.sub,
    }


def _check_form(operation: str, attributes: dict[str, Any], path: Path) -> None:
    pads = list(attributes.get("pads", (0, 0, 0, 0)))
    automatic = attributes.get("auto_pad", b"NOTSET") != b"NOTSET"
    cast = operation == "Cast" and attributes["to"] != onnx.TensorProto.FLOAT
    shuffle = operation == "DepthToSpace" and attributes.get("mode", b"DCR") != b"CRD"
    copies = {"mode": b"nearest", "coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}
    resize = operation == "Resize" and not copies.items() <= attributes.items()
    if pads[:2] != pads[2:] or automatic or cast or shuffle or resize or "output_shape" in attributes:
        raise _unknown_form(operation, attributes, path)


def _unknown_form(operation: str, attributes: dict[str, Any], path: Path) -> ModelError:
    return ModelError(
        f"{path}: PyTorch's columns do not know this form of {operation}: {attributes}. Run without them."
    )
