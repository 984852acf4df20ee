"""How far a network sees, and by which step its windows may be cut: found by what it computes, so of any network.

**Step.** The coarsest grid inside: a map of a sixteenth of the window's side has pixels of 16. Windows of one step must
be taken, too; some networks have a smallest window.

**Reach.** A window of noise is run twice, the second time with other noise around its middle. Where an answer stays the
same to the last bit of float32, which a model file computes in, the network saw nothing of what is around. The deepest
pixel that changed is the margin that a tile needs.

**Local.** A reach is of use only where nothing else depends on the window. A network that normalises over the window,
has attention, or aligns the corners of an interpolation answers another way in each window, or in windows of each size.
"""

import math
from dataclasses import dataclass

import numpy as np

from vesselrt.export.head import Answers
from vesselrt.export.parity import Reference, answer_as_used, takes_window
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.manifest import Manifest

_MOST_STEP = 128
_LEAST_SIDE = 256
"""Pixels of a window whose inner maps are looked at: in a smaller one, a map of one pixel may be a grid or a mean."""
_FIRST_CENTRE = 64
_SEEDS = 2
_SAME = 1e-3
"""Of the spread of answers: float32 in windows of two sizes differs by less, a network that sees its window by more."""


@dataclass(frozen=True)
class Sight:
    """What a network's tiles have to respect."""

    step: int | None
    """The least one, in pixels, by which windows may grow and be shifted; None: not even a large window is taken."""
    reach: int | None
    """Pixels inside of a window's edge up to which the answer depends on what lies beyond it. None: further than the
    `limit` that was asked for, or the answer depends on the window as a whole."""


def find_sight(reference: Reference, manifest: Manifest, step: int | None, limit: int) -> Sight:
    """Looks at what a network makes of noise. `step`: where it is known. A reach over `limit` pixels is None.

    Nothing is raised for what the network raises: windows that it fails on are windows that it does not take.
    """
    step = step or _find_step(reference, manifest)
    return Sight(step, None if step is None else _Probe(reference, manifest, step).find_reach(limit))


def _find_step(reference: Reference, manifest: Manifest) -> int | None:
    tile, channels = manifest.tile, manifest.channel_count
    side = tile.size if tile.fixed else tile.size * -(-_LEAST_SIDE // tile.size)
    try:
        maps = reference.inner_sides(np.zeros((1, channels, side, side), np.uint8))
    except Exception:  # noqa: BLE001 - what a network raises is its own matter
        return None
    grids = [side // inner for inner in maps if inner > 1 and side % inner == 0]
    step = math.lcm(*(grid for grid in grids if grid <= _MOST_STEP))
    while not tile.fixed and tile.size % (2 * step) == 0 and not _takes_least(reference, channels, step):
        step *= 2
    return step


def _takes_least(reference: Reference, channels: int, step: int) -> bool:
    sides = ((step, step), (step, 7 * step), (5 * step, 3 * step))
    return all(takes_window(reference, channels, *each) for each in sides)


class _Probe:
    """Runs a network on noise."""

    def __init__(self, reference: Reference, manifest: Manifest, step: int) -> None:
        self.reference, self.tile, self.channels, self.step = reference, manifest.tile, manifest.channel_count, step

    def _noise(self, seed: int, side: int) -> Image:
        shape = (_SEEDS, self.channels, side, side)
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    def _answer(self, windows: Image) -> Answers | None:
        """None where the network does not take them."""
        try:
            answer = answer_as_used(self.reference, np.ascontiguousarray(windows))
        except Exception:  # noqa: BLE001 - what a network raises is its own matter
            return None
        return answer if answer.shape[2:] == windows.shape[2:] else None

    def find_reach(self, limit: int) -> int | None:
        """In windows that grow, until what is around does not reach the middle, or `limit` is passed."""
        step = self.step
        if self.tile.fixed:
            ring = round_up(self.tile.size // 8, step)
            return self._reach_in(ring, self.tile.size - 2 * ring)
        most = round_up(2 * limit + 2 * step, 2 * step)
        centre = min(round_up(_FIRST_CENTRE, 2 * step), most)
        while True:
            reach = self._reach_in(round_up(centre // 4, step), centre)
            if reach is not None or centre == most:
                return reach
            centre = min(2 * centre, most)

    def _reach_in(self, ring: int, centre: int) -> int | None:
        """The deepest pixel of a centre that a change of the ring around it moves; None: to the middle."""
        side, middle = centre + 2 * ring, slice(ring, ring + centre)
        noise = self._noise(0, side + self.step)
        windows, changed = noise[:, :, :side, :side], self._noise(1, side)
        changed[:, :, middle, middle] = windows[:, :, middle, middle]
        one, other = self._answer(windows), self._answer(changed)
        if one is None or other is None:
            return None
        places = np.nonzero((one != other)[:, :, middle, middle].any(axis=(0, 1)))
        depths = [np.minimum(place, centre - 1 - place) for place in places]
        reach = int(np.minimum(*depths).max(initial=-1)) + 1
        return reach if 2 * reach < centre and self._is_local(noise, one, reach, ring) else None

    def _is_local(self, noise: Image, one: Answers, reach: int, ring: int) -> bool:
        """Whether another window that shows the same gives the same, as deep inside of it as `reach`."""
        side = one.shape[2]
        start, other_side = (self.step, side) if self.tile.fixed else (ring, side - 2 * ring)
        other = self._answer(noise[:, :, start : start + other_side, start : start + other_side])
        end = min(start + other_side, side) - reach
        inside, same = slice(start + reach, end), slice(reach, end - start)
        return other is not None and _difference(one[:, :, inside, inside], other[:, :, same, same]) < _SAME


def _difference(one: Answers, other: Answers) -> float:
    """The largest, in parts of how far answers spread."""
    parts = float(abs(one - other).max(initial=0) / max(float(one.std()), 1e-12)) if one.size else 0.0
    return parts if math.isfinite(parts) else math.inf


def round_up(length: int, multiple: int) -> int:
    """The least multiple that is no less."""
    return -(-length // multiple) * multiple
