"""The work behind the addresses: models run in threads of their own, so the event loop stays free.

Who comes when every place is taken is refused at once; who leaves, or waits longer than the deadline, is forgotten.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect

from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.runtime.photo.photograph import Photograph
from vesselrt.runtime.photo.preparation import Image
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.server.http.errors import BusyError, DeadlineError
from vesselrt.server.metrics import Metrics
from vesselrt.server.settings import Settings
from vesselrt.server.work.models import Model, State, choose, why_not

T = TypeVar("T")
_GLANCE = 0.02
"""s between looks at whether a place is free."""


@dataclass(frozen=True)
class Work:
    """One photograph, and what to make of it; both functions run in a thread of the service."""

    photograph: bytes | Callable[[], Image]
    """An encoded image, or what gives its pixels, (H, W, 3) uint8 RGB."""
    finish: Callable[[Segmentation, Manifest], bytes]
    """The body of the answer."""
    model: str | None = None
    seconds: float | None = None
    """Until the answer is of no more use; None: the setting."""
    scale: float | None = None
    """As of `Segmenter.segment`."""


@dataclass(frozen=True)
class Answer:
    """A finished photograph."""

    body: bytes
    result: Segmentation
    """Its timings are those of `timings`."""
    timings: dict[str, float]
    """Milliseconds of each stage: wait, decode, prepare, infer, finish, encode."""
    manifest: Manifest


class _Turn:
    """A photograph's way through the queue. It is let go when nobody waits for it, though its turn comes later."""

    def __init__(self, work: Work) -> None:
        self.arrived = time.perf_counter()
        self._work: Work | None = work

    @property
    def work(self) -> Work:
        """What is still wanted. Raises DeadlineError when nothing is."""
        if self._work is None:
            raise DeadlineError("nobody waits for the answer any more.")
        return self._work

    def check(self, stage: str) -> None:  # noqa: ARG002 - whichever has ended
        """Raises DeadlineError as `work` does."""
        _ = self.work

    def end(self) -> None:
        self._work = None


class Service:
    """Owns the models from `start` to `stop` and bounds how many photographs wait for them."""

    def __init__(self, models: Sequence[Model], settings: Settings, metrics: Metrics) -> None:
        self.models = {model.name: model for model in models}
        self._settings, self._metrics = settings, metrics
        self._stopped = threading.Event()
        self._loading: Future[None] | None = None
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="vesselrt-load")
        self._pool: ThreadPoolExecutor | None = None
        self._taken, self._most, self._lock = 0, 0, threading.Lock()

    @property
    def state(self) -> State:
        """That of the models which are loaded at start, the worst first."""
        if self._stopped.is_set():
            return State.STOPPED
        states = {model.state for model in self._at_start()}
        if State.FAILED in states:
            return State.FAILED
        return State.READY if states == {State.READY} and self._pool else State.STARTING

    @property
    def default(self) -> Model:
        """The model of requests that name none."""
        return choose(self.models, None)

    @property
    def limits(self) -> Limits:
        """On photographs, however they come."""
        return self._settings.limits

    def begin(self, model: Model) -> None:
        """Has a model loaded in the background, unless that was done before."""
        model.begin(self._loader)

    def start(self) -> "Future[None]":
        """Loads and warms the models in the background; `state` tells how it went when the future is done.

        A second time nothing begins.
        """
        if self._loading is None:
            self._open_if_ready()
            self._loading = self._loader.submit(self._load)
            if self._settings.reload:
                threading.Thread(target=self._watch, name="vesselrt-watch", daemon=True).start()
        return self._loading

    async def stop(self) -> None:
        """Finishes what is being worked on, refuses what waits, and closes the models."""
        self._stopped.set()
        for pool in (self._loader, self._pool):
            if pool is not None:
                await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        for model in self.models.values():
            model.close()

    def check_open(self, model: str | None = None) -> Model:
        """Raises what `run` would raise at once, so that no body is read in vain; else the model of this name."""
        chosen = choose(self.models, model)
        self._take_place()
        self._give_place()
        return chosen

    async def run(
        self, work: Work, left: Callable[[], Awaitable[object]] | None = None, *, patient: bool = False
    ) -> Answer:
        """Runs one photograph when its turn comes. `left` ends when its client leaves.

        Raises BusyError at once when too many wait (`patient`: waits until fewer do), NotReadyError, DeadlineError,
        ClientDisconnect, RequestError for a model that is not served, and what Segmenter.segment raises.
        """
        model = choose(self.models, work.model)
        seconds = min(self._settings.deadline, work.seconds or self._settings.deadline)
        end, turn = time.monotonic() + seconds, _Turn(work)
        while patient and self._full() and time.monotonic() < end:
            await asyncio.sleep(_GLANCE)
        self._take_place()
        gone = asyncio.ensure_future((left or asyncio.Event().wait)())
        try:
            if model.state is State.STARTING:
                await self._first(asyncio.wrap_future(self._loader.submit(model.load)), gone, end, seconds)
            job = self._submit(model, turn)
        except BaseException:
            gone.cancel()
            self._give_place()
            raise
        # When the thread is done, even if the client has left long before.
        job.add_done_callback(lambda _: self._give_place())
        try:
            return await self._first(asyncio.wrap_future(job), gone, end, seconds)
        finally:
            turn.end()
            job.cancel()
            gone.cancel()

    def _submit(self, model: Model, turn: _Turn) -> "Future[Answer]":
        if self._pool is None:
            raise why_not(self.state)
        return self._pool.submit(self._work, model, turn)

    @property
    def at_once(self) -> int:
        """Photographs that are worked on at once."""
        return self._most - self._settings.queue

    def _full(self) -> bool:
        return self.state is State.READY and self._taken >= self._most

    def _take_place(self) -> None:
        """One place in the queue. Raises BusyError, NotReadyError."""
        if self.state is not State.READY:
            raise why_not(self.state)
        with self._lock:
            if self._taken >= self._most:
                raise BusyError(
                    f"{self._most} photographs are being worked on or waiting, and no more may. Try again in a moment."
                )
            self._taken += 1
        self._metrics.places.inc()

    def _give_place(self) -> None:
        with self._lock:
            self._taken -= 1
        self._metrics.places.dec()

    async def _first(self, job: "asyncio.Future[T]", gone: "asyncio.Future[object]", end: float, seconds: float) -> T:
        """What `job` gives. Raises ClientDisconnect or DeadlineError when that comes first."""
        # Where nobody waits any more, asyncio would write what became of it into the log, as of a fault.
        job.add_done_callback(lambda done: done.cancelled() or done.exception())
        timeout = max(0.0, end - time.monotonic())
        either: list[asyncio.Future[Any]] = [job, gone]
        await asyncio.wait(either, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        if job.done():
            return job.result()
        reason = "left" if gone.done() else "deadline"
        self._metrics.dropped.labels(reason).inc()
        if gone.done():
            raise ClientDisconnect
        raise DeadlineError(
            f"no answer within {seconds:.3g} s, the deadline. Try again in a moment, or allow more time."
        )

    def _at_start(self) -> list[Model]:
        models = list(self.models.values())
        return models[:1] if self._settings.lazy else models

    def _load(self) -> None:
        for model in self._at_start():
            model.load()
        self._open_if_ready()

    def _open_if_ready(self) -> None:
        if self._pool is None and all(model.state is State.READY for model in self._at_start()):
            self._open()

    def _open(self) -> None:
        """From here on photographs are taken."""
        first = self.default.segmenter
        on_gpu = first is not None and first.info.threads == 0
        at_once = self._settings.in_flight or (usable_cores() if on_gpu else 1)
        self._most = at_once + self._settings.queue
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="vesselrt-infer")

    def _watch(self) -> None:
        while not self._stopped.wait(self._settings.reload):
            for model in self.models.values():
                with suppress(RuntimeError):  # the loader has shut down
                    self._loader.submit(self._refresh, model).result()

    def _refresh(self, model: Model) -> None:
        done = model.refresh()
        if done is not None:
            self._metrics.reloads.labels("loaded" if done else "failed").inc()
            self._open_if_ready()  # where a model that had failed at start was mended

    def _work(self, model: Model, turn: _Turn) -> Answer:
        started = time.perf_counter()
        given = turn.work.photograph
        with model.use() as segmenter:
            photograph = Photograph(given if isinstance(given, bytes) else given(), self._settings.limits)
            result = segmenter.segment(photograph, turn.check, scale=turn.work.scale)
            timings = {"wait": (started - turn.arrived) * 1e3, **result.timings}
            segmented = time.perf_counter()
            result = replace(result, timings=timings)
            body = turn.work.finish(result, segmenter.manifest)
            timings["encode"] = (time.perf_counter() - segmented) * 1e3
            for stage, milliseconds in timings.items():
                self._metrics.stages.labels(model.name, stage).observe(milliseconds / 1e3)
            return Answer(body, result, timings, segmenter.manifest)
