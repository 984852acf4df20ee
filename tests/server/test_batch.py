"""Several photographs in one request."""

import asyncio
import base64
import io
import json
import threading
import time
import zipfile
from typing import Any

import httpx
import pytest
from serving import PHOTO, Gate, picture, png, running, segmenter

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import identity
from vesselrt.runtime.output.formats import OutputFormat, format_spec
from vesselrt.server.http.batch import BatchFile, segment_batch
from vesselrt.server.http.options import AnswerOptions
from vesselrt.server.http.upload import Upload
from vesselrt.server.metrics import ServerMetrics
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.budget import Budget, Share
from vesselrt.server.work.models import ServedModel
from vesselrt.server.work.service import Service
from vesselrt.server.work.tasks import PhotoTask

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
    failed = json.loads(files.pop("002-eye 2-error.json"))
    message = (
        "not an image: it begins with b'no photo'. Send a JPEG, PNG, TIFF, BMP, WebP, GIF, PNM, AVIF or DICOM file."
    )
    expected = {"number": 2, "name": "eye 2", "status": 415, "error": {"type": "ImageDecodeError", "message": message}}
    assert failed == expected
    assert files == {f"00{n}-eye {n}-svg.svg": segmenter().segment(p).encode("svg") for n, p in enumerate(PHOTOS)}


def test_a_zip_tells_the_doubts_about_each_photograph(client: httpx.Client) -> None:
    dark = png(picture() // 8)
    answer = batch(client, [dark, PHOTOS[0]], format="svg")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        told = {name: json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json")}
    expected = segmenter().segment(dark)
    assert expected.quality is not None
    assert expected.quality.verdict != "good"
    assert told["000-eye 0-warnings.json"] == {
        "quality": expected.quality.document(),
        "warnings": list(expected.warnings),
    }


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
        service = Service(
            [ServedModel("test", segmenter(gate), warm=True)], ServerSettings(maps_bytes=0), ServerMetrics()
        )
        await asyncio.wrap_future(service.start())
        sent = Upload([(f"eye {n}", PHOTO) for n in range(8)], AnswerOptions())
        async for _ in segment_batch(service, sent, None, Share(Budget())):
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
        service = Service(
            [ServedModel("test", segmenter(), warm=True)], ServerSettings(queue=0, maps_bytes=0), ServerMetrics()
        )
        await asyncio.wrap_future(service.start())
        sent = Upload([(f"eye {n}", PHOTO) for n in range(3)], AnswerOptions())
        taken = []
        async for item in segment_batch(service, sent, None, Share(Budget())):
            assert isinstance(item.outcome, BatchFile)
            while service._taken:  # by the next one, as long as it is worked on
                await asyncio.sleep(0.01)
            taken.append(item.number)
            await service.segment(PhotoTask(PHOTO, lambda *_: BatchFile(b"", {}, ()), 1))  # another one has its turn
        await service.stop()
        return taken

    assert asyncio.run(asyncio.wait_for(read(), 60)) == [0, 1, 2]


def test_a_timeout_is_of_the_whole_batch() -> None:
    def slowly(pixels: Image) -> Any:
        time.sleep(0.05)
        return identity(pixels)

    with running(segmenter(slowly), ServerSettings(maps_bytes=0)) as client:
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
    with running(segmenter(function), ServerSettings(queue=1, maps_bytes=0)) as client:
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
