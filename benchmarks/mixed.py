"""A folder of photographs of many cameras beside one of a single camera: what changing the shape of the window costs.

    python -m vesselrt.benchmarks.mixed

The photographs of a folder of one are copies of one photograph of the other; each takes its turn as such. So both
folders have the same pixels, and only the order differs.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vesselrt.benchmarks.photos import Photo, from_size
from vesselrt.runtime.errors import as_command
from vesselrt.runtime.segmenter import Segmenter, load

CAMERAS = (
    "565x584", "700x605", "999x960", "1024x1024", "1440x960", "1280x1280", "1620x1444", "1880x1536", "2196x1958",
    "2240x1488", "3504x2336", "4288x2848",
)  # fmt: skip
"""Width x height of the photographs of public data sets, and some between them."""
ROUNDS = 5


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


def measure_mixed(segmenter: Segmenter, photos: Sequence[Photo], rounds: int = ROUNDS) -> MixedCameras:
    """Segments the photographs, to their masks, in turn: each once after another one, and once after itself."""
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


def _print_mixed(found: MixedCameras) -> None:
    sys.stdout.write("| camera | alone, ms | mixed | first |\n|---|---:|---:|---:|\n")
    for name, alone in found.alone.items():
        sys.stdout.write(f"| {name} | {alone:.0f} | {found.mixed[name]:.0f} | {found.first[name]:.0f} |\n")
    sys.stdout.write(f"\nmixed / alone: {found.ratio:.3f}\n")


if __name__ == "__main__":
    with as_command(), load() as loaded:
        sys.stdout.write(f"{loaded!r}\n\n")
        _print_mixed(measure_mixed(loaded, [from_size(size, None) for size in CAMERAS]))
