"""What an attacker does to the memory, the event loop and the connections of a server: each bound is measured."""

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import cv2
import httpx
import numpy as np
import pytest

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.manifest import Input, Manifest, Preparation, Tile
from vesselrt.runtime.photo.decoding import Limits
from vesselrt.server.http.errors import RequestError
from vesselrt.server.process import listen_unix
from vesselrt.server.v2.messages import parse
from vesselrt.server.work import budget
from vesselrt.server.work.jobs import Pixels
from vesselrt.server.workers import folder_for_figures

MANIFEST = Manifest(
    name="test",
    version="1",
    licence="none",
    description="The red channel as probability",
    preparation=Preparation(field_of_view=96),
    input=Input(mean=(0, 0, 0), std=(1, 1, 1)),
    tile=Tile(size=64, multiple=16, margin=16),
)


SERVE = """
import json, sys
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server import Settings, serve
serve(Settings(**json.loads(sys.argv[2])), Segmenter(Manifest.from_json(sys.argv[1], source="test"), FakeBackend()))
"""


@dataclass
class Running:
    """A server in a process of its own: what is measured of it is not what the test itself does."""

    client: httpx.Client
    process: "subprocess.Popen[str]"
    lines: list[str]
    """What it said at its start."""
    log: IO[str]
    """Its error stream."""


@contextmanager
def server(first: str = "", **settings: Any) -> Iterator[Running]:
    """`first`: Python that the process begins with."""
    arguments = [MANIFEST.to_json(), json.dumps({"port": 0, "maps_bytes": 0, **settings})]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            [sys.executable, "-c", f"{first}\n{SERVE}", *arguments], stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            while lines[-1] and not lines[-1].startswith("  default"):
                lines.append(process.stdout.readline())
            address = re.search(r"http://\S+", lines[0])
            assert address, (lines, log.seek(0), log.read())
            with httpx.Client(base_url=address[0], timeout=30, trust_env=False) as client:
                yield Running(client, process, lines, log)
        finally:
            process.kill()


@contextmanager
def running(**settings: Any) -> Iterator[httpx.Client]:
    with server(**settings) as found:
        wait_until(lambda: found.client.get("/health").status_code == 200)
        yield found.client


def disc(height: int, width: int) -> Image:
    image = np.zeros((height, width, 3), np.uint8)
    return cv2.circle(image, (width // 2, height // 2), min(height, width) // 2 - 2, (40, 90, 200), -1).astype(np.uint8)


def encoded(suffix: str, height: int, width: int) -> bytes:
    return cv2.imencode(suffix, disc(height, width))[1].tobytes()


def held(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("vesselrt_held_bytes ")).split()[1])


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "waited for 60 s in vain"
        time.sleep(0.02)


def send(client: httpx.Client, address: str, body: bytes, header: str = "X-Nothing: 1") -> socket.socket:
    """A request, of whose answer nothing is read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((client.base_url.host, client.base_url.port or 0))
    head = f"POST {address} HTTP/1.1\r\nHost: x\r\n{header}\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


@contextmanager
def all_closed(*connections: socket.socket) -> Iterator[None]:
    with ExitStack() as stack:
        for connection in connections:
            stack.enter_context(connection)
        yield


def both_outputs(photo: bytes) -> tuple[bytes, str]:
    """A request for two bytes a pixel."""
    tensor = {"name": "file", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(photo) + 4}}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return text + len(photo).to_bytes(4, "little") + photo, f"Inference-Header-Content-Length: {len(text)}"


def test_answers_that_nobody_reads_have_a_place_in_the_budget() -> None:
    photo = encoded(".webp", 2000, 2000)  # a few KB
    body, header = both_outputs(photo)
    with running(max_memory=70_000_000) as client:
        with all_closed(*(send(client, "/v2/models/test/infer", body, header) for _ in range(4))):
            wait_until(lambda: held(client) > 4 * 2 * 2000 * 2000)
            refused = client.post("/predict", content=encoded(".png", 2000, 2000))
            assert refused.status_code == 503
            assert refused.json()["error"]["message"].startswith("requests hold 32,")
            assert client.post("/predict", content=encoded(".png", 600, 600)).status_code == 200, "what fits is served"
        wait_until(lambda: held(client) == 0)
        assert client.post("/predict", content=photo).status_code == 200


def test_the_body_of_an_answered_request_is_let_go() -> None:
    noise = np.where(disc(1500, 1500) > 0, np.random.default_rng(1).integers(0, 255, (1500, 1500, 3)), 0)
    body = cv2.imencode(".png", noise.astype(np.uint8))[1].tobytes()
    body += bytes(20_000_000 - len(body))
    with running(max_memory=90_000_000) as client:
        answer = len(client.post("/predict?format=overlay", content=body).content)
        assert 2_000_000 < answer < 8_000_000
        with all_closed(send(client, "/predict?format=overlay", body)):
            wait_until(lambda: held(client) == answer)
            assert client.post("/predict", content=body).status_code == 200


def test_a_photograph_that_needs_more_than_there_is_for_all_is_too_large() -> None:
    with running(max_memory=10_000_000) as client:
        answer = client.post("/predict", content=encoded(".png", 1000, 1000))
        assert answer.status_code == 413
        assert answer.json()["error"]["message"].endswith(
            "all requests together may hold 10,000,000. Send a smaller photograph, or ask for its mask."
        )
        wait_until(lambda: held(client) == 0)


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
            _, photograph = parse(body, None, Limits())
            assert isinstance(photograph, Pixels)
            photograph.read()
        seconds = time.thread_time() - started
        assert tracemalloc.get_traced_memory()[1] < 6 * len(body), "objects take 40 times as much"
    finally:
        tracemalloc.stop()
    assert seconds < 0.5, "a JSON parser holds the interpreter for seconds"


def test_odd_numbers_leave_the_server_as_it_was() -> None:
    with running() as client, ThreadPoolExecutor(6) as pool:
        before, address = memory(client), f"{client.base_url}/v2/models/test/infer"
        asked = [pool.submit(post_once, address, bytes(thirteen_megabytes(ODD[n]))) for n in (0, 1, 2, 3) * 3]
        assert {future.result().status_code for future in asked} <= {400, 422, 503}
        assert memory(client) - before < 400e6, "a JSON parser would have taken 3 GB"


def post_once(address: str, body: bytes) -> httpx.Response:
    return httpx.post(address, content=body, timeout=60, trust_env=False)


def memory(client: httpx.Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("process_resident_memory_bytes ")).split()[1])


# Connections and files


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_{0}, ({1}, {1}))"


@pytest.mark.parametrize("files", [128, 20_000])
def test_health_has_a_port_of_its_own_when_all_connections_are_taken(files: int) -> None:
    port, key = free_port(), "0123456789abcdef"
    with (
        server(LIMIT.format("NOFILE", files), admin_port=port, api_key=key, max_connections=200) as found,
        ExitStack() as stack,
    ):
        assert f"  admin   http://127.0.0.1:{port}/health and /metrics\n" in found.lines
        host = (found.client.base_url.host, found.client.base_url.port)
        for _ in range(400):
            stack.enter_context(socket.create_connection(host)).sendall(b"GET /health HT")
        with pytest.raises((httpx.HTTPError, AssertionError)):
            assert httpx.get(f"{found.client.base_url}/health", trust_env=False).status_code == 200
        for _ in range(20):
            admin = httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
            assert (admin.status_code, admin.json()["ready"]) == (200, True)
        figures = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
        refused = re.search(r"^vesselrt_connections_refused_total ([\d.]+)$", figures, re.MULTILINE)
        assert refused
        assert float(refused[1]) >= 200
        other = httpx.get(f"http://127.0.0.1:{port}/predict", trust_env=False)
        assert other.status_code == 404
        assert other.json()["error"]["message"].endswith("on this port: it is for /health and /metrics alone.")
        found.log.seek(0)
        log = found.log.read()
        assert len(log) < 20_000, log[:3000]
        assert "Traceback" not in log
        assert log.count(" refused: ") <= 10, "told once a second"


BUSY = """
import time
from vesselrt.server.http import reports
def versions():
    end = time.monotonic() + 5
    while time.monotonic() < end:
        pass
    return reports.Version(vesselrt="", python="", libraries={})
reports.versions = versions
"""


def test_health_has_a_loop_of_its_own_when_the_other_is_busy() -> None:
    port = free_port()
    with (
        server(BUSY, admin_port=port) as found,
        ThreadPoolExecutor(1) as pool,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as admin,
    ):
        wait_until(lambda: admin.get("/health/ready").status_code == 200)
        busy, seconds = pool.submit(found.client.get, "/version"), []
        time.sleep(0.2)
        for path in ("/health", "/health/ready", "/health/live", "/metrics", "/v2/health/live") * 3:
            started = time.monotonic()
            assert admin.get(path).status_code == 200
            seconds.append(time.monotonic() - started)
        assert not busy.done()
        assert sorted(seconds)[len(seconds) // 2] < 0.25, seconds
        assert busy.result().status_code == 200
        found.process.terminate()
        assert found.process.wait(20) == 0


def test_a_length_beside_chunks_closes_the_connection() -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    with running() as client, socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        connection.sendall(head + b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        assert answer.count(b"HTTP/1.1 ") == 1, "what follows may be somebody else's request"
        assert b"connection: close" in answer.lower()


def test_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "vesselrt.sock"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, MANIFEST.to_json(), json.dumps({"socket": str(path)})],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == f"vesselrt  unix:{path}  (stop with Ctrl+C)\n"
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://x") as client:
            wait_until(lambda: path.exists() and client.get("/health").status_code == 200)
            assert client.post("/predict", content=encoded(".png", 100, 100)).status_code == 200
        with pytest.raises(
            SystemExit, match=r"vesselrt.sock is in use. Stop what is using it, or choose another with V"
        ):
            listen_unix(path)
        process.terminate()
        assert process.wait(20) == 0
    assert not path.exists()


# Memory that the system refuses


def test_refused_memory_is_told_and_survived() -> None:
    photo = encoded(".jpg", 5000, 5000)
    with server(max_memory=2**31) as found:
        client = found.client
        wait_until(lambda: client.get("/health").status_code == 200)
        assert client.post("/predict?format=overlay", content=photo).status_code == 200
        small = encoded(".png", 200, 200)
        assert client.post("/predict", content=small).status_code == 200, "its decoder is loaded"
        mapped = int(Path(f"/proc/{found.process.pid}/statm").read_text().split()[0]) * 4096
        resource.prlimit(found.process.pid, resource.RLIMIT_AS, (mapped + 20 * 2**20,) * 2)
        for form in ("overlay", "mask", "json"):
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
    monkeypatch.setattr(budget, "_read", lambda path: files.get(str(path), ""))
    assert budget.usable_memory() == 2**31
    assert budget.usual_budget(1) == 2**30
    assert budget.usual_budget(4) == 2**28
    files |= {"/proc/self/cgroup": "4:cpu,memory:/box\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"}
    assert budget.usable_memory() == 2**30
    files["/proc/self/cgroup"] = ""
    assert budget.usual_budget(1) == budget.MOST


# Workers that die

WORKERS = """
import os, sys
from pathlib import Path
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server import process
from vesselrt.server.http.application import create_app
from vesselrt.server.settings import Settings

class Worker(process.Worker):
    def __call__(self):
        starts = Path(sys.argv[1], "starts")
        with starts.open("a") as file:
            file.write("x")
        if len(starts.read_text()) in FAILING:
            raise MemoryError("no more")
        segmenter = Segmenter(Manifest.from_json(sys.argv[2], source="t"), FakeBackend())
        return create_app(segmenter, self.settings, warm=True)

if __name__ == "__main__":
    process.from_settings, process.Worker = (lambda settings: []), Worker
    process.serve(Settings(port=int(sys.argv[3]), workers=2))
"""


@contextmanager
def workers(folder: Path, failing: str, port: int) -> "Iterator[subprocess.Popen[str]]":
    script = folder / "script.py"
    script.write_text(f"FAILING = {failing}\n{WORKERS}")
    with (folder / "log").open("w") as log:
        command = [sys.executable, str(script), str(folder), MANIFEST.to_json(), str(port)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, text=True) as process:
            try:
                yield process
            finally:
                process.terminate()


def children(process: "subprocess.Popen[str]") -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in text.split() if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_worker_that_can_not_start_ends_no_other_one(tmp_path: Path) -> None:
    port = free_port()
    with workers(tmp_path, "(2,)", port) as process:

        def both_answer() -> bool:
            with suppress(httpx.HTTPError, OSError):
                httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).raise_for_status()
                return (tmp_path / "starts").read_text() == "xxx" and len(children(process)) == 2
            return False

        wait_until(both_answer)
        killed = children(process)[0]
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: killed not in children(process) and len(children(process)) == 2)
        assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
        log = (tmp_path / "log").read_text()
        assert log.count("ended with status 1; the reason may stand above; another one follows") == 1
        assert f"worker {killed} was ended by SIGKILL, by the system for want of memory, or by hand; another one" in log


def test_workers_that_can_not_start_at_all_are_the_end(tmp_path: Path) -> None:
    with workers(tmp_path, "range(100)", free_port()) as process:
        assert process.wait(60) == 1
    assert (tmp_path / "log").read_text().endswith("The workers could not start; the reason stands above.\n")


@pytest.mark.parametrize("free", [0, 2**20])
def test_a_full_folder_for_temporary_files_is_named(free: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(SystemExit, match=f"^{tmp_path} has {free:,} bytes left, 16,777,216 are needed. The figures of"):
        folder_for_figures(2).__enter__()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(SystemExit, match=r"^There is no folder for temporary files that can be used \(No such file"):
        folder_for_figures(2).__enter__()
