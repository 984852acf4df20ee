"""The server as an operator runs it: keys, limits, deadlines, several models, batches, figures."""

import asyncio
import base64
import gc
import gzip
import io
import json
import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
import warnings
import weakref
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pycocotools.mask
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

import vesselrt
from vesselrt.client import _seconds_to_wait
from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.errors import ImageDecodeError, ImageNotFoundError, ModelNotFoundError, OptionError, VesselrtError
from vesselrt.runtime.manifest import Input, Manifest, Preparation, Tile
from vesselrt.runtime.output.formats import FORMATS, OutputFormat, format_spec
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.accept import coding_from
from vesselrt.server.http.application import create_app
from vesselrt.server.http.options import Options
from vesselrt.server.http.protocol import Protocol
from vesselrt.server.http.upload import Upload
from vesselrt.server.metrics import Metrics
from vesselrt.server.process import listen
from vesselrt.server.settings import Settings
from vesselrt.server.v2 import reply
from vesselrt.server.work.batch import run as items
from vesselrt.server.work.budget import Budget, Share
from vesselrt.server.work.jobs import Answer, Pixels, Work
from vesselrt.server.work.models import Model, Source, from_settings
from vesselrt.server.work.service import Service

KEY = "0123456789abcdef"
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


def segmenter(function: Callable[[Image], Any] = identity, name: str = "test", version: str = "1.2.3") -> Segmenter:
    return Segmenter(MANIFEST.model_copy(update={"name": name, "version": version}), FakeBackend(function))


def picture(height: int = 83, width: int = 97, seed: int = 7) -> Image:
    """A lit field of view with every grey level in it."""
    image = np.random.default_rng(seed).integers(40, 256, (height, width, 3), np.uint8)
    disc = cv2.circle(
        np.zeros((height, width), np.uint8), (width // 2, height // 2), min(height, width) // 2 - 2, 1, -1
    )
    return np.where(disc[:, :, None], image, 0).astype(np.uint8)


def png(image: Image) -> bytes:
    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()


PHOTO = png(picture())


@contextmanager
def running(source: Any, settings: Settings | None = None) -> Iterator[httpx.Client]:
    """A real server in a thread, spoken to as `vesselrt serve` does it, and a client for it."""
    settings = settings or Settings()
    app = create_app(source, settings)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=partial(Protocol, settings=settings),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            timeout_graceful_shutdown=round(settings.drain),
        )
    )
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=20, trust_env=False) as client:
            try:
                wait_until(lambda: server.started and client.get("/health/ready").status_code == 200)
                yield client
            finally:
                server.should_exit = True
                thread.join()


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end, "waited for 20 s in vain"
        time.sleep(0.01)


@pytest.fixture(scope="module", autouse=True)
def _every_photograph_is_analysed() -> Iterator[None]:
    """These tests count what the network does with one photograph that is sent again and again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VESSELRT_MAPS_BYTES", "0")
        yield


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(segmenter(), Settings(max_batch=3, max_batch_bytes=200_000)) as client:
        yield client


def error(answer: httpx.Response) -> tuple[int, str, str]:
    detail = answer.json()["error"]
    assert detail["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, detail["type"], detail["message"]


# What every answer has


@pytest.mark.parametrize("address", ["/predict", "/health", "/nowhere", "/v2", "/metrics", "/openapi.json"])
def test_every_answer_has_a_name_times_and_security_headers(client: httpx.Client, address: str) -> None:
    headers = client.get(address).headers
    assert re.fullmatch(r"[0-9a-f]{16}", headers["x-request-id"])
    assert re.fullmatch(r"total;dur=\d+\.\d", headers["server-timing"])
    expected = {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    }
    assert {name: headers[name] for name in expected} == expected
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("a-b.c_1", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("é", False), ("", False)],
)
def test_a_sane_request_id_is_taken_over(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, sent: str, kept: bool
) -> None:
    with caplog.at_level(logging.INFO, "vesselrt.server"):
        answer = client.get("/nowhere", headers=[(b"X-Request-ID", sent.encode())])
        name = answer.headers["x-request-id"]
        line = re.compile(rf"127\.0\.0\.1 GET /nowhere 404 [\d.]+ ms {re.escape(name)}")
        wait_until(lambda: any(map(line.fullmatch, caplog.messages)))
    assert error(answer)[0] == 404
    assert (answer.headers["x-request-id"] == sent) == kept


def test_an_address_can_not_write_lines_of_its_own_into_the_log(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "vesselrt.server"):
        client.get("/a%0Ab")
        wait_until(lambda: any("/a%0Ab" in message for message in caplog.messages))
    assert not [m for m in caplog.messages if "\n" in m]


# Keys and other sites


@pytest.fixture(scope="module")
def guarded() -> Iterator[httpx.Client]:
    settings = Settings(api_key=KEY, cors_origins=["https://pacs.example"])
    with running(segmenter(), settings) as client:
        yield client


@pytest.mark.parametrize("address", ["/", "/health", "/health/live", "/health/ready", "/v2/health/live"])
def test_health_and_page_need_no_key(guarded: httpx.Client, address: str) -> None:
    assert guarded.get(address).status_code == 200


@pytest.mark.parametrize(
    "address",
    ["/models", "/version", "/metrics", "/openapi.json", "/nowhere", "/healthy", "/v2", "/health/../models"],
)
def test_everything_else_needs_it(guarded: httpx.Client, address: str) -> None:
    assert guarded.get(address).status_code == 401


@pytest.mark.parametrize(
    ("headers", "admitted"),
    [
        ({"X-API-Key": KEY}, True),
        ({"Authorization": f"Bearer {KEY}"}, True),
        ({"Authorization": f"bearer {KEY}"}, True),
        ({}, False),
        ({"X-API-Key": ""}, False),
        ({"X-API-Key": KEY[:-1]}, False),
        ({"X-API-Key": KEY + "0"}, False),
        ({"X-API-Key": "é".encode("latin-1")}, False),
        ({"Authorization": f"Basic {KEY}"}, False),
        ({"Authorization": KEY}, False),
    ],
)
def test_the_key_admits_and_nothing_else(guarded: httpx.Client, headers: dict[str, Any], admitted: bool) -> None:
    answer = guarded.post("/predict", content=PHOTO, headers=headers)
    assert answer.status_code == (200 if admitted else 401)
    if not admitted:
        another = "another" if headers.get("X-API-Key") else "an"
        message = f"{another} API key is needed. Send it as X-API-Key, or as Authorization: Bearer."
        assert error(answer) == (401, "RequestError", message)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert KEY not in answer.text


def test_only_named_sites_may_call(guarded: httpx.Client) -> None:
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    named = guarded.options("/predict", headers={"Origin": "https://pacs.example", **ask})
    assert (named.status_code, named.headers["access-control-allow-origin"]) == (200, "https://pacs.example")
    other = guarded.options("/predict", headers={"Origin": "https://evil.example", **ask})
    assert (other.status_code, "access-control-allow-origin" in other.headers) == (400, False)


# Formats


def test_json_holds_the_mask_and_its_figures(client: httpx.Client) -> None:
    document = client.post("/predict?format=json&threshold=0.6", content=PHOTO).json()
    mask = segmenter().segment(PHOTO).mask(0.6)
    counts = document["mask"]["counts"].encode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools' own, of numpy 2
        decoded = pycocotools.mask.decode({"size": document["mask"]["size"], "counts": counts})
    assert (decoded.astype(bool) == mask).all()
    statistics = document["statistics"]
    assert statistics["vessel_pixels"] == mask.sum()
    assert statistics["vessel_parts"] == cv2.connectedComponents(mask.astype(np.uint8))[0] - 1
    disc = picture().any(axis=2)
    assert statistics["field_of_view_pixels"] == pytest.approx(disc.sum(), rel=0.02)
    assert statistics["vessel_density"] == pytest.approx(mask.sum() / disc.sum(), rel=0.02)
    assert document["milliseconds"].keys() == {"wait", "decode", "prepare", "infer", "finish"}


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("image/svg+xml", "image/svg+xml"),
        ("application/geo+json", "application/geo+json"),
        ("application/json", "application/json"),
        ("application/json;q=0.5, image/svg+xml", "image/svg+xml"),
        ("video/mp4, application/json;q=0.1", "application/json"),
        ("image/png;q=0, application/json;q=0.2", "application/json"),
        ("Image/SVG+XML ; q=1.0", "image/svg+xml"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "image/png"),
        (";;;q=2,,", "image/png"),
    ],
)
def test_accept_chooses_the_format(client: httpx.Client, accept: str, media: str) -> None:
    answer = client.post("/predict", content=PHOTO, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media)
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    named = client.post("/predict?format=geojson", content=PHOTO, headers={"Accept": accept})
    assert named.headers["content-type"] == "application/geo+json", "what is asked for by name counts"


def test_what_is_not_to_be_had_is_not_acceptable(client: httpx.Client) -> None:
    answer = client.post("/predict", content=PHOTO, headers={"Accept": "video/mp4"})
    offered = "image/png, image/svg+xml, application/geo+json, application/json"
    message = f"nothing in Accept: video/mp4 is to be had. Accept one of: {offered}."
    assert error(answer) == (406, "RequestError", message)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("coding", ["gzip", "zstd", "br;q=1, gzip;q=0.5", "gzip;q=0", "identity", ""])
def test_text_is_compressed_for_who_asks(client: httpx.Client, form: str, coding: str) -> None:
    address, headers = f"/predict?format={form}", {"Accept-Encoding": coding}
    with client.stream("POST", address, content=PHOTO, headers=headers) as answer:
        raw = b"".join(answer.iter_raw())
    text = format_spec(form).media_type != "image/png"
    wanted = "gzip" if text and coding.endswith(("gzip", "q=0.5")) else None
    if coding == "zstd" and text and coding_from("zstd"):
        assert answer.headers["content-encoding"] == "zstd"
        return
    assert answer.headers.get("content-encoding") == wanted
    body = gzip.decompress(raw) if wanted else raw
    if form != "json":
        assert body == segmenter().segment(PHOTO).encode(form)  # type: ignore[arg-type]
    assert not wanted or len(raw) < len(body)


def test_json_of_v2_is_compressed_for_who_asks(client: httpx.Client) -> None:
    plain = client.post("/v2/models/test/infer", json={"inputs": [FILE]}, headers={"Accept-Encoding": "identity"})
    packed = client.post("/v2/models/test/infer", json={"inputs": [FILE]}, headers={"Accept-Encoding": "gzip"})
    assert (packed.headers["content-encoding"], packed.json()) == ("gzip", plain.json())


def test_packed_bodies_of_v2_are_bounded() -> None:
    with running(segmenter(), Settings(max_bytes=1_000_000)) as client:
        for packed, status in ((gzip.compress(bytes(2_000_000)), 413), (gzip.compress(b"{")[:-9], 400), (b"{", 400)):
            answer = client.post("/v2/models/test/infer", content=packed, headers={"Content-Encoding": "gzip"})
            assert answer.status_code == status, answer.text
        answer = client.post("/v2/models/test/infer", content=b"{", headers={"Content-Encoding": "br"})
        assert (answer.status_code, answer.json()["error"]) == (
            415, "the body is 'br'. Send it as it is, or in gzip or deflate.",
        )  # fmt: skip
        assert figure(client, "vesselrt_held_bytes") == 0


# Batches

PHOTOS = [png(picture(seed=seed)) for seed in range(2)]


def batch(client: httpx.Client, photos: list[bytes], accept: str = "*/*", **query: str) -> httpx.Response:
    files = [("image", (f"eye {n}.png", photo)) for n, photo in enumerate(photos)]
    return client.post("/predict/batch", params=query, files=files, headers={"Accept": accept})


def test_batch_is_a_zip_of_the_librarys_files(client: httpx.Client) -> None:
    answer = batch(client, [*PHOTOS, b"no photograph"], format="svg")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    failed = json.loads(files.pop("002-eye_2-error.json"))
    message = "not an image: it begins with b'no photo'. Send a JPEG, PNG, TIFF, BMP, WebP, GIF, PNM or AVIF file."
    expected = {"number": 2, "name": "eye_2", "status": 415, "error": {"type": "ImageDecodeError", "message": message}}
    assert failed == expected
    assert files == {f"00{n}-eye_{n}-svg.svg": segmenter().segment(p).encode("svg") for n, p in enumerate(PHOTOS)}


@pytest.mark.parametrize("form", ["mask", "geojson"])
def test_batch_as_lines_of_json(client: httpx.Client, form: OutputFormat) -> None:
    answer = batch(client, [*PHOTOS, b""[:0] + b"x"], "application/x-ndjson", format=form)
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = sorted(map(json.loads, answer.text.splitlines()), key=lambda line: line["number"])
    assert [line["status"] for line in lines] == [200, 200, 415]
    for line, photo in zip(lines, PHOTOS, strict=False):
        file = segmenter().segment(photo).encode(form)
        assert line["content"] == (json.loads(file) if form == "geojson" else base64.b64encode(file).decode())
        assert line["media_type"] == format_spec(form).media_type
        assert list(line["milliseconds"]) == ["wait", "decode", "prepare", "infer", "finish", "encode"]


def test_a_batch_that_nobody_reads_does_not_go_on() -> None:
    gate = Gate()

    async def slowly() -> list[int]:
        calls = []
        service = Service([Model("test", segmenter(gate), warm=True)], Settings(), Metrics())
        await asyncio.wrap_future(service.start())
        sent = Upload([(f"eye {n}", PHOTO) for n in range(8)], Options())
        async for _ in items(service, sent, None, Share(Budget())):
            calls.append(gate.calls)
            await asyncio.sleep(0.2)
        await service.stop()
        return calls

    calls = asyncio.run(slowly())
    windows = calls[-1] // 8
    assert calls == sorted(calls)
    assert all(count <= (number + 2) * windows for number, count in enumerate(calls)), "one ahead, and no more"


def test_a_batch_holds_no_place_while_its_client_reads() -> None:
    async def read() -> list[int]:
        service = Service([Model("test", segmenter(), warm=True)], Settings(queue=0), Metrics())
        await asyncio.wrap_future(service.start())
        sent = Upload([(f"eye {n}", PHOTO) for n in range(3)], Options())
        taken = []
        async for item in items(service, sent, None, Share(Budget())):
            assert isinstance(item.outcome, Answer)
            await asyncio.sleep(0.3)
            taken.append(service._taken)
            await service.run(Work(PHOTO, lambda *_: [], 1))  # another one has its turn
        await service.stop()
        return taken

    assert asyncio.run(read()) == [0, 0, 0]


def test_a_timeout_is_of_the_whole_batch() -> None:
    def slowly(pixels: Image) -> Any:
        time.sleep(0.05)
        return identity(pixels)

    with running(segmenter(slowly), Settings(maps_bytes=0)) as client:
        files = [("image", PHOTO)] * 12
        accept = {"Accept": "application/x-ndjson", "X-Request-Timeout": "1"}
        started = time.monotonic()
        lines = client.post("/predict/batch", files=files, headers=accept).text.splitlines()
        assert time.monotonic() - started < 2
        statuses = [json.loads(line)["status"] for line in lines]
        assert statuses[0] == 200
        assert statuses[-1] == 503
        assert json.loads(lines[-1])["error"]["message"] == (
            "the batch's 1 s were over. Send fewer photographs, or allow more time."
        )


def test_batch_has_limits(client: httpx.Client) -> None:
    assert (
        batch(client, PHOTOS * 2)
        .json()["error"]["message"]
        .startswith("the multipart body can't be used: Too many files. Maximum number of files is 3.")
    )
    assert batch(client, [bytes(200_000)]).status_code == 413


def test_batch_is_streamed_and_holds_one_place() -> None:
    gate = threading.Semaphore(0)
    calls: list[int] = []

    def function(pixels: Image) -> Any:
        calls.append(1)
        if armed:
            assert gate.acquire(timeout=20)
        return identity(pixels)

    armed = False
    with running(segmenter(function), Settings(queue=1, maps_bytes=0)) as client:
        before = len(calls)
        client.post("/predict", content=PHOTOS[0]).raise_for_status()
        windows, armed = len(calls) - before, True
        files = [("image", photo) for photo in (PHOTOS[0], PHOTOS[0])]
        address, accept = "/predict/batch", {"Accept": "application/x-ndjson"}
        gate.release(windows)
        with client.stream("POST", address, files=files, headers=accept) as answer:
            lines = answer.iter_lines()
            assert json.loads(next(lines))["number"] == 0, "the first is here while the second waits"
            metrics = httpx.get(f"{client.base_url}/metrics", trust_env=False).text
            assert "vesselrt_places_taken 1.0" in metrics
            gate.release(windows)
            assert json.loads(next(lines))["number"] == 1
        assert "vesselrt_places_taken 0.0" in client.get("/metrics").text


# Deadlines, clients that leave, memory


class Gate:
    """A network that waits for a sign."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)
        self.calls = 0

    def __call__(self, pixels: Image) -> Any:
        self.calls += 1
        self.entered.release()
        assert self.open.wait(20)
        return identity(pixels)

    def shut(self) -> None:
        self.open.clear()
        while self.entered.acquire(blocking=False):
            pass


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def figure(client: httpx.Client, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(client.get("/metrics", headers={"Accept": "text/plain"}).text)
    return sum(s.value for f in families for s in f.samples if s.name == name and labels.items() <= s.labels.items())


def test_a_deadline_ends_waiting_and_drops_what_has_not_begun(gate: Gate) -> None:
    with running(segmenter(gate), Settings(deadline=0.5)) as client, ThreadPoolExecutor(1) as pool:
        gate.shut()
        first = pool.submit(client.post, "/predict", content=PHOTO)
        assert gate.entered.acquire(timeout=20)
        calls = gate.calls
        answer = client.post("/predict", content=PHOTO, headers={"X-Request-Timeout": "0.1"})
        message = "no answer within 0.1 s, the deadline. Try again in a moment, or allow more time."
        assert error(answer) == (503, "DeadlineError", message)
        assert answer.headers["retry-after"] == "1"
        assert error(first.result())[1] == "DeadlineError", "the setting's own"
        gate.open.set()
        wait_until(lambda: figure(client, "vesselrt_places_taken") == 0)
        assert gate.calls == calls + 3, "of the first its other windows were run, of the second none"
        assert figure(client, "vesselrt_dropped_total", reason="deadline") == 2
        assert client.post("/predict", content=PHOTO).status_code == 200


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "soon", ""])
def test_a_timeout_that_is_none(client: httpx.Client, text: str) -> None:
    answer = client.post("/predict", content=PHOTO, headers={"X-Request-Timeout": text})
    assert error(answer) == (422, "OptionError", f"X-Request-Timeout is {text!r}. Expected seconds, such as 2.5.")


def test_who_leaves_is_forgotten(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    with running(segmenter(gate)) as client, ThreadPoolExecutor(1) as pool:
        gate.shut()
        first = pool.submit(client.post, "/predict", content=PHOTO)
        assert gate.entered.acquire(timeout=20)
        calls = gate.calls
        with caplog.at_level(logging.WARNING):
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PHOTO)}\r\n\r\n"
            with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as leaver:
                leaver.sendall(head.encode() + PHOTO)
                wait_until(lambda: figure(client, "vesselrt_places_taken") == 2)
            wait_until(lambda: figure(client, "vesselrt_places_taken") == 1)
        gate.open.set()
        assert first.result().status_code == 200
        assert gate.calls == calls + 3, "nothing was run for who left"
        assert figure(client, "vesselrt_dropped_total", reason="left") == 1
        assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_what_waits_is_let_go_when_its_client_leaves(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    async def leave() -> int:
        service = Service([Model("test", segmenter(gate), warm=True)], Settings(), Metrics())
        await asyncio.wrap_future(service.start())
        gate.shut()

        def ask() -> "tuple[asyncio.Task[Any], weakref.ref[Any]]":
            pixels = partial(picture, 83)  # an object that is held by nobody else
            work = Work(Pixels(83 * 97, pixels), lambda *_: [], 1)
            return asyncio.create_task(service.run(work)), weakref.ref(pixels)

        first, _ = ask()
        await asyncio.to_thread(gate.entered.acquire)
        asked = [ask() for _ in range(5)]
        await asyncio.sleep(0)
        for task, _ in asked:
            task.cancel()
        await asyncio.wait([task for task, _ in asked])
        photographs = [photograph for _, photograph in asked]
        del asked, task
        gc.collect()
        kept = sum(photograph() is not None for photograph in photographs)
        first.cancel()  # while it is worked on
        gate.open.set()
        await service.stop()
        gc.collect()
        return kept

    assert asyncio.run(leave()) == 0
    assert caplog.records == [], "that the answer comes too late is no fault of the server"


def test_what_the_drain_does_not_finish_is_told_to_come_again(gate: Gate) -> None:
    with ThreadPoolExecutor(1) as pool:
        with running(segmenter(gate), Settings(drain=1)) as client:
            gate.shut()
            asked = pool.submit(httpx.post, f"{client.base_url}/predict", content=PHOTO, timeout=20, trust_env=False)
            assert gate.entered.acquire(timeout=20)
            threading.Timer(3, gate.open.set).start()  # the thread itself can't be stopped
        answer = asked.result()
        assert error(answer)[:2] == (503, "NotReadyError")
        assert answer.headers["retry-after"] == "1"


def test_uploads_share_one_memory() -> None:
    settings = Settings(max_memory=200_000, max_bytes=150_000)
    with running(segmenter(), settings) as client:
        address = (client.base_url.host, client.base_url.port or 0)
        head = "POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 150000\r\n\r\n"
        with socket.create_connection(address, timeout=20) as slow:
            slow.sendall(head.encode() + bytes(140_000))
            wait_until(lambda: figure(client, "vesselrt_held_bytes") == 140_000)
            answer = client.post("/predict", content=bytes(100_000))
            message = (
                "requests hold 140,000 of 200,000 bytes of memory, and this takes 100,000 more. Try again in a moment."
            )
            assert error(answer) == (503, "BusyError", message)
        wait_until(lambda: figure(client, "vesselrt_held_bytes") == 0)
        assert client.post("/predict", content=PHOTO).status_code == 200


# Slow clients and what is no HTTP


def converse(client: httpx.Client, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Sends the pieces, reads until the server closes."""
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=20) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except OSError:
                break
            time.sleep(pause)
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


def parsed(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["message"]


def test_slow_heads_and_bodies_are_told_and_cut_off() -> None:
    settings = Settings(header_timeout=0.3, body_timeout=0.3)
    with running(segmenter(), settings) as client:
        assert converse(client) == b"", "who sends nothing gets nothing"
        slow = converse(client, b"GET / HT", b"TP/1.1\r\n", b"Host: x\r\n", b"A: b\r\n", pause=0.12)
        assert parsed(slow) == (408, "the head of the request did not come within 0.3 s.")
        answer = converse(client, b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n", b"abc")
        assert parsed(answer) == (408, "the body did not come within 0.3 s. Send it faster, or less of it.")
        second = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\n"
        assert b" 408 " in converse(client, *second, pause=0.05), "of the second request on a connection too"
        assert client.post("/predict", content=PHOTO).status_code == 200


CHUNKED = b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_very_many_very_small_chunks_are_refused(client: httpx.Client) -> None:
    small = b"1\r\na\r\n" * 20_000
    reason = "not a request in HTTP/1.1: the body comes in chunks of less than 256 bytes. Send a well-formed one."
    assert parsed(converse(client, CHUNKED % b"/predict" + small)) == (400, reason)
    answer = converse(client, CHUNKED % b"/nothing", small, pause=0.1)
    assert answer.startswith(b"HTTP/1.1 404"), "answered before its body, of which no more is read"
    # Small ones beside large ones, and a few small ones, are fine.
    pieces = [PHOTO[i : i + 20] for i in range(0, len(PHOTO), 20)][:900]
    rest = PHOTO[20 * len(pieces) :]
    mixed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, rest] if piece)
    last = b"0\r\n\r\nGET / HT"
    assert converse(client, CHUNKED % b"/predict" + mixed + last, pause=0.1).startswith(b"HTTP/1.1 200")


def test_a_body_that_was_answered_before_its_end_comes_to_its_end() -> None:
    with running(segmenter(), Settings(body_timeout=0.3, header_timeout=0.3)) as client:
        started = time.monotonic()
        answer = converse(client, CHUNKED % b"/nothing", b"1\r\na", pause=0.1)
        assert answer.startswith(b"HTTP/1.1 404")
        assert time.monotonic() - started < 3, "uvicorn itself would wait for ever"


def test_who_reads_slowly_is_served_and_who_takes_no_share_of_the_answer_is_not() -> None:
    noise = png(picture(1800, 1800))
    with running(segmenter(), Settings(write_timeout=2)) as client:
        expected = client.post("/predict?format=overlay", content=noise).content

        def ask(share: int, pause: float) -> bytes:
            """Reads the answer in so many shares, with a pause before each."""
            with socket.socket() as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
                connection.settimeout(20)
                connection.connect((client.base_url.host, client.base_url.port or 0))
                head = f"POST /predict?format=overlay HTTP/1.1\r\nHost: x\r\nContent-Length: {len(noise)}\r\n\r\n"
                connection.sendall(head.encode() + noise)
                answer = b""
                with suppress(ConnectionResetError):
                    for number in range(1, share + 1):
                        time.sleep(pause)
                        while len(answer) < number * len(expected) / share and (piece := connection.recv(16 * 1024)):
                            answer += piece
                    answer += connection.recv(16 * 1024)
                return answer

        assert ask(8, 0.4).endswith(expected), "in longer than 2 s"
        assert len(ask(100, 0.1)) < len(expected), "more than 64 KiB a second, and no quarter of it in 2 s"
        assert figure(client, "vesselrt_held_bytes") == 0


def test_connections_are_bounded() -> None:
    with running(segmenter(), Settings(max_connections=2)) as client:
        client.close()
        with httpx.Client(base_url=client.base_url, trust_env=False) as own:
            wait_until(lambda: own.get("/health").status_code == 200)
            address = (own.base_url.host, own.base_url.port or 0)
            with socket.create_connection(address, timeout=20) as other:
                other.sendall(b"GET ")
                time.sleep(0.1)
                message = "2 connections are open, and no more may. Try again in a moment."
                assert parsed(converse(own)) == (503, message)
            assert own.get("/health").status_code == 200


HTTP: dict[str, tuple[bytes, int, str]] = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, "illegal request line"),
    "no version": (b"GET /\r\n\r\n", 400, "illegal request line"),
    "header without a colon": (b"GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n", 400, "illegal header line"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400, "Missing mandatory Host: header"),
    "two lengths": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        400,
        "conflicting Content-Length headers",
    ),
    "length that is none": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "bad Content-Length",
    ),
    "giant length": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 25 + b"\r\n\r\n", 400, "bad Content-Length",
    ),
    "chunk that is none": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "illegal chunk header",
    ),
    "unknown transfer": (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        400,
        "Only Transfer-Encoding: chunked is supported",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HTTP)
def test_what_is_no_http_gets_json_too(client: httpx.Client, case: str) -> None:
    sent, status, reason = HTTP[case]
    found, message = parsed(converse(client, sent))
    assert (found, message) == (status, f"not a request in HTTP/1.1: {reason}. Send a well-formed one.")


GET = b"GET /health/live HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        b"A" * 20_000,
        GET + b"A: " + b"b" * 20_000,
        GET + b"A: " + b"b" * 20_000 + b"\r\n\r\n",
        GET + b"A: b\r\n" * 3000 + b"\n",
    ],
    ids=["no head", "without an end", "whole", "many fields"],
)
def test_giant_heads_are_refused(client: httpx.Client, sent: bytes) -> None:
    message = "the head of the request has more than 16,384 bytes. Send fewer or shorter headers."
    answer = converse(client, sent)
    assert parsed(answer) == (431, message)
    fields = dict(line.split(b": ", 1) for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:])
    assert fields[b"x-content-type-options"] == b"nosniff"
    assert fields[b"x-request-id"].decode() in answer.decode().partition("\r\n\r\n")[2]


def test_a_head_up_to_the_limit_may_come_with_a_body_beyond(client: httpx.Client) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nConnection: close\r\n"
    head += b"Content-Length: 40000\r\nA: "
    head += b"a" * (16_384 - len(head) - 2) + b"\r\n\r\n"
    assert parsed(converse(client, head + bytes(40_000)))[0] == 415


# Figures


def test_figures_count(client: httpx.Client) -> None:
    before = figure(client, "vesselrt_requests_total", route="/predict", status="200")
    client.post("/predict", content=PHOTO)
    client.request("BREW", "/one")
    assert figure(client, "vesselrt_requests_total", route="/predict", status="200") == before + 1
    assert figure(client, "vesselrt_requests_total", route="other", method="other") >= 1, "labels are bounded"
    stages = ("wait", "decode", "prepare", "infer", "finish", "encode")
    assert all(figure(client, "vesselrt_stage_seconds_count", model="test", stage=s) >= before + 1 for s in stages)
    assert figure(client, "process_resident_memory_bytes") > 1e6


def test_version_names_what_answers(client: httpx.Client) -> None:
    answer = client.get("/version").json()
    assert answer["libraries"]["numpy"] == np.__version__
    assert answer.keys() == {"vesselrt", "python", "libraries"}


# Several models


def test_several_models_side_by_side() -> None:
    models = [
        Model("one", lambda: segmenter(version="1")),
        Model("two", lambda: segmenter(lambda p: 1 - identity(p), version="2")),
    ]
    with running(models) as client:
        listed = client.get("/models").json()["models"]
        assert [(m["name"], m["version"], m["status"], m["default"]) for m in listed] == [
            ("one", "1", "ready", True),
            ("two", "2", "ready", False),
        ]
        answers = {
            m: client.post("/predict", content=PHOTO, params={"model": m} if m else {}) for m in ("", "one", "two")
        }
        assert answers[""].content == answers["one"].content != answers["two"].content
        assert answers["two"].headers["x-vesselrt-model"] == "test 2"
        form = client.post("/predict", files={"image": PHOTO}, data={"model": "two"})
        assert form.content == answers["two"].content
        wrong = client.post("/predict?model=three", content=PHOTO)
        assert error(wrong) == (404, "RequestError", "no model 'three'. Expected one of: one, two.")


def test_a_lazy_model_is_loaded_when_it_is_asked_for() -> None:
    loaded: list[str] = []

    def source(name: str) -> Source:
        return lambda: loaded.append(name) or segmenter(name=name)  # type: ignore[func-returns-value]

    with running([Model(name, source(name)) for name in ("one", "two")], Settings(lazy=True)) as client:
        assert loaded == ["one"]
        assert client.post("/predict?model=two", content=PHOTO).headers["x-vesselrt-model"] == "two 1.2.3"
        assert client.post("/predict?model=two", content=PHOTO).status_code == 200
        assert loaded == ["one", "two"]


def test_a_changed_file_takes_over_without_an_error(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("1")
    backends: list[FakeBackend] = []

    def load() -> Segmenter:
        version = file.read_text()
        if version == "broken":
            raise ModelNotFoundError("broken")
        backends.append(FakeBackend())
        return Segmenter(MANIFEST.model_copy(update={"version": version}), backends[-1])

    def replace(text: str) -> None:
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").replace(file)

    with running([Model("m", load, file)], Settings(reload=0.05)) as client, ThreadPoolExecutor(2) as pool:
        stop = threading.Event()

        def ask() -> set[tuple[int, str]]:
            seen = set()
            while not stop.is_set():
                answer = httpx.post(f"{client.base_url}/predict", content=PHOTO, trust_env=False)
                seen.add((answer.status_code, answer.headers.get("x-vesselrt-model", "")))
            return seen

        asking = [pool.submit(ask) for _ in range(2)]
        replace("2")
        wait_until(lambda: client.get("/models").json()["models"][0]["version"] == "2")
        replace("broken")
        wait_until(lambda: figure(client, "vesselrt_reloads_total", outcome="failed") == 1)
        assert client.get("/models").json()["models"][0]["version"] == "2"
        replace("3")
        wait_until(lambda: client.get("/models").json()["models"][0]["version"] == "3")
        assert client.post("/predict", content=PHOTO).headers["x-vesselrt-model"] == "test 3"
        stop.set()
        seen = asking[0].result() | asking[1].result()
        assert {status for status, _ in seen} == {200}
        wait_until(lambda: [backend.closed for backend in backends] == [True, True, False])
    assert all(backend.closed for backend in backends)


def test_models_are_named_apart() -> None:
    named = from_settings(Settings(models=["a=fundus", "fundus"]))
    assert [model.name for model in named] == ["a", "fundus"]
    with pytest.raises(OptionError, match=r"^two models are named fundus"):
        from_settings(Settings(models=["fundus", "fundus"]))
    with pytest.raises(OptionError, match=r"^a model's name is 'a/b'"):
        from_settings(Settings(models=["a/b=fundus"]))
    with pytest.raises(ModelNotFoundError, match=r"^no model nowhere"):
        from_settings(Settings(models=["nowhere"]))


# Settings


def test_settings_by_argument_environment_secret_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vesselrt.toml").write_text('port = 1\nqueue = 2\nmax_batch = 3\ndevice = "cpu"\n')
    (tmp_path / "vesselrt_api_key").write_text(f"{KEY}\n")
    monkeypatch.setenv("VESSELRT_CONFIG", str(tmp_path / "vesselrt.toml"))
    monkeypatch.setenv("VESSELRT_SECRETS", str(tmp_path))
    monkeypatch.setenv("VESSELRT_QUEUE", "20")
    monkeypatch.setenv("VESSELRT_PORT", "10")
    monkeypatch.setenv("VESSELRT_MODELS", "fundus, other=fundus")
    settings = Settings(port=100)
    assert (settings.port, settings.queue, settings.max_batch, settings.device) == (100, 20, 3, "cpu")
    assert settings.models == ("fundus", "other=fundus")
    given, usual = settings.told()
    assert {"api_key = set", "queue = 20"} <= set(given)
    assert "drain = 30.0" in usual
    assert len(given + usual) == len(Settings.model_fields)
    assert KEY not in str(given + usual) + repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "x", "port is 'x'. Expected a valid integer, unable to parse string as an integer."),
        ("DEADLINE", "0", "deadline is '0'. Expected greater than 0."),
        (
            "API_KEY",
            "short",
            "api_key is too short. Expected at least 16 characters, such as those of: openssl rand -hex 16.",
        ),
        ("SECRETS", "/nowhere", "/nowhere: no such folder. VESSELRT_SECRETS names it."),
        (
            "FORMATS",
            "jpg",
            "formats.0 is 'jpg'. Expected 'jpeg', 'png', 'tiff', 'bmp', 'webp', 'gif', 'pnm' or 'avif'.",
        ),
        ("FORMATS", ",", "formats is []. Expected Tuple should have at least 1 item after validation, not 0."),
        (
            "CONFIG",
            "/nowhere.toml",
            "/nowhere.toml: can't be read as TOML (No such file or directory). VESSELRT_CONFIG names it.",
        ),
    ],
)
def test_a_wrong_setting_is_one_message(name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"VESSELRT_{name}", value)
    with pytest.raises(OptionError) as caught:
        Settings()
    assert str(caught.value) == message


def test_what_is_named_like_a_setting_and_is_none_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Settings.unknown()
    for name in ("vesselrt_api_key", "api_key", "..data"):
        (tmp_path / name).write_text(KEY)
    for name in (
        "VESSELRT_API_KY",
        "VESSELRT_QUEUE",
        "VESSELRT_SERVICE_HOST",
        "VESSELRT_PORT_80_TCP",
        "VESSELRT_CACHE",
    ):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("VESSELRT_SECRETS", str(tmp_path))
    assert set(Settings.unknown()) - set(before) == {"VESSELRT_API_KY", "api_key"}


def test_an_unknown_setting_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.toml").write_text("prot = 1\n")
    monkeypatch.setenv("VESSELRT_CONFIG", str(tmp_path / "a.toml"))
    with pytest.raises(OptionError, match=r"^there is no setting prot\. Expected one of: host, port, "):
        Settings()


# The Open Inference Protocol

# Triton's client brings gevent, which is not asked into this process.
TRITON = """
import sys
import cv2, numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

client = InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("test")
assert client.get_server_metadata()["extensions"][0] == "binary_tensor_data"
(entry,) = client.get_model_repository_index()
assert entry == {"name": "test", "version": "1.2.3", "state": "READY", "reason": ""}
config = client.get_model_config("test")
assert (config["max_batch_size"], config["input"][0]["data_type"]) == (0, "TYPE_UINT8")
before = client.get_inference_statistics("test")["model_stats"][0]["inference_count"]
facts = client.get_model_metadata("test")
assert (facts["name"], facts["versions"], facts["platform"]) == ("test", ["1.2.3"], "vesselrt_fake")
assert [t["name"] for t in facts["inputs"] + facts["outputs"]] == ["image", "file", "probability", "mask"]

data = sys.stdin.buffer.read()
pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)

def image(binary):
    sent = InferInput("image", pixels.shape, "UINT8")
    sent.set_data_from_numpy(pixels, binary_data=binary)
    return sent

def file():
    sent = InferInput("file", [1], "BYTES")
    sent.set_data_from_numpy(np.array([data], np.object_))
    return sent

found = []
for sent in (image(True), image(False), file()):
    for binary in (True, False):
        wanted = [InferRequestedOutput(n, binary_data=binary) for n in ("probability", "mask")]
        answer = client.infer("test", [sent], outputs=wanted, request_id="7", parameters={"threshold": 0.6})
        assert answer.get_response()["id"] == "7"
        found.append((answer.as_numpy("probability"), answer.as_numpy("mask")))
answer = client.infer("test", [file()], model_version="1.2.3", timeout=5_000_000)  # both outputs, JSON or binary
found.append((answer.as_numpy("probability"), answer.as_numpy("probability") >= 153))
assert {(p.dtype.name, m.dtype.name) for p, m in found} == {("uint8", "bool")}
assert all((p == found[0][0]).all() and (m == found[0][1]).all() for p, m in found)
for algorithm in ("gzip", "deflate"):
    packed = {"request_compression_algorithm": algorithm, "response_compression_algorithm": algorithm}
    for sent in (image(False), file()):
        answer = client.infer("test", [sent], outputs=wanted, parameters={"threshold": 0.6}, **packed)
        found.append((answer.as_numpy("probability"), answer.as_numpy("mask")))
waiting = client.async_infer("test", [file()], outputs=wanted, parameters={"threshold": 0.6})
answer = waiting.get_result()
found.append((answer.as_numpy("probability"), answer.as_numpy("mask")))
(stats,) = client.get_inference_statistics()["model_stats"]
assert stats["inference_count"] == before + len(found), (before, stats)
assert stats["inference_stats"]["compute_infer"]["ns"] > 0 and stats["last_inference"] > 1e12
for refused in (
    lambda: client.load_model("test"),
    lambda: client.unload_model("test"),
    lambda: client.get_system_shared_memory_status(),
    lambda: client.get_cuda_shared_memory_status(),
    lambda: client.register_system_shared_memory("a", "/a", 1),
    lambda: client.unregister_system_shared_memory("a"),
    lambda: client.get_trace_settings("test"),
    lambda: client.update_trace_settings("test", {"trace_level": ["OFF"]}),
    lambda: client.get_log_settings(),
    lambda: client.update_log_settings({"log_info": False}),
):
    try:
        refused()
    except InferenceServerException as error:
        assert "/openapi.json says what there is" in error.message(), error
    else:
        raise AssertionError("answered")
for model, version in (("other", ""), ("test", "9")):
    try:
        client.infer(model, [file()], model_version=version)
    except InferenceServerException as error:
        print(error.message(), file=sys.stderr)
assert not client.is_model_ready("other")
sys.stdout.buffer.write(np.concatenate([found[0][0].ravel(), found[0][1].ravel().astype(np.uint8)]).tobytes())
"""


def test_tritons_client_works_unchanged(client: httpx.Client) -> None:
    address = f"{client.base_url.host}:{client.base_url.port}"
    command = [sys.executable, "-W", "ignore", "-c", TRITON, address]
    done = subprocess.run(command, input=PHOTO, capture_output=True, check=False)
    message = "no model 'other'. Expected one of: test.\nno version '9' of test. Expected 1.2.3.\n"
    assert done.stderr.decode() == message
    result = segmenter().segment(PHOTO)
    assert done.stdout == result.probability.tobytes() + result.mask(0.6).tobytes()


FILE = {"name": "file", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(PHOTO).decode()]}
DOT = {"name": "image", "datatype": "UINT8", "shape": [1, 1, 3]}
ONE_OF = "Expected one: 'image' (UINT8, H × W × 3) or 'file' (BYTES, 1)."
NO_LIST = "`data` of an input is a list of whole numbers from 0 to 255, or of one text in base64."
NUMBERS = "the data of 'image' are not 1 × 1 × 3 whole numbers from 0 to 255."
V2: dict[str, tuple[Any, int, str]] = {
    "no JSON": ("{", 400, "the body: Invalid JSON: EOF while parsing an object at line 1 column 1. "),
    "deep": ("[" * 60_000, 400, "the body: Invalid JSON: recursion limit exceeded at line 1 column 2"),
    "deep in data": ({"inputs": [{**DOT, "data": [[[[[[[[[1, 2, 3]]]]]]]]]}]}, 400, NUMBERS),
    "long beside the data": ("[" * 70_000, 413, "the JSON has more than 65,536 bytes beside the values in `data`, the"),
    "objects": ({"inputs": [{**DOT, "data": [{"000": 1.5}] * 3}]}, 400, NO_LIST),
    "an unknown parameter": (
        {"inputs": [FILE], "parameters": {"priority": 1}}, 400, "there is no parameters.priority here, or it is not ",
    ),
    "classification": (
        {"inputs": [FILE], "outputs": [{"name": "mask", "parameters": {"classification": 2}}]}, 400,
        "there is no outputs.0.parameters.classification here, or it is not supported.",
    ),
    "shared memory": (
        {"inputs": [FILE], "outputs": [{"name": "mask", "parameters": {"shared_memory_region": "x"}}]}, 400,
        "there is no outputs.0.parameters.shared_memory_region here, or it is not supported.",
    ),
    "shared memory of an input": (
        {"inputs": [{**DOT, "parameters": {"shared_memory_byte_size": 3}}]}, 400,
        "there is no inputs.0.parameters.shared_memory_byte_size here, or it is not supported.",
    ),
    "a parameter of another kind": (
        {"inputs": [FILE], "parameters": {"binary_data_output": "yes"}}, 400, "parameters.binary_data_output is 'yes'",
    ),
    "no inputs": ({"inputs": []}, 400, "inputs: List should have at least 1 item after validation, not 0. "),
    "other input": ({"inputs": [{**FILE, "name": "x"}]}, 400, f"the inputs are 'x'. {ONE_OF}"),
    "two inputs": ({"inputs": [FILE, DOT]}, 400, f"the inputs are 'file', 'image'. {ONE_OF}"),
    "other output": (
        {"inputs": [FILE], "outputs": [{"name": "x"}]}, 400, "there is no output 'x'. Expected probability or mask.",
    ),
    "other type": ({"inputs": [{**DOT, "datatype": "FP32"}]}, 400, "'image' is FP32 [1, 1, 3]. Expected UINT8 ["),
    "other shape": ({"inputs": [{**DOT, "shape": [0, 1, 3]}]}, 400, "'image' is UINT8 [0, 1, 3]. Expected UINT8 ["),
    "huge shape": (
        {"inputs": [{**DOT, "shape": [2**62, 2**62, 3], "data": [1]}]}, 413,
        f"'image' is [{2**62}, {2**62}, 3], the limit is 150,000,000 pixels. Send a smaller image.",
    ),
    "endless shape": ({"inputs": [{**DOT, "shape": [10**4000, 1, 3], "data": [1]}]}, 413, "'image' is [1000"),
    "no data": ({"inputs": [DOT]}, 400, NUMBERS),
    "too few": ({"inputs": [{**DOT, "data": [1, 2]}]}, 400, NUMBERS),
    "too large": ({"inputs": [{**DOT, "data": [1, 2, 256]}]}, 400, NUMBERS),
    "huge number": ({"inputs": [{**DOT, "data": [1, 2, 10**30]}]}, 400, NUMBERS),
    "ragged": ({"inputs": [{**DOT, "data": [[1], [2, 3]]}]}, 400, NUMBERS),
    "texts": ({"inputs": [{**DOT, "data": ["1", "2", "3"]}]}, 400, NO_LIST),
    "yes and no": ({"inputs": [{**DOT, "data": [1, 2, True]}]}, 400, NO_LIST),
    "fractions": ({"inputs": [{**DOT, "data": [1, 2, 3.0]}]}, 400, NO_LIST),
    "numbers and lists": ({"inputs": [{**DOT, "data": [1, [2, 3]]}]}, 400, NUMBERS),
    "a list beside numbers": ({"inputs": [{**DOT, "data": [[1, 2], 3]}]}, 400, NUMBERS),
    "split numbers": (json.dumps({"inputs": [{**DOT, "data": [1, 2, 34]}]}).replace("34", "3 4"), 400, NUMBERS),
    "leading zeros": (json.dumps({"inputs": [{**DOT, "data": [1, 2, 34]}]}).replace("34", "034"), 400, NUMBERS),
    "a number too few": (json.dumps({"inputs": [{**DOT, "data": [1, 2, 3]}]}).replace("2", ""), 400, NUMBERS),
    "brackets in numbers": (json.dumps({"inputs": [{**DOT, "data": [1, 2, 34]}]}).replace("34", "3[4]"), 400, NUMBERS),
    "two lists": (json.dumps({"inputs": [{**DOT, "data": [1, 2, 3]}]}).replace("2, 3", "2], [3"), 400, NUMBERS),
    "empty lists": ({"inputs": [{**DOT, "data": [[], []]}]}, 400, NUMBERS),
    "an output twice": (
        {"inputs": [FILE], "outputs": [{"name": "mask"}] * 2}, 400, "the output 'mask' is asked for 2 times. Expected",
    ),
    "a long answer": (
        f'{{"inputs":[{{"name":"image","datatype":"UINT8","shape":[1500,1500,3],"data":[{"0," * 6_749_999}0]}}]}}', 400,
        "the answer has 4,500,000 values as JSON, the limit is 4,000,000. Ask for the outputs as binary data: ",
    ),
    "promised bytes": ({"inputs": [{**DOT, "parameters": {"binary_data_size": 3}}]}, 400, "0 bytes follow the JSON"),
    "no base64": ({"inputs": [{**FILE, "data": ["ü"]}]}, 400, "'file' holds no photograph. Expected one text"),
    "no photograph": ({"inputs": [{**FILE, "data": ["aGVsbG8gd29ybGQ="]}]}, 415, "not an image: it begins with "),
    "threshold": ({"inputs": [FILE], "parameters": {"threshold": 2}}, 400, "parameters.threshold is 2. Expected a n"),
    "threshold of an output": (
        {"inputs": [FILE], "outputs": [{"name": "mask", "parameters": {"threshold": -1}}]}, 400,
        "outputs.0.parameters.threshold is -1. Expected a number from 0 to 1. ",
    ),
    "many values": ({"inputs": [{**DOT, "data": [0] * 1_000_002}]}, 400, NUMBERS),
    "many lists": ({"inputs": [{**DOT, "data": [[[[[[1]]]]]] * 200_000}]}, 400, NUMBERS),
    "threshold a word": ({"inputs": [FILE], "parameters": {"threshold": "x"}}, 400, "parameters.threshold is 'x'. Exp"),
}  # fmt: skip


def test_numbers_of_a_large_photograph_are_all_there(client: httpx.Client) -> None:
    photo = png(picture(300, 401))  # more than the pieces in which they are written
    sent = {"name": "file", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(photo).decode()]}
    answer = client.post("/v2/models/test/infer", json={"inputs": [sent], "id": "7"}).json()
    result = segmenter().segment(photo)
    assert answer == {
        "model_name": "test",
        "model_version": "1.2.3",
        "id": "7",
        "outputs": [
            {"name": n, "datatype": kind, "shape": [300, 401], "data": values.ravel().tolist()}
            for n, kind, values in (("probability", "UINT8", result.probability), ("mask", "BOOL", result.mask()))
        ],
    }


@pytest.mark.parametrize("case", V2)
def test_what_is_not_the_protocol_gets_its_error(client: httpx.Client, case: str) -> None:
    body, status, message = V2[case]
    content = body if isinstance(body, str) else json.dumps(body)
    answer = client.post("/v2/models/test/infer", content=content)
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].startswith(message)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("length", "size", "tail"),
    [
        ("999", None, b""),
        ("-1", None, b""),
        ("x", None, b""),
        (None, 8, b""),
        ("json", 8, b"1234"),
        ("json", 8, b"\xff\0\0\0abcd"),
    ],
)
def test_lengths_that_are_wrong(client: httpx.Client, length: str | None, size: int | None, tail: bytes) -> None:
    tensor = {"name": "file", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": size}}
    text = json.dumps({"inputs": [tensor]}).encode()
    headers = (
        {} if length is None else {"Inference-Header-Content-Length": str(len(text)) if length == "json" else length}
    )
    answer = client.post("/v2/models/test/infer", content=text + tail, headers=headers)
    assert (answer.status_code, answer.json().keys()) == (400, {"error"})


# The client


def test_client_is_the_library_over_http(client: httpx.Client, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(PHOTO)
    expected = segmenter().segment(PHOTO)
    with vesselrt.Client(str(client.base_url)) as remote:
        for image in (PHOTO, tmp_path / "photo.png", str(tmp_path / "photo.png"), expected.image):
            assert (remote.probability(image) == expected.probability).all()
        assert remote.encode(PHOTO, "svg", 0.6, "test") == expected.encode("svg", 0.6)
        assert [model["name"] for model in remote.models()] == ["test"]
        with pytest.raises(ImageDecodeError, match=r"^not an image: it begins with b'nothing'"):
            remote.probability(b"nothing")
        with pytest.raises(OptionError, match=r"^threshold is '2'"):
            remote.encode(PHOTO, threshold=2)
        with pytest.raises(VesselrtError, match=r"^no model 'other'"):
            remote.encode(PHOTO, model="other")
        with pytest.raises(ImageNotFoundError, match="can't be read"):
            remote.encode(tmp_path / "nothing.png")


@pytest.mark.parametrize(("said", "seconds"), [("3", 3.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0), ("", 1.0)])
def test_client_understands_when_to_come_back(said: str, seconds: float) -> None:
    assert _seconds_to_wait(said) == seconds


def test_client_waits_for_a_busy_server_and_sends_the_key(gate: Gate) -> None:
    with running(segmenter(gate), Settings(queue=0, api_key=KEY)) as client, ThreadPoolExecutor(1) as pool:
        with vesselrt.Client(str(client.base_url)) as without, pytest.raises(VesselrtError, match="API key is needed"):
            without.models()
        with vesselrt.Client(str(client.base_url), api_key=KEY) as remote:
            gate.shut()
            first = pool.submit(remote.encode, PHOTO)
            assert gate.entered.acquire(timeout=20)
            threading.Timer(0.2, gate.open.set).start()
            assert remote.encode(PHOTO) == first.result()
    with vesselrt.Client("http://127.0.0.1:1") as nowhere, pytest.raises(VesselrtError, match=r"^no answer from http"):
        nowhere.models()


# Several processes


def test_workers_share_an_address_and_lose_nothing_at_the_end(fundus_jpeg: bytes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vesselrt.cli", "serve", "--workers", "2", "--precision", "f32"]
    environment = {**os.environ, "VESSELRT_PORT": str(port), "VESSELRT_API_KEY": KEY}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(5)]
            assert lines == [
                f"vesselrt  http://127.0.0.1:{port}  (stop with Ctrl+C)\n",
                "  model   fundus, one in each worker\n",
                f"  set     port = {port}\n",
                "  set     workers = 2\n",
                "  set     precision = 'f32'\n",
            ]
            with vesselrt.Client(f"http://127.0.0.1:{port}", api_key=KEY, timeout=120) as client:
                (model,) = client.models()  # waits for the first worker
                assert (model["name"], model["status"]) == ("fundus", "ready")
                expected = client.encode(fundus_jpeg)
            with ThreadPoolExecutor(6) as pool:
                asked = [pool.submit(ask_once, port, fundus_jpeg) for _ in range(6)]
                wait_until(lambda: places_of_all(port) >= 3)
                process.terminate()
                assert [future.result() for future in asked] == [(200, expected)] * 6
            assert process.wait(60) == 0
        finally:
            process.kill()


def ask_once(port: int, photo: bytes) -> tuple[int, bytes]:
    answer = httpx.post(
        f"http://127.0.0.1:{port}/predict", content=photo, headers={"X-API-Key": KEY}, timeout=120, trust_env=False
    )
    return answer.status_code, answer.content


def places_of_all(port: int) -> float:
    """The figure of all workers, whichever answers."""
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", headers={"X-API-Key": KEY}, timeout=120, trust_env=False).text
    found = re.search(r"^vesselrt_places_taken(?:{.*})? ([\d.]+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


# Requests that are strange, and models that come late


@pytest.mark.parametrize("shape", [(83, 97, 3), (-1,), (1, 1, -1), (83, -1)])
def test_numbers_may_be_nested_or_not(client: httpx.Client, shape: tuple[int, ...]) -> None:
    sent = {**DOT, "shape": [83, 97, 3], "data": picture().reshape(shape).tolist()}
    answer = client.post("/v2/models/test/infer", json={"inputs": [sent], "outputs": [{"name": "probability"}]})
    assert answer.json()["outputs"][0]["data"] == segmenter().segment(picture()).probability.ravel().tolist()


def test_texts_in_the_place_of_numbers_take_no_memory(client: httpx.Client) -> None:
    content = json.dumps({"inputs": [{**DOT, "data": ["a" * 100_000, *[""] * 499]}]})
    tracemalloc.start()
    try:
        assert client.post("/v2/models/test/infer", content=content).status_code == 400
        assert tracemalloc.get_traced_memory()[1] < 10e6, "all of them as long as the longest would be 200 MB"
    finally:
        tracemalloc.stop()


def test_a_file_with_a_long_answer_is_to_be_asked_for_as_binary_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reply, "MOST_WRITTEN", 83 * 97)
    with running(segmenter()) as client:
        text = client.post("/v2/models/test/infer", json={"inputs": [FILE]})
        assert text.status_code == 400
        assert text.json()["error"].startswith("the answer has 16,102 values as JSON, the limit is 8,051. Ask for the")
        for more in ({"parameters": {"binary_data_output": True}}, {"outputs": [{"name": "mask"}]}):
            assert client.post("/v2/models/test/infer", json={"inputs": [FILE], **more}).status_code == 200


def test_pixels_are_limited_as_those_of_files_are() -> None:
    sent = {**DOT, "shape": [83, 97, 3], "data": picture().ravel().tolist()}
    for most, status in ((83 * 97, 200), (83 * 97 - 1, 413)):
        with running(segmenter(), Settings(max_pixels=most)) as client:
            answers = [client.post("/v2/models/test/infer", json={"inputs": [tensor]}) for tensor in (sent, FILE)]
            assert [answer.status_code for answer in answers] == [status, status]
            message = "'image' is [83, 97, 3], the limit is 8,050 pixels. Send a smaller image."
            assert answers[0].json().get("error") == (None if status == 200 else message)


def test_parameters_may_be_null(client: httpx.Client) -> None:
    wanted = [{"name": "mask", "parameters": None}]
    content = {"inputs": [{**FILE, "parameters": None}], "outputs": wanted, "parameters": None}
    assert client.post("/v2/models/test/infer", json=content).status_code == 200


def test_an_endless_timeout_is_the_deadline(client: httpx.Client) -> None:
    content = {"inputs": [FILE], "parameters": {"timeout": 10**400}}
    assert client.post("/v2/models/test/infer", json=content).status_code == 200


def test_a_lazy_model_is_loaded_through_v2() -> None:
    loaded: list[str] = []
    going_on = threading.Event()

    def source(name: str) -> Source:
        def load() -> Segmenter:
            loaded.append(name)
            assert name == "first" or going_on.wait(20)
            return segmenter(name=name)

        return load

    names = ("first", "asked", "looked", "told", "wrong")
    with running([Model(name, source(name)) for name in names], Settings(lazy=True)) as client:
        for address in ("looked/ready", "looked/ready", "told", "told/versions/1.2.3"):
            answer = client.get(f"/v2/models/{address}")
            assert answer.json() == {"error": "The model is being loaded and warmed up. Try again in a moment."}
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        going_on.set()
        wait_until(lambda: client.get("/v2/models/looked/ready").status_code == 200)
        wait_until(lambda: client.get("/v2/models/told/versions/1.2.3").status_code == 200)
        assert client.post("/v2/models/asked/versions/1.2.3/infer", json={"inputs": [FILE]}).status_code == 200
        for _ in range(2):  # the first is answered when the model is loaded, the second before its body is read
            wrong = client.post("/v2/models/wrong/versions/9/infer", json={"inputs": [FILE]})
            assert (wrong.status_code, wrong.json()["error"]) == (404, "no version '9' of wrong. Expected 1.2.3.")
        assert loaded == ["first", "looked", "told", "asked", "wrong"], "each once"


def test_a_lazy_model_that_failed_is_loaded_when_its_file_was_replaced(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("missing")
    loaded: list[str] = []

    def load() -> Segmenter:
        loaded.append(file.read_text())
        if loaded[-1].startswith("broken"):
            raise ModelNotFoundError("broken")
        return segmenter(version=loaded[-1])

    def replace(text: str) -> None:
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").replace(file)

    models = [Model("one", segmenter), Model("two", load, file)]
    with running(models, Settings(lazy=True, reload=0.02)) as client:
        replace("broken")
        for _ in range(2):
            answer = client.post("/predict?model=two", content=PHOTO)
            message = "The model could not be loaded or run; the server's log says why."
            assert error(answer) == (503, "NotReadyError", message)
            time.sleep(0.1)
        assert loaded == ["broken"], "not tried again before the file changes"
        replace("broken too")
        wait_until(lambda: figure(client, "vesselrt_reloads_total", outcome="failed") == 1)
        assert client.get("/v2/models/two/ready").status_code == 503
        replace("3")
        wait_until(lambda: client.get("/v2/models/two/ready").status_code == 200)
        assert client.post("/predict?model=two", content=PHOTO).headers["x-vesselrt-model"] == "test 3"
        assert loaded == ["broken", "broken too", "3"]


def test_a_model_that_failed_at_start_serves_when_its_file_was_replaced(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("broken")

    def load() -> Segmenter:
        if (version := file.read_text()) == "broken":
            threading.Timer(0.2, replace).start()
            raise ModelNotFoundError(version)
        return segmenter(version=version)

    def replace() -> None:
        (tmp_path / "new").write_text("2")
        (tmp_path / "new").replace(file)

    with running([Model("one", load, file)], Settings(reload=0.02)) as client:
        assert client.post("/predict", content=PHOTO).headers["x-vesselrt-model"] == "test 2"


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text"),
        ("application/openmetrics-text; version=abc", "text/plain"),
        ("text/plain; version=x", "text/plain"),
        ("application/openmetrics-text; version=1.\xb2", "text/plain"),
    ],
)
def test_figures_come_whatever_version_is_asked_for(client: httpx.Client, accept: str, media: str) -> None:
    answer = client.get("/metrics", headers={b"Accept": accept.encode("latin-1")})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media)
    assert "vesselrt_requests_total" in answer.text
