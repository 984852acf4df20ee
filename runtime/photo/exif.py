"""How the camera was held: the orientation in EXIF data, and turning pixels by it."""

import struct
from contextlib import suppress

from vesselrt.runtime.photo.encoded import Samples

_ORIENTATION = 0x0112
_KINDS = {3: "H", 4: "I"}  # short, as EXIF says, and long, as some write
_MOST_ENTRIES = 1000
MAX_EXIF_BYTES = 2**16
"""Bytes; the orientation stands at their beginning."""


def orientation_from_exif(exif: bytes) -> int:
    """1..8 from a block of EXIF data (a small TIFF); 1 where it says nothing, or nothing that can be read."""
    with suppress(struct.error, KeyError):
        order = {b"II": "<", b"MM": ">"}[exif[:2]]
        (start,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * min(count, _MOST_ENTRIES), 12):
            tag, kind = struct.unpack_from(f"{order}HH", exif, entry)
            if tag == _ORIENTATION and kind in _KINDS:
                (value,) = struct.unpack_from(f"{order}{_KINDS[kind]}", exif, entry + 8)
                return value if 1 <= value <= 8 else 1
    return 1


def turn_upright(pixels: Samples, orientation: int) -> Samples:
    """(H, W, C) turned and mirrored so that the scene stands upright; sides are exchanged from 5 on."""
    turned = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    # Which of the sides as they are now run backwards: of 1..8 the way to hold the camera.
    down, right = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}.get(orientation, (1, 1))
    return turned[::down, ::right]
