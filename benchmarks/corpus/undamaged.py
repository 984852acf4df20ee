"""Files that nothing is wrong with, of different writers: each decodes to the right pixels, with no warning."""

import io
import itertools
import struct
import warnings
import zlib
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps

from vesselrt.benchmarks.corpus.case import PhotoCase, smooth
from vesselrt.benchmarks.corpus.writers import (
    bmp,
    chunk,
    exif,
    jpeg_segment,
    packed_bits,
    png,
    pnm,
    run_lengths,
    with_segments,
)
from vesselrt.benchmarks.photos import synthetic
from vesselrt.runtime.arrays import Image

LOSSY = 4
"""Samples of 255 by which two decoders of one lossy file may differ."""
MEGABYTE = 2**20
PHOTO: Image = synthetic(160, 144, seed=3)[0]
SMALL: Image = np.asarray(np.floor(smooth(23, 37) * 255.5), np.uint8)
_RANDOM = np.random.default_rng(7)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def written(picture: Image | Pillow.Image, form: str, **options: Any) -> bytes:
    """By Pillow."""
    file = io.BytesIO()
    (picture if isinstance(picture, Pillow.Image) else Pillow.fromarray(picture)).save(file, form, **options)
    return file.getvalue()


def by_opencv(picture: Image, suffix: str, *options: int) -> bytes:
    """By OpenCV."""
    return cv2.imencode(suffix, picture[:, :, ::-1], options)[1].tobytes()


def read_by_pillow(data: bytes) -> Image:
    """The reference for what is lossy."""
    with warnings.catch_warnings(action="ignore"), Pillow.open(io.BytesIO(data)) as file:  # of EXIF that is none
        return np.asarray(ImageOps.exif_transpose(file).convert("RGB"))


def undamaged() -> Iterator[PhotoCase]:
    """Every file; each writer of them is below."""
    for kind, files in {
        "JPEG": itertools.chain(_usual_jpegs(), _jpeg_oddities()),
        "WebP": _webps(),
        "AVIF": _avifs(),
    }.items():
        for name, data in files:
            yield _photo_case(kind, name, data, read_by_pillow(data), LOSSY if kind != "AVIF" else 6 * LOSSY)
    for kind, exact in {"PNG": _pngs(), "GIF": _gifs(), "BMP": _bmps(), "PNM": _pnms(), "TIFF": _usual_tiffs()}.items():
        for name, data, expected in exact:
            yield _photo_case(kind, name, data, expected, 0)


def _photo_case(kind: str, name: str, data: bytes, expected: Image, tolerance: int) -> PhotoCase:
    return PhotoCase(kind, name, data, expected, tolerance, whole=True, warning="")


File = tuple[str, bytes]
Known = tuple[str, bytes, Image]


def _usual_jpegs() -> Iterator[File]:
    for quality, subsampling, progressive in itertools.product((50, 75, 90, 100), (0, 1, 2), (False, True)):
        options = {"quality": quality, "subsampling": subsampling, "progressive": progressive}
        yield f"Pillow {options}", written(PHOTO, "JPEG", **options)
    for factor in (0x411111, 0x221111, 0x211111, 0x121111, 0x111111):
        yield f"OpenCV sampling {factor:x}", by_opencv(PHOTO, ".jpg", cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)
    for quality, optimised, scans in itertools.product((30, 95), (0, 1), (0, 1)):
        flags = (cv2.IMWRITE_JPEG_OPTIMIZE, optimised, cv2.IMWRITE_JPEG_PROGRESSIVE, scans)
        data = by_opencv(PHOTO, ".jpg", cv2.IMWRITE_JPEG_QUALITY, quality, *flags)
        yield f"OpenCV quality {quality} optimised {optimised} progressive {scans}", data
    for unit, interval in itertools.product(("rows", "blocks"), (1, 2, 7)):
        restart = {f"restart_marker_{unit}": interval}
        yield f"restart after {interval} {unit}", written(PHOTO, "JPEG", **restart)
        yield f"progressive, restart after {interval} {unit}", written(PHOTO, "JPEG", progressive=True, **restart)
    grey = Pillow.fromarray(PHOTO).convert("L")
    yield from ((f"grey progressive {p}", written(grey, "JPEG", progressive=p)) for p in (False, True))
    yield "RGB kept", written(PHOTO, "JPEG", keep_rgb=True)
    yield "CMYK of Adobe", written(Pillow.fromarray(PHOTO).convert("CMYK"), "JPEG", quality=95)
    yield from ((f"one pixel {mode}", written(Pillow.new(mode, (1, 1), 77), "JPEG")) for mode in ("L",))
    yield "one column", written(PHOTO[:, :1], "JPEG")
    yield "one row", written(PHOTO[:1], "JPEG")
    yield "black", written(np.zeros_like(PHOTO), "JPEG", optimize=True)
    yield "black, progressive", written(np.zeros_like(PHOTO), "JPEG", progressive=True)


def _jpeg_oddities() -> Iterator[File]:
    plain = written(PHOTO, "JPEG", quality=88)
    app1 = {f"orientation {n}": exif(n) for n in range(10)} | {
        "orientation 6 big-endian": exif(6, order=">"),
        "orientation as 32 bits": exif(6, kind=4),
        "orientation 70,000": exif(70_000, kind=4),
        "no orientation in it": exif(1, count=0),
        "a next directory that is this one": exif(1, following=8),
        "a next directory outside": exif(1, following=10**9),
        "nothing": b"Exif\0\0",
        "half a header": b"Exif\0\0II*",
        "another byte order": b"Exif\0\0XX*\0\x08\0\0\0",
        "a directory outside": b"Exif\0\0II*\0\xff\xff\xff\x7f",
        "65,535 entries in 30 bytes": b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(30),
        "XMP": b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        "zeros": bytes(200),
    }
    yield from ((f"EXIF: {name}", with_segments(plain, jpeg_segment(0xE1, content))) for name, content in app1.items())
    thumbnail = written(SMALL, "JPEG")
    large = exif(1) + bytes(60_000 - len(thumbnail)) + thumbnail
    yield "EXIF of 60 KB with a thumbnail", with_segments(plain, jpeg_segment(0xE1, large))
    yield "EXIF twice", with_segments(plain, jpeg_segment(0xE1, exif(1)), jpeg_segment(0xE1, exif(1)))
    yield (
        "EXIF behind the tables",
        plain[:-2].replace(b"\xff\xc0", jpeg_segment(0xE1, exif(8)) + b"\xff\xc0", 1) + plain[-2:],
    )
    yield from _jpeg_extras(plain, thumbnail)


def _jpeg_extras(plain: bytes, thumbnail: bytes) -> Iterator[File]:
    """Other segments than EXIF, and what stands behind the end."""
    yield "comments", with_segments(plain, *[jpeg_segment(0xFE, b"camera")] * 20)
    yield "comment of 64 KB", with_segments(plain, jpeg_segment(0xFE, b" " * 65_533))
    yield "empty comment", with_segments(plain, jpeg_segment(0xFE, b""))
    yield (
        "all APP segments",
        with_segments(plain, *(jpeg_segment(0xE0 + n, b"maker\0" + bytes(50)) for n in range(2, 14))),
    )
    yield "profile", written(PHOTO, "JPEG", icc_profile=PROFILE)
    yield "profile in parts", written(PHOTO, "JPEG", icc_profile=PROFILE.ljust(150_000, b"\0"))
    yield "profile that is none", with_segments(plain, jpeg_segment(0xE2, b"ICC_PROFILE\0\x01\x01" + bytes(100)))
    yield "half a profile", with_segments(plain, jpeg_segment(0xE2, b"ICC_PROFILE\0\x01\x02" + PROFILE[:200]))
    yield "bytes 255 before markers", plain[:2] + plain[2:].replace(b"\xff\xdb", b"\xff\xff\xff\xdb")
    yield "no JFIF", plain[:2] + plain[20:]
    yield "300 DPI", written(PHOTO, "JPEG", dpi=(300, 300))
    trailers = {
        "a zero": bytes(1), "1000 zeros": bytes(1000), "a megabyte of zeros": bytes(MEGABYTE),
        "noise": _RANDOM.bytes(10_000), "a line end": b"\r\n", "the end once more": b"\xff\xd9",
        "text": b"-----------------------------7d93b03f0e--\r\n", "a thumbnail": thumbnail,
        "a motion photo": b"\0\0\0\x18ftypmp42\0\0\0\0isommp42\0\x20\0\0mdat" + _RANDOM.bytes(2 * MEGABYTE),
        "bytes that look like scans": b"\xff\xda" * 100_000,
        "camera data with markers": b"\xff\xc0\xff\xd8\xff\xe1\xff\xff" * 50,
    }  # fmt: skip
    yield from ((f"behind it {name}", plain + trailer) for name, trailer in trailers.items())
    frames = [Pillow.fromarray(PHOTO[::-1])]
    yield "several pictures of a phone (MPO)", written(PHOTO, "MPO", save_all=True, append_images=frames)


def _webps() -> Iterator[File]:
    for quality, method in itertools.product((40, 75, 100), (0, 6)):
        yield f"lossy {quality}, method {method}", written(PHOTO, "WEBP", quality=quality, method=method)
    for quality in (0, 100):
        yield f"lossless {quality}", written(PHOTO, "WEBP", lossless=True, quality=quality)
    alpha = np.dstack([PHOTO, np.tile(np.arange(160, dtype=np.uint8), (144, 1))])
    yield "lossy with alpha", written(alpha, "WEBP", exact=True)
    yield "lossless with alpha", written(alpha, "WEBP", lossless=True, exact=True)
    yield "profile", written(PHOTO, "WEBP", icc_profile=PROFILE)
    yield "OpenCV", by_opencv(PHOTO, ".webp", cv2.IMWRITE_WEBP_QUALITY, 80)
    yield "black", written(np.zeros_like(PHOTO), "WEBP")
    yield "black, lossless", written(np.zeros_like(PHOTO), "WEBP", lossless=True)
    for orientation in range(1, 9):
        data = written(PHOTO, "WEBP", quality=80, exif=exif(orientation)[6:])
        yield f"EXIF: orientation {orientation}", data


def _avifs() -> Iterator[File]:
    for quality, subsampling in itertools.product((60, 90), ("4:2:0", "4:4:4")):
        yield f"{quality} {subsampling}", written(PHOTO, "AVIF", quality=quality, subsampling=subsampling)
    for orientation in (3, 6, 7):
        yield f"orientation {orientation}", written(PHOTO, "AVIF", exif=exif(orientation)[6:])


def _pngs() -> Iterator[Known]:
    levels = _RANDOM.integers(0, 65_536, (23, 37, 4), np.uint16)
    for channels, interlaced in itertools.product((1, 2, 3, 4), (False, True)):
        for depth in (1, 2, 4, 8, 16) if channels == 1 else (8, 16):
            samples = levels[:, :, :channels] >> 16 - depth
            shown = _shown(samples[:, :, : 1 if channels < 3 else 3], depth)
            name = f"{channels} channels of {depth} bits" + (", interlaced" if interlaced else "")
            yield name, png(samples, depth, interlaced=interlaced), shown
    colours = _RANDOM.integers(0, 256, (256, 3), np.uint8)
    for depth, interlaced in itertools.product((1, 2, 4, 8), (False, True)):
        indices = levels[:, :, :1] >> 16 - depth
        data = png(indices, depth, palette=colours[: 2**depth], interlaced=interlaced)
        yield f"palette of {depth} bits" + (", interlaced" if interlaced else ""), data, colours[indices[:, :, 0]]
    chunks = {
        "text": [chunk(b"tEXt", b"Comment\0of a camera")] * 30,
        "compressed text": [chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"text" * 1000))],
        "text of the world": [chunk(b"iTXt", "Comment\0\0\0\0\0안저 사진".encode())],
        "gamma": [chunk(b"gAMA", struct.pack(">I", 45_455))],
        "another gamma": [chunk(b"gAMA", struct.pack(">I", 100_000))],
        "sRGB": [chunk(b"sRGB", b"\0")],
        "chromaticities": [chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))],
        "resolution": [chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1))],
        "time": [chunk(b"tIME", struct.pack(">HBBBBB", 2024, 2, 29, 12, 0, 0))],
        "background": [chunk(b"bKGD", bytes(6))],
        "one transparent colour": [chunk(b"tRNS", struct.pack(">HHH", *map(int, SMALL[5, 5])))],
        "bits of the sensor": [chunk(b"sBIT", b"\x08\x08\x08")],
        "a private chunk": [chunk(b"prIv", bytes(1000))],
        "EXIF": [chunk(b"eXIf", exif(1)[6:])],
        "profile": [chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(PROFILE))],
    }
    yield from ((name, png(SMALL, chunks=parts), SMALL) for name, parts in chunks.items())
    yield "pixels in pieces of 10 bytes", png(SMALL, piece=10), SMALL
    yield "bytes behind it", png(SMALL) + b"\0\r\n", SMALL
    yield "a megabyte behind it", png(SMALL) + bytes(MEGABYTE), SMALL
    for level in (0, 1, 9):
        yield f"Pillow level {level}", written(PHOTO, "PNG", compress_level=level), PHOTO
        yield f"OpenCV level {level}", by_opencv(PHOTO, ".png", cv2.IMWRITE_PNG_COMPRESSION, level), PHOTO
    clear = Pillow.fromarray(PHOTO).quantize(64)
    yield "palette with alpha", written(clear, "PNG", transparency=bytes(range(64))), np.asarray(clear.convert("RGB"))
    for orientation in range(2, 9):
        data = png(SMALL, chunks=[chunk(b"eXIf", exif(orientation)[6:])])
        yield f"EXIF: orientation {orientation}", data, read_by_pillow(data)


def _shown(samples: Any, depth: int) -> Image:
    """Unsigned samples of `depth` bits, (H, W, 1 or 3), as 8-bit RGB; of 16 bits the upper 8."""
    eight = samples >> 8 if depth == 16 else samples * (255 // (2**depth - 1))
    return np.ascontiguousarray(np.broadcast_to(eight.astype(np.uint8), (*samples.shape[:2], 3)))


def _gifs() -> Iterator[Known]:
    for colours, interlaced in itertools.product((2, 16, 200, 256), (0, 1)):
        picture = Pillow.fromarray(PHOTO).quantize(colours)
        yield (
            f"{colours} colours, interlaced {interlaced}",
            written(picture, "GIF", interlace=interlaced),
            np.asarray(picture.convert("RGB")),
        )
    picture = Pillow.fromarray(PHOTO).quantize(64)
    shown = np.asarray(picture.convert("RGB"))
    yield "comment", written(picture, "GIF", comment=b"camera" * 100), shown
    yield "GIF87a", b"GIF87a" + written(picture, "GIF")[6:], shown
    yield "bytes behind it", written(picture, "GIF") + bytes(100), shown
    grey = Pillow.fromarray(PHOTO).convert("L")
    yield "grey", written(grey, "GIF"), np.asarray(grey.convert("RGB"))


def _bmps() -> Iterator[Known]:
    size = (SMALL.shape[1], SMALL.shape[0])
    blue_first = SMALL[:, :, ::-1].reshape(len(SMALL), -1)
    for header, top_down in itertools.product((12, 40, 108, 124), (False, True)):
        if header == 12 and top_down:
            continue
        name = f"24 bits, header of {header}" + (", top first" if top_down else "")
        yield name, bmp(blue_first, size, 24, header=header, top_down=top_down), SMALL
    four = np.dstack([SMALL[:, :, ::-1], np.zeros(SMALL.shape[:2], np.uint8)]).reshape(len(SMALL), -1)
    yield "32 bits", bmp(four, size, 32), SMALL
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    opaque = np.dstack([SMALL[:, :, ::-1], np.full(SMALL.shape[:2], 255, np.uint8)]).reshape(len(SMALL), -1)
    yield "32 bits with alpha", bmp(opaque, size, 32, compression=3, masks=masks, header=124), SMALL
    yield "32 bits, fields", bmp(four, size, 32, compression=3, masks=masks[:3]), SMALL
    colours = _RANDOM.integers(0, 256, (256, 3), np.uint8)
    for bits in (1, 4, 8):
        indices = (SMALL[:, :, :1] >> 8 - bits).astype(np.uint8)
        shown = colours[: 2**bits][indices[:, :, 0]]
        for header in (12, 40):
            data = bmp(packed_bits(indices, bits), size, bits, palette=colours[: 2**bits], header=header)
            yield f"palette of {bits} bits, header of {header}", data, shown
        if bits > 1:
            runs = run_lengths(indices[:, :, 0], bits)
            data = bmp(runs, size, bits, palette=colours[: 2**bits], compression={8: 1, 4: 2}[bits])
            yield f"run lengths of {bits} bits", data, shown
    yield "Pillow", written(PHOTO, "BMP"), PHOTO
    yield "OpenCV", by_opencv(PHOTO, ".bmp"), PHOTO
    yield "bytes behind it", written(PHOTO, "BMP") + bytes(64), PHOTO
    yield from ((f"photograph, {name}", written(picture, "BMP"), picture) for name, picture in _odd_photographs())


def _odd_photographs() -> Iterator[tuple[str, Image]]:
    """What people do to photographs, where no decoder says what is damaged: see `damage`."""
    labelled = cv2.putText(
        PHOTO.copy(), "OD 2024-02-29 0012", (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1
    )
    yield "labelled", np.asarray(cv2.rectangle(labelled, (20, 30), (150, 120), (255, 255, 255), 1), np.uint8)
    noise = _RANDOM.normal(0, 25, PHOTO.shape)
    yield "noisy", np.clip(PHOTO + noise, 0, 255).astype(np.uint8)
    yield "sharpened", np.asarray(cv2.addWeighted(PHOTO, 2.5, cv2.GaussianBlur(PHOTO, (0, 0), 2), -1.5, 0), np.uint8)
    yield "equalised", np.dstack([cv2.equalizeHist(np.ascontiguousarray(plane)) for plane in np.moveaxis(PHOTO, 2, 0)])
    yield "of 16 colours", np.asarray(Pillow.fromarray(PHOTO).quantize(16).convert("RGB"))


def _pnms() -> Iterator[Known]:
    grey = SMALL[:, :, :1]
    dark = (grey < 128).astype(np.uint8)
    shown_bits, shown_grey = _shown(1 - dark, 1), _shown(grey, 8)
    for comment in ("", "# of a camera\n"):
        note = ", comment" if comment else ""
        for magic, samples, shown in (
            ("P1", dark, shown_bits), ("P4", dark, shown_bits), ("P2", grey, shown_grey), ("P5", grey, shown_grey),
            ("P3", SMALL, SMALL), ("P6", SMALL, SMALL),
        ):  # fmt: skip
            yield magic + note, pnm(samples, magic, comment=comment), shown
    deep = SMALL.astype(np.uint16) * 257
    for magic in ("P3", "P6"):
        yield f"{magic}, 16 bits", pnm(deep, magic, 65_535), SMALL
        yield f"{magic}, up to 51", pnm(SMALL // 5, magic, 51), SMALL // 5 * 5
    yield "P5, 16 bits", pnm(deep[:, :, :1], "P5", 65_535), shown_grey
    yield "Pillow", written(PHOTO, "PPM"), PHOTO
    yield "OpenCV", by_opencv(PHOTO, ".ppm"), PHOTO


def _usual_tiffs() -> Iterator[Known]:
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"):
        yield f"Pillow {compression}", written(PHOTO, "TIFF", compression=compression), PHOTO
        yield (
            f"Pillow {compression}, profile",
            written(PHOTO, "TIFF", compression=compression, icc_profile=PROFILE),
            PHOTO,
        )
    for code in (1, 5, 8, 32_773):
        yield f"OpenCV {code}", by_opencv(PHOTO, ".tif", cv2.IMWRITE_TIFF_COMPRESSION, code), PHOTO
    bits = Pillow.fromarray(np.asarray(SMALL[:, :, 0] > 127))
    yield "Pillow bits", written(bits, "TIFF"), np.asarray(bits.convert("RGB"))
    palette = Pillow.fromarray(PHOTO).quantize(64)
    yield "Pillow palette", written(palette, "TIFF"), np.asarray(palette.convert("RGB"))
    for orientation in range(1, 9):
        data = written(PHOTO, "TIFF", exif=exif(orientation)[6:])
        yield f"orientation {orientation}", data, read_by_pillow(data)
    alpha = np.dstack([PHOTO, np.tile(np.arange(160, dtype=np.uint8), (144, 1))])
    yield "alpha", written(alpha, "TIFF"), PHOTO
