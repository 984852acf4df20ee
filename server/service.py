"""The model behind the addresses: loaded, warmed and run in threads of its own, so the event loop stays free."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from vesselrt.runtime.backends import Info
from vesselrt.runtime.decode import decode
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.errors import BusyError, NotReadyError
from vesselrt.server.settings import Settings
from vesselrt.server.upload import Upload

logger = logging.getLogger(__name__)

Source = Segmenter | Callable[[], Segmenter]
"""A loaded model, or what loads one."""


class State(StrEnum):
    """Where the service stands. FAILED is final: the model could not be loaded or run."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


_WHY_NOT = {
    State.STARTING: "The model is being loaded and warmed up. Try again in a moment.",
    State.FAILED: "The model could not be loaded; the server's log says why.",
    State.STOPPED: "The server is shutting down.",
}


@dataclass(frozen=True)
class Answer:
    """A finished photograph."""

    body: bytes
    threshold: float
    """The one that was used."""
    timings: dict[str, float]
    """Milliseconds of each stage: wait, decode, prepare, infer, finish, encode."""
    manifest: Manifest
    info: Info


class Service:
    """Owns the model from `start` to `stop` and bounds how many photographs wait for it."""

    def __init__(self, source: Source, settings: Settings) -> None:
        self.state = State.STARTING
        self.segmenter = source if isinstance(source, Segmenter) else None
        self._source, self._settings = source, settings
        self._pool = ThreadPoolExecutor(settings.in_flight, thread_name_prefix="vesselrt-infer")
        self._places = threading.BoundedSemaphore(settings.in_flight + settings.queue)

    def start(self, *, warm: bool = False) -> None:
        """Loads and warms the model in the background; `state` tells when it is done. `warm`: it is both already."""
        if warm and self.segmenter is not None:
            self.state = State.READY
        else:
            self._pool.submit(self._start)

    async def stop(self) -> None:
        """Finishes what is being worked on, refuses what waits, and closes the model."""
        self.state = State.STOPPED
        await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        if self.segmenter is not None:
            self.segmenter.close()

    def why_not(self) -> NotReadyError:
        """Why there is no model to run now."""
        return NotReadyError(_WHY_NOT[self.state])

    def check_open(self) -> None:
        """Raises what `predict` would raise at once, so that no body is read in vain."""
        self._take_place()
        self._places.release()

    async def predict(self, upload: Upload) -> Answer:
        """Runs one photograph when its turn comes.

        Raises BusyError at once when too many wait, NotReadyError, and what Segmenter.segment raises.
        """
        segmenter = self._take_place()
        job = self._pool.submit(self._run, segmenter, upload, time.perf_counter())
        # When the thread is done, even if the client has left long before.
        job.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(job)

    def _take_place(self) -> Segmenter:
        if self.segmenter is None or self.state is not State.READY:
            raise self.why_not()
        if not self._places.acquire(blocking=False):
            raise BusyError(
                f"{self._settings.in_flight + self._settings.queue} photographs are being worked on or waiting, "
                "and no more may. Try again in a moment."
            )
        return self.segmenter

    def _start(self) -> None:
        try:
            segmenter = self._source if isinstance(self._source, Segmenter) else self._source()
            self.segmenter = segmenter
            segmenter.warm_up()
        except Exception:
            logger.exception("the model could not be loaded or run")
            outcome = State.FAILED
        else:
            outcome = State.READY
        if self.state is State.STARTING:
            self.state = outcome

    def _run(self, segmenter: Segmenter, upload: Upload, submitted: float) -> Answer:
        started = time.perf_counter()
        image = decode(upload.photograph, self._settings.limits)
        decoded = time.perf_counter()
        result = segmenter.segment(image)
        segmented = time.perf_counter()
        threshold = result.threshold if upload.options.threshold is None else upload.options.threshold
        body = result.encode(upload.options.format, threshold)
        timings = {
            "wait": (started - submitted) * 1e3,
            **result.timings,
            "decode": (decoded - started) * 1e3,
            "encode": (time.perf_counter() - segmented) * 1e3,
        }
        return Answer(body, threshold, timings, segmenter.manifest, result.info)
