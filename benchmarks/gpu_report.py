"""What `benchmarks.gpu` reports, as JSON and as a table; and what it is judged by."""

from dataclasses import dataclass, field

from vesselrt.benchmarks.bench_report import Score
from vesselrt.benchmarks.gpu_layer import Check
from vesselrt.benchmarks.measure import SPREAD_TITLES, FreshStart, Spread
from vesselrt.benchmarks.reports import MeasurementReport
from vesselrt.benchmarks.tables import render_table
from vesselrt.runtime.backends import Info

SCHEMA = 3
"""Of the JSON. 2 had no least time and no deviation, and p99 of any number of runs."""
REFERENCE, PEER = "reference", "torch eager fp16"
DEVICES = ("cuda:onnxruntime", "cuda:tensorrt_rtx", "cuda:tensorrt")

MAX_AROUND, MIN_FASTER = 1.3, 3.0
AROUND = f"end to end <= {MAX_AROUND:g} x max(engine, codec)"
FASTER = f"engine >= {MIN_FASTER:g} x faster than {PEER}"


@dataclass(frozen=True)
class Figures:
    """One column on one photograph."""

    end_to_end: Spread
    engine: Spread
    """Time in the network."""
    codec: Spread
    """Reading the photograph and writing the mask."""
    pixels_differ: float
    """Share of the pixels at which its mask is not the reference's."""
    runs: int
    """That were timed."""


@dataclass
class GpuRow:
    """One column, filled as it is measured."""

    column: str
    info: Info | None = None
    """What really ran."""
    refusal: str = ""
    """Why it did not run, or not to the end; empty: it did."""
    starts: list[FreshStart] = field(default_factory=list)
    """Processes of their own, in order; none for PyTorch. The first finds no engine and no kernels in vesselrt's cache:
    it has the time of their compilation in `load_s`, and of what the first call still compiles in `first_ms`."""
    load_s: float | None = None
    """In the process of the measurements, after `starts`."""
    first_ms: float | None = None
    """The first call there; of torch.compile with the compilation."""
    photos: dict[str, Figures] = field(default_factory=dict)
    f1: float | None = None


@dataclass(frozen=True)
class Judgement:
    """A claim, held against one column on one photograph; the times are medians."""

    claim: str
    column: str
    photo: str
    value: float | None
    holds: bool | None
    """None: not judged, since a column that it needs did not run."""


@dataclass(frozen=True, kw_only=True)
class GpuReport(MeasurementReport):
    """All figures."""

    gpu: dict[str, str]
    """name, target (its compute capability), and what nvidia-smi tells; or `missing`: why there is none."""
    runs: int
    """Of each column on each photograph, at most; see `Figures.runs`."""
    photos: dict[str, str]
    """Photograph → where its pixels come from."""
    layer: list[Check]
    """The way to the GPU with a network that needs no TensorRT; empty without a GPU."""
    rows: list[GpuRow]
    scores: list[Score]
    """F1 of each column; empty without --data."""
    seconds: float
    """That the whole measurement took so far."""
    judgements: list[Judgement]

    def table(self) -> str:
        """For the terminal."""
        gpu = self.gpu.get("missing") or ", ".join(self.gpu.values())
        ran = [(row.column, row.info) for row in self.rows if row.info is not None]
        refused = [(row.column, row.refusal) for row in self.rows if row.refusal]
        head = (
            f"{self.model['name']} {self.model['version']}; GPU: {gpu}",
            f"{self.machine['cpu']}, {self.machine['cores']} cores, {self.machine['os']}",
            f"up to {self.runs} runs each, ms; measured in {self.seconds:.0f} s",
        )
        blocks = ["\n".join(head), render_table(["column", "ran"], ran, texts=2)]
        blocks += [render_table(["column", "did not run, or not to the end"], refused, texts=2)] if refused else []
        if self.layer:
            titles = ["the way to the GPU, with a network that needs no TensorRT", "", "seen"]
            blocks.append(render_table(titles, map(_check_row, self.layer), texts=3))
        blocks += [f"{name} ({source})\n{_photo_table(name, self.rows)}" for name, source in self.photos.items()]
        blocks += [_start_table(self.rows), _judgement_table(self.judgements)]
        return "\n\n".join(blocks)


def judge(rows: list[GpuRow], photos: list[str]) -> list[Judgement]:
    """Both claims for vesselrt's columns on the GPU, on each photograph."""
    peer = next(row for row in rows if row.column == PEER)
    found = []
    for row in rows:
        if row.column not in DEVICES:
            continue
        for photo in photos:
            own, other = row.photos.get(photo), peer.photos.get(photo)
            around = None if own is None else own.end_to_end.p50 / max(own.engine.p50, own.codec.p50)
            faster = None if own is None or other is None else other.engine.p50 / own.engine.p50
            found += [
                Judgement(AROUND, row.column, photo, around, None if around is None else around <= MAX_AROUND),
                Judgement(FASTER, row.column, photo, faster, None if faster is None else faster >= MIN_FASTER),
            ]
    return found


def _photo_table(photo: str, rows: list[GpuRow]) -> str:
    parts = [f"{part} {p}" for part in ("engine", "end to end") for p in SPREAD_TITLES]
    titles = ["column, ms", *parts, "codec p50", "pixels that differ", "F1"]
    cells = []
    for row in rows:
        own = row.photos.get(photo)
        if own is not None:
            times = (*own.engine.cells(2), *own.end_to_end.cells(2), f"{own.codec.p50:.2f}")
            f1 = "" if row.f1 is None else f"{row.f1:.4f}"
            cells.append([row.column, *times, f"{own.pixels_differ:.4%}", f1])
    return render_table(titles, cells)


def _start_table(rows: list[GpuRow]) -> str:
    titles = ["until it runs", "load s", "first call ms", "fresh processes, s (load s, first call ms)"]
    cells = []
    for row in rows:
        if row.load_s is not None:
            fresh = "; ".join(f"{s.process_s:.2f} ({s.load_s:.2f}, {s.first_ms:.0f})" for s in row.starts)
            cells.append([row.column, f"{row.load_s:.2f}", f"{row.first_ms:.0f}", fresh])
    return render_table(titles, cells)


_VERDICTS = {True: "holds", False: "FAILS", None: "not judged"}


def _check_row(check: Check) -> list[str]:
    figures = ", ".join(f"{name} {value:.4g}" for name, value in check.figures.items())
    return [check.claim, _VERDICTS[check.holds], check.reason or figures]


def _judgement_table(judgements: list[Judgement]) -> str:
    titles = ["judged, medians", "photograph", "claim", "value", "verdict"]
    cells = [
        [
            found.column,
            found.photo,
            found.claim,
            "" if found.value is None else f"{found.value:.2f}",
            _VERDICTS[found.holds],
        ]
        for found in judgements
    ]
    return render_table(titles, cells, texts=3)
