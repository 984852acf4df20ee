"""ONNX Runtime: on the CPU it runs everywhere, in f32 or in the INT8 of the graph.

On an NVIDIA GPU it is the road beside TensorRT engines.
"""

import importlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import onnxruntime

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Info, to_bytes
from vesselrt.runtime.errors import DeviceError, first_line
from vesselrt.runtime.hardware import Gpu, cpu_name
from vesselrt.runtime.manifest import Manifest, Precision
from vesselrt.runtime.modelfile import unusable_model

_PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"


class OnnxRuntimeBackend:
    """A session of the CPU provider. Sessions are thread-safe, so calls are not serialised here."""

    batch = 1

    def __init__(self, path: Path, precision: Precision, threads: int) -> None:
        """`int8` is for a graph that is INT8, and no other.

        Raises DeviceError for a precision that it lacks, ModelError for a graph that ONNX Runtime can't use.
        """
        if precision not in ("f32", "int8"):
            raise DeviceError(
                f"ONNX Runtime on the CPU computes in f32 or int8, not {precision}. Use device cpu:openvino, or "
                "precision f32."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong is raised
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - ONNX Runtime has no public error class
            raise unusable_model(path, first_line(error)) from None
        self._input = self._session.get_inputs()[0].name
        self.info = Info("onnxruntime", onnxruntime.__version__, "cpu", cpu_name(), precision, threads)

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        return map(self._infer, batches)

    def _infer(self, pixels: Image) -> Image:
        return to_bytes(self._session.run(None, {self._input: pixels})[0])

    def close(self) -> None:
        vars(self).pop("_session", None)


class OnnxRuntimeGpuBackend:
    """A session on an NVIDIA GPU, that computes in the types of the model file's graph.

    `provider` "cuda" is the one of onnxruntime-gpu. "tensorrt_rtx" is NVIDIA's plug-in for any onnxruntime: it builds
    its engines itself, in seconds, and keeps the kernels in the folder `kernels`, if there is one.
    """

    batch = 4

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        gpu: Gpu,
        provider: Literal["cuda", "tensorrt_rtx"],
        kernels: Path | None = None,
    ) -> None:
        """Raises DeviceError when the provider is not installed or does not start here."""
        self._session = _cuda_session(path) if provider == "cuda" else _plugin_session(path, manifest, kernels)
        self._input, self._output = self._session.get_inputs()[0].name, self._session.get_outputs()[0].name
        name = "onnxruntime" if provider == "cuda" else "onnxruntime with tensorrt_rtx"
        self.info = Info(name, onnxruntime.__version__, "cuda", gpu.name, manifest.precision, 0)

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        return map(self._infer, batches)

    def _infer(self, pixels: Image) -> Image:
        binding = self._session.io_binding()  # one for each call: several threads may use the session
        binding.bind_cpu_input(self._input, pixels)
        binding.bind_output(self._output, "cpu")
        try:
            self._session.run_with_iobinding(binding)
            probability = binding.get_outputs()[0].numpy()
        except Exception as error:  # ONNX Runtime has no public error class
            raise DeviceError(f"the {self.info.device_name} failed: {first_line(error)}") from error
        return to_bytes(probability)

    def close(self) -> None:
        vars(self).pop("_session", None)


def _cuda_session(path: Path) -> onnxruntime.InferenceSession:
    name = "CUDAExecutionProvider"
    if name not in onnxruntime.get_available_providers():
        raise DeviceError(
            f"this onnxruntime {onnxruntime.__version__} is the one without CUDA. "
            "Run: pip uninstall onnxruntime; pip install 'vesselrt[gpu]'"
        )
    onnxruntime.preload_dlls()  # CUDA and cuDNN from their wheels, where they are installed as such
    # HEURISTIC: the default tries out every algorithm, for seconds, at each new shape.
    options = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
    session = onnxruntime.InferenceSession(path, providers=[(name, options)])
    if name not in session.get_providers():  # ONNX Runtime takes the CPU then, with a line in its log
        raise DeviceError(
            f"onnxruntime-gpu {onnxruntime.__version__} can't start CUDA here. It needs CUDA and cuDNN: "
            "pip install 'onnxruntime-gpu[cuda,cudnn]'; see nvidia-smi for the driver."
        )
    session.disable_fallback()
    return session


def _plugin_session(path: Path, manifest: Manifest, kernels: Path | None) -> onnxruntime.InferenceSession:
    try:
        plugin = importlib.import_module(_PLUGIN)
    except ImportError:
        raise DeviceError(
            "the plug-in of TensorRT for RTX is not installed. Run: pip install onnxruntime-ep-nv-tensorrt-rtx-cu13"
        ) from None
    if not hasattr(onnxruntime, "get_ep_devices"):
        raise DeviceError(
            f"onnxruntime {onnxruntime.__version__} takes no plug-ins. Run: pip install 'onnxruntime>=1.23'"
        )
    name = plugin.get_ep_name()
    if not any(device.ep_name == name for device in onnxruntime.get_ep_devices()):
        try:
            onnxruntime.register_execution_provider_library(_PLUGIN, plugin.get_library_path())
        except Exception as error:  # noqa: BLE001 - ONNX Runtime has no public error class
            raise DeviceError(f"{_PLUGIN} does not start here: {str(error).splitlines()[0][:300]}") from None
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == name][:1]
    if not devices:
        raise DeviceError(f"{_PLUGIN} finds no GPU that it serves: an RTX card of the Turing generation or later.")
    sides = (manifest.channel_count, manifest.tile.multiple, manifest.tile.multiple)
    largest = (manifest.channel_count, manifest.tile.size, manifest.tile.size)
    shapes = {"min": (1, *(largest if manifest.tile.fixed else sides)), "opt": (1, *largest)}
    shapes["max"] = (OnnxRuntimeGpuBackend.batch, *largest)
    given = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).get_inputs()[0].name
    options = onnxruntime.SessionOptions()
    options.add_provider_for_devices(
        devices,
        {f"nv_profile_{kind}_shapes": f"{given}:{'x'.join(map(str, shape))}" for kind, shape in shapes.items()}
        | ({} if kernels is None else {"nv_runtime_cache_path": str(kernels)}),
    )
    # No part of the network may silently run on the processor.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return onnxruntime.InferenceSession(path, options)
