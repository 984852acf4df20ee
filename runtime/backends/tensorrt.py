"""TensorRT engines on an NVIDIA GPU. TensorRT for RTX and TensorRT are two modules with one interface, and share this.

    window ─► page-locked ─► GPU ─► network ─► GPU ─► page-locked ─► answer
                 └──────── one CUDA graph, one launch ────────┘

A lane is everything that one batch needs on this way. Lanes run beside each other: while one computes, the next one's
windows are cut and copied, for one photograph as for several. All memory is taken and all kernels are made when the
engine is loaded, so that what was loaded keeps running, and the first photograph is as fast as the last.
"""

import contextlib
import logging
import math
import queue
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vesselrt.runtime.backends import Info
from vesselrt.runtime.engine import NAMES, Engine, Profile, proof_of, proof_window
from vesselrt.runtime.errors import DeviceError, EngineError, OptionError
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.hardware import Gpu
from vesselrt.runtime.photo.preparation import Image

if TYPE_CHECKING:
    from vesselrt.runtime.cuda import Cuda

logger = logging.getLogger(__name__)

LANES = 4
"""Batches on their way at once."""
AHEAD = 2
"""Of them, for one photograph: the one that computes, and the one that is copied."""
STEEP = 5
"""Places of an engine's proof that may be off: where a probability is steep, GPUs sum in an order of their own."""


class TensorRtBackend:
    """A loaded engine and its lanes."""

    def __init__(self, engine: Engine, gpu: Gpu, library: Any, cuda: "Cuda", kernels: Path | None = None) -> None:
        """`library` is the module that the engine's header names; `kernels` a file that keeps the kernels which
        TensorRT for RTX compiles for this GPU, so that the next start finds them.

        Raises EngineError when TensorRT does not take the engine or this GPU gives other results than the processor
        that made it, DeviceError when its memory does not suffice for one window.
        """
        header = engine.header
        self.info = Info(header.flavour, header.version, "cuda", gpu.name, engine.manifest.precision, 0)
        self._cuda, self._profile = cuda, header.profile
        self._loaded = _Loaded(engine, library, kernels)
        self._lanes: queue.SimpleQueue[_Lane] = queue.SimpleQueue()
        self.batch, lanes = self._make_lanes(header.profile)
        for lane in lanes:
            self._lanes.put(lane)
        try:
            self._prove(engine)
        except EngineError:
            self.close()
            raise
        self._loaded.keep_kernels()

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        working: deque[_Lane] = deque()  # of this call, the oldest first
        try:
            for pixels in batches:
                self._check(pixels)
                lane = self._free_lane(wait=not working) if len(working) < AHEAD else None
                if lane is not None:
                    working.append(lane)
                    lane.start(pixels)
                else:  # the oldest of our own serves again, and works on while its answer is used
                    answer = working[0].answer()
                    working[0].start(pixels)
                    working.rotate(-1)
                    yield answer
            while working:
                answer = working[0].answer()
                self._lanes.put(working.popleft())
                yield answer
        finally:  # the caller may leave in the middle
            for lane in working:
                lane.wait()
                self._lanes.put(lane)

    def close(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._lanes.get_nowait().close()
        self._loaded.close()

    def _free_lane(self, *, wait: bool) -> "_Lane | None":
        try:
            return self._lanes.get(block=wait)
        except queue.Empty:
            return None

    def _check(self, pixels: Image) -> None:
        count, _, height, width = pixels.shape
        tile = self._profile.tile
        if count > self.batch or (height, width) != (tile, tile):
            raise OptionError(
                f"{count} windows of {height} × {width} pixels at once. This engine takes up to {self.batch} "
                f"of {tile} × {tile}. Compile it with another --max-batch."
            )

    def _prove(self, engine: Engine) -> None:
        """Runs the window that the engine file knows the answer to: NaN and overflow show here, not in a patient."""
        window = proof_window(self._loaded.channels, self._profile.tile)
        batch = np.repeat(window[None], self._profile.batch[0], axis=0)
        found = proof_of(next(self.infer([batch]))[0, 0]).astype(int)
        allowed = engine.manifest.allowed(engine.manifest.precision)
        off = abs(found - engine.header.proven) > math.ceil(255 * allowed) + 1  # + 1: each side is rounded
        if off.sum() > STEEP:
            raise EngineError(
                f"this {self.info.device_name} gives other probabilities than the processor that made the engine: "
                f"{off.sum()} of {off.size} differ by more than {allowed:g}. Compile the model with --precision f32."
            )

    def _make_lanes(self, profile: Profile) -> tuple[int, list["_Lane"]]:
        """Lanes for the largest batch that the GPU's memory holds, and that batch."""
        batch = profile.batch[-1]
        lanes: list[_Lane] = []
        while not lanes:
            try:
                while len(lanes) < LANES:
                    lanes.append(_Lane(self._loaded, self._cuda, batch))
            except MemoryError:
                if lanes:
                    logger.warning("the GPU's memory holds %d of %d lanes", len(lanes), LANES)
                elif batch == profile.batch[0]:
                    raise DeviceError(
                        f"the GPU's memory does not suffice for {batch} window(s) of {profile.tile} px. "
                        "See in nvidia-smi what else uses it, or compile the model with a smaller tile."
                    ) from None
                else:
                    halved = max(batch // 2, profile.batch[0])
                    logger.warning("the GPU's memory does not hold batches of %d: halved to %d", batch, halved)
                    batch = halved
        return batch, lanes


class _Loaded:
    """An engine inside TensorRT, and how contexts are made of it."""

    def __init__(self, engine: Engine, library: Any, kernels: Path | None) -> None:
        self.library, self.profile = library, engine.header.profile
        self._log = log_of(library)
        self._name = f"{NAMES[engine.header.flavour]} {engine.header.version}"
        self._runtime = library.Runtime(self._log)
        self._engine = self._runtime.deserialize_cuda_engine(engine.plan)
        if self._engine is None:
            raise EngineError(f"{self._name} does not load the engine: {self._log.reason()}. Compile the model again.")
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        inputs = [n for n in names if self._engine.get_tensor_mode(n) == library.TensorIOMode.INPUT]
        kinds = {self._engine.get_tensor_dtype(name) for name in names}
        if (len(inputs), len(names)) != (1, 2) or kinds != {library.DataType.UINT8}:
            raise EngineError("the engine does not take and give bytes. Compile the model again with: vesselrt compile")
        self.input, self.output = inputs[0], next(name for name in names if name != inputs[0])
        self.channels = engine.manifest.channel_count
        self._config = self._engine.create_runtime_config()
        self._config.set_execution_context_allocation_strategy(library.ExecutionContextAllocationStrategy.USER_MANAGED)
        self._cache, self._kernels, self._kept = None, kernels, b""
        if engine.header.flavour == "tensorrt_rtx":
            # A graph keeps the kernels that it was captured with: they must be the final ones from the start.
            strategies = library.DynamicShapesKernelSpecializationStrategy
            self._config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
            self._cache = self._config.create_runtime_cache()
            self._read_kernels()
            self._config.set_runtime_cache(self._cache)

    def context(self) -> Any:
        """A new execution context, without memory of its own."""
        context = self._engine.create_execution_context(self._config)
        if context is None:
            raise EngineError(f"{self._name} can't prepare the engine: {self._log.reason()}. Compile the model again.")
        return context

    def run(self, context: Any, stream: int) -> None:
        """Puts the network on the stream. Raises EngineError."""
        if not context.execute_async_v3(stream):
            raise EngineError(f"{self._name} can't run the engine: {self._log.reason()}. Compile the model again.")

    def keep_kernels(self) -> None:
        """Writes the kernels, if some were compiled here; without the file the next start only takes longer."""
        if self._cache is None or self._kernels is None:
            return
        kernels = bytes(self._cache.serialize())
        if kernels == self._kept:
            return
        try:
            with atomic_write(self._kernels) as name:
                name.write_bytes(kernels)
        except OSError as error:
            logger.warning("compiled kernels are not kept, the next start compiles them again: %s", error)

    def close(self) -> None:
        # In this order: each one refers to the next.
        self._cache = self._config = self._engine = self._runtime = None

    def _read_kernels(self) -> None:
        if self._kernels is None or not self._kernels.is_file():
            logger.info("compiling kernels for this GPU, once")
            return
        found = self._kernels.read_bytes()
        if self._cache is not None and self._cache.deserialize(found):  # it checks the GPU, the driver and the bytes
            self._kept = found
        else:
            logger.warning("%s: kernels of another GPU or driver, or damaged. They are compiled again.", self._kernels)


class _Lane:
    """One batch on its way: a stream, the memory it needs, and a CUDA graph for each size that a batch may have.

    Batches of other sizes run as the next larger one; what the windows beyond hold is not looked at.
    """

    def __init__(self, loaded: _Loaded, cuda: "Cuda", batch: int) -> None:
        """Raises MemoryError when the GPU has no room for it; then nothing of it is left."""
        self._cuda, self._loaded, self._count = cuda, loaded, 0
        side = loaded.profile.tile
        with contextlib.ExitStack() as resources:
            self._stream = cuda.create_stream()
            resources.callback(cuda.destroy_stream, self._stream)
            self._given = self._page_locked(resources, (batch, loaded.channels, side, side))
            self._found = self._page_locked(resources, (batch, 1, side, side))
            self._image = self._on_gpu(resources, self._given.nbytes)
            self._probability = self._on_gpu(resources, self._found.nbytes)
            # A context may not change while a graph of it is in use, so each size has its own.
            contexts = {size: self._context(size) for size in sizes(loaded.profile.batch[0], batch)}
            needed = max(c.update_device_memory_size_for_shapes() for c in contexts.values())
            scratch = self._on_gpu(resources, max(needed, 1))  # only one of them runs at a time
            resources.callback(cuda.synchronize, self._stream)  # before memory goes that it may still work on
            self._contexts = contexts
            self._graphs: dict[int, int | None] = {}
            for size, context in contexts.items():
                context.set_device_memory(scratch, needed)
                graph = self._graphs[size] = self._record(size)
                if graph is not None:
                    resources.callback(cuda.destroy_graph, graph)
            self._resources = resources.pop_all()

    def start(self, pixels: Image) -> None:
        """Begins with a batch, (N, C, h, w) uint8."""
        self._count = len(pixels)
        self._given[: self._count] = pixels
        size = next(size for size in self._graphs if size >= self._count)
        graph = self._graphs[size]
        if graph is None:
            self._enqueue(size)
        else:
            self._cuda.launch(graph, self._stream)

    def answer(self) -> Image:
        """Waits for the batch; (N, 1, h, w) uint8."""
        self.wait()
        return self._found[: self._count].copy()

    def wait(self) -> None:
        """Until the lane has nothing to do."""
        self._cuda.synchronize(self._stream)

    def close(self) -> None:
        del self._contexts, self._given, self._found
        self._resources.close()

    def _page_locked(self, resources: contextlib.ExitStack, shape: tuple[int, ...]) -> Image:
        array = self._cuda.allocate_host(shape)
        resources.callback(self._cuda.free_host, array)
        return array

    def _on_gpu(self, resources: contextlib.ExitStack, size: int) -> int:
        address = self._cuda.allocate(size)
        resources.callback(self._cuda.free, address)
        return address

    def _context(self, size: int) -> Any:
        loaded, context = self._loaded, self._loaded.context()
        context.set_optimization_profile_async(0, self._stream)
        context.set_input_shape(loaded.input, (size, *self._given.shape[1:]))
        context.set_tensor_address(loaded.input, self._image)
        context.set_tensor_address(loaded.output, self._probability)
        return context

    def _record(self, size: int) -> int | None:
        """The graph of a batch; None where TensorRT can't have this network captured."""
        # Once outside of a graph: TensorRT compiles and prepares at the first run.
        self._enqueue(size)
        self.wait()
        context = self._contexts[size]
        if hasattr(context, "is_stream_capturable") and not context.is_stream_capturable(self._stream):
            logger.warning("TensorRT can't have this network captured: it runs without CUDA graphs")
            return None
        return self._cuda.capture(self._stream, lambda: self._enqueue(size))

    def _enqueue(self, size: int) -> None:
        self._cuda.copy_in(self._image, self._given[:size], self._stream)
        self._loaded.run(self._contexts[size], self._stream)
        self._cuda.copy_out(self._found[:size], self._probability, self._stream)


def sizes(least: int, most: int) -> list[int]:
    """Sizes of batches that are kept ready, rising: the least, it doubled as often as it goes, and the most."""
    rising = [least]
    while rising[-1] * 2 < most:
        rising.append(rising[-1] * 2)
    return rising if most == least else [*rising, most]


def log_of(library: Any) -> Any:
    """A logger for `library` that keeps what TensorRT complains of, for `reason()`, and prints nothing."""

    class Log(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (library.ILogger.ERROR, library.ILogger.INTERNAL_ERROR):
                self.errors.append(" ".join(message.split()))

        def reason(self) -> str:
            """The first complaint: the cause of the others."""
            return self.errors[0].rstrip(".") if self.errors else "it gives no reason"

    return Log()
