"""The server over real HTTP on loopback, around a network that is one line of numpy."""

import asyncio
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
import uvicorn

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.errors import DeviceError, ModelNotFoundError, OptionError
from vesselrt.runtime.manifest import Input, Manifest, Preparation, Tile
from vesselrt.runtime.output.formats import FORMATS, OutputFormat, format_spec
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.application import create_app
from vesselrt.server.http.upload import safe_stem
from vesselrt.server.process import listen, serve
from vesselrt.server.settings import Settings
from vesselrt.server.work.models import Source

LIMIT = 50_000
MANIFEST = Manifest(
    name="test",
    version="1.2.3",
    licence="none",
    description="The red channel as probability",
    preparation=Preparation(field_of_view=96),
    input=Input(mean=(0, 0, 0), std=(1, 1, 1)),
    tile=Tile(size=64, multiple=16, margin=16),
    threshold=0.3,
)


def segmenter(function: Callable[[Image], Any] = identity) -> Segmenter:
    return Segmenter(MANIFEST, FakeBackend(function))


def png(image: Image) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def disc(height: int, width: int) -> Image:
    """A lit field of view with every grey level in it."""
    random = np.random.default_rng(7)
    image = random.integers(40, 256, (height, width, 3), np.uint8)
    inside = cv2.circle(
        np.zeros((height, width), np.uint8), (width // 2, height // 2), min(height, width) // 2 - 2, 1, -1
    )
    return np.where(inside[:, :, None], image, 0).astype(np.uint8)


PHOTO = png(disc(83, 97))


@contextmanager
def running(
    source: Source, settings: Settings | None = None, *, ready: bool = True, warm: bool = False
) -> Iterator[httpx.Client]:
    """A real uvicorn in a thread, and a client for it."""
    app = create_app(source, settings, warm=warm)
    server = uvicorn.Server(uvicorn.Config(app, http="h11", ws="none", log_config=None))
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        with httpx.Client(
            base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=10, trust_env=False
        ) as client:
            try:
                wait_until(lambda: server.started)
                if ready:
                    wait_until(lambda: client.get("/health/ready").status_code == 200)
                yield client
            finally:
                server.should_exit = True
                thread.join()


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not done():
        assert time.monotonic() < end, "waited for 10 s in vain"
        time.sleep(0.01)


@pytest.fixture(scope="module", autouse=True)
def _every_photograph_is_analysed() -> Iterator[None]:
    """These tests count what the network does with one photograph that is sent again and again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VESSELRT_MAPS_BYTES", "0")
        yield


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(segmenter(), Settings(max_bytes=LIMIT, max_pixels=100_000)) as client:
        yield client


def post(client: httpx.Client, way: str, photo: bytes = PHOTO, **query: Any) -> httpx.Response:
    if way == "multipart":
        return client.post("/predict", params=query, files={"image": ("photo.png", photo, "image/png")})
    return client.post("/predict", params=query, content=photo, headers={"Content-Type": way})


def error(answer: httpx.Response) -> dict[str, str]:
    """What an error answer says, less the request's name, which its header has too."""
    detail: dict[str, str] = answer.json()["error"]
    assert detail.pop("request_id") == answer.headers["x-request-id"]
    return detail


WAYS = ["multipart", "image/png", "application/octet-stream"]


# What comes back


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("threshold", [None, 0, 0.4, 128 / 255, 1])
def test_mask_is_the_librarys_mask(client: httpx.Client, way: str, threshold: float | None) -> None:
    query: dict[str, Any] = {} if threshold is None else {"threshold": threshold}
    answer = post(client, way, **query)
    assert answer.status_code == 200
    mask = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert mask is not None
    expected = segmenter().segment(PHOTO).mask(threshold)
    assert mask.tobytes() == (expected * np.uint8(255)).tobytes()
    assert mask.shape == expected.shape == (83, 97)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMATS)
def test_every_format_is_the_librarys_file(client: httpx.Client, way: str, form: OutputFormat) -> None:
    answer = post(client, way, format=form, threshold=0.6)
    expected = segmenter().segment(PHOTO).encode(form, 0.6)
    if form == "json":  # the server adds the model, the device and times
        document = answer.json()
        assert {name: document.pop(name) for name in ("device", "precision")} == {"device": "cpu", "precision": "f32"}
        assert document.pop("model") == {"name": "test", "version": "1.2.3"}
        assert list(document.pop("milliseconds")) == ["wait", "decode", "prepare", "infer", "finish"]
        assert document == json.loads(expected)
    else:
        assert answer.content == expected
    assert answer.headers["content-type"] == format_spec(form).media_type


def test_options_may_come_as_form_fields(client: httpx.Client) -> None:
    answer = client.post("/predict", data={"threshold": "0.6", "format": "svg"}, files={"image": PHOTO})
    assert answer.content == segmenter().segment(PHOTO).encode("svg", 0.6)


@pytest.mark.parametrize("form", ["svg", "geojson"])
def test_outlines_are_simplified_as_the_library_does(client: httpx.Client, form: OutputFormat) -> None:
    answer = post(client, "image/png", format=form, simplify=0.35)
    expected = segmenter().segment(PHOTO).encode(form, simplify=0.35)
    assert answer.content == expected
    assert expected != segmenter().segment(PHOTO).encode(form)


def test_headers_say_what_was_done(client: httpx.Client) -> None:
    headers = post(client, "multipart").headers
    assert headers["x-vesselrt-model"] == "test 1.2.3"
    assert headers["x-vesselrt-device"] == "cpu"
    assert headers["x-vesselrt-precision"] == "f32"
    assert headers["x-vesselrt-threshold"] == "0.3"
    assert headers["content-disposition"] == 'inline; filename="photo-mask.png"'
    stages = re.findall(r"(\w+);dur=\d+\.\d(?:, |$)", headers["server-timing"])
    assert stages == ["wait", "decode", "prepare", "infer", "finish", "encode", "total"]


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("left eye.jpg", "left_eye"),
        ("/home/anna/IMG.1.tif", "IMG.1"),
        ("C:\\fotos\\auge.png", "auge"),
        ("../../etc/passwd", "passwd"),
        ('a"; filename="b.exe\r\nSet-Cookie: x=1.png', "a_filename_b.exe_Set-Cookie_x_1"),
        ("眼.jpg", "photograph"),
        ("", "photograph"),
        ("x" * 500 + ".png", "x" * 80),
    ],
)
def test_file_name_is_made_safe(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


# What is refused

SEVERAL = "Several photographs go to /predict/batch."
HINT = "Send the photograph as multipart field 'image' (curl -F image=@photo.jpg)"
BLACK = (
    "the photograph is black: 95 % of its pixels are at or below 0 of 255. "
    "Send a photograph with a visible field of view."
)
KINDS = "JPEG, PNG, TIFF, BMP, WebP, GIF, PNM or AVIF"
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
        (422, "OptionError", "format is 'jpeg'. Expected one of: mask, probability, overlay, svg, geojson, json."),
    ),
    "misspelt option": (
        {"params": {"treshold": "0.4"}, "files": FILE},
        (
            422,
            "OptionError",
            "unknown option 'treshold'. Expected format, threshold, colour, opacity, simplify, scale or model.",
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
            f"the multipart body can't be used: Too many files. Maximum number of files is 1. {SEVERAL} {HINT}.",
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
            f"the multipart body can't be used: Too many fields. Maximum number of fields is 8. {HINT}.",
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
    assert error(answer) == {"type": kind, "message": message}
    assert answer.status_code == status
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
    assert error(answer) == {"type": kind, "message": message}
    assert answer.status_code == status
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
    assert answer.status_code == 422
    message = "query.number: Input should be a valid integer, unable to parse string as an integer"
    assert error(answer) == {"type": "RequestError", "message": message}


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
        assert answer.status_code == 500
        message = "Something went wrong in the server; its log says what. The request may be sent again."
        assert error(answer) == {"type": "InternalError", "message": message}
        assert client.get("/health").status_code == 200
    assert any("/secret/place" in str(record.exc_info) for record in caplog.records)


# Under load


class Gate:
    """A network that waits for a sign."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)

    def __call__(self, pixels: Image) -> Any:
        self.entered.release()
        assert self.open.wait(10)
        return identity(pixels)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def test_a_warm_model_is_ready_at_once_and_not_warmed_again() -> None:
    backend = FakeBackend()
    with running(Segmenter(MANIFEST, backend), ready=False, warm=True) as client:
        assert client.get("/health/ready").status_code == 200
        assert backend.shapes == []
        assert post(client, "multipart").status_code == 200


def test_queue_is_bounded_and_health_answers_meanwhile(gate: Gate) -> None:
    with running(segmenter(gate), Settings(queue=2)) as client, ThreadPoolExecutor(3) as pool:
        gate.open.clear()
        asked = [pool.submit(post, client, "multipart") for _ in range(3)]
        refused = ask_until_refused(client)
        message = "3 photographs are being worked on or waiting, and no more may. Try again in a moment."
        assert error(refused) == {"type": "BusyError", "message": message}
        assert refused.headers["retry-after"] == "1"

        start = time.perf_counter()
        for address in ("/health", "/health/live", "/health/ready", "/"):
            assert client.get(address).status_code == 200
        # The gate is shut: if health waited for inference it would wait for ever. 5 s is for a busy machine.
        assert time.perf_counter() - start < 5

        assert not any(future.done() for future in asked), "those that have a place keep it"
        gate.open.set()
        assert [future.result().status_code for future in asked] == [200, 200, 200]
        assert post(client, "multipart").status_code == 200
        waits = [re.search(r"wait;dur=([\d.]+)", future.result().headers["server-timing"]) for future in asked]
        assert max(float(wait[1]) for wait in waits if wait) > 1, "the time in the queue is told"


def ask_until_refused(client: httpx.Client) -> httpx.Response:
    """Asks until every place is taken. The question takes none itself: while one is free it is refused with 422."""
    answers: list[httpx.Response] = []

    def refused() -> bool:
        answers.append(client.post("/predict?threshold=abc", content=PHOTO))
        return answers[-1].status_code == 503

    wait_until(refused)
    return answers[-1]


def test_work_in_hand_is_finished_at_shutdown_and_the_model_closed(gate: Gate) -> None:
    backend = FakeBackend(gate)
    with ThreadPoolExecutor(1) as pool:
        with running(Segmenter(MANIFEST, backend)) as client:
            gate.open.clear()
            drain(gate)
            asked = pool.submit(httpx.post, f"{client.base_url}/predict", content=PHOTO, trust_env=False)
            assert gate.entered.acquire(timeout=10)
            threading.Timer(0.3, gate.open.set).start()
        assert asked.result().status_code == 200
    assert backend.closed


def drain(gate: Gate) -> None:
    while gate.entered.acquire(blocking=False):
        pass


# Health


def test_health_when_ready(client: httpx.Client) -> None:
    expected = {
        "status": "ready",
        "live": True,
        "ready": True,
        "version": version("vesselrt"),
        "model": "test",
        "model_version": "1.2.3",
        "device": "cpu",
        "device_name": "nothing",
        "precision": "f32",
        "backend": "fake 0",
    }
    assert client.get("/health").json() == client.get("/health/ready").json() == expected
    assert client.get("/health/live").json() == {"status": "live"}


def test_not_ready_until_loaded_and_warm() -> None:
    load = threading.Event()

    def loader() -> Segmenter:
        assert load.wait(10)
        return segmenter()

    with running(loader, ready=False) as client:
        try:
            assert client.get("/health/live").status_code == 200
            detail = {
                "type": "NotReadyError",
                "message": "The model is being loaded and warmed up. Try again in a moment.",
            }
            for address in ("/health", "/health/ready"):
                answer = client.get(address)
                assert answer.status_code == 503
                assert answer.headers["retry-after"] == "1"
                assert answer.json()["error"] == detail
                assert (answer.json()["status"], answer.json()["ready"]) == ("starting", False)
            answer = post(client, "multipart")
            assert (answer.status_code, error(answer)) == (503, detail)
        finally:
            load.set()
        wait_until(lambda: client.get("/health").status_code == 200)
        assert post(client, "multipart").status_code == 200


def test_model_that_can_not_be_loaded(caplog: pytest.LogCaptureFixture) -> None:
    def loader() -> Segmenter:
        raise ModelNotFoundError("/secret/model.onnx")

    with running(loader, ready=False) as client:
        wait_until(lambda: client.get("/health").json()["status"] == "failed")
        expected = {
            "type": "NotReadyError",
            "message": "The model could not be loaded or run; the server's log says why.",
        }
        answer = client.get("/health/live")
        assert (answer.status_code, error(answer)) == (503, expected)
        assert client.get("/health").json()["live"] is False
        assert error(post(client, "multipart")) == expected
    assert "the model could not be loaded or run" in caplog.messages


def test_a_device_that_fails_at_work_fails_health(caplog: pytest.LogCaptureFixture) -> None:
    failed = False

    def network(pixels: Image) -> Any:
        if failed:
            raise DeviceError("The RTX 2080 Ti failed: an illegal memory access.")
        return identity(pixels)

    with running(segmenter(network)) as client:
        assert post(client, "multipart").status_code == 200
        failed = True
        assert post(client, "multipart").status_code == 500
        report = client.get("/health")
        assert (report.status_code, report.json()["status"], report.json()["live"]) == (503, "failed", False)
        assert client.get("/health/live").status_code == 503
        assert post(client, "multipart").status_code == 503
    assert caplog.messages.count("test does not run any more: The RTX 2080 Ti failed: an illegal memory access.") == 1


# What is written about it


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
    assert set(predict["responses"]) == {*("200", "400", "401", "404", "406", "408", "413", "415", "422", "500", "503")}
    assert set(predict["responses"]["200"]["content"]) == {spec.media_type for spec in FORMATS.values()}
    for status in {status for _, (status, _, _) in BAD.values()} | {500, 503}:
        content = predict["responses"][str(status)]["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
        assert set(content["example"]["error"]) == {"type", "message"}
    headers = post(client, "multipart").headers
    sometimes = {"X-Vesselrt-Warnings", "X-Vesselrt-Levels"}
    assert all(name in headers for name in predict["responses"]["200"]["headers"].keys() - sometimes)
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


# The process


def test_importing_the_package_loads_no_web_framework() -> None:
    code = "import sys, vesselrt.server; sys.exit(bool({'fastapi', 'starlette', 'uvicorn'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_port_in_use_is_one_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as stopped:
            serve(Settings(port=port), segmenter())
    # Python prints a text and exits with status 1.
    expected = f"Port {port} of 127.0.0.1 is in use. Stop what is using it, or choose another with --port."
    assert stopped.value.code == expected


def test_answers_are_not_held_back_for_40_ms() -> None:
    with listen("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP, "asyncio sets TCP_NODELAY on such sockets only"


def test_address_that_is_none_is_one_message() -> None:
    with pytest.raises(SystemExit, match=r"^Can't listen on 192\.0\.2\.1, port 0: .*\. Check --host and --port\.$"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize(("field", "value"), [("port", 70000), ("port", -1), ("queue", -1), ("in_flight", 0)])
def test_settings_out_of_range(field: str, value: int) -> None:
    with pytest.raises(OptionError, match=f"^{field} is {value}. Expected "):
        Settings(**{field: value})


def test_only_the_wanted_formats_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESSELRT_FORMATS", "jpeg, tiff")
    with running(segmenter(), Settings()) as client:
        answer = post(client, "image/png")
        assert answer.status_code == 415
        assert error(answer)["message"] == "the file is PNG. Send one of: JPEG, TIFF."
        assert post(client, "image/png", cv2.imencode(".jpg", disc(64, 64))[1].tobytes()).status_code == 200
    monkeypatch.setenv("VESSELRT_FORMATS", "jpeg,dicom")
    with pytest.raises(OptionError, match=r"^formats.1 is 'dicom'. Expected 'jpeg', 'png', 'tiff', 'bmp', 'webp', "):
        Settings()


@pytest.mark.parametrize("address", ["/", "/health", "/health/live", "/metrics", "/models"])
def test_head_is_get_without_the_body(client: httpx.Client, address: str) -> None:
    got, head = client.get(address), client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert client.head("/predict").status_code == 405


SERVE = """
import json, sys
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server import Settings, serve
serve(Settings(port=0), Segmenter(Manifest.from_json(sys.argv[1], source="test"), FakeBackend()))
"""


@pytest.mark.parametrize(("sign", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_serve_prints_where_and_what_and_stops_in_order(tmp_path: Path, sign: signal.Signals, status: int) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VESSELRT_")}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, MANIFEST.to_json()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**environment, "VESSELRT_API_KY": "mistyped"},
    )
    try:
        assert process.stdout is not None
        lines = list(iter(process.stdout.readline, "  ignored VESSELRT_API_KY: there is no such setting\n"))
        address = re.fullmatch(r"vesselrt  (http://127\.0\.0\.1:\d+)  \(stop with Ctrl\+C\)\n", lines[0])
        assert address
        assert lines[1] == "  model   test 1.2.3\n"
        assert lines[2] == "  device  cpu (nothing, 1 threads), f32, fake 0\n"
        assert re.fullmatch(r"  warm    \d+ ms for one photograph\n", lines[3])
        assert lines[4] == "  set     port = 0\n"
        assert lines[5].startswith("  default host = '127.0.0.1', admin_port = None, ")
        with httpx.Client(base_url=address[1], timeout=10, trust_env=False) as client:
            wait_until(lambda: client.get("/health").status_code == 200)
            assert json.loads(client.get("/health").text)["model"] == "test"
            assert post(client, "multipart").content == segmenter().segment(PHOTO).encode("mask")
        process.send_signal(sign)
        assert process.communicate(timeout=10) == ("", "")
        assert process.returncode == status
    finally:
        process.kill()
        process.wait()
