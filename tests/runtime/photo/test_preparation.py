"""Finding the field of view of drawn discs, whose boxes are known, and bringing it to the model's scale."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import FieldOfViewError
from vesselrt.runtime.manifest import Clahe, Preparation
from vesselrt.runtime.photo.decoding import read_photo
from vesselrt.runtime.photo.preparation import prepare, resize, scale
from vesselrt.runtime.photo.views import Box, field_of_view

RETINA = (170, 80, 40)
NATIVE = Preparation(channels="rgb", field_of_view=None)
SCALED = Preparation(channels="rgb", field_of_view=100)


def disc(height: int, width: int, y: float, x: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:height, :width]
    result: NDArray[np.bool_] = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
    return result


def photograph(inside: NDArray[np.bool_], black: int = 0, noise: int = 0) -> Image:
    """RETINA inside, `black` outside, and up to `noise` levels more or less, but not below 0."""
    levels = np.where(inside[:, :, None], np.array(RETINA, np.int16), np.int16(black))
    levels += np.random.default_rng(1).integers(-noise, noise, inside.shape, np.int16, endpoint=True)[:, :, None]
    return levels.clip(0).astype(np.uint8)


def box_of(inside: NDArray[np.bool_]) -> Box:
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def whole(image: Image) -> Box:
    return Box(0, 0, *image.shape[:2])


def assert_close(found: Box, expected: Box, image: Image) -> None:
    """To within one step of the survey's grid and one of its blur."""
    tolerance = 2 * max(1, max(image.shape) // 256)
    sides = [(getattr(found, side), getattr(expected, side)) for side in ("top", "left", "bottom", "right")]
    assert all(abs(a - b) <= tolerance for a, b in sides), f"{found}, expected {expected} ± {tolerance}"
    assert whole(image).cut(image).shape == image.shape
    assert 0 <= found.top < found.bottom <= image.shape[0]
    assert 0 <= found.left < found.right <= image.shape[1]


DISCS = {
    "centred": disc(480, 640, 240, 320, 200),
    "of one pixel a step": disc(200, 250, 100, 125, 90),
    "large": disc(1100, 1500, 550, 750, 500),
    "cut at top and bottom": disc(1000, 1500, 500, 750, 600),
    "cut at all sides but the corners": disc(1000, 1000, 500, 500, 620),
    "off centre": disc(600, 800, 330, 260, 240),
    "at the edge": disc(600, 800, 300, 90, 240),
    "upright": disc(900, 500, 450, 250, 230),
    "small": disc(1000, 1000, 500, 500, 150),
}


@pytest.mark.parametrize("inside", DISCS.values(), ids=DISCS)
@pytest.mark.parametrize(("black", "noise"), [(0, 0), (3, 3), (30, 6)], ids=["black", "noisy", "raised black"])
def test_the_box_of_a_disc(inside: NDArray[np.bool_], black: int, noise: int) -> None:
    image = photograph(inside, black, noise)
    assert_close(field_of_view(image), box_of(inside), image)


def test_lettering_beside_the_disc_is_left_out() -> None:
    image = photograph(DISCS["centred"])
    cv2.putText(image, "2026-11-23 OD", (400, 470), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (255, 255, 255), 2)
    cv2.rectangle(image, (0, 0), (30, 15), (255, 255, 255), -1)
    assert_close(field_of_view(image), box_of(DISCS["centred"]), image)


def test_a_dark_lesion_does_not_split_the_disc() -> None:
    inside = DISCS["centred"]
    image = photograph(inside & ~disc(480, 640, 240, 320, 80))
    assert_close(field_of_view(image), box_of(inside), image)


@pytest.mark.parametrize(("least", "most"), [(6, 6), (34, 40), (255, 255), (200, 255)])
def test_a_photograph_cut_inside_the_disc_is_taken_whole(least: int, most: int) -> None:
    image = np.random.default_rng(2).integers(least, most, (300, 400, 3), np.uint8, endpoint=True)
    assert field_of_view(image) == whole(image)


def test_a_speck_in_the_dark_is_no_field_of_view() -> None:
    """Nothing lit covers 5 % of the photograph: rather the whole of it than a speck."""
    image = photograph(disc(1000, 1000, 700, 500, 100), black=20)
    image[100:200, 100:500] = 60
    assert field_of_view(image) == whole(image)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 3), (1, 500), (500, 1), (16, 16)])
def test_tiny_photographs_are_taken_whole(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), RETINA, np.uint8)
    assert field_of_view(image) == whole(image)


@pytest.mark.parametrize(("level", "shape"), [(0, (300, 400)), (5, (300, 400)), (0, (1, 1))])
def test_a_black_photograph_is_refused(level: int, shape: tuple[int, int]) -> None:
    with pytest.raises(FieldOfViewError) as caught:
        field_of_view(np.full((*shape, 3), level, np.uint8))
    assert str(caught.value) == (
        f"the photograph is black: 95 % of its pixels are at or below {level} of 255. "
        "Send a photograph with a visible field of view."
    )


@pytest.mark.parametrize("shape", [(1, 1), (15, 15), (1, 15), (15, 3)])
def test_less_than_16_pixels_of_retina_are_refused(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), RETINA, np.uint8)
    with pytest.raises(FieldOfViewError) as caught:
        prepare(image, SCALED)
    assert str(caught.value) == (
        f"the photograph shows {shape[1]} × {shape[0]} pixels of retina. Send one that shows at least 16 pixels across."
    )
    assert prepare(image, NATIVE).pixels.shape == image.shape


@pytest.mark.parametrize("shape", [(16, 16), (1, 16), (16, 1), (1, 3000), (3000, 1)])
def test_the_longer_side_comes_to_the_scale(shape: tuple[int, int]) -> None:
    prepared = prepare(np.full((*shape, 3), RETINA, np.uint8), SCALED)
    longer = max(shape)
    assert prepared.pixels.shape == (*(max(1, round(side * 100 / longer)) for side in shape), 3)
    assert prepared.box == Box(0, 0, *shape)


@pytest.mark.parametrize(("native", "expected"), [(60, 80), (80, 80), (97, 97), (120, 120), (300, 120)])
def test_of_two_scales_the_nearer_one_is_taken_and_between_them_none(native: int, expected: int) -> None:
    between = Preparation(field_of_view=(80, 120))
    assert between.diameter(native) == expected
    assert max(prepare(np.full((native, native, 3), RETINA, np.uint8), between).pixels.shape) == expected


def test_a_photograph_is_resized_whatever_its_shape() -> None:
    prepared = prepare(np.full((300, 200, 3), RETINA, np.uint8), Preparation(channels="green", size=(64, 96)))
    assert prepared.pixels.shape == (64, 96, 1)
    assert prepared.box == Box(0, 0, 300, 200)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": (64, 64), "field_of_view": 96}, "both size and field_of_view are given: name one"),
        ({"field_of_view": (120, 80)}, r"field_of_view \[120, 80\] must begin with the smaller one"),
        ({"size": (64,)}, "size"),
    ],
)
def test_scales_that_contradict_each_other_are_refused(fields: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Preparation(**fields)


def test_shrinking_averages_areas() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (40, 60, 3), np.uint8)
    for factor in (2, 4):
        blocks = pixels.reshape(40 // factor, factor, 60 // factor, factor, 3).mean(axis=(1, 3))
        assert np.abs(scale(pixels, 1 / factor) - blocks).max() <= 0.5


@pytest.mark.parametrize("factor", [0.51, 0.6, 0.74])
def test_shrinking_by_any_factor_gives_what_exact_areas_would(factor: float) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (100, 150, 3), np.uint8)
    pixels = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1), np.uint8)
    size = (round(150 * factor), round(100 * factor))
    exact, linear = (
        cv2.resize(pixels, size, interpolation=way).astype(float) for way in (cv2.INTER_AREA, cv2.INTER_LINEAR)
    )

    def away(found: NDArray[Any]) -> float:
        return float(np.sqrt(((found - exact) ** 2).mean()))

    ours = away(resize(pixels, size[1], size[0]))
    assert ours < min(1.2, 0.75 * away(linear))  # of noise, the hardest case, in grey levels


def test_a_line_of_one_pixel_survives_any_shrinking() -> None:
    pixels = np.full((99, 101, 1), 200, np.uint8)
    pixels[50] = 0
    for factor in (0.9, 0.7, 0.6, 0.5, 0.3, 0.15):
        shrunk = scale(pixels, factor)
        # What is missing in a column is what the line took, spread over the rows.
        missing = (200 - shrunk[:, 5, 0].astype(float)).sum() / factor
        between = 0.07 * 200 if 0.5 < factor < 0.75 else 2  # a finer copy weighs a line by where it lies, a little
        assert missing == pytest.approx(200, abs=0.5 * 2 / factor + between)


def test_a_factor_of_one_changes_nothing_and_a_growth_keeps_the_shape_of_a_channel() -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (7, 9, 1), np.uint8)
    np.testing.assert_array_equal(scale(pixels, 1), pixels)
    assert scale(pixels, 2).shape == (14, 18, 1)
    assert scale(np.full((7, 9, 3), 77, np.uint8), 3.3).tolist() == np.full((23, 30, 3), 77).tolist()


def test_native_resolution_is_the_photograph_itself() -> None:
    image = np.random.default_rng(5).integers(0, 256, (30, 40, 3), np.uint8)
    rgb, green = (prepare(image, Preparation(channels=c, field_of_view=None)) for c in ("rgb", "green"))
    np.testing.assert_array_equal(rgb.pixels, image)
    np.testing.assert_array_equal(green.pixels, image[:, :, 1:2])
    assert rgb.box == green.box == whole(image)
    black = np.zeros((30, 40, 3), np.uint8)
    np.testing.assert_array_equal(prepare(black, NATIVE).pixels, black)


@pytest.mark.parametrize(("channels", "count"), [("rgb", 3), ("green", 1)])
@pytest.mark.parametrize("clahe", [None, Clahe(clip_limit=2, grid=8)])
def test_shapes_and_levels_of_what_the_network_gets(channels: str, count: int, clahe: Clahe | None) -> None:
    image = photograph(DISCS["centred"])
    preparation = Preparation.model_validate({"channels": channels, "field_of_view": 256, "clahe": clahe})
    prepared = prepare(image, preparation)
    longer = max(prepared.box.height, prepared.box.width)
    assert prepared.pixels.shape == (
        round(prepared.box.height * 256 / longer),
        round(prepared.box.width * 256 / longer),
        count,
    )
    assert prepared.pixels.dtype == np.uint8
    if clahe is None:
        assert prepared.pixels[128, 128].tolist() == list(RETINA if count == 3 else RETINA[1:2])


def test_clahe_is_applied_to_each_channel_after_scaling() -> None:
    image = np.random.default_rng(6).integers(0, 256, (64, 80, 3), np.uint8)
    plain, equalised = (
        prepare(image, Preparation(channels="rgb", field_of_view=64, clahe=clahe)).pixels
        for clahe in (None, Clahe(clip_limit=3, grid=4))
    )
    expected = cv2.createCLAHE(3, (4, 4))
    for channel in range(3):
        np.testing.assert_array_equal(
            equalised[:, :, channel], expected.apply(np.ascontiguousarray(plain[:, :, channel]))
        )


@pytest.mark.parametrize("shape", [(1, 1), (3, 50), (17, 16)])
def test_clahe_takes_images_smaller_than_its_grid(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 90, np.uint8)
    prepared = prepare(image, Preparation(channels="green", field_of_view=None, clahe=Clahe(clip_limit=2, grid=8)))
    assert prepared.pixels.shape == (*shape, 1)


@pytest.mark.parametrize(
    "view", [lambda a: a[::-1], lambda a: a[:, ::-1], lambda a: a[::2, 1::3], lambda a: a[:, :, ::-1]]
)
def test_arrays_of_any_layout_give_what_their_copy_gives(view: Callable[[Image], Image]) -> None:
    image = view(photograph(DISCS["off centre"], 3, 2))
    image.flags.writeable = False
    for channels in ("rgb", "green"):
        preparation = Preparation.model_validate({"channels": channels, "field_of_view": 200})
        found, expected = prepare(image, preparation), prepare(image.copy(), preparation)
        assert found.box == expected.box
        np.testing.assert_array_equal(found.pixels, expected.pixels)


@pytest.mark.parametrize(
    ("photographs", "mask"),
    [("CHASE_DB1/Image_*.jpg", "fov_masks/{}.gif"), ("HRF/images/*", "../mask/{}_mask.*")],
    ids=["CHASE_DB1", "HRF"],
)
def test_the_boxes_of_real_photographs(data_root: Path, photographs: str, mask: str) -> None:
    """Against the field-of-view masks that come with them."""
    paths = sorted(data_root.glob(photographs))[::15]
    assert paths
    for path in paths:
        image = read_photo(path).pixels
        (file,) = path.parent.glob(mask.format(path.stem))
        inside = read_photo(file).pixels[:, :, 0] > 127
        assert_close(field_of_view(image), box_of(inside), image)
