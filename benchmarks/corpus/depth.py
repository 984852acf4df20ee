"""Samples of 10, 12 or 14 bits in containers of 16, and what looks like them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vesselrt.benchmarks.corpus.case import PhotoCase
from vesselrt.benchmarks.corpus.tiff import Tag, tiff_of_samples
from vesselrt.benchmarks.corpus.undamaged import PHOTO
from vesselrt.benchmarks.corpus.writers import chunk, png
from vesselrt.runtime.arrays import Image

_LARGEST = 281  # the tag MaxSampleValue
_WHITE_IS_ZERO: tuple[Tag, ...] = ((262, 3, [0]),)


def depths() -> Iterator[PhotoCase]:
    """Each shows PHOTO: the 8 highest bits that mean something, and noise below."""
    noise = np.random.default_rng(0).integers(0, 256, PHOTO.shape, np.uint16)
    bright = np.asarray(PHOTO * (255.0 / PHOTO.max()), np.uint8)  # reaches the highest value
    for bits in (10, 12, 14, 16):
        values = bright.astype(np.uint16) << bits - 8 | noise >> 16 - bits
        told = rf"\b{bits}[ -]bit" if bits < 16 else ""
        for name, samples, shown in (("RGB", values, bright), ("grey", values[:, :, 1:2], _green_as_grey(bright))):
            known, sensor = [chunk(b"sBIT", bytes([bits] * samples.shape[2]))], f"{bits} of 16 bits, {name}"
            highest: tuple[Tag, ...] = ((_LARGEST, 3, [2**bits - 1] * samples.shape[2]),)
            yield _depth_case(f"TIFF, {sensor}", tiff_of_samples(samples), shown, told)
            yield _depth_case(f"TIFF, {sensor}, told by its tags", tiff_of_samples(samples, tags=highest), shown, None)
            yield _depth_case(f"PNG, {sensor}", png(samples, 16), shown, told)
            yield _depth_case(f"PNG, {sensor}, told by sBIT", png(samples, 16, chunks=known), shown, None)
            # The standard asks for this: scaled up to all 16 bits.
            scaled = png(samples << 16 - bits, 16, chunks=known)
            yield _depth_case(f"PNG, {sensor}, scaled up and told by sBIT", scaled, shown, "")
            if name == "grey":
                turned, zero = 2**bits - 1 - samples, f"TIFF, {sensor}, white is zero"
                yield _depth_case(zero, tiff_of_samples(turned, tags=_WHITE_IS_ZERO), shown, told)
                yield _depth_case(
                    f"{zero}, told by its tags", tiff_of_samples(turned, tags=(*_WHITE_IS_ZERO, *highest)), shown, None
                )
            yield _depth_case(f"TIFF, {sensor}, scaled up", tiff_of_samples(samples << 16 - bits), shown, "")
    yield _depth_case("PNG, dark, 8 bits", png(PHOTO // 8), PHOTO // 8, "")
    yield _depth_case("PNG, 8 bits, 5 of them told by sBIT", png(PHOTO, chunks=[chunk(b"sBIT", b"\5\5\5")]), PHOTO, "")


def _green_as_grey(picture: Image) -> Image:
    return np.repeat(picture[:, :, 1:2], 3, axis=2)


def _depth_case(name: str, data: bytes, expected: NDArray[Any], warning: str | None) -> PhotoCase:
    return PhotoCase("depth", name, data, np.ascontiguousarray(expected), tolerance=1, whole=True, warning=warning)
