"""New figures of `vesselrt bench` against older ones: the ratio of medians, with its confidence interval.

The interval is that of the percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter
13): both lists of runs are drawn anew 10,000 times, each with replacement, and 95 % of the ratios of their medians lie
in it. It knows how runs within the two processes vary, and not how one process or one hour of a machine differs from
the next (Kalibera and Jones, Rigorous Benchmarking in Reasonable Time, ISMM 2013): measure again before you believe a
few percent.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vesselrt.benchmarks.bench_report import END_TO_END, BenchReport
from vesselrt.benchmarks.tables import render_table
from vesselrt.runtime.backends import Info
from vesselrt.runtime.errors import DataError

logger = logging.getLogger(__name__)

RESAMPLES, CONFIDENCE = 10_000, 0.95


@dataclass(frozen=True)
class Ratio:
    """A part of the time on one photograph, new / old."""

    photo: str
    part: str
    """A stage, `network` or `end_to_end`."""
    old: float
    """Median, ms."""
    new: float
    ratio: float
    """Of the medians."""
    low: float
    """95 % interval of the ratio."""
    high: float


class MeasuredPhoto(Protocol):
    """A photograph that is measured, or was."""

    @property
    def source(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...


def check_same_work(
    old: BenchReport, model: Mapping[str, Any], info: Info, photos: Mapping[str, MeasuredPhoto]
) -> None:
    """Raises DataError where the older figures are of other work: another model file, precision or photograph.

    `photos`: name → photograph; the older figures may have more.
    """
    if old.info.precision != info.precision:
        raise DataError(
            f"the older figures are in {old.info.precision}, these in {info.precision}. "
            f"Measure with --precision {old.info.precision}."
        )
    if old.info.members != info.members:
        raise DataError(
            f"the older figures are of {old.info.members} map(s) of each photograph, these of {info.members}. Measure "
            "with the same --tta."
        )
    if old.model["sha256"] != model["sha256"]:
        raise DataError(
            f"the older figures are of another model file: {_describe_model(old.model)}, this is "
            f"{_describe_model(model)}. Measure that one with --model."
        )
    before = {photo.photo: (photo.source, photo.width, photo.height) for photo in old.photos}
    for name, photo in photos.items():
        if before.get(name) != (photo.source, photo.width, photo.height):
            raise DataError(
                f"the older figures have no {name} ({photo.source}, {photo.width} × {photo.height}). "
                f"They have: {', '.join(f'{n} ({s}, {w} × {h})' for n, (s, w, h) in before.items())}."
            )


def compare_reports(old: BenchReport, new: BenchReport) -> list[Ratio]:
    """A ratio for each part of the time on each photograph of the new figures.

    Logs a warning for what else differs, as another machine. Raises DataError where they are not of the same work.
    """
    check_same_work(old, new.model, new.info, {photo.photo: photo for photo in new.photos})
    for difference in find_differences(old, new):
        logger.warning("compare with care, %s", difference)
    before = {photo.photo: photo.samples for photo in old.photos}
    return [
        ratio_of_medians(photo.photo, part, before[photo.photo][part], samples)
        for photo in new.photos
        for part, samples in photo.samples.items()
    ]


def find_differences(old: BenchReport, new: BenchReport) -> Iterator[str]:
    """What bears on the time and is not the same: machine, device, library, threads, batch."""
    for name in ("cpu", "cores", "flags", "governor", "os"):
        if old.machine.get(name) != new.machine.get(name):
            yield f"another machine: {name} was {old.machine.get(name)}, is {new.machine.get(name)}"
    for name in ("backend", "version", "device", "threads"):
        before, now = getattr(old.info, name), getattr(new.info, name)
        if before != now:
            yield f"{name} was {before}, is {now}"
    if old.effort.batch != new.effort.batch:
        yield f"--batch was {old.effort.batch}, is {new.effort.batch}"


def ratio_of_medians(photo: str, part: str, old: Sequence[float], new: Sequence[float]) -> Ratio:
    """`old` and `new`: ms of each run."""
    random = np.random.default_rng(0)  # the same figures give the same interval
    ratios = resampled_medians(new, random) / resampled_medians(old, random)
    low, high = np.quantile(ratios, ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    before, now = median(old), median(new)
    return Ratio(photo, part, before, now, now / before, float(low), float(high))


def resampled_medians(samples: Sequence[float], random: np.random.Generator) -> NDArray[np.float64]:
    """The medians of `RESAMPLES` resamples with replacement, (RESAMPLES,) float64.

    No resample is made: the ranks of its middle values are drawn, which are the middle ones of n uniform numbers. So
    ten thousand runs take no more memory than ten.
    """
    ordered = np.sort(np.asarray(samples, np.float64))
    count = len(ordered)
    middle = (count + 1) // 2
    place = random.beta(middle, count - middle + 1, RESAMPLES)  # of the middle one, the lower of two
    lower = ordered[_rank(place, count)]
    if count % 2:
        return lower
    above = 1 - (1 - place) * random.random(RESAMPLES) ** (1 / (count - middle))  # the least of those above it
    return (lower + ordered[_rank(above, count)]) / 2


def _rank(place: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    return np.minimum((place * count).astype(np.int64), count - 1)


def slower_photographs(ratios: Sequence[Ratio], limit: float) -> list[str]:
    """Those that take longer end to end by more than `limit` (.05: 5 %), even at the low end of the interval.

    The stages say where time was lost, and do not judge: of eight short ones, one would often be over by chance.
    """
    return [ratio.photo for ratio in ratios if ratio.part == END_TO_END and ratio.low > 1 + limit]


def table_from_ratios(ratios: Sequence[Ratio]) -> str:
    """For the terminal."""
    rows = [
        [
            r.photo,
            r.part.replace("_", " "),
            f"{r.old:.2f}",
            f"{r.new:.2f}",
            f"{r.ratio:.3f}",
            f"{r.low:.3f}–{r.high:.3f}",
        ]
        for r in ratios
    ]
    return render_table(["photograph", "part", "old p50 ms", "new p50 ms", "new / old", "95 % interval"], rows, texts=2)


def _describe_model(model: Mapping[str, Any]) -> str:
    return f"{model['name']} {model['version']} (sha256 {str(model['sha256'])[:12]})"
