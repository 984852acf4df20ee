"""The memory of all requests together: a place in it is taken before anything is read, decoded or made.

It is given back as each part goes: the body when the photograph is worked off, the pixels and the map with the work,
the answer as its client reads it.
"""

import re
import resource
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vesselrt.runtime.errors import ImageTooLargeError
from vesselrt.runtime.measures.working import MAX_PIXELS
from vesselrt.runtime.stages import CancelToken
from vesselrt.server.http.errors import BusyError

MOST_BYTES = 3 * 2**30
"""Bytes, where the machine has more than twice as many."""
_LEAST = 128 * 2**20
_POLL_SECONDS = 0.02
BYTES_A_PIXEL = {
    "mask": 10, "probability": 10, "spread": 10, "overlay": 16, "svg": 16, "geojson": 16, "json": 16, "coco": 16,
    "dicom-seg": 24, "dicom-probability": 24, "dicom-sr": 32,
}  # fmt: skip
"""The peak in the server's own process, for the kind of file that takes most; the file itself is counted beside, and so
is the decoder process. Measured by vesselrt.benchmarks.memory, see docs/operations.md."""

BYTES_A_CLASS = 4
"""What each further class of a model adds: its map twice, at the model's scale and at the photograph's, and its part of
the file, which exists twice for a moment."""

MEASURING_BYTES = 32 * MAX_PIXELS
"""What measuring takes beside, whatever the size of the photograph: 30 bytes for each pixel of the scale at which masks
are measured."""

CORRECTION_BYTES = 8
"""What the correction of a class adds: it is decoded as RGB, becomes one channel, and the corrected map stands beside
the model's."""

BYTES_OF_AVERAGING = 12
"""What the mean of several maps adds, for each class: two sums in float32, one more map, the spread at both scales."""


class Share:
    """What one request holds, or one photograph that is worked on. May be used by several threads."""

    def __init__(self, budget: "Budget") -> None:
        self._budget = budget
        self.held = 0
        """Bytes."""
        self.is_closed = False
        """Whether its request is over."""
        self._is_admitted = False

    def take(self, count: int) -> None:
        """Takes `count` bytes more. Raises BusyError when others hold them, ImageTooLargeError when nobody need."""
        with self._budget.lock:
            self._budget.change(count, self.held)
            self.held += count

    def reserve(self, count: int, cancel: CancelToken) -> None:
        """Takes `count` bytes more, for a photograph that is worked on; waits while others are worked on that end.

        Raises as `take` does where nothing is worked on that would give memory back, and CallCancelledError.
        """
        with self._budget.lock:
            self._take_when_free(count, cancel)

    def admit(self, count: int, cancel: CancelToken) -> None:
        """Takes what is missing to `count` bytes, all that the work needs: others may wait for its end. Raises as
        `reserve`, and waits as long.
        """
        with self._budget.lock:
            self._take_when_free(max(0, count - self.held), cancel)
            self._budget.admitted += not self._is_admitted
            self._is_admitted = True

    def _take_when_free(self, count: int, cancel: CancelToken) -> None:
        """The caller has the lock."""
        while self.held + count <= self._budget.most < self._budget.held + count:
            if self._is_admitted or not self._budget.admitted:
                break
            cancel.check()
            self._budget.lock.wait(_POLL_SECONDS)
        self._budget.change(count, self.held)
        self.held += count

    def give(self, count: int) -> None:
        """Gives back `count` bytes, or all that are left."""
        with self._budget.lock:
            count = min(count, self.held)
            self._budget.change(-count, self.held)
            self.held -= count

    def move(self, count: int, to: "Share") -> None:
        """Lets `to` hold `count` bytes that are held here; what is missing is taken. Raises as `take` does.

        Where `to` is closed they stay here.
        """
        with self._budget.lock:
            if to.is_closed:
                return
            self._budget.change(max(0, count - self.held), self.held)
            self.held = max(0, self.held - count)
            to.held += count

    def close(self) -> None:
        """Gives all back, for good."""
        with self._budget.lock:
            self._budget.change(-self.held, self.held)
            self._budget.admitted -= self._is_admitted
            self._budget.lock.notify_all()
            self.held, self.is_closed, self._is_admitted = 0, True, False


class Budget:
    """How many bytes all requests together hold, and may hold."""

    def __init__(self, most: int = sys.maxsize, on_change: Callable[[int], object] = lambda _: None) -> None:
        """`on_change` is called with every change of what is held."""
        self.most, self.held, self.lock = most, 0, threading.Condition()
        self.admitted = 0
        """Photographs that hold all that they need: they end, and give it back."""
        self._on_change = on_change

    @contextmanager
    def share(self) -> Iterator[Share]:
        """A place for as long as the block runs."""
        share = Share(self)
        try:
            yield share
        finally:
            share.close()

    def change(self, count: int, own: int) -> None:
        """Takes `count` bytes, or gives them back. The caller has the lock, and holds `own` bytes already."""
        if count > 0 and own + count > self.most:
            raise ImageTooLargeError(
                f"this takes {own + count:,} bytes of memory, and all requests together may hold {self.most:,}. "
                "Send a smaller photograph, or ask for its mask."
            )
        if count > 0 and self.held + count > self.most:
            raise BusyError(
                f"requests hold {self.held:,} of {self.most:,} bytes of memory, and this takes {count:,} more. "
                "Try again in a moment."
            )
        self.held += count
        self._on_change(count)


def usable_memory() -> int:
    """Bytes that this process may use: what the machine has, or its control groups or RLIMIT_AS allow."""
    total = re.search(r"^MemTotal: *(\d+) kB", _read_text("/proc/meminfo"), re.MULTILINE)
    found = [int(total[1]) * 1024] if total else []
    for line in _read_text("/proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root, name = Path("/sys/fs/cgroup"), "memory.max"
        if kinds:  # version 1
            root, name = root / "memory", "memory.limit_in_bytes"
        # In a container the group's own folder may be the root of what is mounted.
        own = Path(f"{root}{path}")
        limits = [_read_text(group / name).strip() for group in (own, *own.parents) if group.is_relative_to(root)]
        found += [int(limit) for limit in limits if limit.isdecimal()]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([*found, *([soft] if soft != resource.RLIM_INFINITY else [])], default=2 * MOST_BYTES)


def usual_budget(workers: int) -> int:
    """Bytes for the requests of each worker: its share of half of what may be used, and not over MOST_BYTES."""
    return max(_LEAST, min(MOST_BYTES, usable_memory() // (2 * workers)))


def _read_text(path: str | Path) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError:
        return ""
