"""TIFFs that ask for much: their tags may name any place, as often as they like, and any size."""

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from vesselrt.benchmarks.corpus.bomb import MEGABYTE, Bomb
from vesselrt.benchmarks.corpus.tiff import Tag, assemble, lzw, packbits
from vesselrt.benchmarks.corpus.undamaged import PHOTO, written
from vesselrt.benchmarks.corpus.writers import with_size

_SIDE = 64
_MOST = 2**32 - 1
_PROFILE = 34_675


def tiff_bombs() -> Iterator[Bomb]:
    """All of them."""
    # libtiff cuts streams off that have ten times the bytes of their tile: the shorter ones are read to their end.
    for idle in (6000, MEGABYTE):
        for code, stream in _idle_streams(bytes(range(256)), idle).items():
            name = f"one stream of {idle:,} bytes, compression {code}"
            tiles = partial(_tiff_of, 4096, 4096, stream, 65_536, tile=16, compression=code)
            yield Bomb("TIFF", f"65,536 tiles that are {name}", tiles, 4096**2)
            strips = partial(_tiff_of, 256, 20_000, stream, 20_000, compression=code)
            yield Bomb("TIFF", f"20,000 strips that are {name}", strips, 256 * 20_000)
    for name, write in {
        "one tile of 16,368 × 16,368 px": _small_tiff(b"", tile=16_368),
        "one tile of 999,984 × 999,984 px": _small_tiff(b"", tile=999_984),
        "65,535 samples a pixel": _small_tiff(samples=65_535),
        "a strip of 4 GB": _tiff_with_lies(279, value=_MOST),
        "4 billion places of strips": _tiff_with_lies(273, count=_MOST),
        "4 billion bits per sample": _tiff_with_lies(258, count=_MOST),
        "a profile of 4 GB": _tiff_with_lies(_PROFILE, count=_MOST),
        "a directory that follows itself": lambda: (page := _small_tiff()())[:-4] + page[4:8],
        "65,000 tags": _small_tiff(tags=((65_000, 3, [0]),) * 65_000),
        "a JPEG of 65,500 × 65,500 px in a strip": _small_tiff(
            with_size(written(PHOTO, "JPEG"), 65_500, 65_500), compression=7
        ),
    }.items():
        yield Bomb("TIFF", name, write, _SIDE**2)
    yield Bomb("TIFF", "4 billion strips", partial(_tiff_of, 1, _MOST, b"\0", 1), _MOST, "refused")
    yield Bomb("TIFF", "100 million strips", partial(_tiff_of, 1, 10**8, b"\0", 1), 10**8)
    yield Bomb("TIFF", "50,000 pages", lambda: assemble([(_tiff_with_description(1, 1), [b"\0"], False)] * 50_000), 1)
    empty = partial(_tiff_of, 12_000, 12_000, b"", 1, rows=12_000)
    yield Bomb("TIFF", "12,000 × 12,000 px, one strip of no bytes", empty, 12_000**2, heavy=True)


def _idle_streams(data: bytes, idle: int) -> dict[int, bytes]:
    """Number of a TIFF's compression → the data behind `idle` bytes of codes that mean nothing."""
    clears = np.tile([1, 0, 0, 0, 0, 0, 0, 0, 0], idle // 9 * 8)
    return {
        5: np.packbits(clears).tobytes() + lzw(data),
        8: b"\x78\x9c" + b"\0\0\0\xff\xff" * (idle // 5) + zlib.compress(data)[2:],  # stored blocks of no bytes
        32_773: b"\x80" * idle + packbits(data, len(data)),
    }


def _tiff_with_description(
    width: int, height: int, *, rows: int = 1, tile: int = 0, samples: int = 1, compression: int = 1
) -> list[Tag]:
    place: list[Tag] = [(322, 4, [tile]), (323, 4, [tile])] if tile else [(278, 4, [rows])]
    return [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [8] * samples), (259, 3, [compression]),
        (262, 3, [2 if samples > 2 else 1]), (277, 3, [samples]), *place,
    ]  # fmt: skip


def _tiff_of(  # noqa: PLR0913 - the tags
    width: int,
    height: int,
    stream: bytes,
    blocks: int,
    *,
    rows: int = 1,
    tile: int = 0,
    samples: int = 1,
    compression: int = 1,
    tags: tuple[Tag, ...] = (),
) -> bytes:
    """A page whose `blocks` tiles or strips are all the same bytes."""
    described = _tiff_with_description(width, height, rows=rows, tile=tile, samples=samples, compression=compression)
    where, sizes = (324, 325) if tile else (273, 279)
    places: list[Tag] = [(where, 4, [8] * blocks), (sizes, 4, [len(stream)] * blocks)]
    return assemble([([*described, *places, *tags], [], bool(tile))], before=stream)


def _small_tiff(stream: bytes = bytes(_SIDE**2), **options: Any) -> Callable[[], bytes]:
    return partial(_tiff_of, _SIDE, _SIDE, stream, 1, rows=_SIDE, **options)


def _tiff_with_lies(tag: int, *, value: int | None = None, count: int | None = None) -> Callable[[], bytes]:
    """Writes another value or number of values into the entry of that tag."""
    result = bytearray(_small_tiff(tags=((_PROFILE, 4, [1]),))())
    (start,) = struct.unpack_from("<I", result, 4)
    (entries,) = struct.unpack_from("<H", result, start)
    places = range(start + 2, start + 2 + 12 * entries, 12)
    place = next(place for place in places if struct.unpack_from("<H", result, place) == (tag,))
    for offset, number in ((4, count), (8, value)):
        if number is not None:
            struct.pack_into("<I", result, place + offset, number)
    return partial(bytes, result)
