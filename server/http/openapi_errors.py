"""What /openapi.json says of errors: of each status what it means, with an example."""

from http import HTTPStatus
from typing import Any

from vesselrt.server.http.errors import RETRY_AFTER, ErrorBody, V2Error


def header_schema(description: str, example: str) -> dict[str, Any]:
    """A header of an answer."""
    return {"description": description, "schema": {"type": "string"}, "example": example}


_ERRORS: dict[int, tuple[str, str, str]] = {
    400: (
        "The multipart body is damaged, or has more than one file.",
        "RequestError",
        "the multipart body has 2 photographs. Several photographs go to /predict/batch.",
    ),
    401: (
        "The API key is missing or another one.",
        "RequestError",
        "an API key is needed. Send it as X-API-Key, or as Authorization: Bearer.",
    ),
    404: ("No such model.", "RequestError", "no model 'slitlamp'. Expected one of: fundus."),
    406: (
        "Nothing that Accept names is offered.",
        "RequestError",
        "nothing in Accept: video/mp4 is offered. Accept one of: image/png, image/svg+xml, application/geo+json.",
    ),
    408: (
        "The body came too slowly.",
        "RequestError",
        "the body did not come within 60 s. Send it faster, or less of it.",
    ),
    413: (
        "Over the limit on bytes or pixels.",
        "ImageTooLargeError",
        "the body has more than 67,108,864 bytes, the limit. Send a smaller file.",
    ),
    415: (
        "Not a whole image, or a content type that is neither multipart, image/* nor application/octet-stream.",
        "ImageDecodeError",
        "the JPEG is truncated or damaged. Send a whole file.",
    ),
    422: (
        "No photograph, a black one, or a wrong option.",
        "OptionError",
        "threshold is '1.5'. Expected a number from 0 to 1, such as 0.5.",
    ),
    500: (
        "A fault of the server.",
        "InternalError",
        "Something went wrong in the server; its log says what. The request may be sent again.",
    ),
    501: (
        "The server lacks a package that the request needs.",
        "MissingExtraError",
        "measuring vessels needs packages that are not installed. Run: pip install 'vesselrt[measure]'",
    ),
    503: (
        "Too many photographs wait, or the model is not loaded. Try again after Retry-After seconds.",
        "BusyError",
        "17 photographs are being worked on or waiting, and no more may. Try again in a moment.",
    ),
}


def error_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of these error answers."""
    documented: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        description, kind, message = _ERRORS[status]
        example = {"error": {"type": kind, "message": message}}
        documented[status] = {
            "model": ErrorBody,
            "description": description,
            "content": {"application/json": {"example": example}},
        }
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            documented[status]["headers"] = {"Retry-After": header_schema("Seconds to wait.", str(RETRY_AFTER))}
    return documented


def v2_error_answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The same under /v2, in the protocol's own shape."""
    documented = error_answers(*statuses)
    for answer in documented.values():
        message = answer["content"]["application/json"]["example"]["error"]["message"]
        answer["model"], answer["content"] = V2Error, {"application/json": {"example": {"error": message}}}
    return documented
