"""A GPU that is a few dictionaries: its streams do their work when they are waited for, no sooner.

What must not be touched while it is in use is asserted not to be.
"""

from collections.abc import Callable

import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import DeviceError

Work = Callable[[], None]


class FakeCuda:
    """`vesselrt.runtime.engines.cuda.Cuda` without a GPU; `calls` has what was asked of it."""

    def __init__(self, memory: int = 1 << 40) -> None:
        self.room = self.memory = memory
        self.device: dict[int, Image] = {}
        self.host: list[Image] = []
        self.streams: dict[int, list[Work]] = {}
        self.graphs: dict[int, list[Work]] = {}
        self.capturing: list[Work] | None = None
        self.calls: list[str] = []
        self.last, self.fails = 0, False

    @property
    def in_use(self) -> int:
        return self.memory - self.room + len(self.host) + len(self.streams) + len(self.graphs)

    def put(self, stream: int, work: Work) -> None:
        (self.streams[stream] if self.capturing is None else self.capturing).append(work)

    def allocate(self, size: int) -> int:
        if size > self.room:
            raise MemoryError
        self.room -= size
        self.device[address := self._number()] = np.zeros(size, np.uint8)
        return address

    def free(self, address: int) -> None:
        self.room += len(self.device.pop(address))

    def allocate_host(self, shape: tuple[int, ...]) -> Image:
        self.host.append(np.full(shape, 99, np.uint8))
        return self.host[-1]

    def free_host(self, array: Image) -> None:
        self.host = [other for other in self.host if other is not array]

    def create_stream(self) -> int:
        self.streams[stream := self._number()] = []
        return stream

    def destroy_stream(self, stream: int) -> None:
        assert self.streams.pop(stream) == []

    def synchronize(self, stream: int) -> None:
        self.calls.append("wait")
        if self.fails:
            self.streams[stream].clear()
            raise DeviceError("it fell off the bus")
        for work in self.streams[stream]:
            work()
        self.streams[stream].clear()

    def copy_in(self, address: int, array: Image, stream: int) -> None:
        def work() -> None:
            self.device[address][: array.size] = array.reshape(-1)

        self.put(stream, work)

    def copy_out(self, array: Image, address: int, stream: int) -> None:
        def work() -> None:
            array[:] = self.device[address][: array.size].reshape(array.shape)

        self.put(stream, work)

    def capture(self, stream: int, work: Work) -> int:
        assert self.streams[stream] == []
        self.capturing = recorded = list[Work]()
        try:
            work()
        finally:
            self.capturing = None
        self.graphs[graph := self._number()] = recorded
        self.calls.append(f"capture of {len(recorded)}")
        return graph

    def launch(self, graph: int, stream: int) -> None:
        assert self.streams[stream] == [], "the lane is at work"
        self.calls.append("launch")
        self.streams[stream] += self.graphs[graph]

    def destroy_graph(self, graph: int) -> None:
        del self.graphs[graph]

    def _number(self) -> int:
        self.last += 1
        return self.last
