"""From a segmentation to the body and the headers of an answer."""

import importlib
import json
import math
import re
import unicodedata
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, cast
from urllib.parse import quote

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from vesselrt.runtime.manifest import Manifest
from vesselrt.runtime.measures.measuring import Ruler
from vesselrt.runtime.output.classes import say_thresholds
from vesselrt.runtime.output.formats import OutputFormat, format_spec, output_name
from vesselrt.runtime.segmentation import Segmentation
from vesselrt.runtime.stages import Clock
from vesselrt.server.http.options import AnswerOptions, weighted_names
from vesselrt.server.http.upload import stem_of
from vesselrt.server.work.budget import BYTES_A_PIXEL, MEASURING_BYTES, Share
from vesselrt.server.work.tasks import EncodedPhoto, PhotoTask, T

BodyParts = Sequence[bytes | memoryview]
_MOST_WARNED = 1000  # characters of warnings in a header: proxies allow 4 or 8 KB for all headers
_MOST_SCALES = 8


class PartedResponse(Response):
    """A body in parts, each of which gives its place in the request's memory back when its client has taken it."""

    def __init__(self, parts: BodyParts, share: Share, headers: dict[str, str], media_type: str) -> None:
        super().__init__(headers=headers, media_type=media_type)
        self._parts, self._share = list(reversed(parts)), share
        self.nbytes = sum(memoryview(part).nbytes for part in parts)
        """Of the body."""
        self.headers["Content-Length"] = str(self.nbytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        while self._parts:
            part = self._parts.pop()
            await send({"type": "http.response.body", "body": part, "more_body": bool(self._parts)})
            self._share.give(memoryview(part).nbytes)


class PredictAnswer:
    """Makes the answer of /predict, in the thread of the photograph's own work."""

    def __init__(self, options: AnswerOptions, name: str, accept_encoding: str, share: Share) -> None:
        """`name`: of the upload's file, as `file_name` gives it. `share`: what holds the body until it is read."""
        self._options, self._name, self._accept_encoding, self._share = options, name, accept_encoding, share

    def __call__(self, result: Segmentation, manifest: Manifest) -> PartedResponse:
        media_type = format_spec(self._options.format).media_type
        coding = None if media_type == "image/png" else coding_from(self._accept_encoding)  # PNG is compressed already
        with Clock(result.timings)("encode"):
            body = file_body(result, manifest, self._options, self._name)
            body = compress(body, coding) if coding else body
        return PartedResponse([body], self._share, self._headers(result, manifest, coding), media_type)

    def _headers(self, result: Segmentation, manifest: Manifest, coding: str | None) -> dict[str, str]:
        """What was done, and how the file is called."""
        options, several = self._options, len(result.classes) > 1
        shown = result.layers(options.threshold, options.classes).shown
        scales = ", ".join(f"{scale.diameter:g} {scale.source}" for scale in result.scales[:_MOST_SCALES])
        headers = {
            "Server-Timing": server_timing(result.timings),
            "Vary": "Accept, Accept-Encoding",
            **({"Content-Encoding": coding} if coding else {}),
            "X-Vesselrt-Model": f"{manifest.name} {manifest.version}",
            "X-Vesselrt-Device": result.info.device,
            "X-Vesselrt-Precision": result.info.precision,
            "X-Vesselrt-Threshold": say_thresholds(shown, named=several),
            "X-Vesselrt-Scale": scales,
            "Content-Disposition": content_disposition(output_name(self._stem_of_classes(), options.format)),
        }
        if place := result.photograph.place:
            headers["X-Vesselrt-Frame"] = "{}/{}".format(*place)
        um_per_px = Ruler.told(result.photograph.origin, None, None, None).scale_of(result.scales[0])
        if not math.isnan(um_per_px):
            headers["X-Vesselrt-Um-Per-Px"] = f"{um_per_px:g}"
        if result.quality is not None:
            headers["X-Vesselrt-Quality"] = str(result.quality)
        if result.warnings:
            headers["X-Vesselrt-Warnings"] = warnings_header(result.warnings)
        if several:
            headers["X-Vesselrt-Classes"] = ",".join(layer.name for layer in shown)
        if options.format == "probability":
            outlines = (" ".join(f"{x},{y}" for x, y in s.outline) for s in result.scales[:_MOST_SCALES])
            headers["X-Vesselrt-Fields-Of-View"] = " | ".join(outlines)
            if not several:
                headers["X-Vesselrt-Levels"] = ",".join(map(str, result.levels.tolist()))
        return headers

    def _stem_of_classes(self) -> str:
        """With the classes that were asked for: the masks of an artery and of a vein are two files."""
        options = self._options
        return "-".join([frame_stem(self._name, options), *(options.classes or ())])


def frame_stem(name: str, options: AnswerOptions) -> str:
    """What the files of an upload of this name begin with: of a file of several photographs, each has its own."""
    return stem_of(name) if options.frame is None else f"{stem_of(name)}-frame-{options.frame}"


def content_disposition(name: str) -> str:
    """The header that names a file (RFC 6266): in its own letters, and for old clients in those of ASCII."""
    decomposed = unicodedata.normalize("NFKD", name)
    ascii_name = re.sub(r"[^A-Za-z0-9._ -]+", "_", re.sub(r"[\u0300-\u036f]", "", decomposed))
    own = "" if ascii_name == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'inline; filename="{ascii_name}"{own}'


def file_body(result: Segmentation, manifest: Manifest, options: AnswerOptions, name: str) -> bytes:
    """The file that `options` ask for; `name` is that of the upload's file."""
    if options.format == "coco":
        result = replace(result, file_name=name)
    if options.format != "json":
        form = cast(OutputFormat, options.format)
        style = (options.colour, options.opacity, options.simplify)
        return result.encode(form, options.threshold, *style, options.classes)
    document = {
        "model": {"name": manifest.name, "version": manifest.version},
        "device": result.info.device,
        "precision": result.info.precision,
        **result.document(options.threshold, options.classes),
        **_measurements(result, options),
        "milliseconds": rounded(result.timings),
    }
    return compact_json(document)


def _measurements(result: Segmentation, options: AnswerOptions) -> dict[str, Any]:
    if not options.measure:
        return {}
    ruler = options.ruler
    known: dict[str, Any] = {"um_per_px": ruler.um_per_px, "field_angle": ruler.field_angle, "disc": ruler.disc}
    return {"measurements": result.measure(options.threshold, options.classes, **known).document()}


def photo_task(
    photograph: EncodedPhoto, finish: Callable[[Segmentation, Manifest], T], options: AnswerOptions, share: Share
) -> PhotoTask[T]:
    """One photograph, and what it may take, so that `finish` makes of it what `options` ask for."""
    return PhotoTask(
        photograph, finish, BYTES_A_PIXEL[options.format], model=options.model, scale=options.scale,
        quality=options.quality, frame=options.frame, share=share,
        fixed_bytes=MEASURING_BYTES if options.measure or options.format == "dicom-sr" else 0,
    )  # fmt: skip


def compact_json(value: Any) -> bytes:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()


def rounded(timings: dict[str, float]) -> dict[str, float]:
    """Milliseconds as JSON has them."""
    return {stage: round(ms, 2) for stage, ms in timings.items()}


def server_timing(timings: dict[str, float]) -> str:
    """Milliseconds as the header Server-Timing has them."""
    return ", ".join(f"{stage};dur={ms:.1f}" for stage, ms in timings.items())


def warnings_header(warnings: Sequence[str]) -> str:
    """Sentences as a header can carry them: printable ASCII, `|` between them, and no more than fit."""
    plain = (re.sub(r"[^ -{}~]+", "?", warning.replace("×", "x")) for warning in warnings)
    return " | ".join(plain)[:_MOST_WARNED]


def coding_from(accept_encoding: str) -> str | None:
    """How text is compressed for this Accept-Encoding: zstd where both are wanted as much; None: not at all."""
    weights = {name: weight for weight, name in reversed(weighted_names(accept_encoding))}
    offered = [coding for coding in ("zstd", "gzip") if weights.get(coding, 0) and _compressor(coding)]
    return max(offered, key=lambda coding: weights[coding], default=None)


def compress(text: bytes, coding: str) -> bytes:
    """`coding` is one that `coding_from` gave."""
    compressor = _compressor(coding)
    assert compressor is not None, coding  # noqa: S101 - see above
    return compressor(text)


@cache
def _compressor(coding: str) -> Callable[[bytes], bytes] | None:
    """None where Python has no such library: zstd came with 3.14, and is backports.zstd before."""
    if coding == "gzip":
        return _gzip
    for name in ("compression.zstd", "backports.zstd"):
        try:
            library: Any = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        return lambda text: bytes(library.compress(text, 3))
    return None


def _gzip(text: bytes) -> bytes:
    writer = zlib.compressobj(5, wbits=zlib.MAX_WBITS | 16)
    return writer.compress(text) + writer.flush()
