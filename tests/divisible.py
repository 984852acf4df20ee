"""A fake network on several cores, of which each photograph can have its share."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend, identity


class Divisible(FakeBackend):
    """A fake on a number of threads. `made` has all that come of it, itself the first."""

    def __init__(
        self,
        threads: int,
        function: Callable[[Image], NDArray[np.floating[Any]]] = identity,
        made: "list[Divisible] | None" = None,
    ) -> None:
        super().__init__(function)
        self.info = replace(self.info, threads=threads)
        self.made = [] if made is None else made
        self.made.append(self)

    def with_threads(self, threads: int) -> "Divisible":
        return Divisible(threads, self.function, self.made)
