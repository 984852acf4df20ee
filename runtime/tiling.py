"""Cuts a prepared image into windows for the network, and joins their results.

Windows are shifted inside at the borders, their origins lie on the network's multiple. With `exact` each
pixel is taken from one window and the margins are dropped, so for a purely convolutional network whose
receptive-field radius is within the margin the result equals that of the whole image. With `gaussian`
overlapping windows, evenly spaced, are averaged. An image that is smaller than a fixed window lies in its middle.
Only one batch of windows is in memory at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.manifest import Tile
from vesselrt.runtime.photo.views import Box

Infer = Callable[[Iterable[Image]], Iterator[Image]]
"""Of each (N, C, h, w) uint8 its (N, K, h, w) uint8 probabilities, one of each class, in order: `Backend.infer`."""


@dataclass(frozen=True)
class Span:
    """One window along one axis: it begins at `origin`; pixels `start` to `stop` of the image are taken from it."""

    origin: int
    start: int
    stop: int


def window_spans(length: int, size: int, margin: int, multiple: int) -> list[Span]:
    """Windows of `size` that cover `length` pixels, in order; all numbers in pixels, `size` a multiple of `multiple`.

    Kept ranges join without gap or overlap, and stay `margin` away from a window's inner edges.
    """
    if length <= size:
        return [Span(0, 0, length)]
    last = -(-length // multiple) * multiple - size  # the padded image ends where the last window does
    step = (size - 2 * margin) // multiple * multiple
    origins = [*range(0, last, step), last]
    cuts = [0, *(min(o + size - margin, length) for o in origins[:-1]), length]
    return [Span(o, a, b) for o, a, b in zip(origins, cuts[:-1], cuts[1:], strict=True) if a < b]


def blended_spans(length: int, tile: Tile) -> list[Span]:
    """Windows that are averaged: they overlap by half, or by two margins where that is more, and are evenly spaced."""
    if length <= tile.size:
        return [Span(0, 0, length)]
    multiple = tile.multiple
    margin = max(tile.margin, tile.size // 4 // multiple * multiple)
    last, step = -(-length // multiple) - tile.size // multiple, (tile.size - 2 * margin) // multiple  # in multiples
    count = -(-last // step)
    origins = [round(last * number / count) * multiple for number in range(count + 1)]
    return [Span(origin, origin, min(origin + tile.size, length)) for origin in origins]


def infer_tiles(pixels: Image, tile: Tile, infer: Infer, batch: int = 1, classes: int = 1) -> Image:
    """The probabilities of every pixel: (h, w, C) uint8 → (classes, h, w) uint8, by windows of at most `tile.size`.

    `infer` is given up to `batch` windows of one shape at once, in an array that is reused for the next ones.
    """
    height, width, channels = pixels.shape
    if tile.fixed and min(height, width) < tile.size:
        padded, place = _centred(pixels, tile.size)
        return np.ascontiguousarray([place.cut(found) for found in infer_tiles(padded, tile, infer, batch, classes)])
    result = np.empty((classes, height, width), np.uint8)
    rows, columns = (
        blended_spans(length, tile)
        if tile.blend == "gaussian"
        else window_spans(length, tile.size, tile.margin, tile.multiple)
        for length in (height, width)
    )
    window = (window_side(height, tile), window_side(width, tile))
    windows = [(row, column) for row in rows for column in columns]
    groups = [windows[first : first + batch] for first in range(0, len(windows), batch)]
    buffer = np.zeros((len(groups[0]), channels, *window), np.uint8)

    def batches() -> Iterator[Image]:
        for group in groups:
            for slot, (row, column) in zip(buffer, group, strict=False):
                _copy_window(pixels, row.origin, column.origin, slot)
            yield buffer[: len(group)]

    collect = _ExactBlend(result) if tile.blend == "exact" else _GaussianBlend(result, window)
    for group, answer in zip(groups, infer(batches()), strict=True):
        for (row, column), probabilities in zip(group, answer, strict=True):
            collect.add(row, column, probabilities)
    collect.finish()
    return result


def infer_part(pixels: Image, part: Box, tile: Tile, infer: Infer, batch: int = 1, classes: int = 1) -> Image:
    """As `infer_tiles`, but only the pixels of `part` are valid.

    Only `part` and a margin around it are run. The cut lies on the network's multiple, as every window does.
    """
    result = np.zeros((classes, *pixels.shape[:2]), np.uint8)
    if part.height > 0 and part.width > 0:
        cut = Box(
            _round_down(part.top - tile.margin, tile.multiple),
            _round_down(part.left - tile.margin, tile.multiple),
            min(part.bottom + tile.margin, pixels.shape[0]),
            min(part.right + tile.margin, pixels.shape[1]),
        )
        found = infer_tiles(cut.cut(pixels), tile, infer, batch, classes)
        for whole, own in zip(result, found, strict=True):
            cut.cut(whole)[:] = own
    return result


def _round_down(place: int, multiple: int) -> int:
    return max(0, place) // multiple * multiple


def window_side(length: int, tile: Tile) -> int:
    """Side in pixels of the windows along an axis of `length` pixels."""
    return tile.size if tile.fixed else min(tile.size, -(-length // tile.multiple) * tile.multiple)


def _centred(pixels: Image, side: int) -> tuple[Image, Box]:
    """The image (h, w, C) among zeros, at least `side` high and wide, and where it lies in them."""
    height, width, channels = pixels.shape
    top, left = (max(0, side - length) // 2 for length in (height, width))
    place = Box(top, left, top + height, left + width)
    padded = np.zeros((max(height, side), max(width, side), channels), np.uint8)
    place.cut(padded)[:] = pixels
    return padded, place


def _copy_window(pixels: Image, top: int, left: int, slot: Image) -> None:
    """Copies a window into `slot` (C, h, w), zero where it reaches over the image."""
    _, height, width = slot.shape
    part = pixels[top : top + height, left : left + width]
    slot[:, : part.shape[0], : part.shape[1]] = part.transpose(2, 0, 1)
    slot[:, part.shape[0] :] = 0
    slot[:, :, part.shape[1] :] = 0


class _ExactBlend:
    """Writes each pixel once."""

    def __init__(self, result: Image) -> None:
        self.result = result

    def add(self, row: Span, column: Span, probabilities: Image) -> None:
        kept = (
            slice(row.start - row.origin, row.stop - row.origin),
            slice(column.start - column.origin, column.stop - column.origin),
        )
        for result, probability in zip(self.result, probabilities, strict=True):
            result[row.start : row.stop, column.start : column.stop] = probability[kept]

    def finish(self) -> None:
        pass


class _GaussianBlend:
    """Averages overlapping windows with weights that fall from the centre.

    Their standard deviation is an eighth of the window, as in nnU-Net.
    """

    def __init__(self, result: Image, window: tuple[int, int]) -> None:
        self.result, self.top = result, 0
        self.weight = np.outer(*(_gaussian_weights(side) for side in window))
        classes, _, width = result.shape
        stripe = (window[0], width + window[1])
        self.sums, self.weights = np.zeros((classes, *stripe), np.float32), np.zeros(stripe, np.float32)

    def add(self, row: Span, column: Span, probabilities: Image) -> None:
        self._move(row.origin)
        place = (slice(None), slice(column.origin, column.origin + self.weight.shape[1]))
        for sums, probability in zip(self.sums, probabilities, strict=True):
            sums[place] += probability * self.weight
        self.weights[place] += self.weight

    def finish(self) -> None:
        self._flush(self.result.shape[1] - self.top)

    def _move(self, top: int) -> None:
        """No more windows reach the rows above `top`: they are written, and their memory is reused."""
        done = top - self.top
        if done:
            self._flush(done)
            for array in (*self.sums, self.weights):
                array[:-done] = array[done:].copy()
                array[-done:] = 0
            self.top = top

    def _flush(self, count: int) -> None:
        width = self.result.shape[2]
        for result, sums in zip(self.result, self.sums, strict=True):
            mean = sums[:count, :width] / self.weights[:count, :width]
            result[self.top : self.top + count] = cv2.convertScaleAbs(mean)


def _gaussian_weights(side: int) -> NDArray[Any]:
    offset = (np.arange(side) - (side - 1) / 2) / (side / 8)
    return np.asarray(np.maximum(np.exp(-0.5 * offset**2), 1e-3), np.float32)
