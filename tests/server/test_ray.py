"""The server as a deployment of Ray Serve."""

import json
import urllib.request
from collections.abc import Iterator

import pytest


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    serve = pytest.importorskip("ray.serve", reason="needs pip install 'ray[serve]'", exc_type=ImportError)
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    monkeypatch.setenv("VESSELRT_DEVICE", "cpu:onnxruntime")
    ray.init(include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    serve.start(http_options={"port": 8765})
    from vesselrt.server.ray import app

    serve.run(app)
    yield "http://127.0.0.1:8765"
    serve.shutdown()
    ray.shutdown()


@pytest.mark.slow
def test_a_replica_answers_as_the_server_does(address: str, fundus_jpeg: bytes) -> None:
    with urllib.request.urlopen(f"{address}/health") as answer:
        assert json.load(answer)["status"] == "ready"
    sent = urllib.request.Request(f"{address}/predict", fundus_jpeg, {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(sent) as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
