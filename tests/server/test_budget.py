"""What an attacker does to the memory of a server: each bound is measured."""

import json
import resource
import socket
from pathlib import Path

import numpy as np
import pytest
from serving import (
    PHOTO,
    all_closed,
    disc,
    encoded,
    error,
    figure,
    png,
    running,
    segmenter,
    send_unread,
    server_process,
    wait_until,
)

from vesselrt.server.settings import ServerSettings
from vesselrt.server.work import budget


def both_outputs(photo: bytes) -> tuple[bytes, str]:
    """A request for two bytes a pixel."""
    tensor = {"name": "file", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(photo) + 4}}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return text + len(photo).to_bytes(4, "little") + photo, f"Inference-Header-Content-Length: {len(text)}"


def test_answers_that_nobody_reads_have_a_place_in_the_budget() -> None:
    photo = encoded(".webp", disc(2000, 2000))  # a few KB
    body, header = both_outputs(photo)
    with running(segmenter(), ServerSettings(max_memory=70_000_000)) as client:
        with all_closed(*(send_unread(client, "/v2/models/test/infer", body, header) for _ in range(4))):
            wait_until(lambda: figure(client, "vesselrt_held_bytes") > 4 * 2 * 2000 * 2000)
            refused = client.post("/predict", content=encoded(".png", disc(2000, 2000)))
            assert refused.status_code == 503
            assert refused.json()["error"]["message"].startswith("requests hold 32,")
            assert client.post("/predict", content=encoded(".png", disc(600, 600))).status_code == 200, (
                "what fits is served"
            )
        wait_until(lambda: figure(client, "vesselrt_held_bytes") == 0)
        assert client.post("/predict", content=photo).status_code == 200


def test_the_body_of_an_answered_request_is_let_go() -> None:
    noise = np.where(disc(1500, 1500) > 0, np.random.default_rng(1).integers(0, 255, (1500, 1500, 3)), 0)
    body = png(noise.astype(np.uint8))
    body += bytes(20_000_000 - len(body))
    with running(segmenter(), ServerSettings(max_memory=90_000_000)) as client:
        answer = len(client.post("/predict?format=overlay", content=body).content)
        assert 2_000_000 < answer < 8_000_000
        with all_closed(send_unread(client, "/predict?format=overlay", body)):
            wait_until(lambda: figure(client, "vesselrt_held_bytes") == answer)
            assert client.post("/predict", content=body).status_code == 200


def test_a_photograph_that_needs_more_than_there_is_for_all_is_too_large() -> None:
    with running(segmenter(), ServerSettings(max_memory=10_000_000), decoders=True) as client:
        answer = client.post("/predict", content=encoded(".png", disc(1000, 1000)))
        assert answer.status_code == 413
        assert answer.json()["error"]["message"].endswith(
            "all requests together may hold 10,000,000. Send a smaller photograph, or ask for its mask."
        )
        wait_until(lambda: figure(client, "vesselrt_held_bytes") == 0)
        small = encoded(".png", disc(300, 300))
        assert client.post("/predict", content=small).status_code == 200, "the refusal costs no decoder"


def test_uploads_share_one_memory() -> None:
    settings = ServerSettings(max_memory=200_000, max_bytes=150_000)
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


def test_refused_memory_is_told_and_survived() -> None:
    photo = encoded(".jpg", disc(5000, 5000))
    with server_process(max_memory=2**31) as found:
        client = found.client
        assert client.post("/predict?format=overlay", content=photo).status_code == 200
        small = encoded(".png", disc(200, 200))
        assert client.post("/predict", content=small).status_code == 200, "its decoder is loaded"
        mapped = int(Path(f"/proc/{found.process.pid}/statm").read_text().split()[0]) * 4096
        resource.prlimit(found.process.pid, resource.RLIMIT_AS, (mapped + 20 * 2**20,) * 2)
        for form in ("overlay", "json"):  # a mask fits into memory that the process has kept
            answer = client.post(f"/predict?format={form}", content=photo)
            assert answer.status_code == 503, answer.text
            assert answer.json()["error"]["message"].startswith("The system gives the server no more memory. Try again")
        assert client.post("/predict", content=small).status_code == 200
        assert client.post("/predict", content=b"\xff\xd8\xffnothing").status_code == 415


def test_the_budget_follows_what_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/meminfo": "MemTotal:       16000000 kB\n",
        "/proc/self/cgroup": "0::/pod/inner\n",
        "/sys/fs/cgroup/pod/memory.max": "2147483648\n",
        "/sys/fs/cgroup/pod/inner/memory.max": "max\n",
    }
    monkeypatch.setattr(budget, "_read_text", lambda path: files.get(str(path), ""))
    assert budget.usable_memory() == 2**31
    assert budget.usual_budget(1) == 2**30
    assert budget.usual_budget(4) == 2**28
    files |= {"/proc/self/cgroup": "4:cpu,memory:/box\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"}
    assert budget.usable_memory() == 2**30
    files["/proc/self/cgroup"] = ""
    assert budget.usual_budget(1) == budget.MOST_BYTES
