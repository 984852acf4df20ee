"""From a photograph to its map: one call."""

import io
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from manifests import make_manifest
from numpy.typing import NDArray
from PIL import Image as Pillow
from results import FORMATS_OF_ALL

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.backends.shared import SharedBatches
from vesselrt.runtime.errors import (
    CallCancelledError,
    FieldOfViewError,
    ImageDecodeError,
    ImageTooLargeError,
    OptionError,
)
from vesselrt.runtime.manifest import Input, Manifest, Preparation, Tile
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.runtime.photo.views import field_of_view
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.runtime.stages import CancelToken

MIB = 2**20


STAGES = ["decode", "prepare", "infer", "finish"]


# Its stand-in returns the red of a photograph.
NATIVE = make_manifest(preparation={"channels": "rgb"}, input={"mean": [0, 0, 0], "std": [1, 1, 1]}, threshold=0.25)


PHOTO: Image = np.random.default_rng(7).integers(0, 256, (90, 150, 3), np.uint8)


def scaled(field_of_view: int) -> Manifest:
    """Like `fundus`: the green of the field of view, at its scale."""
    fields = {
        "preparation": Preparation(channels="green", field_of_view=field_of_view),
        "input": Input(mean=(0,), std=(1,)),
    }
    return NATIVE.model_copy(update=fields)


def disc(side: int, radius: int, margin: int = 0) -> Image:
    """A field of view in the middle of a black photograph, `margin` pixels wider than high."""
    image = np.zeros((side, side + margin, 3), np.uint8)
    cv2.circle(image, ((side + margin) // 2, side // 2), radius, (160, 80, 40), -1)
    return image


def png(image: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_bytes_paths_and_arrays_give_the_same(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png(PHOTO))
    segmenter = Segmenter(NATIVE, FakeBackend())
    for image in (png(PHOTO), bytearray(png(PHOTO)), memoryview(png(PHOTO)), str(path), path, PHOTO, PHOTO.copy("F")):
        result = segmenter.segment(image)
        np.testing.assert_array_equal(result.probability, PHOTO[:, :, 0])
        np.testing.assert_array_equal(result.image, PHOTO)
        assert result.probability.dtype == np.uint8


def test_every_stage_is_timed_and_the_device_named() -> None:
    backend = FakeBackend()
    segmenter = Segmenter(NATIVE, backend)
    for image in (png(PHOTO), PHOTO):
        result = segmenter.segment(image)
        assert list(result.timings) == STAGES
        assert all(0 <= t < 60_000 for t in result.timings.values())
        assert result.info == segmenter.info == backend.info


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((1, 5, 5, 3), np.uint8), "uint8 (1, 5, 5, 3): a batch. Expected (H, W, 3) RGB, "),
        (np.zeros((3, 5, 5), np.uint8), "uint8 (3, 5, 5): the channels come first. Expected (H, W, 3) RGB, "),
        (np.zeros((5, 5, 2), np.uint8), "uint8 (5, 5, 2). Expected (H, W, 3) RGB, "),
        (np.zeros((5,), np.uint8), "uint8 (5,). Expected (H, W, 3) RGB, "),
        (
            np.zeros((5, 5, 3), bool),
            "bool (5, 5, 3). Expected (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey, of uint8, ",
        ),
        (
            np.zeros((5, 5, 3), int),
            "int64 (5, 5, 3). Expected (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey, of uint8, ",
        ),
        (
            [[1, 2, 3]],
            "list. Expected encoded bytes, a path, a file open in binary mode,",
        ),
        (None, "NoneType. Expected encoded bytes, a path, "),
        (5, "int. Expected encoded bytes, a path, "),
    ],
)
def test_what_is_no_image_is_named(image: Any, found: str) -> None:
    with pytest.raises(ImageDecodeError) as caught:
        Segmenter(NATIVE, FakeBackend()).segment(image)
    assert str(caught.value).startswith(f"got {found}")


@pytest.mark.parametrize("shape", [(0, 5, 3), (5, 0, 3)])
def test_an_array_without_pixels_is_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageDecodeError) as caught:
        Segmenter(NATIVE, FakeBackend()).segment(np.zeros(shape, np.uint8))
    assert str(caught.value).startswith(f"the array is empty: uint8 {shape}. Expected (H, W, 3) RGB, ")


def test_a_bad_photograph_leaves_the_segmenter_as_it_was(tmp_path: Path) -> None:
    segmenter = Segmenter(scaled(64), FakeBackend(), Limits(pixels=20_000))
    good = disc(100, 40)
    before = segmenter.segment(good).probability
    for bad, error in (
        (b"", ImageDecodeError),
        (tmp_path / "none.png", FileNotFoundError),
        (png(np.zeros((200, 200, 3), np.uint8)), ImageTooLargeError),
        (np.zeros((100, 100, 3), np.uint8), FieldOfViewError),
    ):
        with pytest.raises(error):
            segmenter.segment(bad)
        np.testing.assert_array_equal(segmenter.segment(good).probability, before)


def test_the_models_threshold_is_the_default_and_a_post_step() -> None:
    backend = FakeBackend()
    result = Segmenter(NATIVE, backend).segment(PHOTO)
    calls = len(backend.shapes)
    np.testing.assert_array_equal(result.mask(), PHOTO[:, :, 0] >= 64)
    np.testing.assert_array_equal(result.mask(0.5), PHOTO[:, :, 0] >= 128)
    assert result.mask(0).all()  # 0 is a threshold, not the default
    for form in FORMATS_OF_ALL:
        assert result.encode(form) == result.encode(form, 0.25)
    assert result.encode() == result.encode("mask")
    np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(result.encode()))), result.mask() * 255)
    assert len(backend.shapes) == calls
    with pytest.raises(OptionError, match=r"^threshold 1.5 is not within 0 to 1\.$"):
        result.mask(1.5)


def test_at_the_photographs_own_scale_the_field_of_view_is_exact_and_the_rest_0() -> None:
    image = disc(200, 80, margin=40)
    image[60:140, 80:160] += np.random.default_rng(8).integers(0, 40, (80, 80, 3), np.uint8)
    image[5, 5] = 90  # a speck outside
    box = field_of_view(image)
    expected = np.zeros(image.shape[:2], np.uint8)
    box.cut(expected)[:] = box.cut(image)[:, :, 1]
    assert expected[5, 5] == 0
    result = Segmenter(scaled(max(box.height, box.width)), FakeBackend()).segment(image)
    np.testing.assert_array_equal(result.probability, expected)


@pytest.mark.parametrize("shape", [(300, 400), (400, 300), (97, 211)])
@pytest.mark.parametrize("target", [64, 500])
def test_the_result_has_the_photographs_size_at_any_scale(shape: tuple[int, int], target: int) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    radius = min(shape) // 3
    cv2.circle(image, (shape[1] // 2, shape[0] // 2), radius, (160, 80, 40), -1)
    probability = Segmenter(scaled(target), FakeBackend()).segment(image).probability
    assert probability.shape == shape
    inner, outer = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    cv2.circle(inner, (shape[1] // 2, shape[0] // 2), radius - 8, 1, -1)
    cv2.circle(outer, (shape[1] // 2, shape[0] // 2), radius + 8, 1, -1)
    assert (probability[inner == 1] == 80).all()
    assert (probability[outer == 0] == 0).all()


def test_next_to_nothing_is_refused_where_a_scale_is_needed() -> None:
    for level, message in ((0, "the photograph is black: 95 %"), (200, "the photograph shows 1 × 1 pixels of retina")):
        image = png(np.full((1, 1, 3), level, np.uint8))
        assert Segmenter(NATIVE, FakeBackend()).segment(image).probability.tolist() == [[level]]
        with pytest.raises(FieldOfViewError, match=message):
            Segmenter(scaled(64), FakeBackend()).segment(image)


def test_limits_hold_for_bytes_and_paths(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(png(PHOTO))
    segmenter = Segmenter(NATIVE, FakeBackend(), Limits(pixels=PHOTO[:, :, 0].size - 1))
    for image in (path, png(PHOTO)):
        with pytest.raises(ImageTooLargeError, match=r"declares 150 × 90 pixels, the limit is 13,499 in all\."):
            segmenter.segment(image)


def test_before_a_gpu_threads_share_batches_and_on_a_processor_nothing_changes() -> None:
    backend = FakeBackend(batch=4)
    alone = Segmenter(NATIVE, backend)
    assert alone.shared() is alone
    backend.info = replace(backend.info, device="cuda", threads=0)
    with Segmenter(NATIVE, backend).shared() as segmenter, ThreadPoolExecutor(4) as pool:
        assert (segmenter.info, segmenter.manifest) == (backend.info, NATIVE)
        for result in pool.map(segmenter.segment, [PHOTO] * 8):
            np.testing.assert_array_equal(result.probability, PHOTO[:, :, 0])
        assert isinstance(segmenter._members.networks[0].backend, SharedBatches)
    assert backend.closed


def test_leaving_the_context_closes_the_backend_even_after_an_error() -> None:
    backend = FakeBackend()

    def use() -> None:
        with Segmenter(NATIVE, backend) as segmenter:
            assert not backend.closed
            segmenter.segment(b"")

    with pytest.raises(ImageDecodeError):
        use()
    assert backend.closed


@pytest.mark.parametrize("manifest", [NATIVE, scaled(96)], ids=["native", "scaled"])
def test_warming_up_runs_the_usual_window_twice(manifest: Manifest) -> None:
    backend = FakeBackend()
    assert Segmenter(manifest, backend).warm_up() > 0
    assert len(backend.shapes) >= 2
    half = len(backend.shapes) // 2
    assert backend.shapes[:half] == backend.shapes[half:]


def test_12000_by_12000_pixels_need_little_more_than_image_and_result() -> None:
    image = disc(12_000, 5_800)
    segmenter = Segmenter(
        scaled(960).model_copy(update={"tile": Tile(size=1024, multiple=16, margin=128)}), FakeBackend()
    )
    tracemalloc.start()
    try:
        probability = segmenter.segment(image).probability
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= probability.nbytes + 32 * MIB, f"{peak / MIB:.0f} MiB for a result of {probability.nbytes / MIB:.0f}"
    assert probability.shape == (12_000, 12_000)
    assert probability[6_000, [0, 100, 300, 6_000, 11_700, 11_900]].tolist() == [0, 0, 80, 80, 80, 0]


def test_a_token_ends_the_call_after_its_stage() -> None:
    token, calls = CancelToken(), []

    def network(pixels: Image) -> Any:
        calls.append(pixels.shape)
        token.cancel()
        return identity(pixels)

    manifest = Manifest(
        name="red", version="1", licence="none", description="The red channel", preparation=Preparation(),
        input=Input(mean=(0, 0, 0), std=(1, 1, 1)), tile=Tile(size=64, multiple=1, margin=0),
    )  # fmt: skip
    segmenter = Segmenter(manifest, FakeBackend(network))
    photo = np.full((40, 50, 3), 90, np.uint8)
    with pytest.raises(CallCancelledError, match=r"^the call was cancelled\.$"):
        segmenter.segment(photo, cancel=token)
    assert len(calls) == 1
    with pytest.raises(CallCancelledError):
        segmenter.segment(photo, cancel=token)
    assert len(calls) == 1, "a token stays cancelled: the network is not asked again"
    assert list(segmenter.segment(photo).timings) == STAGES
