"""The work behind the addresses: models run in threads of their own, so the event loop stays free.

Who comes when every place is taken is refused at once; who leaves, or waits longer than the deadline, is forgotten.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import cv2
from starlette.requests import ClientDisconnect

from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.photo import processes
from vesselrt.runtime.photo.decoding import Limits, declared_pixels
from vesselrt.runtime.photo.photograph import Photograph
from vesselrt.runtime.photo.processes import DecoderPool
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.errors import BusyError, DeadlineError
from vesselrt.server.metrics import Metrics
from vesselrt.server.settings import Settings
from vesselrt.server.work.budget import Budget, Share, usual_budget
from vesselrt.server.work.jobs import Answer, Pixels, Turn, Work
from vesselrt.server.work.maps import Map, Maps, key_of
from vesselrt.server.work.models import Model, State, choose, why_not

T = TypeVar("T")
_GLANCE = 0.02
"""s between looks at whether a place is free."""


class Service:
    """Owns the models from `start` to `stop` and bounds how many photographs wait for them."""

    def __init__(self, models: Sequence[Model], settings: Settings, metrics: Metrics) -> None:
        self.models = {model.name: model for model in models}
        self._settings, self._metrics = settings, metrics
        self.budget = Budget(settings.max_memory or usual_budget(settings.workers), metrics.held.inc)
        self._maps = Maps(
            settings.maps_bytes, settings.maps_seconds, lambda outcome: metrics.maps.labels(outcome).inc()
        )
        self._stopped = threading.Event()
        self._loading: Future[None] | None = None
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="vesselrt-load")
        self._pool: ThreadPoolExecutor | None = None
        self._decoders: DecoderPool | None = None
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

    async def forget_maps(self) -> None:
        """Keeps to the time for which maps may be kept, also when nobody asks for any; ends when it is cancelled."""
        while True:
            await asyncio.sleep(max(1.0, self._settings.maps_seconds / 10))
            self._maps.expire()

    async def stop(self) -> None:
        """Finishes what is being worked on, refuses what waits, and closes the models."""
        self._stopped.set()
        for pool in (self._loader, self._pool):
            if pool is not None:
                await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        if self._decoders is not None:
            self._decoders.close()
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
        end, turn = time.monotonic() + seconds, Turn(work)
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

    def _submit(self, model: Model, turn: Turn) -> "Future[Answer]":
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
        if processes.SUPPORTED:
            self._decoders = DecoderPool(at_once, self._settings.decode_seconds)
            self._decoders.wait_until_ready()
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

    def _work(self, model: Model, turn: Turn) -> Answer:
        started = time.perf_counter()
        work = turn.work
        with model.use() as segmenter, self.budget.share() as place, _refused_memory_told(), self._counted(model):
            photograph, size = self._photograph(turn, place)
            result = self._segment(segmenter, photograph, turn)
            timings = {"wait": (started - turn.arrived) * 1e3, **result.timings}
            segmented = time.perf_counter()
            result = replace(result, timings=timings)
            parts = work.finish(result, segmenter.manifest)
            timings["encode"] = (time.perf_counter() - segmented) * 1e3
            # What is made of the photograph takes its place: from here on its pixels and its file are not held.
            turn.end()
            work.share.give(size)
            place.move(sum(memoryview(part).nbytes for part in parts), work.share)
        for stage, milliseconds in timings.items():
            self._metrics.stages.labels(model.name, stage).observe(milliseconds / 1e3)
        levels = result.levels.tolist() if "levels" in vars(result) else None
        return Answer(
            parts, result.threshold, result.info, result.scales, result.warnings, levels, timings, segmenter.manifest
        )

    def _photograph(self, turn: Turn, place: Share) -> tuple[Photograph, int]:
        """The photograph, when there is memory for what is to be done with it; and bytes of its file."""
        work, limits = turn.work, self._settings.limits
        given = work.photograph
        if isinstance(given, Pixels):
            place.take(given.count * (work.bytes_a_pixel + 3))
            return Photograph(given.read(), limits), 0
        size = memoryview(given).nbytes
        place.take(size)  # its own copy
        content = bytes(given)
        place.take(declared_pixels(content, limits) * work.bytes_a_pixel)
        if self._decoders is None:
            return Photograph(content, limits), size
        # Its client may leave, or the server stop, in the middle of it.
        return Photograph(content, limits, partial(self._decoders.decode, check=lambda: turn.check("decode"))), size

    def _segment(self, segmenter: Segmenter, photograph: Photograph, turn: Turn) -> Segmentation:
        """The segmentation, from a map that was kept where there is one."""
        content, scale = photograph.content, turn.work.scale
        if content is None or not self._settings.maps_bytes:
            return segmenter.segment(photograph, turn.check, scale=scale)
        started = time.perf_counter()
        key = key_of(content, segmenter, scale)
        if (found := self._maps.find(key)) is not None:
            threshold, timings = segmenter.manifest.threshold, {"cache": (time.perf_counter() - started) * 1e3}
            map_, info = found, segmenter.info
            return Segmentation(map_.probability, photograph, threshold, timings, info, map_.scales, map_.warnings)
        result = segmenter.segment(photograph, turn.check, scale=scale)
        self._maps.keep(key, Map(result.probability, result.scales, result.warnings))
        return result

    @contextmanager
    def _counted(self, model: Model) -> Iterator[None]:
        try:
            yield
        except DeadlineError:  # told as dropped
            raise
        except Exception:
            self._metrics.failed.labels(model.name).inc()
            raise
        self._metrics.last.labels(model.name).set_to_current_time()


@contextmanager
def _refused_memory_told() -> Iterator[None]:
    """OpenCV has an error of its own for it."""
    try:
        yield
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from None
        raise
