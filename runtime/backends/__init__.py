"""What runs the network. Each backend is a small class in a file of its own, the only place its library is imported."""

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.manifest import Precision
from vesselrt.runtime.preparation import Image


@dataclass(frozen=True)
class Info:
    """What really runs, not what was asked for."""

    backend: str
    version: str
    device: str
    device_name: str
    precision: Precision
    threads: int

    def __str__(self) -> str:
        processor = f"{self.device_name}, {self.threads} threads"
        return f"{self.device} ({processor}), {self.precision}, {self.backend} {self.version}"


class Backend(Protocol):
    """One loaded network. `infer` may be called from several threads."""

    info: Info
    batch: int
    """Windows that it likes to get at once."""

    def infer(self, pixels: Image) -> Image:
        """(N, C, h, w) uint8 → (N, 1, h, w) uint8, 255 × probability. The answer belongs to the caller."""
        ...

    def close(self) -> None:
        """Gives the network's memory back; `infer` must not be called any more, `close` may."""
        ...


def to_bytes(probability: NDArray[np.floating[Any]]) -> Image:
    """Probability 0..1 to uint8, rounded to nearest."""
    flat = cv2.convertScaleAbs(probability.reshape(-1, probability.shape[-1]), alpha=255.0)
    return flat.reshape(probability.shape).astype(np.uint8, copy=False)
