"""Measurements of vessels beside those of PVBM and VascX, of the same masks: the annotations of training photographs.

    pip install 'vesselrt[measure]' pvbm==3.0.1.8 retinalysis-vascx==2.1.0
    python -m vesselrt.benchmarks.measure_judges chase_db1 CHASE_DB1 hrf HRF

For each figure and data set: both means, the bias (theirs less ours) with its limits of agreement (± 1.96 standard
deviations, Bland and Altman 1986), and the correlation. Masks larger than 1800 px are halved first: both judges were
made for smaller ones.
"""

import math
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.benchmarks.tables import render_table
from vesselrt.runtime.arrays import Mask
from vesselrt.runtime.errors import as_command
from vesselrt.runtime.measures.measuring import measure_masks
from vesselrt.runtime.photo.views import find_scales
from vesselrt.training.data.finding import list_samples, resolve_kind

_LARGEST = 1800  # px
_DEPTH = 1_000_000  # PVBM walks along vessels by recursion

Figures = dict[str, float]


def main() -> None:
    """A table for each data set."""
    with as_command():
        sys.setrecursionlimit(_DEPTH)
        for kind, folder in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
            compare_measures(kind, Path(folder))


def compare_measures(kind: str, root: Path) -> None:
    """Prints the table of one data set."""
    pairs: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for image, truth in _photographs(kind, root):
        ours = _measure_ours(image, truth)
        for judge, measure in (("PVBM", _measure_by_pvbm), ("VascX", _measure_by_vascx)):
            for name, value in measure(truth).items():
                pairs.setdefault((name, judge), []).append((ours[name], value))
    rows = [(name, judge, len(found), *_agreement(np.array(found))) for (name, judge), found in sorted(pairs.items())]
    titles = ("figure", "judge", "photographs", "ours", "theirs", "bias", "limits", "r")
    print(f"\n{root.name}, {len(rows) and rows[0][2]} training and validation photographs\n")
    print(render_table(titles, rows, texts=2))


def _photographs(kind: str, root: Path) -> Iterator[tuple[Any, Mask]]:
    """(H, W, 3) uint8 RGB and (H, W) bool."""
    resolved = resolve_kind(kind, root)
    for split in ("train", "validation"):
        for sample in list_samples(resolved, root, split):
            image, truth = sample.read_image(), sample.read_truth()
            halves = math.ceil(max(truth.shape) / _LARGEST)
            size = truth.shape[1] // halves, truth.shape[0] // halves
            small = cv2.resize(truth.view(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA) >= 128
            yield cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.asarray(small)


def _measure_ours(image: Any, truth: Mask) -> Figures:
    found = measure_masks([("vessel", truth)], np.ones_like(truth), find_scales(image)).vessels[0]
    return {
        "density of the picture": found.density,
        "length, px": found.length_px,
        "tortuosity by distance": found.tortuosity,
        "calibre, mean, px": found.calibre_mean_px,
        "branching points and crossings": found.branching_points + found.crossings,
        "end points": found.end_points,
        "fractal D0": found.fractal_d0,
        "fractal D1": found.fractal_d1,
        "fractal D2": found.fractal_d2,
    }


def _measure_by_pvbm(truth: Mask) -> Figures:
    """PVBM: Fhima et al., Frontiers in Bioengineering 2022."""
    from PVBM.FractalAnalysis import MultifractalVBMs
    from PVBM.GeometricalAnalysis import GeometricalVBMs
    from skimage.morphology import skeletonize

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        geometry = GeometricalVBMs()
    skeleton = skeletonize(truth) * 1.0  # type: ignore[no-untyped-call]
    ends, nodes, *_ = geometry.compute_particular_points(skeleton)
    tortuosity, length, *_ = geometry.compute_tortuosity_length(skeleton)
    square = np.zeros((max(truth.shape),) * 2)
    square[: truth.shape[0], : truth.shape[1]] = truth
    fractals = MultifractalVBMs(optimize=False, min_proba=0.0001, maxproba=0.9999).compute_multifractals(square)
    return {
        "density of the picture": geometry.area(truth) / truth.size,
        "length, px": float(length),
        "tortuosity by distance": float(tortuosity),
        "branching points and crossings": float(nodes),
        "end points": float(ends),
        **{f"fractal D{order}": float(fractals[order]) for order in range(3)},
    }


def _measure_by_vascx(truth: Mask) -> Figures:
    """VascX: Vargas Quiros et al., arXiv 2602.08580. Of its graph before it looks for the disc, which no mask has."""
    from vascx.fundus.layer import VesselTreeLayer
    from vascx.shared.segment import Segment

    layer = VesselTreeLayer("vessels", truth, retina=SimpleNamespace(disc=None, resolution=truth.shape))
    segments = []
    for first, last in layer.graph.edges():
        segment = Segment([tuple(map(int, point)) for point in layer.graph[first][last]["pts"]], (first, last))
        segment.layer = layer
        segments.append(segment)
    long = [segment for segment in segments if len(segment.skeleton) > 20 and segment.chord_length > 1]
    lengths = np.array([segment.length for segment in long])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        widths = np.array([segment.mean_diameter for segment in long])
    known = np.isfinite(widths)
    chords = np.array([segment.chord_length for segment in long])
    degrees = np.array([degree for _, degree in layer.graph.degree()])
    return {
        "length, px": float(sum(segment.length for segment in segments)),
        "tortuosity by distance": float(np.average(lengths / chords, weights=lengths)),
        "calibre, mean, px": float(np.average(widths[known], weights=lengths[known])),
        "branching points and crossings": float((degrees > 2).sum()),
        "end points": float((degrees == 1).sum()),
    }


def _agreement(pairs: NDArray[np.float64]) -> tuple[str, ...]:
    """`pairs`: (N, 2), ours and theirs."""
    ours, theirs = pairs.T
    apart = theirs - ours
    return (
        f"{ours.mean():.4g}",
        f"{theirs.mean():.4g}",
        f"{apart.mean():+.3g}",
        f"±{1.96 * apart.std(ddof=1):.3g}",
        f"{np.corrcoef(ours, theirs)[0, 1]:.3f}",
    )


if __name__ == "__main__":
    main()
