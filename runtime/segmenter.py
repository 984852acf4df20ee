"""The main path: photograph → Segmenter.segment → Segmentation."""

import functools
import math
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Never, ParamSpec, TypeVar, overload

import cv2
import numpy as np

from vesselrt.runtime.backends import Backend, Info
from vesselrt.runtime.backends.shared import SharedBatches
from vesselrt.runtime.devices import AnyPrecision, Device, open_backend
from vesselrt.runtime.errors import OptionError, VesselrtError
from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.lifetime import Lifetime
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.many import map_in_order
from vesselrt.runtime.members import Members, Network
from vesselrt.runtime.modelfile import find_model_file
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.runtime.photo.photograph import Frame, Photograph, PhotoSource
from vesselrt.runtime.photo.views import Box
from vesselrt.runtime.remote import split_hash
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.stages import CancelToken, Clock
from vesselrt.runtime.symmetry import Tta

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=PhotoSource | Frame | Photograph)


def _running(call: "Callable[Concatenate[Segmenter, P], R]") -> "Callable[Concatenate[Segmenter, P], R]":
    """A method that computes: refused once the Segmenter is closed, and never cut off by its closing."""

    @functools.wraps(call)
    def checked(segmenter: "Segmenter", /, *arguments: P.args, **named: P.kwargs) -> R:
        with segmenter._lifetime.running():  # noqa: SLF001
            return call(segmenter, *arguments, **named)

    return checked


class Segmenter:
    """A loaded model. Make one with `load`; it may be shared by threads, and closes as a context manager.

    >>> with vesselrt.load() as segmenter:
    ...     masks = [segmenter.segment(photo).mask() for photo in ("photo.jpg", "photo.jpg")]

    It belongs to the process that loaded it: a forked child gets ForkError, and it can't be pickled.
    """

    def __init__(
        self,
        manifest: Manifest,
        backend: Backend,
        limits: Limits | None = None,
        *,
        others: Sequence[tuple[Manifest, Backend]] = (),
        tta: Tta = "none",
    ) -> None:
        """Owns the backend, and those of `others`: further models, whose maps are averaged with that of the first.

        `tta`: as of `load`. Raises OptionError for models that don't go together.
        """
        self._members = Members([Network(manifest, backend), *(Network(*other) for other in others)], tta)
        self._lifetime = Lifetime(self._members)
        self.limits, self.manifest = limits or Limits(), self._members.manifest
        """Of several models: what they have in common, and the mean of their thresholds."""

    @property
    def info(self) -> Info:
        """The device and precision really in use, and how many maps are averaged."""
        return self._members.info

    @property
    def at_once(self) -> int:
        """Photographs that are worked on at once with the most gain: on a processor as many as `info.threads`, up to 4;
        before a GPU as many as there are cores, which decode for it.
        """
        return self._members.at_once if self.info.threads else usable_cores()

    @_running
    def segment(
        self,
        image: PhotoSource | Frame | Photograph,
        *,
        bgr: bool = False,
        scale: float | None = None,
        region: Box | tuple[int, int, int, int] | None = None,
        quality: bool = True,
        cancel: CancelToken | None = None,
    ) -> Segmentation:
        """Segments a photograph: encoded bytes, a path, an open file, or pixels: (H, W, 3) uint8 RGB, and what
        `Photograph` takes besides (images of Pillow, grey, RGBA, 16 bits, floats in 0..1, tensors; arrays of OpenCV
        with `bgr`). Of a DICOM file with several photographs, one of `vesselrt.frames(path)`.

        `scale`: the diameter of the field of view in pixels of this photograph, for one that was cut inside of it;
        None: it is found. `region`: the part to segment, as top, left, bottom, right; the map has the photograph's size
        and is 0 elsewhere, and the scale is that of the whole photograph. `quality`: whether the photograph is judged,
        and warned of; no, for those of ultra-wide-field cameras. `cancel`: a token of vesselrt.runtime.stages,
        by which another thread ends the call after its present stage.

        Raises ImageError when the photograph can't be used, OptionError for a scale or region that it can't have,
        CallCancelledError, SegmenterClosedError, ForkError.
        """
        clock, cancel, scale = Clock(), cancel or CancelToken(), _check_scale(scale)
        photograph = image if isinstance(image, Photograph) else Photograph(image, self.limits, bgr=bgr)
        with clock("decode"):
            decoded = photograph.decode(self._members.finest)
        cancel.check()
        with clock("prepare"):
            views = [photograph.prepare(decoded, one, scale, quality=quality) for one in self._members.preparations]
            part = None if region is None else _check_region(region, views[0].shape)
        cancel.check()
        with clock("infer"):
            found = self._members.infer(views, part, lambda: self._lifetime.callers, cancel.check)
        cancel.check()
        with clock("finish"):
            probability, spread = found.place(views[0].shape, part)
        doubts = dict.fromkeys(warning for view in views for warning in view.warnings)
        warnings, threshold, timings = (*photograph.warnings, *doubts), self.manifest.threshold, clock.milliseconds
        facts, exclusive, scales = self.manifest.classes, self.manifest.exclusive, views[0].scales
        return Segmentation(
            probability, photograph, threshold, timings, self.info, scales, warnings, part, facts, exclusive, spread,
            model=f"{self.manifest.name} {self.manifest.version}",
            quality=next((view.quality for view in views if view.quality), None),
        )  # fmt: skip

    @overload
    def segment_many(
        self,
        photos: Iterable[PhotoSource | Frame | Photograph],
        *,
        bgr: bool = False,
        scale: float | None = None,
        quality: bool = True,
        at_once: int | None = None,
        cancel: CancelToken | None = None,
    ) -> Generator[Segmentation | VesselrtError | OSError]: ...

    @overload
    def segment_many(
        self,
        photos: Iterable[S],
        then: Callable[[S, Segmentation], R],
        *,
        bgr: bool = False,
        scale: float | None = None,
        quality: bool = True,
        at_once: int | None = None,
        cancel: CancelToken | None = None,
    ) -> Generator[R | VesselrtError | OSError]: ...

    def segment_many(  # noqa: PLR0913 - one for each thing that a caller may choose
        self,
        photos: Iterable[Any],
        then: Callable[[Any, Segmentation], Any] | None = None,
        *,
        bgr: bool = False,
        scale: float | None = None,
        quality: bool = True,
        at_once: int | None = None,
        cancel: CancelToken | None = None,
    ) -> Generator[Any]:
        """Segments photographs, several at once: decoding one and encoding another overlap with the network.

        >>> paths = ["photo.jpg", "photo.jpg"]
        >>> with vesselrt.load() as segmenter:
        ...     for path, result in zip(paths, segmenter.segment_many(paths)):
        ...         print(path, result if isinstance(result, Exception) else result.probability.shape)
        photo.jpg (320, 288)
        photo.jpg (320, 288)

        Gives for each photograph what `segment` gives, byte for byte, in their order. `then`: a function of photograph
        and result, called in the threads that segment, such as one that writes the mask; what it returns is given
        instead. Where `segment` or `then` raises a VesselrtError or an OSError, the error is given in its place.

        `photos` may be a generator. At most 2 × `at_once` photographs are begun and not yet taken by the caller; None:
        `Segmenter.at_once`. Work begins with the first result that is asked for. When the iterator is closed, by
        `contextlib.closing` for example, or the loop is left, its threads end: after the present stage, and after a
        running `then`.

        Raises, and ends, with any other error; with SegmenterClosedError or ForkError; with CallCancelledError after
        `cancel`; OptionError at once for a `scale` or `at_once` that can't be.
        """
        with self.working():  # a closed one is refused here, not at the first result
            _check_scale(scale)
            count = self.at_once if at_once is None else _check_at_once(at_once)

        def work(photo: Any, stop: CancelToken) -> Any:
            with self.working():
                result = self.segment(photo, bgr=bgr, scale=scale, quality=quality, cancel=stop)
                return result if then is None else then(photo, result)

        return map_in_order(work, photos, count, cancel)

    @_running
    def shared(self) -> "Segmenter":
        """The same model for many threads: on a GPU, windows of several photographs share a batch.

        It owns the model from now on: close it instead of this one.
        """

        def gains(backend: Backend) -> bool:  # on a processor one window already uses every core
            return not backend.info.threads and backend.batch > 1

        if not any(gains(network.backend) for network in self._members.networks):
            return self
        return self.wrapped(lambda backend: SharedBatches(backend) if gains(backend) else backend)

    def working(self) -> AbstractContextManager[None]:
        """Around the work of one thread on one photograph, where that is more than `segment`: while it encodes the
        result, the photographs of other threads leave it a core. Closing the Segmenter waits for the block.

        Raises SegmenterClosedError, ForkError.
        """
        return self._lifetime.running()

    def wrapped(self, wrap: Callable[[Backend], Backend]) -> "Segmenter":
        """The same model behind the backends that `wrap` makes of its own: one that measures, for example.

        Close one of the two.
        """
        first, *others = ((network.manifest, wrap(network.backend)) for network in self._members.networks)
        return Segmenter(*first, self.limits, others=others, tta=self._members.tta)

    def warm_up(self) -> float:
        """Runs two synthetic photographs, so that the first real one is not slower; milliseconds of the second."""
        side = round(self.manifest.preparation.diameter(self.manifest.tile.size))
        disc = np.zeros((side, side, 3), np.uint8)
        cv2.circle(disc, (side // 2, side // 2), side // 2 - 1, (160, 80, 40), -1)
        self.segment(disc)
        return sum(self.segment(disc).timings.values())

    def close(self) -> None:
        """Frees the model's memory: at once, or when running calls of other threads have ended."""
        self._lifetime.close()

    def __repr__(self) -> str:
        state = ", closed" if self._lifetime.closed else ""
        return f"<Segmenter {self.manifest.name} {self.manifest.version} on {self.info}{state}>"

    def __reduce__(self) -> Never:
        raise TypeError(
            "a Segmenter can't be pickled or copied: it holds a model that was compiled for this process. "
            "Call vesselrt.load() in each process, such as in the initializer of a pool."
        )

    def __enter__(self) -> "Segmenter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load(  # noqa: PLR0913 - one for each thing that a caller may choose
    model: str | Path | Sequence[str | Path] | None = None,
    *,
    device: Device = "auto",
    precision: AnyPrecision = "auto",
    threads: int | None = None,
    limits: Limits | None = None,
    tta: Tta = "none",
    sha256: str | None = None,
) -> Segmenter:
    """Loads a model: a built-in one by name (None: `fundus`), a model file, or an engine file.

    >>> mask = vesselrt.load().segment("photo.jpg").mask()
    >>> vesselrt.load("fundus", device="cpu", threads=1).info.threads
    1

    `device`: "auto", "cpu", "cuda", or one library of these ("cpu:openvino", "cuda:tensorrt_rtx", ...), see
    `vesselrt.runtime.devices`. On "cuda" a model file is compiled once, and its engine kept in a cache.
    `precision`: "f32", "bf16", "fp16" or "int8"; "auto" takes the fastest that was proven for this model and that the
    device gains by. On the CPU, "int8" is the file `NAME.int8.onnx` beside a model file, which `vesselrt convert` made.
    `threads`: cores to use; None: all that this process may use. What was taken is in `Segmenter.info`.

    `tta`: "flips" or "d4" shows the network each photograph 4 or 8 times, flipped and turned, and averages its maps.
    `model` may be a list: the maps of these models are averaged, which must tell the same classes apart. Their default
    threshold is the mean of theirs. With either, `Segmentation.spread` says where the maps differ.

    >>> result = vesselrt.load(tta="flips").segment("photo.jpg")
    >>> result.spread.shape, result.info.members
    ((320, 288), 4)

    `model` may be an https address, or a path, with the SHA-256 of the file as `sha256`, or behind it: "#sha256=...".
    A file of another hash is refused before anything reads it. What was fetched is kept: `vesselrt.runtime.remote`.

    Raises ModelError, DeviceError when the device or precision is not available here, OptionError.
    """
    named = [model] if model is None or isinstance(model, str | Path) else list(model)
    if len(named) != 1 and (sha256 is not None or not named):
        raise OptionError(f"{len(named)} models are named. Expected one, or a list of them, each MODEL#sha256=...")
    count = usable_cores() if threads is None else _check_threads(threads)
    paths = [find_model_file(one, sha256) for one in named]  # all, before one of them is opened
    with ExitStack() as undo:
        opened = []
        for one, path in zip(named, paths, strict=True):
            alone = split_hash(str(one), sha256)[1] is not None
            opened.append(open_backend(path, device, precision, count, alone=alone))
            undo.callback(opened[-1][1].close)
        (manifest, backend), *others = opened
        segmenter = Segmenter(manifest, backend, limits, others=others, tta=tta)
        undo.pop_all()
    return segmenter


def _check_threads(threads: int) -> int:
    most = os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= most:
        raise OptionError(
            f"threads is {threads!r}. Expected a whole number from 1 to {most}, the cores of this machine."
        )
    return threads


def _check_at_once(at_once: int) -> int:
    if isinstance(at_once, bool) or not isinstance(at_once, int) or at_once < 1:
        raise OptionError(f"at_once is {at_once!r}. Expected a whole number of photographs, 1 or more.")
    return at_once


def _check_scale(scale: float | None) -> float | None:
    if scale is None or 0 < scale < math.inf:
        return scale
    raise OptionError(f"scale is {scale}. Expected the diameter of the field of view in pixels, such as 960.")


def _check_region(region: Box | tuple[int, int, int, int], shape: tuple[int, int]) -> Box:
    box = region if isinstance(region, Box) else Box(*region)
    if not (0 <= box.top < box.bottom <= shape[0] and 0 <= box.left < box.right <= shape[1]):
        raise OptionError(
            f"region is top {box.top}, left {box.left}, bottom {box.bottom}, right {box.right}. Expected a part of "
            f"the photograph, which is {shape[0]} pixels high and {shape[1]} wide."
        )
    return box
