"""A backend without a network, for tests: a function takes its place."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends import Info, to_bytes


def identity(pixels: Image) -> NDArray[np.floating[Any]]:
    """The first channel as a probability."""
    return pixels[:, :1].astype(np.float32) / 255


class FakeBackend:
    """Runs `function`, (N, C, h, w) uint8 → (N, K, h, w) float32 probability, and records the shapes it was given."""

    def __init__(self, function: Callable[[Image], NDArray[np.floating[Any]]] = identity, batch: int = 1) -> None:
        self.function, self.batch = function, batch
        self.info = Info("fake", "0", "cpu", "nothing", "f32", 1)
        self.shapes: list[tuple[int, ...]] = []
        self.closed = False

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        for pixels in batches:
            self.shapes.append(pixels.shape)
            yield to_bytes(self.function(pixels))

    def close(self) -> None:
        self.closed = True
