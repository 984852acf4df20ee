"""The main path: photograph → Segmenter.segment → Segmentation."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from vesselrt.runtime import tiling
from vesselrt.runtime.backends import Backend, Info
from vesselrt.runtime.backends.shared import SharedBatches
from vesselrt.runtime.devices import open_backend
from vesselrt.runtime.encode import COLOUR, OPACITY, Mask, encode, threshold_mask
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.hardware import usable_cores
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.modelfile import find
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.runtime.photo.photograph import Photograph
from vesselrt.runtime.photo.preparation import Image, Prepared


@dataclass(frozen=True)
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
        format: str = "mask",  # noqa: A002 - the usual word
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


class Segmenter:
    """A loaded model. Make one with `load`; it may be shared by threads, and closes as a context manager."""

    def __init__(self, manifest: Manifest, backend: Backend, limits: Limits | None = None) -> None:
        self.manifest, self.limits = manifest, limits or Limits()
        self._backend = backend

    @property
    def info(self) -> Info:
        """The device and precision really in use."""
        return self._backend.info

    def segment(
        self, image: bytes | str | Path | Image | Photograph, after: Callable[[str], None] | None = None
    ) -> Segmentation:
        """Segments a photograph: encoded bytes, a path, or (H, W, 3) uint8 RGB pixels.

        `after` is called with the name of each stage that is done: decode, prepare, infer, finish; what it raises ends
        the call. Raises ImageError when the photograph can't be used.
        """
        clock = _Clock(after)
        photograph = image if isinstance(image, Photograph) else Photograph(image, self.limits)
        prepared, shape = photograph.prepare(self.manifest.preparation, lambda: clock.stage("decode"))
        clock.stage("prepare")
        scaled = tiling.run(prepared.pixels, self.manifest.tile, self._backend.infer, self._backend.batch)
        clock.stage("infer")
        probability = _to_photograph(scaled, prepared, shape)
        clock.stage("finish")
        return Segmentation(probability, photograph, self.manifest.threshold, clock.stages, self.info)

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
        """Gives the model's memory back."""
        self._backend.close()

    def __enter__(self) -> "Segmenter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def load(
    model: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str = "auto",
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
    if threads is not None and threads < 1:
        raise OptionError(f"threads is {threads}. Expected 1 or more.")
    manifest, backend = open_backend(path, device, precision, threads or usable_cores())
    return Segmenter(manifest, backend, limits)


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
