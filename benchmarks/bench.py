"""`vesselrt bench`: latency, throughput, memory and cold start of vesselrt, as a table and as JSON."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import cv2
import numpy as np
import typer

from vesselrt.benchmarks.bench_report import SCHEMA, BenchReport, PeerFigures, PhotoFigures, Score
from vesselrt.benchmarks.measure import (
    STAGES,
    Column,
    LoadOptions,
    Spread,
    Subject,
    Timed,
    interleave,
    mask_from_png,
    measure_fresh,
    share_differing,
    timed_calls,
)
from vesselrt.benchmarks.options import DeviceName, JsonFile, ModelName, PhotoFiles, PrecisionName, ThreadCount
from vesselrt.benchmarks.photos import SIZES, Photo, choose_photos, held_out
from vesselrt.benchmarks.reports import report_head
from vesselrt.runtime.engines.enginefile import is_engine
from vesselrt.runtime.errors import MissingExtraError, OptionError, as_command
from vesselrt.runtime.files import check_writable
from vesselrt.runtime.hardware import machine
from vesselrt.runtime.modelfile import find_model_file
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.training.data.samples import Sample, read_inside

if TYPE_CHECKING:
    from vesselrt.benchmarks.compare import Peers

logger = logging.getLogger(__name__)

OURS = "vesselrt"
INTERRUPTED = 130
"""Exit code after Ctrl+C, as of a shell: 128 + SIGINT."""
_PEER_PACKAGES = ("pillow", "torch", "monai", "onnx", "onnxruntime")

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True)
class BenchPlan:
    """What to measure, and how."""

    load: LoadOptions
    photos: list[Photo]
    runs: int
    """Timed calls on each photograph."""
    starts: int
    """Fresh processes for each photograph; 0: neither cold start nor memory is measured."""
    compare: bool = False
    """Whether PyTorch and ONNX Runtime with MONAI run beside it."""
    scored: dict[str, list[Sample]] = field(default_factory=dict)
    """Data set → test photographs for the F1 of each column."""


@app.command()
def bench_command(  # noqa: PLR0913, PLR0917 - a command's options are its parameters
    size: Annotated[
        list[str] | None,
        typer.Option(metavar="WxH", help=f"Size to measure; repeat for more; default: {', '.join(SIZES)}."),
    ] = None,
    photo: PhotoFiles = None,
    model: ModelName = None,
    device: DeviceName = "auto",
    precision: PrecisionName = "auto",
    threads: ThreadCount = None,
    runs: Annotated[int, typer.Option(min=3, help="Timed calls on each photograph.")] = 20,
    starts: Annotated[int, typer.Option(min=0, help="Fresh processes for cold start; 0: neither it nor memory.")] = 3,
    compare: Annotated[
        bool, typer.Option("--compare", help="Run PyTorch and ONNX Runtime with MONAI beside it.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder of CHASE_DB1 and HRF: photographs for the sizes, and F1 with --compare.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="With --compare and --data: test photographs of each set.")] = 2,
    json: JsonFile = None,
) -> None:
    """Measure latency, throughput, memory and cold start, from the bytes of a photograph to the bytes of its mask.

    Sizes are made from a real photograph with --data, else from a synthetic one. Every timed mask is checked.
    """
    if json is not None:
        check_writable(json)
    scored = {name: s[:images] for name, s in held_out(data).items()} if compare and data is not None else {}
    photos = choose_photos(size, photo, data, SIZES)
    report = run_bench(BenchPlan(LoadOptions(model, device, precision, threads), photos, runs, starts, compare, scored))
    typer.echo(report.table())
    report.write(json)
    if len(report.photos) < len(photos) or len(report.scores) < len(scored):
        logger.info("interrupted: %d of %d photographs were measured", len(report.photos), len(photos))
        raise typer.Exit(INTERRUPTED)


def run_bench(plan: BenchPlan) -> BenchReport:
    """Loads the model and measures it; progress goes to the error stream.

    Interrupted, the report holds the photographs that were measured by then. Raises VesselrtError when a mask changes
    from run to run, MissingExtraError when `--compare` lacks PyTorch.
    """
    where = machine()  # first: its load is that of others
    path = find_model_file(plan.load.model)
    if plan.compare and is_engine(path):
        raise OptionError(f"{path} is an engine: --compare needs the model file, with --device cuda.")
    with plan.load.load() as segmenter:
        manifest, info = segmenter.manifest, segmenter.info
        photos, scores = _measure(plan, path, segmenter)
    versions = {"numpy": np.__version__, "opencv": cv2.__version__, info.backend: info.version}
    if plan.compare:
        versions |= {name: version(name) for name in _PEER_PACKAGES}
    head = report_head(SCHEMA, where, path, manifest, versions)
    return BenchReport(**head, info=info, runs=plan.runs, photos=photos, scores=scores)


def _measure(plan: BenchPlan, path: Path, segmenter: Segmenter) -> tuple[list[PhotoFigures], list[Score]]:
    """All figures, or those that were measured before Ctrl+C."""
    subject, peers = Subject(segmenter), _load_peers(path, segmenter) if plan.compare else None
    photos: list[PhotoFigures] = []
    scores: list[Score] = []
    try:
        for photo in plan.photos:
            logger.info("%s (%s): %d runs", photo.name, photo.source, plan.runs)
            found, mask = measure_photo(subject, photo, plan.runs, peers.columns(photo.data) if peers else {})
            if plan.starts:
                found = replace(found, fresh=measure_fresh(plan.load, photo, mask, plan.starts))
            photos.append(found)
        if peers is not None:
            columns = partial(_columns_beside, subject, peers)
            scores += [score_columns(name, samples, columns) for name, samples in plan.scored.items()]
    except KeyboardInterrupt:  # Ctrl+C: what was measured is worth its minutes
        if not photos:
            raise
    return photos, scores


def measure_photo(subject: Subject, photo: Photo, runs: int, others: dict[str, Column]) -> tuple[PhotoFigures, bytes]:
    """Times vesselrt on a photograph, in turn with `others`; the figures, and its mask as PNG.

    Raises VesselrtError when a timed run gives another mask than the first one.
    """
    subject.calls.clear()
    timed = interleave({OURS: subject, **others}, photo.data, runs)
    calls, ours = timed_calls(subject, runs, len(timed)), timed.pop(OURS)
    network = np.array([call["network"] for call in calls])
    total = np.array(ours.milliseconds)
    figures = PhotoFigures(
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
        peers={name: _compare_times(other, ours) for name, other in timed.items()},
    )
    return figures, ours.mask


def _compare_times(other: Timed, ours: Timed) -> PeerFigures:
    pairs = zip(other.milliseconds, ours.milliseconds, strict=True)
    return PeerFigures(
        end_to_end=Spread.of(other.milliseconds),
        ratio=median(other.milliseconds) / median(ours.milliseconds),
        ratio_of_runs=median(a / b for a, b in pairs),
        pixels_differ=share_differing(other.mask, ours.mask),
    )


def _columns_beside(subject: Subject, peers: "Peers", data: bytes) -> dict[str, Column]:
    return {OURS: subject, **peers.columns(data)}


def score_columns(name: str, samples: list[Sample], columns: Callable[[bytes], dict[str, Column]]) -> Score:
    """F1 of every column on annotated photographs, 2 TP / (2 TP + FP + FN) over all pixels in their fields of view.

    `columns` gives those for a photograph's bytes. Raises DataError when a mask can't be read.
    """
    hits: Counter[str] = Counter()
    marked: Counter[str] = Counter()  # found + true: 2 TP + FP + FN
    for sample in samples:
        logger.info("F1 on %s %s", name, sample.image.name)
        truth = sample.read_truth()
        inside = read_inside(sample, truth)
        truth = truth & inside
        data = sample.image.read_bytes()
        for column, segment in columns(data).items():
            found = mask_from_png(segment(data)) & inside
            hits[column] += int((found & truth).sum())
            marked[column] += int(found.sum() + truth.sum())
    return Score(name, [sample.image.name for sample in samples], {c: 2 * hits[c] / marked[c] for c in marked})


def _load_peers(path: Path, segmenter: Segmenter) -> "Peers":
    try:
        from vesselrt.benchmarks.compare import Peers
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vesselrt"):
            raise
        raise MissingExtraError.of("vesselrt bench --compare", "bench") from None
    return Peers(path, segmenter.manifest, segmenter.info.threads)


def main() -> None:
    """`python -m vesselrt.benchmarks.bench`: errors become one line and exit code 1."""
    with as_command():
        app()


if __name__ == "__main__":
    main()
