"""One photograph in a thread of the service: memory, decoding, network, answer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Generic

import cv2
import numpy as np

from vesselrt.runtime.errors import CallCancelledError, ImageDecodeError, ImageTooLargeError, OptionError
from vesselrt.runtime.photo import processes
from vesselrt.runtime.photo.decoding import Admit, decode_photo
from vesselrt.runtime.photo.photograph import Photograph
from vesselrt.runtime.photo.processes import DecoderPool
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.runtime.stages import CancelToken
from vesselrt.server.metrics import ServerMetrics
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.budget import Budget, Share
from vesselrt.server.work.maps import Map, Maps, map_key
from vesselrt.server.work.models import ServedModel
from vesselrt.server.work.tasks import PhotoTask, Pixels, T


class Job(Generic[T]):
    """A task on its way through the queue. When nobody waits for it any more, it drops its photograph at once."""

    def __init__(self, task: PhotoTask[T]) -> None:
        self.arrived = time.perf_counter()
        self.cancel_token = CancelToken()
        self.file_bytes = 0 if isinstance(task.photograph, Pixels) else memoryview(task.photograph).nbytes
        """Of the encoded photograph; 0 where it came decoded."""
        self._task: PhotoTask[T] | None = task

    def wanted_task(self) -> PhotoTask[T]:
        """Raises CallCancelledError when nobody waits any more."""
        if self._task is None:
            raise CallCancelledError("nobody waits for the answer any more.")
        return self._task

    def let_go(self) -> None:
        """Ends it where it is, and holds the photograph no longer."""
        self.cancel_token.cancel()
        self._task = None


class Pipeline:
    """Runs jobs, as many at once as it has decoder processes."""

    def __init__(self, settings: ServerSettings, metrics: ServerMetrics, budget: Budget) -> None:
        self._limits, self._seconds = settings.limits, settings.decode_seconds
        self._metrics, self._budget = metrics, budget
        self._keeps_maps, self._judges = settings.maps_bytes > 0, settings.quality
        self._decoders: DecoderPool | None = None
        self.maps = Maps(settings.maps_bytes, settings.maps_seconds, lambda outcome: metrics.maps.labels(outcome).inc())

    def open(self, at_once: int) -> None:
        """Starts the decoder processes; returns when they are ready."""
        if processes.SUPPORTED:
            self._decoders = DecoderPool(at_once, self._seconds)
            self._decoders.wait_until_ready()

    def close(self) -> None:
        """Ends the decoder processes."""
        if self._decoders is not None:
            self._decoders.close()

    def run(self, model: ServedModel, job: Job[T]) -> T:
        """Raises what Segmenter.segment raises, BusyError, NotReadyError, and what the task's functions do."""
        started, task = time.perf_counter(), job.wanted_task()
        with (
            model.use() as segmenter,
            segmenter.working(),
            self._budget.share() as place,
            _memory_errors(),
            self._counted(model),
        ):
            pixel_bytes = task.pixel_bytes(segmenter.manifest, segmenter.info.members)
            admit = partial(_admit, place, job.file_bytes + task.fixed_bytes, pixel_bytes, job.cancel_token)
            photograph = self._open_photo(job, place, pixel_bytes, admit)
            result = self._segment(segmenter, photograph, task, job.cancel_token, admit)
            if task.correction is not None:
                result = self._correct(result, task.correction, job.cancel_token)
            result = replace(result, timings={"wait": (started - job.arrived) * 1e3, **result.timings})
            finished = task.finish(result, segmenter.manifest)
            # What is made of the photograph takes its place: from here on its pixels and its file are not held.
            job.let_go()
            task.share.give(job.file_bytes)
            place.move(finished.nbytes, task.share)
        for stage, milliseconds in result.timings.items():
            self._metrics.stages.labels(model.name, stage).observe(milliseconds / 1e3)
        return finished

    def _open_photo(self, job: Job[T], place: Share, pixel_bytes: int, admit: Admit) -> Photograph:
        """The photograph, which is admitted before it is decoded."""
        task = job.wanted_task()
        given, frame = task.photograph, task.frame
        del task  # it holds the photograph
        if isinstance(given, Pixels):
            place.admit(given.count * (pixel_bytes + 3), job.cancel_token)
            return Photograph(given.read(), self._limits)
        place.reserve(job.file_bytes, job.cancel_token)  # its own copy
        if self._decoders is None:
            return Photograph(bytes(given), self._limits, partial(decode_photo, admit=admit), frame=frame)
        # Its client may leave, or the server stop, in the middle of decoding.
        decode = partial(self._decoders.decode, admit=admit, cancel=job.cancel_token)
        return Photograph(bytes(given), self._limits, decode, frame=frame)

    def _segment(
        self, segmenter: Segmenter, photograph: Photograph, task: PhotoTask[T], cancel: CancelToken, admit: Admit
    ) -> Segmentation:
        """The segmentation, from a map that was kept where there is one."""
        content, scale = photograph.content, task.scale
        quality = self._judges if task.quality is None else task.quality
        if content is None or not self._keeps_maps:
            return segmenter.segment(photograph, scale=scale, quality=quality, cancel=cancel)
        started = time.perf_counter()
        key = map_key(content, segmenter, scale, quality, photograph.frame)
        if (found := self.maps.find(key)) is not None:
            manifest, timings = segmenter.manifest, {"cache": (time.perf_counter() - started) * 1e3}
            admit(found.probability.size // len(manifest.classes))
            return Segmentation(
                found.probability,
                photograph,
                manifest.threshold,
                timings,
                segmenter.info,
                found.scales,
                found.warnings,
                facts=manifest.classes,
                exclusive=manifest.exclusive,
                spread=found.spread,
                model=f"{manifest.name} {manifest.version}",
                quality=found.quality,
            )
        result = segmenter.segment(photograph, scale=scale, quality=quality, cancel=cancel)
        self.maps.keep(key, Map(result.probability, result.scales, result.warnings, result.quality, result.spread))
        return result

    def _correct(self, result: Segmentation, correction: bytes, cancel: CancelToken) -> Segmentation:
        """The result as a person corrected it. Its memory is admitted with the photograph's.

        Raises as decoding a photograph does, and OptionError for one that does not fit.
        """
        count = len(result.classes)
        limits = replace(self._limits, pixels=self._limits.pixels * count, formats=("png",))
        check = partial(_check_as_large, result.probability.size)
        try:
            if self._decoders is None:
                decoded = decode_photo(correction, limits, admit=check)
            else:
                decoded = self._decoders.decode(correction, limits, None, check, cancel)
        except (ImageDecodeError, ImageTooLargeError) as error:
            raise type(error)(f"the correction: {error}") from None
        grey = np.ascontiguousarray(decoded.pixels[:, :, 0])
        height, width = grey.shape
        maps = grey.reshape(count, height // count, width) if height % count == 0 else grey[None]
        return result.correct(maps)

    @contextmanager
    def _counted(self, model: ServedModel) -> Iterator[None]:
        try:
            yield
        except CallCancelledError:  # counted as dropped
            raise
        except Exception:  # counted, and raised again to whoever asked
            self._metrics.failed.labels(model.name).inc()
            raise
        self._metrics.last.labels(model.name).set_to_current_time()


def _admit(place: Share, fixed_bytes: int, bytes_a_pixel: int, cancel: CancelToken, pixels: int) -> None:
    """Takes memory for a photograph of so many pixels. Raises BusyError, ImageTooLargeError, CallCancelledError."""
    place.admit(fixed_bytes + pixels * bytes_a_pixel, cancel)


def _check_as_large(expected: int, pixels: int) -> None:
    """Raises OptionError for a correction of more or fewer pixels than the maps have, before they are decoded."""
    if pixels != expected:
        raise OptionError(f"the correction has {pixels:,} pixels, and the result {expected:,}. Both must be as large.")


@contextmanager
def _memory_errors() -> Iterator[None]:
    """OpenCV has an error of its own for refused memory."""
    try:
        yield
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from None
        raise
