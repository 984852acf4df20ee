"""From a probability map to a mask and its figures: the threshold rule, vessel density, COCO's run lengths."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image, Mask
from vesselrt.runtime.errors import OptionError

Levels = NDArray[np.int64]
"""(256,): how many pixels have each value of a probability map."""

_BAND_PIXELS = 2**20  # counted at once: OpenCV counts in float32, which is exact up to 2^24


def threshold_mask(probability: Image, threshold: float) -> Mask:
    """(H, W) uint8 → (H, W) bool: vessel where probability ≥ threshold × 255.

    Raises OptionError when the threshold is not in 0..1.
    """
    # Bytes against a byte: no pixel is converted.
    result: Mask = probability >= np.uint8(lowest_vessel_level(threshold))
    return result


def lowest_vessel_level(threshold: float) -> int:
    """The lowest 8-bit probability that counts as vessel, 0..255. Raises OptionError."""
    if not 0 <= threshold <= 1:  # also false for NaN
        raise OptionError(f"threshold {threshold} is not within 0 to 1.")
    return int(np.ceil(threshold * 255))


def count_levels(probability: Image, inside: Mask) -> Levels:
    """How many pixels of `probability` (H, W) uint8 have each value, counted where `inside` (H, W) bool is true."""
    counts = np.zeros(256, np.int64)
    rows = max(1, _BAND_PIXELS // probability.shape[1])
    for top in range(0, probability.shape[0], rows):
        band = slice(top, top + rows)
        counts += (
            cv2.calcHist([probability[band]], [0], inside[band].view(np.uint8), [256], [0, 256]).ravel().astype(int)
        )
    return counts


def density(levels: Levels, threshold: float) -> float:
    """The share of vessel, 0..1, among the pixels that `count_levels` has counted; 0 where it counted none.

    Raises OptionError when the threshold is not in 0..1.
    """
    return float(levels[lowest_vessel_level(threshold) :].sum() / max(1, levels.sum()))


def describe_mask(mask: Mask, levels: Levels, threshold: float) -> dict[str, Any]:
    """A mask (H, W) for programs: its run lengths as COCO writes them, and its figures, counted in pixels.

    `vessel_density` is the share of the field of view that is vessel, `vessel_parts` counts what is connected by edges
    or corners. `levels`: those of the field of view, from `count_levels`.
    """
    parts = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[0] - 1
    return {
        "width": mask.shape[1],
        "height": mask.shape[0],
        "threshold": threshold,
        "mask": {"size": list(mask.shape), "counts": coco_run_lengths(mask)},
        "statistics": {
            "vessel_pixels": int(np.count_nonzero(mask)),
            "field_of_view_pixels": int(levels.sum()),
            "vessel_density": density(levels, threshold),
            "vessel_parts": int(parts),
        },
    }


def describe_class(mask: Mask, inside: Mask) -> dict[str, Any]:
    """The mask of one class of several (H, W) for programs, as `describe_mask` does it; `inside`: the field of view."""
    parts = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)[0] - 1
    return {
        "mask": {"size": list(mask.shape), "counts": coco_run_lengths(mask)},
        "statistics": {
            "pixels": int(np.count_nonzero(mask)),
            "field_of_view_pixels": int(np.count_nonzero(inside)),
            "density": covered_share(mask, inside),
            "parts": int(parts),
        },
    }


def covered_share(mask: Mask, inside: Mask) -> float:
    """The share of the pixels of `inside` (H, W) that `mask` (H, W) has, 0..1; 0 where there are none."""
    return int(np.count_nonzero(mask & inside)) / max(1, int(np.count_nonzero(inside)))


def coco_run_lengths(mask: Mask) -> str:
    """A mask (H, W) as the compressed run lengths of COCO: `pycocotools.mask.decode` gives it back.

    Runs go down the columns, the first is of background. As `rleToString` of pycocotools' maskApi.c writes them: each
    less the one two before it, in groups of 5 bits, the lowest first, bit 5 set where another group follows, plus 48.
    """
    flat = np.concatenate([[False], mask.ravel(order="F")])
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), mask.size)
    values = np.diff(ends, prepend=0).astype(np.int64)
    values[3:] -= values[1:-2].copy()
    groups, follows = [], []
    while True:
        group = values & 31
        values = values >> 5
        # Done when what is left is only the sign, and the group's own highest bit tells it.
        more = np.where(group & 16, values != -1, values != 0)
        follows.append(more)
        groups.append((group | np.where(more, 32, 0)) + 48)
        if not more.any():
            break
    # A value has one group more than it has groups that are followed; after its last one nothing of it is taken.
    taken = np.logical_and.accumulate(np.stack([np.ones_like(follows[0]), *follows[:-1]]), axis=0)
    return bytes(np.stack(groups).astype(np.uint8).T[taken.T]).decode("ascii")
