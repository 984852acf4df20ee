"""Files of several pages or frames: one photograph is merged, what is more than one is refused or told of."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image as Pillow

from vesselrt.benchmarks.corpus.case import Case
from vesselrt.benchmarks.corpus.tiff import Page, Tag, assemble, page_of_samples
from vesselrt.benchmarks.corpus.undamaged import PHOTO, SMALL, written
from vesselrt.benchmarks.corpus.writers import chunk, png
from vesselrt.runtime.arrays import Image

NAMES = ("page", "frame", "several", "pictures", "photographs", "stack", "animat", "sequence")
TOLD = "page|frame|picture|first"


def pages() -> Iterator[Case]:
    """A decoder may refuse each by what it is."""
    yield from _tiffs()
    yield from _animations()


def _tiffs() -> Iterator[Case]:
    thumbnail, smaller = page_of_samples(SMALL, tags=((254, 4, [1]),)), page_of_samples(SMALL)
    full = page_of_samples(PHOTO)
    mask = page_of_samples(np.zeros((*PHOTO.shape[:2], 1), np.uint8), tags=((254, 4, [4]),))
    yield _read("thumbnail first", [thumbnail, full], PHOTO, whole=True)
    yield _read("thumbnail last", [full, thumbnail], PHOTO, whole=True)
    yield _read("thumbnails around", [thumbnail, full, thumbnail], PHOTO, whole=True)
    yield _read("mask behind", [full, mask], PHOTO)
    yield _read("smaller page first, not called a thumbnail", [smaller, full], PHOTO)
    yield _read("smaller page last, not called a thumbnail", [full, smaller], PHOTO)
    yield _read("page numbers, one page", [page_of_samples(PHOTO, tags=((297, 3, [0, 1]),))], PHOTO, whole=True)
    deep = PHOTO.astype(np.uint16) * 257
    for kind, samples in (("8-bit", PHOTO), ("16-bit", deep)):
        for name, described in {
            "three grey pages": "",
            "ImageJ composite": "ImageJ=1.53t\nimages=3\nchannels=3\nmode=composite\nloop=false\n",
            "ImageJ colours": "ImageJ=1.53t\nimages=3\nchannels=3\nmode=color\nloop=false\n",
        }.items():
            yield _read(f"{name}, {kind}", _greys(samples, described), PHOTO)
    yield _refused("ImageJ stack", _greys(PHOTO, "ImageJ=1.53t\nimages=3\nslices=3\nloop=false\n"))
    # Some writers list one page, and put the others' samples behind its own.
    for name, described in {
        "ImageJ, two of three channels not listed": "ImageJ=1.53t\nimages=3\nchannels=3\nmode=composite\nloop=false\n",
        "tifffile, two of three pages not listed": f'{{"shape": [3, {PHOTO.shape[0]}, {PHOTO.shape[1]}]}}',
    }.items():
        yield _refused(name, _greys(PHOTO, described)[:1])
    one = [page_of_samples(PHOTO, tags=((270, 2, [*f'{{"shape": {[*PHOTO.shape]}}}'.encode(), 0]),))]
    yield _read("one photograph, with its shape", one, PHOTO, whole=True)
    yield _refused("two photographs", [full, page_of_samples(PHOTO[::-1])])
    yield _refused("two grey photographs", _greys(PHOTO)[:2])
    yield _refused("ten grey pages", _greys(np.tile(PHOTO, (1, 1, 4))[:, :, :10]))
    yield _refused(
        "three photographs of different sizes", [full, page_of_samples(PHOTO[:-9]), page_of_samples(PHOTO[:-5])]
    )
    yield _refused("three grey pages, one of another size", [*_greys(PHOTO)[:2], _greys(PHOTO[:-9])[2]])


def _greys(samples: "np.ndarray", description: str = "") -> list[Page]:
    text = description.encode() + b"\0"
    tag: tuple[Tag, ...] = ((270, 2, [*text]),) if description else ()
    return [page_of_samples(samples[:, :, [c]], tags=tag if c == 0 else ()) for c in range(samples.shape[2])]


def _animations() -> Iterator[Case]:
    frames = {"save_all": True, "append_images": [Pillow.fromarray(PHOTO[::-1]), Pillow.fromarray(PHOTO[:, ::-1])]}
    palette = Pillow.fromarray(PHOTO).quantize(64)
    yield _told("GIF", written(palette, "GIF", **frames), np.asarray(palette.convert("RGB")), 0)
    yield _told("PNG", written(PHOTO, "PNG", **frames), PHOTO, 0)
    yield _told("WebP", written(PHOTO, "WEBP", lossless=True, **frames), PHOTO, 0)
    yield _told("AVIF", written(PHOTO, "AVIF", quality=95, **frames), PHOTO, 32)
    height, width, _ = SMALL.shape
    size = struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 10, 0, 0)
    single = [chunk(b"acTL", struct.pack(">II", 1, 0)), chunk(b"fcTL", size)]
    yield Case("pages", "PNG animation of one frame", png(SMALL, chunks=single), SMALL, names=NAMES)
    rows = zlib.compress(np.pad(SMALL[::-1].reshape(height, -1), ((0, 0), (1, 0))).tobytes())
    apart = png(SMALL, chunks=[chunk(b"acTL", struct.pack(">II", 1, 0))])
    end = len(apart) - 12
    hidden = apart[:end] + chunk(b"fcTL", size) + chunk(b"fdAT", struct.pack(">I", 1) + rows) + apart[end:]
    yield Case("pages", "PNG animation apart from its picture", hidden, SMALL, names=NAMES)
    yield Case(
        "pages", "WebP animation of one frame", written(PHOTO, "WEBP", lossless=True, save_all=True), PHOTO, names=NAMES
    )


def _read(name: str, contents: list[Page], expected: Image, *, whole: bool = False) -> Case:
    return Case("pages", name, assemble(contents), expected, tolerance=0, names=NAMES, whole=whole)


def _refused(name: str, contents: list[Page]) -> Case:
    return Case("pages", name, assemble(contents), None, names=NAMES)


def _told(form: str, data: bytes, first: Image, tolerance: int) -> Case:
    return Case("pages", f"{form} animation", data, first, tolerance, NAMES, warning=TOLD)
