"""Simulated cameras: what a seed gives, what is left of the truth, and how much wider an annotator paints."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

import cv2
import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vesselrt.runtime.manifest import Preparation
from vesselrt.training.data.finding import Kind, list_samples
from vesselrt.training.synthetic import cameras
from vesselrt.training.synthetic.cameras import (
    HELD_OUT,
    CameraFamily,
    HeldOutCamera,
    _annotate,
    _photograph,
    draw_crop,
    main,
    write_held_out_data_sets,
)
from vesselrt.training.synthetic.pyramid import PhotoPyramid, pyramid_from_photo

Photo = tuple[NDArray[np.uint8], NDArray[np.bool_]]

# A camera that changes nothing. What still differs from crop to crop is the place, the turn and the mirror.
PLAIN = CameraFamily(
    simulated_share=0,
    zoom=(1, 1),
    stretch=0,
    blur=(0, 0),
    noise=(0, 0),
    gamma=(1, 1),
    contrast=(1, 1),
    illumination=0,
    haze=(0, 0),
    crosstalk=0,
)


class Still:
    """A generator that always draws the lowest number and the last choice: no turn, no mirror, the middle."""

    def random(self) -> float:
        return 0.0

    def uniform(self, low: float, high: float, size: Any = None) -> Any:
        return low if size is None else np.full(size, low)

    def normal(self, mean: float, deviation: float, size: Any) -> NDArray[np.float64]:
        return np.zeros(size)

    def choice(self, values: list[float]) -> float:
        return values[-1]

    def integers(self, low: int, high: int) -> int:
        return low


def still() -> np.random.Generator:
    return cast(np.random.Generator, Still())


def at(diameter: int, channels: Any = "green") -> Preparation:
    """A model that sees a field of view of `diameter` pixels."""
    return Preparation(channels=channels, field_of_view=diameter)


@pytest.fixture
def source(fundus_photo: Callable[[int, int, int], Photo]) -> PhotoPyramid:
    return PhotoPyramid.build(*fundus_photo(128, 128, 1))


def bar(side: int, left: int, width: int) -> NDArray[np.bool_]:
    """A vertical vessel."""
    truth = np.zeros((side, side), bool)
    truth[:, left : left + width] = True
    return truth


def bar_source(side: int, left: int, width: int) -> PhotoPyramid:
    truth = bar(side, left, width)
    return PhotoPyramid.build(np.dstack([np.where(truth, 60, 180).astype(np.uint8)] * 3), truth)


# The source


def test_levels_halve_until_500_px() -> None:
    source = bar_source(1200, 600, 8)
    assert source.native == 1200
    assert source.diameters == (1200, 600, 300)
    assert [i.shape for i in source.images] == [(1200, 1200, 3), (600, 600, 3), (300, 300, 3)]
    assert [t.shape for t in source.truths] == [(1200, 1200), (600, 600), (300, 300)]
    widths = [t[0].astype(int).sum() / 255 for t in source.truths]
    assert widths == [8, 4, 2]  # by area: nothing is lost


def test_a_level_finer_than_any_camera_is_reduced_and_the_annotators_resolution_kept() -> None:
    truth = np.zeros((100, 3840), bool)
    truth[:, 2000:2004] = True
    source = PhotoPyramid.build(np.full((100, 3840, 3), 90, np.uint8), truth)
    assert source.native == 3840
    assert source.diameters == (1920, 960, 480)
    assert int(source.truths[0][0].astype(int).sum()) == 2 * 255


@pytest.mark.parametrize(("sensor", "expected"), [(1000, 0), (1200, 0), (500, 0.7), (250, 1.05), (0, 1.4)])
def test_widening_by_hand(sensor: float, expected: float) -> None:
    assert bar_source(1000, 500, 4).widening(1.4, sensor) == pytest.approx(expected)


# Crops


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize(("channels", "count"), [("green", 1), ("rgb", 3)])
@given(seed=st.integers(0, 2**32), size=st.sampled_from([32, 48, 80]), diameter=st.sampled_from([100, 128, 200]))
@settings(max_examples=12, deadline=None)
def test_shapes_types_and_ranges(share: float, channels: str, count: int, seed: int, size: int, diameter: int) -> None:
    family = CameraFamily(simulated_share=share, sensor=(60, 150))
    pixels, truth = draw_crop(SMALL, family, at(diameter, channels), size, np.random.default_rng(seed))
    assert (pixels.shape, str(pixels.dtype)) == ((size, size, count), "uint8")
    assert (truth.shape, str(truth.dtype)) == ((size, size), "float32")
    assert 0 <= truth.min() <= truth.max() <= 1


SMALL = bar_source(128, 60, 3)


def test_a_seed_is_a_crop(source: PhotoPyramid) -> None:
    family = CameraFamily(simulated_share=0.5, sensor=(60, 150))

    def draw(seed: int) -> tuple[bytes, bytes]:
        pixels, truth = draw_crop(source, family, at(128, "rgb"), 64, np.random.default_rng(seed))
        return pixels.tobytes(), truth.tobytes()

    crops = [draw(seed) for seed in range(20)]
    assert [draw(seed) for seed in range(20)] == crops
    assert len(set(crops)) == 20


@pytest.mark.parametrize(("channels", "shown"), [("green", slice(1, 2)), ("rgb", slice(0, 3))])
def test_a_plain_camera_shows_the_photograph_and_its_truth(source: PhotoPyramid, channels: str, shown: slice) -> None:
    pixels, truth = draw_crop(source, PLAIN, at(128, channels), 64, still())
    middle = slice(32, 96)
    assert np.array_equal(pixels, source.images[0][middle, middle, shown])
    assert np.array_equal(truth, source.truths[0][middle, middle] / np.float32(255))


@pytest.mark.parametrize(("zoom", "diameter", "width"), [(1, 128, 4), (2, 128, 8), (1, 256, 8), (0.5, 256, 4)])
def test_a_vessel_is_as_wide_as_zoom_and_scale_make_it(zoom: float, diameter: int, width: int) -> None:
    family = PLAIN.model_copy(update={"zoom": (zoom, zoom)})
    _, truth = draw_crop(bar_source(128, 62, 4), family, at(diameter), 64, still())
    assert truth.sum(axis=1) == pytest.approx(np.full(64, width), abs=0.2)


@pytest.mark.parametrize(("range_", "width"), [((64, 96), 6), ((64, 128), 8), ((160, 200), 10), ((100, 128), 8)])
def test_of_two_scales_a_photograph_is_brought_to_the_nearer_one(range_: tuple[int, int], width: int) -> None:
    """A field of 128 px with a vessel of 8 px."""
    _, truth = draw_crop(
        bar_source(128, 60, 8), PLAIN, Preparation(channels="green", field_of_view=range_), 64, still()
    )
    assert truth.sum(axis=1) == pytest.approx(np.full(64, width), abs=0.2)


def test_a_home_crop_keeps_soft_truth_and_a_simulated_one_is_painted() -> None:
    home, simulated = PLAIN, PLAIN.model_copy(update={"simulated_share": 1.0, "sensor": (128, 128)})
    levels = [
        set(np.unique(draw_crop(SMALL, family, at(128), 64, np.random.default_rng(5))[1]).tolist())
        for family in (home, simulated)
    ]
    assert len(levels[0]) > 2  # a turned edge covers pixels in part
    assert levels[1] == {0.0, 1.0}


@pytest.mark.parametrize(("simulated", "factor"), [(True, 0.125), (False, 0.5)])
def test_exposure_darkens_scene_and_haze_alike_and_a_crops_own_by_the_cube_root(simulated: bool, factor: float) -> None:
    photo = np.full((8, 8, 3), 0.5, np.float32)
    haze = 0.2 if simulated else 0.2 / 3  # which varies a third as much, too
    family = PLAIN.model_copy(update={"haze": (0.2, 0.2), "exposure": (0.125, 0.125)})
    shown = _photograph(photo, family, simulated, np.random.default_rng(0))
    np.testing.assert_allclose(shown, (0.5 + haze) * factor, rtol=0, atol=1e-6)


# Annotators


def painted(coverage: float, width: int, widening: float) -> list[int]:
    """Columns painted of a vessel from column 20 on, by a hand of 0.5 px that widens it by `widening` px."""
    line = np.zeros((9, 41), np.float32)
    line[:, 20 : 20 + width] = coverage
    source = bar_source(200, 100, 4)
    family = CameraFamily(annotation_widening=(2 * widening, 2 * widening), outline_smoothing=(0.5, 0.5))
    drawn = _annotate(line, source, 100, family, np.random.default_rng(0))  # half as fine a sensor: half of the stroke
    assert (drawn == drawn[0]).all()
    return np.flatnonzero(drawn[0]).tolist()


# The hand smooths with weights 0.787 in the middle, 0.106 beside it. By the normal distribution the level is 0.5 for no
# widening, 0.309 for 0.5 px, 0.081 for 1.4 px and 0.067 for 1.5 px.
@pytest.mark.parametrize(
    ("coverage", "width", "widening", "expected"),
    [
        (1, 4, 0, [20, 21, 22, 23]),
        (1, 4, 0.5, [20, 21, 22, 23]),  # a quarter of a pixel to each side reaches no pixel's centre
        (1, 4, 1.5, [19, 20, 21, 22, 23, 24]),
        (1, 1, 0, [20]),
        (1, 1, 1.5, [19, 20, 21]),
        (0.5, 1, 0, []),  # a capillary of half a pixel: 0.393
        (0.5, 1, 0.5, [20]),
        (0.5, 1, 1.4, [20]),  # beside it 0.053
        (0.12, 1, 1.4, [20]),  # 0.094
        (0.1, 1, 1.4, []),  # 0.079
    ],
)
def test_what_is_painted_of_a_line(coverage: float, width: int, widening: float, expected: list[int]) -> None:
    assert painted(coverage, width, widening) == expected


def test_an_annotator_on_as_fine_a_sensor_changes_no_sharp_edge() -> None:
    truth = bar(64, 30, 5).astype(np.float32)
    drawn = _annotate(
        truth, bar_source(64, 30, 5), 64, CameraFamily(annotation_widening=(5, 5)), np.random.default_rng(0)
    )
    assert np.array_equal(drawn, truth)


# Cameras held out of training


def as_it_is(rgb: Any, random: np.random.Generator) -> Any:
    return rgb


# 256 px to 128: half as fine a sensor, so half of the brush. A vessel of 8 px is 4 px there, one pixel wider is 5.
@pytest.mark.parametrize(
    ("brush", "expected"), [(0, (50, 54)), (1, (50, 54)), (2, (49, 54)), (4, (49, 55)), (8, (48, 56))]
)
def test_a_held_out_annotator_paints_wider_by_the_brush(brush: float, expected: tuple[int, int]) -> None:
    image, truth = HeldOutCamera(128, as_it_is, brush).photograph(bar_source(256, 100, 8), 0)
    assert np.array_equal(truth, bar(128, expected[0], expected[1] - expected[0]))
    assert np.array_equal(image, np.dstack([np.where(bar(128, 50, 4), 60, 180)] * 3))


def test_a_held_out_annotator_on_as_fine_a_sensor_paints_the_truth() -> None:
    _, truth = HeldOutCamera(128, as_it_is, 9).photograph(bar_source(128, 50, 3), 0)
    assert np.array_equal(truth, bar(128, 50, 3))


@pytest.mark.parametrize("name", HELD_OUT)
def test_held_out_cameras(name: str, fundus_photo: Callable[[int, int, int], Photo]) -> None:
    camera, source = HELD_OUT[name], PhotoPyramid.build(*fundus_photo(150, 120, 2))
    image, truth = camera.photograph(source, 7)
    assert (image.shape, str(image.dtype)) == ((camera.sensor, round(camera.sensor * 0.8), 3), "uint8")
    assert (truth.shape, str(truth.dtype)) == (image.shape[:2], "bool")
    again, other = camera.photograph(source, 7), camera.photograph(source, 8)
    assert np.array_equal(image, again[0])
    assert not np.array_equal(image, other[0])  # other noise
    assert np.array_equal(truth, again[1])
    assert np.array_equal(truth, other[1])  # the same vessels
    beside = (cv2.dilate(truth.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0) & ~truth
    assert image[truth].mean() < image[beside].mean() - 2  # the vessels are where the picture has them


def test_held_out_cameras_differ_from_each_other() -> None:
    assert len({(camera.sensor, camera.look) for camera in HELD_OUT.values()}) == len(HELD_OUT) >= 3


def test_every_held_out_camera_makes_a_data_set(tmp_path: Path, fundus_photo: Callable[[int, int, int], Photo]) -> None:
    pixels, truth = fundus_photo(150, 120, 2)
    for suffix, picture in ((".jpg", pixels), ("_1stHO.png", truth.astype(np.uint8) * 255)):
        assert cv2.imwrite(str(tmp_path / f"Image_11L{suffix}"), picture)
    (sample,) = list_samples("chase_db1", tmp_path, "test")
    write_held_out_data_sets([sample], tmp_path / "seen")
    for name, camera in HELD_OUT.items():
        (seen,) = list_samples("folder", tmp_path / "seen" / name, "test")
        image, painted = camera.photograph(pyramid_from_photo(sample.read_image(), sample.read_truth()), 0)
        assert seen.name == "Image_11L"
        np.testing.assert_array_equal(seen.read_image(), image)
        np.testing.assert_array_equal(seen.read_truth(), painted)


def test_the_annotators_brush_widens_the_vessels_and_leaves_the_photograph(
    tmp_path: Path, fundus_photo: Callable[[int, int, int], Photo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cameras, "HELD_OUT", {"coarse": replace(HELD_OUT["coarse-ccd"], sensor=60)})
    pixels, truth = fundus_photo(150, 120, 2)
    for suffix, picture in ((".jpg", pixels), ("_1stHO.png", truth.astype(np.uint8) * 255)):
        assert cv2.imwrite(str(tmp_path / f"Image_11L{suffix}"), picture)
    (sample,) = list_samples("chase_db1", tmp_path, "test")
    painted = []
    for brush in (None, 0, 4):
        write_held_out_data_sets([sample], tmp_path / str(brush), brush)
        painted += list_samples("folder", tmp_path / str(brush) / "coarse", "test")
    own, narrow, wide = (one.read_truth() for one in painted)
    assert narrow.sum() < own.sum() < wide.sum()
    assert wide[narrow].all()
    for one in painted[1:]:
        np.testing.assert_array_equal(one.read_image(), painted[0].read_image())


NOWHERE = f"nowhere: no data set of a known layout ({', '.join(get_args(Kind))}). Name a folder that holds one."


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere", "seen"], f"error: {NOWHERE}", ""),
        ([], 2, "Missing argument"),
        (["a", "b", "c"], 2, "Got unexpected extra argument"),
    ],
)
def test_a_wrong_command_is_told_in_one_message(
    arguments: list[str], code: int | str, message: str, end_of: Callable[..., tuple[object, str]]
) -> None:
    ended, said = end_of(partial(typer.run, main), *arguments)
    assert ended == code
    assert message in said
