"""OpenVINO on the CPU: the fastest there, in INT8 or bf16 where the model has it and the processor gains by it.

The library itself is used and not its plug-in for ONNX Runtime, which refuses every processor that is not
Intel's (microsoft/onnxruntime#31981); on Intel both take the same time.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path

import openvino
from openvino import properties
from openvino.properties import hint

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Info, to_bytes
from vesselrt.runtime.errors import DeviceError
from vesselrt.runtime.hardware import cpu_name
from vesselrt.runtime.lifetime import start_library
from vesselrt.runtime.manifest import Precision

_TYPES: dict[Precision, openvino.Type] = {
    "f32": openvino.Type.f32,
    "bf16": openvino.Type.bf16,
    "int8": openvino.Type.f32,  # of what the graph leaves in floating point
}
# One for the process, never given back. Its CPU plug-in gives the thread that makes it a stack for signals, and when
# it ends restores the one it found. Of two that end in the order they were made, the second restores the stack of the
# first, which is gone: the next signal ends the process with a segmentation fault (openvino#11894, so in 2026.4.1).
_CORE = openvino.Core()
_SHAPES = 4
"""Window shapes kept compiled. A model compiled for one shape runs a fifth faster than one for all shapes."""


def computed_precisions() -> tuple[Precision, ...]:
    """Those that OpenVINO has instructions for on this processor."""
    start_library("OpenVINO", _CORE)
    has_bf16 = "BF16" in _CORE.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return tuple(precision for precision in _TYPES if has_bf16 or precision != "bf16")


class OpenVinoBackend:
    """One request for each window shape, that owns all threads: two at once would only share the same cores."""

    batch = 1

    def __init__(self, path: Path, precision: Precision, threads: int) -> None:
        """`int8` is for a graph that is INT8, and no other. Raises DeviceError for one that the processor lacks."""
        start_library("OpenVINO", _CORE)  # in a forked child it would wait for the threads of its parent
        if precision not in computed_precisions():
            offered = " or ".join(computed_precisions())
            raise DeviceError(f"this processor ({cpu_name()}) does not compute in {precision}. Use {offered}.")
        self._model = _CORE.read_model(path)
        self._requests: OrderedDict[tuple[int, ...], openvino.InferRequest] = OrderedDict()
        self._lock = threading.Lock()
        version = openvino.__version__.split("-")[0]
        self.info = Info("openvino", version, "cpu", cpu_name(), precision, threads)

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        return map(self._infer, batches)

    def _infer(self, pixels: Image) -> Image:
        with self._lock:  # the answer is read before the next call may overwrite it
            request = self._requests.pop(pixels.shape, None) or self._compile(pixels.shape)
            self._requests[pixels.shape] = request  # now the last to be dropped
            answer = request.infer([pixels], share_inputs=True, share_outputs=True)
            return to_bytes(answer[0])

    def close(self) -> None:
        with self._lock:
            self._requests.clear()
            vars(self).pop("_model", None)

    def _compile(self, shape: tuple[int, ...]) -> openvino.InferRequest:
        """Raises DeviceError when OpenVINO takes another precision than it was told."""
        if len(self._requests) == _SHAPES:
            self._requests.popitem(last=False)
        model = self._model.clone()
        model.reshape(list(shape))
        wanted = _TYPES[self.info.precision]
        compiled = _CORE.compile_model(
            model,
            "CPU",
            {
                # Pinned: OpenVINO's own default changes with the processor.
                hint.inference_precision(): wanted,
                hint.performance_mode(): hint.PerformanceMode.LATENCY,
                properties.num_streams(): 1,
                properties.inference_num_threads(): self.info.threads,
            },
        )
        obtained = compiled.get_property(hint.inference_precision())
        if obtained != wanted:
            raise DeviceError(f"OpenVINO was told to compute in {self.info.precision} and took {obtained}. Use f32.")
        return compiled.create_infer_request()
