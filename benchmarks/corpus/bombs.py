"""Small files that ask for much: of each is known what it may cost, and whether it is a photograph at all."""

import struct
import zlib
from collections.abc import Iterator
from functools import partial

import numpy as np
from PIL import Image as Pillow

from vesselrt.benchmarks.corpus.bomb import MEGABYTE, Bomb
from vesselrt.benchmarks.corpus.tiff_bombs import tiff_bombs
from vesselrt.benchmarks.corpus.undamaged import PHOTO, written
from vesselrt.benchmarks.corpus.writers import chunk, exif, jpeg_segment, png, with_segments, with_size


def bombs() -> Iterator[Bomb]:
    """All of them, format by format."""
    yield from _png_bombs()
    yield from tiff_bombs()
    yield from _jpeg_bombs()
    yield from _other_bombs()


def _zeros(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


def _png_bombs() -> Iterator[Bomb]:
    square = np.zeros((64, 64, 3), np.uint8)
    text = zlib.compress(b"a" * 7_900_000, 9)  # just under what libpng allows a chunk
    head = _png_of(64, 64, b"")[:33]
    frame = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 1, 64, 64, 0, 0, 1, 10, 0, 0))
    frame += chunk(b"fdAT", struct.pack(">I", 2) + _zeros(64 * 193))
    for name, chunks in {
        "300 texts of 8 MB": [chunk(b"zTXt", b"k\0\0" + text)] * 300,
        "300 texts of 8 MB, international": [chunk(b"iTXt", b"k\0\1\0\0\0" + text)] * 300,
        "profile of 200 MB": [chunk(b"iCCP", b"k\0\0" + _zeros(200 * MEGABYTE))],
        "EXIF of 8 MB, plain": [chunk(b"eXIf", b"II*\0" + bytes(8 * MEGABYTE))],
        "500,000 empty chunks": [chunk(b"teSt")] * 500_000,
        "500,000 texts of one letter": [chunk(b"tEXt", b"k\0v")] * 500_000,
        "500,000 empty pieces of pixels": [chunk(b"IDAT")] * 500_000,
        "animation of 20,000 frames": [chunk(b"acTL", struct.pack(">II", 20_000, 0)), *[frame] * 20_000],
    }.items():
        yield Bomb("PNG", name, partial(png, square, chunks=chunks))
    for size in (2**31 - 1, 2**32 - 1):
        yield Bomb(
            "PNG",
            f"a chunk of {size:,} bytes",
            partial(bytes, head + struct.pack(">I", size) + b"zTXt"),
            answer="refused",
        )
    yield Bomb("PNG", "pixels in 100,000 pieces", partial(png, PHOTO, piece=1), PHOTO.size // 3)
    yield Bomb("PNG", "64 × 64 px with 200 MB of pixels", lambda: _png_of(64, 64, _zeros(200 * MEGABYTE)))
    yield Bomb("PNG", "100,000 × 100,000 px", partial(_png_of, 100_000, 100_000, b""), 10**10, "refused")
    for interlaced in (0, 1):
        write = partial(_png_of_zeros, 12_000, interlaced)
        yield Bomb("PNG", f"12,000 × 12,000 px, interlaced {interlaced}", write, 12_000**2, heavy=True)


def _png_of_zeros(side: int, interlaced: int) -> bytes:
    rows = side + 8 * interlaced  # passes have rows that begin with a byte too
    return _png_of(side, side, _zeros((3 * side + 1) * rows), interlaced)


def _png_of(width: int, height: int, data: bytes, interlaced: int = 0) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", data) + chunk(b"IEND")


def _jpeg_bombs() -> Iterator[Bomb]:
    plain, progressive = written(PHOTO, "JPEG"), written(PHOTO, "JPEG", progressive=True)
    last = progressive[progressive.rindex(b"\xff\xda") : -2]
    scan = plain[plain.index(b"\xff\xda") : -2]
    followed = with_segments(plain, jpeg_segment(0xE1, exif(1, following=8)))
    for name, write in {
        "5000 scans": lambda: progressive[:-2] + last * 5000 + b"\xff\xd9",
        "5000 scans of a baseline file": lambda: plain[:-2] + scan * 5000 + b"\xff\xd9",
        "1,000,000 empty segments": lambda: with_segments(plain, jpeg_segment(0xFE, b"") * 1_000_000),
        "500 profiles of 64 KB": lambda: with_segments(
            plain, jpeg_segment(0xE2, b"ICC_PROFILE\0\1\1".ljust(65_000)) * 500
        ),
        "8,000,000 bytes 255 before a marker": lambda: plain[:2] + b"\xff" * 8_000_000 + plain[2:],
        "500,000 tables": lambda: with_segments(plain, jpeg_segment(0xDD, b"\0\0") * 500_000),
    }.items():
        yield Bomb("JPEG", name, write, PHOTO.size // 3)
    for name, write in {
        "20 MB of scan marks behind it": lambda: plain + b"\xff\xda" * 10_000_000,
        "40 MB behind it": lambda: plain + bytes(40 * MEGABYTE),
        "EXIF that follows itself": lambda: followed,
        "EXIF of 1000 segments": lambda: with_segments(plain, jpeg_segment(0xE1, exif(1)) * 1000),
    }.items():
        yield Bomb("JPEG", name, write, PHOTO.size // 3, "read")
    for side, scans, heavy in ((1000, 800, False), (4000, 800, False), (12_000, 30, True), (12_000, 800, True)):
        yield Bomb(
            "JPEG", f"{scans} scans of {side:,} × {side:,} px", partial(_refined, side, scans), side**2, heavy=heavy
        )
    yield Bomb("JPEG", "65,500 × 65,500 px", partial(with_size, plain, 65_500, 65_500), 65_500**2, "refused")
    yield Bomb(
        "JPEG", "12,000 × 12,000 px without data", partial(with_size, plain, 12_000, 12_000), 12_000**2, heavy=True
    )
    yield Bomb("JPEG", "50 MP with 20 MB behind it", _large_jpeg, 8000 * 6250, "read", heavy=True)


def _refined(side: int, scans: int) -> bytes:
    """A grey progressive JPEG that no rule forbids: each scan goes through all blocks, and writes a bit of none."""
    blocks = (-(-side // 8)) ** 2
    codes = bytes((1, *[0] * 15))  # one code of one bit
    tables = jpeg_segment(0xC4, b"\x00" + codes + b"\x00") + jpeg_segment(
        0xC4, b"\x10" + codes + b"\xe0"
    )  # 0; 16,384 empty blocks
    parts = [b"\xff\xd8", jpeg_segment(0xDB, b"\0" + bytes([1] * 64)), tables]
    parts.append(jpeg_segment(0xC2, struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0)))
    parts += [jpeg_segment(0xDA, b"\1\1\0\0\0\0"), bytes(-(-blocks // 8))]
    steps = [(place, high) for high in (0, *range(13, 0, -1)) for place in range(1, 64)]
    for place, high in steps[:scans]:
        low = high - 1 if high else 13
        parts += [
            jpeg_segment(0xDA, bytes((1, 1, 0, place, place, high << 4 | low))),
            bytes(-(-15 * -(-blocks // 16_384) // 8)),
        ]
    return b"".join([*parts, b"\xff\xd9"])


def _large_jpeg() -> bytes:
    return written(Pillow.fromarray(PHOTO).resize((8000, 6250)), "JPEG", quality=90) + b"\xff\xda" * 10_000_000


def _other_bombs() -> Iterator[Bomb]:
    gif = written(Pillow.fromarray(PHOTO[:64, :64]).quantize(16), "GIF")
    first = gif.index(b"\x2c")
    text = b"P3\n64 64\n255\n" + b"0 " * (64 * 64 * 3)
    boxes = b"".join(struct.pack(">I4s", 8 * (n + 1), b"meta") for n in range(100_000, 0, -1))
    for kind, name, write in (
        ("GIF", "2,000,000 empty comments", lambda: gif[:first] + b"\x21\xfe\0" * 2_000_000 + gif[first:]),
        ("GIF", "10,000 frames", lambda: gif[:-1] + gif[first:-1] * 10_000 + gif[-1:]),
        ("BMP", "4,000,000 empty rows", lambda: _bmp_head(64, 64) + bytes(8_000_000)),
        ("PNM", "comment of 30 MB", lambda: b"P6\n#" + b" " * 30_000_000 + b"\n64 64\n255\n" + bytes(64 * 64 * 3)),
        ("PNM", "10,000,000 comments", lambda: b"P3\n" + b"#\n" * 10_000_000 + text[3:]),
        ("PNM", "text with 30 MB of spaces", lambda: text + b" " * 30_000_000),
        ("PNM", "text behind 30 MB of spaces", lambda: text[:13] + b" " * 30_000_000 + text[13:]),
        ("PNM", "30,000,000 numbers too many", lambda: text + b"0 " * 30_000_000),
        ("PNM", "a number of 30,000,000 digits", lambda: text[:13] + b"1" * 30_000_000),
    ):
        yield Bomb(kind, name, write)
    for kind, name, write, pixels in (
        ("GIF", "screen of 65,535 × 65,535 px", lambda: gif[:6] + b"\xff\xff\xff\xff" + gif[10:], 65_535**2),
        ("BMP", "2 billion × 2 billion px", lambda: _bmp_head(2**31 - 1, -(2**31)), 2**62),
        ("PNM", "a width of 30,000,000 digits", lambda: b"P6\n" + b"1" * 30_000_000 + b" 64\n255\n", 10**99),
        ("PNM", "12,000 × 12,000 px without data", lambda: b"P6 12000 12000 255\n", 12_000**2),
        ("HEIF", "100,000 boxes in each other", lambda: b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + boxes, 64 * 64),
        ("SVG", "a drawing of 10,000 × 10,000 px", lambda: b"<svg width='10000' height='10000'/>", 10**8),
    ):
        yield Bomb(kind, name, write, pixels, "refused")
    screen = struct.pack("<HH", 12_000, 12_000)
    yield Bomb("GIF", "screen of 12,000 × 12,000 px", lambda: gif[:6] + screen + gif[10:], 12_000**2, heavy=True)
    yield Bomb(
        "BMP", "12,000 × 12,000 px in 2 bytes", lambda: _bmp_head(12_000, 12_000) + b"\0\1", 12_000**2, heavy=True
    )
    for side in (4000, 12_000, 16_383):
        yield Bomb("WebP", f"{side:,} × {side:,} px in 28 bytes", partial(_webp, side), side**2, heavy=side == 12_000)


def _bmp_head(width: int, height: int) -> bytes:
    """Of run lengths, with a black palette."""
    return (
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 1078, 40, width, height, 1, 8, 1, 4, 1, 1, 256, 0)
        + bytes(1024)
    )


def _webp(side: int) -> bytes:
    """A lossless WebP of one colour: every code has one symbol, so its pixels take no bits."""
    fields = [(0x2F, 8), (side - 1, 14), (side - 1, 14), (0, 1), (0, 3), (0, 3)]
    fields += [(1, 1), (0, 1), (0, 1), (0, 1)] * 5  # of each of five codes: simple, one symbol, of one bit: 0
    bits = "".join(f"{value:0{width}b}"[::-1] for value, width in fields)
    data = np.packbits([*map(int, bits)], bitorder="little").tobytes()
    data += bytes(len(data) % 2)
    body = b"WEBPVP8L" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body
