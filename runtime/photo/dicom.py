"""Photographs in DICOM files: Ophthalmic Photography and Secondary Capture, each frame a photograph of its own."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from vesselrt.runtime.errors import ImageDecodeError
from vesselrt.runtime.photo import dicom_codecs
from vesselrt.runtime.photo.dicom_codecs import Coding, FrameFacts
from vesselrt.runtime.photo.dicom_header import BIG_ENDIAN, IMPLICIT_VR, DicomHeader, read_header, unsupported_dicom
from vesselrt.runtime.photo.encoded import MAX_PARTS, Encoded, Samples, bad_header, damaged

_UNDEFINED = 0xFFFF_FFFF
_ITEM, _SEQUENCE_END = 0xFFFE_E000, 0xFFFE_E0DD
_GREY_FROM_WHITE, _INDEXED = "MONOCHROME1", "PALETTE COLOR"
_GREY = (_GREY_FROM_WHITE, "MONOCHROME2", _INDEXED)
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


def open_dicom(data: bytes, frame: int | None = None) -> Encoded:
    """Reads the header, and finds the photograph `frame`, from 1; None: the only one. Raises ImageDecodeError."""
    header = read_header(data)
    coding = dicom_codecs.coding_of(header.syntax)
    _check_kind(header)
    number = _choose_frame(header.frames, frame)
    facts = FrameFacts(header.rows, header.columns, header.samples, header.allocated, header.colours)
    picture = _Picture(header, facts, coding, _find_frame(data, header, facts, coding, number))
    if frame is None and header.frames > 1:
        raise ImageDecodeError(
            f"the DICOM has {header.frames:,} photographs. Name one of them: frame 1 to {header.frames}."
        )
    coding.check(picture.content, facts)
    indexed = header.colours == _INDEXED
    return Encoded(
        "dicom", header.columns, header.rows, partial(_decode_frame, picture),
        samples=3 if indexed else header.samples, depth=8 if indexed else header.allocated,
        meaningful=header.stored if header.allocated == 16 and not indexed else None,
        reductions=coding.reductions, is_raw=coding.is_raw,
        origin=replace(header.told, frame=number, frames=header.frames),
    )  # fmt: skip


def is_dicom(data: bytes) -> bool:
    """Whether a file begins as DICOM files do (PS3.10, 7.1)."""
    return data.startswith(b"DICM", 128)


def count_frames(data: bytes) -> int:
    """How many photographs a DICOM file holds. Raises ImageDecodeError, where it declares more than it has too."""
    frames = read_header(data).frames
    open_dicom(data, frames)
    return frames


@dataclass(frozen=True)
class _Picture:
    """One frame."""

    header: DicomHeader
    facts: FrameFacts
    coding: Coding
    content: bytes
    """As it is stored."""


def _choose_frame(frames: int, wanted: int | None) -> int:
    """None: the last, without which the file does not hold what it declares."""
    if frames < 1:
        raise bad_header("dicom")
    if wanted is not None and not 1 <= wanted <= frames:
        raise ImageDecodeError(f"the DICOM has {frames:,} photographs, and frame {wanted} was asked for.")
    return wanted or frames


def _check_kind(header: DicomHeader) -> None:
    """Raises ImageDecodeError unless samples are unsigned, of 8 or 16 bits, in colours that are read."""
    what = None
    if not header.rows or not header.columns or not header.samples:
        raise bad_header("dicom")
    if header.allocated not in (8, 16) or not 8 <= header.stored <= header.allocated:
        what = f"{header.stored} of {header.allocated} bits a sample"
    elif header.high != header.stored - 1:
        what = "samples that don't end with their lowest bit"
    elif header.signed:
        what = "signed samples"
    elif (header.samples, header.colours) not in {(1, name) for name in _GREY} | {(3, name) for name in _COLOURS}:
        known = header.colours if header.colours in (*_GREY, *_COLOURS) else "of another kind"
        what = f"{header.samples} samples a pixel and the colours {known}"
    elif header.allocated == 16 and header.samples == 3 and header.colours != "RGB":
        what = "16 bits a sample in colours other than RGB"
    if what is not None:
        raise unsupported_dicom(what)


def _find_frame(data: bytes, header: DicomHeader, facts: FrameFacts, coding: Coding, number: int) -> bytes:
    """The bytes of a frame. Raises ImageDecodeError where the file does not hold all frames."""
    start, length = _pixel_content(data, header)
    if not coding.is_raw:
        if length != _UNDEFINED:
            raise bad_header("dicom")
        return _join_fragments(data, start, header, number)
    size = dicom_codecs.raw_bytes(facts)
    if length == _UNDEFINED or size * header.frames > min(length, len(data) - start):
        raise damaged("dicom")
    if header.syntax == BIG_ENDIAN and (header.allocated == 16 or header.pixels_vr == b"OW"):
        words = np.frombuffer(data, np.uint16, min(length, len(data) - start) // 2, start)
        data, start = words.byteswap().tobytes(), 0
    place = start + size * (number - 1)
    return data[place : place + size]


def _pixel_content(data: bytes, header: DicomHeader) -> tuple[int, int]:
    """Where the content of the element with the pixels begins, and how many bytes it has."""
    order = "<" if header.is_little_endian else ">"
    try:
        group, element = struct.unpack_from(f"{order}HH", data, header.place)
        is_short = header.syntax == IMPLICIT_VR
        start = header.place + (8 if is_short else 12)
        (length,) = struct.unpack_from(f"{order}I", data, start - 4)
    except struct.error:
        raise damaged("dicom") from None
    if (group, element) != (0x7FE0, 0x0010) or header.pixels_vr not in (b"OB", b"OW"):
        raise bad_header("dicom")
    return start, length


def _join_fragments(data: bytes, start: int, header: DicomHeader, number: int) -> bytes:
    """A frame out of its pieces (PS3.5, A.4): each frame has one, or a table says where each begins."""
    (table, *pieces) = _fragments(data, start)
    if header.frames == 1:
        mine: Sequence[slice] = pieces
    elif len(pieces) == header.frames:
        mine = pieces[number - 1 : number]
    else:
        kind, listed = ("<u8", header.offsets) if header.offsets else ("<u4", data[table])
        if len(listed) != header.frames * int(kind[-1]):
            raise damaged("dicom")
        first = pieces[0].start - 8 if pieces else 0
        offsets = [*np.frombuffer(listed, kind).tolist(), len(data)]
        mine = [piece for piece in pieces if offsets[number - 1] <= piece.start - 8 - first < offsets[number]]
    if not mine:
        raise damaged("dicom")
    return b"".join(data[piece] for piece in mine)


def _fragments(data: bytes, place: int) -> list[slice]:
    """The items up to the end of the sequence, the first of which is the table of frames."""
    found: list[slice] = []
    while len(found) <= MAX_PARTS:
        try:
            group, element, length = struct.unpack_from("<HHI", data, place)
        except struct.error:
            break
        place += 8
        if group << 16 | element == _SEQUENCE_END and found:
            return found
        if group << 16 | element != _ITEM or place + length > len(data):
            break
        found.append(slice(place, place + length))
        place += length
    raise damaged("dicom")


def _decode_frame(picture: _Picture, reduction: int) -> Samples:
    header = picture.header
    samples = picture.coding.decode(picture.content, picture.facts, reduction, header.planar)
    if header.allocated == 16:
        samples = samples & np.uint16(2**header.stored - 1)  # files of old keep drawings in the bits above
    if header.colours == _INDEXED:
        return _apply_palette(samples, header)
    if header.colours == _GREY_FROM_WHITE:
        return np.asarray(2**header.stored - 1 - samples, samples.dtype)
    return samples


def _apply_palette(indices: Samples, header: DicomHeader) -> Samples:
    """(H, W, 3) uint8 of (H, W)."""
    result = np.empty((*indices.shape, 3), np.uint8)
    for channel in range(3):
        described = header.palette.get(0x0028_1101 + channel, b"")
        content = header.palette.get(0x0028_1201 + channel, b"")
        if len(described) != 6:
            raise bad_header("dicom")
        count, first, bits = (header.uint16(described[start:]) for start in (0, 2, 4))
        count = count or 2**16
        if len(content) >= 2 * count:
            colours = np.frombuffer(content, "<u2" if header.is_little_endian else ">u2", count)
            colours = colours >> 8 if bits == 16 and colours.max() > 255 else colours
        elif len(content) >= count:
            colours = np.frombuffer(content, np.uint8, count)
        else:
            raise damaged("dicom")
        entries = np.clip(np.arange(2**header.allocated) - first, 0, count - 1)
        result[:, :, channel] = colours.astype(np.uint8)[entries][indices]
    return result
