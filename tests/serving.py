"""A served model of one line of numpy, over real HTTP on loopback: what the tests of the server stand on."""

import base64
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import cv2
import httpx
import numpy as np
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from vesselrt.runtime.arrays import Image
from vesselrt.runtime.backends.fake import FakeBackend, identity
from vesselrt.runtime.manifest import Input, Manifest, Preparation, Tile
from vesselrt.runtime.photo import processes
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server.http.application import create_app
from vesselrt.server.http.protocol import LimitedProtocol
from vesselrt.server.listeners import listen
from vesselrt.server.metrics import ServerMetrics
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.models import ModelSource, ServedModel
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
    return np.where(disc(height, width) > 0, image, 0).astype(np.uint8)


def disc(height: int, width: int) -> Image:
    """(H, W, 3): a field of view of one colour."""
    image = np.zeros((height, width, 3), np.uint8)
    centre, radius = (width // 2, height // 2), min(height, width) // 2 - 2
    return cv2.circle(image, centre, radius, (200, 90, 40), -1).astype(np.uint8)


def encoded(suffix: str, image: Image) -> bytes:
    return cv2.imencode(suffix, image[:, :, ::-1])[1].tobytes()


def png(image: Image) -> bytes:
    return encoded(".png", image)


PHOTO = png(picture())
FILE = {"name": "file", "datatype": "BYTES", "shape": [1], "data": [base64.b64encode(PHOTO).decode()]}
"""The input of `infer` that holds it."""


@contextmanager
def decoding_here() -> Iterator[None]:
    """Services that start meanwhile decode in their own process, as where the system is not Linux."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "SUPPORTED", False)
        yield


@contextmanager
def running(
    source: ModelSource | Sequence[ServedModel],
    settings: ServerSettings | None = None,
    *,
    ready: bool = True,
    warm: bool = False,
    decoders: bool = False,
) -> Iterator[httpx.Client]:
    """A real server in a thread, spoken to as `vesselrt serve` does it, and a client for it.

    `decoders`: whether it decodes in processes of its own, which take a second to start.
    """
    settings = settings or ServerSettings()
    if "maps_bytes" not in settings.model_fields_set:  # one photograph is sent again and again, and analysed each time
        settings = settings.model_copy(update={"maps_bytes": 0})
    speaker = partial(LimitedProtocol, settings=settings)
    with nullcontext() if decoders else decoding_here(), listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(source, settings, warm=warm),
                http=speaker,  # type: ignore[arg-type]
                ws="none",
                log_config=None,
                timeout_graceful_shutdown=round(settings.drain),
            )
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with httpx.Client(base_url=address, timeout=20, trust_env=False) as client:
            try:
                wait_until(lambda: server.started)
                if ready:
                    wait_until(lambda: client.get("/health/ready").status_code == 200)
                yield client
            finally:
                server.should_exit = True
                thread.join()


def service_around(source: Segmenter, **settings: Any) -> Service:
    """Without an application; it analyses every photograph anew."""
    return Service(
        [ServedModel("test", source, warm=True)], ServerSettings(**{"maps_bytes": 0, **settings}), ServerMetrics()
    )


SERVE = """
import json, sys
from vesselrt.runtime.backends.fake import FakeBackend
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmenter import Segmenter
from vesselrt.server import ServerSettings, serve
if __name__ == "__main__":
    segmenter = Segmenter(Manifest.from_json(sys.argv[1], source="test"), FakeBackend())
    serve(ServerSettings(**json.loads(sys.argv[2])), segmenter)
"""
"""`python -c SERVE MANIFEST SETTINGS`, both as JSON."""


@dataclass
class ServerProcess:
    """A server in a process of its own: what is measured of it is not what the test itself does."""

    client: httpx.Client
    process: "subprocess.Popen[str]"
    lines: list[str]
    """What it said at its start."""
    log: IO[str]
    """Its error stream."""


@contextmanager
def server_process(first: str = "", **settings: Any) -> Iterator[ServerProcess]:
    """`first`: Python that the process begins with. It is ready."""
    arguments = [MANIFEST.to_json(), json.dumps({"port": 0, "maps_bytes": 0, **settings})]
    command = [sys.executable, "-c", f"{first}\n{SERVE}", *arguments]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            while lines[-1] and not lines[-1].startswith("  default"):
                lines.append(process.stdout.readline())
            address = re.search(r"http://\S+", lines[0])
            assert address, (lines, log.seek(0), log.read())
            with httpx.Client(base_url=address[0], timeout=30, trust_env=False) as client:
                wait_until(lambda: is_ready(address[0]))
                yield ServerProcess(client, process, lines, log)
        finally:
            process.kill()


def is_ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health", trust_env=False, timeout=20).status_code == 200
    except httpx.TransportError:
        return False


def children(pid: int) -> list[int]:
    """Processes that it has started."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123
        return [int(child) for child in file.read().split()]


def command_line(pid: int) -> bytes:
    """Empty when the process has ended: one of a list of children may be gone before it is asked."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end, "waited for 60 s in vain"
        time.sleep(0.01)


def post(client: httpx.Client, way: str, photo: bytes = PHOTO, **query: Any) -> httpx.Response:
    """To /predict, as a form ("multipart") or as a body of the media type that `way` names."""
    if way == "multipart":
        return client.post("/predict", params=query, files={"image": ("photo.png", photo, "image/png")})
    return client.post("/predict", params=query, content=photo, headers={"Content-Type": way})


def error(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, type and message of an error; the request's name in it is the one in the header."""
    detail = answer.json()["error"]
    assert detail["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, detail["type"], detail["message"]


def figure(client: httpx.Client, name: str, **labels: str) -> float:
    """One of /metrics."""
    families = text_string_to_metric_families(client.get("/metrics", headers={"Accept": "text/plain"}).text)
    return sum(s.value for f in families for s in f.samples if s.name == name and labels.items() <= s.labels.items())


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


def send_unread(client: httpx.Client, address: str, body: bytes, header: str = "X-Nothing: 1") -> socket.socket:
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
