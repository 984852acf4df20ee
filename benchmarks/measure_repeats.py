"""How far the measurements of one photograph change when the same picture is stored, scaled or turned otherwise.

    python -m vesselrt.benchmarks.measure_repeats chase_db1 CHASE_DB1 hrf HRF      # training and validation photographs

Of each figure the coefficient of variation (standard deviation by mean) over the versions of a photograph, in percent:
the median over the photographs, and the largest. Lengths are in diameters of the field of view, so that a smaller
version should give the same. A figure whose median is over 5 % is marked.
"""

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from vesselrt.benchmarks.tables import render_table
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import as_command
from vesselrt.runtime.segmenter import Segmenter, load
from vesselrt.training.data.finding import list_samples, resolve_kind

_PHOTOGRAPHS = 5  # of each data set
_UNSTABLE = 5.0  # %


def main() -> None:
    """The table of all photographs together."""
    with as_command(), load() as segmenter:
        found: dict[str, list[float]] = {}
        for kind, folder in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
            samples = list_samples(resolve_kind(kind, Path(folder)), Path(folder), "train")
            for sample in islice(samples, _PHOTOGRAPHS):
                for name, variation in _vary(segmenter, sample.read_image()).items():
                    found.setdefault(name, []).append(variation)
        rows = []
        for name, variations in found.items():
            median = float(np.nanmedian(variations))
            mark = "unstable" if median > _UNSTABLE else ""
            rows.append((name, f"{median:.2f}", f"{np.nanmax(variations):.1f}", mark))
        print(f"{segmenter.manifest.name} {segmenter.manifest.version} on {segmenter.info}\n")
        print(render_table(("figure", "median, %", "largest, %", ""), rows))


def _vary(segmenter: Segmenter, image: Image) -> dict[str, float]:
    """The coefficient of variation of each figure, in percent, over the versions of a photograph."""
    versions = []
    for version in _versions(image):
        result = segmenter.segment(version)
        diameter = result.scale.diameter
        figures = result.measure().vessels[0]
        values = {name: value for name, value in vars(figures).items() if isinstance(value, float)}
        for name, value in values.items():
            if name.endswith("_per_px"):
                values[name] = value * diameter
            elif name.endswith("_px"):
                values[name] = value / diameter
        versions.append(values)
    found = {}
    for name in versions[0]:
        each = np.array([version[name] for version in versions])
        found[name] = 100 * float(each.std(ddof=1) / each.mean()) if each.mean() else float("nan")
    del found["coverage"]
    return found


def _versions(image: Image) -> Iterator[Image]:
    """(H, W, 3) uint8 RGB: as it is, smaller, turned by 90 and by 10 degrees, and as JPEG of two qualities."""
    yield image
    for factor in (0.75, 0.5):
        yield np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    yield np.ascontiguousarray(np.rot90(image))
    height, width = image.shape[:2]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 10, 1)
    yield np.asarray(cv2.warpAffine(image, turn, (width, height), flags=cv2.INTER_CUBIC), np.uint8)
    for quality in (85, 50):
        encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        yield np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


if __name__ == "__main__":
    main()
