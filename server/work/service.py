"""The work behind the addresses: models run in threads of their own, so the event loop stays free.

When every place in the queue is taken, the next request is refused at once. A client that leaves, or waits longer than
the deadline, is forgotten.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect

from vesselrt.runtime.output.formats import no_spread
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.server.http.errors import BusyError, DeadlineError, RequestError
from vesselrt.server.http.options import AnswerOptions
from vesselrt.server.metrics import ServerMetrics
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.budget import Budget, usual_budget
from vesselrt.server.work.models import ServedModel, State, why_not
from vesselrt.server.work.pipeline import Job, Pipeline
from vesselrt.server.work.tasks import PhotoTask, T

R = TypeVar("R")
POLL_SECONDS = 0.02
"""Between looks at whether a place in the queue is free."""


class Service:
    """Owns the models from `start` to `stop` and bounds how many photographs wait for them."""

    def __init__(self, models: Sequence[ServedModel], settings: ServerSettings, metrics: ServerMetrics) -> None:
        self.models = {model.name: model for model in models}
        self._settings, self._metrics = settings, metrics
        self.budget = Budget(settings.max_memory or usual_budget(settings.workers), metrics.held.inc)
        self._pipeline = Pipeline(settings, metrics, self.budget)
        self._stopped = threading.Event()
        self._loading: Future[None] | None = None
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="vesselrt-load")
        self._parser = ThreadPoolExecutor(1, thread_name_prefix="vesselrt-parse")
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
    def default(self) -> ServedModel:
        """The model of requests that name none."""
        return next(iter(self.models.values()))

    @property
    def limits(self) -> Limits:
        """On photographs, however they come."""
        return self._settings.limits

    def find_model(self, name: str | None) -> ServedModel:
        """The model of this name; None: the first. Raises RequestError."""
        if name is None:
            return self.default
        if name not in self.models:
            known = ", ".join(self.models)
            raise RequestError(HTTPStatus.NOT_FOUND, f"no model {name[:40]!r}. Expected one of: {known}.")
        return self.models[name]

    def begin_loading(self, model: ServedModel) -> None:
        """Has a model loaded in the background, unless that was done before."""
        model.begin(self._loader)

    def start(self) -> "Future[None]":
        """Loads and warms the models in the background; `state` says how it went when the future is done.

        A second time nothing begins.
        """
        if self._loading is None:
            self._open_if_ready()
            self._loading = self._loader.submit(self._load)
            if self._settings.reload:
                threading.Thread(target=self._watch, name="vesselrt-watch", daemon=True).start()
        return self._loading

    async def forget_maps(self) -> None:
        """Keeps to the time for which maps may be kept, also when nobody asks for any; ends when it is cancelled."""
        while True:
            await asyncio.sleep(max(1.0, self._settings.maps_seconds / 10))
            self._pipeline.maps.expire()

    async def stop(self) -> None:
        """Finishes what is being worked on, refuses what waits, and closes the models."""
        self._stopped.set()
        for pool in (self._loader, self._parser, self._pool):
            if pool is not None:
                await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        self._pipeline.close()
        for model in self.models.values():
            model.close()

    async def run_alone(self, parse: Callable[[], R]) -> R:
        """Runs what would hold the interpreter up if several did it at once; one after another, in a thread."""
        return await asyncio.wrap_future(self._parser.submit(parse))

    def check_open(self, model: str | None = None) -> ServedModel:
        """Raises what `segment` would raise at once, so that no body is read in vain; else the model of this name."""
        chosen = self.find_model(model)
        self._check_slot()
        return chosen

    def check_classes(self, options: AnswerOptions) -> None:
        """Raises OptionError where options name a class that their model lacks, or a spread that it has not, if that is
        known before its work.
        """
        segmenter = self.find_model(options.model).segmenter
        if segmenter is not None:
            options.check_classes(segmenter.manifest)
            if options.format == "spread" and segmenter.info.members == 1:
                raise no_spread()

    async def segment(
        self,
        task: PhotoTask[T],
        disconnected: Callable[[], Awaitable[object]] | None = None,
        *,
        wait_for_slot: bool = False,
    ) -> T:
        """Runs one photograph when its turn comes. `disconnected` ends when its client has left.

        Raises BusyError at once when too many wait (`wait_for_slot`: waits until fewer do), NotReadyError,
        DeadlineError, ClientDisconnect, RequestError for a model that is not served, and what Segmenter.segment raises.
        """
        model = self.find_model(task.model)
        seconds = min(self._settings.deadline, task.seconds or self._settings.deadline)
        end, job = time.monotonic() + seconds, Job(task)
        while wait_for_slot and self._is_full() and time.monotonic() < end:
            await asyncio.sleep(POLL_SECONDS)
        self._take_slot()
        gone = asyncio.ensure_future((disconnected or asyncio.Event().wait)())
        try:
            if model.state is State.STARTING:
                await self._first(asyncio.wrap_future(self._loader.submit(model.load)), gone, end, seconds)
            future = self._submit(model, job)
        except BaseException:
            gone.cancel()
            self._give_slot()
            raise
        # When the thread is done, even if the client has left long before.
        future.add_done_callback(lambda _: self._give_slot())
        try:
            return await self._first(asyncio.wrap_future(future), gone, end, seconds)
        finally:
            job.let_go()
            future.cancel()
            gone.cancel()

    def _submit(self, model: ServedModel, job: Job[T]) -> "Future[T]":
        if self._pool is None:
            raise why_not(self.state)
        return self._pool.submit(self._pipeline.run, model, job)

    @property
    def at_once(self) -> int:
        """Photographs that are worked on at once."""
        return self._most - self._settings.queue

    def _is_full(self) -> bool:
        return self.state is State.READY and self._taken >= self._most

    def _check_slot(self) -> None:
        """Raises BusyError where no place in the queue is free, NotReadyError."""
        if self.state is not State.READY:
            raise why_not(self.state)
        if self._taken >= self._most:
            raise BusyError(
                f"{self._most} photographs are being worked on or waiting, and no more may. Try again in a moment."
            )

    def _take_slot(self) -> None:
        """One place in the queue. Raises as `_check_slot`."""
        with self._lock:
            self._check_slot()
            self._taken += 1
        self._metrics.places.inc()

    def _give_slot(self) -> None:
        with self._lock:
            self._taken -= 1
        self._metrics.places.dec()

    async def _first(self, job: "asyncio.Future[R]", gone: "asyncio.Future[object]", end: float, seconds: float) -> R:
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

    def _at_start(self) -> list[ServedModel]:
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
        at_once = self._settings.in_flight or (first.at_once if first is not None else 1)
        self._most = at_once + self._settings.queue
        self._pipeline.open(at_once)
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="vesselrt-infer")

    def _watch(self) -> None:
        while not self._stopped.wait(self._settings.reload):
            for model in self.models.values():
                with suppress(RuntimeError):  # the loader has shut down
                    self._loader.submit(self._refresh, model).result()

    def _refresh(self, model: ServedModel) -> None:
        done = model.refresh()
        if done is not None:
            self._metrics.reloads.labels("loaded" if done else "failed").inc()
            self._open_if_ready()  # where a model that had failed at start was mended
