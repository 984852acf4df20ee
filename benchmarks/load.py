"""The server under load, over real HTTP, beside what one would write otherwise: same run, same photographs.

    python -m vesselrt.benchmarks.load --minutes 10 --json load.json

Each column is a server in a process of its own, asked by 1 to 64 clients at once. By turns with vesselrt's server the
library is called in this process, one photograph after another, so that what else the machine does slows both. Of
vesselrt's server every mask is compared with the library's; the others' masks must not change. Then vesselrt's server
is sent good and hostile requests for some minutes: each must be answered, and its memory must not grow.
"""

import base64
import http.client
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
import zlib
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.util import find_spec
from itertools import cycle
from pathlib import Path
from typing import Any

from vesselrt.benchmarks.measure import Spread
from vesselrt.benchmarks.photos import Photo, from_size
from vesselrt.runtime.errors import VesselrtError
from vesselrt.runtime.files import atomic_write
from vesselrt.runtime.hardware import machine
from vesselrt.runtime.photo.decoding import decode_photo
from vesselrt.runtime.photo.preparation import prepare
from vesselrt.runtime.segmenter import Segmenter, load

CONCURRENCY = (1, 2, 4, 8, 16, 32, 64)
COLUMNS = {
    "vesselrt": None,
    "fastapi+monai": ("monai",),
    "litserve+monai": ("litserve", "monai"),
    "ray serve+monai": ("ray.serve", "monai"),
}
"""Column → the packages without which it is left out."""
_TURNS = 3
"""Of the library and of the server, in one row."""
_PATIENCE = 120.0  # s, for an answer


@dataclass(frozen=True)
class Row:
    """One column at one concurrency."""

    column: str
    concurrency: int
    answers: int
    per_s: float
    milliseconds: Spread
    refused: int
    """503 within the time; clients asked again after what Retry-After said."""
    errors: int
    of_library: float | None
    """`per_s` over that of the library's turns beside it; None for peers."""
    http: float | None
    """ms, p50 of a client's time less that of the photograph's stages; None where others wait, or it is not told."""
    wrong: int
    """Masks that differ from the library's, or of a peer from its first."""


@dataclass
class Soak:
    """Minutes of mixed traffic."""

    minutes: float
    statuses: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0
    wrong: int = 0
    resident_mb: list[float] = field(default_factory=list)
    """Of the server, ten times in the run."""


def main() -> None:
    """Prints a table; writes JSON where asked to."""
    given = _arguments()
    photos = [from_size(size, given.data) for size in given.sizes]
    with load(given.model, device=given.device, precision=given.precision, threads=given.threads) as segmenter:
        asks = [_Ask.of(photo, segmenter) for photo in photos]
        report: dict[str, Any] = {"machine": machine(), "device": str(segmenter.info), "rows": [], "skipped": {}}
        print(_HEAD, flush=True)
        if "vesselrt" in given.columns:
            with _serving("vesselrt", given) as (port, _):
                for concurrency in given.concurrency:
                    for row in _beside_library(segmenter, port, asks, concurrency, given.seconds):
                        report["rows"].append(asdict(row))
                        print(_line(row), flush=True)
    for column in (c for c in given.columns if c != "vesselrt"):
        reason = _lacking(column)
        if reason:
            report["skipped"][column] = reason
            print(f"| {column} | – | | | | | | | | | {reason} |", flush=True)
            continue
        try:
            with _serving(column, given) as (port, _):
                own = [ask.answered(_once(port, ask, column)) for ask in asks]
                for concurrency in given.concurrency:
                    row = _row(column, concurrency, [_measure(column, port, own, concurrency, given.seconds)])
                    report["rows"].append(asdict(row))
                    print(_line(row), flush=True)
        except VesselrtError as error:  # a peer that does not start takes no other column with it
            report["skipped"][column] = str(error)
            print(f"| {column} | – | | | | | | | | | {error} |", flush=True)
    if given.minutes:
        with _serving("vesselrt", given) as (port, process):
            soak = _soak(port, process, asks, given.minutes)
        report["soak"] = asdict(soak)
        print(f"\n{soak}")
    if given.json:
        with atomic_write(given.json) as name:
            name.write_text(json.dumps(report, indent=1), "utf-8")


def _arguments() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--workers", type=int, default=1, help="of vesselrt's server")
    parser.add_argument("--data", type=Path, help="folder that holds CHASE_DB1 or HRF; default: drawn photographs")
    parser.add_argument("--sizes", nargs="+", default=["565x584", "999x960"], help="width x height of the photographs")
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=list(COLUMNS))
    parser.add_argument("--concurrency", nargs="+", type=int, default=list(CONCURRENCY))
    parser.add_argument("--seconds", type=float, default=10, help="of each row")
    parser.add_argument("--minutes", type=float, default=10, help="of mixed good and hostile traffic; 0: none")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


_HEAD = """\
| column | clients | photographs/s | of library's | p50 ms | p99 ms | of it HTTP | refused | errors | wrong | |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"""


def _line(row: Row) -> str:
    times = row.milliseconds
    share = "–" if row.of_library is None else f"{row.of_library:.2f}"
    http_ms = "–" if row.http is None else f"{row.http:.1f}"
    return (
        f"| {row.column} | {row.concurrency} | {row.per_s:.2f} | {share} | {times.p50:.1f} | {times.p99:.1f} | "
        f"{http_ms} | {row.refused} | {row.errors} | {row.wrong} | |"
    )


@dataclass(frozen=True)
class _Ask:
    """One photograph as it is sent, and the mask that must come back."""

    form: bytes
    """multipart/form-data, boundary `b`."""
    text: bytes
    """JSON, for LitServe."""
    factor: float
    """The scale at which the model wants the photograph: finding it is not asked of the peers."""
    data: bytes
    mask: bytes

    @classmethod
    def of(cls, photo: Photo, segmenter: Segmenter) -> "_Ask":
        prepared = prepare(decode_photo(photo.data).pixels, segmenter.manifest.preparation)
        factor = max(prepared.pixels.shape[:2]) / max(prepared.box.height, prepared.box.width)
        head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\n'
        form = head + b"Content-Type: image/jpeg\r\n\r\n" + photo.data + b"\r\n--b--\r\n"
        text = json.dumps({"image": base64.b64encode(photo.data).decode(), "factor": factor}).encode()
        return cls(form, text, factor, photo.data, segmenter.segment(photo.data).encode("mask"))

    def answered(self, mask: bytes) -> "_Ask":
        """The same with another mask."""
        return replace(self, mask=mask)


@dataclass
class _Tally:
    """What one client saw, or all of them."""

    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    http: list[float] = field(default_factory=list)
    refused: int = 0
    errors: int = 0
    wrong: int = 0

    @classmethod
    def sum(cls, tallies: "Iterable[_Tally]") -> "_Tally":
        total = cls()
        for tally in tallies:
            for part in fields(cls):
                setattr(total, part.name, getattr(total, part.name) + getattr(tally, part.name))
        return total


def _beside_library(
    segmenter: Segmenter, port: int, asks: list[_Ask], concurrency: int, seconds: float
) -> tuple[Row, Row]:
    """The library's own calls, and vesselrt's server, in turns of `seconds` in all."""
    library, server = [], []
    for _ in range(_TURNS):
        library.append(_call(segmenter, asks, seconds / _TURNS))
        server.append(_measure("vesselrt", port, asks, concurrency, seconds / _TURNS))
    beside = _row("library, no HTTP", 1, library)
    row = _row("vesselrt", concurrency, server)
    return beside, replace(row, of_library=row.per_s / beside.per_s)


def _call(segmenter: Segmenter, asks: list[_Ask], seconds: float) -> _Tally:
    """The library's own call, one photograph after another."""
    segmenter.segment(asks[0].data)  # wakes its threads, which the server's turn has put to sleep
    tally, started = _Tally(), time.perf_counter()
    for ask in cycle(asks):
        begun = time.perf_counter()
        tally.wrong += segmenter.segment(ask.data).encode("mask") != ask.mask
        tally.milliseconds.append((time.perf_counter() - begun) * 1e3)
        if time.perf_counter() > started + seconds:
            break
    tally.seconds = time.perf_counter() - started
    return tally


def _measure(column: str, port: int, asks: list[_Ask], concurrency: int, seconds: float) -> _Tally:
    """`concurrency` clients that each ask again as soon as they are answered."""
    barrier = threading.Barrier(concurrency)

    def client(number: int) -> _Tally:
        tally, connection = _Tally(), http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
        barrier.wait()
        end = time.perf_counter() + seconds
        for ask in cycle(asks[number % len(asks) :] + asks[: number % len(asks)]):
            if time.perf_counter() > end:
                break
            begun = time.perf_counter()
            try:
                answer, body = _send(connection, column, ask)
            except (OSError, http.client.HTTPException):
                tally.errors += 1
                connection.close()
                continue
            milliseconds = (time.perf_counter() - begun) * 1e3
            if answer.status == http.client.SERVICE_UNAVAILABLE:
                tally.refused += 1
                time.sleep(float(answer.headers.get("Retry-After", 1)))
            elif answer.status != http.client.OK:
                tally.errors += 1
            else:
                tally.milliseconds.append(milliseconds)
                tally.wrong += body != ask.mask
                if stages := re.findall(r"(?!wait|total)\b\w+;dur=([\d.]+)", answer.headers.get("Server-Timing", "")):
                    tally.http.append(milliseconds - sum(map(float, stages)))
        connection.close()
        return tally

    _once(port, asks[0], column)
    started = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        tally = _Tally.sum(pool.map(client, range(concurrency)))
    tally.seconds = time.perf_counter() - started
    return tally


def _row(column: str, concurrency: int, turns: list[_Tally]) -> Row:
    total = _Tally.sum(turns)
    spread = Spread.of(total.milliseconds or [float("nan")])
    http_ms = Spread.of(total.http).p50 if concurrency == 1 and total.http else None
    answers = len(total.milliseconds)
    return Row(
        column,
        concurrency,
        answers,
        answers / total.seconds,
        spread,
        total.refused,
        total.errors,
        None,
        http_ms,
        total.wrong,
    )


def _send(connection: http.client.HTTPConnection, column: str, ask: _Ask) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer and its body."""
    if column.startswith("litserve"):
        connection.request("POST", "/predict", ask.text, {"Content-Type": "application/json"})
    else:
        address = "/predict" if column == "vesselrt" else f"/predict?factor={ask.factor}"
        connection.request("POST", address, ask.form, {"Content-Type": "multipart/form-data; boundary=b"})
    answer = connection.getresponse()
    return answer, answer.read()


def _once(port: int, ask: _Ask, column: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        return _send(connection, column, ask)[1]
    finally:
        connection.close()


def _lacking(column: str) -> str:
    """Why a column can't be measured here; empty where it can."""
    for package in COLUMNS[column] or ():
        try:
            there = find_spec(package) is not None
        except ModuleNotFoundError:
            there = False
        if not there:
            return f"{package} is not installed"
    return ""


@contextmanager
def _serving(column: str, given: Namespace) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """A server in a process of its own, when it is ready: its port and the process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = [f"--port={port}", *([f"--model={given.model}"] if given.model else [])]
    options += [f"--threads={given.threads}"] if given.threads else []
    if column == "vesselrt":
        devices = [f"--device={given.device}", f"--precision={given.precision}", f"--workers={given.workers}"]
        command = [sys.executable, "-m", "vesselrt.cli", "serve", *options, *devices]
    else:
        command = [sys.executable, "-m", "vesselrt.benchmarks.peers", column.split("+", maxsplit=1)[0], *options]
    environment = {**os.environ, "VESSELRT_MAPS_BYTES": "0"}  # the same photographs again and again
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        _wait_for(port, process)
        yield port, process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/health")
            if connection.getresponse().status == http.client.OK:
                return
        time.sleep(0.2)
    raise VesselrtError(f"{process.args!r} did not become ready within {_PATIENCE:g} s.")


# Good and hostile traffic


def _soak(port: int, process: "subprocess.Popen[bytes]", asks: list[_Ask], minutes: float) -> Soak:
    """Eight clients, each a mix of good and hostile requests, for `minutes`."""
    soak, statuses, lock = Soak(minutes), Counter[str](), threading.Lock()
    end = time.monotonic() + 60 * minutes

    def client(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - a mix that is the same in every run
        while time.monotonic() < end:
            ask = chance.choice(asks)
            kind = "good" if chance.random() < 0.6 else chance.choice(list(HOSTILE))
            sent, expects = (_request(ask.form), True) if kind == "good" else HOSTILE[kind](ask, chance)
            try:
                answer = _converse(port, sent, expects)
            except OSError:
                answer = b""
            head, _, body = answer.partition(b"\r\n\r\n")
            status = head.split(b" ")[1].decode() if b" " in head else "none"
            with lock:
                statuses[f"{kind}: {status}"] += 1
                soak.unanswered += expects and status == "none"
                soak.wrong += kind == "good" and status == "200" and body != ask.mask
            if status == "503":
                time.sleep(1)

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(client, seed) for seed in range(8)]
        for tenth in range(1, 11):
            time.sleep(max(0.0, end - 60 * minutes * (1 - tenth / 10) - time.monotonic()))
            soak.resident_mb.append(round(_resident(process.pid), 1))
        for done in clients:
            done.result()
    soak.statuses = dict(sorted(statuses.items()))
    return soak


def _request(
    body: bytes, head: str = "Content-Type: multipart/form-data; boundary=b", length: int | None = None
) -> bytes:
    size = len(body) if length is None else length
    text = f"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\nContent-Length: {size}\r\n\r\n"
    return text.encode() + body


def _png_bomb() -> bytes:
    """Declares 50,000 × 50,000 pixels."""
    head = b"IHDR" + (50_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0"
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + head + zlib.crc32(head).to_bytes(4, "big")


_RAW = "Content-Type: image/jpeg"
HOSTILE: dict[str, Callable[[_Ask, random.Random], tuple[bytes, bool]]] = {
    "truncated": lambda ask, chance: (_request(ask.data[: chance.randrange(1, len(ask.data) - 2)], _RAW), True),
    "noise": lambda _, chance: (_request(chance.randbytes(10_000), _RAW), True),
    "flipped": lambda ask, chance: (_request(_flipped(ask.data, chance), _RAW), True),
    "bomb": lambda *_: (_request(_png_bomb(), _RAW), True),
    "many fields": lambda *_: (_request(b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' * 3000), True),
    "too long": lambda *_: (_request(b"", _RAW, 2**40), True),
    "giant header": lambda *_: (b"GET / HTTP/1.1\r\nA: " + b"a" * 100_000, True),
    "no HTTP": lambda _, chance: (chance.randbytes(100) + b"\r\n\r\n", True),
    "leaves": lambda ask, chance: (_request(ask.form)[: chance.randrange(100, len(ask.form))], False),
    "leaves later": lambda ask, _: (_request(ask.form), False),
}
"""Kind → the bytes that are sent, and whether an answer is waited for."""


def _flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(20):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _converse(port: int, sent: bytes, expects: bool) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent
            connection.sendall(sent)
        answer = b""
        if expects:
            with suppress(ConnectionResetError):
                while piece := connection.recv(65536):
                    answer += piece
        return answer


def _resident(pid: int) -> float:
    """Resident memory of a process and its children, in units of 2**20 bytes."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 2**10
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return own + sum(_resident(int(child)) for child in children)


if __name__ == "__main__":
    main()
