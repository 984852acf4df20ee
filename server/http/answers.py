"""From a segmentation to the body and the headers of an answer."""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.output.formats import OutputFormat, format_spec, output_name
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.server.http.accept import coding_from, compressed
from vesselrt.server.http.options import Options
from vesselrt.server.work.budget import Share
from vesselrt.server.work.jobs import Answer, Parts

_MOST_WARNED = 1000  # characters of warnings in a header: proxies allow 4 or 8 KB for all headers
_MOST_SCALES = 8


class Parted(Response):
    """A body in parts, each of which gives its place in the request's memory back when its client has taken it."""

    def __init__(self, parts: Parts, share: Share, headers: dict[str, str], media_type: str) -> None:
        super().__init__(headers=headers, media_type=media_type)
        self._parts, self._share = list(reversed(parts)), share
        self.headers["Content-Length"] = str(sum(memoryview(part).nbytes for part in parts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while self._parts:
            part = self._parts.pop()
            await send({"type": "http.response.body", "body": part, "more_body": bool(self._parts)})
            self._share.give(memoryview(part).nbytes)


def coding_of(form: str, accept_encoding: str) -> str | None:
    """How an answer of this format is compressed; PNG is already."""
    return None if format_spec(form).media_type == "image/png" else coding_from(accept_encoding)


def finisher(options: Options, coding: str | None = None) -> Callable[[Segmentation, Manifest], Parts]:
    """What makes the body that `options` ask for, in the thread of the photograph's own work."""

    def finish(result: Segmentation, manifest: Manifest) -> Parts:
        if options.format == "probability":
            _ = result.levels  # for the header: they are counted here, in a thread of the service, and then kept
        if options.format == "json":
            body = json.dumps(describe(result, manifest, options), separators=(",", ":")).encode()
        else:
            form = cast(OutputFormat, options.format)
            body = result.encode(form, options.threshold, options.colour, options.opacity, options.simplify)
        return [compressed(body, coding) if coding else body]

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


def headers(answer: Answer, options: Options, stem: str, coding: str | None) -> dict[str, str]:
    """What was done, and how the file is called."""
    threshold = answer.threshold if options.threshold is None else options.threshold
    fields = {
        "Server-Timing": ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in answer.timings.items()),
        "Vary": "Accept, Accept-Encoding",
        **({"Content-Encoding": coding} if coding else {}),
        "X-Vesselrt-Model": f"{answer.manifest.name} {answer.manifest.version}",
        "X-Vesselrt-Device": answer.info.device,
        "X-Vesselrt-Precision": answer.info.precision,
        "X-Vesselrt-Threshold": f"{threshold:g}",
        "X-Vesselrt-Scale": ", ".join(f"{scale.diameter:g} {scale.source}" for scale in answer.scales[:_MOST_SCALES]),
        "Content-Disposition": f'inline; filename="{output_name(stem, options.format)}"',
    }
    if answer.warnings:
        fields["X-Vesselrt-Warnings"] = in_header(answer.warnings)
    if answer.levels is not None:
        fields["X-Vesselrt-Levels"] = ",".join(str(count) for count in answer.levels)
    return fields


def in_header(warnings: Sequence[str]) -> str:
    """Sentences as a header can carry them: printable ASCII, `|` between them, and no more than fit."""
    plain = (re.sub(r"[^ -{}~]+", "?", warning.replace("×", "x")) for warning in warnings)
    return " | ".join(plain)[:_MOST_WARNED]
