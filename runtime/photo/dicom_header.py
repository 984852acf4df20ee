"""The header of a DICOM file (PS3.10), up to its pixels. Of what it says of a patient no message holds a word."""

import io
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vesselrt.runtime.errors import ImageDecodeError
from vesselrt.runtime.photo.encoded import bad_header, unsupported
from vesselrt.runtime.photo.origin import Origin

_PREAMBLE = 132  # bytes, the last four of which are DICM
_TRANSFER_SYNTAX = 0x0002_0010
_CHARACTER_SET = 0x0008_0005
PIXEL_DATA = 0x7FE0_0010
IMPLICIT_VR, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_PALETTE = (0x0028_1101, 0x0028_1102, 0x0028_1103, 0x0028_1201, 0x0028_1202, 0x0028_1203)
_NUMBERS = {
    "samples": 0x0028_0002, "planar": 0x0028_0006, "rows": 0x0028_0010, "columns": 0x0028_0011,
    "allocated": 0x0028_0100, "stored": 0x0028_0101, "high": 0x0028_0102, "signed": 0x0028_0103,
}  # fmt: skip
"""Field of `DicomHeader` → tag of a number of 16 bits."""
_LATERALITIES = (0x0020_0062, 0x0020_0060)  # of the image, of the series
_FRAMES, _COLOURS, _SPACING, _FIELD_ANGLE = 0x0028_0008, 0x0028_0004, 0x0028_0030, 0x0022_000C
_IDENTITY = {
    "SOPClassUID": 0x0008_0016, "SOPInstanceUID": 0x0008_0018, "StudyDate": 0x0008_0020, "StudyTime": 0x0008_0030,
    "AccessionNumber": 0x0008_0050, "Modality": 0x0008_0060, "ReferringPhysicianName": 0x0008_0090,
    "PatientName": 0x0010_0010, "PatientID": 0x0010_0020, "PatientBirthDate": 0x0010_0030, "PatientSex": 0x0010_0040,
    "StudyInstanceUID": 0x0020_000D, "SeriesInstanceUID": 0x0020_000E, "StudyID": 0x0020_0010,
    "FrameOfReferenceUID": 0x0020_0052,
}  # fmt: skip
_MOST_TEXT = 400  # bytes: three spellings of a name may have 64 characters each
_UID, _TEXT = r"[0-9][0-9.]{0,63}", r"[^\x00-\x1f\x7f\\]+"
_SHAPES = {
    **dict.fromkeys((name for name in _IDENTITY if name.endswith("UID")), _UID),
    **dict.fromkeys(("StudyDate", "PatientBirthDate"), r"[0-9]{8}"), "StudyTime": r"[0-9]{2,6}(\.[0-9]{1,6})?",
    "PatientSex": "[FMO]", "Modality": "[A-Z]{1,16}",
    **dict.fromkeys(("AccessionNumber", "StudyID"), r"[^\x00-\x1f\x7f\\]{1,16}"),
    "PatientID": r"[^\x00-\x1f\x7f\\]{1,64}",
}  # fmt: skip
"""Keyword → what its value has to look like; of the others `_TEXT`."""
_STORAGE = "1.2.840.10008.5.1.4.1.1"
KINDS = tuple(
    f"{_STORAGE}.{kind}"
    for kind in (
        # Ophthalmic Photography of 8 and 16 bits and of wide fields, Secondary Capture of one and of several frames,
        # and photographs of no special kind.
        *("77.1.5.1", "77.1.5.2", "77.1.5.5", "77.1.5.6"), *("7", "7.1", "7.2", "7.3", "7.4"), "77.1.4",
    )
)  # fmt: skip
"""SOP classes of photographs."""
MISSING = "the file is DICOM, which needs packages that are not installed. Run: pip install 'vesselrt[dicom]'"
_MICROMETRES = 1000  # in a millimetre
_WIDEST_PIXEL, _WIDEST_FIELD = 1000.0, 360.0
"""Micrometres and degrees from which on a figure is none of an eye."""
_SQUARE = 0.01  # relative difference of the two sides of a pixel that counts as none


@dataclass(frozen=True)
class DicomHeader:
    """What is said of the pixels."""

    syntax: str
    """UID of the transfer syntax: how the pixels are coded."""
    colours: str
    """Photometric interpretation, such as RGB."""
    rows: int
    columns: int
    samples: int
    """Of a pixel."""
    planar: int
    """1: each colour has a plane of its own."""
    allocated: int
    """Bits of a sample in the file."""
    stored: int
    """Bits of them that carry the picture."""
    high: int
    """The highest of these, from 0."""
    signed: int
    frames: int
    place: int
    """Where the element with the pixels begins in the file."""
    pixels_vr: bytes
    """OB or OW, how the pixels are grouped; OW where the file does not say."""
    palette: Mapping[int, bytes]
    """Tag → content of the elements that give the colours of an index."""
    offsets: bytes
    """Where each frame begins, 8 bytes each; empty where that is not told."""
    told: Origin

    @property
    def is_little_endian(self) -> bool:
        return self.syntax != BIG_ENDIAN

    def uint16(self, content: bytes) -> int:
        return int.from_bytes(content[:2], "little" if self.is_little_endian else "big")


def read_header(data: bytes) -> DicomHeader:
    """Reads every element before the pixels, and keeps those that matter here. Raises ImageDecodeError."""
    try:
        from pydicom import filereader  # noqa: F401
    except ImportError:
        raise ImageDecodeError(MISSING) from None
    try:
        return _read_header(data)
    except ImageDecodeError:
        raise
    except Exception:  # noqa: BLE001 - pydicom's parser raises anything on a hostile header, and quotes it
        raise bad_header("dicom") from None


def _read_header(data: bytes) -> DicomHeader:
    stream = io.BytesIO(data)
    stream.seek(_PREAMBLE)
    syntax = _text(_elements(stream, [_TRANSFER_SYNTAX], 0x0003_0000), _TRANSFER_SYNTAX)
    if not syntax:
        raise bad_header("dicom")
    if syntax == _DEFLATED:
        raise unsupported_dicom("a header that is compressed")
    extended_offsets = 0x7FE0_0001
    wanted = [
        _CHARACTER_SET, *_NUMBERS.values(), *_LATERALITIES, _FRAMES, _COLOURS, _SPACING, _FIELD_ANGLE,
        *_PALETTE, *_IDENTITY.values(), extended_offsets,
    ]  # fmt: skip
    found = _elements(stream, wanted, PIXEL_DATA, syntax)
    identity = _identity_from(found)
    if identity.get("SOPClassUID") not in KINDS:
        raise ImageDecodeError(
            "the DICOM is not a photograph. Send Ophthalmic Photography, Secondary Capture or VL Photographic images."
        )
    order: Literal["big", "little"] = "big" if syntax == BIG_ENDIAN else "little"
    numbers = {name: int.from_bytes(found.get(tag, b"")[:2], order) for name, tag in _NUMBERS.items()}
    place = stream.tell()
    return DicomHeader(
        syntax, _text(found, _COLOURS), **numbers, frames=int(_text(found, _FRAMES) or 1), place=place,
        pixels_vr=b"OW" if syntax == IMPLICIT_VR else data[place + 4 : place + 6],
        palette={tag: found[tag] for tag in _PALETTE if tag in found}, offsets=found.get(extended_offsets, b""),
        told=_origin_from(found, syntax, identity),
    )  # fmt: skip


def _elements(stream: io.BytesIO, wanted: list[int], end: int, syntax: str = "") -> dict[int, bytes]:
    """Tag → content of the wanted elements from here on; the stream is left before the first with a tag from `end`.

    Raises EOFError where the file ends before, and what pydicom raises.
    """
    from pydicom.filereader import data_element_generator
    from pydicom.tag import BaseTag

    found: dict[int, bytes] = {}

    def stop_when(tag: int, _: str | None, __: int) -> bool:
        return tag >= end

    for element in data_element_generator(
        stream, syntax == IMPLICIT_VR, syntax != BIG_ENDIAN, stop_when, specific_tags=[BaseTag(tag) for tag in wanted]
    ):
        if element.tag in wanted and isinstance(element.value, bytes):
            found[int(element.tag)] = element.value
    return found


def _text(found: Mapping[int, bytes], tag: int) -> str:
    """In ASCII, without what fills it up."""
    return found.get(tag, b"").decode("ascii", "replace").strip(" \0")


def _origin_from(found: Mapping[int, bytes], syntax: str, identity: Mapping[str, str]) -> Origin:
    """What can be said of every frame."""
    sides = (_text(found, tag) for tag in _LATERALITIES)
    across, down = (_positive(text) for text in (*_text(found, _SPACING).split("\\"), "", "")[:2])
    is_square = abs(across - down) <= _SQUARE * across
    um_per_px = _MICROMETRES * (across + down) / 2 if across and down and is_square else 0.0
    content, order = found.get(_FIELD_ANGLE, b""), "<" if syntax != BIG_ENDIAN else ">"
    angle = struct.unpack(f"{order}f", content)[0] if len(content) == 4 else 0.0
    return Origin(
        frame=1, frames=1, laterality=next((side for side in sides if side in ("R", "L", "B")), None),
        um_per_px=um_per_px if 0 < um_per_px < _WIDEST_PIXEL else None,
        field_angle=round(angle, 3) if 0 < angle < _WIDEST_FIELD else None, identity=identity,
    )  # fmt: skip


def _positive(text: str) -> float:
    """0 for what is no such number."""
    try:
        number = float(text)
    except ValueError:
        return 0.0
    return number if 0 < number < math.inf else 0.0


def _identity_from(found: Mapping[int, bytes]) -> dict[str, str]:
    """By keyword, what is given and can be; the others are left out."""
    from pydicom.charset import decode_bytes, python_encoding

    named = _text(found, _CHARACTER_SET).split("\\")
    encodings = [python_encoding[name] for name in named if name in python_encoding] or ["iso8859"]
    identity: dict[str, str] = {}
    for keyword, tag in _IDENTITY.items():
        text = decode_bytes(found.get(tag, b"")[:_MOST_TEXT], encodings, {0x5C, 0x5E, 0x3D}).strip(" \0")
        if text and re.fullmatch(_SHAPES.get(keyword, _TEXT), text):
            identity[keyword] = text
    return identity


def unsupported_dicom(what: str) -> ImageDecodeError:
    """For a whole file with something that is not read."""
    return unsupported("dicom", what, "as DICOM without compression, or export it from your viewer as PNG")
