"""Photographs without files, and a model that gives back what it sees."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.manifest import Input, Manifest, Preparation, Tile
from vesselrt.runtime.photo.photograph import Photograph
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.training.data.samples import LIMITS, Sample
from vesselrt.training.evaluation.evaluate import evaluate_model
from vesselrt.training.evaluation.result import Evaluation

ALL_PAIRS = st.integers(1, 12).flatmap(
    lambda side: st.tuples(
        arrays(np.uint8, (side, 7), elements=st.sampled_from([0, 3, 127, 128, 255])), arrays(bool, (side, 7))
    )
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn(Sample):
    """A sample without files. Its photograph is the probability map that the model below gives back."""

    probability: Image
    vessel: Mask
    inside: Mask | None = None

    def photograph(self) -> Photograph:
        return Photograph(np.dstack([self.probability] * 3), LIMITS)

    def read_truth(self) -> Mask:
        return self.vessel

    def read_field_of_view(self, shape: tuple[int, ...]) -> Mask:
        return np.ones(shape, bool) if self.inside is None else self.inside


def drawn(found: NDArray[Any], vessel: NDArray[Any], inside: Mask | None = None, name: str = "a") -> Drawn:
    """`found` is a mask or a probability map."""
    probability = (found * np.uint8(255)) if found.dtype == bool else found
    return Drawn(
        name=name,
        image=Path(f"{name}.drawn"),
        truth=Path(f"{name}.truth"),
        probability=probability,
        vessel=vessel,
        inside=inside,
    )


def rows(*bars: tuple[int, int, int, int], shape: tuple[int, int] = (20, 20)) -> Mask:
    """Horizontal bars, each (first row, width, first column, end column)."""
    mask = np.zeros(shape, bool)
    for top, width, left, right in bars:
        mask[top : top + width, left:right] = True
    return mask


def identity(threshold: float = 0.5, diameter: int | None = None) -> Segmenter:
    """Its probability is the photograph's green channel."""
    manifest = Manifest(
        name="mirror",
        version="1.0",
        licence="CC0-1.0",
        description="gives back what it sees",
        preparation=Preparation(channels="green", field_of_view=diameter),
        input=Input(mean=(0.0,), std=(1.0,)),
        tile=Tile(size=1024, multiple=1, margin=0),
        threshold=threshold,
    )
    return Segmenter(manifest, FakeBackend())


def run(*samples: Sample, threshold: float | None = None) -> Evaluation:
    return evaluate_model(identity(), samples, name="set", split="test", threshold=threshold)
