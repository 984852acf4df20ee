"""WebP (RFC 9649): the one bitstream goes on to the decoder, without alpha, profiles and metadata."""

import struct

from vesselrt.runtime.errors import ImageDecodeError
from vesselrt.runtime.photo.encoded import MAX_PARTS, MAX_RATIO, Encoded, Samples, bad_header, damaged, unsupported
from vesselrt.runtime.photo.exif import MAX_EXIF_BYTES, orientation_from_exif
from vesselrt.runtime.photo.vips import decode_with_vips

_TAIL_BYTES = {b"VP8 ": 8, b"VP8L": 4}
"""Bytes without which a whole bitstream can't be decoded: its last pixels are in them."""


def open_webp(data: bytes) -> Encoded:
    """Reads all chunks' heads. Raises ImageDecodeError."""
    orientation, stream, kind = 1, b"", b""
    for name, content in _list_webp_chunks(data):
        if name == b"ANMF":
            raise unsupported("webp", "several frames", "as a WebP of one picture")
        if name == b"EXIF":
            orientation = orientation_from_exif(content[:MAX_EXIF_BYTES].removeprefix(b"Exif\0\0"))
        elif name in _TAIL_BYTES and not stream:
            kind, stream = name, content
    if not stream:
        raise bad_header("webp")
    width, height = _webp_size(kind, stream)
    return Encoded(
        "webp", width, height, lambda _: _decode_webp(kind, stream), orientation=orientation,
        max_bytes=len(stream) * MAX_RATIO,
    )  # fmt: skip


def _list_webp_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and content of each chunk. Raises ImageDecodeError where the file is shorter than it says."""
    if len(data) < 20 or data[8:12] != b"WEBP":
        raise bad_header("webp")
    end = 8 + int.from_bytes(data[4:8], "little")
    chunks: list[tuple[bytes, bytes]] = []
    place = 12
    while place + 8 <= end and len(chunks) < MAX_PARTS:
        name, length = struct.unpack_from("<4sI", data, place) if place + 8 <= len(data) else (b"", 0)
        if place + 8 + length > len(data) or not name:
            raise damaged("webp")
        chunks.append((name, data[place + 8 : place + 8 + length]))
        place += 8 + length + length % 2
    return chunks


def _webp_size(kind: bytes, stream: bytes) -> tuple[int, int]:
    """Width and height: 14 bits each, of VP8 behind its start code, of VP8L behind its signature and less by one."""
    if kind == b"VP8L" and stream[:1] == b"\x2f" and len(stream) >= 5:
        bits = int.from_bytes(stream[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and stream[3:6] == b"\x9d\x01\x2a" and len(stream) >= 10:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", stream, 6))
        if width and height:
            return width, height
    raise bad_header("webp")


def _decode_webp(kind: bytes, stream: bytes) -> Samples:
    # There is no checksum, and overwritten bytes decode to something; but then the stream hardly ever ends where the
    # file does. Where it ends later, the decoder notices. Where it ends before, its last bytes are not needed.
    if _is_readable(kind, stream[: -_TAIL_BYTES[kind]]):
        raise damaged("webp")
    return decode_with_vips("webp", "webpload_buffer", _webp_file(kind, stream))


def _is_readable(kind: bytes, stream: bytes) -> bool:
    try:
        decode_with_vips("webp", "webpload_buffer", _webp_file(kind, stream))
    except ImageDecodeError:
        return False
    return True


def _webp_file(kind: bytes, stream: bytes) -> bytes:
    chunk = kind + struct.pack("<I", len(stream)) + stream + b"\0" * (len(stream) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
