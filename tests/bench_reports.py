"""Made-up figures of `vesselrt bench`, whose ratios are known."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vesselrt.benchmarks.bench_report import SCHEMA, BenchReport, Effort, PeerFigures, PhotoFigures
from vesselrt.benchmarks.measure import STAGES, Spread
from vesselrt.runtime.backends import Info

SHARES = {"decode": 0.05, "prepare": 0.05, "infer": 0.8, "finish": 0.02, "encode": 0.08, "network": 0.75}
"""Of the time end to end."""


def make_photo(
    name: str, end_to_end: Sequence[float], *, peers: dict[str, Sequence[float]] | None = None
) -> PhotoFigures:
    """`name`: its size too. `end_to_end` and `peers`: ms of each run."""
    width, height = map(int, name.split("x"))
    samples = {part: [share * time for time in end_to_end] for part, share in SHARES.items()}
    samples["end_to_end"] = list(end_to_end)
    spreads = {part: Spread.of(times) for part, times in samples.items()}
    return PhotoFigures(
        photo=name,
        source="synthetic",
        width=width,
        height=height,
        bytes=1000,
        windows=[(1, 1, 64, 64)],
        stages={stage: spreads[stage] for stage in STAGES},
        network=spreads["network"],
        end_to_end=spreads["end_to_end"],
        images_per_second=1e3 * len(end_to_end) / sum(end_to_end),
        beside_network=1 / 3,
        samples=samples,
        peers={
            column: PeerFigures("f32", Spread.of(times), 2.0, 2.0, 0.0, list(times))
            for column, times in (peers or {}).items()
        },
    )


def make_report(*photos: PhotoFigures, **changes: Any) -> BenchReport:
    """On a machine of two cores, in f32; `changes` of its fields."""
    report = BenchReport(
        schema=SCHEMA,
        date="2026-11-28T12:00:00+00:00",
        machine={"cpu": "a processor", "cores": 2, "os": "Linux", "load": 0.0, "flags": ["avx2"], "governor": None},
        versions={"vesselrt": "0.1.0", "python": "3.11.7"},
        model={"name": "fundus", "version": "1.2.0", "sha256": "ab" * 32, "threshold": 0.5},
        info=Info("openvino", "2026.4.1", "cpu", "a processor", "f32", 2),
        effort=Effort(),
        photos=list(photos),
        scores=[],
    )
    return replace(report, **changes)


def write_report(path: Path, report: BenchReport, **changes: Any) -> Path:
    """As `vesselrt bench --json`; `changes` of the JSON's keys."""
    path.write_text(json.dumps(json.loads(report.to_json()) | changes), "utf-8")
    return path
