"""Probability maps of photographs that were just analysed: another format, threshold or download costs no inference.

In memory only, for a number of bytes and of seconds at most. A client must send the whole photograph again: a map is
found by the digest of the file's bytes and by the loaded model, so nobody gets the map of a
photograph that they don't have.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.photo.quality import Quality
from vesselrt.runtime.photo.views import Scale

Key = tuple[Hashable, ...]


def map_key(content: bytes, *settings: Hashable) -> Key:
    """The key of a file's map. `settings`: the loaded model, and everything else that changes the map."""
    return (*settings, hashlib.sha256(content).digest())


@dataclass(frozen=True)
class Map:
    """What an inference found; nothing of the photograph itself."""

    probability: Image
    """(H, W) or (C, H, W) uint8 as of a Segmentation, not to be written to."""
    scales: tuple[Scale, ...]
    warnings: tuple[str, ...]
    quality: Quality | None = None
    spread: Image | None = None
    """Likewise; None: the model has one member."""

    @property
    def arrays(self) -> tuple[Image, ...]:
        """What takes memory."""
        return (self.probability,) if self.spread is None else (self.probability, self.spread)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)


class Maps:
    """The maps, the one asked for least recently first."""

    def __init__(self, most: int, seconds: float, on_find: Callable[[str], object] = lambda _: None) -> None:
        """`most` bytes of all maps; 0: none is kept. `on_find` is called with each "hit" and "miss"."""
        self._most, self._seconds, self._on_find = most, seconds, on_find
        self._maps: OrderedDict[Key, tuple[Map, float]] = OrderedDict()
        self._held, self._lock = 0, threading.Lock()

    def __len__(self) -> int:
        return len(self._maps)

    def find(self, key: Key) -> Map | None:
        """None where there is none."""
        self.expire()
        with self._lock:
            found = self._maps.get(key)
            if found is not None:
                self._maps.move_to_end(key)
        if self._most:
            self._on_find("hit" if found else "miss")
        return found[0] if found else None

    def keep(self, key: Key, found: Map) -> None:
        """Keeps a map, which nobody can change from now on; others go for it."""
        size = found.nbytes
        if size > self._most:
            return
        for array in found.arrays:
            array.flags.writeable = False
        with self._lock:
            self._forget(key)
            while self._held + size > self._most:
                self._forget(next(iter(self._maps)))
            self._maps[key] = (found, time.monotonic() + self._seconds)
            self._held += size

    def expire(self) -> None:
        """Forgets what was kept for long enough, however often it was asked for."""
        now = time.monotonic()
        with self._lock:
            for key in [key for key, (_, end) in self._maps.items() if end <= now]:
                self._forget(key)

    def _forget(self, key: Key) -> None:
        found = self._maps.pop(key, None)
        if found is not None:
            self._held -= found[0].nbytes
