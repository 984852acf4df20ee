"""From a segmentation to the body and the headers of an answer."""

import json
from collections.abc import Callable
from typing import Any, cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vesselrt.runtime.encode import SUFFIXES, Format, document
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmenter import Segmentation
from vesselrt.server.http.upload import Options
from vesselrt.server.work.service import Answer


class Sliced(Response):
    """A body that is sent in pieces: each is copied on its way out, and other requests get their turn between them."""

    PIECE = 2**20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        body = memoryview(self.body)
        for start in range(0, max(len(body), 1), self.PIECE):
            end = start + self.PIECE
            await send({"type": "http.response.body", "body": bytes(body[start:end]), "more_body": end < len(body)})


def finisher(options: Options) -> Callable[[Segmentation, Manifest], bytes]:
    """What makes the body that `options` ask for."""

    def finish(result: Segmentation, manifest: Manifest) -> bytes:
        if options.format == "json":
            return json.dumps(describe(result, manifest, options), separators=(",", ":")).encode()
        return result.encode(cast(Format, options.format), options.threshold, options.colour, options.opacity)

    return finish


def describe(result: Segmentation, manifest: Manifest, options: Options) -> dict[str, Any]:
    """The library's document, and what was run on what for how long."""
    threshold = result.threshold if options.threshold is None else options.threshold
    return {
        "model": {"name": manifest.name, "version": manifest.version},
        "device": result.info.device,
        "precision": result.info.precision,
        **document(result.mask(threshold), result.image, threshold),
        "milliseconds": {stage: round(ms, 2) for stage, ms in result.timings.items()},
    }


def headers(answer: Answer, options: Options, stem: str) -> dict[str, str]:
    """What was done, and how the file is called."""
    threshold = answer.result.threshold if options.threshold is None else options.threshold
    return {
        "Server-Timing": ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in answer.timings.items()),
        "Vary": "Accept",
        "X-Vesselrt-Model": f"{answer.manifest.name} {answer.manifest.version}",
        "X-Vesselrt-Device": answer.result.info.device,
        "X-Vesselrt-Precision": answer.result.info.precision,
        "X-Vesselrt-Threshold": f"{threshold:g}",
        "Content-Disposition": f'inline; filename="{file_name(stem, options.format)}"',
    }


def file_name(stem: str, form: str) -> str:
    """As the command line names its files."""
    return f"{stem}-{form}{SUFFIXES[form]}"
