"""What an attacker does to the event loop, the interpreter and the connections of a server."""

import socket
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress

import httpx
import numpy as np
import pytest
from serving import figure, free_port, is_ready, server_process, wait_until

from vesselrt.runtime.photo.decoding import Limits
from vesselrt.server.admin import ADMIN_CONNECTIONS
from vesselrt.server.http.errors import RequestError
from vesselrt.server.v2.messages import parse_inference
from vesselrt.server.work.tasks import Pixels

ODD = [b'{"000":1.5}', b"[[[[[[[1]]]]]]]", b'"' + b"a" * 20 + b'"', b"1.5", b"1e9", b"null", b"7", b"256"]


def thirteen_megabytes(value: bytes) -> bytearray:
    """A request whose tensor is `value` again and again."""
    count = 13_000_000 // (len(value) + 1) // 3
    text = b'{"inputs":[{"name":"image","datatype":"UINT8","shape":[1,%d,3],"data":[%s]}]}'
    return bytearray(text % (count, b",".join([value] * (count * 3))))


@pytest.mark.parametrize("value", ODD)
def test_numbers_that_are_none_take_no_time_and_no_memory(value: bytes) -> None:
    body = thirteen_megabytes(value)
    tracemalloc.start()
    try:
        started = time.thread_time()  # what else the machine does is not counted
        with suppress(RequestError):
            _, photograph = parse_inference(body, None, Limits())
            assert isinstance(photograph, Pixels)
            photograph.read()
        seconds = time.thread_time() - started
        assert tracemalloc.get_traced_memory()[1] < 6 * len(body), "objects take 40 times as much"
    finally:
        tracemalloc.stop()
    assert seconds < 1.5, "a JSON parser holds the interpreter for seconds"


@pytest.mark.parametrize("value", [ODD[1], ODD[6]], ids=["nested", "flat"])
def test_numbers_let_other_threads_go_on(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    body = thirteen_megabytes(value)
    turns = [time.thread_time()]
    monkeypatch.setattr(time, "sleep", lambda _: turns.append(time.thread_time()))
    with suppress(RequestError):
        _, photograph = parse_inference(body, None, Limits())
        assert isinstance(photograph, Pixels)
        photograph.read()
    turns.append(time.thread_time())
    assert max(np.diff(turns)) < 0.05, "as a whole they take 200 ms"


def test_six_bodies_of_odd_numbers_leave_the_server_as_it_was() -> None:
    port = free_port()
    with (
        server_process(admin_port=port) as found,
        ThreadPoolExecutor(6) as pool,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as admin,
    ):
        before, address = memory(admin), f"{found.client.base_url}/v2/models/test/infer"
        bodies = [bytes(thirteen_megabytes(ODD[n])) for n in (0, 1, 6)] * 2
        asked, seconds = [pool.submit(post_once, address, body) for body in bodies], []
        while not all(future.done() for future in asked):
            started = time.monotonic()
            assert admin.get("/health").status_code == 200
            seconds.append(time.monotonic() - started)
            time.sleep(0.02)
        assert {future.result().status_code for future in asked} <= {400, 422, 503}
        assert sorted(seconds)[len(seconds) * 9 // 10] < 0.25, seconds
        assert memory(admin) - before < 400e6, "a JSON parser would have taken 3 GB"


def post_once(address: str, body: bytes) -> httpx.Response:
    return httpx.post(address, content=body, timeout=60, trust_env=False)


def memory(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("process_resident_memory_bytes ")).split()[1])


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_{0}, ({1}, {1}))"


@pytest.mark.parametrize(("files", "most"), [(128, 64), (20_000, 200)])
def test_health_has_a_port_of_its_own_when_all_connections_are_taken(files: int, most: int) -> None:
    port, key = free_port(), "0123456789abcdef"
    with (
        server_process(
            LIMIT.format("NOFILE", files), admin_port=port, api_key=key, max_connections=200, header_timeout=60
        ) as found,
        ExitStack() as stack,
    ):
        assert f"  admin   http://127.0.0.1:{port}/health and /metrics\n" in found.lines
        host = (found.client.base_url.host, found.client.base_url.port)
        started = time.monotonic()
        for _ in range(most + 60):
            stack.enter_context(socket.create_connection(host)).sendall(b"GET /health HT")
        with pytest.raises((httpx.HTTPError, AssertionError)):
            assert httpx.get(f"{found.client.base_url}/health", trust_env=False).status_code == 200
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as admin:
            for _ in range(20):
                answer = admin.get("/health")
                assert (answer.status_code, answer.json()["ready"]) == (200, True)
            assert figure(admin, "vesselrt_connections_refused_total") >= 50
        other = httpx.get(f"http://127.0.0.1:{port}/predict", trust_env=False)
        assert other.status_code == 404
        assert other.json()["error"]["message"].endswith("on this port: it is for /health and /metrics alone.")
        found.log.seek(0)
        log = found.log.read()
        assert len(log) < 20_000, log[:3000]
        assert "Traceback" not in log
        assert log.count(" refused: ") <= 2 + time.monotonic() - started, "told once a second"


def refuse_at_admin(port: int) -> None:
    """Connections that are refused there are counted like the others."""

    def refusals() -> float:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            return figure(client, "vesselrt_connections_refused_total")

    before = refusals()
    with ExitStack() as stack:
        for _ in range(2 * ADMIN_CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", port))).sendall(b"GET /health HT")
        time.sleep(0.2)
    wait_until(lambda: is_ready(f"http://127.0.0.1:{port}"))
    assert refusals() >= before + ADMIN_CONNECTIONS


BUSY = """
import time
from vesselrt.server.http import reports
def versions():
    end = time.monotonic() + 5
    while time.monotonic() < end:
        pass
    return reports.Version(vesselrt="", python="", libraries={})
reports.version_report = versions
"""


def test_health_has_a_loop_of_its_own_when_the_other_is_busy() -> None:
    port = free_port()
    with (
        server_process(BUSY, admin_port=port) as found,
        ThreadPoolExecutor(1) as pool,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as admin,
    ):
        busy, seconds = pool.submit(found.client.get, "/version"), []
        time.sleep(0.2)
        for path in ("/health", "/health/ready", "/health/live", "/metrics", "/v2/health/live") * 3:
            started = time.monotonic()
            assert admin.get(path).status_code == 200
            seconds.append(time.monotonic() - started)
        assert not busy.done()
        assert sorted(seconds)[len(seconds) // 2] < 0.25, seconds
        assert busy.result().status_code == 200
        refuse_at_admin(port)
        found.process.terminate()
        assert found.process.wait(20) == 0
