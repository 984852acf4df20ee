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
from vesselrt.server.http.errors import BusyError

MOST = 3 * 2**30
"""Bytes, where the machine has more than twice as many."""
_LEAST = 128 * 2**20
BYTES_A_PIXEL = {"mask": 10, "probability": 10, "overlay": 16, "svg": 16, "geojson": 16, "json": 16}
"""The peak of decoding, the network's glue and writing, of the kind of file that takes most; the file itself is counted
beside. Measured by vesselrt.benchmarks.memory, see docs/operations.md."""


class Share:
    """What one request holds, or one photograph that is worked on. May be used by several threads."""

    def __init__(self, budget: "Budget") -> None:
        self._budget, self._held, self._closed = budget, 0, False

    def take(self, count: int) -> None:
        """Takes `count` bytes more. Raises BusyError when others hold them, ImageTooLargeError when nobody need."""
        with self._budget.lock:
            self._budget.change(count, self._held)
            self._held += count

    def give(self, count: int) -> None:
        """Gives back `count` bytes, or all that are left."""
        with self._budget.lock:
            count = min(count, self._held)
            self._budget.change(-count, self._held)
            self._held -= count

    def move(self, count: int, to: "Share") -> None:
        """Lets `to` hold `count` bytes that are held here; what is missing is taken. Raises as `take` does.

        Where `to` is closed, its request is over, they stay here.
        """
        with self._budget.lock:
            if to._closed:  # noqa: SLF001 - one class
                return
            self._budget.change(max(0, count - self._held), self._held)
            self._held = max(0, self._held - count)
            to._held += count  # noqa: SLF001

    def close(self) -> None:
        """Gives all back, for good."""
        with self._budget.lock:
            self._budget.change(-self._held, self._held)
            self._held, self._closed = 0, True


class Budget:
    """Bytes, and who holds how many of them."""

    def __init__(self, most: int = sys.maxsize, tell: Callable[[int], object] = lambda _: None) -> None:
        """`tell` hears of every change of what is held."""
        self.most, self.held, self.lock = most, 0, threading.Lock()
        self._tell = tell

    @contextmanager
    def share(self) -> Iterator[Share]:
        """A place for as long as the block runs."""
        share = Share(self)
        try:
            yield share
        finally:
            share.close()

    def change(self, count: int, own: int) -> None:
        """To be called with the lock held, by who holds `own` bytes."""
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
        self._tell(count)


def usable_memory() -> int:
    """Bytes that this process may use: what the machine has, or its control groups or RLIMIT_AS allow."""
    total = re.search(r"^MemTotal: *(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    found = [int(total[1]) * 1024] if total else []
    for line in _read("/proc/self/cgroup").splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds and "memory" not in kinds.split(","):
            continue
        root, name = Path("/sys/fs/cgroup"), "memory.max"
        if kinds:  # version 1
            root, name = root / "memory", "memory.limit_in_bytes"
        # In a container the group's own folder may be the root of what is mounted.
        own = Path(f"{root}{path}")
        limits = [_read(group / name).strip() for group in (own, *own.parents) if group.is_relative_to(root)]
        found += [int(limit) for limit in limits if limit.isdecimal()]
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([*found, *([soft] if soft != resource.RLIM_INFINITY else [])], default=2 * MOST)


def usual_budget(workers: int) -> int:
    """Bytes for the requests of each worker: half of what may be used, shared by the workers, and not over MOST."""
    return max(_LEAST, min(MOST, usable_memory() // (2 * workers)))


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError:
        return ""
