"""How DICOM codes the pixels of a frame. What a frame's own header declares is compared before a pixel is decoded."""

import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module

import cv2
import numpy as np

from vesselrt.runtime.errors import ImageDecodeError
from vesselrt.runtime.photo.dicom_header import MISSING, unsupported_dicom
from vesselrt.runtime.photo.encoded import MAX_PARTS, REDUCTIONS, Encoded, Samples, damaged
from vesselrt.runtime.photo.jpeg import open_jpeg

_MOST_TILES = 4096
"""Of JPEG 2000: a photograph of 12,000 × 12,000 in tiles of 256 has 2209. OpenJPEG takes 5 KB for each at once."""


@dataclass(frozen=True)
class FrameFacts:
    """What the DICOM header says of every frame."""

    rows: int
    columns: int
    samples: int
    allocated: int
    """Bits of a sample."""
    colours: str
    """Photometric interpretation."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W) of grey, (H, W, 3) of colours."""
        size = (self.rows, self.columns)
        return size if self.samples == 1 else (*size, self.samples)

    @property
    def dtype(self) -> "np.dtype[np.uint8] | np.dtype[np.uint16]":
        return np.dtype(np.uint8) if self.allocated == 8 else np.dtype("<u2")


@dataclass(frozen=True)
class Coding:
    """One way of coding frames."""

    check: Callable[[bytes, FrameFacts], None]
    """Raises ImageDecodeError where the frame's own header contradicts that of the file."""
    decode: Callable[[bytes, FrameFacts, int, int], Samples]
    """Of the frame, the facts, the reduction and the planar configuration: (H, W) or (H, W, 3) of uint8 or uint16."""
    reductions: tuple[int, ...] = ()
    is_raw: bool = False
    """Whether each pixel is stored as it is."""


def coding_of(syntax: str) -> Coding:
    """Raises ImageDecodeError for one that is not read."""
    if syntax not in _CODINGS:
        raise unsupported_dicom(f"pixels coded as {_OTHERS.get(syntax, 'another kind')}")
    return _CODINGS[syntax]


def load_codecs() -> None:
    """Loads every library that decodes frames, where it is installed."""
    for name in ("jpeg_ls", "openjpeg", "rle.utils", "cv2"):
        with suppress(ImportError):
            import_module(name)


def raw_bytes(facts: FrameFacts) -> int:
    """Of a frame without compression; of YBR_FULL_422 two pixels share their colour."""
    samples = 2 if facts.colours == "YBR_FULL_422" else facts.samples
    return facts.rows * facts.columns * samples * facts.allocated // 8


def _check_raw(content: bytes, facts: FrameFacts) -> None:
    if facts.colours == "YBR_FULL_422" and facts.columns % 2:
        raise damaged("dicom")
    if len(content) < raw_bytes(facts):
        raise damaged("dicom")


def _decode_raw(content: bytes, facts: FrameFacts, _: int, planar: int) -> Samples:
    flat: Samples = np.frombuffer(content, facts.dtype)
    if facts.colours == "YBR_FULL_422":
        pairs = flat.reshape(facts.rows, facts.columns // 2, 4)  # Y, Y, Cb, Cr
        samples = np.empty(facts.shape, np.uint8)
        samples[:, :, 0] = pairs[:, :, :2].reshape(facts.rows, facts.columns)
        samples[:, :, 1:] = pairs[:, :, 2:].repeat(2, axis=1)
        return _rgb_from(samples, facts)
    return _rgb_from(_interleaved(flat, facts, planar), facts)


def _interleaved(flat: Samples, facts: FrameFacts, planar: int) -> Samples:
    """`planar` 1: each colour has a plane of its own."""
    if facts.samples == 1 or not planar:
        return flat.reshape(facts.shape)
    return flat.reshape(facts.samples, facts.rows, facts.columns).transpose(1, 2, 0)


def _rgb_from(samples: Samples, facts: FrameFacts) -> Samples:
    """The colours of YBR (PS3.3, C.7.6.3.1.2) as RGB; grey and RGB as they are."""
    if not facts.colours.startswith("YBR_FULL"):
        return samples
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(samples[:, :, [0, 2, 1]]), cv2.COLOR_YCrCb2RGB), np.uint8)


def _open_jpeg_frame(content: bytes, facts: FrameFacts) -> Encoded:
    end = content.rfind(b"\xff\xd9") + 2  # a byte of 0 may fill a frame up
    stream = content[:end]
    says_colours = any(mark in stream[:4096] for mark in (b"JFIF\0", b"Adobe"))
    if facts.colours == "RGB" and not says_colours:
        # Else libjpeg takes three components for YCbCr: Adobe's mark says that they are not.
        stream = stream[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0" + stream[2:]
    return open_jpeg(stream)


def _check_jpeg(content: bytes, facts: FrameFacts) -> None:
    if facts.allocated != 8 or not content.startswith(b"\xff\xd8\xff"):
        raise damaged("dicom")
    encoded = _open_jpeg_frame(content, facts)
    if (encoded.height, encoded.width) != (facts.rows, facts.columns):
        raise damaged("dicom")


def _decode_jpeg(content: bytes, facts: FrameFacts, reduction: int, _: int) -> Samples:
    samples = _open_jpeg_frame(content, facts).decode(reduction)
    return samples if facts.samples == 3 else samples[:, :, 0]


def _check_jpeg_ls(content: bytes, facts: FrameFacts) -> None:
    place = 2
    for _ in range(MAX_PARTS):
        head = content[place : place + 10]
        if len(head) < 10 or head[0] != 0xFF:
            break
        if head[1] == 0xF7:  # the frame's header
            depth, rows, columns, samples = struct.unpack_from(">BHHB", head, 4)
            if (rows, columns, samples) == (facts.rows, facts.columns, facts.samples) and _fits(depth, facts):
                return
            break
        place += 2 + int.from_bytes(head[2:4])
    raise damaged("dicom")


def _fits(depth: int, facts: FrameFacts) -> bool:
    """Whether samples of `depth` bits come out of the decoder in as many bytes as the file says."""
    return facts.allocated - 8 < depth <= facts.allocated


def _decode_jpeg_ls(content: bytes, facts: FrameFacts, _: int, __: int) -> Samples:
    try:
        import jpeg_ls
    except ImportError:
        raise ImageDecodeError(MISSING) from None
    return _checked(lambda: np.asarray(jpeg_ls.decode(np.frombuffer(content, np.uint8))), facts)


def _check_jpeg_2000(content: bytes, facts: FrameFacts) -> None:
    """Reads the codestream's first segments, SOC and SIZ (ITU T.800, A.5.1)."""
    try:
        start, _, _, width, height, left, top, across, down, x, y, samples = struct.unpack_from(">IHH8IH", content)
        depths = [struct.unpack_from(">BBB", content, 42 + 3 * number) for number in range(facts.samples)]
    except struct.error:
        raise damaged("dicom") from None
    size = (height - top, width - left, samples)
    if start != 0xFF4F_FF51 or size != (facts.rows, facts.columns, facts.samples) or not across or not down:
        raise damaged("dicom")
    if any(not _fits(depth + 1, facts) or (right, below) != (1, 1) for depth, right, below in depths):
        raise unsupported_dicom("JPEG 2000 of signed samples, or of colours at half the size")
    if -(-(width - x) // across) * -(-(height - y) // down) > _MOST_TILES:
        raise unsupported_dicom(f"JPEG 2000 of more than {_MOST_TILES} tiles")


def _decode_jpeg_2000(content: bytes, facts: FrameFacts, _: int, __: int) -> Samples:
    try:
        from openjpeg.utils import decode
    except ImportError:
        raise ImageDecodeError(MISSING) from None
    return _checked(lambda: np.asarray(decode(content, 0)), facts)


def _check_rle(content: bytes, facts: FrameFacts) -> None:
    """The header of a frame (PS3.5, G.5) has the number of segments, one for each byte of a pixel."""
    if int.from_bytes(content[:4], "little") != facts.samples * facts.allocated // 8 or len(content) < 64:
        raise damaged("dicom")


def _decode_rle(content: bytes, facts: FrameFacts, _: int, __: int) -> Samples:
    try:
        from rle.utils import decode_pixel_data
    except ImportError:
        raise ImageDecodeError(MISSING) from None

    def decode() -> Samples:
        planes = decode_pixel_data(
            content, version=2, rows=facts.rows, columns=facts.columns, bits_allocated=facts.allocated
        )
        return _interleaved(np.frombuffer(planes, facts.dtype), facts, 1)

    return _checked(decode, facts)


def _checked(decode: Callable[[], Samples], facts: FrameFacts) -> Samples:
    """What a decoder gives, as RGB or grey. Raises ImageDecodeError for what it complains of."""
    try:
        samples = decode()
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - these decoders raise RuntimeError, ValueError and others
        raise damaged("dicom") from None
    if samples.shape != facts.shape or samples.dtype != facts.dtype:
        raise damaged("dicom")
    return _rgb_from(samples, facts)


_RAW = Coding(_check_raw, _decode_raw, is_raw=True)
_JPEG = Coding(_check_jpeg, _decode_jpeg, reductions=REDUCTIONS)
_JPEG_LS = Coding(_check_jpeg_ls, _decode_jpeg_ls)
_JPEG_2000 = Coding(_check_jpeg_2000, _decode_jpeg_2000)
_CODINGS = {
    "1.2.840.10008.1.2": _RAW,
    "1.2.840.10008.1.2.1": _RAW,
    "1.2.840.10008.1.2.2": _RAW,
    "1.2.840.10008.1.2.4.50": _JPEG,
    "1.2.840.10008.1.2.4.51": _JPEG,
    "1.2.840.10008.1.2.4.80": _JPEG_LS,
    "1.2.840.10008.1.2.4.81": _JPEG_LS,
    "1.2.840.10008.1.2.4.90": _JPEG_2000,
    "1.2.840.10008.1.2.4.91": _JPEG_2000,
    "1.2.840.10008.1.2.5": Coding(_check_rle, _decode_rle),
}
_OTHERS = {
    "1.2.840.10008.1.2.4.57": "lossless JPEG",
    "1.2.840.10008.1.2.4.70": "lossless JPEG",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
    **dict.fromkeys((f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109)), "video"),
}
SYNTAXES = tuple(_CODINGS)
"""The transfer syntaxes that are read."""
