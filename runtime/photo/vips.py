"""Decoding by libvips, which is made for files of strangers. Whatever it warns of is an error here."""

import os
import re
from functools import cache
from typing import Any

import numpy as np

from vesselrt.runtime.photo.encoded import PhotoFormat, Samples, bad_header, damaged

_KINDS = {"uchar": np.uint8, "ushort": np.uint16, "float": np.float32, "double": np.float64}


@cache
def load_vips() -> Any:
    """The module pyvips, set up for files of strangers."""
    # One thread: a decoder's rows follow from each other. Its own warnings would go to stderr.
    os.environ.setdefault("VIPS_CONCURRENCY", "1")
    import pyvips

    pyvips.block_untrusted_set(True)  # loaders that are not tested against hostile files
    pyvips.cache_set_max(0)  # nothing of a photograph stays
    return pyvips


def decode_with_vips(kind: PhotoFormat, loader: str, data: bytes, **options: Any) -> Samples:
    """The samples of a file by one of libvips' loaders ("tiffload_buffer"), every row of them decoded.

    Raises ImageDecodeError for what libvips gives up on or warns of, MemoryError where there is too little memory.
    """
    vips = load_vips()
    try:
        image = getattr(vips.Image, loader)(data, fail_on="warning", access="sequential", **options)
        samples = image.write_to_memory()
    except vips.Error as error:
        if re.search("out of memory|Memory allocation", str(error)):  # which nothing else tells from damage
            raise MemoryError from None
        raise damaged(kind) from None
    return np.frombuffer(samples, _KINDS[image.format]).reshape(image.height, image.width, image.bands)


def read_vips_header(kind: PhotoFormat, loader: str, data: bytes) -> tuple[int, int, int, int]:
    """Width, height, samples a pixel and bits a sample, no pixel being decoded. Raises ImageDecodeError."""
    vips = load_vips()
    try:
        image = getattr(vips.Image, loader)(data, access="sequential")
        return image.width, image.height, image.bands, np.dtype(_KINDS[image.format]).itemsize * 8
    except (vips.Error, KeyError):
        raise bad_header(kind) from None
