"""TensorRT engines on an NVIDIA GPU. TensorRT for RTX and TensorRT have the same interface and share this code.

`lanes` carries batches to the GPU and back. Every answer of TensorRT is checked: it signals failure by False or None,
and it writes an output of any size to the address that it was given.
"""

import contextlib
import logging
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Info
from vesselrt.runtime.backends.lanes import Lanes
from vesselrt.runtime.engines.enginefile import FLAVOUR_NAMES, Engine, proof_from_probability, proof_window
from vesselrt.runtime.errors import DeviceError, EngineError
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.hardware import Gpu

if TYPE_CHECKING:
    from vesselrt.runtime.engines.cuda import Cuda

logger = logging.getLogger(__name__)
T = TypeVar("T")

MAX_PROOF_MISMATCHES = 5
"""Values of a class in an engine's proof that may differ: at an edge, the order in which a GPU sums matters."""


class TensorRtBackend:
    """A loaded engine and its lanes."""

    def __init__(self, engine: Engine, gpu: Gpu, library: Any, cuda: "Cuda", kernels: Path | None = None) -> None:
        """`library` is the module that the engine's header names; `kernels` a file that keeps the kernels which
        TensorRT for RTX compiles for this GPU, so that the next start finds them.

        Raises EngineError when TensorRT does not take the engine or this GPU gives other results than the processor
        that made it, DeviceError when its memory does not suffice for one window or it fails. Then nothing of it is
        left on the GPU.
        """
        header = engine.header
        self.info = Info(header.flavour, header.version, "cuda", gpu.name, engine.manifest.precision, 0)
        with contextlib.ExitStack() as undo:
            self._engine_in_library = _LoadedEngine(engine, library, kernels)
            undo.callback(self._engine_in_library.close)
            self._lanes = Lanes(self._engine_in_library, cuda, gpu.name)
            undo.callback(self._lanes.close)
            self.batch = self._lanes.batch
            self._prove(engine)
            self._engine_in_library.keep_kernels()
            undo.pop_all()

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        return self._lanes.infer(batches)

    def close(self) -> None:
        self._lanes.close()
        self._engine_in_library.close()

    def _prove(self, engine: Engine) -> None:
        """Runs the window that the engine file knows the answer to: NaN and overflow show here, not in a patient."""
        profile, manifest = engine.header.profile, engine.manifest
        window = proof_window(manifest.colour_count, profile.tile, manifest.preparation.normalise)
        batch = np.repeat(window[None], profile.batch[0], axis=0)
        found = proof_from_probability(next(self.infer([batch]))[0]).astype(int)
        allowed = engine.manifest.allowed(engine.manifest.precision)
        off = abs(found - engine.header.proven) > math.ceil(255 * allowed) + 1  # + 1: each side is rounded
        if off.sum() > MAX_PROOF_MISMATCHES * self._engine_in_library.classes:
            raise EngineError(
                f"this {self.info.device_name} gives other probabilities than the processor that made the engine: "
                f"{off.sum()} of {off.size} differ by more than {allowed:g}. Compile the model with --precision f32."
            )


class _LoadedEngine:
    """An engine inside TensorRT: the `GpuNetwork` of its lanes."""

    def __init__(self, engine: Engine, library: Any, kernels: Path | None) -> None:
        self.profile, self.channels = engine.header.profile, engine.manifest.channel_count
        self.classes = len(engine.manifest.classes)
        self._log = make_logger(library)
        self._name = f"{FLAVOUR_NAMES[engine.header.flavour]} {engine.header.version}"
        try:
            self._runtime = library.Runtime(self._log)
        except TypeError:  # pybind11's error when the constructor returns null
            raise DeviceError(
                f"{self._name} does not start: {self._log.reason()}. See nvidia-smi for the driver and the GPU's state."
            ) from None
        self._engine = self.require(self._runtime.deserialize_cuda_engine(engine.plan), "does not load the engine")
        self.input, self.output = self._find_tensors(library)
        self._config = self.require(self._engine.create_runtime_config(), "can't prepare the engine")
        self._config.set_execution_context_allocation_strategy(library.ExecutionContextAllocationStrategy.USER_MANAGED)
        self._cache, self._kernels, self._kept = None, kernels, b""
        if engine.header.flavour == "tensorrt_rtx":
            # A graph keeps the kernels that it was captured with, so they must be the final ones.
            strategies = library.DynamicShapesKernelSpecializationStrategy
            self._config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
            self._cache = self.require(self._config.create_runtime_cache(), "can't keep kernels")
            self._read_kernels()
            self.require(self._config.set_runtime_cache(self._cache), "can't keep kernels")

    def prepare(self, size: int, image: int, probability: int, stream: int) -> "_Step":
        """As `GpuNetwork.prepare`."""
        return _Step(self, (size, image, probability, stream))

    def context(self) -> Any:
        """A new execution context, without memory of its own."""
        return self.require(self._engine.create_execution_context(self._config), "can't prepare the engine")

    def require(self, value: T | None, otherwise: str) -> T:
        """The value. Raises EngineError with TensorRT's reason when it is None or False."""
        if value is None or value is False:
            raise EngineError(f"{self._name} {otherwise}: {self._log.reason()}. Compile the model again.")
        return value

    def keep_kernels(self) -> None:
        """Writes the kernels if some were compiled here. Without this file the next start only takes longer."""
        if self._cache is None or self._kernels is None:
            return
        try:
            kernels = bytes(self._cache.serialize())
            if kernels != self._kept:
                with atomic_write(self._kernels) as name:
                    name.write_bytes(kernels)
        except (OSError, TypeError) as error:  # bytes(None): TensorRT has none to give
            logger.warning("compiled kernels are not kept, the next start compiles them again: %s", error)

    def close(self) -> None:
        # In this order: each object refers to the next.
        self._cache = self._config = self._engine = self._runtime = None

    def _find_tensors(self, library: Any) -> tuple[str, str]:
        """Names of the input and the output. Raises EngineError unless they are one each, and bytes."""
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = [n for n in names if self._engine.get_tensor_mode(n) == library.TensorIOMode.INPUT]
        kinds = {self._engine.get_tensor_dtype(name) for name in names}
        if (len(inputs), len(names)) != (1, 2) or kinds != {library.DataType.UINT8}:
            raise EngineError("the engine does not take and give bytes. Compile the model again with: vesselrt compile")
        return inputs[0], next(name for name in names if name != inputs[0])

    def _read_kernels(self) -> None:
        found = None
        if self._kernels is not None:
            with contextlib.suppress(OSError):
                found = self._kernels.read_bytes()
        if found is None:
            logger.info("compiling kernels for this GPU, once")
        elif self._cache is not None and self._cache.deserialize(found):  # it checks the GPU, the driver and the bytes
            self._kept = found
        else:
            logger.warning("%s: kernels of another GPU or driver, or damaged. They are compiled again.", self._kernels)


class _Step:
    """An execution context of one shape: the `Step` of a lane."""

    def __init__(self, loaded: _LoadedEngine, place: tuple[int, int, int, int]) -> None:
        """`place`: size of the batch, addresses of image and probability, stream."""
        self._engine_in_library, self._context = loaded, loaded.context()
        size, image, probability, stream = place
        context, tile = self._context, loaded.profile.tile
        given, expected = (size, loaded.channels, tile, tile), (size, loaded.classes, tile, tile)
        loaded.require(context.set_optimization_profile_async(0, stream), "can't prepare the engine")
        loaded.require(context.set_input_shape(loaded.input, given), f"takes no windows of shape {given}")
        found = tuple(context.get_tensor_shape(loaded.output))
        if found != expected:  # TensorRT would write beyond the memory that is there for it
            raise EngineError(
                f"of windows of shape {given} the engine gives {found}. Expected {expected}: a probability of each "
                "class. Export the model again, and compile it."
            )
        for name, address in ((loaded.input, image), (loaded.output, probability)):
            loaded.require(context.set_tensor_address(name, address), "can't prepare the engine")
        self.scratch = int(context.update_device_memory_size_for_shapes())

    def use(self, scratch: int) -> None:
        self._context.set_device_memory(scratch, self.scratch)

    def run(self, stream: int) -> None:
        self._engine_in_library.require(self._context.execute_async_v3(stream), "can't run the engine")

    def is_capturable(self, stream: int) -> bool:
        asked = getattr(self._context, "is_stream_capturable", None)  # TensorRT itself does not tell
        return asked is None or bool(asked(stream))


def make_logger(library: Any) -> Any:
    """A logger for `library` that keeps TensorRT's errors for `reason()` and prints nothing."""

    class Log(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (library.ILogger.ERROR, library.ILogger.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split()))

        def reason(self) -> str:
            """The first error: the cause of the others."""
            return self.errors[0].rstrip(".") if self.errors else "it gives no reason"

    return Log()
