"""Windows of different photographs in one batch, for a GPU that several threads use.

No window waits for a batch to fill: those that arrive while the GPU works form the next batches.
"""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Backend

MAX_BATCHES_IN_FLIGHT = 2
"""Batches given to the backend at once: one computes while the other is copied."""


@dataclass(frozen=True, eq=False)
class _Window:
    pixels: Image
    """(C, h, w) uint8."""
    answer: "Future[Image]" = field(default_factory=Future)
    """(K, h, w) uint8, a map of each class."""


class SharedBatches:
    """A backend that fills the batches of another backend with the windows of all its callers."""

    def __init__(self, backend: Backend) -> None:
        self.info, self.batch = backend.info, backend.batch
        self._backend = backend
        self._waiting: deque[_Window] = deque()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(MAX_BATCHES_IN_FLIGHT, thread_name_prefix="vesselrt-batch")

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        own: deque[list[_Window]] = deque()  # unanswered batches of this call, the oldest first
        try:
            for pixels in batches:
                if len(own) == MAX_BATCHES_IN_FLIGHT:
                    yield _wait_for_answers(own.popleft())
                own.append(self._submit(pixels))
            while own:
                yield _wait_for_answers(own.popleft())
        finally:  # the caller may stop in the middle
            for window in (window for batch in own for window in batch):
                window.answer.cancel()

    def close(self) -> None:
        self._pool.shutdown()
        self._backend.close()

    def _submit(self, pixels: Image) -> list[_Window]:
        windows = [_Window(window.copy()) for window in pixels]  # the caller reuses its array
        with self._lock:
            self._waiting.extend(windows)
        for _ in windows:  # one task each: a task may find that an earlier one has run its window
            self._pool.submit(self._run_next_batch)
        return windows

    def _run_next_batch(self) -> None:
        """Runs one batch of the waiting windows."""
        windows = [window for window in self._take_next_batch() if window.answer.set_running_or_notify_cancel()]
        if not windows:
            return
        try:
            (answers,) = self._backend.infer([np.stack([window.pixels for window in windows])])
            for window, answer in zip(windows, answers, strict=True):
                window.answer.set_result(answer)
        except Exception as error:  # noqa: BLE001 - raised in the threads that wait
            for window in windows:
                if not window.answer.done():
                    window.answer.set_exception(error)

    def _take_next_batch(self) -> list[_Window]:
        """The windows that have waited longest: of one shape, and as many as a batch holds."""
        with self._lock:
            waiting = [window for window in self._waiting if not window.answer.cancelled()]
            alike = [window for window in waiting if window.pixels.shape == waiting[0].pixels.shape][: self.batch]
            self._waiting = deque(window for window in waiting if window not in alike)
        return alike


def _wait_for_answers(windows: list[_Window]) -> Image:
    return np.stack([window.answer.result() for window in windows])
