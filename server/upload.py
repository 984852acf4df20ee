"""From a request to one photograph and its options. Nothing that a client sends is trusted or written to disk."""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import PurePath

from fastapi import Request
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vesselrt.runtime.encode import FORMATS
from vesselrt.runtime.errors import ImageTooLargeError, OptionError
from vesselrt.server.errors import RequestError

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

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]]) -> "Options":
        """Reads the fields of a query or form. Raises OptionError for an unknown, repeated or wrong one."""
        given: dict[str, str] = {}
        for name, value in pairs:
            if name not in ("threshold", "format"):
                raise OptionError(f"unknown option {name[:40]!r}. Expected threshold or format.")
            if name in given:
                raise OptionError(f"{name} is given more than once. Send it once, in the query or in the form.")
            given[name] = value
        form = given.get("format", cls.format)
        if form not in FORMATS:
            raise OptionError(f"format is {form[:40]!r}. Expected one of: {', '.join(FORMATS)}.")
        return cls(form, _threshold(given["threshold"]) if "threshold" in given else None)


def _threshold(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:  # also true for NaN
        raise OptionError(f"threshold is {text[:40]!r}. Expected a number from 0 to 1, such as 0.5.")
    return value


@dataclass(frozen=True)
class Upload:
    """What was sent."""

    photograph: bytes
    """An encoded image, not looked into yet; not empty."""
    stem: str
    """The client's file name without folder and suffix, reduced to characters that are safe in a header."""
    options: Options


async def receive(request: Request) -> Upload:
    """Reads a multipart or raw body; the query's options are judged before a byte of the body is read.

    Raises RequestError when there is not exactly one photograph, OptionError, ImageTooLargeError.
    """
    query = request.query_params.multi_items()
    Options.from_pairs(query)
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    fields: Pairs = []
    name = ""
    if kind == "multipart/form-data":
        photograph, name, fields = await _multipart(request)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        photograph = await request.body()
    else:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type is {kind[:80]!r}. {_HINT}, or as the body with type image/jpeg or the like.",
        )
    if not photograph:
        raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, f"the photograph is empty: 0 bytes came. {_HINT}.")
    return Upload(photograph, safe_stem(name), Options.from_pairs([*query, *fields]))


async def _multipart(request: Request) -> tuple[bytes, str, Pairs]:
    """The one file, its name as the client gave it, and the text fields."""
    parser = MultiPartParser(
        request.headers, request.stream(), max_files=1, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
    )
    # A photograph of a patient stays in memory; BodyLimit bounds it.
    parser.spool_max_size = sys.maxsize
    try:
        form = await parser.parse()
    except MultiPartException as error:
        message = f"the multipart body can't be used: {error.message} {_HINT}."
        raise RequestError(HTTPStatus.BAD_REQUEST, message) from None
    except ValueError:  # a charset such as "idna", that Python has and that can't decode this
        raise RequestError(HTTPStatus.BAD_REQUEST, f"the multipart body can't be read. {_HINT}.") from None
    try:
        file = form.get(FIELD)
        if not isinstance(file, UploadFile):
            found = ", ".join(repr(name[:40]) for name in form) or "nothing"
            text = "" if file is None else f" {FIELD!r} is text, not a file."
            raise RequestError(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"no photograph in field {FIELD!r}; found: {found}.{text} {_HINT}."
            )
        fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
        return await file.read(), file.filename or "", fields
    finally:
        await form.close()


def safe_stem(name: str) -> str:
    """A file name without folder and suffix, of letters, digits, dot, dash and underscore only."""
    stem = PurePath(name.replace("\\", "/")).stem[:80]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._") or "photograph"


class BodyLimit:
    """ASGI middleware: no request reads a longer body, whatever length it declares or leaves out.

    The error is raised where the body is read, so it is answered like any other.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app, self.max_bytes = app, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        too_long = declared.isdigit() and int(declared) > self.max_bytes
        read = 0

        async def limited() -> Message:
            nonlocal read
            if not too_long:
                message = await receive()
                read += len(message.get("body", b""))
                if read <= self.max_bytes:
                    return message
            text = f"the body has more than {self.max_bytes:,} bytes, the limit. Send a smaller file."
            raise ImageTooLargeError(text)

        await self.app(scope, limited, send)
