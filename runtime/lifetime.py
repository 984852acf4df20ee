"""When a Segmenter may be used: until it is closed, and only in the process that loaded it.

A fork copies memory but no threads. In the child, a wait for a thread of OpenVINO, or for a lock that it held, never
ends. So the child refuses a model that was loaded before the fork, and a library that can't start again.
"""

import ctypes
import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from vesselrt.runtime.errors import ForkError, SegmenterClosedError

_ADVICE = (
    'Start processes with multiprocessing.get_context("spawn"), or fork before the first model is loaded. '
    "See docs/processes.md."
)


class _Process:
    """Forks and started libraries of this process."""

    def __init__(self) -> None:
        self.forks = 0
        """Number of forks between the first process and this one."""
        self.started: dict[str, object] = {}
        """Libraries whose threads run here, each with an object that a child must never free."""
        self.lost: set[str] = set()
        """Libraries whose threads stayed with a parent."""
        self.lives: weakref.WeakSet[Lifetime] = weakref.WeakSet()

    def forked(self) -> None:
        self.forks += 1
        self.lost.update(self.started)
        # Freeing a library's object waits for its threads, so these objects are never freed, not even at exit.
        for kept in (*self.started.values(), *(life.owned for life in self.lives)):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


_process = _Process()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.forked)


def start_library(name: str, kept: object = None) -> None:
    """Call this before a library starts threads that it can't start again after a fork; `kept` is its root object.

    Raises ForkError in a process that was forked after such a start.
    """
    if name in _process.lost:
        raise ForkError(f"{name} had started when this process was forked, and can't start again here. {_ADVICE}")
    _process.started[name] = kept


class Closable(Protocol):
    """An object that holds memory and threads of a library."""

    def close(self) -> None: ...


class Lifetime:
    """The lifetime of what a Segmenter owns: `close` closes it, or the last running call does."""

    def __init__(self, owned: "Closable") -> None:
        self.owned, self._forks = owned, _process.forks
        _process.lives.add(self)
        self._lock, self._running, self.closed = threading.Lock(), Counter[int](), False

    @property
    def callers(self) -> int:
        """Threads in which a call runs."""
        return len(self._running)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Around a call, which may be part of another one of its thread.

        Raises SegmenterClosedError, or ForkError in a process that was forked meanwhile.
        """
        if self._forks != _process.forks:  # before the lock, which a thread of the parent may have held
            raise ForkError(f"this model was loaded before the process was forked. {_ADVICE}")
        caller = threading.get_ident()
        with self._lock:
            if self.closed and caller not in self._running:
                raise SegmenterClosedError("this Segmenter was closed. Load the model again with vesselrt.load().")
            self._running[caller] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[caller] -= 1
                if not self._running[caller]:
                    del self._running[caller]
                over = self.closed and not self._running
            if over:
                self.owned.close()

    def close(self) -> None:
        """No new call may begin. A second call, or one in a forked process, does nothing."""
        if self._forks != _process.forks:  # the library waits for its threads before it gives memory back
            return
        with self._lock:
            over = not self.closed and not self._running
            self.closed = True
        if over:
            self.owned.close()
