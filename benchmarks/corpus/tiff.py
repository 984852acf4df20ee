"""Every layout of a TIFF, written bit by bit: nothing of what a decoder is built on is asked what is right."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from vesselrt.benchmarks.corpus.case import PhotoCase, eight_bits, smooth
from vesselrt.runtime.arrays import Image

Samples = NDArray[Any]
"""(H, W, C) of the type that is stored."""
Order = Literal["<", ">"]
Tag = tuple[int, int, list[int]]
"""Number, type (3: 16 bits, 4: 32 bits, 16: 64 bits), values."""

HEIGHT, WIDTH = 29, 37
ROWS, TILE = 8, 16  # rows of a strip, side of a tile: neither divides the picture
COMPRESSIONS = {"none": 1, "LZW": 5, "deflate": 8, "PackBits": 32773, "JPEG": 7}
DEPTHS: dict[str, Any] = {
    **{f"{bits}-bit": bits for bits in (8, 10, 12, 14, 16)},
    "float16": np.float16,
    "float32": np.float32,
}
COLOURS = {
    # name: (photometric interpretation, channels, those of them that aren't shown)
    "white is zero": (0, 1, 0),
    "grey": (1, 1, 0),
    "RGB": (2, 3, 0),
    "RGBA": (2, 4, 1),
    "five channels": (2, 5, 2),
    "palette": (3, 1, 0),
    "YCbCr": (6, 3, 0),
}


@dataclass(frozen=True)
class TiffLayout:
    """How the samples lie in the file."""

    depth: str
    colour: str
    compression: str = "none"
    predictor: int = 1
    planar: bool = False
    tiled: bool = False
    order: Order = "<"
    big: bool = False

    def __str__(self) -> str:
        words = (
            self.depth,
            self.colour,
            self.compression + (f" predictor {self.predictor}" if self.predictor > 1 else ""),
            "planar" if self.planar else "interleaved",
            "tiles" if self.tiled else "strips",
            "BigTIFF" if self.big else "classic",
            {"<": "little-endian", ">": "big-endian"}[self.order],
        )
        return ", ".join(words)


def layouts() -> Iterator[TiffLayout]:
    """Every combination that the specification or its common readers have a meaning for."""
    kinds = [(name, 1) for name in COMPRESSIONS] + [("LZW", 2), ("deflate", 2), ("deflate", 3)]
    for depth, colour, (compression, predictor) in itertools.product(DEPTHS, COLOURS, kinds):
        if not _is_legal(depth, colour, compression, predictor):
            continue
        for planar, tiled, big in itertools.product((False, True), repeat=3):
            if (planar and COLOURS[colour][1] == 1) or (
                compression == "JPEG" and not planar and COLOURS[colour][1] > 3
            ):
                continue
            for order in ("<", ">"):
                yield TiffLayout(depth, colour, compression, predictor, planar, tiled, order, big)


def _is_legal(depth: str, colour: str, compression: str, predictor: int) -> bool:
    if compression == "JPEG" and (depth != "8-bit" or colour == "palette"):
        return False
    if colour == "palette" and (depth not in {"8-bit", "16-bit"} or predictor > 1):
        return False
    whole = depth in {"8-bit", "16-bit"}
    return predictor == 1 or (predictor == 2 and whole) or (predictor == 3 and depth == "float32")


def tiff_case(layout: TiffLayout) -> PhotoCase:
    """A file of that layout, 37 × 29 px, with the pixels that it shows."""
    shown = smooth(HEIGHT, WIDTH, 3 if COLOURS[layout.colour][1] >= 3 else 1)
    data, expected = tiff(layout, shown)
    exact = layout.depth == "8-bit" and layout.compression != "JPEG" and layout.colour != "YCbCr"
    lossy = layout.compression == "JPEG"
    return PhotoCase(
        kind=f"TIFF {layout.depth}",
        name=str(layout),
        data=data,
        expected=expected,
        tolerance=0 if exact else 12 if lossy else 3 if layout.colour == "YCbCr" else 1,
        names=(layout.depth, layout.depth.replace("-bit", " bit"), *_describe_layout(layout)),
    )


def _describe_layout(layout: TiffLayout) -> tuple[str, ...]:
    real = ("floating",) if layout.depth.startswith("float") else ()
    words = {"five channels": ("5 channels", "5 samples", "five"), "palette": ("palette",), "YCbCr": ("YCbCr",)}
    return (*real, *words.get(layout.colour, ()), *(("planar", "separate", "plane") if layout.planar else ()))


def tiff(layout: TiffLayout, shown: NDArray[np.float64], tags: tuple[Tag, ...] = ()) -> tuple[bytes, Image]:
    """The file that shows (H, W, 1 or 3) values in 0..1, and the pixels that a reader of it sees."""
    photometric, channels, extra = COLOURS[layout.colour]
    stored, expected, own = _stored_values(layout, shown)
    stored = np.concatenate([stored, *[stored[::-1, :, :1]] * extra], axis=2)
    bits, sample_format = _bits_of(layout.depth), 3 if layout.depth.startswith("float") else 1
    planes = [stored[:, :, [c]] for c in range(channels)] if layout.planar else [stored]
    blocks = [_compress(block, layout) for plane in planes for block in _cut_blocks(plane, layout.tiled)]
    described: list[Tag] = [
        (256, 4, [shown.shape[1]]),
        (257, 4, [shown.shape[0]]),
        (258, 3, [bits] * channels),
        (259, 3, [COMPRESSIONS[layout.compression]]),
        (262, 3, [photometric]),
        (277, 3, [channels]),
        (284, 3, [2 if layout.planar else 1]),
        (339, 3, [sample_format] * channels),
        *([(317, 3, [layout.predictor])] if layout.predictor > 1 else []),
        *([(338, 3, [2] + [0] * (extra - 1))] if extra else []),
        *([(278, 3, [ROWS])] if not layout.tiled else [(322, 3, [TILE]), (323, 3, [TILE])]),
        *own,
        *tags,
    ]
    return assemble([(described, blocks, layout.tiled)], layout.order, big=layout.big), expected


def _bits_of(depth: str) -> int:
    return int(depth.removesuffix("-bit").removeprefix("float"))


def _stored_values(layout: TiffLayout, shown: NDArray[np.float64]) -> tuple[Samples, Image, list[Tag]]:
    """What a colour interpretation makes of the picture: samples, the pixels they mean, tags of their own."""
    bits, real = _bits_of(layout.depth), layout.depth.startswith("float")
    most = 1 if real else 2**bits - 1

    def quantised(values: NDArray[np.float64]) -> Samples:
        if real:
            return values.astype(layout.depth)
        return np.floor(values * most + 0.5).astype(np.uint8 if bits == 8 else np.uint16)

    if layout.colour == "palette":
        indices = np.floor(shown * 255 + 0.5).astype(np.uint16)  # (H, W, 1)
        colours = np.random.default_rng(1).integers(0, 256, (256, 3), np.uint8)
        table = np.zeros((3, 2**bits), np.uint16)
        table[:, :256] = colours.T.astype(np.uint16) * 257
        expected = colours[indices[:, :, 0]]
        return indices.astype(np.uint8 if bits == 8 else np.uint16), expected, [(320, 3, table.ravel().tolist())]
    if layout.colour == "YCbCr":
        # A JPEG makes these itself from red, green and blue.
        if layout.compression == "JPEG" and not layout.planar:
            return quantised(shown), eight_bits(shown), [(530, 3, [1, 1])]
        shift = np.array([0, 0.5, 0.5]) * (2**bits if not real else 1) / most
        matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
        return quantised(np.clip(shown @ matrix.T + shift, 0, 1)), eight_bits(shown), [(530, 3, [1, 1])]
    samples = quantised(shown)
    expected = eight_bits(samples.astype(np.float64) / most)
    return (most - samples if layout.colour == "white is zero" else samples), expected, []


def _cut_blocks(plane: Samples, tiled: bool) -> Iterator[Samples]:
    height, width, _ = plane.shape
    if not tiled:
        yield from (plane[y : y + ROWS] for y in range(0, height, ROWS))
        return
    padded = np.pad(plane, ((0, -height % TILE), (0, -width % TILE), (0, 0)), mode="edge")
    for y, x in itertools.product(range(0, height, TILE), range(0, width, TILE)):
        yield padded[y : y + TILE, x : x + TILE]


def _compress(block: Samples, layout: TiffLayout) -> bytes:
    if layout.compression == "JPEG":
        return _encode_jpeg(np.ascontiguousarray(block), layout.colour == "YCbCr")
    raw = _pack_samples(_predict(block, layout), layout)
    match layout.compression:
        case "LZW":
            return lzw(raw)
        case "deflate":
            return zlib.compress(raw)
        case "PackBits":
            return packbits(raw, len(raw) // len(block))
        case _:
            return raw


def _predict(block: Samples, layout: TiffLayout) -> Samples:
    if layout.predictor == 2:  # differences of neighbours, modulo the type
        return np.diff(block, axis=1, prepend=np.zeros_like(block[:, :1]))
    if layout.predictor == 3:  # bytes of equal weight together, then their differences (Adobe's technical note 3)
        height, width, channels = block.shape
        spread = block.astype(">f4").view(np.uint8).reshape(height, width * channels, 4).swapaxes(1, 2)
        flat = spread.reshape(height, -1, channels)
        return np.diff(flat, axis=1, prepend=np.zeros_like(flat[:, :1]))
    return block


def _pack_samples(block: Samples, layout: TiffLayout) -> bytes:
    bits = _bits_of(layout.depth)
    if bits % 8 == 0:
        return block.astype(block.dtype.newbyteorder(layout.order)).tobytes()
    places = np.arange(bits - 1, -1, -1, dtype=np.uint16)  # the first bit is the highest, whatever the byte order
    each = (block.reshape(len(block), -1, 1) >> places & 1).astype(np.uint8)
    return np.packbits(each.reshape(len(block), -1), axis=1).tobytes()


def _encode_jpeg(block: Image, ycbcr: bool) -> bytes:
    file = io.BytesIO()
    picture = Pillow.fromarray(block if block.shape[2] == 3 else block[:, :, 0])
    picture.save(file, "JPEG", quality=97, subsampling=0, keep_rgb=not ycbcr)
    return file.getvalue()


@cache
def lzw(raw: bytes) -> bytes:
    """TIFF 6.0, section 13: codes of 9 to 12 bits, the highest bit first, wider one code early."""
    table: dict[bytes, int] = {}
    bits, held, width, written = 0, 0, 9, bytearray()
    seen = b""

    def emit(code: int) -> None:
        nonlocal bits, held
        held, bits = held << width | code, bits + width
        while bits >= 8:
            bits -= 8
            written.append(held >> bits & 255)
        held &= (1 << bits) - 1

    emit(256)
    for value in raw:
        longer = seen + bytes((value,))
        if len(longer) == 1 or longer in table:
            seen = longer
            continue
        emit(table.get(seen, seen[0]))
        table[longer] = 258 + len(table)
        width = (258 + len(table)).bit_length()
        if len(table) == 4094 - 258:
            emit(256)
            table.clear()
            width = 9
        seen = longer[-1:]
    if seen:
        emit(table.get(seen, seen[0]))
        width = (258 + len(table) + 1).bit_length()
    emit(257)
    return bytes(written) + bytes(((held << 8 - bits) & 255,) if bits else ())


@cache
def packbits(raw: bytes, row: int) -> bytes:
    """Rows of `row` bytes apart, as the specification asks; equal bytes as runs, single ones as they are."""
    written = bytearray()
    for start in range(0, len(raw), row):
        for value, run in itertools.groupby(raw[start : start + row]):
            length = len([*run])
            for place in range(0, length, 128):
                piece = min(128, length - place)
                written += bytes((257 - piece if piece > 1 else 0, value))
    return bytes(written)


Page = tuple[list[Tag], list[bytes], bool]
"""Its tags but for the places of its blocks, its blocks, and whether these are tiles."""


def assemble(pages: list[Page], order: Order = "<", *, big: bool = False, before: bytes = b"") -> bytes:
    """A file of those pages, one after the other; `before`: bytes that their tags may name, right behind the head."""
    offset, count, entry = ("Q", "Q", 16) if big else ("I", "H", 4)
    head = 16 if big else 8
    body, links = bytearray(head) + before, [head - (8 if big else 4)]
    for tags, blocks, tiled in pages:
        starts = []
        for block in blocks:
            starts.append(len(body))
            body += block + bytes(len(block) % 2)
        kind = entry if big else 4
        where, sizes = (324, 325) if tiled else (273, 279)
        everything = sorted([*tags, *([(where, kind, starts), (sizes, kind, [*map(len, blocks)])] if blocks else [])])
        entries = bytearray()
        for tag, form, values in everything:
            packed = struct.pack(f"{order}{len(values)}{ {2: 'B', 3: 'H', 4: 'I', 16: 'Q'}[form] }", *values)
            if len(packed) > (8 if big else 4):
                packed, body = struct.pack(f"{order}{offset}", len(body)), body + packed
            entries += struct.pack(f"{order}HH{offset}", tag, form, len(values)) + packed.ljust(8 if big else 4, b"\0")
        body += bytes(-len(body) % 8)
        struct.pack_into(f"{order}{offset}", body, links[-1], len(body))
        body += struct.pack(f"{order}{count}", len(everything)) + entries
        links.append(len(body))
        body += bytes(8 if big else 4)
    mark = {"<": b"II", ">": b"MM"}[order]
    body[:4] = mark + struct.pack(f"{order}H", 43 if big else 42)
    if big:
        body[4:8] = struct.pack(f"{order}HH", 8, 0)
    return bytes(body)


def tiff_of_samples(
    samples: Samples, *, tags: tuple[Tag, ...] = (), compression: int = 1, data: bytes | None = None
) -> bytes:
    """(H, W, C) as they are, of any type, in one strip; `data`: what a compression made of them; `tags` replace."""
    return assemble([page_of_samples(samples, tags=tags, compression=compression, data=data)])


def page_of_samples(
    samples: Samples, *, tags: tuple[Tag, ...] = (), compression: int = 1, data: bytes | None = None
) -> Page:
    """As `tiff_of_samples`, for a file of several."""
    height, width, channels = samples.shape
    described: list[Tag] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [8 * samples.dtype.itemsize] * channels),
        (259, 3, [compression]),
        (262, 3, [2 if channels >= 3 else 1]),
        (277, 3, [channels]),
        (278, 4, [height]),
        (339, 3, [{"u": 1, "i": 2, "f": 3, "c": 6}[samples.dtype.kind]] * channels),
    ]
    replaced = {tag for tag, *_ in tags}
    kept = [tag for tag in described if tag[0] not in replaced]
    return [*kept, *tags], [samples.tobytes() if data is None else data], False
