"""Good and hostile traffic for some minutes: each request must be answered, and the server's memory must not grow."""

import random
import socket
import subprocess
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from vesselrt.benchmarks.load_clients import PhotoRequest
from vesselrt.benchmarks.process_memory import list_family, read_memory
from vesselrt.benchmarks.serving import ANSWER_SECONDS

CLIENTS = 8
GOOD_SHARE = 0.6
"""Of the requests; the others are of one hostile kind each."""


@dataclass
class SoakReport:
    """Minutes of mixed traffic."""

    minutes: float
    statuses: dict[str, int] = field(default_factory=dict)
    """Kind and HTTP status → requests."""
    unanswered: int = 0
    wrong: int = 0
    """Masks that are not the library's."""
    resident_mb: list[float] = field(default_factory=list)
    """Of the server and its children (2**20 bytes), ten times in the run."""


def soak(port: int, process: "subprocess.Popen[bytes]", requests: list[PhotoRequest], minutes: float) -> SoakReport:
    """Eight clients, each a mix of good and hostile requests, for `minutes`."""
    report, statuses, lock = SoakReport(minutes), Counter[str](), threading.Lock()
    end = time.monotonic() + 60 * minutes

    def run_client(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - a mix that is the same in every run
        while time.monotonic() < end:
            request = chance.choice(requests)
            kind = "good" if chance.random() < GOOD_SHARE else chance.choice(list(HOSTILE))
            status, body, expects = _send(port, kind, request, chance)
            with lock:
                statuses[f"{kind}: {status}"] += 1
                report.unanswered += expects and status == "none"
                report.wrong += kind == "good" and status == "200" and body != request.mask
            if status == "503":
                time.sleep(1)

    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(run_client, seed) for seed in range(CLIENTS)]
        for tenth in range(1, 11):
            time.sleep(max(0.0, end - 60 * minutes * (1 - tenth / 10) - time.monotonic()))
            resident = sum(read_memory("VmRSS", pid) for pid in list_family(process.pid))
            report.resident_mb.append(round(resident / 2**20, 1))
        for client in clients:
            client.result()
    report.statuses = dict(sorted(statuses.items()))
    return report


def _send(port: int, kind: str, request: PhotoRequest, chance: random.Random) -> tuple[str, bytes, bool]:
    """HTTP status ("none": no answer), body, and whether an answer was waited for."""
    sent, expects = (_http_request(request.form), True) if kind == "good" else HOSTILE[kind](request, chance)
    try:
        answer = _converse(port, sent, expects)
    except OSError:
        answer = b""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.split(b" ")[1].decode() if b" " in head else "none", body, expects


def _http_request(
    body: bytes, head: str = "Content-Type: multipart/form-data; boundary=b", length: int | None = None
) -> bytes:
    size = len(body) if length is None else length
    text = f"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\nContent-Length: {size}\r\n\r\n"
    return text.encode() + body


def _png_bomb() -> bytes:
    """Declares 50,000 × 50,000 pixels."""
    head = b"IHDR" + (50_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + head + zlib.crc32(head).to_bytes(4, "big")


_JPEG = "Content-Type: image/jpeg"
HOSTILE: dict[str, Callable[[PhotoRequest, random.Random], tuple[bytes, bool]]] = {
    "truncated": lambda request, chance: (
        _http_request(request.data[: chance.randrange(1, len(request.data) - 2)], _JPEG),
        True,
    ),
    "noise": lambda _, chance: (_http_request(chance.randbytes(10_000), _JPEG), True),
    "flipped": lambda request, chance: (_http_request(_flip_bytes(request.data, chance), _JPEG), True),
    "bomb": lambda *_: (_http_request(_png_bomb(), _JPEG), True),
    "many fields": lambda *_: (
        _http_request(b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' * 3000),
        True,
    ),
    "too long": lambda *_: (_http_request(b"", _JPEG, 2**40), True),
    "giant header": lambda *_: (b"GET / HTTP/1.1\r\nA: " + b"a" * 100_000, True),
    "no HTTP": lambda _, chance: (chance.randbytes(100) + b"\r\n\r\n", True),
    "leaves": lambda request, chance: (_http_request(request.form)[: chance.randrange(100, len(request.form))], False),
    "leaves later": lambda request, _: (_http_request(request.form), False),
}
"""Kind → the bytes that are sent, and whether an answer is waited for."""


def _flip_bytes(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(20):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _converse(port: int, sent: bytes, expects: bool) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            connection.sendall(sent)
        answer = b""
        if expects:
            with suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
        return answer
