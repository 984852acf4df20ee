"""DICOM over HTTP: a photograph like others, of whose patient no answer, log or figure holds a word."""

import io
import logging
import zipfile

import cv2
import httpx
import numpy as np
import pytest
from dicom_files import SECRETS, dataset, dicom_file, raw_dicom, series_dicom
from serving import PHOTO, error, figure, picture, running, segmenter

from vesselrt.server.settings import ServerSettings

EYE, OTHER = picture(), picture(seed=8)
SINGLE, SERIES = raw_dicom(EYE), series_dicom([EYE, OTHER])
DAMAGED = {
    "half": SINGLE[: len(SINGLE) // 2],
    "a header alone": SINGLE[:500],
    "other colours": dicom_file(dataset(EYE, "DOE"), EYE.tobytes()),
    "other bits": dicom_file(dataset(EYE, "RGB", BitsAllocated=32, BitsStored=32, HighBit=31), EYE.tobytes()),
    "another coding": SINGLE.replace(b"1.2.840.10008.1.2.1\0", b"Doe^Jane PID-77123\0\0"),
}


def named(data: bytes) -> dict[str, tuple[str, bytes, str]]:
    return {"image": ("eye.dcm", data, "application/dicom")}


def test_a_dicom_photograph_is_one_like_others(client: httpx.Client) -> None:
    told = client.post("/predict", params={"format": "json"}, files=named(SINGLE)).json()
    assert told["dicom"] == {"frame": 1, "frames": 1, "laterality": "R", "um_per_px": 7.5, "field_angle": 45.0}
    png = cv2.imencode(".png", EYE[:, :, ::-1])[1].tobytes()
    expected = client.post("/predict", content=png, headers={"Content-Type": "image/png"})
    answer = client.post("/predict", content=SINGLE, headers={"Content-Type": "application/dicom"})
    assert (answer.status_code, answer.content) == (200, expected.content)


def test_a_frame_is_named(client: httpx.Client) -> None:
    masks = []
    for frame, picture_of_it in ((1, EYE), (2, OTHER)):
        answer = client.post("/predict", params={"frame": frame}, files=named(SERIES))
        assert f'filename="eye-frame-{frame}-mask.png"' in answer.headers["content-disposition"]
        assert answer.headers["x-vesselrt-frame"] == f"{frame}/2"
        alone = client.post("/predict", files=named(raw_dicom(picture_of_it)))
        assert (alone.content, alone.headers["x-vesselrt-frame"]) == (answer.content, "1/1")
        masks.append(answer.content)
    assert masks[0] != masks[1]
    status, kind, message = error(client.post("/predict", files=named(SERIES)))
    assert (status, kind) == (415, "ImageDecodeError")
    assert message == "the DICOM has 2 photographs. Name one of them: frame 1 to 2."
    status, _, message = error(client.post("/predict", params={"frame": "0"}, files=named(SERIES)))
    assert (status, message) == (422, "frame is '0'. Expected a whole number from 1, such as 2.")


def test_the_scale_is_told_where_the_file_tells_it(client: httpx.Client) -> None:
    def told(data: bytes) -> str | None:
        header: str | None = client.post("/predict", files=named(data)).headers.get("x-vesselrt-um-per-px")
        return header

    assert told(SINGLE) == "7.5"
    by_angle = raw_dicom(EYE, PixelSpacing=[0.0, 0.0])
    measured = client.post("/predict", params={"format": "json", "measure": "true"}, files=named(by_angle)).json()
    assert float(told(by_angle) or 0) == pytest.approx(measured["measurements"]["um_per_px"], rel=1e-4)
    assert told(raw_dicom(EYE, PixelSpacing=[0.0, 0.0], HorizontalFieldOfView=0.0)) is None
    assert "x-vesselrt-um-per-px" not in client.post("/predict", files={"image": PHOTO}).headers


def test_files_of_a_batch_are_called_by_their_frame(client: httpx.Client) -> None:
    answer = client.post("/predict/batch", params={"frame": 2}, files=[("image", named(SERIES)["image"])])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert "000-eye-frame-2-mask.png" in archive.namelist()


@pytest.mark.parametrize("kind", ["whole", *DAMAGED])
def test_the_patient_is_named_nowhere(client: httpx.Client, caplog: pytest.LogCaptureFixture, kind: str) -> None:
    data = DAMAGED.get(kind, SINGLE)
    with caplog.at_level(logging.DEBUG):
        answers = [
            client.post("/predict", params={"format": form}, files=named(data)) for form in ("json", "coco", "svg")
        ]
        answers.append(client.post("/predict/batch", files=[("image", named(data)["image"])] * 2))
    assert {answer.status_code for answer in answers[:3]} == ({200} if kind == "whole" else {415})
    places = [answer.text for answer in answers] + [str(answer.headers) for answer in answers]
    places += [client.get("/metrics").text, caplog.text]
    for secret in SECRETS:
        assert not any(secret.lower() in place.lower() for place in places), secret


def test_a_decoder_that_was_given_a_damaged_file_goes_on(client: httpx.Client) -> None:
    assert figure(client, "vesselrt_places_taken") == 0
    for data in DAMAGED.values():
        assert client.post("/predict", files=named(data)).status_code == 415
    assert np.frombuffer(client.post("/predict", files=named(SINGLE)).content, np.uint8).size


def test_a_map_that_is_kept_is_that_of_its_frame_and_knows_the_file() -> None:
    with running(segmenter(), ServerSettings(maps_bytes=2**20)) as client:
        masks = {frame: client.post("/predict", params={"frame": frame}, files=named(SERIES)) for frame in (1, 2)}
        assert masks[1].content != masks[2].content
        for frame in (1, 2):
            again = client.post("/predict", params={"frame": frame, "format": "json"}, files=named(SERIES))
            assert "cache;" in again.headers["server-timing"]
            assert again.json()["dicom"]["frame"] == frame


def test_results_in_dicom(client: httpx.Client) -> None:
    highdicom = pytest.importorskip("highdicom", reason="highdicom has no release for this Python")
    answer = client.post("/predict", params={"format": "dicom-seg", "frame": 2, "threshold": 0.6}, files=named(SERIES))
    assert answer.headers["content-type"] == "application/dicom"
    assert 'filename="eye-frame-2-dicom-seg.dcm"' in answer.headers["content-disposition"]
    segments = highdicom.seg.segread(io.BytesIO(answer.content)).get_pixels_by_source_frame("1.2.3.4", [2])
    assert np.array_equal(segments[0, :, :, 0], segmenter().segment(OTHER).mask(0.6))
    status, kind, message = error(client.post("/predict", params={"format": "dicom-seg"}, files={"image": PHOTO}))
    assert (status, kind) == (422, "OptionError")
    assert message.startswith(
        "dicom-seg refers to a DICOM photograph and repeats its patient, and this photograph is no"
    )
