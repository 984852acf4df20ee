"""A photograph is decoded no finer than the model looks at it, and its result has its own size all the same."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.errors import FieldOfViewError, ImageDecodeError, ImageTooLargeError
from vesselrt.runtime.manifest import Input, Manifest, Preparation, Tile
from vesselrt.runtime.photo import photograph
from vesselrt.runtime.photo.decoding import Decoded, Limits, decode_photo
from vesselrt.runtime.photo.preparation import Image
from vesselrt.runtime.segmenter import Segmenter


def segmenter(field_of_view: int | tuple[int, int] | None) -> Segmenter:
    manifest = Manifest(
        name="green",
        version="1",
        licence="CC0-1.0",
        description="Returns the green of a photograph.",
        preparation=Preparation(channels="green", field_of_view=field_of_view),
        input=Input(mean=(0,), std=(1,)),
        tile=Tile(size=256, multiple=16, margin=16),
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

    def noted(data: bytes, limits: Limits, enough: float | None) -> Decoded:
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


@pytest.mark.parametrize("suffix", [".png", ".webp", ".bmp", ".tif"])
def test_other_formats_come_at_their_own_size(reductions: list[int], suffix: str) -> None:
    _, encoded = cv2.imencode(suffix, eye(700, 1000, radius=340)[:, :, ::-1])
    segmenter(100).segment(encoded.tobytes())
    assert reductions == [1]


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
