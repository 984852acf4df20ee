"""Backends run the network. Each is a small class in its own file, the only place that imports its library."""

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
    """What really runs, not what was asked for. Where several models differ, all is named: "int8 + f32".

    >>> print(vesselrt.load(device="cpu:onnxruntime", precision="f32", threads=1).info)
    cpu (..., 1 threads), f32, onnxruntime ...
    """

    backend: str
    version: str
    device: str
    device_name: str
    precision: Precision
    threads: int
    """Processor threads; 0: it runs on a GPU."""
    members: int = 1
    """Maps whose mean is the probability: models × the times that each is shown a photograph, see `load`."""

    def __str__(self) -> str:
        processor = f"{self.device_name}, {self.threads} threads" if self.threads else self.device_name
        averaged = f", mean of {self.members} maps" if self.members > 1 else ""
        return f"{self.device} ({processor}), {self.precision}, {self.backend} {self.version}{averaged}"


class Backend(Protocol):
    """One loaded network. `infer` may be called by several threads."""

    info: Info
    batch: int
    """Number of windows in one batch that suits it best."""

    def infer(self, batches: Iterable[Image]) -> Iterator[Image]:
        """Maps each batch (N, C, h, w) uint8 to its answer (N, K, h, w) uint8, 255 × the probability of
        each class, in order.

        A batch is read before the next one is requested, so the caller may reuse its array. The next batch may be
        requested before an answer is given: so a GPU never waits for the processor. Answers belong to the caller.
        """
        ...

    def close(self) -> None:
        """Frees the network's memory. `infer` must not be called after this; `close` may."""
        ...


def to_bytes(probability: NDArray[np.floating[Any]]) -> Image:
    """Probability 0..1 to uint8, rounded to nearest."""
    flat = cv2.convertScaleAbs(probability.reshape(-1, probability.shape[-1]), alpha=255.0)
    return flat.reshape(probability.shape).astype(np.uint8, copy=False)
