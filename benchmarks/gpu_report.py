"""What `benchmarks.gpu` reports, as JSON and as a table; and what it is judged by."""

from dataclasses import asdict, dataclass, field
from json import dumps

from vesselrt.benchmarks.bench import Score
from vesselrt.benchmarks.gpu_layer import Check
from vesselrt.benchmarks.measure import Spread, Start
from vesselrt.runtime.backends import Info

SCHEMA = 2
REFERENCE, PEER = "reference", "torch eager fp16"
DEVICES = ("cuda:onnxruntime", "cuda:tensorrt_rtx", "cuda:tensorrt")

MOST_AROUND, LEAST_FASTER = 1.3, 3.0
AROUND = f"end to end <= {MOST_AROUND:g} x max(engine, codec)"
FASTER = f"engine >= {LEAST_FASTER:g} x faster than {PEER}"


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
class Row:
    """One column, filled as it is measured."""

    column: str
    info: Info | None = None
    """What really ran."""
    refusal: str = ""
    """Why it did not run, or not to the end; empty: it did."""
    starts: list[Start] = field(default_factory=list)
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


@dataclass(frozen=True)
class Report:
    """Times are in milliseconds unless a name says otherwise."""

    schema: int
    date: str
    """UTC, ISO 8601."""
    machine: dict[str, str | int | float]
    """As in `bench.Report`."""
    gpu: dict[str, str]
    """name, target (its compute capability), and what nvidia-smi tells; or `missing`: why there is none."""
    versions: dict[str, str]
    model: dict[str, str | float]
    runs: int
    """Of each column on each photograph, at most; see `Figures.runs`."""
    photos: dict[str, str]
    """Photograph → where its pixels come from."""
    layer: list[Check]
    """The way to the GPU with a network that needs no TensorRT; empty without a GPU."""
    rows: list[Row]
    scores: list[Score]
    """F1 of each column; empty without --data."""
    seconds: float
    """That the whole measurement took so far."""
    judgements: list[Judgement]

    def to_json(self) -> str:
        """All figures, unrounded."""
        return dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)

    def table(self) -> str:
        """For the terminal."""
        gpu = self.gpu.get("missing") or ", ".join(self.gpu.values())
        head = [
            f"{self.model['name']} {self.model['version']}; GPU: {gpu}",
            f"{self.machine['cpu']}, {self.machine['cores']} cores, {self.machine['os']}",
            f"up to {self.runs} runs each, ms; measured in {self.seconds:.0f} s",
        ]
        columns = [f"  {row.column:22}{row.info}" for row in self.rows if row.info is not None]
        refused = [f"  {row.column:22}{row.refusal}" for row in self.rows if row.refusal]
        blocks = [head, ["ran", *columns]] + ([["did not run, or not to the end", *refused]] if refused else [])
        if self.layer:
            blocks.append(["the way to the GPU, with a network that needs no TensorRT", *map(_checked, self.layer)])
        blocks += [_photo_block(f"{name} ({source})", name, self.rows) for name, source in self.photos.items()]
        blocks.append(_starts_block(self.rows))
        blocks.append(["judged, medians", *(_judged(found) for found in self.judgements)])
        return "\n\n".join("\n".join(block) for block in blocks)


def judge(rows: list[Row], photos: list[str]) -> list[Judgement]:
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
                Judgement(AROUND, row.column, photo, around, None if around is None else around <= MOST_AROUND),
                Judgement(FASTER, row.column, photo, faster, None if faster is None else faster >= LEAST_FASTER),
            ]
    return found


def _photo_block(title: str, photo: str, rows: list[Row]) -> list[str]:
    heads = ("engine p50", "p95", "p99", "end to end p50", "p95", "p99", "codec p50")
    lines = [title, f"  {'':22}" + "".join(f"{head:>15}" for head in heads) + f"{'differs':>12}{'F1':>9}"]
    for row in rows:
        own = row.photos.get(photo)
        if own is not None:
            times = (*asdict(own.engine).values(), *asdict(own.end_to_end).values(), own.codec.p50)
            f1 = "" if row.f1 is None else f"{row.f1:.4f}"
            figures = "".join(f"{t:15.2f}" for t in times)
            lines.append(f"  {row.column:22}{figures}{own.pixels_differ:12.4%}{f1:>9}")
    return lines


def _starts_block(rows: list[Row]) -> list[str]:
    lines = ["until it runs: load s, first call ms; of fresh processes whole s (load s, first call ms)"]
    for row in rows:
        if row.load_s is not None:
            fresh = "; ".join(f"{s.process_s:.2f} ({s.load_s:.2f}, {s.first_ms:.0f})" for s in row.starts)
            lines.append(f"  {row.column:22}{row.load_s:9.2f}{row.first_ms:9.0f}   {fresh}".rstrip())
    return lines


_VERDICTS = {True: "holds", False: "FAILS", None: "not judged"}


def _checked(found: Check) -> str:
    figures = ", ".join(f"{name} {value:.4g}" for name, value in found.figures.items())
    return f"  {_VERDICTS[found.holds]:12}{found.claim}{': ' * bool(figures or found.reason)}{found.reason or figures}"


def _judged(found: Judgement) -> str:
    verdict = _VERDICTS[found.holds]
    value = "" if found.value is None else f"{found.value:.2f}"
    return f"  {found.column:22}{found.photo:16}{found.claim:52}{value:>8}  {verdict}"
