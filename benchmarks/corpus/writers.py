"""PNG, BMP and PNM written by hand: what libraries don't write, and parts that are put into other files."""

import itertools
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[Any]
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, step down, step across of each pass of an interlaced PNG."""


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Of a PNG, with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    samples: Samples,
    depth: int = 8,
    *,
    palette: Samples | None = None,
    interlaced: bool = False,
    chunks: Sequence[bytes] = (),
    piece: int = 2**13,
) -> bytes:
    """(H, W, C) of `depth` bits: grey, grey + alpha, RGB, RGBA, or indices into a palette (N, 3) uint8.

    `chunks` come before the pixels, which are in chunks of `piece` bytes.
    """
    height, width, channels = samples.shape
    colour = 3 if palette is not None else {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    parts = [samples[y::down, x::across] for y, x, down, across in ADAM7] if interlaced else [samples]
    rows = b"".join(_png_rows(part, depth) for part in parts if part.size)
    data = zlib.compress(rows)
    return b"".join((
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))),
        *([chunk(b"PLTE", palette.tobytes())] if palette is not None else []),
        *chunks,
        *(chunk(b"IDAT", data[start : start + piece]) for start in range(0, len(data), piece)),
        chunk(b"IEND"),
    ))  # fmt: skip


def _png_rows(part: Samples, depth: int) -> bytes:
    packed = packed_bits(part, depth) if depth < 16 else part.astype(">u2").reshape(len(part), -1).view(np.uint8)
    return np.pad(packed, ((0, 0), (1, 0))).tobytes()  # each row says that it isn't filtered


def packed_bits(samples: Samples, bits: int) -> NDArray[np.uint8]:
    """(H, W, C) as rows of bytes, (H, N): the first sample in the highest bits."""
    places = np.arange(bits - 1, -1, -1, dtype=np.uint16)
    each = (samples.reshape(len(samples), -1, 1) >> places & 1).astype(np.uint8)
    return np.packbits(each.reshape(len(samples), -1), axis=1)


def bmp(  # noqa: PLR0913 - the fields of the header
    rows: NDArray[np.uint8],
    size: tuple[int, int],
    bits: int,
    *,
    palette: Samples | None = None,
    compression: int = 0,
    masks: Sequence[int] = (),
    header: int = 40,
    top_down: bool = False,
) -> bytes:
    """Rows of bytes, (H, N) top first, of a picture of (width, height) `size`; or what a compression made of them.

    `header`: bytes of it, which say its version: 12, 40, 108, 124. `masks`: bits of red, green, blue, alpha.
    """
    width, height = size
    body = rows if compression in {1, 2} else np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    data = (body if top_down or compression in {1, 2} else body[::-1]).tobytes()
    colours = b"" if palette is None else np.pad(palette[:, ::-1], ((0, 0), (0, int(header > 12)))).tobytes()
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        fields = (width, -height if top_down else height, 1, bits, compression, len(data), 2835, 2835)
        used = 0 if palette is None else len(palette)
        head = struct.pack("<IiiHHIIiiII", header, *fields, used, 0)
        head += struct.pack(f"<{len(masks)}I", *masks)
        if header > 40:  # behind the masks: which colours, and their curves, which "as screens show them" needs not
            head = head.ljust(56, b"\0") + b"BGRs" + bytes(header - 60)
    start = 14 + len(head) + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + colours + data


def run_lengths(indices: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """(H, W) indices as BMP's RLE8 or RLE4, from the last row up, as one row of bytes: runs of equal pixels."""

    def codes() -> Iterator[int]:
        for row in indices[::-1]:
            edges = [0, *np.flatnonzero(np.diff(row)) + 1, len(row)]
            for start, end in itertools.pairwise(edges):
                value = int(row[start]) * (1 if bits == 8 else 17)
                for place in range(start, end, 255):
                    yield from (min(255, end - place), value)
            yield from (0, 0)
        yield from (0, 1)

    return np.fromiter(codes(), np.uint8)[None]


def pnm(samples: Samples, magic: str, most: int = 255, comment: str = "") -> bytes:
    """(H, W, 1 or 3): P1 and P4 bits (1 is black), P2 and P5 grey, P3 and P6 colours; P1 to P3 as text."""
    height, width, _ = samples.shape
    head = f"{magic}\n{comment}{width} {height}\n" + ("" if magic in {"P1", "P4"} else f"{most}\n")
    if magic in {"P1", "P2", "P3"}:
        return (head + "\n".join(" ".join(map(str, row.ravel())) for row in samples) + "\n").encode()
    if magic == "P4":
        return head.encode() + packed_bits(samples, 1).tobytes()
    return head.encode() + samples.astype(">u2" if most > 255 else np.uint8).tobytes()


def jpeg_segment(marker: int, content: bytes) -> bytes:
    """Of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """The JPEG with those behind its first two bytes."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def exif(orientation: int, *, order: str = "<", kind: int = 3, count: int = 1, following: int = 0) -> bytes:
    """The content of an APP1 segment with one tag; `following`: where the next directory is said to be."""
    mark = {"<": b"II", ">": b"MM"}[order]
    value = struct.pack(f"{order}{'HH' if kind == 3 else 'I'}", *((orientation, 0) if kind == 3 else (orientation,)))
    entry = struct.pack(f"{order}HHI", 0x112, kind, count) + value
    head = mark + struct.pack(f"{order}HI", 42, 8)
    return b"Exif\0\0" + head + struct.pack(f"{order}H", 1) + entry + struct.pack(f"{order}I", following)


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """The JPEG with another size in its frame header: its data is soon at an end."""
    result = bytearray(jpeg)
    frame = next(place for mark in (b"\xff\xc0", b"\xff\xc2") if (place := jpeg.find(mark)) > 0)
    struct.pack_into(">HH", result, frame + 5, height, width)
    return bytes(result)
