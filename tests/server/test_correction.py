"""A person's correction beside a photograph: every format follows it and says so, and what does not fit is refused."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from results import FORMATS_OF_ALL
from serving import PHOTO, error, png, running, segmenter
from several_classes import colour_segmenter

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.output.correction import KEEP
from vesselrt.runtime.output.formats import OutputFormat
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.budget import CORRECTION_BYTES
from vesselrt.server.work.tasks import PhotoTask

SHAPE = (83, 97)


def drawn(count: int = 1) -> Image:
    """(count · H, W): a bar of vessel, a bar of none, and the rest as the model has it."""
    correction = np.full((count * SHAPE[0], SHAPE[1]), KEEP, np.uint8)
    correction[30:34, 20:60] = 255
    correction[50:60, 30:50] = 0
    return correction


def grey_png(pixels: Image) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def send(client: httpx.Client, correction: bytes | None, **query: Any) -> httpx.Response:
    files: dict[str, Any] = {
        "image": ("photo.png", PHOTO),
        **({} if correction is None else {"correction": correction}),
    }
    return client.post("/predict", params=query, files=files)


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(segmenter(), ServerSettings(maps_bytes=2**20)) as started:
        yield started


@pytest.fixture(scope="module")
def corrected() -> Segmentation:
    return replace(segmenter().segment(PHOTO).correct(drawn()), file_name="photo.png")


@pytest.mark.parametrize("form", [form for form in FORMATS_OF_ALL if form != "json"])
def test_every_format_is_the_librarys_file(client: httpx.Client, corrected: Segmentation, form: OutputFormat) -> None:
    answer = send(client, grey_png(drawn()), format=form, threshold=0.6)
    assert answer.content == corrected.encode(form, 0.6)
    assert b"orrected" in answer.content
    assert answer.content != send(client, None, format=form, threshold=0.6).content


@pytest.mark.parametrize("threshold", [0.01, 0.5, 1.0])
def test_what_was_painted_stays_at_any_threshold(client: httpx.Client, threshold: float) -> None:
    answer = send(client, grey_png(drawn()), threshold=threshold)
    mask = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    expected = np.where(drawn() == KEEP, segmenter().segment(PHOTO).mask(threshold) * 255, drawn())
    assert np.array_equal(mask, expected)


def test_figures_follow_and_the_map_that_is_kept_does_not(client: httpx.Client) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[40:42, 40:50] = 255
    document = send(client, grey_png(mask), format="json").json()
    assert document["corrected"] is True
    assert document["statistics"]["vessel_pixels"] == 20
    assert document["statistics"]["vessel_density"] == 20 / document["statistics"]["field_of_view_pixels"]
    before = send(client, None, format="json").json()
    assert "corrected" not in before
    assert before["statistics"] == segmenter().segment(PHOTO).document()["statistics"]


def test_of_several_classes_they_lie_one_below_the_other() -> None:
    correction = drawn(3)
    with running(colour_segmenter()) as client:
        answer = send(client, grey_png(correction), format="probability")
        svg = send(client, grey_png(correction), format="svg", classes="artery")
    expected = colour_segmenter().segment(PHOTO).correct(correction.reshape(3, *SHAPE))
    assert answer.content == expected.encode("probability")
    assert svg.content == expected.encode("svg", classes="artery")


def test_the_place_of_the_field_of_view_is_told_of_one_class_too(client: httpx.Client) -> None:
    headers = send(client, None, format="probability").headers
    outline = [tuple(map(int, corner.split(","))) for corner in headers["x-vesselrt-fields-of-view"].split(" ")]
    assert outline == list(segmenter().segment(PHOTO).scale.outline)
    assert "x-vesselrt-levels" in headers


OTHER = np.full(SHAPE, 7, np.uint8)
WIDE = np.full((SHAPE[1], SHAPE[0]), KEEP, np.uint8)


@pytest.mark.parametrize(
    ("correction", "status", "kind", "message"),
    [
        (grey_png(OTHER), 422, "OptionError", "the correction has the value 7. Expected 0, 255, and 128 where"),
        (grey_png(WIDE), 422, "OptionError", "the correction has 83 × 97 pixels. Expected the photograph's 97 × 83."),
        (grey_png(drawn(2)), 422, "OptionError", "the correction has 16,102 pixels, and the result 8,051."),
        (grey_png(drawn())[:-20], 415, "ImageDecodeError", "the correction: the PNG is truncated or damaged."),
        (cv2.imencode(".jpg", drawn())[1].tobytes(), 415, "ImageDecodeError", "the correction: the file is JPEG."),
        (b"", 415, "ImageDecodeError", "the correction: the file is empty."),
    ],
)
def test_what_does_not_fit_is_refused(
    client: httpx.Client, correction: bytes, status: int, kind: str, message: str
) -> None:
    found = error(send(client, correction))
    assert found[:2] == (status, kind)
    assert found[2].startswith(message)


@pytest.mark.parametrize(
    ("address", "files", "status", "message"),
    [
        ("/predict", [("image", PHOTO), ("mask", PHOTO)], 422, "the file 'mask' is not expected. Beside 'image' there"),
        ("/predict", [("image", PHOTO), ("image", PHOTO)], 400, "the multipart body has 2 photographs. Several"),
        ("/predict", [("image", PHOTO)] * 3, 400, "the multipart body can't be used: Too many files. Maximum number"),
        ("/predict", [("correction", PHOTO)], 422, "no photograph in field 'image'; found: 'correction'."),
    ],
)
def test_other_files_are_refused(client: httpx.Client, address: str, files: Any, status: int, message: str) -> None:
    found = error(client.post(address, files=files))
    assert found[0] == status
    assert found[2].startswith(message)


def test_its_memory_is_taken_with_the_photographs() -> None:
    task = PhotoTask(b"", lambda *_: b"", 10)  # type: ignore[type-var]
    manifest = colour_segmenter().manifest
    more = replace(task, correction=b"png").pixel_bytes(manifest) - task.pixel_bytes(manifest)
    assert more == 3 * CORRECTION_BYTES


def test_the_decoder_processes_read_it_too() -> None:
    with running(segmenter(), decoders=True) as client:
        answer = send(client, grey_png(drawn()))
        refused = error(send(client, grey_png(WIDE)))
        again = send(client, png(np.zeros((*SHAPE, 3), np.uint8)))
    assert answer.content == segmenter().segment(PHOTO).correct(drawn()).encode("mask")
    assert refused[2].startswith("the correction has 83 × 97 pixels")
    assert again.status_code == 200
