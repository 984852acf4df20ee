"""What the service is asked for, its place in the queue, and what comes back."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Info
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.photo.views import Scale
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.server.http.errors import DeadlineError
from vesselrt.server.work.budget import Budget, Share


@dataclass(frozen=True)
class Pixels:
    """A photograph that came decoded."""

    count: int
    """Height × width."""
    read: Callable[[], Image]
    """(H, W, 3) uint8 RGB; called in a thread of the service, raises RequestError."""


Encoded = bytes | bytearray | memoryview
Parts = Sequence[bytes | memoryview]


@dataclass(frozen=True)
class Work:
    """One photograph, and what to make of it. Who hands it in keeps no reference to the photograph."""

    photograph: Encoded | Pixels
    finish: Callable[[Segmentation, Manifest], Parts]
    """The body of the answer; runs in a thread of the service."""
    bytes_a_pixel: int
    """Memory that is taken at the peak, see vesselrt.server.work.budget."""
    model: str | None = None
    seconds: float | None = None
    """Until the answer is of no more use; None: the setting."""
    scale: float | None = None
    """As of `Segmenter.segment`."""
    share: Share = field(default_factory=lambda: Share(Budget()))
    """Of the request's memory: holds the photograph's file, afterwards the answer."""


@dataclass(frozen=True)
class Answer:
    """A finished photograph, of which no pixels are held any more."""

    parts: Parts
    """The body, held by the request's share."""
    threshold: float
    """The model's."""
    info: Info
    scales: tuple[Scale, ...]
    """The fields of view that were seen, the largest first."""
    warnings: tuple[str, ...]
    """What is doubtful about the photograph, in sentences."""
    levels: list[int] | None
    """How many pixels of the field of view have the values 0 to 255, where they were counted."""
    timings: dict[str, float]
    """Milliseconds of each stage: wait, decode, prepare, infer, finish, encode; or wait, cache, encode."""
    manifest: Manifest


class Turn:
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
