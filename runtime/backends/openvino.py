"""OpenVINO on the CPU: the fastest there, in bf16 where the processor has it.

The library itself is used and not its plug-in for ONNX Runtime, which refuses every processor that is not
Intel's (microsoft/onnxruntime#31981); on Intel both take the same time.
"""

import threading
from pathlib import Path

import openvino
from openvino import properties
from openvino.properties import hint

from vesselrt.runtime.backends import Info, to_bytes
from vesselrt.runtime.errors import DeviceError
from vesselrt.runtime.hardware import cpu_name
from vesselrt.runtime.manifest import Precision
from vesselrt.runtime.preparation import Image

_TYPES: dict[Precision, openvino.Type] = {"f32": openvino.Type.f32, "bf16": openvino.Type.bf16}


class OpenVinoBackend:
    """A compiled model with one request that owns all threads: two at once would only share the same cores."""

    batch = 1

    def __init__(self, path: Path, precision: Precision | None, threads: int) -> None:
        """`precision` None: the fastest that the processor computes itself. Raises DeviceError for one it lacks."""
        core = openvino.Core()
        has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = precision or ("bf16" if has_bf16 else "f32")
        if precision not in _TYPES or (precision == "bf16" and not has_bf16):
            offered = "f32 or bf16" if has_bf16 else "f32"
            raise DeviceError(
                f"this processor ({cpu_name()}) does not compute in {precision}. Use precision {offered}."
            )
        self._compiled = core.compile_model(
            core.read_model(path),
            "CPU",
            {
                # Pinned: OpenVINO's own default changes with the processor.
                hint.inference_precision(): _TYPES[precision],
                hint.performance_mode(): hint.PerformanceMode.LATENCY,
                properties.num_streams(): 1,
                properties.inference_num_threads(): threads,
            },
        )
        obtained = self._compiled.get_property(hint.inference_precision())
        if obtained != _TYPES[precision]:
            raise DeviceError(f"OpenVINO was asked for {precision} and took {obtained}. Use precision f32.")
        self._request = self._compiled.create_infer_request()
        self._lock = threading.Lock()
        version = openvino.__version__.split("-")[0]
        self.info = Info("openvino", version, "cpu", cpu_name(), precision, threads)

    def infer(self, pixels: Image) -> Image:
        with self._lock:  # the answer is read before the next call may overwrite it
            answer = self._request.infer([pixels], share_inputs=True, share_outputs=True)
            return to_bytes(answer[0])

    def close(self) -> None:
        with self._lock:
            vars(self).pop("_request", None)
            vars(self).pop("_compiled", None)
