"""The tables of `vesselrt bench`, for the terminal."""

from collections.abc import Iterator
from statistics import median

from vesselrt.benchmarks.bench_report import BenchReport, Effort, PeerFigures, PhotoFigures, Score
from vesselrt.benchmarks.measure import SPREAD_TITLES, Spread
from vesselrt.benchmarks.mixed import MixedCameras
from vesselrt.benchmarks.tables import render_table

_BUSY_LOAD = 0.5  # of other processes, before the start


def table_from_report(report: BenchReport) -> str:
    """The whole report but its samples."""
    blocks = ["\n".join(_head_lines(report))]
    blocks += [_photo_block(photo, report.info.precision) for photo in report.photos]
    if report.mixed is not None:
        blocks.append(_mixed_block(report.mixed))
    if report.scores:
        blocks.append(_score_block(report.scores))
    if report.left_out:
        blocks.append("\n".join(f"{column}: {reason}" for column, reason in report.left_out.items()))
    return "\n\n".join(blocks)


def _head_lines(report: BenchReport) -> Iterator[str]:
    machine, model = report.machine, report.model
    yield f"{model['name']} {model['version']} (sha256 {str(model['sha256'])[:12]}) on {report.info}"
    named = ", ".join(f"{name} {text}" for name, text in report.versions.items())
    yield f"{machine['cpu']}, {machine['cores']} cores, {machine['os']}; {named}"
    yield f"{_describe_effort(report.effort)}, bytes of a photograph to bytes of a mask PNG, ms"
    load = machine.get("load", 0.0)
    if load > _BUSY_LOAD:
        yield f"load {load:.1f} before the start: other work was running, and made these times longer"


def _describe_effort(effort: Effort) -> str:
    many = f"{effort.runs} runs each" if effort.duration is None else f"{effort.duration:g} s each"
    batch = "" if effort.batch is None else f", up to {effort.batch} windows at once"
    return f"{many} after {effort.warm_up} that do not count{batch}"


def _photo_block(photo: PhotoFigures, precision: str) -> str:
    """One photograph: a row for each part of the time, then what has no percentiles."""
    spreads: dict[str, Spread] = {}
    for stage, spread in photo.stages.items():
        spreads[stage] = spread
        if stage == "infer":
            spreads["(network)"] = photo.network
    spreads["end to end"] = photo.end_to_end
    lines = [
        f"{photo.photo} ({photo.source}, {photo.bytes / 1e3:.0f} kB)",
        render_table(["ms", *SPREAD_TITLES], [[name, *spread.cells()] for name, spread in spreads.items()]),
        f"{photo.images_per_second:.1f} images/s; all beside the network takes {photo.beside_network:.1%} of its time",
        *_single_lines(photo),
    ]
    if photo.peers:
        titles = ["column", "precision", *SPREAD_TITLES, "× vesselrt's p50", "× run by run", "pixels that differ"]
        own = ["vesselrt", precision, *photo.end_to_end.cells(), "1.0", "1.0", ""]
        rows = [own, *(_peer_row(name, peer) for name, peer in photo.peers.items())]
        lines += ["", render_table(titles, rows, texts=2)]
    return "\n".join(lines)


def _single_lines(photo: PhotoFigures) -> Iterator[str]:
    if photo.throughput is not None:
        many = photo.throughput
        yield (
            f"{many.concurrency} threads at once: {many.images_per_second:.1f} images/s, {many.gain:.2f} × as many; "
            f"a call takes {many.end_to_end.p50:.1f} ms (p50)"
        )
    if photo.judged is not None:
        judged = photo.judged
        share = f"vesselrt takes {judged.ratio:.2f} × that"
        yield f"the network by OpenVINO's benchmark_app: {judged.p50:.1f} ms (p50); {share}"
    if photo.fresh is not None:
        starts, peak = photo.fresh.cold_start_s, photo.fresh.peak_memory_mb
        memory = "unknown" if peak is None else f"{peak:.0f} MB"
        cold = f"{median(starts):.2f} s (median of {len(starts)}, best {min(starts):.2f})"
        yield f"cold start to first mask {cold}; peak memory {memory}"


def _peer_row(name: str, peer: PeerFigures) -> list[str]:
    ratios = (f"{peer.ratio:.1f}", f"{peer.ratio_of_runs:.1f}")
    return [name, peer.precision, *peer.end_to_end.cells(), *ratios, f"{peer.pixels_differ:.3%}"]


def _mixed_block(mixed: MixedCameras) -> str:
    rows = [
        [name, *(f"{value:.1f}" for value in (alone, mixed.mixed[name], mixed.first[name]))]
        for name, alone in mixed.alone.items()
    ]
    table = render_table(["camera, ms", "after one of its own", "after another", "the first"], rows)
    return f"{table}\na folder of many cameras takes {mixed.ratio:.2f} × folders of one camera each"


def _score_block(scores: list[Score]) -> str:
    names = list(scores[0].f1)
    rows = [
        [f"{score.data} test, {len(score.photographs)} photograph(s)", *(f"{score.f1[name]:.4f}" for name in names)]
        for score in scores
    ]
    return render_table(["F1 at the model's threshold, pixels pooled in the field of view", *names], rows)
