"""What `vesselrt bench` reports, as JSON.

The JSON is a `BenchReport`; its keys are the fields of the classes below, times are in milliseconds unless a name says
otherwise. `bench_table` makes the terminal's tables of it.
"""

from dataclasses import dataclass, field
from json import JSONDecodeError, loads
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from vesselrt.benchmarks.measure import BURN_IN, Fresh, Spread
from vesselrt.benchmarks.mixed import MixedCameras
from vesselrt.benchmarks.reports import MeasurementReport
from vesselrt.runtime.backends import Info
from vesselrt.runtime.errors import DataError
from vesselrt.runtime.manifest import Precision

SCHEMA = 2
"""Of the JSON. 1 had percentiles alone, and no samples."""
END_TO_END, NETWORK = "end_to_end", "network"


@dataclass(frozen=True)
class Effort:
    """How each photograph is measured."""

    runs: int = 20
    """Timed calls, where no duration is given."""
    duration: float | None = None
    """Seconds for each photograph instead, warm-up and all columns included."""
    warm_up: int = BURN_IN
    """Calls before the first that counts."""
    concurrency: int = 1
    """Threads that call at once for the throughput; 1: it is not measured apart."""
    batch: int | None = None
    """Windows that the network is given at once; None: what suits the device."""


@dataclass(frozen=True)
class PeerFigures:
    """Another column on the same photograph, timed in turn with vesselrt."""

    precision: Precision
    """That it computes in."""
    end_to_end: Spread
    ratio: float
    """Its median time / vesselrt's."""
    ratio_of_runs: float
    """Median of the ratios run by run."""
    pixels_differ: float
    """Share of the photograph's pixels at which its mask is not vesselrt's."""
    samples: list[float]
    """End to end, of each run in order."""


@dataclass(frozen=True)
class JudgedNetwork:
    """The network's time by OpenVINO's benchmark_app: another program on the same file, windows, precision, threads."""

    p50: float
    """Of all windows of the photograph: the sum of the medians."""
    min: float
    runs: int
    """Calls on each shape of window."""
    ratio: float
    """vesselrt's median time in the network / this one's."""


@dataclass(frozen=True)
class Throughput:
    """Several threads that call one `Segmenter` at once."""

    concurrency: int
    """Threads."""
    images_per_second: float
    """Of all threads together."""
    gain: float
    """Over one call after the other, in the same process."""
    end_to_end: Spread
    """Of a call, as its thread sees it."""
    samples: list[float]


@dataclass(frozen=True)
class PhotoFigures:
    """vesselrt on one photograph, from its bytes to the bytes of the mask PNG."""

    photo: str
    source: str
    """File, data set and file, or `synthetic`."""
    width: int
    height: int
    bytes: int
    windows: list[tuple[int, ...]]
    """(N, C, h, w) of each batch that the network was given."""
    stages: dict[str, Spread]
    """decode, prepare, infer, finish, encode."""
    network: Spread
    """The part of `infer` inside the backend; the rest cuts and joins windows."""
    end_to_end: Spread
    images_per_second: float
    """One after the other: runs / the sum of their times."""
    beside_network: float
    """Everything that is not the network / the network, median over the runs."""
    samples: dict[str, list[float]]
    """Of each run in order: the stages, `network` and `end_to_end`."""
    fresh: Fresh | None = None
    throughput: Throughput | None = None
    """None without --concurrency."""
    judged: JudgedNetwork | None = None
    """None without --compare, and where benchmark_app could not judge."""
    peers: dict[str, PeerFigures] = field(default_factory=dict)
    """Column → its figures; empty without --compare."""


@dataclass(frozen=True)
class Score:
    """F1 of each column on test photographs: pixels in the field of view, pooled, at the model's threshold."""

    data: str
    photographs: list[str]
    f1: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class BenchReport(MeasurementReport):
    """All figures."""

    info: Info
    """Backend, device and precision that were really used."""
    effort: Effort
    photos: list[PhotoFigures]
    scores: list[Score]
    """Empty without --compare and --data."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Column of --compare → why it was not measured."""
    mixed: MixedCameras | None = None
    """None without --mixed."""


def read_bench_report(path: Path) -> BenchReport:
    """What `vesselrt bench --json` wrote. Raises OSError, DataError for anything else and for an older schema."""
    try:
        found = loads(path.read_bytes())
        schema = found["schema"]
    except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise DataError(f"{path}: is not what `vesselrt bench --json` writes.") from None
    if schema != SCHEMA:
        raise DataError(
            f"{path}: is of schema {schema}, expected {SCHEMA}. Schema 1 holds no samples: measure again, with --json."
        )
    try:
        return TypeAdapter(BenchReport).validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: is not what `vesselrt bench --json` writes ({place}: {first['msg']}).") from None
