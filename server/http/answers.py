"""From a segmentation to the body and the headers of an answer."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vesselrt.runtime.encode import SUFFIXES, Format
from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.server.http.upload import Options
from vesselrt.server.work.service import Answer

_MOST_WARNED = 1000  # characters of warnings in a header: proxies allow 4 or 8 KB for all headers
_MOST_SCALES = 8


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
        if options.format == "probability":
            _ = result.levels  # for the header: they are counted here, in a thread of the service, and then kept
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
        **result.document(threshold),
        "milliseconds": {stage: round(ms, 2) for stage, ms in result.timings.items()},
    }


def headers(answer: Answer, options: Options, stem: str) -> dict[str, str]:
    """What was done, and how the file is called."""
    result = answer.result
    threshold = result.threshold if options.threshold is None else options.threshold
    fields = {
        "Server-Timing": ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in answer.timings.items()),
        "Vary": "Accept",
        "X-Vesselrt-Model": f"{answer.manifest.name} {answer.manifest.version}",
        "X-Vesselrt-Device": result.info.device,
        "X-Vesselrt-Precision": result.info.precision,
        "X-Vesselrt-Threshold": f"{threshold:g}",
        "X-Vesselrt-Scale": ", ".join(f"{scale.diameter:g} {scale.source}" for scale in result.scales[:_MOST_SCALES]),
        "Content-Disposition": f'inline; filename="{file_name(stem, options.format)}"',
    }
    if result.warnings:
        fields["X-Vesselrt-Warnings"] = in_header(result.warnings)
    if options.format == "probability":
        fields["X-Vesselrt-Levels"] = ",".join(str(count) for count in result.levels.tolist())
    return fields


def in_header(warnings: Sequence[str]) -> str:
    """Sentences as a header can carry them: printable ASCII, `|` between them, and no more than fit."""
    plain = (re.sub(r"[^ -{}~]+", "?", warning.replace("×", "x")) for warning in warnings)
    return " | ".join(plain)[:_MOST_WARNED]


def file_name(stem: str, form: str) -> str:
    """As the command line names its files."""
    return f"{stem}-{form}{SUFFIXES[form]}"
