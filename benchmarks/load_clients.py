"""Clients of a server under load: what they send, and what they see."""

import base64
import http.client
import json
import re
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from itertools import cycle

from vesselrt.benchmarks.photos import Photo
from vesselrt.benchmarks.serving import ANSWER_SECONDS
from vesselrt.runtime.photo.decoding import decode_photo
from vesselrt.runtime.photo.preparation import prepare
from vesselrt.runtime.segmenter import Segmenter


@dataclass(frozen=True)
class PhotoRequest:
    """One photograph as it is sent, and the mask that must come back."""

    form: bytes
    """multipart/form-data, boundary `b`."""
    text: bytes
    """JSON, for LitServe."""
    factor: float
    """The scale at which the model wants the photograph: peers need not find it."""
    data: bytes
    mask: bytes

    @classmethod
    def of(cls, photo: Photo, segmenter: Segmenter) -> "PhotoRequest":
        """With the mask that the library gives."""
        prepared = prepare(decode_photo(photo.data).pixels, segmenter.manifest.preparation)
        factor = max(prepared.pixels.shape[:2]) / max(prepared.box.height, prepared.box.width)
        head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="photo.jpg"\r\n'
        form = head + b"Content-Type: image/jpeg\r\n\r\n" + photo.data + b"\r\n--b--\r\n"
        text = json.dumps({"image": base64.b64encode(photo.data).decode(), "factor": factor}).encode()
        return cls(form, text, factor, photo.data, segmenter.segment(photo.data).encode("mask"))


@dataclass
class Tally:
    """What one client saw, or all of them."""

    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    """Of each answer."""
    http: list[float] = field(default_factory=list)
    """Of each answer that tells its stages: ms less theirs."""
    refused: int = 0
    """503."""
    errors: int = 0
    wrong: int = 0
    """Masks that are not the expected one."""

    @classmethod
    def sum(cls, tallies: "Iterable[Tally]") -> "Tally":
        total = cls()
        for tally in tallies:
            for part in fields(cls):
                setattr(total, part.name, getattr(total, part.name) + getattr(tally, part.name))
        return total


def run_clients(column: str, port: int, requests: list[PhotoRequest], count: int, seconds: float) -> Tally:
    """`count` clients for `seconds`, each of which asks again as soon as it is answered."""
    barrier = threading.Barrier(count)

    def run_client(number: int) -> Tally:
        tally, connection = Tally(), http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
        barrier.wait()
        end = time.perf_counter() + seconds
        first = number % len(requests)
        for request in cycle(requests[first:] + requests[:first]):
            if time.perf_counter() > end:
                break
            _ask(connection, column, request, tally)
        connection.close()
        return tally

    ask_once(column, port, requests[0])
    started = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        tally = Tally.sum(pool.map(run_client, range(count)))
    tally.seconds = time.perf_counter() - started
    return tally


def ask_once(column: str, port: int, request: PhotoRequest) -> bytes:
    """The body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        return _send(connection, column, request)[1]
    finally:
        connection.close()


def _ask(connection: http.client.HTTPConnection, column: str, request: PhotoRequest, tally: Tally) -> None:
    """One request, and what became of it."""
    begun = time.perf_counter()
    try:
        answer, body = _send(connection, column, request)
    except (OSError, http.client.HTTPException):
        tally.errors += 1
        connection.close()
        return
    milliseconds = (time.perf_counter() - begun) * 1e3
    if answer.status == http.client.SERVICE_UNAVAILABLE:
        tally.refused += 1
        time.sleep(float(answer.headers.get("Retry-After", 1)))
    elif answer.status != http.client.OK:
        tally.errors += 1
    else:
        tally.milliseconds.append(milliseconds)
        tally.wrong += body != request.mask
        if stages := re.findall(r"(?!wait|total)\b\w+;dur=([\d.]+)", answer.headers.get("Server-Timing", "")):
            tally.http.append(milliseconds - sum(map(float, stages)))


def _send(
    connection: http.client.HTTPConnection, column: str, request: PhotoRequest
) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer and its body."""
    if column.startswith("litserve"):
        connection.request("POST", "/predict", request.text, {"Content-Type": "application/json"})
    else:
        address = "/predict" if column == "vesselrt" else f"/predict?factor={request.factor}"
        connection.request("POST", address, request.form, {"Content-Type": "multipart/form-data; boundary=b"})
    answer = connection.getresponse()
    return answer, answer.read()
