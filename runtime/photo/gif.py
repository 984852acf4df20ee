"""GIF (89a): the one picture goes on to the decoder, without comments and extensions."""

import struct

from vesselrt.runtime.photo.encoded import Encoded, Samples, bad_header, damaged, unsupported
from vesselrt.runtime.photo.vips import decode_with_vips

_MAX_BLOCKS = 2**20
"""Of up to 255 bytes; a file of 64 MiB has a fourth of them."""
_LZW_RATIO = 4096 * 8 // 3
"""Pixels that one byte of GIF's LZW stands for at most: codes of 3 bits or more, each of at most 4096 pixels."""


def open_gif(data: bytes) -> Encoded:
    """Reads all blocks' heads. Raises ImageDecodeError."""
    try:
        width, height, flags = struct.unpack_from("<HHB", data, 6)
        place = 13 + _colour_table_bytes(flags)
        screen, pictures = data[:place], list[bytes]()
        while data[place] != 0x3B:  # the trailer
            if data[place] == 0x21:  # an extension
                place = _skip_blocks(data, place + 2)
            elif data[place] == 0x2C and not pictures:
                start, place = place, _skip_blocks(data, place + 11 + _colour_table_bytes(data[place + 9]))
                pictures.append(data[start:place])
            else:
                raise unsupported("gif", "several frames", "as a GIF of one picture")
    except (struct.error, IndexError):
        raise damaged("gif") if len(data) >= 13 else bad_header("gif") from None
    if not pictures or not width or not height:
        raise damaged("gif")
    (picture,) = pictures
    if struct.unpack_from("<HHHH", picture, 1) != (0, 0, width, height):
        raise unsupported("gif", "a picture that does not fill its screen", "as PNG")
    return Encoded(
        "gif", width, height, lambda _: _decode_gif(screen, picture), max_bytes=len(picture) * _LZW_RATIO * 3
    )


def _colour_table_bytes(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_blocks(data: bytes, place: int) -> int:
    """The place after a series of blocks, each with its length before it, that ends with an empty one."""
    for _ in range(_MAX_BLOCKS):
        length = data[place]
        place += 1 + length
        if not length:
            return place
    raise damaged("gif")


def _decode_gif(screen: bytes, picture: bytes) -> Samples:
    return decode_with_vips("gif", "gifload_buffer", screen + picture + b";")
