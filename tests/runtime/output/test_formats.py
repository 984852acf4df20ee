"""Every format of a result as a file: each pixel of it is known beforehand."""

import io
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image as Pillow
from results import probability_of, write_as

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.output.formats import FORMATS, OutputFormat, output_name

RAMP: Image = np.arange(256, dtype=np.uint8).reshape(16, 16)
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other work may share the cores


def decoded(png: bytes) -> NDArray[Any]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return np.asarray(Pillow.open(io.BytesIO(png)))


def test_the_table_of_formats() -> None:
    pictures, documents = ("mask", "probability", "spread", "overlay"), ("svg", "geojson", "json", "coco")
    dicom = ("dicom-seg", "dicom-probability", "dicom-sr")
    assert tuple(FORMATS) == get_args(OutputFormat) == (*pictures, *documents, *dicom)
    assert [(spec.suffix, spec.media_type) for spec in FORMATS.values()] == [
        (".png", "image/png"),
        (".png", "image/png"),
        (".png", "image/png"),
        (".png", "image/png"),
        (".svg", "image/svg+xml"),
        (".geojson", "application/geo+json"),
        (".json", "application/json"),
        (".json", "application/json"),
        *[(".dcm", "application/dicom")] * 3,
    ]
    assert output_name("photo", "svg") == "photo-svg.svg"


def test_the_page_offers_formats_of_the_table_by_their_suffixes() -> None:
    page = Path(__file__).resolve().parents[3] / "server" / "web"
    (names,) = re.findall(r"export type Format = (.*);", (page / "lib" / "api.ts").read_text("utf-8"))
    buttons = re.findall(r'\["(\w+)", "\w+", "(\w+)"\]', (page / "components" / "Downloads.tsx").read_text("utf-8"))
    assert re.findall(r"\w+", names) == [name for name, _ in buttons]
    assert {name: f".{kind.lower()}" for name, kind in buttons}.items() <= {
        (name, spec.suffix) for name, spec in FORMATS.items()
    }


@pytest.mark.parametrize(
    ("threshold", "name"), [(float("nan"), "nan"), (1.5, "1.5"), (-0.1, "-0.1"), (float("inf"), "inf")]
)
@pytest.mark.parametrize("form", ["mask", "overlay", "svg", "geojson"])
def test_a_threshold_out_of_range_is_refused(threshold: float, name: str, form: str) -> None:
    with pytest.raises(OptionError) as caught:
        write_as(form, RAMP, threshold)
    assert str(caught.value) == f"threshold {name} is not within 0 to 1."


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(OptionError) as caught:
        write_as("jpeg", RAMP)
    assert str(caught.value) == (
        "unknown format 'jpeg'. Expected one of: mask, probability, spread, overlay, svg, geojson, json, coco, "
        "dicom-seg, dicom-probability, dicom-sr."
    )


@UNHURRIED
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=20)), st.floats(0, 1))
def test_png_masks_and_probabilities_come_back_unchanged(probability: Image, threshold: float) -> None:
    np.testing.assert_array_equal(decoded(write_as("probability", probability, threshold)), probability)
    mask = decoded(write_as("mask", probability, threshold))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, np.where(probability >= threshold * 255, 255, 0))


def test_overlay_by_hand() -> None:
    # 0.45 of the photograph and 0.55 of the green (0, 255, 102), rounded.
    image = np.array([[[200, 100, 50], [200, 100, 50]], [[0, 0, 0], [255, 255, 255]]], np.uint8)
    before = image.copy()
    probability = np.array([[255, 0], [255, 255]], np.uint8)
    overlay = decoded(write_as("overlay", probability, image=image))
    assert overlay.tolist() == [[[90, 185, 79], [200, 100, 50]], [[0, 140, 56], [115, 255, 171]]]
    np.testing.assert_array_equal(image, before)
    # With a quarter of another colour, (51, 204, 255).
    overlay = decoded(write_as("overlay", probability, image=image, colour="#33CCff", opacity=0.25))
    assert overlay.tolist() == [[[163, 126, 101], [200, 100, 50]], [[13, 51, 64], [204, 242, 255]]]


@pytest.mark.parametrize("opacity", [0.0, 1.0])
def test_an_overlay_is_the_photograph_at_0_and_the_colour_at_1(opacity: float) -> None:
    image = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    probability = np.full((5, 7), 255, np.uint8)
    expected = image if opacity == 0 else np.full_like(image, (1, 2, 255))
    np.testing.assert_array_equal(
        decoded(write_as("overlay", probability, 1, image, colour="#0102ff", opacity=opacity)), expected
    )


@pytest.mark.parametrize("opacity", [0.0, 0.1, 0.25, 0.5, 0.55, 1 / 3, 0.9, 1.0])
@pytest.mark.parametrize("band", [100, 2**20])
def test_an_overlay_is_rounded_as_real_numbers_are(opacity: float, band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "vesselrt.runtime.output.pictures._BAND_PIXELS", band
    )  # of 768 pixels: the last one is not full
    image = np.random.default_rng(2).permuted(np.tile(np.arange(256, dtype=np.uint8), (3, 3)), axis=1).T
    image = np.ascontiguousarray(image).reshape(24, 32, 3)
    mask = np.random.default_rng(3).random((24, 32)) < 0.7
    blended = image * (1 - opacity) + np.array([51, 204, 255]) * opacity + 0.5
    expected = np.where(mask[:, :, None], blended.astype(np.uint8), image)
    png = write_as("overlay", probability_of(mask), image=image, colour="#33ccff", opacity=opacity)
    np.testing.assert_array_equal(decoded(png), expected)


@pytest.mark.parametrize("form", ["overlay", "svg"])
@pytest.mark.parametrize("colour", ["red", "#0f6", "00ff66", "#00ff6g", '#"/><a>', "#00ff66\n", ""])
def test_what_is_no_colour_is_refused(form: str, colour: str) -> None:
    with pytest.raises(OptionError) as caught:
        write_as(form, RAMP, colour=colour)
    assert str(caught.value) == f"colour is {colour!r}. Expected red, green and blue, such as #00ff66."


@pytest.mark.parametrize("opacity", [-0.1, 1.1, float("nan")])
def test_an_opacity_out_of_range_is_refused(opacity: float) -> None:
    with pytest.raises(OptionError, match=rf"^opacity {opacity} is not within 0 to 1\.$"):
        write_as("overlay", RAMP, opacity=opacity)


def test_outlines_have_the_colour() -> None:
    probability = np.full((3, 4), 255, np.uint8)
    assert write_as("svg", probability, colour="#33ccff").count(b'fill="#33ccff"') == 1


@pytest.mark.parametrize("form", ["mask", "overlay"])
def test_a_picture_tells_its_threshold(form: OutputFormat) -> None:
    file = Pillow.open(io.BytesIO(write_as(form, RAMP, threshold=0.35)))
    file.load()
    assert file.info["Threshold"] == "0.35"
