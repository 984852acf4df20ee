"""Whole files of kinds that need not be read: each is read right, or refused as what it is."""

import lzma
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from vesselrt.benchmarks.corpus.case import PhotoCase, eight_bits, smooth
from vesselrt.benchmarks.corpus.tiff import Tag, tiff_of_samples
from vesselrt.benchmarks.corpus.undamaged import PHOTO, written
from vesselrt.benchmarks.corpus.writers import packed_bits
from vesselrt.runtime.arrays import Image

_SHOWN = smooth(47, 61)
_PIXELS: Image = eight_bits(_SHOWN)


def kinds() -> Iterator[PhotoCase]:
    """All of them."""
    yield from _write_files()
    yield from _jpeg_kinds()
    yield from _compression_kinds()
    yield from _write_samples()
    yield from _colour_kinds()


def _write_files() -> Iterator[PhotoCase]:
    box = b"\0\0\0\x18ftyp%s\0\0\0\0%smif1"
    for names, data in {
        ("HEIC", "HEIF"): box % (b"heic", b"heic") + bytes(100),
        ("HEIF", "HEIC"): box % (b"mif1", b"heic") + bytes(100),
        ("JPEG 2000",): written(PHOTO, "JPEG2000"),
        ("JPEG 2000", "codestream"): written(PHOTO, "JPEG2000", no_jp2=True),
        ("JPEG XL",): b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(100),
        ("JPEG XL", "JXL"): b"\xff\x0a" + bytes(100),
        ("PDF",): b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(100),
        ("SVG",): b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        ("SVG", "XML"): b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        ("HTML",): b"<!DOCTYPE html><html><body>Sign in</body></html>",
        ("HTML", "html"): b"<html><body>Sign in</body></html>",
        ("Photoshop", "PSD"): b"8BPS\0\1" + bytes(100),
        ("ZIP",): b"PK\x03\x04" + bytes(100),
        ("gzip",): b"\x1f\x8b\x08" + bytes(100),
        ("FITS",): b"SIMPLE  =                    T".ljust(2880),
        ("HDF5",): b"\x89HDF\r\n\x1a\n" + bytes(100),
        ("NumPy",): b"\x93NUMPY\1\0" + bytes(100),
        ("video", "MP4"): b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(100),
        ("OpenEXR", "EXR"): b"\x76\x2f\x31\x01\2\0\0\0" + bytes(100),
        ("icon", "ICO"): written(PHOTO[:32, :32], "ICO"),
        ("Radiance", "HDR"): b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 4 +X 4\n" + bytes(64),
        ("PAM", "P7"): b"P7\nWIDTH 4\nHEIGHT 4\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + bytes(48),
        ("NIfTI", "NIFTI"): struct.pack("<I", 348) + bytes(340) + b"n+1\0" + bytes(16),
        ("JPEG-LS", "JPEG"): b"\xff\xd8\xff\xf7\0\x0b\x08\0\x04\0\x04\x01\x01\x11\0" + bytes(40),
    }.items():
        yield PhotoCase("kinds", names[0] + (f" ({names[1]})" if names[1:] else ""), data, None, names=names)


def _jpeg_kinds() -> Iterator[PhotoCase]:
    plain = written(PHOTO, "JPEG")
    frame = plain.index(b"\xff\xc0")
    for name, marker, bits, names in (
        ("12-bit", 0xC1, 12, ("12",)),
        ("lossless", 0xC3, 8, ("lossless",)),
        ("lossless, 16-bit", 0xC3, 16, ("lossless", "16")),
        ("hierarchical", 0xC5, 8, ("hierarchical", "differential")),
        ("lossless, arithmetic", 0xCB, 8, ("lossless", "arithmetic")),
    ):
        data = (
            plain[: frame + 1] + bytes((marker,)) + plain[frame + 2 : frame + 4] + bytes((bits,)) + plain[frame + 5 :]
        )
        yield PhotoCase("kinds", f"JPEG, {name}", data, None, names=names)


def _compression_kinds() -> Iterator[PhotoCase]:
    raw = _PIXELS.tobytes()
    bits = Pillow.fromarray(_PIXELS[:, :, 0] > 127)
    for name in ("group3", "group4"):
        shown = np.asarray(bits.convert("RGB"))
        yield PhotoCase(
            "kinds", f"TIFF, bits in {name}", written(bits, "TIFF", compression=name), shown, names=("CCITT", "fax")
        )
    frame = b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", len(raw) - 256) + (len(raw) << 3 | 1).to_bytes(3, "little")
    true = {50_000: frame + raw, 34_925: lzma.compress(raw), 50_001: written(_PIXELS, "WEBP", lossless=True)}
    for code, name in {
        2: "CCITT", 3: "CCITT", 4: "CCITT", 6: "JPEG", 32_766: "NeXT", 32_809: "ThunderScan", 34_661: "JBIG",
        34_676: "SGI", 34_712: "JPEG 2000", 34_887: "LERC", 34_925: "LZMA", 50_000: "Zstandard", 50_001: "WebP",
        50_002: "JPEG XL", 12_345: "12345",
    }.items():  # fmt: skip
        names = (name, f"{code}", f"{code:,}", name.replace("Zstandard", "ZSTD"), "compression")
        for channels in (1, 3):
            expected = _PIXELS if channels == 3 and code in true else None
            data = true.get(code, raw) if channels == 3 else _PIXELS[:, :, :1].tobytes()
            file = tiff_of_samples(_PIXELS[:, :, :channels], compression=code, data=data)
            yield PhotoCase(
                "kinds", f"TIFF, compression {code}, {name}, {channels} channels", file, expected, names=names
            )


def _write_samples() -> Iterator[PhotoCase]:
    for kind, most in {
        "int8": 2**7 - 1, "int16": 2**15 - 1, "int32": 2**31 - 1, "uint32": 2**32 - 1, "uint64": 2**63,
        "float64": 1, "complex64": 1,
    }.items():  # fmt: skip
        for channels in (1, 3):
            shown = _SHOWN[:, :, :channels]
            name = f"TIFF, {kind}, {channels} channels"
            words = ("sign", "integer", "complex", f"{8 * np.dtype(kind).itemsize}", kind)
            expected = eight_bits(shown) if kind == "float64" else None
            yield PhotoCase("kinds", name, tiff_of_samples((shown * most).astype(kind)), expected, 1, words)
    for bits in (1, 2, 4, 6, 24):
        values = np.floor(_SHOWN[:, :, :1] * (2 ** min(bits, 16) - 1) + 0.5).astype(np.uint16)
        data = packed_bits(values, bits) if bits < 24 else np.repeat(_PIXELS[:, :, 1:2], 3, axis=2)
        file = tiff_of_samples(values, tags=((258, 3, [bits]),), data=data.tobytes())
        expected = eight_bits(values / (2 ** min(bits, 16) - 1)) if bits < 24 else None
        yield PhotoCase("kinds", f"TIFF, {bits} bits", file, expected, 1, (f"{bits}",))
    mixed: tuple[Tag, ...] = ((258, 3, [8, 8, 16]),)
    yield PhotoCase(
        "kinds", "TIFF, bits that differ", tiff_of_samples(_PIXELS, tags=mixed), None, names=("bits", "8, 16", "258")
    )
    for value in (255.0, -0.5, np.nan, np.inf):
        real = _SHOWN.astype(np.float32)
        real[20:30, 20:30] = value
        names = ("values", "NaN", "finite", "range")
        yield PhotoCase("kinds", f"TIFF, float32 with {value}", tiff_of_samples(real), None, names=names)
    turned = np.packbits(np.unpackbits(_PIXELS, axis=2, bitorder="little"), axis=2)
    yield PhotoCase(
        "kinds",
        "TIFF, lowest bit first",
        tiff_of_samples(turned, tags=((266, 3, [2]),)),
        _PIXELS,
        names=("order", "reversed", "266"),
    )


def _colour_kinds() -> Iterator[PhotoCase]:
    for code, channels, name in (
        (4, 1, "mask"), (5, 4, "CMYK"), (8, 3, "CIELab"), (9, 3, "ICCLab"), (10, 3, "ITULab"), (32_803, 1, "CFA"),
        (32_844, 1, "LogL"), (32_845, 3, "LogLuv"), (34_892, 3, "LinearRaw"), (999, 3, "999"),
    ):  # fmt: skip
        samples: NDArray[Any] = np.dstack([_PIXELS, _PIXELS[:, :, :1]])[:, :, :channels]
        names = (name, f"{code}", f"{code:,}", "Lab", "raw", "colour")
        file = tiff_of_samples(samples, tags=((262, 3, [code]),))
        expected = _from_cmyk(samples) if code == 5 else None
        yield PhotoCase("kinds", f"TIFF, colours {name}", file, expected, 4, names)
    whole = np.repeat(np.repeat(_PIXELS[:24, :30], 2, axis=0), 2, axis=1)
    yield PhotoCase("kinds", "TIFF, YCbCr with subsampling", _subsampled(whole), whole, 4, ("YCbCr",))
    for depth, kind in ((8, np.uint8), (16, np.uint16)):
        two = np.repeat((_SHOWN[:, :, :1] * np.iinfo(kind).max).astype(kind), 2, axis=2)
        alpha: tuple[Tag, ...] = ((262, 3, [1]), (338, 3, [2]))
        expected = eight_bits(_SHOWN[:, :, :1])
        yield PhotoCase(
            "kinds",
            f"TIFF, grey with alpha, {depth} bits",
            tiff_of_samples(two, tags=alpha),
            expected,
            1,
            ("2 channels", "alpha"),
        )


def _from_cmyk(inks: NDArray[np.uint8]) -> Image:
    paper = 255 - inks.astype(int)
    return np.asarray(np.round(paper[:, :, :3] * paper[:, :, 3:] / 255), np.uint8)


def _subsampled(picture: Image) -> bytes:
    """Of each 2 × 2 pixels, which must be equal: four lightnesses and one pair of colours (TIFF 6.0, section 21)."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    y, *colours = np.moveaxis(np.clip(picture @ matrix.T + (0, 128, 128) + 0.5, 0, 255).astype(np.uint8), 2, 0)
    height, width = y.shape
    luma = y.reshape(height // 2, 2, width // 2, 2).swapaxes(1, 2).reshape(height // 2, width // 2, 4)
    data = np.dstack([luma, *(plane[::2, ::2] for plane in colours)]).tobytes()
    return tiff_of_samples(picture, tags=((262, 3, [6]), (530, 3, [2, 2])), data=data)
