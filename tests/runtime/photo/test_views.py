"""Fields of view: several in one photograph, on a page, told, cut; and images that nobody would send."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manifests import make_manifest
from numpy.typing import NDArray

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.errors import FieldOfViewError, OptionError
from vesselrt.runtime.manifest import Manifest, Preparation
from vesselrt.runtime.photo.preparation import prepare_views
from vesselrt.runtime.photo.views import Box, _bright_level, find_scales, mask_of, survey_of
from vesselrt.runtime.segmenter import Segmenter

RETINA = (170, 80, 40)
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)


def manifest(diameter: int | tuple[int, int] | None) -> Manifest:
    return make_manifest(
        preparation={"channels": "green", "field_of_view": diameter}, tile={"size": 128, "multiple": 16, "margin": 16}
    )


def eye(height: int, width: int, radius: float, across: float = 0.5, down: float = 0.5) -> Image:
    """A lit disc, coloured and shaded as a retina is."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    y, x = (rows - down * height) / radius, (columns - across * width) / radius
    light = (1 - 0.3 * (x**2 + y**2) + 0.1 * np.sin(9 * x) * np.sin(7 * y))[:, :, None] * RETINA
    return np.where((x**2 + y**2 <= 1)[:, :, None], light.clip(0, 255), 2).astype(np.uint8)


def disc_mask(height: int, width: int, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:height, :width]
    result: NDArray[np.bool_] = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 <= radius**2
    return result


PAIRS: dict[str, Callable[[Image, Image], Image]] = {
    "beside": lambda a, b: np.hstack([a, b]),
    "beside, with a gap": lambda a, b: np.hstack([a, np.zeros((len(a), 60, 3), np.uint8), b]),
    "beside, with a white gap": lambda a, b: on_page(np.hstack([a, np.full((len(a), 60, 3), 255, np.uint8), b])),
    "below": lambda a, b: np.vstack([a, b]),
    "beside, on a page": lambda a, b: on_page(np.hstack([a, b])),
}


def on_page(photograph: Image, colour: int = 255, margin: int = 50) -> Image:
    height, width = photograph.shape[:2]
    page = np.full((height + 3 * margin, width + 2 * margin, 3), colour, np.uint8)
    page[margin : margin + height, margin : margin + width] = photograph
    cv2.putText(page, "OD 2026-11-23", (margin, margin - 15), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2)
    return page


@pytest.mark.parametrize("radius", [190, 220, 260], ids=["apart", "touching", "cut"])
@pytest.mark.parametrize("put", PAIRS.values(), ids=PAIRS)
def test_two_eyes_are_segmented_each_at_its_own_scale(put: Callable[[Image, Image], Image], radius: int) -> None:
    left, right = eye(440, 440, radius), eye(440, 440, radius)[:, ::-1]
    image = put(left, right)
    segmenter = Segmenter(manifest(256), FakeBackend())
    result = segmenter.segment(image)
    assert len(result.scales) == len(result.document()["fields_of_view"]) == 2
    assert result.warnings[0] == "2 fields of view are seen; each is segmented at its own scale."
    for scale in result.scales:
        assert scale.source == "found"
        assert scale.diameter == pytest.approx(2 * radius, rel=0.04)
        box = scale.box
        alone = segmenter.segment(np.ascontiguousarray(box.cut(image)), scale=scale.diameter)
        together = box.cut(result.probability).astype(int)
        assert np.abs(together - alone.probability)[20:-20, 20:-20].max() <= 12
        assert np.count_nonzero(together) > 0.7 * together.size
    assert np.count_nonzero(result.field_of_view) == pytest.approx(2 * disc_area(440, radius), rel=0.07)


def disc_area(side: int, radius: float) -> int:
    return int(np.count_nonzero(disc_mask(side, side, radius)))


def test_an_inset_and_a_panel_are_no_second_eye() -> None:
    image = np.hstack([eye(600, 600, 290), np.zeros((600, 400, 3), np.uint8)])
    image[40:140, 700:800] = eye(100, 100, 48)
    image[250:560, 650:960] = (90, 90, 90)
    assert len(find_scales(image)) == 1


@pytest.mark.parametrize("colour", [255, 240, 200])
def test_a_page_around_a_photograph_is_left_out(colour: int) -> None:
    photograph = eye(500, 640, 240)
    alone, framed = find_scales(photograph)[0], find_scales(on_page(photograph, colour))[0]
    assert framed.source == "found"
    for side, moved in (("top", 50), ("left", 50), ("bottom", 50), ("right", 50)):
        assert getattr(framed.box, side) == pytest.approx(getattr(alone.box, side) + moved, abs=6)


def test_a_disc_on_a_page_and_a_crop_on_a_page() -> None:
    disc = eye(500, 500, 240)
    disc[disc.max(axis=2) < 10] = 255
    found = find_scales(disc)[0]
    assert found.source == "found"
    assert found.diameter == pytest.approx(480, rel=0.03)
    crop = find_scales(on_page(eye(500, 500, 240)[150:350, 150:350], margin=100))[0]
    assert crop.source == "guessed"
    assert crop.diameter == pytest.approx(200, rel=0.06)


@pytest.mark.parametrize("corner", [(0, 0), (0, 300), (300, 300)])
def test_a_disc_that_the_frame_cuts_is_measured_by_its_arc(corner: tuple[int, int]) -> None:
    top, left = corner
    found = find_scales(np.ascontiguousarray(eye(700, 700, 340)[top : top + 400, left : left + 400]))[0]
    assert found.source == "found"
    assert found.diameter == pytest.approx(680, rel=0.03)


def test_a_told_scale_is_taken_and_one_that_can_not_be_is_refused() -> None:
    crop = np.ascontiguousarray(eye(700, 700, 340)[250:450, 250:450])
    assert find_scales(crop)[0].source == "guessed"
    views = prepare_views(crop, Preparation(channels="green", field_of_view=340), 680)
    assert views.prepared[0].pixels.shape == (100, 100, 1)
    assert (views.scales[0].source, views.scales[0].diameter) == ("told", 680)
    segmenter = Segmenter(manifest(340), FakeBackend())
    assert any("guess" in warning for warning in segmenter.segment(crop).warnings)
    assert not any("guess" in warning for warning in segmenter.segment(crop, scale=680).warnings)
    for wrong in (0, -3.0, float("nan"), float("inf")):
        with pytest.raises(OptionError, match=r"^scale is .*\. Expected the diameter of the field of view in pixels"):
            segmenter.segment(crop, scale=wrong)
    with pytest.raises(OptionError, match="scale is 60 pixels, and the photograph shows 200 × 200 pixels of one field"):
        segmenter.segment(crop, scale=60)


def test_told_of_a_fine_jpeg_it_is_meant_in_its_own_pixels() -> None:
    photograph = eye(1400, 1800, 690)
    data = cv2.imencode(".jpg", photograph[:, :, ::-1])[1].tobytes()
    segmenter = Segmenter(manifest(160), FakeBackend())
    found, told = segmenter.segment(data), segmenter.segment(data, scale=1380)
    assert told.scale.diameter == 1380
    assert found.scale.diameter == pytest.approx(1380, rel=0.02)
    assert np.abs(told.probability.astype(int) - found.probability).mean() < 3
    with pytest.raises(OptionError, match="scale is 600 pixels, and the photograph shows 13"):
        segmenter.segment(data, scale=600)


@pytest.mark.parametrize("diameter", [None, 200, 500])
@pytest.mark.parametrize("region", [Box(0, 0, 400, 520), (100, 150, 260, 330), (0, 0, 60, 70), (390, 510, 400, 520)])
def test_a_region_is_what_the_whole_has_there(diameter: int | None, region: Any) -> None:
    image = eye(400, 520, 190)
    segmenter = Segmenter(manifest(diameter), FakeBackend())
    whole, part = segmenter.segment(image), segmenter.segment(image, region=region)
    box = region if isinstance(region, Box) else Box(*region)
    expected = np.zeros_like(whole.probability)
    box.cut(expected)[:] = box.cut(whole.probability)
    np.testing.assert_array_equal(part.probability, expected)
    assert part.scales == whole.scales
    inside = np.zeros_like(whole.field_of_view)
    box.cut(inside)[:] = box.cut(whole.field_of_view)
    np.testing.assert_array_equal(part.field_of_view, inside)
    assert part.density(0.1) == (np.mean(part.mask(0.1)[inside]) if inside.any() else 0)


def test_a_region_of_which_little_is_run_and_one_outside_the_photograph() -> None:
    backend = FakeBackend()
    segmenter = Segmenter(manifest(380), backend)
    segmenter.segment(eye(400, 520, 190), region=(190, 250, 200, 260))
    assert all(max(shape[2:]) <= 64 for shape in backend.shapes)
    for region in ((0, 0, 401, 5), (5, 5, 5, 9), (-1, 0, 9, 9)):
        with pytest.raises(OptionError, match="Expected a part of the photograph, which is 400 pixels high and 520 wi"):
            segmenter.segment(eye(400, 520, 190), region=region)


def test_density_is_the_share_of_vessel_in_the_field_of_view_everywhere() -> None:
    result = Segmenter(manifest(300), FakeBackend()).segment(eye(400, 520, 190))
    inside = result.field_of_view
    for threshold in (0.0, 0.25, 0.3, 0.5, 1.0):
        share = np.count_nonzero(result.mask(threshold) & inside) / np.count_nonzero(inside)
        assert result.density(threshold) == share
        assert result.document(threshold)["statistics"]["vessel_density"] == share
    assert result.levels.sum() == np.count_nonzero(inside) == disc_area_of(result.document())
    with pytest.raises(OptionError, match="threshold 2 is not within 0 to 1"):
        result.density(2)


def disc_area_of(document: dict[str, Any]) -> int:
    """The field of view as whoever reads the JSON draws it."""
    canvas = np.zeros((document["height"], document["width"]), np.uint8)
    for field in document["fields_of_view"]:
        cv2.fillConvexPoly(canvas, np.array(field["outline"], np.int32), 1)
    return int(canvas.sum())


# Images that nobody would send


@st.composite
def odd_images(draw: st.DrawFn) -> Image:
    """Bars, borders, specks, frames, noise, pages: of 1 to 90 pixels a side."""
    return odd_image(np.random.default_rng(draw(st.integers(0, 2**32))))


def odd_image(random: np.random.Generator) -> Image:
    height, width = random.integers(1, 91, 2)
    levels = (0, 1, 6, 7, 30, 128, 249, 255)
    image = np.full((height, width, 3), random.choice(levels), np.uint8)
    for _ in range(random.integers(0, 6)):
        top, left = random.integers(0, height), random.integers(0, width)
        bottom, right = random.integers(top, height + 1), random.integers(left, width + 1)
        match random.integers(5):
            case 0:  # two border columns or rows
                image[:, [0, -1]] = random.choice(levels)
            case 1:
                image[[0, -1]] = random.choice(levels)
            case 2:
                image[top:bottom, left:right] = random.choice(levels, 3)
            case 3:
                image[top:bottom, left:right] = random.integers(0, 256, image[top:bottom, left:right].shape)
            case 4:
                cv2.circle(image, (int(left), int(top)), int(random.integers(0, 60)), (200, 90, 40), -1)
    return image


def check_odd(image: Image) -> None:
    height, width = image.shape[:2]
    for diameter in (None, 64, (64, 96)):
        try:
            result = Segmenter(manifest(diameter), FakeBackend()).segment(image)
        except FieldOfViewError:
            assert diameter is not None
            continue
        assert result.probability.shape == (height, width)
        assert 0 <= result.document(0.5)["statistics"]["vessel_density"] <= 1
        assert result.field_of_view.any()
        for scale in result.scales:
            assert 0 <= scale.box.top < scale.box.bottom <= height
            assert 0 <= scale.box.left < scale.box.right <= width
            assert scale.diameter > 0
            inside = mask_of([scale], (height, width))
            box = scale.box
            assert box.cut(inside).sum() == inside.sum() > 0


@UNHURRIED
@given(odd_images())
def test_an_odd_image_is_segmented_or_refused(image: Image) -> None:
    check_odd(image)


@pytest.mark.parametrize("columns", [[0, -1], [0, 1, -1], [0]])
def test_lit_border_columns(columns: list[int]) -> None:
    image = np.zeros((300, 600, 3), np.uint8)
    image[:, columns] = 255
    image[:, 100:140] = 120
    check_odd(image)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (97, 83), (513, 100), (1168, 1752)])
def test_short_cuts_give_what_numpy_gives(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    survey, step = survey_of(image)
    assert np.array_equal(survey, image[::step, ::step])
    for grey in (survey[:, :, 0].copy(), np.minimum(survey[:, :, 1], 7)):
        assert _bright_level(grey) == pytest.approx(float(np.percentile(grey, 95)))
