"""What the server says of itself: health, figures, versions."""

import threading
from importlib.metadata import version
from typing import Any

import httpx
import numpy as np
import pytest
from serving import PHOTO, error, figure, post, running, segmenter, wait_until

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import identity
from vesselrt.runtime.errors import DeviceError, ModelNotFoundError
from vesselrt.runtime.segmenter import Segmenter


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
            assert error(answer) == (503, *detail.values())
        finally:
            load.set()
        wait_until(lambda: client.get("/health").status_code == 200)
        assert post(client, "multipart").status_code == 200


def test_model_that_can_not_be_loaded(caplog: pytest.LogCaptureFixture) -> None:
    def loader() -> Segmenter:
        raise ModelNotFoundError("/secret/model.onnx")

    with running(loader, ready=False) as client:
        wait_until(lambda: client.get("/health").json()["status"] == "failed")
        expected = (503, "NotReadyError", "The model could not be loaded or run; the server's log says why.")
        answer = client.get("/health/live")
        assert error(answer) == expected
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


@pytest.mark.parametrize("address", ["/", "/health", "/health/live", "/metrics", "/models"])
def test_head_is_get_without_the_body(client: httpx.Client, address: str) -> None:
    got, head = client.get(address), client.head(address)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    assert client.head("/predict").status_code == 405


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
