"""Normalisation by the values of a photograph itself. It is done before tiles are cut, since none knows the others.

    (h, w, C) uint8 ─► (value − a) / b, with a and b of each channel ─► (h, w, 3 × C) uint8: numbers of 24 bits

Networks are handed bytes. So each result is a whole number of 65536ths in three bytes: first the high bytes of all
channels, with the sign, then the middle ones, then the low ones. The graph puts them together, which float32 does
exactly. Zeros are the number 0, as in the part of a window that reaches over the photograph.
"""

import functools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.manifest import BYTES_A_NUMBER, Normalisation
from vesselrt.runtime.photo.views import Box

UNIT = 2**16
"""Numbers are counted in parts of one of these: the rounding is at most 1 / 131072 of a standard deviation."""
_LARGEST = 2**23 - 1  # 128 standard deviations: 16384 pixels of one value, and one of another
_LEAST_SPAN = 1e-8  # as in nnU-Net: a channel of one value becomes zeros


def normalise(pixels: Image, how: Normalisation) -> Image:
    """(h, w, C) uint8 → (h, w, 3 × C) uint8, as above."""
    count = pixels.shape[2]
    inside = (_brightest(pixels) > 0).view(np.uint8) if how == "zscore-nonzero" else None
    result = np.empty((*pixels.shape[:2], BYTES_A_NUMBER * count), np.uint8)
    for number in range(count):
        channel = cv2.extractChannel(pixels, number)
        for place, table in enumerate(_tables(channel, inside, how)):
            found = cv2.LUT(channel, table)
            cv2.insertChannel(found if inside is None else found * inside, result, place * count + number)
    return result


def normalise_window(window: Image, how: Normalisation) -> Image:
    """A window (C, h, w) uint8, normalised like a photograph of its own: (3 × C, h, w) uint8."""
    return normalise(np.ascontiguousarray(window.transpose(1, 2, 0)), how).transpose(2, 0, 1)


def values_from_bytes(windows: Image) -> NDArray[np.float64]:
    """(N, 3 × C, h, w) uint8 → the numbers in them, (N, C, h, w)."""
    high, middle, low = np.split(windows, BYTES_A_NUMBER, axis=1)
    whole = high.view(np.int8).astype(np.int32) * UNIT + middle.astype(np.int32) * 256 + low
    return np.asarray(whole / UNIT, np.float64)


def nonzero_box(image: Image) -> Box:
    """The smallest part of a photograph (H, W, C) that holds all pixels which are not 0; of a black one the whole."""
    left, top, width, height = cv2.boundingRect(_brightest(image))
    if not width:
        return Box(0, 0, *image.shape[:2])
    return Box(top, left, top + height, left + width)


def _brightest(image: Image) -> Image:
    """(H, W) uint8: of each pixel the channel with the largest value."""
    channels = [cv2.extractChannel(image, number) for number in range(image.shape[2])]
    return np.asarray(functools.reduce(cv2.max, channels), np.uint8)


def _tables(channel: Any, inside: Image | None, how: Normalisation) -> Image:
    """(3, 256) uint8: the bytes of the number that each value of a channel becomes."""
    counts = cv2.calcHist([channel], [0], inside, [256], [0, 256]).ravel().astype(np.float64)
    shift, span = _shift_and_span(counts, how)
    numbers = np.rint((np.arange(256) - shift) / max(span, _LEAST_SPAN) * UNIT).clip(-_LARGEST, _LARGEST)
    whole = numbers.astype(np.int32)
    return np.stack([whole >> 16 & 255, whole >> 8 & 255, whole & 255], axis=0).astype(np.uint8)


def _shift_and_span(counts: NDArray[np.float64], how: Normalisation) -> tuple[float, float]:
    """What is subtracted from each value, and by what it is divided then. `counts`: pixels of each value."""
    values, total = np.arange(256), counts.sum()
    if not total:
        return 0.0, 1.0
    if how == "range":
        found = np.flatnonzero(counts)
        return float(found[0]), float(found[-1] - found[0])
    mean = float(counts @ values / total)
    return mean, float(np.sqrt(counts @ (values - mean) ** 2 / total))
