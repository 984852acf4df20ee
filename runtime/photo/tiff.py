"""TIFF (6.0, BigTIFF): the one photograph's page goes on to the decoder, with the tags that say what its pixels are."""

import math
import re
import zlib
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from vesselrt.runtime.photo import tiff_pages as tags
from vesselrt.runtime.photo.encoded import Encoded, Samples, bad_header, damaged, unsupported
from vesselrt.runtime.photo.jpeg import decode_strictly, open_jpeg, rgb_from_cmyk
from vesselrt.runtime.photo.tiff_pages import Page, read_pages
from vesselrt.runtime.photo.vips import decode_with_vips

_GREY_FROM_WHITE, _GREY, _RGB, _INDEXED, _INKS, _YCBCR = 0, 1, 2, 3, 5, 6
_CHANNELS = {_GREY_FROM_WHITE: 1, _GREY: 1, _RGB: 3, _INDEXED: 1, _INKS: 4, _YCBCR: 3}
_COLOUR_NAMES = {4: "a transparency mask", 8: "CIELab colours", 32803: "raw sensor values", 34892: "raw sensor values"}
_NO_COMPRESSION, _LZW, _JPEG, _PACKBITS, _DEFLATE = 1, 5, 7, 32773, (8, 32946)
_RATIOS = {_NO_COMPRESSION: 1, _LZW: 4096 * 8 // 9, _JPEG: 512, _PACKBITS: 64, **dict.fromkeys(_DEFLATE, 1032)}
"""Compression that is read → bytes that one stored byte stands for at most."""
_COMPRESSION_NAMES = {
    2: "CCITT", 3: "CCITT", 4: "CCITT", 6: "old-style JPEG", 33003: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000",
    34887: "LERC", 34925: "LZMA", 50000: "ZSTD", 50001: "WebP", 50002: "JPEG XL",
}  # fmt: skip
_UNSIGNED, _SIGNED, _REAL = 1, 2, 3
_DEPTHS = {_UNSIGNED: (1, 2, 4, 8, 16), _REAL: (32,)}
_INSTEAD = "as an 8- or 16-bit RGB TIFF without compression, or as PNG"
_ONE_EACH = "with one photograph in a file"


def open_tiff(data: bytes) -> Encoded:
    """Reads all pages' tags. Raises ImageDecodeError.

    Of several pages smaller copies and masks are left aside; three grey ones that ImageJ wrote as channels are merged.
    """
    whole = [page for page in read_pages(data) if not page.is_reduced]
    if not whole:
        raise unsupported("tiff", "nothing but reduced copies, as raw files of cameras do", _INSTEAD)
    text = whole[0].text(tags.DESCRIPTION)
    _check_unlisted(text, whole)
    if len(whole) == 1:
        return _open_page(whole[0])
    sizes = [page.size for page in whole]
    if len(whole) == 3 and len(set(sizes)) == 1 and text.startswith("ImageJ=") and "channels=3\n" in text:
        return _open_channels(whole)
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    if sizes.count((width, height)) > 1 or not all(_is_copy(size, (width, height)) for size in sizes):
        raise unsupported("tiff", f"{len(whole)} pages", _ONE_EACH)
    told = f"The TIFF has {len(whole)} pages: the largest was read, of {width:,} × {height:,} pixels."
    return _open_page(whole[sizes.index((width, height))], (told,))


def _check_unlisted(text: str, pages: list[Page]) -> None:
    """Raises ImageDecodeError where ImageJ or tifffile tell of more samples than the listed pages have.

    Both may list one page and put the others' samples behind its own.
    """
    listed = sum(page.size[0] * page.size[1] * page.value(tags.SAMPLES, 1) for page in pages)
    if text.startswith("ImageJ=") and (images := re.search(r"^images=(\d{1,9})$", text, re.MULTILINE)):
        number = int(images[1])
    elif shape := re.match(r'\{"shape": \[([\d, ]+)\]', text):
        told = math.prod(int(side[:9]) for side in re.findall(r"\d+", shape[1]))
        number = len(pages) * told // max(1, listed)
    else:
        return
    if number > len(pages):
        raise unsupported("tiff", f"{number:,} pages, of which {len(pages)} can be found", _ONE_EACH)


def _is_copy(small: tuple[int, int], large: tuple[int, int]) -> bool:
    """Whether a page is the large one itself or a thumbnail of it: half as wide at most, and of the same shape."""
    (w, h), (width, height) = small, large
    return small == large or (2 * w <= width and abs(w * height - h * width) <= max(width, height))


@dataclass(frozen=True)
class _Picture:
    """What the tags of a page say of its pixels."""

    page: Page
    width: int
    height: int
    colours: int
    samples: int
    bits: int
    kind: int
    compression: int
    planes: int
    """Parts that the samples of a pixel are stored in: 1, or one for each."""

    @property
    def is_tiled(self) -> bool:
        return tags.TILE_WIDTH in self.page.entries

    @cached_property
    def block(self) -> tuple[int, int]:
        """Width and height of a tile or strip."""
        if self.is_tiled:
            return self.page.value(tags.TILE_WIDTH), self.page.value(tags.TILE_HEIGHT)
        return self.width, min(self.page.value(tags.ROWS, self.height), self.height)

    def sizes(self, number: int) -> set[tuple[int, int]]:
        """Widths and heights that block `number` may have; the last strip may be as high as the others."""
        width, height = self.block
        if self.is_tiled:
            return {(width, height)}
        above = height * (number % -(-self.height // height))
        return {(width, min(height, self.height - above))} | ({self.block} if above + height >= self.height else set())

    @property
    def block_bytes(self) -> int:
        """Of a whole block, decompressed; each row ends with a whole byte."""
        return -(-self.block[0] * self.samples // self.planes * self.bits // 8) * self.block[1]

    @cached_property
    def places(self) -> tuple["np.ndarray", "np.ndarray"]:
        """Of each block where it starts in the file and how many bytes it has."""
        starts, counts = (tags.TILE_STARTS, tags.TILE_COUNTS) if self.is_tiled else (tags.STARTS, tags.COUNTS)
        return self.page.values(starts), self.page.values(counts)

    @property
    def max_bytes(self) -> int:
        """What the blocks can stand for at most, decoded; indices into a palette become colours."""
        colours = 3 if self.colours == _INDEXED else 1
        return int(self.places[1].sum()) * _RATIOS[self.compression] * max(8, self.bits) // self.bits * colours


def _open_page(page: Page, warnings: tuple[str, ...] = ()) -> Encoded:
    samples = page.value(tags.SAMPLES, 1)
    picture = _Picture(
        page, *page.size, page.value(tags.COLOURS, -1), samples, page.value(tags.BITS, 1),
        page.value(tags.KIND, _UNSIGNED), page.value(tags.COMPRESSION, _NO_COMPRESSION),
        samples if page.value(tags.PLANES, 1) == 2 else 1,
    )  # fmt: skip
    _check_tiff_kind(picture)
    largest = page.value(tags.LARGEST, 0) if picture.bits == 16 else 0
    orientation = page.value(tags.ORIENTATION, 1)
    encoded = Encoded(
        "tiff", picture.width, picture.height, partial(_decode_tiff, picture),
        samples=3 if picture.colours == _INDEXED else samples, depth=max(8, picture.bits),
        orientation=orientation if 1 <= orientation <= 8 else 1,
        meaningful=min(16, largest.bit_length()) if largest >= 256 else None,
        from_white=picture.colours == _GREY_FROM_WHITE, max_bytes=picture.max_bytes, warnings=warnings,
        is_raw=picture.compression == _NO_COMPRESSION and picture.bits >= 8,
    )  # fmt: skip
    _check_blocks(picture, encoded.bytes)
    return encoded


def _open_channels(pages: list[Page]) -> Encoded:
    """Red, green and blue as three grey pages, which ImageJ calls a composite."""
    channels = [_open_page(page) for page in pages]
    first = channels[0]
    if any((c.samples, c.depth, c.from_white) != (1, first.depth, first.from_white) for c in channels):
        raise unsupported("tiff", "3 pages that are not grey", _ONE_EACH)
    return Encoded(
        "tiff", first.width, first.height, lambda _: np.dstack([channel.decode(1) for channel in channels]),
        depth=first.depth, orientation=first.orientation, meaningful=first.meaningful, from_white=first.from_white,
        is_raw=first.is_raw,
        warnings=("The TIFF has 3 grey pages: they were read as red, green and blue, as ImageJ says.",),
    )  # fmt: skip


def _check_tiff_kind(picture: _Picture) -> None:
    """Raises ImageDecodeError unless libtiff reads pixels of this kind and libvips hands them on as they are."""
    what = None
    kinds = {_UNSIGNED: f"{picture.bits}-bit", _SIGNED: f"signed {picture.bits}-bit"}
    samples = kinds.get(
        picture.kind, f"{picture.bits}-bit floating-point" if picture.kind == _REAL else "complex or undefined"
    )
    if picture.compression not in _RATIOS:
        name = _COMPRESSION_NAMES.get(picture.compression, f"number {picture.compression}")
        what = f"the compression {name}"
    elif picture.colours not in _CHANNELS:
        what = _COLOUR_NAMES.get(picture.colours, f"colours of the kind {picture.colours}")
    elif picture.colours == _INDEXED and tags.PALETTE not in picture.page.entries:
        raise bad_header("tiff")
    elif not 0 <= picture.samples - _CHANNELS[picture.colours] <= 1:
        what = f"{picture.samples} samples a pixel"
    elif picture.bits not in _DEPTHS.get(picture.kind, ()) or (picture.bits < 8 and picture.samples > 1):
        what = f"{samples} samples"
    elif picture.kind == _REAL and picture.colours not in (_GREY, _RGB):
        what = f"{samples} samples of inverted or indexed colours"
    elif picture.bits != 8 and picture.colours in (_INKS, _YCBCR):
        what = f"{samples} samples of CMYK or YCbCr colours"
    elif picture.colours == _YCBCR and (picture.compression != _JPEG or picture.planes > 1):
        what = "YCbCr colours without JPEG compression, or in separate planes"
    elif picture.page.value(tags.FILL_ORDER, 1) != 1:
        what = "bytes with reversed bits"
    elif picture.is_tiled and picture.planes > 1:
        what = "separate planes in tiles"
    if what is not None:
        raise unsupported("tiff", what, _INSTEAD)


def _check_blocks(picture: _Picture, declared: int) -> None:
    """Raises ImageDecodeError unless strips or tiles are as many as needed, in the file, and of sizes that can be."""
    across, down = picture.block
    starts, counts = picture.places
    if min(picture.width, picture.height, across, down) < 1:
        raise bad_header("tiff")
    number = -(-picture.width // across) * -(-picture.height // down) * picture.planes
    if not len(starts) == len(counts) == number or (starts + counts > len(picture.page.data)).any():
        raise damaged("tiff")
    # A block is read as often as it is named: where all name the same, a small file would take minutes.
    if not counts.all() or counts.sum() > len(picture.page.data):
        raise damaged("tiff")
    if picture.block_bytes > 4 * declared + 2**20:
        raise unsupported("tiff", f"tiles of {across:,} × {down:,} pixels, larger than the photograph", _INSTEAD)


def _decode_tiff(picture: _Picture, _: int) -> Samples:
    if picture.compression in _DEFLATE or picture.compression == _JPEG:
        _check_block_ends(picture)
    samples = decode_with_vips(
        "tiff", "tiffload_buffer", picture.page.alone(picture.samples > _CHANNELS[picture.colours])
    )
    return rgb_from_cmyk(samples[:, :, :4], inverted=False) if picture.colours == _INKS else samples


def _check_block_ends(picture: _Picture) -> None:
    """Raises ImageDecodeError for a block that does not end where its pixels do: libtiff stops at the last of them.

    Only behind it come what zlib checks its sum with, and what is left over where JPEG's codes were overwritten.
    """
    data, tables = memoryview(picture.page.data), b"\xff\xd8"
    if tags.TABLES in picture.page.entries:
        tables = picture.page.values(tags.TABLES).astype(np.uint8).tobytes()[:-2]  # without the end of the image
    for number, (start, count) in enumerate(zip(*picture.places, strict=True)):
        block = data[start : start + count]
        if picture.compression == _JPEG:
            stream = tables + block[2:]
            inner = open_jpeg(stream)
            if (inner.width, inner.height) not in picture.sizes(number):
                raise damaged("tiff")  # libtiff leaves what is missing black
            decode_strictly(stream, "GRAY")
            continue
        inflater = zlib.decompressobj()
        try:
            inflater.decompress(block, picture.block_bytes + 1)
        except zlib.error:
            raise damaged("tiff") from None
        if not inflater.eof:
            raise damaged("tiff")
