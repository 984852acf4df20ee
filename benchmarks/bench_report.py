"""What `vesselrt bench` reports, as JSON and as tables.

The JSON is a `BenchReport`; its keys are the fields of the classes below, times are in milliseconds unless a name says
otherwise.
"""

from dataclasses import dataclass, field
from statistics import median

from vesselrt.benchmarks.measure import Fresh, Spread
from vesselrt.benchmarks.reports import MeasurementReport
from vesselrt.benchmarks.tables import render_table
from vesselrt.runtime.backends import Info

SCHEMA = 1
PERCENTILES = ("p50", "p95", "p99")
_BUSY_LOAD = 0.5  # of other processes, before the start


@dataclass(frozen=True)
class PeerFigures:
    """Another column on the same photograph, timed in turn with vesselrt."""

    end_to_end: Spread
    ratio: float
    """Its median time / vesselrt's."""
    ratio_of_runs: float
    """Median of the ratios run by run."""
    pixels_differ: float
    """Share of the photograph's pixels at which its mask is not vesselrt's."""


@dataclass(frozen=True)
class PhotoFigures:
    """vesselrt on one photograph, from its bytes to the bytes of the mask PNG."""

    photo: str
    source: str
    """File, data set and file, or `synthetic`."""
    width: int
    height: int
    bytes: int
    stages: dict[str, Spread]
    """decode, prepare, infer, finish, encode."""
    network: Spread
    """The part of `infer` inside the backend; the rest cuts and joins windows."""
    end_to_end: Spread
    images_per_second: float
    """One after the other: runs / the sum of their times."""
    beside_network: float
    """Everything that is not the network / the network, median over the runs."""
    fresh: Fresh | None = None
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
    runs: int
    photos: list[PhotoFigures]
    scores: list[Score]
    """Empty without --compare and --data."""

    def table(self) -> str:
        """For the terminal."""
        machine, load = self.machine, self.machine.get("load", 0.0)
        named = ", ".join(f"{name} {text}" for name, text in self.versions.items())
        head = [
            f"{self.model['name']} {self.model['version']} (sha256 {str(self.model['sha256'])[:12]}) on {self.info}",
            f"{machine['cpu']}, {machine['cores']} cores, {machine['os']}; {named}",
            f"{self.runs} runs each, bytes of a photograph to bytes of a mask PNG, ms",
        ]
        if isinstance(load, float) and load > _BUSY_LOAD:
            head.append(f"load {load:.1f} before the start: other work was running, and made these times longer")
        blocks = ["\n".join(head), *(_photo_block(photo) for photo in self.photos)]
        return "\n\n".join([*blocks, *([_score_block(self.scores)] if self.scores else [])])


def _photo_block(photo: PhotoFigures) -> str:
    """One photograph: a row for each percentile, then what has no percentiles."""
    spreads: dict[str, Spread] = {}
    for stage, spread in photo.stages.items():
        spreads[stage] = spread
        if stage == "infer":
            spreads["(network)"] = photo.network
    spreads["end to end"] = photo.end_to_end
    rows = [[p, *(f"{getattr(spread, p):.1f}" for spread in spreads.values())] for p in PERCENTILES]
    lines = [
        f"{photo.photo} ({photo.source}, {photo.bytes / 1e3:.0f} kB)",
        render_table(["ms", *spreads], rows),
        f"{photo.images_per_second:.1f} images/s; all beside the network takes {photo.beside_network:.1%} of its time",
    ]
    if photo.fresh is not None:
        starts, peak = photo.fresh.cold_start_s, photo.fresh.peak_memory_mb
        memory = "unknown" if peak is None else f"{peak:.0f} MB"
        cold = f"{median(starts):.2f} s (median of {len(starts)}, best {min(starts):.2f})"
        lines.append(f"cold start to first mask {cold}; peak memory {memory}")
    if photo.peers:
        titles = ["column", *PERCENTILES, "× vesselrt's p50", "× run by run", "pixels that differ"]
        lines += ["", render_table(titles, [_peer_row(name, peer) for name, peer in photo.peers.items()])]
    return "\n".join(lines)


def _peer_row(name: str, peer: PeerFigures) -> list[str]:
    times = (f"{getattr(peer.end_to_end, p):.1f}" for p in PERCENTILES)
    return [name, *times, f"{peer.ratio:.1f}", f"{peer.ratio_of_runs:.1f}", f"{peer.pixels_differ:.3%}"]


def _score_block(scores: list[Score]) -> str:
    names = list(scores[0].f1)
    rows = [
        [f"{score.data} test, {len(score.photographs)} photograph(s)", *(f"{score.f1[name]:.4f}" for name in names)]
        for score in scores
    ]
    return render_table(["F1 at the model's threshold, pixels pooled in the field of view", *names], rows)
