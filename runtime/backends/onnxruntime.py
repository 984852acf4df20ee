"""ONNX Runtime on the CPU: runs everywhere, in f32."""

from pathlib import Path

import onnxruntime

from vesselrt.runtime.backends import Info, to_bytes
from vesselrt.runtime.errors import DeviceError
from vesselrt.runtime.hardware import cpu_name
from vesselrt.runtime.manifest import Precision
from vesselrt.runtime.preparation import Image


class OnnxRuntimeBackend:
    """A session of the CPU provider. Sessions are thread-safe, so calls are not serialised here."""

    batch = 1

    def __init__(self, path: Path, precision: Precision | None, threads: int) -> None:
        """`precision` None: f32, the only one it has. Raises DeviceError for another."""
        if precision not in (None, "f32"):
            raise DeviceError(
                f"ONNX Runtime on the CPU computes in f32, not {precision}. Use device cpu:openvino, or precision f32."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        self.info = Info("onnxruntime", onnxruntime.__version__, "cpu", cpu_name(), "f32", threads)

    def infer(self, pixels: Image) -> Image:
        return to_bytes(self._session.run(None, {self._input: pixels})[0])

    def close(self) -> None:
        vars(self).pop("_session", None)
