"""PNG (W3C): of its chunks only those that hold pixels go on to the decoder."""

import struct

from vesselrt.runtime.photo.encoded import MOST_PARTS, Encoded, bad_header, damaged, unsupported
from vesselrt.runtime.photo.exif import MOST_EXIF, orientation_from_exif
from vesselrt.runtime.photo.vips import decode_with_vips

_PIXELS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # colour type → samples a pixel; a palette's index becomes a colour
_MOST_INTERLACED = 75_000_000
"""Pixels: they come in seven passes over the picture, and take twice as long as in one."""
_DEFLATE = 1032
"""Bytes that one byte of DEFLATE stands for at most."""


def open_png(data: bytes) -> Encoded:
    """Reads all chunks' heads. Raises ImageDecodeError."""
    header = data[16:29]
    if data[12:16] != b"IHDR" or len(header) < 13:
        raise bad_header("png")
    width, height, depth, colours, _, _, interlaced = struct.unpack_from(">IIBBBBB", header)
    if not width or not height or colours not in _SAMPLES or depth not in (1, 2, 4, 8, 16):
        raise bad_header("png")
    if interlaced and width * height > _MOST_INTERLACED:
        raise unsupported("png", f"more than {_MOST_INTERLACED:,} pixels, interlaced", "without interlacing")
    kept, compressed, orientation, meaningful = [data[:8]], 0, 1, None
    for kind, start, end in _chunks(data):
        if kind in _PIXELS:  # text, profiles and thumbnails are compressed too, and can grow without bound
            kept.append(data[start:end])
            compressed += end - start if kind == b"IDAT" else 0
        elif kind == b"acTL" and struct.unpack_from(">I", data, start + 8)[0] > 1:
            raise unsupported("png", "several frames", "as a PNG of one picture")
        elif kind == b"sBIT":
            meaningful = max(data[start + 8 : end - 4], default=0)
        elif kind == b"eXIf":
            orientation = orientation_from_exif(data[start + 8 : min(end - 4, start + 8 + MOST_EXIF)])
    samples, bits = _SAMPLES[colours], max(8, depth)
    pure = b"".join(kept)
    return Encoded(
        "png", width, height, lambda _: decode_with_vips("png", "pngload_buffer", pure), samples=samples, depth=bits,
        orientation=orientation, meaningful=meaningful if bits == 16 else None,
        most_bytes=compressed * _DEFLATE * (24 if colours == 3 else bits) // depth,
    )  # fmt: skip


def _chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Name, start and end of each chunk up to IEND. Raises ImageDecodeError where one goes on after the file's end."""
    chunks: list[tuple[bytes, int, int]] = []
    place = 8
    while len(chunks) < MOST_PARTS:
        if place + 12 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            break
        chunks.append((kind, place, end))
        if kind == b"IEND":
            return chunks
        place = end
    raise damaged("png")
