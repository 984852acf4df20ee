"""A small file that asks for much, and what it may cost."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vesselrt.runtime.photo.decoding import Limits

ExpectedAnswer = Literal["read", "refused", "either"]
MAX_SECONDS = 3.0
"""Of the processor, for any file within the limits."""
COPIES = 4
"""Bytes held at most: so many times the declared pixels of 3 bytes ..."""
BASE = 64 * 2**20
"""... and what no decoder does without."""
MEGABYTE = 2**20


@dataclass(frozen=True)
class Bomb:
    """A file that is written when it is asked for."""

    kind: str
    name: str
    write: Callable[[], bytes]
    pixels: int = 64 * 64
    """Width × height as the header says; what is over the limit is refused and may cost nothing but the base."""
    answer: ExpectedAnswer = "either"
    heavy: bool = False
    """Whether it takes gigabytes or seconds where all is well."""

    @property
    def memory(self) -> int:
        """Bytes that it may take at most."""
        return BASE + (COPIES * 3 * self.pixels if self.pixels <= Limits().pixels else 0)
