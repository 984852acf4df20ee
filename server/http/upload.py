"""From a request to one photograph and its options. Nothing that a client sends is trusted or written to disk."""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import PurePath

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from vesselrt.runtime.encode import COLOUR, FORMATS, MEDIA_TYPES, OPACITY, rgb
from vesselrt.runtime.errors import OptionError
from vesselrt.server.http.errors import RequestError

FIELD = "image"
_MAX_FIELDS = 8
_MAX_FIELD_BYTES = 1024
_HINT = f"Send the photograph as multipart field {FIELD!r} (curl -F {FIELD}=@photo.jpg)"

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Options:
    """How the answer shall look."""

    format: str = "mask"
    threshold: float | None = None
    """0..1; None: the model's own."""
    colour: str = COLOUR
    opacity: float = OPACITY
    """0..1"""
    model: str | None = None
    """None: the first of the served ones."""
    scale: float | None = None
    """Diameter of the field of view in pixels of the photograph; None: it is found."""

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]], accept: str = "") -> "Options":
        """Reads the fields of a query or form; `accept` chooses the format where they don't.

        Raises OptionError for an unknown, repeated or wrong one, RequestError when nothing in `accept` is to be had.
        """
        given: dict[str, str] = {}
        for name, value in pairs:
            if name not in ("threshold", "format", "model", "colour", "opacity", "scale"):
                raise OptionError(
                    f"unknown option {name[:40]!r}. Expected threshold, format, model, colour, opacity or scale."
                )
            if name in given:
                raise OptionError(f"{name} is given more than once. Send it once, in the query or in the form.")
            given[name] = value
        form = given.get("format") if "format" in given else format_from_accept(accept)
        if form not in FORMATS:
            raise OptionError(f"format is {str(form)[:40]!r}. Expected one of: {', '.join(FORMATS)}.")
        colour = given.get("colour", COLOUR)
        rgb(colour)
        threshold = _share("threshold", given["threshold"]) if "threshold" in given else None
        opacity = _share("opacity", given["opacity"]) if "opacity" in given else OPACITY
        scale = _diameter(given["scale"]) if "scale" in given else None
        return cls(form, threshold, colour, opacity, given.get("model"), scale)


def format_from_accept(accept: str) -> str:
    """The format for an Accept header (RFC 9110, 12.5.1): a mask where any image will do, or anything.

    Raises RequestError when none of what it names is to be had.
    """
    ranges: list[tuple[float, str]] = []
    for part in accept.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        quality = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        if kind and re.fullmatch(r"[01](\.\d{0,3})?", quality):
            ranges.append((float(quality), kind))
    for weight, kind in sorted(ranges, key=lambda r: -r[0]):  # stable: of equals the first
        if weight and kind in _ACCEPTED:
            return _ACCEPTED[kind]
    if not ranges:
        return Options.format
    offered = ", ".join(dict.fromkeys(MEDIA_TYPES.values()))
    raise RequestError(
        HTTPStatus.NOT_ACCEPTABLE, f"nothing in Accept: {accept[:80]} is to be had. Accept one of: {offered}."
    )


_ACCEPTED = {"*/*": "mask", "image/*": "mask", "application/*": "json", "text/html": "mask"}
_ACCEPTED |= {media: form for form, media in reversed(MEDIA_TYPES.items())}  # image/png: the first, the mask


def _share(name: str, text: str) -> float:
    try:
        value = float(text if "_" not in text else "nan")  # Python reads 0_1 as 1
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:  # also true for NaN
        raise OptionError(f"{name} is {text[:40]!r}. Expected a number from 0 to 1, such as 0.5.")
    return value


def _diameter(text: str) -> float:
    try:
        value = float(text if "_" not in text else "nan")
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise OptionError(f"scale is {text[:40]!r}. Expected the diameter of the field of view in pixels, such as 960.")
    return value


@dataclass(frozen=True)
class Upload:
    """What was sent."""

    photographs: tuple[tuple[str, bytes], ...]
    """Of each encoded image, not looked into yet and not empty, the client's file name without folder and suffix,
    reduced to characters that are safe in a header; and its bytes."""
    options: Options


async def receive(request: Request, most: int = 1) -> Upload:
    """Reads a multipart or raw body; the query's options are judged before a byte of the body is read.

    Raises RequestError when there are not 1 to `most` photographs, OptionError, ImageTooLargeError.
    """
    query, accept = request.query_params.multi_items(), request.headers.get("accept", "") if most == 1 else ""
    Options.from_pairs(query, accept)
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    fields: Pairs = []
    if kind == "multipart/form-data":
        photographs, fields = await _multipart(request, most)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        photographs = [("", await request.body())]
    else:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type is {kind[:80]!r}. {_HINT}, or as the body with type image/jpeg or the like.",
        )
    if not all(data for _, data in photographs):
        raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, f"the photograph is empty: 0 bytes came. {_HINT}.")
    named = tuple((safe_stem(name), data) for name, data in photographs)
    return Upload(named, Options.from_pairs([*query, *fields], accept))


async def _multipart(request: Request, most: int) -> tuple[list[tuple[str, bytes]], Pairs]:
    """The files, each with its name as the client gave it, and the text fields."""
    parser = MultiPartParser(
        request.headers, request.stream(), max_files=most, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
    )
    # A photograph of a patient stays in memory, whose size is limited where the body is read.
    parser.spool_max_size = sys.maxsize
    try:
        try:
            form = await parser.parse()
        except MultiPartException as error:
            several = " Several photographs go to /predict/batch." if most == 1 and "files" in error.message else ""
            message = f"the multipart body can't be used: {error.message}{several} {_HINT}."
            raise RequestError(HTTPStatus.BAD_REQUEST, message) from None
        except ValueError:  # a charset such as "idna", that Python has and that can't decode this
            raise RequestError(HTTPStatus.BAD_REQUEST, f"the multipart body can't be read. {_HINT}.") from None
        files = [file for file in form.getlist(FIELD) if isinstance(file, UploadFile)]
        if not files:
            found = ", ".join(repr(name[:40]) for name in form) or "nothing"
            text = f" {FIELD!r} is text, not a file." if FIELD in form else ""
            raise RequestError(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"no photograph in field {FIELD!r}; found: {found}.{text} {_HINT}."
            )
        fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
        return [(file.filename or "", await file.read()) for file in files], fields
    finally:
        # The form closes its own files alone, and does not know that of a part in which the body ended.
        for temporary in parser._files_to_close_on_error:  # noqa: SLF001 - starlette's only list of them all
            temporary.close()


def seconds_from(request: Request) -> float | None:
    """What the header X-Request-Timeout allows, in s; None where it is not sent. Raises OptionError."""
    text = request.headers.get("x-request-timeout")
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise OptionError(f"X-Request-Timeout is {text[:40]!r}. Expected seconds, such as 2.5.")
    return value


async def left(request: Request) -> None:
    """Ends when the client leaves; to be called when the whole body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def safe_stem(name: str) -> str:
    """A file name without folder and suffix, of letters, digits, dot, dash and underscore only."""
    stem = PurePath(name.replace("\\", "/")).stem[:80]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._") or "photograph"
