"""Tiling around networks of a line of numpy: what they return for the whole image is known exactly."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.manifest import Tile
from vesselrt.runtime.tiling import blended_spans, infer_tiles, window_side, window_spans

Blend = Literal["exact", "gaussian"]

BLENDS: tuple[Blend, ...] = ("exact", "gaussian")
MIB = 2**20
SIDES = st.integers(1, 200)
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other work may share the cores


@st.composite
def tiles(draw: st.DrawFn, least_margin: int = 0) -> Tile:
    """Any tile that a manifest accepts, of up to some 100 pixels."""
    multiple = draw(st.sampled_from([1, 2, 3, 7, 8, 16]))
    margins = draw(st.integers(-(-least_margin // multiple), -(-least_margin // multiple) + 16 // multiple))
    least = max(2 * margins + 1, -(-16 // multiple))
    return Tile(
        size=multiple * draw(st.integers(least, least + 48 // multiple)),
        multiple=multiple,
        margin=multiple * margins,
        fixed=draw(st.booleans()),
    )


def noise(height: int, width: int, channels: int = 1) -> Image:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, channels), np.uint8)


def blur(radius: int) -> FakeBackend:
    """The mean of the square of 2 × radius + 1 pixels around each, zeros beyond the edge: one convolution's reach."""

    def function(pixels: Image) -> NDArray[np.float32]:
        side = 2 * radius + 1
        padded = np.pad(pixels[:, :1].astype(np.int64), ((0, 0), (0, 0), (radius + 1, radius), (radius + 1, radius)))
        sums = padded.cumsum(2).cumsum(3)
        boxes = sums[:, :, side:, side:] - sums[:, :, :-side, side:] - sums[:, :, side:, :-side]
        boxes += sums[:, :, :-side, :-side]
        return np.asarray(boxes / (255 * side**2), np.float32)

    return FakeBackend(function)


def whole(pixels: Image, backend: FakeBackend) -> Image:
    (answer,) = backend.infer([np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])])
    result: Image = answer[0, 0]
    return result


@settings(UNHURRIED, max_examples=300)
@given(SIDES, SIDES, tiles(), st.integers(1, 5), st.sampled_from(BLENDS), st.integers(1, 3))
def test_an_identity_returns_its_input(
    height: int, width: int, tile: Tile, batch: int, blend: Blend, channels: int
) -> None:
    """Each channel is a class of its own."""
    pixels, backend = noise(height, width, channels), FakeBackend(lambda windows: windows.astype(np.float32) / 255)
    result = infer_tiles(pixels, tile.model_copy(update={"blend": blend}), backend.infer, batch, channels)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, pixels.transpose(2, 0, 1))
    for count, depth, *window in backend.shapes:
        assert 1 <= count <= batch
        assert depth == channels
        assert window == [window_side(height, tile), window_side(width, tile)]
        assert all(side % tile.multiple == 0 and side <= tile.size for side in window)


@UNHURRIED
@given(st.integers(1, 2000), tiles())
def test_spans_join_keep_the_margin_and_stay_inside(length: int, tile: Tile) -> None:
    found = window_spans(length, tile.size, tile.margin, tile.multiple)
    padded = max(-(-length // tile.multiple) * tile.multiple, tile.size)
    assert found[0].start == 0
    assert found[-1].stop == length
    for span, following in pairwise(found):
        assert span.stop == following.start
        assert span.origin < following.origin
        assert span.stop <= span.origin + tile.size - tile.margin
        assert following.start >= following.origin + tile.margin
    for span in found:
        assert span.start < span.stop
        assert span.origin % tile.multiple == 0
        assert 0 <= span.origin <= padded - tile.size


def test_spans_of_one_row_by_hand() -> None:
    # 100 pixels reach to 112, the next multiple of 16: there the last window of 64 ends.
    found = [(s.origin, s.start, s.stop) for s in window_spans(100, 64, 16, 16)]
    assert found == [(0, 0, 48), (32, 48, 80), (48, 80, 100)]
    assert [(s.origin, s.start, s.stop) for s in window_spans(64, 64, 16, 16)] == [(0, 0, 64)]


@UNHURRIED
@given(st.integers(1, 2000), tiles())
def test_blended_spans_are_evenly_spaced_and_overlap(length: int, tile: Tile) -> None:
    found = blended_spans(length, tile)
    overlap = max(2 * tile.margin, tile.size // 2 - 2 * tile.multiple)
    gaps = [following.origin - span.origin for span, following in pairwise(found)]
    assert (found[0].origin, found[-1].stop) == (0, length)
    assert all(0 < gap <= tile.size - overlap for gap in gaps)
    assert max(gaps, default=0) - min(gaps, default=0) <= tile.multiple
    assert all(span.origin % tile.multiple == 0 for span in found)


@pytest.mark.parametrize("length", [448, 449, 600, 672, 673, 1000, 1999])
def test_spans_at_any_pixel_are_those_of_nnunet(length: int) -> None:
    count = int(np.ceil((length - 448) / 224)) + 1  # compute_steps_for_sliding_window of nnU-Net 2.8
    steps = [int(np.round((length - 448) / max(count - 1, 1) * number)) for number in range(count)]
    tile = Tile(size=448, multiple=1, margin=112, blend="gaussian", fixed=True)
    assert [span.origin for span in blended_spans(length, tile)] == steps


@pytest.mark.parametrize("blend", BLENDS)
def test_a_small_image_lies_in_the_middle_of_a_fixed_window(blend: Blend) -> None:
    seen: list[Image] = []

    def function(pixels: Image) -> NDArray[np.float32]:
        seen.append(pixels.copy())
        return identity(pixels)

    tile = Tile(size=32, multiple=1, margin=8, fixed=True, blend=blend)
    pixels = np.full((20, 27, 1), 255, np.uint8)
    assert (infer_tiles(pixels, tile, FakeBackend(function).infer) == 255).all()
    expected = np.zeros((1, 1, 32, 32), np.uint8)
    expected[..., 6:26, 2:29] = 255
    np.testing.assert_array_equal(seen, [expected])


@pytest.mark.parametrize("radius", [1, 7])
def test_a_margin_of_the_receptive_field_gives_the_whole_images_result(radius: int) -> None:
    @settings(UNHURRIED, max_examples=50)
    @given(SIDES, SIDES, tiles(least_margin=radius), st.integers(1, 5))
    def check(height: int, width: int, tile: Tile, batch: int) -> None:
        pixels = noise(height, width)
        np.testing.assert_array_equal(
            infer_tiles(pixels, tile, blur(radius).infer, batch)[0], whole(pixels, blur(radius))
        )

    check()


def test_without_a_margin_the_seam_is_seen_exactly_where_windows_meet() -> None:
    pixels, backend = np.full((32, 32, 1), 255, np.uint8), blur(1)
    expected = whole(pixels, backend)
    assert expected[16, 16] == 255
    # A window's edge pixel averages 3 or, in its corner, 5 zeros of 9.
    expected[1:-1, 15:17] = expected[15:17, 1:-1] = 170
    expected[15:17, 15:17] = 113
    expected[[0, 0, -1, -1], [15, 16, 15, 16]] = expected[[15, 16, 15, 16], [0, 0, -1, -1]] = 113
    np.testing.assert_array_equal(infer_tiles(pixels, Tile(size=16, multiple=16, margin=0), backend.infer)[0], expected)


@pytest.mark.parametrize(("margin", "equal"), [(6, False), (7, True)])
def test_one_pixel_of_margin_decides(margin: int, equal: bool) -> None:
    pixels = np.full((90, 90, 1), 255, np.uint8)
    result = infer_tiles(pixels, Tile(size=40, multiple=1, margin=margin), blur(7).infer)
    assert np.array_equal(result[0], whole(pixels, blur(7))) is equal


def test_gaussian_blending_hides_a_seam_that_exact_shows() -> None:
    """A network that adds the same error to every window's edge: blending weighs the edge least."""
    edge = np.zeros((64, 64), np.float32)
    edge[0], edge[:, 0] = 1, 1
    backend = FakeBackend(lambda pixels: np.broadcast_to(edge, (len(pixels), 1, 64, 64)))
    pixels = np.zeros((256, 256, 1), np.uint8)
    exact, gaussian = (
        infer_tiles(pixels, Tile(size=64, multiple=16, margin=0, blend=blend), backend.infer)[0, 1:, 1:]
        for blend in BLENDS
    )
    assert exact.max() == 255
    assert gaussian.max() <= 1


@pytest.mark.parametrize(
    ("shape", "fixed", "batch", "calls"),
    [
        ((100, 200), False, 1, [(1, 3, 64, 64)] * 18),
        ((100, 200), False, 4, [*[(4, 3, 64, 64)] * 4, (2, 3, 64, 64)]),
        ((100, 200), False, 100, [(18, 3, 64, 64)]),
        ((64, 64), False, 4, [(1, 3, 64, 64)]),
        ((10, 33), False, 4, [(1, 3, 16, 48)]),
        ((10, 33), True, 4, [(1, 3, 64, 64)]),
        ((10, 200), False, 8, [(6, 3, 16, 64)]),
        ((1, 1), False, 1, [(1, 3, 16, 16)]),
    ],
)
def test_the_windows_that_a_network_gets(
    shape: tuple[int, int], fixed: bool, batch: int, calls: list[tuple[int, ...]]
) -> None:
    backend = FakeBackend()
    infer_tiles(noise(*shape, 3), Tile(size=64, multiple=16, margin=16, fixed=fixed), backend.infer, batch)
    assert backend.shapes == calls


def test_beyond_the_image_a_window_is_zero_even_after_fuller_windows() -> None:
    seen: list[Image] = []

    def function(pixels: Image) -> NDArray[np.float32]:
        seen.append(pixels.copy())
        return identity(pixels)

    infer_tiles(np.full((20, 72, 1), 255, np.uint8), Tile(size=32, multiple=16, margin=0), FakeBackend(function).infer)
    assert [int(window.sum()) // 255 for window in seen] == [20 * 32, 20 * 32, 20 * 24]
    assert not seen[-1][0, 0, :, 24:].any()
    assert not seen[-1][0, 0, 20:].any()


@pytest.mark.parametrize(
    ("tile", "message"),
    [
        ({"size": 100, "multiple": 16, "margin": 16}, "size 100 and margin 16 must be multiples of 16"),
        ({"size": 64, "multiple": 16, "margin": 10}, "size 64 and margin 10 must be multiples of 16"),
        ({"size": 64, "multiple": 16, "margin": 32}, "size 64 must be larger than two margins of 32"),
        ({"size": 8, "multiple": 8, "margin": 0}, "greater than or equal to 16"),
    ],
)
def test_a_tile_that_cannot_work_is_refused(tile: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Tile.model_validate(tile)


@contextmanager
def memory(limit: int) -> Iterator[None]:
    """Fails when more than `limit` bytes come on top of what there is."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= limit, f"{peak / MIB:.0f} MiB, allowed were {limit / MIB:.0f}"


@pytest.mark.parametrize("blend", BLENDS)
def test_memory_does_not_grow_with_the_height(blend: Blend) -> None:
    tile = Tile(size=128, multiple=16, margin=16, blend=blend)
    stripes = 6 * 4 * 128 * (512 + 128)  # bytes: the sums, the weights, what is on the way
    for height in (500, 8000):
        pixels = np.zeros((height, 512, 1), np.uint8)
        with memory(height * 512 + stripes):
            infer_tiles(pixels, tile, FakeBackend().infer, batch=2)


def test_12000_by_12000_pixels_need_little_more_than_image_and_result() -> None:
    pixels = np.zeros((12_000, 12_000, 3), np.uint8)
    marks = (np.array([0, 5_000, 11_999, 11_999]), np.array([0, 11_999, 0, 11_999]))
    pixels[*marks, 0] = [1, 2, 3, 4]
    with memory(pixels[:, :, 0].size + 32 * MIB):
        result = infer_tiles(pixels, Tile(size=1024, multiple=16, margin=128), FakeBackend().infer)
    assert result[0][marks].tolist() == [1, 2, 3, 4]
    assert np.count_nonzero(result) == 4
