"""From a request to one photograph and its options. Nothing that a client sends is trusted or written to disk."""

import re
import sys
import unicodedata
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import PurePath

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from vesselrt.runtime.errors import OptionError
from vesselrt.runtime.photo.decoding import PHOTO_SUFFIXES
from vesselrt.server.http.errors import RequestError
from vesselrt.server.http.options import AnswerOptions, Pairs
from vesselrt.server.work.tasks import EncodedPhoto

FIELD = "image"
CORRECTION = "correction"
_MAX_FIELDS = len(AnswerOptions.model_fields)
_RAW_TYPES = ("application/octet-stream", "application/dicom")
_MAX_FIELD_BYTES = 1024
_MOST_NAME_BYTES = 180  # of 255 that file systems take: number, class, format and suffix come to it
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SEVERAL = "Several photographs go to /predict/batch."
_HINT = f"Send the photograph as multipart field {FIELD!r} (curl -F {FIELD}=@photo.jpg)"


@dataclass(frozen=True)
class Upload:
    """What was sent."""

    photographs: list[tuple[str, EncodedPhoto]]
    """Of each encoded image, not looked into yet and not empty, the client's file name without folder, as
    `file_name` makes it; and its bytes. The caller removes each one that it hands on."""
    options: AnswerOptions
    correction: bytes | None = None
    """A PNG that came beside one photograph: what a person has drawn over its map, not looked into yet."""


async def receive_upload(request: Request, most: int = 1) -> Upload:
    """Reads a multipart or raw body. Options stand in the query, and in a multipart body too; there one photograph may
    have its correction beside it.

    Raises RequestError when there are not 1 to `most` photographs, OptionError, ImageTooLargeError.
    """
    query, accept = request.query_params.multi_items(), request.headers.get("accept", "") if most == 1 else ""
    kind = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    photographs: list[tuple[str, EncodedPhoto]]
    correction = None
    if kind == "multipart/form-data":
        photographs, correction, fields = await _read_form(request, most)
        options = AnswerOptions.from_pairs([*query, *fields], accept)
    elif kind.startswith("image/") or kind in _RAW_TYPES:
        options = AnswerOptions.from_pairs(query, accept)  # before a byte of the body is read
        photographs = [("", await read_body(request))]
    else:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"the content type is {kind[:80]!r}. {_HINT}, or as the body with type image/jpeg or the like.",
        )
    if not all(data for _, data in photographs):
        raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, f"the photograph is empty: 0 bytes came. {_HINT}.")
    return Upload([(file_name(name), data) for name, data in photographs], options, correction)


async def read_body(request: Request) -> bytearray:
    """The body; unlike `request.body()` this leaves no copy with the request."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
    return body


async def _read_correction(form: FormData) -> bytes | None:
    """None where there is none. Raises RequestError for another file beside the photograph."""
    for name, file in form.multi_items():
        if isinstance(file, UploadFile) and name not in (FIELD, CORRECTION):
            message = f"the file {name[:40]!r} is not expected. Beside {FIELD!r} there may be {CORRECTION!r}, a PNG."
            raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, message)
    found = form.get(CORRECTION)
    return await found.read() if isinstance(found, UploadFile) else None


async def _read_form(request: Request, most: int) -> tuple[list[tuple[str, EncodedPhoto]], bytes | None, Pairs]:
    """The photographs, each with its name as the client gave it, the correction of one, and the text fields."""
    most_files = most + (most == 1)  # beside one photograph a correction may come
    parser = MultiPartParser(
        request.headers, request.stream(), max_files=most_files, max_fields=_MAX_FIELDS, max_part_size=_MAX_FIELD_BYTES
    )
    # A photograph of a patient stays in memory, whose size is limited where the body is read.
    parser.spool_max_size = sys.maxsize
    try:
        try:
            form = await parser.parse()
        except MultiPartException as error:
            several = f" {_SEVERAL}" if most == 1 and "files" in error.message else ""
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
        if len(files) > most:
            message = f"the multipart body has {len(files)} photographs. {_SEVERAL} {_HINT}."
            raise RequestError(HTTPStatus.BAD_REQUEST, message)
        fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
        correction = await _read_correction(form) if most == 1 else None
        return [(file.filename or "", await file.read()) for file in files], correction, fields
    finally:
        # The form closes its own files alone, and does not know that of a part in which the body ended.
        for temporary in parser._files_to_close_on_error:  # noqa: SLF001 - starlette's only list of them all
            temporary.close()


def timeout_from(request: Request) -> float | None:
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


async def disconnected(request: Request) -> None:
    """Ends when the client has left; to be called when the whole body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def file_name(name: str) -> str:
    """A file name without folder, in its own letters whatever their script, with a suffix if it is a photograph's.

    What no file system takes, and what can't be seen (control characters, and those that turn the direction of text),
    becomes an underscore.
    """
    path = PurePath(unicodedata.normalize("NFC", name.replace("\\", "/")))
    plain = "".join("_" if unicodedata.category(letter) in _UNSEEN else letter for letter in path.stem)
    plain = re.sub(r'[<>:"/\\|?*_]+', "_", plain).encode()[:_MOST_NAME_BYTES].decode(errors="ignore")
    stem = plain.strip("._ ") or "photograph"
    return stem + (path.suffix if path.suffix.lower() in PHOTO_SUFFIXES else "")


def stem_of(name: str) -> str:
    """What `file_name` gave, without the suffix of a photograph."""
    path = PurePath(name)
    return path.stem if path.suffix.lower() in PHOTO_SUFFIXES else name
