"""The tags of a TIFF's pages (6.0, BigTIFF), read with every place in the file checked."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vesselrt.runtime.photo.encoded import bad_header, damaged, unsupported

SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, COLOURS, DESCRIPTION = 254, 256, 257, 258, 259, 262, 270
FILL_ORDER = 266
STARTS, ORIENTATION, SAMPLES, ROWS, COUNTS, LARGEST, PLANES = 273, 274, 277, 278, 279, 281, 284
TILE_WIDTH, TILE_HEIGHT, TILE_STARTS, TILE_COUNTS, EXTRA, KIND = 322, 323, 324, 325, 338, 339
PREDICTOR, PALETTE, TABLES, YCBCR = 317, 320, 347, (529, 530, 531, 532)
_OLD_SUBFILE = 255
_OF_PIXELS = {
    WIDTH, HEIGHT, BITS, COMPRESSION, COLOURS, STARTS, SAMPLES, ROWS, COUNTS, PLANES, TILE_WIDTH, TILE_HEIGHT,
    TILE_STARTS, TILE_COUNTS, EXTRA, KIND, PREDICTOR, PALETTE, TABLES, *YCBCR,
}  # fmt: skip
_NUMBER_TYPES = {1: "u1", 3: "u2", 4: "u4", 7: "u1", 13: "u4", 16: "u8"}
"""Types whose values are read here. Others are handed on unread."""
_ORDERS: dict[bytes, Literal["<", ">"]] = {b"II": "<", b"MM": ">"}
_MAX_TAGS, _MAX_PAGES = 4096, 64


@dataclass(frozen=True)
class _ByteLayout:
    """How the file writes numbers."""

    order: Literal["<", ">"]
    """As struct and NumPy write it."""
    big: bool
    """BigTIFF: places of 8 bytes."""

    @property
    def place(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def entry(self) -> str:
        """Tag, type, number of values, and the values or their place."""
        return self.order + ("HHQ8s" if self.big else "HHI4s")

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.big else "H")


@dataclass(frozen=True)
class Page:
    """The tags of one page, not yet believed."""

    data: bytes
    layout: _ByteLayout
    entries: dict[int, bytes]
    """Tag → the entry as it is written."""

    def values(self, tag: int, default: int | None = None) -> NDArray[np.int64]:
        """The whole numbers of a tag. Raises ImageDecodeError where they are missing or outside the file."""
        if tag not in self.entries:
            if default is None:
                raise bad_header("tiff")
            return np.array([default])
        _, kind, count, inline = struct.unpack(self.layout.entry, self.entries[tag])
        if kind not in _NUMBER_TYPES or not count:
            raise bad_header("tiff")
        form = np.dtype(_NUMBER_TYPES[kind]).newbyteorder(self.layout.order)
        start = 0 if count * form.itemsize <= len(inline) else struct.unpack(self.layout.place, inline)[0]
        source = inline if not start else self.data
        if start + count * form.itemsize > len(source):
            raise damaged("tiff")
        values = np.frombuffer(source, form, count, start)
        if values.max() > 2**62:
            raise bad_header("tiff")
        return values.astype(np.int64)

    def value(self, tag: int, default: int | None = None) -> int:
        """The one number of a tag; where it has several, all must be equal."""
        values = self.values(tag, default)
        if (values != values[0]).any():
            given = ", ".join(map(str, values[:4]))
            raise unsupported("tiff", f"the values {given} of tag {tag}", "with one value of it, or as PNG")
        return int(values[0])

    def text(self, tag: int) -> str:
        """The beginning of a text; empty where there is none."""
        if tag not in self.entries:
            return ""
        _, kind, count, inline = struct.unpack(self.layout.entry, self.entries[tag])
        start = struct.unpack(self.layout.place, inline)[0] if count > len(inline) else 0
        source = self.data if start else inline
        return source[start : start + min(count, 1024)].decode("latin-1") if kind == 2 else ""

    def alone(self, has_alpha: bool) -> bytes:
        """A file of this page alone: the same bytes at the same places, and behind them the tags that pixels need.

        What libtiff does not see it neither complains of nor spends memory for. That there is alpha must be told.
        """
        layout, data = self.layout, self.data
        head, padding = 8 if layout.big else 4, b"\0" * (len(data) % 2)
        entries = dict(self.entries)
        if has_alpha:
            unassociated = struct.pack(f"{layout.order}H", 2).ljust(struct.calcsize(layout.place), b"\0")
            entries[EXTRA] = struct.pack(layout.entry, EXTRA, 3, 1, unassociated)
        kept = [entries[tag] for tag in sorted(entries.keys() & _OF_PIXELS)]
        return b"".join([
            data[:head], struct.pack(layout.place, len(data) + len(padding)),
            memoryview(data)[head + struct.calcsize(layout.place) :], padding,
            struct.pack(layout.count, len(kept)), *kept, struct.pack(layout.place, 0),
        ])  # fmt: skip

    @property
    def size(self) -> tuple[int, int]:
        return self.value(WIDTH), self.value(HEIGHT)

    @property
    def is_reduced(self) -> bool:
        """Whether it is a smaller copy of another page, or a mask."""
        return bool(self.value(SUBFILE, 0) & 5) or self.value(_OLD_SUBFILE, 1) == 2


def read_pages(data: bytes) -> Iterator[Page]:
    """The pages in the order of the file. Raises ImageDecodeError."""
    try:
        order = _ORDERS[data[:2]]
        (version,) = struct.unpack_from(f"{order}H", data, 2)
        layout = _ByteLayout(order, big=version == 43)
        (place,) = struct.unpack_from(layout.place, data, 8 if layout.big else 4)
        seen: set[int] = set()
        while place:
            if place in seen or len(seen) == _MAX_PAGES:
                raise unsupported("tiff", f"{_MAX_PAGES} pages or more", "with one photograph in a file")
            seen.add(place)
            (count,) = struct.unpack_from(layout.count, data, place)
            place += struct.calcsize(layout.count)
            size, entries = struct.calcsize(layout.entry), dict[int, bytes]()
            for start in range(place, place + size * min(count, _MAX_TAGS), size):
                (tag,) = struct.unpack_from(f"{order}H", data, start)
                if (tag in entries and tag in _OF_PIXELS) or start + size > len(data):
                    raise bad_header("tiff")
                entries[tag] = data[start : start + size]
            if count > _MAX_TAGS:
                raise bad_header("tiff")
            yield Page(data, layout, entries)
            place += size * count
            (place,) = struct.unpack_from(layout.place, data, place)
    except (struct.error, KeyError):
        raise bad_header("tiff") from None
