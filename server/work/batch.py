"""Several photographs in one request, answered one by one as they finish: a ZIP file, or lines of JSON."""

import asyncio
import base64
import json
import time
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import islice
from typing import IO, Any, Literal, cast

from vesselrt.runtime.output.formats import format_spec, output_name
from vesselrt.server.http.answers import finisher
from vesselrt.server.http.errors import DeadlineError, describe
from vesselrt.server.http.upload import Upload
from vesselrt.server.work.budget import BYTES_A_PIXEL, Share
from vesselrt.server.work.jobs import Answer, Encoded, Work
from vesselrt.server.work.service import Service

Container = Literal["zip", "ndjson"]
CONTAINERS: dict[Container, str] = {"zip": "application/zip", "ndjson": "application/x-ndjson"}
"""Media types."""


def container_from_accept(accept: str) -> Container:
    """NDJSON where it is named, else ZIP."""
    return "ndjson" if "ndjson" in accept.lower() else "zip"


@dataclass(frozen=True)
class Item:
    """One photograph of a batch: an answer, or the error instead."""

    number: int
    """From 0, as they were sent."""
    stem: str
    outcome: Answer | Exception


async def run(service: Service, sent: Upload, seconds: float | None, share: Share) -> AsyncIterator[Item]:
    """The photographs as they finish, within `seconds` all of them; None: each within the setting.

    A place in the queue is taken for each, and none while the client reads: others get their turn between them.
    """
    finish, cost = finisher(sent.options), BYTES_A_PIXEL[sent.options.format]
    end = None if seconds is None else time.monotonic() + seconds

    async def one(number: int, stem: str, photograph: Encoded) -> Item:
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            late = f"the batch's {seconds:g} s were over. Send fewer photographs, or allow more time."
            return Item(number, stem, DeadlineError(late))
        try:
            options = sent.options
            work = Work(photograph, finish, cost, options.model, left, options.scale, share)
            del photograph
            return Item(number, stem, await service.run(work, patient=True))
        except Exception as error:  # noqa: BLE001 - it is told in the place of the answer
            return Item(number, stem, error)

    sent.photographs.reverse()
    count = len(sent.photographs)
    waiting = (asyncio.create_task(one(n, *sent.photographs.pop())) for n in range(count))
    running = set(islice(waiting, service.at_once))
    try:
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # The next ones begin while these are sent, and no more of them: a slow client does not fill the memory.
            running |= set(islice(waiting, len(done)))
            while done:
                item = done.pop().result()
                yield item
                if isinstance(item.outcome, Answer):  # it is sent
                    share.give(sum(memoryview(part).nbytes for part in item.outcome.parts))
    finally:
        for task in running:
            task.cancel()


async def begun(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, whose first part is there: what hinders it is raised here, where it still can be the answer."""
    first = await anext(parts)

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for part in parts:
            yield part

    return whole()


async def stream(container: Container, items: AsyncIterator[Item], form: str) -> AsyncIterator[bytes]:
    """The items as the bytes of a container."""
    if container == "ndjson":
        async for item in items:
            yield await asyncio.to_thread(_line, item, form) + b"\n"
        return
    sink = _Sink()
    with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_STORED) as archive:  # PNG is compressed
        async for item in items:
            if isinstance(item.outcome, Answer):
                archive.writestr(f"{item.number:03}-{output_name(item.stem, form)}", _body(item.outcome))
                if warnings := item.outcome.warnings:
                    archive.writestr(f"{item.number:03}-{item.stem}-warnings.json", _compact({"warnings": warnings}))
            else:
                archive.writestr(f"{item.number:03}-{item.stem}-error.json", _line(item, form))
            yield sink.take()
    yield sink.take()


def _body(answer: Answer) -> bytes:
    (part,) = answer.parts
    return bytes(part)


def _line(item: Item, form: str) -> bytes:
    """One JSON object: an answer of JSON as it is, a file in base64."""
    fields: dict[str, Any] = {"number": item.number, "name": item.stem}
    if isinstance(item.outcome, Exception):
        status, detail = describe(item.outcome)
        return _compact({**fields, "status": status, "error": detail.model_dump(exclude_none=True)})
    fields |= {
        "status": 200,
        "media_type": format_spec(form).media_type,
        "milliseconds": {stage: round(ms, 2) for stage, ms in item.outcome.timings.items()},
        "warnings": item.outcome.warnings,
    }
    body = _body(item.outcome)
    content = body if format_spec(form).media_type.endswith("json") else b'"%s"' % base64.b64encode(body)
    return b'%s,"content":%s}' % (_compact(fields)[:-1], content)


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class _Sink:
    """A file that is only written to, from its beginning to its end; what was written is taken away in pieces."""

    def __init__(self) -> None:
        self._pieces = bytearray()

    def write(self, data: bytes) -> int:
        self._pieces += data
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken = bytes(self._pieces)
        self._pieces.clear()
        return taken
