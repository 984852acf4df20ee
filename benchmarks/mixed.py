"""A folder of photographs of many cameras beside one of a single camera: what changing the shape of the window costs.

The photographs of a folder of one are copies of one photograph of the other; each takes its turn as such. So both
folders have the same pixels, and only the order differs.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vesselrt.benchmarks.photos import Photo, encode_jpeg, synthetic
from vesselrt.runtime.segmenter import Segmenter

CAMERAS = (
    (565, 584, 540), (700, 605, 650), (768, 576, 700), (1440, 960, 1100), (1280, 1024, 1200), (1536, 1152, 1250),
    (2048, 1536, 1900), (2196, 1958, 1900), (3504, 2336, 3290), (4288, 2848, 3400),
)  # fmt: skip
"""Width, height and diameter of the field of view, in pixels. Each has its own shape of window to `fundus`."""
ROUNDS = 5
_LIT = 0.96
"""Share of a drawn photograph's side that its field of view has."""


@dataclass(frozen=True)
class MixedCameras:
    """Milliseconds a photograph; of each camera the best of all rounds, without its first call."""

    alone: dict[str, float]
    """Camera → after another photograph of this camera."""
    mixed: dict[str, float]
    """Camera → after a photograph of another camera."""
    first: dict[str, float]
    """Camera → its first photograph in this process, when another camera's came before."""

    @property
    def ratio(self) -> float:
        """A folder of all these cameras in turn, against as many folders of one camera."""
        return sum(self.mixed.values()) / sum(self.alone.values())


def draw_camera(width: int, height: int, diameter: int) -> Photo:
    """A photograph by a camera whose sensor may cut the field of view at the top and the bottom."""
    drawn, _ = synthetic(*(round(diameter / _LIT),) * 2)
    pixels = np.zeros((height, width, 3), np.uint8)
    rows, columns = min(height, len(drawn)), min(width, len(drawn))
    top, left = (len(drawn) - rows) // 2, (len(drawn) - columns) // 2
    down, right = (height - rows) // 2, (width - columns) // 2
    pixels[down : down + rows, right : right + columns] = drawn[top : top + rows, left : left + columns]
    return Photo(f"{width}x{height}", "synthetic", encode_jpeg(pixels), width, height)


def measure_mixed(segmenter: Segmenter, photos: Sequence[Photo] | None = None, rounds: int = ROUNDS) -> MixedCameras:
    """Segments the photographs, to their masks, in turn: each once after another one, and once after itself.

    None: drawn ones of `CAMERAS`.
    """
    photos = photos or [draw_camera(*camera) for camera in CAMERAS]
    mixed: dict[str, list[float]] = {photo.name: [] for photo in photos}
    alone: dict[str, list[float]] = {photo.name: [] for photo in photos}
    segmenter.warm_up()  # what is no camera's own: threads, memory
    for _ in range(1 + rounds):
        for photo in photos:
            for times in (mixed, alone):
                started = time.perf_counter()
                segmenter.segment(photo.data).encode("mask")
                times[photo.name].append((time.perf_counter() - started) * 1e3)
    return MixedCameras(
        {name: min(times[1:]) for name, times in alone.items()},
        {name: min(times[1:]) for name, times in mixed.items()},
        {name: times[0] for name, times in mixed.items()},
    )
