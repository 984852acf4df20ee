"""What the service is asked for: a photograph, and what to make of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.server.work.budget import BYTES_A_CLASS, BYTES_OF_AVERAGING, CORRECTION_BYTES, Budget, Share

EncodedPhoto = bytes | bytearray | memoryview


@dataclass(frozen=True)
class Pixels:
    """A photograph that came decoded."""

    count: int
    """Height × width."""
    read: Callable[[], Image]
    """(H, W, 3) uint8 RGB; called in a thread of the service, raises RequestError."""


class Finished(Protocol):
    """What was made of a photograph. It holds no pixels of the photograph."""

    @property
    def nbytes(self) -> int:
        """What it takes of the request's memory."""
        ...


T = TypeVar("T", bound=Finished)


@dataclass(frozen=True)
class PhotoTask(Generic[T]):
    """One photograph, and what to make of it. The caller keeps no reference to the photograph."""

    photograph: EncodedPhoto | Pixels
    finish: Callable[[Segmentation, Manifest], T]
    """Makes the answer in a thread of the service, and adds the stage `encode` to the timings."""
    bytes_a_pixel: int
    """Memory that is taken at the peak, see vesselrt.server.work.budget."""
    model: str | None = None
    """None: the first."""
    seconds: float | None = None
    """Until the answer is of no more use; None: the setting."""
    scale: float | None = None
    """As of `Segmenter.segment`."""
    quality: bool | None = None
    """As of `Segmenter.segment`; None: the setting."""
    share: Share = field(default_factory=lambda: Share(Budget()))
    """Of the request's memory: holds the photograph's file, afterwards the answer."""
    frame: int | None = None
    """As of `Photograph`."""
    bytes_a_class: int = BYTES_A_CLASS
    """Added to `bytes_a_pixel` for each class beyond the first."""
    fixed_bytes: int = 0
    """Memory that is taken whatever the size of the photograph."""
    correction: bytes | None = None
    """An encoded PNG: what `Segmentation.correct` takes, of several classes one below the other."""

    def pixel_bytes(self, manifest: Manifest, members: int = 1) -> int:
        """Memory that is taken at the peak for each pixel, where this model works, of so many members."""
        averaging = BYTES_OF_AVERAGING * len(manifest.classes) if members > 1 else 0
        correcting = 0 if self.correction is None else CORRECTION_BYTES * len(manifest.classes)
        return self.bytes_a_pixel + self.bytes_a_class * (len(manifest.classes) - 1) + averaging + correcting
