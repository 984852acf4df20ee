"""The cores of a processor, shared by photographs that are in work at once.

A layer of a network ends when its slowest thread has: the more threads, the more of them wait. So a photograph that is
alone has all cores, and several have each their own: then decoding and encoding of one also run beside the network of
another, and take no core away from a layer that waits for it.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from vesselrt.runtime.backends import Backend

MOST_SHARES = 4
"""Each holds the network's working memory for itself."""


@runtime_checkable
class DivisibleBackend(Backend, Protocol):
    """A backend that computes on a number of threads, and can be had on fewer."""

    def with_threads(self, threads: int) -> Backend:
        """The same network, with working memory of its own. It gives the same answers, bit for bit."""
        ...


class SharedCores:
    """A backend, and what several photographs use of it at once."""

    def __init__(self, whole: Backend) -> None:
        """Owns `whole`. One that can't be divided is used by all of them."""
        self._whole, self._threads = whole, whole.info.threads
        self.most = max(1, min(MOST_SHARES, self._threads))
        """Photographs at once that gain by it."""
        self._lock = threading.Lock()
        self._free: dict[int, queue.LifoQueue[Backend]] = {}

    @contextmanager
    def backend_for(self, photographs: int) -> Iterator[Backend]:
        """What one of so many photographs in work computes on, for the block: waits where all of that is in use."""
        # Not every number: in a folder, where one more or one less is in work from moment to moment, each would need
        # shares of its own.
        count = photographs if photographs <= 2 else self.most
        if min(count, self.most) == 1 or not isinstance(self._whole, DivisibleBackend):
            yield self._whole
            return
        free = self._shares(self._whole, min(count, self.most))
        share = free.get()
        try:
            yield share
        finally:
            free.put(share)

    def close(self) -> None:
        """Frees all. No block of `backend_for` may be running."""
        for free in self._free.values():
            while not free.empty():
                free.get_nowait().close()
        self._whole.close()

    def _shares(self, whole: DivisibleBackend, count: int) -> "queue.LifoQueue[Backend]":
        """Backends that have all threads together; the one that was used last is the next: its memory is warm."""
        with self._lock:
            if count not in self._free:
                numbers = range(count)
                threads = [self._threads // count + (number < self._threads % count) for number in numbers]
                shares = [whole.with_threads(each) for each in threads]  # all of them, or the error of one
                self._free[count] = queue.LifoQueue()
                for share in shares:
                    self._free[count].put(share)
            return self._free[count]
