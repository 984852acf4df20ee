"""A photograph is decoded no finer than the model looks at it, and its result has its own size all the same."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from manifests import make_manifest
from numpy.typing import NDArray
from PIL import Image as Pillow

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.errors import FieldOfViewError, ImageDecodeError, ImageTooLargeError, OptionError
from vesselrt.runtime.manifest import Preparation
from vesselrt.runtime.photo import photograph
from vesselrt.runtime.photo.decoding import Decoded, Limits, decode_photo
from vesselrt.runtime.photo.photograph import Photograph
from vesselrt.runtime.segmenter import Segmenter


def segmenter(field_of_view: int | tuple[int, int] | None) -> Segmenter:
    manifest = make_manifest(
        preparation={"channels": "green", "field_of_view": field_of_view},
        tile={"size": 256, "multiple": 16, "margin": 16},
    )
    return Segmenter(manifest, FakeBackend())


def eye(height: int, width: int, radius: int) -> Image:
    """A field of view in the middle, of a brightness that rises from left to right."""
    image = np.zeros((height, width, 3), np.uint8)
    cv2.circle(image, (width // 2, height // 2), radius, (255, 255, 255), -1)
    ramp = np.linspace(60, 220, width)[None, :, None] * np.array([0.9, 0.8, 0.5])
    lit: Image = (ramp * (image > 0)).astype(np.uint8)
    return lit


def jpeg(image: Image, orientation: int = 1) -> bytes:
    file, exif = io.BytesIO(), Pillow.Exif()
    exif[0x0112] = orientation
    Pillow.fromarray(image).save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


@pytest.fixture
def reductions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each decoding divided the sides by."""
    seen: list[int] = []

    def noted(data: bytes, limits: Limits, enough: float | None, frame: int | None = None) -> Decoded:
        result = decode_photo(data, limits, enough)
        seen.append(result.reduction)
        return result

    monkeypatch.setattr(photograph, "decode_photo", noted)
    return seen


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("shape", [(700, 1000), (701, 999), (1000, 1000), (1003, 701)])
def test_a_fine_jpeg_gives_what_its_pixels_give(
    reductions: list[int], shape: tuple[int, int], orientation: int
) -> None:
    data = jpeg(eye(*shape, radius=340), orientation)
    network = segmenter(160)
    found = network.segment(data)
    assert reductions == [4]
    expected = network.segment(np.ascontiguousarray(found.image))
    assert found.probability.shape == found.image.shape[:2] == expected.probability.shape
    inside = cv2.erode((expected.probability > 20).astype(np.uint8), np.ones((31, 31), np.uint8)) > 0
    assert inside.sum() > 200_000
    assert np.abs(found.probability.astype(int) - expected.probability)[inside].max() <= 4


@pytest.mark.parametrize(
    ("field_of_view", "size", "expected"),
    [
        (None, (700, 1000), 1),
        (500, (700, 1000), 1),  # at half of the size, 500 px are the whole width: the field of view has fewer
        (300, (700, 1000), 2),
        ((100, 300), (700, 1000), 2),
        ((400, 800), (700, 1000), 1),
        (75, (700, 1000), 8),
        (75, (700, 703), 8),
    ],
)
def test_it_is_decoded_as_fine_as_the_largest_scale_needs(
    reductions: list[int], field_of_view: Any, size: tuple[int, int], expected: int
) -> None:
    segmenter(field_of_view).segment(jpeg(eye(*size, radius=345)))
    assert reductions == [expected]


def test_a_small_field_in_a_large_photograph_is_decoded_again(reductions: list[int]) -> None:
    data = jpeg(eye(700, 1000, radius=110))
    found = segmenter(200).segment(data)
    assert reductions == [4, 1]
    assert np.array_equal(found.probability, segmenter(200).segment(found.image).probability)


def test_an_overlay_is_as_fine_as_the_photograph(reductions: list[int]) -> None:
    data = jpeg(eye(700, 1000, radius=340))
    found = segmenter(160).segment(data)
    found.encode("mask")
    assert reductions == [4]
    with Pillow.open(io.BytesIO(found.encode("overlay"))) as overlay:
        assert overlay.size == (1000, 700)
    found.encode("overlay")
    assert reductions == [4, 1]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif", "array"])
def test_other_formats_are_reduced_when_they_were_decoded(reductions: list[int], suffix: str) -> None:
    image = eye(701, 999, radius=340)
    given = image if suffix == "array" else cv2.imencode(suffix, image[:, :, ::-1])[1].tobytes()
    taken = Photograph(given, Limits())
    decoded = taken.decode(Preparation(field_of_view=150))
    assert (decoded.reduction, decoded.size) == (4, (701, 999))
    blocks = np.pad(taken.pixels, ((0, 3), (0, 1), (0, 0)), "edge").reshape(176, 4, 250, 4, 3).astype(float)
    assert np.abs(decoded.pixels - blocks.mean(axis=(1, 3))).max() <= 0.5
    assert taken.pixels.shape == (701, 999, 3)
    assert segmenter(150).segment(given).probability.shape == (701, 999)
    assert reductions == ([] if suffix == "array" else [1, 1])


def test_what_is_wrong_is_said_of_the_photograph(reductions: list[int], tmp_path: Any) -> None:
    with pytest.raises(FieldOfViewError, match="the photograph is black"):
        segmenter(64).segment(jpeg(np.zeros((600, 1000, 3), np.uint8)))
    assert reductions == [8, 1]
    path = tmp_path / "cut.jpg"
    path.write_bytes(jpeg(eye(700, 1000, radius=340))[:2000])
    with pytest.raises(ImageDecodeError, match=r"cut\.jpg: the JPEG is truncated or damaged"):
        segmenter(200).segment(path)
    small = Segmenter(segmenter(200).manifest, FakeBackend(), Limits(pixels=10_000))
    with pytest.raises(ImageTooLargeError, match="the image declares 1,000 × 700 pixels, the limit is 10,000"):
        small.segment(jpeg(eye(700, 1000, radius=340)))


# What people hold in memory

PHOTO = eye(60, 80, radius=25)


class Tensor:
    """What torch, JAX and others have: an array on demand."""

    def __init__(self, array: NDArray[Any] | None) -> None:
        self._array = array

    def __array__(self, *_: Any, **__: Any) -> NDArray[Any]:
        if self._array is None:
            raise TypeError("can't convert cuda:0 device type tensor to numpy.")
        return self._array


def png_file() -> io.BytesIO:
    file = io.BytesIO()
    Pillow.fromarray(PHOTO).save(file, "PNG")
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("given", "bgr"),
    [
        (png_file(), False),
        (Pillow.fromarray(PHOTO), False),
        (Pillow.open(png_file()), False),
        (Pillow.fromarray(PHOTO).convert("RGBA"), False),
        (np.dstack([PHOTO, np.full(PHOTO.shape[:2], 9, np.uint8)]), False),
        (PHOTO[:, :, ::-1], True),
        (np.dstack([PHOTO[:, :, ::-1], PHOTO[:, :, 0]]), True),
        (PHOTO / 255, False),
        ((PHOTO / 255).astype(np.float32), False),
        (PHOTO.astype(np.uint16) * 257, False),
        (Tensor(PHOTO), False),
        (Tensor(PHOTO[:, :, ::-1]), True),
    ],
    ids=lambda given: type(given).__name__,
)
def test_every_way_to_hold_a_photograph_gives_its_pixels(given: Any, bgr: bool) -> None:
    result = segmenter(None).segment(given, bgr=bgr)
    np.testing.assert_array_equal(result.image, PHOTO)
    np.testing.assert_array_equal(result.probability, PHOTO[:, :, 1])


@pytest.mark.parametrize("pixels", [PHOTO[:, :, 1], PHOTO[:, :, 1:2], PHOTO[:, :, 1] / 255.0])
def test_grey_stands_for_every_colour(pixels: Any) -> None:
    np.testing.assert_array_equal(Photograph(pixels, Limits()).pixels, np.dstack([PHOTO[:, :, 1]] * 3))
    with Pillow.open(io.BytesIO(Photograph(pixels, Limits()).encoded())) as file:
        np.testing.assert_array_equal(np.asarray(file), np.dstack([PHOTO[:, :, 1]] * 3))


def test_the_pixels_of_an_array_are_not_copied() -> None:
    assert np.shares_memory(Photograph(PHOTO, Limits()).pixels, PHOTO)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "CMYK", "1", "I;16", "F"])
def test_an_image_of_pillow_in_any_mode_is_what_its_file_would_be(mode: str) -> None:
    grey = Pillow.fromarray(PHOTO[:, :, 1])
    image = {
        "I;16": lambda: Pillow.fromarray(PHOTO[:, :, 1].astype(np.uint16) * 256),
        "F": lambda: Pillow.fromarray((PHOTO[:, :, 1] / 255).astype(np.float32)),
    }.get(mode, lambda: grey.convert(mode))()
    assert image.mode == mode
    expected = np.asarray((grey if mode in {"I;16", "F"} else image).convert("RGB"))
    np.testing.assert_array_equal(Photograph(image, Limits()).pixels, expected)


def test_an_image_of_pillow_lies_as_its_file_does() -> None:
    data = jpeg(PHOTO, orientation=6)
    found = Photograph(Pillow.open(io.BytesIO(data)), Limits()).pixels
    expected = Photograph(data, Limits()).pixels
    assert found.shape == expected.shape == (80, 60, 3)
    assert np.abs(found.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (PHOTO.transpose(2, 0, 1), r"uint8 \(3, 60, 80\): the channels come first\..*array\.transpose\(1, 2, 0\)"),
        (PHOTO[None], r"uint8 \(1, 60, 80, 3\): a batch\..*Take the photograph out of it: array\[0\]"),
        (PHOTO.astype(int), r"int64 \(60, 80, 3\)\. Expected .*convert it: array\.astype\(np\.uint8\)"),
        (PHOTO.astype(float), r"floating-point values from 0 to \d+\. Send values in 0\.\.1, or uint8: .*convert"),
        (PHOTO / np.float32("nan"), r"NaN or infinite values"),
        (Tensor(None), r"a Tensor that gives no array: can't convert cuda:0.*tensor\.detach\(\)\.cpu\(\)\.numpy\(\)"),
        (io.StringIO("text"), r"the file gives text\. Open it in binary mode: open\(path, 'rb'\)"),
        (Pillow.open(io.BytesIO(jpeg(eye(700, 900, 300))[:9000])), r"truncated or damaged \(.*\)\. Open a whole file"),
        (
            {"pixels": 1},
            r"got dict\. Expected encoded bytes, a path, a file open in binary mode",
        ),
    ],
)
def test_what_can_not_be_taken_says_how_to_convert_it(given: Any, message: str) -> None:
    with pytest.raises(ImageDecodeError, match=message):
        segmenter(None).segment(given)


def test_limits_hold_for_open_files_and_images_of_pillow() -> None:
    with pytest.raises(ImageTooLargeError, match="more than 100 bytes"):
        Photograph(png_file(), Limits(bytes=100)).decode(Preparation())
    with pytest.raises(ImageTooLargeError, match="the image has 80 × 60 pixels, the limit is 4,000"):
        Photograph(Pillow.open(png_file()), Limits(pixels=4000))


@pytest.mark.parametrize("given", [b"file", Pillow.fromarray(PHOTO), png_file()])
def test_only_of_an_array_the_order_of_colours_is_asked(given: Any) -> None:
    with pytest.raises(OptionError, match="bgr is for arrays"):
        segmenter(None).segment(given, bgr=True)
