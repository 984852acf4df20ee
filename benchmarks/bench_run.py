"""The measurement of `vesselrt bench`: a plan becomes a report."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vesselrt.benchmarks.against import check_same_work
from vesselrt.benchmarks.bench_report import (
    END_TO_END,
    NETWORK,
    SCHEMA,
    BenchReport,
    Effort,
    JudgedNetwork,
    PeerFigures,
    PhotoFigures,
    Score,
)
from vesselrt.benchmarks.benchmark_app import find_objection, judge_network
from vesselrt.benchmarks.machine_facts import describe_afterwards, describe_machine
from vesselrt.benchmarks.measure import (
    STAGES,
    Column,
    LoadOptions,
    PeerColumn,
    Spread,
    Subject,
    Timed,
    interleave,
    levels_from_png,
    measure_fresh,
    share_differing,
    timed_calls,
)
from vesselrt.benchmarks.mixed import MixedCameras, measure_mixed
from vesselrt.benchmarks.photos import Photo
from vesselrt.benchmarks.reports import report_head
from vesselrt.benchmarks.throughput import measure_throughput
from vesselrt.runtime.engines.enginefile import is_engine
from vesselrt.runtime.errors import MissingExtraError, OptionError, VesselrtError
from vesselrt.runtime.modelfile import find_model_file, loaded_file
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.training.data.samples import Sample, read_inside, read_truth_of

if TYPE_CHECKING:
    from vesselrt.benchmarks.compare import Peers

logger = logging.getLogger(__name__)

OURS, JUDGE = "vesselrt", "benchmark_app"
_PEER_PACKAGES = ("pillow", "torch", "monai", "onnx", "onnxruntime")
_MOST_RUNS = 100_000  # of a duration


@dataclass(frozen=True)
class BenchPlan:
    """What to measure, and how."""

    load: LoadOptions
    photos: list[Photo]
    effort: Effort
    starts: int
    """Fresh processes for each photograph; 0: neither cold start nor memory is measured."""
    compare: bool = False
    """Whether PyTorch, ONNX Runtime and OpenVINO with MONAI run beside it."""
    scored: dict[str, list[Sample]] = field(default_factory=dict)
    """Data set → test photographs for the F1 of each column."""
    mixed: bool = False
    """Whether a folder of many cameras is measured too, on drawn photographs."""
    against: BenchReport | None = None
    """What it is to be compared with; of other work, it is refused before anything is measured."""


def run_bench(plan: BenchPlan) -> BenchReport:
    """Loads the model and measures it; progress goes to the error stream.

    Interrupted, the report holds the photographs that were measured by then. Raises VesselrtError when a mask changes
    from run to run, MissingExtraError when `--compare` lacks PyTorch, DataError when `against` is of other work.
    """
    where = describe_machine()  # first: its load is that of others
    path = find_model_file(plan.load.model)
    if plan.compare and is_engine(path):
        raise OptionError(f"{path} is an engine: --compare needs the model file, with --device cuda.")
    if plan.compare and plan.load.tta != "none":
        raise OptionError("--compare is of one map: the others neither flip nor turn. Leave out --tta or --compare.")
    with plan.load.load() as segmenter:
        manifest, info = segmenter.manifest, segmenter.info
        versions = {"numpy": np.__version__, "opencv": cv2.__version__, info.backend: info.version}
        if plan.compare:
            versions |= {name: version(name) for name in _PEER_PACKAGES}
        head = report_head(SCHEMA, where, path, manifest, versions)
        if plan.against is not None:
            check_same_work(plan.against, head["model"], info, {photo.name: photo for photo in plan.photos})
        found = _measure(plan, path, segmenter)
    head["machine"] |= describe_afterwards()
    return BenchReport(**head, info=info, effort=plan.effort, **vars(found))


@dataclass
class _Found:
    """What was measured so far."""

    photos: list[PhotoFigures] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    mixed: MixedCameras | None = None


def _measure(plan: BenchPlan, path: Path, segmenter: Segmenter) -> _Found:
    """All figures, or those that were measured before Ctrl+C."""
    subject, peers = Subject(segmenter, plan.effort.batch), _load_peers(path, segmenter) if plan.compare else None
    found = _Found()
    if peers is not None:
        found.left_out |= peers.left_out
    try:
        for photo in plan.photos:
            logger.info("%s (%s): %s", photo.name, photo.source, plan.effort)
            figures, mask = measure_photo(subject, photo, plan.effort, peers.columns(photo.data) if peers else {})
            if plan.effort.concurrency > 1:
                alone = figures.images_per_second
                many = measure_throughput(OURS, subject.segment_unrecorded, photo.data, plan.effort, alone)
                figures = replace(figures, throughput=many)
            if plan.compare:
                figures = replace(figures, judged=_judge(path, segmenter, figures, found.left_out))
            if plan.starts:
                # A process of its own gives the network as many windows as suits the device.
                expected = mask if plan.effort.batch is None else segmenter.segment(photo.data).encode("mask")
                figures = replace(figures, fresh=measure_fresh(plan.load, photo, expected, plan.starts))
            found.photos.append(figures)
        if plan.mixed:
            found.mixed = measure_mixed(segmenter)
        if peers is not None:
            columns = partial(_columns_beside, subject, peers)
            classes = segmenter.manifest.class_names
            found.scores += [score_columns(name, samples, columns, classes) for name, samples in plan.scored.items()]
    except KeyboardInterrupt:  # Ctrl+C: what was measured is worth its minutes
        if not found.photos:
            raise
    return found


def measure_photo(
    subject: Subject, photo: Photo, effort: Effort, others: Mapping[str, PeerColumn]
) -> tuple[PhotoFigures, bytes]:
    """Times vesselrt on a photograph, in turn with `others`; the figures, and its mask as PNG.

    Raises VesselrtError when a timed run gives another mask than the first one.
    """
    subject.calls.clear()
    columns: dict[str, Column] = {OURS: subject, **others}
    runs = effort.runs if effort.duration is None else _MOST_RUNS
    timed = interleave(columns, photo.data, runs, effort.duration, warm_up=effort.warm_up)
    ours = timed.pop(OURS)
    calls = timed_calls(subject, len(ours.milliseconds), len(columns))
    samples = {part: [call[part] for call in calls] for part in (*STAGES, NETWORK)}
    network, total = np.array(samples[NETWORK]), np.array(ours.milliseconds)
    figures = PhotoFigures(
        photo=photo.name,
        source=photo.source,
        width=photo.width,
        height=photo.height,
        bytes=len(photo.data),
        windows=subject.windows,
        stages={stage: Spread.of(samples[stage]) for stage in STAGES},
        network=Spread.of(network),
        end_to_end=Spread.of(total),
        images_per_second=float(1e3 * len(total) / total.sum()),
        beside_network=float(np.median((total - network) / network)),
        samples={**samples, END_TO_END: ours.milliseconds},
        peers={name: _compare_times(other, ours, others[name]) for name, other in timed.items()},
    )
    return figures, ours.mask


def _compare_times(other: Timed, ours: Timed, column: PeerColumn) -> PeerFigures:
    pairs = zip(other.milliseconds, ours.milliseconds, strict=True)
    return PeerFigures(
        precision=column.precision,
        end_to_end=Spread.of(other.milliseconds),
        ratio=median(other.milliseconds) / median(ours.milliseconds),
        ratio_of_runs=median(a / b for a, b in pairs),
        pixels_differ=share_differing(other.mask, ours.mask),
        samples=other.milliseconds,
    )


def _judge(path: Path, segmenter: Segmenter, figures: PhotoFigures, left_out: dict[str, str]) -> JudgedNetwork | None:
    """What benchmark_app says of the network on a photograph; None, and why in `left_out`, where it says nothing."""
    objection = find_objection(segmenter.info)
    if objection is None:
        file, runs = loaded_file(path, segmenter.manifest), len(figures.samples[NETWORK])
        try:
            return judge_network(file, segmenter.info, figures.windows, runs, figures.network.p50)
        except VesselrtError as error:
            objection = str(error)
    left_out[JUDGE] = objection
    return None


def _columns_beside(subject: Subject, peers: "Peers", data: bytes) -> dict[str, Column]:
    return {OURS: subject, **peers.columns(data)}


def score_columns(
    name: str,
    samples: list[Sample],
    columns: Callable[[bytes], dict[str, Column]],
    classes: Sequence[str] = ("vessel",),
) -> Score:
    """F1 of every column on annotated photographs, 2 TP / (2 TP + FP + FN) over all pixels in their fields of view, and
    over all classes.

    `columns` gives those for a photograph's bytes. Raises DataError when a mask can't be read.
    """
    hits: Counter[str] = Counter()
    marked: Counter[str] = Counter()  # found + true: 2 TP + FP + FN
    for sample in samples:
        logger.info("F1 on %s %s", name, sample.image.name)
        truth = read_truth_of(sample, classes)
        inside = read_inside(sample, truth.masks[0])
        inside = inside if truth.ignored is None else inside & ~truth.ignored
        data = sample.image.read_bytes()
        for column, segment in columns(data).items():
            levels = levels_from_png(segment(data))
            for number, there in enumerate(truth.masks, 1):
                found = ((levels == number) if len(classes) > 1 else levels > 0) & inside
                hits[column] += int((found & there).sum())
                marked[column] += int(found.sum() + (there & inside).sum())
    return Score(name, [sample.image.name for sample in samples], {c: 2 * hits[c] / marked[c] for c in marked})


def _load_peers(path: Path, segmenter: Segmenter) -> "Peers":
    try:
        from vesselrt.benchmarks.compare import Peers
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("vesselrt"):
            raise
        raise MissingExtraError.of("vesselrt bench --compare", "bench") from None
    return Peers(path, segmenter.manifest, segmenter.info)
