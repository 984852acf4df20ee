"""Files of several pages or frames: one photograph is merged, what is more than one is refused or told of."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image as Pillow

from vesselrt.benchmarks.corpus.case import PhotoCase
from vesselrt.benchmarks.corpus.tiff import Page, Tag, assemble, page_of_samples
from vesselrt.benchmarks.corpus.undamaged import PHOTO, SMALL, written
from vesselrt.benchmarks.corpus.writers import chunk, png
from vesselrt.runtime.arrays import Image

NAMES = ("page", "frame", "several", "pictures", "photographs", "stack", "animat", "sequence")
TOLD = "page|frame|picture|first"


def pages() -> Iterator[PhotoCase]:
    """A decoder may refuse each by what it is."""
    yield from _tiff_pages()
    yield from _animations()


def _tiff_pages() -> Iterator[PhotoCase]:
    thumbnail, smaller = page_of_samples(SMALL, tags=((254, 4, [1]),)), page_of_samples(SMALL)
    full = page_of_samples(PHOTO)
    mask = page_of_samples(np.zeros((*PHOTO.shape[:2], 1), np.uint8), tags=((254, 4, [4]),))
    yield _readable_case("thumbnail first", [thumbnail, full], PHOTO, whole=True)
    yield _readable_case("thumbnail last", [full, thumbnail], PHOTO, whole=True)
    yield _readable_case("thumbnails around", [thumbnail, full, thumbnail], PHOTO, whole=True)
    yield _readable_case("mask behind", [full, mask], PHOTO)
    yield _readable_case("smaller page first, not called a thumbnail", [smaller, full], PHOTO)
    yield _readable_case("smaller page last, not called a thumbnail", [full, smaller], PHOTO)
    yield _readable_case(
        "page numbers, one page", [page_of_samples(PHOTO, tags=((297, 3, [0, 1]),))], PHOTO, whole=True
    )
    deep = PHOTO.astype(np.uint16) * 257
    for kind, samples in (("8-bit", PHOTO), ("16-bit", deep)):
        for name, described in {
            "three grey pages": "",
            "ImageJ composite": "ImageJ=1.53t\nimages=3\nchannels=3\nmode=composite\nloop=false\n",
            "ImageJ colours": "ImageJ=1.53t\nimages=3\nchannels=3\nmode=color\nloop=false\n",
        }.items():
            yield _readable_case(f"{name}, {kind}", _grey_pages(samples, described), PHOTO)
    yield _refused_case("ImageJ stack", _grey_pages(PHOTO, "ImageJ=1.53t\nimages=3\nslices=3\nloop=false\n"))
    # Some writers list one page, and put the others' samples behind its own.
    for name, described in {
        "ImageJ, two of three channels not listed": "ImageJ=1.53t\nimages=3\nchannels=3\nmode=composite\nloop=false\n",
        "tifffile, two of three pages not listed": f'{{"shape": [3, {PHOTO.shape[0]}, {PHOTO.shape[1]}]}}',
    }.items():
        yield _refused_case(name, _grey_pages(PHOTO, described)[:1])
    one = [page_of_samples(PHOTO, tags=((270, 2, [*f'{{"shape": {[*PHOTO.shape]}}}'.encode(), 0]),))]
    yield _readable_case("one photograph, with its shape", one, PHOTO, whole=True)
    yield _refused_case("two photographs", [full, page_of_samples(PHOTO[::-1])])
    yield _refused_case("two grey photographs", _grey_pages(PHOTO)[:2])
    yield _refused_case("ten grey pages", _grey_pages(np.tile(PHOTO, (1, 1, 4))[:, :, :10]))
    yield _refused_case(
        "three photographs of different sizes", [full, page_of_samples(PHOTO[:-9]), page_of_samples(PHOTO[:-5])]
    )
    yield _refused_case("three grey pages, one of another size", [*_grey_pages(PHOTO)[:2], _grey_pages(PHOTO[:-9])[2]])


def _grey_pages(samples: "np.ndarray", description: str = "") -> list[Page]:
    text = description.encode() + b"\0"
    tag: tuple[Tag, ...] = ((270, 2, [*text]),) if description else ()
    return [page_of_samples(samples[:, :, [c]], tags=tag if c == 0 else ()) for c in range(samples.shape[2])]


def _animations() -> Iterator[PhotoCase]:
    frames = {"save_all": True, "append_images": [Pillow.fromarray(PHOTO[::-1]), Pillow.fromarray(PHOTO[:, ::-1])]}
    palette = Pillow.fromarray(PHOTO).quantize(64)
    yield _first_frame_case("GIF", written(palette, "GIF", **frames), np.asarray(palette.convert("RGB")), 0)
    yield _first_frame_case("PNG", written(PHOTO, "PNG", **frames), PHOTO, 0)
    yield _first_frame_case("WebP", written(PHOTO, "WEBP", lossless=True, **frames), PHOTO, 0)
    yield _first_frame_case("AVIF", written(PHOTO, "AVIF", quality=95, **frames), PHOTO, 32)
    height, width, _ = SMALL.shape
    size = struct.pack(">IIIIIHHBB", 0, width, height, 0, 0, 1, 10, 0, 0)
    single = [chunk(b"acTL", struct.pack(">II", 1, 0)), chunk(b"fcTL", size)]
    yield PhotoCase("pages", "PNG animation of one frame", png(SMALL, chunks=single), SMALL, names=NAMES)
    rows = zlib.compress(np.pad(SMALL[::-1].reshape(height, -1), ((0, 0), (1, 0))).tobytes())
    apart = png(SMALL, chunks=[chunk(b"acTL", struct.pack(">II", 1, 0))])
    end = len(apart) - 12
    hidden = apart[:end] + chunk(b"fcTL", size) + chunk(b"fdAT", struct.pack(">I", 1) + rows) + apart[end:]
    yield PhotoCase("pages", "PNG animation apart from its picture", hidden, SMALL, names=NAMES)
    yield PhotoCase(
        "pages", "WebP animation of one frame", written(PHOTO, "WEBP", lossless=True, save_all=True), PHOTO, names=NAMES
    )


def _readable_case(name: str, contents: list[Page], expected: Image, *, whole: bool = False) -> PhotoCase:
    return PhotoCase("pages", name, assemble(contents), expected, tolerance=0, names=NAMES, whole=whole)


def _refused_case(name: str, contents: list[Page]) -> PhotoCase:
    return PhotoCase("pages", name, assemble(contents), None, names=NAMES)


def _first_frame_case(form: str, data: bytes, first: Image, tolerance: int) -> PhotoCase:
    return PhotoCase("pages", f"{form} animation", data, first, tolerance, NAMES, warning=TOLD)
