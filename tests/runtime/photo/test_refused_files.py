"""What is too large, several, damaged or unreadable is refused, where it can be before a pixel is decoded."""

import errno
import os
import random
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photo_files import (
    LOSSY,
    PIXELS,
    REAL,
    SMOOTH,
    flat_memory,
    pillow,
    pixels_of,
    saved,
    tiff,
)

from vesselrt.runtime.errors import ImageDecodeError, ImageError, ImageTooLargeError
from vesselrt.runtime.photo import decoding
from vesselrt.runtime.photo.decoding import PHOTO_FORMATS, Limits, decode_photo, read_photo
from vesselrt.runtime.photo.encoded import PHOTO_TITLES

KINDS = "JPEG, PNG, TIFF, BMP, WebP, GIF, PNM, AVIF or DICOM"


EMPTY = f"the file is empty. Send a {KINDS} file."


HEADER = "the {}'s header is damaged. Send a whole file."


DAMAGED = "the {} is truncated or damaged. Send a whole file."


KIND = "the TIFF has {}: that is not supported. Save it as an 8- or 16-bit RGB TIFF without compression, or as PNG."


NOT_FINITE = "the image holds NaN or infinite values. Send finite values in 0..1, or an 8- or 16-bit image."


def chunk(kind: bytes, content: bytes, length: int | None = None) -> bytes:
    size = struct.pack(">I", len(content) if length is None else length)
    return size + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


ONE_OF_EACH = {
    "JPEG": LOSSY["JPEG"],
    "PNG": saved(pillow(SMOOTH), "PNG"),
    "TIFF": saved(pillow(SMOOTH), "TIFF"),
    "TIFF, floating point": tiff(REAL),
    "BMP": saved(pillow(SMOOTH), "BMP"),
    "WebP": LOSSY["WebP"],
    "GIF": saved(pillow(SMOOTH, "P"), "GIF"),
}


ALL = {**ONE_OF_EACH, **LOSSY}


@pytest.fixture
def no_pixel_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "decode_opened", lambda *_: pytest.fail("pixels were decoded"))


@pytest.mark.usefixtures("no_pixel_is_decoded")
@pytest.mark.parametrize("data", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
def test_one_pixel_too_many_is_refused_unseen(data: bytes) -> None:
    width, height = (17, 13) if data == ONE_OF_EACH["TIFF, floating point"] else (40, 30)
    with pytest.raises(ImageTooLargeError) as caught:
        pixels_of(data, Limits(pixels=width * height - 1))
    assert str(caught.value) == (
        f"the image declares {width} × {height} pixels, the limit is {width * height - 1:,} in all. "
        "Send a smaller image."
    )


@pytest.mark.parametrize("data", ONE_OF_EACH.values(), ids=ONE_OF_EACH)
def test_limits_are_the_largest_that_passes(data: bytes) -> None:
    height, width, _ = pixels_of(data).shape
    pixels = height * width * (3 if data == ONE_OF_EACH["TIFF, floating point"] else 1)  # of 12 bytes each
    assert pixels_of(data, Limits(bytes=len(data), pixels=pixels)).shape == (height, width, 3)


def test_deep_samples_count_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    data, pixels = tiff(REAL), 17 * 13 * 3  # 12 bytes each
    assert pixels_of(data, Limits(pixels=pixels)).shape == REAL.shape
    monkeypatch.setattr(decoding, "decode_opened", lambda *_: pytest.fail("pixels were decoded"))
    with pytest.raises(ImageTooLargeError) as caught:
        pixels_of(data, Limits(pixels=pixels - 1))
    assert str(caught.value) == (
        "the image declares 17 × 13 pixels of 3 × 32 bits, the limit is 2,648 bytes in all. "
        "Send a smaller image, or one of 8 bits."
    )


@pytest.mark.usefixtures("no_pixel_is_decoded")
@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("PNG", "the PNG has several frames: that is not supported. Save it as a PNG of one picture."),
        ("WEBP", "the WebP has several frames: that is not supported. Save it as a WebP of one picture."),
        ("GIF", "the GIF has several frames: that is not supported. Save it as a GIF of one picture."),
        ("TIFF", "the TIFF has 2 pages: that is not supported. Save it with one photograph in a file."),
    ],
)
def test_several_photographs_are_refused(form: str, message: str) -> None:
    data = saved(pillow(PIXELS), form, save_all=True, append_images=[pillow(PIXELS[::-1])])
    with pytest.raises(ImageDecodeError) as caught:
        decode_photo(data)
    assert str(caught.value) == message


@pytest.mark.usefixtures("no_pixel_is_decoded")
@pytest.mark.parametrize(("name", "data"), ONE_OF_EACH.items(), ids=ONE_OF_EACH)
def test_a_format_that_is_not_wanted_is_refused_unseen(name: str, data: bytes) -> None:
    kind = name.partition(",")[0]
    others = tuple(form for form in PHOTO_FORMATS if form != kind.lower())
    assert len(others) == len(PHOTO_FORMATS) - 1
    with pytest.raises(ImageDecodeError) as caught:
        pixels_of(data, Limits(formats=others))
    assert str(caught.value) == f"the file is {kind}. Send one of: {', '.join(PHOTO_TITLES[form] for form in others)}."


@pytest.mark.usefixtures("no_pixel_is_decoded")
def test_a_file_over_the_byte_limit_is_refused_unseen(tmp_path: Path) -> None:
    message = "the file has more than 1,000 bytes, the limit. Send a smaller file."
    with pytest.raises(ImageTooLargeError) as caught:
        pixels_of(bytes(1001), Limits(bytes=1000))
    assert str(caught.value) == message
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(2**33)
    with flat_memory(), pytest.raises(ImageTooLargeError) as caught:
        read_photo(path, Limits(bytes=1000))
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.usefixtures("no_pixel_is_decoded")
def test_a_png_that_declares_100000_by_100000_is_refused_unseen() -> None:
    data = png_header(100_000, 100_000) + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")
    with flat_memory(), pytest.raises(ImageTooLargeError) as caught:
        pixels_of(data)
    assert str(caught.value) == (
        "the image declares 100,000 × 100,000 pixels, the limit is 150,000,000 in all. Send a smaller image."
    )


@pytest.mark.usefixtures("no_pixel_is_decoded")
@pytest.mark.parametrize("length", [2**31 - 1, 2**32 - 1])
def test_a_png_chunk_longer_than_the_file_is_refused_unseen(length: int) -> None:
    # OpenCV allocates what the chunk declares: 4 GB for a file of 100 bytes.
    data = png_header(40, 30) + chunk(b"IDAT", zlib.compress(bytes(100)), length)
    with flat_memory(), pytest.raises(ImageDecodeError) as caught:
        pixels_of(data)
    assert str(caught.value) == DAMAGED.format("PNG")


BAD = {
    "empty": (b"", EMPTY),
    "text": (b"not a photograph", f"not an image: it begins with b'not a ph'. Send a {KINDS} file."),
    "one byte": (b"\xff", f"not an image: it begins with b'\\xff'. Send a {KINDS} file."),
    "another kind of image": (
        b"\0\0\0\x0cjP  \r\n",
        "the file is JPEG 2000, which is not read. Save it as PNG or TIFF.",
    ),
    "PNG magic alone": (b"\x89PNG\r\n\x1a\n", HEADER.format("PNG")),
    "PNG of no width": (png_header(0, 5) + chunk(b"IDAT", b""), HEADER.format("PNG")),
    "PNG of no depth": (png_header(4, 5)[:24] + b"\0" + png_header(4, 5)[25:], HEADER.format("PNG")),
    "PNG without pixels": (
        png_header(40, 30) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""),
        DAMAGED.format("PNG"),
    ),
    "JPEG magic alone": (b"\xff\xd8\xff", HEADER.format("JPEG")),
    "TIFF that points outside": (b"II*\0\xff\xff\xff\xff", HEADER.format("TIFF")),
    "TIFF without a size": (b"II*\0\x08\0\0\0\0\0\0\0\0\0", HEADER.format("TIFF")),
    "TIFF of 32-bit integers": (tiff(np.zeros((5, 5), np.uint32)), KIND.format("32-bit samples")),
    "TIFF of signed integers": (tiff(np.zeros((5, 5), np.int16)), KIND.format("signed 16-bit samples")),
    "TIFF of half precision": (tiff(np.zeros((5, 5), np.float16)), KIND.format("16-bit floating-point samples")),
    "TIFF of double precision": (tiff(np.zeros((5, 5), np.float64)), KIND.format("64-bit floating-point samples")),
    "TIFF of five samples": (tiff(np.zeros((13, 17, 5), np.uint8)), KIND.format("5 samples a pixel")),
    "TIFF with two widths": (tiff(PIXELS, extra=((256, 4, 40_000),)), HEADER.format("TIFF")),
    "NaN": (tiff(np.array([[0.5, np.nan]], np.float32)), NOT_FINITE),
    "NaN in colour": (tiff(np.full((5, 5, 3), np.nan, np.float32)), NOT_FINITE),
    "infinite": (tiff(np.array([[0.5, np.inf]], np.float32)), NOT_FINITE),
    "negative": (
        tiff(np.array([[0.5, -0.25]], np.float32)),
        "the image holds floating-point values from -0.25 to 0.5. Send values in 0..1, or an 8- or 16-bit image.",
    ),
    "over 1": (
        tiff(np.array([[0, 255]], np.float32)),
        "the image holds floating-point values from 0 to 255. Send values in 0..1, or an 8- or 16-bit image.",
    ),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD)
def test_bad_bytes_are_named(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ImageDecodeError) as caught:
        pixels_of(data)
    assert str(caught.value) == message
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageDecodeError) as caught:
        read_photo(path)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize("data", ALL.values(), ids=ALL)
def test_truncated_files_are_refused(data: bytes) -> None:
    # At 30 places from the magic bytes on, and in the last bytes: of `tiff` these are a link to no further page.
    end = len(data) - (4 if data == ONE_OF_EACH["TIFF, floating point"] else 0)
    for length in {*range(8, end, end // 30), *range(end - 4, end)}:
        with pytest.raises(ImageDecodeError) as caught:
            pixels_of(data[:length])
        assert re.search("truncated or damaged|header is damaged|not an image", str(caught.value)), length


def test_a_file_that_is_read_is_the_file_that_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "photo"
    path.write_bytes(ONE_OF_EACH["PNG"])
    np.testing.assert_array_equal(read_photo(path).pixels, SMOOTH)


def test_a_jpeg_of_thousands_of_scans_is_refused_unseen() -> None:
    data = saved(pillow(SMOOTH), "JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    legal = data.count(b"\xff\xda")
    with pytest.raises(ImageDecodeError) as caught:
        pixels_of(data[:-2] + last * (5000 - legal) + data[-2:])
    assert str(caught.value) == (
        "the JPEG has 5,000 scans, more than 256 of 40 × 30 pixels: that is not supported. Save it as baseline JPEG."
    )


@pytest.mark.parametrize(
    ("width", "height", "most"), [(5000, 4000, 256), (5000, 4016, 254), (12_000, 12_000, 35), (16_000, 16_000, 32)]
)
def test_a_large_jpeg_may_have_fewer_scans(width: int, height: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # The header says another size than the scans have: whether pixels are asked for is all that is looked at.
    data = bytearray(saved(pillow(SMOOTH), "JPEG", progressive=True))
    struct.pack_into(">HH", data, data.index(b"\xff\xc2") + 5, height, width)
    last, legal = data[data.rindex(b"\xff\xda") : -2], data.count(b"\xff\xda")
    asked: list[int] = []
    monkeypatch.setattr(decoding, "decode_opened", lambda encoded, _: asked.append(encoded.width))
    most_scans, too_many = (bytes(data[:-2] + last * (scans - legal) + data[-2:]) for scans in (most, most + 1))
    decode_photo(most_scans, Limits(pixels=2**28))
    with pytest.raises(ImageDecodeError) as caught:
        decode_photo(too_many, Limits(pixels=2**28))
    assert str(caught.value) == (
        f"the JPEG has {most + 1} scans, more than {most} of {width:,} × {height:,} pixels: that is not supported. "
        "Save it as baseline JPEG."
    )
    assert asked == [width]


def missing(folder: Path) -> Path:
    return folder / "none.png"


def directory(folder: Path) -> Path:
    return folder


def below_a_file(folder: Path) -> Path:
    (folder / "photo.png").write_bytes(b"")
    return folder / "photo.png" / "inner.png"


def link_to_itself(folder: Path) -> Path:
    (folder / "loop.png").symlink_to("loop.png")
    return folder / "loop.png"


def too_long(folder: Path) -> Path:
    return folder / ("x" * 300)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (missing, errno.ENOENT),
        (directory, errno.EISDIR),
        (below_a_file, errno.ENOTDIR),
        (link_to_itself, errno.ELOOP),
        (too_long, errno.ENAMETOOLONG),
    ],
)
def test_a_path_that_cannot_be_read_is_named(make: Callable[[Path], Path], code: int, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(ImageError) as caught:
        read_photo(path)
    assert str(caught.value).startswith(f"{path}: can't be read ({os.strerror(code)}). Check the path")
    assert isinstance(caught.value, FileNotFoundError) == (code == errno.ENOENT)
    assert isinstance(caught.value, ImageDecodeError) == (code != errno.ENOENT)


def test_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    path = tmp_path / "photo.png"
    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(ImageDecodeError, match=re.escape(f"{path}: can't be read (Permission denied). Check")):
        read_photo(path)


def test_a_path_with_a_nul_is_named() -> None:
    with pytest.raises(ImageDecodeError, match=r"can't be read \(embedded null byte\)\. Check the path"):
        read_photo(Path("a\0b"))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(ALL)), st.integers(0, 2**32 - 1))
def test_whatever_happens_to_a_file_it_is_an_image_or_an_image_error(name: str, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(ALL[name])
    for _ in range(chance.randint(1, 5)):
        # More often in the header, where there is more to break.
        place = chance.randrange(min(len(data), chance.choice([64, len(data)])))
        if chance.random() < 0.7:
            data[place] = chance.choice([0, 255, chance.randrange(256)])
        else:
            del data[place : place + chance.randint(1, 8)]
    try:
        pixels = pixels_of(bytes(data), Limits(pixels=10_000))
    except ImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2:] == (3,)
    assert pixels.shape[0] * pixels.shape[1] <= 10_000
