"""PNG (W3C): of its chunks only those that hold pixels go on to the decoder."""

import struct

from vesselrt.runtime.photo.encoded import MAX_PARTS, Encoded, bad_header, damaged, unsupported
from vesselrt.runtime.photo.exif import MAX_EXIF_BYTES, orientation_from_exif
from vesselrt.runtime.photo.vips import decode_with_vips

_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_SAMPLES_PER_PIXEL = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # colour type → samples a pixel; a palette's index becomes a colour
_MAX_INTERLACED_PIXELS = 75_000_000
"""Pixels: they come in seven passes over the picture, and take twice as long as in one."""
_DEFLATE_RATIO = 1032
"""Bytes that one byte of DEFLATE stands for at most."""


def open_png(data: bytes) -> Encoded:
    """Reads all chunks' heads. Raises ImageDecodeError."""
    header = data[16:29]
    if data[12:16] != b"IHDR" or len(header) < 13:
        raise bad_header("png")
    width, height, depth, colours, _, _, interlaced = struct.unpack_from(">IIBBBBB", header)
    if not width or not height or colours not in _SAMPLES_PER_PIXEL or depth not in (1, 2, 4, 8, 16):
        raise bad_header("png")
    if interlaced and width * height > _MAX_INTERLACED_PIXELS:
        raise unsupported("png", f"more than {_MAX_INTERLACED_PIXELS:,} pixels, interlaced", "without interlacing")
    kept, compressed, orientation, meaningful = [data[:8]], 0, 1, None
    for kind, start, end in _list_png_chunks(data):
        if kind in _PIXEL_CHUNKS:  # text, profiles and thumbnails are compressed too, and can grow without bound
            kept.append(data[start:end])
            compressed += end - start if kind == b"IDAT" else 0
        elif kind == b"acTL" and struct.unpack_from(">I", data, start + 8)[0] > 1:
            raise unsupported("png", "several frames", "as a PNG of one picture")
        elif kind == b"sBIT":
            meaningful = max(data[start + 8 : end - 4], default=0)
        elif kind == b"eXIf":
            orientation = orientation_from_exif(data[start + 8 : min(end - 4, start + 8 + MAX_EXIF_BYTES)])
    samples, bits = _SAMPLES_PER_PIXEL[colours], max(8, depth)
    pure = b"".join(kept)
    return Encoded(
        "png", width, height, lambda _: decode_with_vips("png", "pngload_buffer", pure), samples=samples, depth=bits,
        orientation=orientation, meaningful=meaningful if bits == 16 else None,
        max_bytes=compressed * _DEFLATE_RATIO * (24 if colours == 3 else bits) // depth,
    )  # fmt: skip


def _list_png_chunks(data: bytes) -> list[tuple[bytes, int, int]]:
    """Name, start and end of each chunk up to IEND. Raises ImageDecodeError where one goes on after the file's end."""
    chunks: list[tuple[bytes, int, int]] = []
    place = 8
    while len(chunks) < MAX_PARTS:
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
