"""What `device` and `precision` mean: which backend runs a model on this machine.

    auto                cuda where a GPU and TensorRT run the model, else cpu
    cpu                 the fastest installed of
      cpu:openvino        int8, bf16 or f32: see `fastest_precision`
      cpu:onnxruntime     int8 or f32
    cuda                the first installed of
      cuda:tensorrt_rtx   an engine by TensorRT for RTX: fp16, or f32; compiled once into the cache
      cuda:tensorrt       the same by TensorRT
      cuda:onnxruntime    the CUDA provider of onnxruntime-gpu, in the types of the model file
    cuda:onnxruntime-rtx  NVIDIA's plug-in provider for ONNX Runtime, likewise

A device that you name is used, or refused with the reason. `auto` and the families choose; `Info` says what they chose.
"""

import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast, get_args

from vesselrt.runtime.backends import Backend
from vesselrt.runtime.engines.enginefile import Engine, Flavour, Profile, import_tensorrt, is_engine, read_engine
from vesselrt.runtime.errors import DeviceError, EngineError, ModelError, VesselrtError
from vesselrt.runtime.hardware import Gpu, find_gpu, gains_by_bf16, gains_by_int8
from vesselrt.runtime.manifest import Manifest, Precision
from vesselrt.runtime.modelfile import int8_file, read_manifest, sha256

# Backends are imported where they are opened: each library costs a second, and one of them is used.

logger = logging.getLogger(__name__)

FLAVOURS: tuple[Flavour, ...] = ("tensorrt_rtx", "tensorrt")
Device = Literal[
    "auto", "cpu", "cpu:openvino", "cpu:onnxruntime",
    "cuda", "cuda:tensorrt_rtx", "cuda:tensorrt", "cuda:onnxruntime", "cuda:onnxruntime-rtx",
]  # fmt: skip
DEVICES: tuple[str, ...] = get_args(Device)
AnyPrecision = Literal["auto", "f32", "bf16", "fp16", "int8"]
PRECISIONS: tuple[str, ...] = get_args(AnyPrecision)


def open_backend(
    path: Path, device: str, precision: str, threads: int, *, alone: bool = False
) -> tuple[Manifest, Backend]:
    """Loads a model file or an engine file; the manifest is that of what was loaded.

    `alone`: this very file was meant, and the INT8 file beside it is not looked at.

    Raises ModelError, DeviceError when the device or precision is not available here, and ExportError when compiling
    fails.
    """
    if device not in DEVICES:
        raise DeviceError(f"unknown device {device!r}. Expected one of: {', '.join(DEVICES)}.")
    if precision not in PRECISIONS:
        raise DeviceError(f"unknown precision {precision!r}. Expected one of: {', '.join(PRECISIONS)}.")
    wanted = None if precision == "auto" else cast(Precision, precision)
    if is_engine(path):
        return _open_engine_file(path, device, wanted)
    manifest = read_manifest(path)
    if device == "auto":
        opened = _try_gpu(path, manifest, wanted)
        return opened or _open_on_cpu(path, manifest, "", wanted, threads, alone=alone)
    family, _, library = device.partition(":")
    if family == "cpu":
        return _open_on_cpu(path, manifest, library, wanted, threads, alone=alone)
    return _open_on_gpu(path, manifest, library or _find_gpu_library(), wanted)


def _try_gpu(path: Path, manifest: Manifest, precision: Precision | None) -> tuple[Manifest, Backend] | None:
    """The model on the GPU; None where there is no GPU or it can't run the model, which is logged with the reason."""
    try:
        gpu = find_gpu()
    except DeviceError:
        return None
    library = _find_gpu_library()
    try:
        if library not in FLAVOURS:
            raise DeviceError(f"TensorRT is not installed. {_INSTALL_TENSORRT}")
        return _open_on_gpu(path, manifest, library, precision)
    except VesselrtError as error:
        logger.warning("the %s is not used: %s", gpu.name, error)
        return None


def _open_on_cpu(
    path: Path, manifest: Manifest, library: str, precision: Precision | None, threads: int, *, alone: bool
) -> tuple[Manifest, Backend]:
    if alone and precision == "int8" and manifest.precision != "int8":
        raise DeviceError(
            f"{path}: the SHA-256 names this file, which is {manifest.precision}. Name the INT8 file by its own."
        )
    if precision == "int8" or (precision is None and gains_by_int8() and not alone):
        path, manifest = _int8_or_itself(path, manifest, named=precision == "int8")
    if manifest.precision == "int8" and precision not in (None, "int8"):
        raise DeviceError(f"{path}: its graph is int8, and can't be computed in {precision}. Name the f32 model file.")
    if library != "onnxruntime":
        try:
            from vesselrt.runtime.backends.openvino import OpenVinoBackend, computed_precisions
        except ImportError:
            if library:
                raise DeviceError("device cpu:openvino: OpenVINO is not installed. Run: pip install openvino") from None
        else:
            taken = precision or fastest_precision(manifest, computed_precisions())
            return manifest, OpenVinoBackend(path, taken, threads)
    from vesselrt.runtime.backends.onnxruntime import OnnxRuntimeBackend

    return manifest, OnnxRuntimeBackend(path, precision or fastest_precision(manifest, ("f32", "int8")), threads)


def fastest_precision(manifest: Manifest, computed: Sequence[Precision]) -> Precision:
    """What `auto` takes of a file, of the precisions that a library computes on this processor.

    An INT8 graph is INT8. Of another, bf16 where the processor gains by it and where it was proven for this file:
    where the manifest has its parity.
    """
    if manifest.precision == "int8":
        return "int8"
    proven = "bf16" in computed and "bf16" in manifest.provenance.parity
    return "bf16" if proven and gains_by_bf16() else "f32"


def _int8_or_itself(path: Path, manifest: Manifest, *, named: bool) -> tuple[Path, Manifest]:
    """The INT8 file of a model file where there is one. Raises DeviceError where there is none and it is `named`."""
    if manifest.precision == "int8":
        return path, manifest
    try:
        found = int8_file(path, manifest)
    except ModelError as error:
        if named:
            raise
        logger.warning("the int8 file beside %s is not used: %s", path.name, error)
        found = None
    if found is None and named:
        raise DeviceError(
            f"{path} has no int8 file beside it. Make one: vesselrt convert {path} --precision int8 --data DATA"
        )
    return found or (path, manifest)


def _find_gpu_library() -> str:
    """The library that `cuda` uses. ONNX Runtime is always installed, and says itself when its build is CPU-only."""
    return next((flavour for flavour in FLAVOURS if importlib.util.find_spec(flavour)), "onnxruntime")


def _open_on_gpu(path: Path, manifest: Manifest, library: str, precision: Precision | None) -> tuple[Manifest, Backend]:
    gpu = find_gpu()
    if library in FLAVOURS:
        if precision in ("bf16", "int8"):
            raise DeviceError(
                f"device cuda:{library} computes a model file in fp16 or f32, not {precision}. Name one of them; for "
                "int8 name an engine that was compiled in it."
            )
        engine, file = _cached_engine(path, manifest, library, gpu, precision or "fp16")
        return _open_engine(engine, file, gpu)
    if precision not in (None, manifest.precision):
        raise DeviceError(
            f"device cuda:{library} computes in what the graph of {path} names, {manifest.precision}, not {precision}. "
            "Make a file that names it with: vesselrt convert"
        )
    from vesselrt.runtime.backends.onnxruntime import OnnxRuntimeGpuBackend

    if library == "onnxruntime":
        return manifest, OnnxRuntimeGpuBackend(path, manifest, gpu, "cuda")
    return manifest, OnnxRuntimeGpuBackend(path, manifest, gpu, "tensorrt_rtx", _kernels_folder(path))


def _kernels_folder(path: Path) -> Path | None:
    """Where ONNX Runtime may keep what it compiles of this model; None where nothing can be kept."""
    from vesselrt.runtime.engines.cache import EngineCache

    try:
        return EngineCache().kernels_folder(sha256(path))
    except EngineError as error:
        logger.warning("compiled kernels are not kept, the next start compiles them again: %s", error)
        return None


def _cached_engine(
    path: Path, manifest: Manifest, flavour: Flavour, gpu: Gpu, precision: Precision
) -> tuple[Engine, Path]:
    """The model's engine for this GPU, from the cache, and its file there."""
    from vesselrt.runtime.engines.cache import EngineCache, EngineKey, installed_compiler

    profile = Profile.of(manifest)
    key = EngineKey(sha256(path), flavour, import_tensorrt(flavour).__version__, gpu.target, precision, profile)
    compiler = installed_compiler()
    return EngineCache().get(key, manifest, lambda: compiler(path, [gpu.target], precision, profile.batch[-1], flavour))


_INSTALL_TENSORRT = "Run: pip install 'vesselrt[tensorrt]'"


def _open_engine_file(path: Path, device: str, precision: Precision | None) -> tuple[Manifest, Backend]:
    engine = read_engine(path)
    flavour, computed = engine.header.flavour, engine.manifest.precision
    if device not in ("auto", "cuda", f"cuda:{flavour}"):
        raise DeviceError(f"{path} is an engine for device cuda:{flavour}, not {device}. Name its model file instead.")
    if precision not in (None, computed):
        raise DeviceError(f"{path} is an engine in {computed}, not {precision}. Compile the model again for another.")
    return _open_engine(engine, path, find_gpu())


def _open_engine(engine: Engine, file: Path, gpu: Gpu) -> tuple[Manifest, Backend]:
    from vesselrt.runtime.engines.cache import KERNELS_SUFFIX
    from vesselrt.runtime.engines.preflight import find_obstacles

    found = find_obstacles(engine)
    if found:
        raise DeviceError(f"{file} does not run here: {' '.join(found)}")
    try:
        from vesselrt.runtime.engines.cuda import Cuda
    except ImportError:
        raise DeviceError(f"running engines needs cuda-bindings, which is not installed. {_INSTALL_TENSORRT}") from None
    from vesselrt.runtime.backends.tensorrt import TensorRtBackend

    library = import_tensorrt(engine.header.flavour)
    return engine.manifest, TensorRtBackend(engine, gpu, library, Cuda(), file.with_suffix(KERNELS_SUFFIX))
