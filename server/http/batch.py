"""Several photographs in one request, answered one by one as they finish: a ZIP file, or lines of JSON."""

import asyncio
import base64
import time
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import IO, Any, Literal, cast

from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.output.formats import format_spec, output_name
from vesselrt.runtime.photo.quality import Quality
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.stages import Clock
from vesselrt.server.http.answers import compact_json, file_body, frame_stem, photo_task, rounded
from vesselrt.server.http.errors import DeadlineError, describe_error
from vesselrt.server.http.options import AnswerOptions
from vesselrt.server.http.upload import Upload
from vesselrt.server.work.budget import Share
from vesselrt.server.work.service import Service
from vesselrt.server.work.tasks import EncodedPhoto

Container = Literal["zip", "ndjson"]
CONTAINERS: dict[Container, str] = {"zip": "application/zip", "ndjson": "application/x-ndjson"}
"""Media types."""


def container_from_accept(accept: str) -> Container:
    """NDJSON where it is named, else ZIP."""
    return "ndjson" if "ndjson" in accept.lower() else "zip"


@dataclass(frozen=True)
class BatchFile:
    """What was made of one photograph."""

    body: bytes
    timings: dict[str, float]
    """Milliseconds of each stage."""
    warnings: tuple[str, ...]
    quality: Quality | None = None

    @property
    def nbytes(self) -> int:
        return len(self.body)


@dataclass(frozen=True)
class BatchItem:
    """One photograph of a batch: a file, or the error instead."""

    number: int
    """From 0, as they were sent."""
    stem: str
    outcome: BatchFile | Exception


async def segment_batch(
    service: Service, sent: Upload, seconds: float | None, share: Share
) -> AsyncIterator[BatchItem]:
    """The photographs as they finish, within `seconds` all of them; None: each within the setting.

    A place in the queue is taken for each, and none while the client reads: others get their turn between them.
    """
    end = None if seconds is None else time.monotonic() + seconds

    async def segment_one(number: int, name: str, photograph: EncodedPhoto) -> BatchItem:
        stem, left = frame_stem(name, sent.options), None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            late = f"the batch's {seconds:g} s were over. Send fewer photographs, or allow more time."
            return BatchItem(number, stem, DeadlineError(late))
        try:
            finish = partial(_make_file, options=sent.options, name=name)
            task = replace(photo_task(photograph, finish, sent.options, share), seconds=left)
            del photograph
            return BatchItem(number, stem, await service.segment(task, wait_for_slot=True))
        except Exception as error:  # noqa: BLE001 - any error becomes this item; the other photographs go on
            return BatchItem(number, stem, error)

    sent.photographs.reverse()
    count = len(sent.photographs)
    waiting = (asyncio.create_task(segment_one(n, *sent.photographs.pop())) for n in range(count))
    running = set(islice(waiting, service.at_once))
    try:
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # The next ones begin while these are sent, and no more of them: a slow client does not fill the memory.
            running |= set(islice(waiting, len(done)))
            while done:
                item = done.pop().result()
                yield item
                if isinstance(item.outcome, BatchFile):  # it is sent
                    share.give(item.outcome.nbytes)
    finally:
        for task in running:
            task.cancel()


def _make_file(result: Segmentation, manifest: Manifest, options: AnswerOptions, name: str) -> BatchFile:
    with Clock(result.timings)("encode"):
        body = file_body(result, manifest, options, name)
    return BatchFile(body, result.timings, result.warnings, result.quality)


async def with_first_part(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same parts, the first of them ready: an error before it is raised here, and can still be the answer."""
    first = await anext(parts)

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for part in parts:
            yield part

    return whole()


async def pack_items(container: Container, items: AsyncIterator[BatchItem], form: str) -> AsyncIterator[bytes]:
    """The items as the bytes of a container."""
    if container == "ndjson":
        async for item in items:
            yield await asyncio.to_thread(_item_json, item, form) + b"\n"
        return
    sink = _ZipSink()
    with zipfile.ZipFile(cast(IO[bytes], sink), "w", zipfile.ZIP_STORED) as archive:  # PNG is compressed
        async for item in items:
            if isinstance(item.outcome, BatchFile):
                archive.writestr(f"{item.number:03}-{output_name(item.stem, form)}", item.outcome.body)
                if item.outcome.warnings:
                    content = compact_json(_doubts(item.outcome))
                    archive.writestr(f"{item.number:03}-{item.stem}-warnings.json", content)
            else:
                archive.writestr(f"{item.number:03}-{item.stem}-error.json", _item_json(item, form))
            yield sink.take()
    yield sink.take()


def _item_json(item: BatchItem, form: str) -> bytes:
    """One JSON object: an answer of JSON as it is, a file in base64."""
    fields: dict[str, Any] = {"number": item.number, "name": item.stem}
    if isinstance(item.outcome, Exception):
        status, detail = describe_error(item.outcome)
        return compact_json({**fields, "status": status, "error": detail.model_dump(exclude_none=True)})
    fields |= {
        "status": 200,
        "media_type": format_spec(form).media_type,
        "milliseconds": rounded(item.outcome.timings),
        **_doubts(item.outcome),
    }
    body = item.outcome.body
    content = body if format_spec(form).media_type.endswith("json") else b'"%s"' % base64.b64encode(body)
    return b'%s,"content":%s}' % (compact_json(fields)[:-1], content)


def _doubts(file: BatchFile) -> dict[str, Any]:
    return {"quality": file.quality and file.quality.document(), "warnings": file.warnings}


class _ZipSink:
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
