"""The main path: photograph → Segmenter.segment → Segmentation."""

import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Concatenate, Never, ParamSpec, TypeVar

import cv2
import numpy as np

from vesselrt.runtime import tiling
from vesselrt.runtime.backends import Backend, Info
from vesselrt.runtime.backends.shared import SharedBatches
from vesselrt.runtime.devices import AnyPrecision, Device, open_backend
from vesselrt.runtime.encode import COLOUR, OPACITY, Format, Mask, encode, threshold_mask
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.lifetime import Lifetime
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import find
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.runtime.photo.photograph import Photograph, Source
from vesselrt.runtime.photo.preparation import Image, Prepared

_PREVIEW = 1024  # px: longest side of the picture in a notebook

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, eq=False, repr=False)
class Segmentation:
    """The vessels of one photograph. The threshold is applied here, never by a second inference."""

    probability: Image
    """(H, W) uint8, 255 × the probability of vessel, at the photograph's own resolution."""
    photograph: Photograph
    threshold: float
    """The model's operating threshold, 0..1: the default of the methods below."""
    timings: dict[str, float]
    """Milliseconds of each stage: decode, prepare, infer, finish."""
    info: Info
    """The device and precision that were used."""

    @property
    def image(self) -> Image:
        """(H, W, 3) uint8 RGB, the photograph at its own size; where the model needed less, it is decoded now."""
        return self.photograph.pixels

    def mask(self, threshold: float | None = None) -> Mask:
        """(H, W) bool: vessel where probability ≥ threshold × 255. Raises OptionError unless 0 ≤ threshold ≤ 1."""
        return threshold_mask(self.probability, self.threshold if threshold is None else threshold)

    def encode(
        self,
        format: Format = "mask",  # noqa: A002 - the usual word
        threshold: float | None = None,
        colour: str = COLOUR,
        opacity: float = OPACITY,
    ) -> bytes:
        """The content of a file: "mask", "probability" or "overlay" (PNG), "svg", "geojson" or "json".

        `colour` "#rrggbb" of the vessels in "overlay" and "svg", `opacity` 0..1 of them in "overlay".

        Raises OptionError.
        """
        threshold = self.threshold if threshold is None else threshold
        return encode(self.probability, lambda: self.image, format, threshold, colour, opacity)

    def __repr__(self) -> str:
        height, width = self.probability.shape
        took = sum(self.timings.values())
        return f"<Segmentation of {width} × {height} px in {took:.0f} ms on {self.info.device}, {self.info.precision}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows: the overlay, of a large photograph a smaller copy."""
        height, width = self.probability.shape
        factor = min(1.0, _PREVIEW / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        small = [cv2.resize(whole, size, interpolation=cv2.INTER_AREA) for whole in (self.probability, self.image)]
        probability, image = (np.asarray(pixels, np.uint8) for pixels in small)
        return encode(probability, image, "overlay", self.threshold)


@dataclass
class _Clock:
    """Times the stages of one call."""

    after: Callable[[str], None] | None
    """Is told each stage's name at its end."""
    last: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)

    def stage(self, name: str) -> None:
        now = time.perf_counter()
        self.stages[name], self.last = (now - self.last) * 1e3, now
        if self.after is not None:
            self.after(name)


def _running(call: "Callable[Concatenate[Segmenter, P], R]") -> "Callable[Concatenate[Segmenter, P], R]":
    """A method that computes: refused once the Segmenter is closed, and never cut off by its closing."""

    @functools.wraps(call)
    def checked(segmenter: "Segmenter", /, *arguments: P.args, **named: P.kwargs) -> R:
        with segmenter._lifetime.running():  # noqa: SLF001
            return call(segmenter, *arguments, **named)

    return checked


class Segmenter:
    """A loaded model. Make one with `load`; it may be shared by threads, and closes as a context manager.

    It belongs to the process that loaded it: a forked child gets ForkError, and it can't be pickled.
    """

    def __init__(self, manifest: Manifest, backend: Backend, limits: Limits | None = None) -> None:
        self.manifest, self.limits = manifest, limits or Limits()
        self._backend = backend
        self._lifetime = Lifetime(backend)

    @property
    def info(self) -> Info:
        """The device and precision really in use."""
        return self._backend.info

    @_running
    def segment(
        self, image: Source | Photograph, after: Callable[[str], None] | None = None, *, bgr: bool = False
    ) -> Segmentation:
        """Segments a photograph: encoded bytes, a path, an open file, or pixels: (H, W, 3) uint8 RGB, and what
        `Photograph` takes besides (images of Pillow, grey, RGBA, 16 bits, floats in 0..1, tensors; arrays of OpenCV
        with `bgr`).

        `after` is called with the name of each stage that is done: decode, prepare, infer, finish; what it raises ends
        the call. Raises ImageError when the photograph can't be used, SegmenterClosedError, ForkError.
        """
        clock = _Clock(after)
        photograph = image if isinstance(image, Photograph) else Photograph(image, self.limits, bgr=bgr)
        prepared, shape = photograph.prepare(self.manifest.preparation, lambda: clock.stage("decode"))
        clock.stage("prepare")
        scaled = tiling.run(prepared.pixels, self.manifest.tile, self._backend.infer, self._backend.batch)
        clock.stage("infer")
        probability = _to_photograph(scaled, prepared, shape)
        clock.stage("finish")
        return Segmentation(probability, photograph, self.manifest.threshold, clock.stages, self.info)

    @_running
    def shared(self) -> "Segmenter":
        """The same model for many threads: before a GPU, windows of their photographs are run in shared batches.

        It owns the model from here on: close it, and not this one.
        """
        if self.info.threads or self._backend.batch == 1:  # a processor: one window already uses every core
            return self
        return Segmenter(self.manifest, SharedBatches(self._backend), self.limits)

    def warm_up(self) -> float:
        """Runs two synthetic photographs, so that the first real one finds everything ready; ms of the second."""
        side = round(self.manifest.preparation.diameter(self.manifest.tile.size))
        disc = np.zeros((side, side, 3), np.uint8)
        cv2.circle(disc, (side // 2, side // 2), side // 2 - 1, (160, 80, 40), -1)
        self.segment(disc)
        return sum(self.segment(disc).timings.values())

    def close(self) -> None:
        """Gives the model's memory back: at once, or when the calls that other threads have begun come to their end."""
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


def load(
    model: str | Path | None = None,
    *,
    device: Device = "auto",
    precision: AnyPrecision = "auto",
    threads: int | None = None,
    limits: Limits | None = None,
) -> Segmenter:
    """Loads a model: a built-in one by name (None: `fundus`), a model file, or an engine file.

    `device`: "auto", "cpu", "cuda", or one library of these ("cpu:openvino", "cuda:tensorrt_rtx", ...), see
    `vesselrt.runtime.devices`. On "cuda" a model file is compiled once, and its engine kept in a cache.
    `precision`: "auto" takes the fastest that the device computes itself, "f32", "bf16" or "fp16" that one.
    `threads`: cores to use; None: all that this process may use. What was taken is in `Segmenter.info`.

    Raises ModelError, DeviceError when the device or precision is not to be had here, OptionError.
    """
    path = find(model)
    manifest, backend = open_backend(path, device, precision, usable_cores() if threads is None else _counted(threads))
    return Segmenter(manifest, backend, limits)


def _counted(threads: int) -> int:
    most = os.cpu_count() or 1
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= most:
        raise OptionError(
            f"threads is {threads!r}. Expected a whole number from 1 to {most}, the cores of this machine."
        )
    return threads


def _to_photograph(scaled: Image, prepared: Prepared, shape: tuple[int, ...]) -> Image:
    """The probability at the photograph's own resolution; 0 outside the field of view's box."""
    box = prepared.box
    if scaled.shape == (box.height, box.width) == shape:
        return scaled
    result = np.zeros(shape, np.uint8)
    if scaled.shape == (box.height, box.width):
        box.cut(result)[:] = scaled
    else:  # into the result itself: of a large photograph a second map would be the largest thing in memory
        cv2.resize(scaled, (box.width, box.height), dst=box.cut(result), interpolation=cv2.INTER_LINEAR)
    return result
