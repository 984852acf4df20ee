"""What `decode_photo` makes of the corpus."""

import itertools
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from vesselrt.benchmarks.corpus.case import DecoderAnswer, PhotoCase
from vesselrt.benchmarks.corpus.damage import cut, formats, overwritten
from vesselrt.benchmarks.corpus.depth import depths
from vesselrt.benchmarks.corpus.kinds import kinds
from vesselrt.benchmarks.corpus.pages import pages
from vesselrt.benchmarks.corpus.tiff import layouts, tiff_case
from vesselrt.benchmarks.corpus.undamaged import undamaged
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import ImageError
from vesselrt.runtime.photo.decoding import decode_photo

ROUNDING = 2
"""Levels by which a damaged file may differ from the whole one and still be called harmless."""


def decode(data: bytes) -> DecoderAnswer:
    """By the project's decoder."""
    try:
        decoded = decode_photo(data)
    except ImageError as error:
        return DecoderAnswer(None, refusal=str(error))
    return DecoderAnswer(decoded.pixels, decoded.warnings)


def cases() -> Iterator[PhotoCase]:
    """All files whose right answer is known."""
    return itertools.chain(map(tiff_case, layouts()), depths(), pages(), kinds(), undamaged())


def damages(photo: Image) -> Iterator[tuple[str, str, list[str]]]:
    """Format, what was done to it (`overwritten` or `cut`), and of each file what became of it.

    That is `refused`, `warned`, `harmless` (the pixels of the whole file) or `silent`.
    """
    for name, data in formats(photo).items():
        whole = decode(data).pixels
        if whole is None:
            continue  # `kinds` asks by which words
        for way, files in (("overwritten", overwritten(data)), ("cut", cut(data))):
            yield name, way, [_outcome(decode(file.data), whole) for file in files]


def _outcome(answer: DecoderAnswer, whole: Image) -> str:
    if answer.pixels is None:
        return "refused"
    if answer.warnings:
        return "warned"
    same = answer.pixels.shape == whole.shape and bool((cv2.absdiff(answer.pixels, whole) <= ROUNDING).all())
    return "harmless" if same else "silent"


def told_of(outcomes: Iterable[str]) -> float:
    """The share of the harmed files that were refused or warned of."""
    harmed = [outcome for outcome in outcomes if outcome != "harmless"]
    return float(np.mean([outcome != "silent" for outcome in harmed])) if harmed else 1.0
