"""`vesselrt bench`: latency, throughput, memory and cold start of vesselrt, as a table and as JSON.

The JSON is a `Report`; its keys are the fields of the classes below, times are in milliseconds unless a name says
otherwise.
"""

import logging
import platform
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from json import dumps
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import cv2
import numpy as np
import typer

from vesselrt.benchmarks.measure import (
    STAGES,
    Column,
    Fresh,
    Options,
    Spread,
    Subject,
    Timed,
    counted,
    differing,
    fresh,
    interleave,
    pixels,
)
from vesselrt.benchmarks.photos import SIZES, Photo, annotated, from_file, from_size, held_out
from vesselrt.runtime.backends import Info
from vesselrt.runtime.engines.enginefile import is_engine
from vesselrt.runtime.errors import MissingExtraError, OptionError, VesselrtError
from vesselrt.runtime.files import atomic_write, check_writable
from vesselrt.runtime.hardware import machine
from vesselrt.runtime.modelfile import find_model_file, sha256
from vesselrt.runtime.segmenter import Segmenter

if TYPE_CHECKING:
    from vesselrt.benchmarks.compare import Peers

logger = logging.getLogger(__name__)

SCHEMA = 1
OURS = "vesselrt"
INTERRUPTED = 130
"""Exit code after Ctrl+C, as of a shell: 128 + SIGINT."""

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True)
class Peer:
    """Another column on the same photograph, timed in turn with vesselrt."""

    end_to_end: Spread
    ratio: float
    """Its median time / vesselrt's."""
    ratio_of_runs: float
    """Median of the ratios run by run."""
    pixels_differ: float
    """Share of the photograph's pixels at which its mask is not vesselrt's."""


@dataclass(frozen=True)
class Measured:
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
    peers: dict[str, Peer] = field(default_factory=dict)
    """Column → its figures; empty without --compare."""


@dataclass(frozen=True)
class Score:
    """F1 of each column on test photographs: pixels in the field of view, pooled, at the model's threshold."""

    data: str
    photographs: list[str]
    f1: dict[str, float]


@dataclass(frozen=True)
class Report:
    """Everything that is needed to understand the figures, and the figures."""

    schema: int
    date: str
    """UTC, ISO 8601."""
    machine: dict[str, str | int | float]
    """cpu, cores (that may be used), os, load (average over the minute before the start, where the system tells)."""
    versions: dict[str, str]
    model: dict[str, str | float]
    """name, version, sha256 (of the file), threshold."""
    info: Info
    """Backend, device and precision that were really used."""
    runs: int
    photos: list[Measured]
    scores: list[Score]
    """Empty without --compare and --data."""

    def to_json(self) -> str:
        """All figures, unrounded."""
        return dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False)

    def table(self) -> str:
        """For the terminal."""
        machine, load = self.machine, self.machine.get("load", 0.0)
        named = ", ".join(f"{name} {text}" for name, text in self.versions.items())
        head = [
            f"{self.model['name']} {self.model['version']} (sha256 {str(self.model['sha256'])[:12]}) on {self.info}",
            f"{machine['cpu']}, {machine['cores']} cores, {machine['os']}; {named}",
            f"{self.runs} runs each, bytes of a photograph to bytes of a mask PNG, ms",
        ]
        if isinstance(load, float) and load > 0.5:
            head.append(f"load {load:.1f} before the start: other work was running, and times are longer for it")
        blocks = ["\n".join(head), *(_block(photo) for photo in self.photos)]
        return "\n\n".join([*blocks, *([_scores(self.scores)] if self.scores else [])])


@dataclass(frozen=True)
class Plan:
    """What is to be measured."""

    photos: list[Photo]
    runs: int
    starts: int
    """Fresh processes for each photograph; 0: neither cold start nor memory is measured."""
    compare: bool = False
    scored: dict[str, list[Path]] = field(default_factory=dict)
    """Data set → test photographs for the F1 of each column."""


@app.command()
def bench(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WxH", help=f"Size to measure; repeat for more; default: {', '.join(SIZES)}."),
    ] = None,
    photo: Annotated[
        list[Path] | None, typer.Option(help="Photograph to measure instead of sizes; repeat for more.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Built-in model or model file; default: fundus.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, or one library of these.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, f32, bf16 or fp16.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="Processor cores to use; default: all that it may.")] = None,
    runs: Annotated[int, typer.Option(min=3, help="Timed calls on each photograph.")] = 20,
    starts: Annotated[int, typer.Option(min=0, help="Fresh processes for cold start; 0: neither it nor memory.")] = 3,
    compare: Annotated[
        bool, typer.Option("--compare", help="Run PyTorch and ONNX Runtime with MONAI beside it.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder of CHASE_DB1 and HRF: photographs for the sizes, and F1 with --compare.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="With --compare and --data: test photographs of each set.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Write all figures to this file.")] = None,
) -> None:
    """Measure latency, throughput, memory and cold start, from the bytes of a photograph to the bytes of its mask.

    Sizes are made from a real photograph with --data, else from a synthetic one. Every timed mask is checked.
    """
    if size and photo:
        raise OptionError("--size and --photo exclude each other: a photograph has its own size.")
    scored = {name: paths[:images] for name, paths in held_out(data).items()} if compare and data is not None else {}
    if json is not None:
        check_writable(json)
    photos = [from_file(p) for p in photo] if photo else [from_size(s, data) for s in size or SIZES]
    plan = Plan(photos, runs, starts, compare, scored)
    report = run(Options(model, device, precision, threads), plan)
    typer.echo(report.table())
    if json is not None:
        with atomic_write(json) as name:
            name.write_text(report.to_json() + "\n", "utf-8")
    if len(report.photos) < len(photos) or len(report.scores) < len(scored):
        logger.info("interrupted: %d of %d photographs were measured", len(report.photos), len(photos))
        raise typer.Exit(INTERRUPTED)


def run(options: Options, plan: Plan) -> Report:
    """Loads the model and measures it; progress goes to the error stream.

    Interrupted, the report holds the photographs that were measured by then. Raises VesselrtError when a mask changes
    from run to run, MissingExtraError when `--compare` lacks PyTorch.
    """
    where = machine()  # first: its load is that of others
    path = find_model_file(options.model)
    if plan.compare and is_engine(path):
        raise OptionError(f"{path} is an engine: --compare needs the model file, with --device cuda.")
    with options.load() as segmenter:
        manifest, info, subject = segmenter.manifest, segmenter.info, Subject(segmenter)
        peers = _peers(path, segmenter) if plan.compare else None
        measured: list[Measured] = []
        scores: list[Score] = []
        try:
            for photo in plan.photos:
                logger.info("%s (%s): %d runs", photo.name, photo.source, plan.runs)
                found, mask = measure(subject, photo, plan.runs, peers.columns(photo.data) if peers else {})
                if plan.starts:
                    found = replace(found, fresh=fresh(options, photo, mask, plan.starts))
                measured.append(found)
            if peers is not None:
                columns = partial(_columns, subject, peers)
                scores += [score(name, paths, columns) for name, paths in plan.scored.items()]
        except KeyboardInterrupt:  # Ctrl+C: what was measured is worth its minutes
            if not measured:
                raise
    return Report(
        schema=SCHEMA,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=where,
        versions=_versions(info, compare=plan.compare),
        model={
            "name": manifest.name,
            "version": manifest.version,
            "sha256": sha256(path),
            "threshold": manifest.threshold,
        },
        info=info,
        runs=plan.runs,
        photos=measured,
        scores=scores,
    )


def measure(subject: Subject, photo: Photo, runs: int, others: dict[str, Column]) -> tuple[Measured, bytes]:
    """Times vesselrt on a photograph, in turn with `others`; the figures, and its mask as PNG.

    Raises VesselrtError when a timed run gives another mask than the first one.
    """
    subject.calls.clear()
    timed = interleave({OURS: subject, **others}, photo.data, runs)
    calls, ours = counted(subject, runs, len(timed)), timed.pop(OURS)
    network = np.array([call["network"] for call in calls])
    total = np.array(ours.milliseconds)
    measured = Measured(
        photo=photo.name,
        source=photo.source,
        width=photo.width,
        height=photo.height,
        bytes=len(photo.data),
        stages={stage: Spread.of(call[stage] for call in calls) for stage in STAGES},
        network=Spread.of(network),
        end_to_end=Spread.of(total),
        images_per_second=float(1e3 * runs / total.sum()),
        beside_network=float(np.median((total - network) / network)),
        peers={name: _peer(other, ours) for name, other in timed.items()},
    )
    return measured, ours.mask


def _columns(subject: Subject, peers: "Peers", data: bytes) -> dict[str, Column]:
    return {OURS: subject, **peers.columns(data)}


def _peer(other: Timed, ours: Timed) -> Peer:
    pairs = zip(other.milliseconds, ours.milliseconds, strict=True)
    return Peer(
        end_to_end=Spread.of(other.milliseconds),
        ratio=median(other.milliseconds) / median(ours.milliseconds),
        ratio_of_runs=median(a / b for a, b in pairs),
        pixels_differ=differing(other.mask, ours.mask),
    )


def score(name: str, paths: list[Path], columns: Callable[[bytes], dict[str, Column]]) -> Score:
    """F1 of every column on annotated photographs, 2 TP / (2 TP + FP + FN) over all pixels in their fields of view.

    `columns` gives those for a photograph.
    """
    hits: Counter[str] = Counter()
    marked: Counter[str] = Counter()  # found + true: 2 TP + FP + FN
    for path in paths:
        logger.info("F1 on %s %s", name, path.name)
        sample = annotated(name, path)
        truth = sample.truth & sample.inside
        for column, segment in columns(sample.data).items():
            found = pixels(segment(sample.data)) & sample.inside
            hits[column] += int((found & truth).sum())
            marked[column] += int(found.sum() + truth.sum())
    return Score(name, [p.name for p in paths], {c: 2 * hits[c] / marked[c] for c in marked})


def _peers(path: Path, segmenter: Segmenter) -> "Peers":
    try:
        from vesselrt.benchmarks.compare import Peers
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vesselrt"):
            raise
        raise MissingExtraError.of("vesselrt bench --compare", "bench") from None
    return Peers(path, segmenter.manifest, segmenter.info.threads)


def _versions(info: Info, *, compare: bool) -> dict[str, str]:
    found = {
        "vesselrt": version("vesselrt"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        info.backend: info.version,
    }
    if compare:
        found |= {name: version(name) for name in ("pillow", "torch", "monai", "onnx", "onnxruntime")}
    return found


def _block(photo: Measured) -> str:
    """One photograph: a row for each percentile, then what has no percentiles."""
    columns = {**photo.stages, "end to end": photo.end_to_end}
    titles = [name for stage in columns for name in ((stage, "(network)") if stage == "infer" else (stage,))]
    spreads = {**columns, "(network)": photo.network}
    lines = [
        f"{photo.photo} ({photo.source}, {photo.bytes / 1e3:.0f} kB)",
        "     " + "".join(f"{title:>12}" for title in titles),
        *(f"  {p}" + "".join(f"{getattr(spreads[t], p):12.1f}" for t in titles) for p in ("p50", "p95", "p99")),
        f"  {photo.images_per_second:.1f} images/s; all but the network takes {photo.beside_network:.1%} of its time",
    ]
    if photo.fresh is not None:
        starts, peak = photo.fresh.cold_start_s, photo.fresh.peak_memory_mb
        memory = "unknown" if peak is None else f"{peak:.0f} MB"
        cold = f"{median(starts):.2f} s (median of {len(starts)}, best {min(starts):.2f})"
        lines.append(f"  cold start to first mask {cold}; peak memory {memory}")
    for name, peer in photo.peers.items():
        times = "  ".join(f"{p} {getattr(peer.end_to_end, p):.1f}" for p in ("p50", "p95", "p99"))
        lines.append(f"  {name}: {times}; {peer.ratio:.1f} x vesselrt's p50, {peer.ratio_of_runs:.1f} x run by run;")
        lines.append(f"    its mask differs in {peer.pixels_differ:.3%} of the pixels")
    return "\n".join(lines)


def _scores(scores: list[Score]) -> str:
    names = list(scores[0].f1)
    width = max(len(_title(s)) for s in scores)
    lines = ["F1 at the model's threshold, pixels pooled in the field of view"]
    lines.append(f"  {'':{width}}" + "".join(f"{name:>20}" for name in names))
    lines += [f"  {_title(s):{width}}" + "".join(f"{s.f1[name]:20.4f}" for name in names) for s in scores]
    return "\n".join(lines)


def _title(found: Score) -> str:
    return f"{found.data} test, {len(found.photographs)} photograph(s)"


def main() -> None:
    """`python -m vesselrt.benchmarks.bench`: errors become one line and exit code 1."""
    try:
        app()
    except VesselrtError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
