"""What runs the network. Each backend is a small class in a file of its own, the only place its library is imported."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.manifest import Precision


@dataclass(frozen=True)
class Info:
    """What really runs, not what was asked for.

    >>> print(vesselrt.load(device="cpu:onnxruntime", precision="f32", threads=1).info)
    cpu (..., 1 threads), f32, onnxruntime ...
    """

    backend: str
    version: str
    device: str
    device_name: str
    precision: Precision
    threads: int
    """Of the processor; 0: it runs on a GPU."""

    def __str__(self) -> str:
        processor = f"{self.device_name}, {self.threads} threads" if self.threads else self.device_name
        return f"{self.device} ({processor}), {self.precision}, {self.backend} {self.version}"


class Backend(Protocol):
    """One loaded network. `infer` may be called from several threads."""

    info: Info
    batch: int
    """Windows that it likes to get at once."""

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        """Of each (N, C, h, w) uint8 its (N, 1, h, w) uint8, 255 × probability, in order.

        A batch has been read when the next one is asked for, so its array may serve again; that can be before its
        answer is given, and so a GPU never waits for the processor. Answers belong to the caller.
        """
        ...

    def close(self) -> None:
        """Gives the network's memory back; `infer` must not be called any more, `close` may."""
        ...


def to_bytes(probability: NDArray[np.floating[Any]]) -> Image:
    """Probability 0..1 to uint8, rounded to nearest."""
    flat = cv2.convertScaleAbs(probability.reshape(-1, probability.shape[-1]), alpha=255.0)
    return flat.reshape(probability.shape).astype(np.uint8, copy=False)
