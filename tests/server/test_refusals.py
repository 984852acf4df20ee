"""Requests that are wrong: one clear message for each, and the server works on."""

import asyncio
import logging
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from serving import PHOTO, error, png, post, running, segmenter

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import identity
from vesselrt.runtime.output.formats import FORMATS
from vesselrt.server.http.application import create_app
from vesselrt.server.settings import ServerSettings

LIMIT = 50_000


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(segmenter(), ServerSettings(max_bytes=LIMIT, max_pixels=100_000)) as client:
        yield client


SEVERAL = "Several photographs go to /predict/batch."


HINT = "Send the photograph as multipart field 'image' (curl -F image=@photo.jpg)"


BLACK = (
    "the photograph is black: 95 % of its pixels are at or below 0 of 255. "
    "Send a photograph with a visible field of view."
)


KINDS = "JPEG, PNG, TIFF, BMP, WebP, GIF, PNM, AVIF or DICOM"


FILE = {"image": ("photo.png", PHOTO, "image/png")}


RAW = {"Content-Type": "image/png"}


BOUNDARY = {"Content-Type": "multipart/form-data; boundary=b"}


def threshold_error(text: str) -> tuple[int, str, str]:
    return 422, "OptionError", f"threshold is {text!r}. Expected a number from 0 to 1, such as 0.5."


BAD: dict[str, tuple[dict[str, Any], tuple[int, str, str]]] = {
    "threshold over 1": ({"params": {"threshold": "1.5"}, "files": FILE}, threshold_error("1.5")),
    "threshold under 0": ({"params": {"threshold": "-0.1"}, "files": FILE}, threshold_error("-0.1")),
    "threshold a word": ({"params": {"threshold": "abc"}, "files": FILE}, threshold_error("abc")),
    "threshold NaN": ({"params": {"threshold": "NaN"}, "files": FILE}, threshold_error("NaN")),
    "threshold infinite": ({"params": {"threshold": "inf"}, "files": FILE}, threshold_error("inf")),
    "threshold empty": ({"params": {"threshold": ""}, "files": FILE}, threshold_error("")),
    "threshold in the form": ({"data": {"threshold": "1.5"}, "files": FILE}, threshold_error("1.5")),
    "threshold twice": (
        {"params": {"threshold": "0.4"}, "data": {"threshold": "0.6"}, "files": FILE},
        (422, "OptionError", "threshold is given more than once. Send it once, in the query or in the form."),
    ),
    "unknown format": (
        {"params": {"format": "jpeg"}, "files": FILE},
        (
            422,
            "OptionError",
            "format is 'jpeg'. Expected one of: mask, probability, spread, overlay, svg, geojson, json, coco, "  # noqa: ISC004
            "dicom-seg, dicom-probability, dicom-sr.",
        ),
    ),
    "misspelt option": (
        {"params": {"treshold": "0.4"}, "files": FILE},
        (
            422,
            "OptionError",
            "unknown option 'treshold'. Expected "  # noqa: ISC004
            "format, threshold, colour, opacity, simplify, scale, frame, classes, quality, "
            "measure, um_per_px, field_angle, disc or model.",
        ),
    ),
    "no colour": (
        {"params": {"colour": "red"}, "files": FILE},
        (422, "OptionError", "colour is 'red'. Expected red, green and blue, such as #00ff66."),
    ),
    "opacity over 1": (
        {"data": {"opacity": "2"}, "files": FILE},
        (422, "OptionError", "opacity is '2'. Expected a number from 0 to 1, such as 0.5."),
    ),
    "simplify below 0": (
        {"params": {"simplify": "-1"}, "files": FILE},
        (422, "OptionError", "simplify is '-1'. Expected a distance in pixels, such as 0.35."),
    ),
    "no body": ({}, (422, "RequestError", f"the photograph is empty: 0 bytes came. {HINT}.")),
    "empty file": ({"files": {"image": b""}}, (422, "RequestError", f"the photograph is empty: 0 bytes came. {HINT}.")),
    "wrong field": (
        {"files": {"photo": PHOTO}},
        (422, "RequestError", f"no photograph in field 'image'; found: 'photo'. {HINT}."),
    ),
    "empty form": (
        {"content": b"--b--\r\n", "headers": BOUNDARY},
        (422, "RequestError", f"no photograph in field 'image'; found: nothing. {HINT}."),
    ),
    "text instead of a file": (
        {"files": {"image": (None, "photo.png")}},
        (422, "RequestError", f"no photograph in field 'image'; found: 'image'. 'image' is text, not a file. {HINT}."),
    ),
    "two files": (
        {"files": [("image", PHOTO), ("image", PHOTO)]},
        (
            400,
            "RequestError",
            f"the multipart body has 2 photographs. {SEVERAL} {HINT}.",
        ),
    ),
    "no boundary": (
        {"content": PHOTO, "headers": {"Content-Type": "multipart/form-data"}},
        (400, "RequestError", f"the multipart body can't be used: Missing boundary in multipart. {HINT}."),
    ),
    "damaged multipart": (
        {"content": PHOTO, "headers": BOUNDARY},
        (400, "RequestError", f"the multipart body can't be used: Invalid multipart data. {HINT}."),
    ),
    "charset that is none": (
        {
            "content": b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\nx\r\n--b--\r\n',
            "headers": {"Content-Type": "multipart/form-data; charset=undefined; boundary=b"},
        },
        (400, "RequestError", f"the multipart body can't be read. {HINT}."),
    ),
    "thousands of fields": (
        {"files": FILE, "data": {f"f{i}": "x" for i in range(400)}},
        (
            400,
            "RequestError",
            f"the multipart body can't be used: Too many fields. Maximum number of fields is 14. {HINT}.",
        ),
    ),
    "other content type": (
        {"content": PHOTO, "headers": {"Content-Type": "text/plain; charset=utf-8"}},
        (
            415,
            "RequestError",
            f"the content type is 'text/plain'. {HINT}, or as the body with type image/jpeg or the like.",
        ),
    ),
    "text named .jpg": (
        {"files": {"image": ("photo.jpg", b"hello, world", "image/jpeg")}},
        (415, "ImageDecodeError", f"not an image: it begins with b'hello, w'. Send a {KINDS} file."),
    ),
    "truncated PNG": (
        {"content": PHOTO[: len(PHOTO) // 2], "headers": RAW},
        (415, "ImageDecodeError", "the PNG is truncated or damaged. Send a whole file."),
    ),
    "black": (
        {"content": png(np.zeros((60, 60, 3), np.uint8)), "headers": RAW},
        (
            422,
            "FieldOfViewError",
            BLACK,
        ),
    ),
    "too many pixels": (
        {"content": png(np.zeros((300, 400, 3), np.uint8)), "headers": RAW},
        (
            413,
            "ImageTooLargeError",
            "the image declares 400 × 300 pixels, the limit is 100,000 in all. Send a smaller image.",
        ),
    ),
    "too long": (
        {"content": bytes(LIMIT + 1), "headers": RAW},
        (413, "ImageTooLargeError", "the body has more than 50,000 bytes, the limit. Send a smaller file."),
    ),
    "too long in chunks, raw": (
        {"content": (bytes(10_000) for _ in range(100)), "headers": RAW},
        (413, "ImageTooLargeError", "the body has more than 50,000 bytes, the limit. Send a smaller file."),
    ),
    "too long in chunks, multipart": (
        {
            "content": (
                chunk
                for chunk in [
                    b'--b\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n',
                    *[bytes(10_000)] * 100,
                ]
            ),
            "headers": BOUNDARY,
        },
        (413, "ImageTooLargeError", "the body has more than 50,000 bytes, the limit. Send a smaller file."),
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_request_gets_one_clear_message(client: httpx.Client, case: str) -> None:
    request, (status, kind, message) = BAD[case]
    answer = client.post("/predict", **request)
    assert error(answer) == (status, kind, message)
    assert post(client, "multipart").status_code == 200, "the server works on"


def test_body_of_exactly_the_limit_is_read(client: httpx.Client) -> None:
    answer = post(client, "image/png", PHOTO + bytes(LIMIT - len(PHOTO)))
    assert answer.status_code == 200


def test_declared_length_is_refused_before_a_byte_is_asked_for(client: httpx.Client) -> None:
    head = (
        "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 50001\r\nExpect: 100-continue"
    )
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_client_that_leaves_while_sending_is_no_error(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 1000\r\n\r\nabc"
    with caplog.at_level(logging.WARNING):
        with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
            connection.sendall(head.encode())
            time.sleep(0.1)
        time.sleep(0.1)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("method", "path", "status", "kind", "message"),
    [
        ("GET", "/nowhere", 404, "NotFound", "There is nothing at /nowhere. /openapi.json says what there is."),
        ("POST", "/predict/", 404, "NotFound", "There is nothing at /predict/. /openapi.json says what there is."),
        ("GET", "/predict", 405, "MethodNotAllowed", "/predict answers to POST only."),
    ],
)
def test_wrong_address(client: httpx.Client, method: str, path: str, status: int, kind: str, message: str) -> None:
    answer = client.request(method, path)
    assert error(answer) == (status, kind, message)
    assert answer.headers.get("allow") == ("POST" if status == 405 else None)


def test_validation_by_fastapi_has_the_same_shape() -> None:
    app = create_app(segmenter())

    @app.get("/later")
    async def later(number: int) -> int:
        return number

    async def call() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return await client.get("/later?number=abc")

    answer = asyncio.run(call())
    message = "query.number: Input should be a valid integer, unable to parse string as an integer"
    assert error(answer) == (422, "RequestError", message)


def test_unexpected_error_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    def fails_later(pixels: Image) -> Any:
        calls.append(1)
        if len(calls) > warm:
            raise RuntimeError("/secret/place")
        return identity(pixels)

    warm = 10**9
    with running(segmenter(fails_later)) as client:
        warm = 0
        answer = post(client, "multipart")
        message = "Something went wrong in the server; its log says what. The request may be sent again."
        assert error(answer) == (500, "InternalError", message)
        assert client.get("/health").status_code == 200
    assert any("/secret/place" in str(record.exc_info) for record in caplog.records)


def test_openapi_documents_every_answer(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    model = "/v2/models/{model}"
    assert set(document["paths"]) == {
        *("/", "/predict", "/predict/batch", "/models", "/version", "/metrics"),
        *("/health", "/health/live", "/health/ready", "/v2", "/v2/health/live", "/v2/health/ready"),
        *("/v2/repository/index", "/v2/models/stats"),
        *(
            f"{model}{version}{end}"
            for version in ("", "/versions/{version}")
            for end in ("", "/ready", "/infer", "/config", "/stats")
        ),
    }
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["responses"]["200"]["content"], path
            assert operation["responses"]["200"]["description"]
    predict = document["paths"]["/predict"]["post"]
    assert set(predict["responses"]) == {
        *("200", "400", "401", "404", "406", "408", "413", "415", "422", "500", "501", "503")
    }
    assert set(predict["responses"]["200"]["content"]) == {spec.media_type for spec in FORMATS.values()}
    for status in {status for _, (status, _, _) in BAD.values()} | {500, 503}:
        content = predict["responses"][str(status)]["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
        assert set(content["example"]["error"]) == {"type", "message"}
    headers = post(client, "multipart").headers
    sometimes = {
        f"X-Vesselrt-{name}" for name in ("Warnings", "Levels", "Classes", "Fields-Of-View", "Frame", "Um-Per-Px")
    }
    missing = [name for name in predict["responses"]["200"]["headers"].keys() - sometimes if name not in headers]
    assert missing == []
    assert [p["schema"]["enum"] for p in predict["parameters"] if p["name"] == "format"] == [list(FORMATS)]


def test_openapi_examples_work(client: httpx.Client) -> None:
    predict = client.get("/openapi.json").json()["paths"]["/predict"]["post"]
    query = {parameter["name"]: parameter["example"] for parameter in predict["parameters"] if "example" in parameter}
    timeout = query.pop("X-Request-Timeout")
    assert query.keys() == {"threshold", "format", "colour", "opacity", "simplify"}
    answer = client.post("/predict", params=query, content=PHOTO, headers={"X-Request-Timeout": str(timeout)})
    assert answer.status_code == 200
    assert post(client, "multipart", **query).status_code == 200
    form = predict["requestBody"]["content"]["multipart/form-data"]["example"]
    del form["image"]
    assert client.post("/predict", data=form, files={"image": PHOTO}).status_code == 200
