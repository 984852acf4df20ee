"""How batches travel to a GPU and back, whatever network runs there.

    window ─► page-locked ─► GPU ─► network ─► GPU ─► page-locked ─► answer
                 └──────── one CUDA graph, one launch ────────┘

A lane holds everything that one batch needs on this way. Lanes run in parallel: while one computes, the windows of the
next are cut and copied, whether they come from one photograph or from several. All memory is allocated and all kernels
are compiled when the lanes are made. So a model that was loaded keeps running, and the first photograph is as fast as
the last.

A lane is always released, whatever happens on it. When the GPU fails, CUDA refuses every later call of the process.
The lanes are then broken: every call raises, and no thread waits.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.engines.enginefile import Profile
from vesselrt.runtime.errors import DeviceError, OptionError, first_line

if TYPE_CHECKING:
    from vesselrt.runtime.engines.cuda import Cuda

logger = logging.getLogger(__name__)

LANES = 4
"""Batches in flight at once."""
MAX_LANES_PER_CALL = 2
"""Of these, for one photograph: one computes while the other is copied."""


class GpuStep(Protocol):
    """A network prepared for batches of one size, with fixed addresses of input and output on the GPU."""

    scratch: int
    """Bytes of GPU memory that it needs while it runs."""

    def use(self, scratch: int) -> None:
        """Sets the address of these bytes. Others may use them between two runs."""
        ...

    def run(self, stream: int) -> None:
        """Puts the network on the stream. Raises EngineError."""
        ...

    def is_capturable(self, stream: int) -> bool:
        """Whether a CUDA graph can capture it; called after the first run."""
        ...


class GpuNetwork(Protocol):
    """What runs on the GPU: (N, channels, tile, tile) uint8 → (N, classes, tile, tile) uint8."""

    profile: Profile
    channels: int
    classes: int

    def prepare(self, size: int, image: int, probability: int, stream: int) -> GpuStep:
        """Prepares batches of `size` windows: read at address `image`, answers at `probability`. Raises EngineError."""
        ...


class Lanes:
    """The lanes of one network. `infer` may be called from several threads."""

    def __init__(self, network: GpuNetwork, cuda: "Cuda", gpu: str) -> None:
        """Makes as many lanes, for as large a batch, as the GPU's memory holds. `gpu` is its name, for messages.

        Raises DeviceError when the memory is too small for one window, EngineError when the network can't be prepared.
        """
        self._window_shape, self._gpu = (network.channels, network.profile.tile, network.profile.tile), gpu
        self._condition = threading.Condition()
        self._failure, self._closed = "", False
        self.batch, self._free = _make_lanes(network, cuda)

    @property
    def free(self) -> int:
        """Number of lanes that are not in use."""
        return len(self._free)

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        """As `Backend.infer`. Raises OptionError for a batch that the network does not take, DeviceError when the GPU
        fails, failed before, or the model was closed.
        """
        working: deque[Lane] = deque()  # those of this call, the oldest first
        try:
            for pixels in batches:
                self._check_batch(pixels)
                lane = self._acquire(wait=not working) if len(working) < MAX_LANES_PER_CALL else None
                if lane is not None:
                    working.append(lane)
                    with self._breaking_on_error():
                        lane.start(pixels)
                else:  # reuse our oldest lane: it computes while the caller uses its answer
                    with self._breaking_on_error():
                        answer = working[0].answer()
                        working[0].start(pixels)
                    working.rotate(-1)
                    yield answer
            while working:
                with self._breaking_on_error():
                    answer = working[0].answer()
                self._release(working.popleft())
                yield answer
        finally:  # the caller may stop in the middle
            with contextlib.ExitStack() as each:  # each lane is released even if another one fails
                for lane in working:
                    each.callback(self._finish, lane)

    def close(self) -> None:
        """Frees everything; a lane in use is freed when its batch is done."""
        with self._condition:
            self._failure = self._failure or "The model was closed: load it again."
            self._closed, free, self._free = True, self._free, deque()
            self._condition.notify_all()
        for lane in free:
            lane.close()

    def _check_batch(self, pixels: Image) -> None:
        count, *shape = pixels.shape
        if count > self.batch or tuple(shape) != self._window_shape:
            given, taken = (f"{h} × {w} pixels and {c} channel(s)" for c, h, w in (shape, self._window_shape))
            raise OptionError(
                f"{count} windows of {given} at once. This engine takes up to {self.batch} of {taken}. "
                "Compile it with another --max-batch."
            )

    def _acquire(self, *, wait: bool) -> "Lane | None":
        """A free lane; None when none is free and `wait` is false. Raises DeviceError."""
        with self._condition:
            self._condition.wait_for(lambda: self._free or self._failure or not wait)
            if self._failure:
                raise DeviceError(self._failure)
            return self._free.popleft() if self._free else None

    def _release(self, lane: "Lane") -> None:
        with self._condition:
            if not self._closed:
                self._free.append(lane)
                self._condition.notify()
                return
        lane.close()

    def _finish(self, lane: "Lane") -> None:
        """Releases a lane that may still be working. The next call raises its error: this call has ended already."""
        try:
            with contextlib.suppress(DeviceError), self._breaking_on_error():
                lane.wait()
        finally:
            self._release(lane)

    @contextlib.contextmanager
    def _breaking_on_error(self) -> Iterator[None]:
        """Around work on the GPU: an error breaks all lanes. Raises DeviceError."""
        try:
            yield
        except Exception as error:
            with self._condition:
                self._failure = self._failure or (
                    f"The {self._gpu} failed: {first_line(error).rstrip('.')}. "
                    "It is not used any more in this process: start that again."
                )
                self._condition.notify_all()
            raise DeviceError(self._failure) from error


class Lane:
    """One batch in flight: a stream, its memory, and a CUDA graph for each size of batch.

    A batch of another size runs as the next larger one; the results of the extra windows are ignored.
    """

    def __init__(self, network: GpuNetwork, cuda: "Cuda", batch: int) -> None:
        """Raises MemoryError when the GPU has no room for it, and what `prepare` and `run` raise; nothing of it is left
        then.
        """
        self._cuda, self._count = cuda, 0
        side = network.profile.tile
        with contextlib.ExitStack() as resources:
            self._stream = cuda.create_stream()
            _free_at_end(resources, cuda.destroy_stream, self._stream)
            self._input = self._allocate_page_locked(resources, (batch, network.channels, side, side))
            self._output = self._allocate_page_locked(resources, (batch, network.classes, side, side))
            self._image = self._allocate_on_gpu(resources, self._input.nbytes)
            self._probability = self._allocate_on_gpu(resources, self._output.nbytes)
            # A captured graph must not change while it is in use, so each size has its own.
            self._steps = {
                size: network.prepare(size, self._image, self._probability, self._stream)
                for size in batch_sizes(network.profile.batch[0], batch)
            }
            # Only one of them runs at a time, so they share their scratch memory.
            scratch = self._allocate_on_gpu(resources, max(1, *(step.scratch for step in self._steps.values())))
            # Wait before freeing memory that the stream may still use.
            _free_at_end(resources, cuda.synchronize, self._stream)
            self._graphs: dict[int, int | None] = {}
            for size, step in self._steps.items():
                step.use(scratch)
                graph = self._graphs[size] = self._capture_graph(size)
                if graph is not None:
                    _free_at_end(resources, cuda.destroy_graph, graph)
            self._resources = resources.pop_all()

    def start(self, pixels: Image) -> None:
        """Starts a batch, (N, C, h, w) uint8, and does not wait for it."""
        self._count = len(pixels)
        self._input[: self._count] = pixels
        size = next(size for size in self._graphs if size >= self._count)
        graph = self._graphs[size]
        if graph is None:
            self._enqueue(size)
        else:
            self._cuda.launch(graph, self._stream)

    def answer(self) -> Image:
        """Waits for the batch; its probability, (N, K, h, w) uint8, is a copy of the caller's own."""
        self.wait()
        return self._output[: self._count].copy()

    def wait(self) -> None:
        """Returns when the lane has nothing left to do."""
        self._cuda.synchronize(self._stream)

    def close(self) -> None:
        """Frees everything. The lane must not be used after this."""
        del self._input, self._output
        self._resources.close()
        del self._steps

    def _allocate_page_locked(self, resources: contextlib.ExitStack, shape: tuple[int, ...]) -> Image:
        array = self._cuda.allocate_host(shape)
        _free_at_end(resources, self._cuda.free_host, array)
        return array

    def _allocate_on_gpu(self, resources: contextlib.ExitStack, size: int) -> int:
        address = self._cuda.allocate(size)
        _free_at_end(resources, self._cuda.free, address)
        return address

    def _capture_graph(self, size: int) -> int | None:
        """The CUDA graph for one size of batch; None where the network can't be captured."""
        # Run once without a graph: TensorRT compiles and prepares at the first run.
        self._enqueue(size)
        self.wait()
        if not self._steps[size].is_capturable(self._stream):
            logger.warning("TensorRT can't have this network captured: it runs without CUDA graphs")
            return None
        return self._cuda.capture(self._stream, lambda: self._enqueue(size))

    def _enqueue(self, size: int) -> None:
        self._cuda.copy_in(self._image, self._input[:size], self._stream)
        self._steps[size].run(self._stream)
        self._cuda.copy_out(self._output[:size], self._probability, self._stream)


def batch_sizes(least: int, most: int) -> list[int]:
    """Sizes of batches that get a graph, rising: `least`, doubled as often as possible, and `most`."""
    rising = [least]
    while rising[-1] * 2 < most:
        rising.append(rising[-1] * 2)
    return rising if most == least else [*rising, most]


def _make_lanes(network: GpuNetwork, cuda: "Cuda") -> tuple[int, deque[Lane]]:
    """The largest batch that the GPU's memory holds, and lanes for it."""
    least, batch = network.profile.batch[0], network.profile.batch[-1]
    lanes: deque[Lane] = deque()
    with contextlib.ExitStack() as undo:
        while not lanes:
            try:
                while len(lanes) < LANES:
                    lanes.append(Lane(network, cuda, batch))
                    undo.callback(lanes[-1].close)
            except MemoryError:
                if lanes:
                    logger.warning("the GPU's memory holds %d of %d lanes", len(lanes), LANES)
                elif batch == least:
                    raise DeviceError(
                        f"the GPU's memory does not suffice for {batch} window(s) of {network.profile.tile} px. "
                        "See in nvidia-smi what else uses it, or compile the model with a smaller tile."
                    ) from None
                else:
                    halved = max(batch // 2, least)
                    logger.warning("the GPU's memory does not hold batches of %d: halved to %d", batch, halved)
                    batch = halved
        undo.pop_all()
    return batch, lanes


def _free_at_end(resources: contextlib.ExitStack, free: Callable[[Any], None], resource: Any) -> None:
    """Calls `free(resource)` at the end. A failed GPU refuses; the driver frees everything when the process ends."""

    def release() -> None:
        try:
            free(resource)
        except Exception as error:  # noqa: BLE001 - the rest must be freed all the same
            logger.debug("the GPU did not give %s back: %s", resource, first_line(error))

    resources.callback(release)
