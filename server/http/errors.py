"""Every error as one JSON shape, {"error": {"type", "message", "request_id"}}, and the one table from error to status.

Under /v2 the shape is that of the Open Inference Protocol, {"error": message}. The server adds these to the error tree
of vesselrt.runtime.errors:

    VesselrtError
    ├── RequestError          the request itself is wrong; knows its status
    └── UnavailableError      come back later
        ├── BusyError         the queue is full, or uploads take all the memory that they may
        ├── DeadlineError     the answer would come too late
        └── NotReadyError     the model is being loaded, or could not be
"""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from vesselrt.runtime.errors import (
    ImageDecodeError,
    ImageError,
    ImageTooLargeError,
    MissingExtraError,
    OptionError,
    VesselrtError,
)


class ErrorDetail(BaseModel):
    """What went wrong: `type` for programs, `message` for people."""

    type: str
    message: str
    request_id: str | None = None
    """The X-Request-ID of this answer, by which the server's log names it."""


class ErrorBody(BaseModel):
    """The body of every answer that is not 2xx."""

    error: ErrorDetail


class V2Error(BaseModel):
    """The same under /v2."""

    error: str


class RequestError(VesselrtError):
    """The request is not what the address expects."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


class UnavailableError(VesselrtError):
    """The server can't take the request now."""


class BusyError(UnavailableError):
    """As many photographs are waiting, or as many bytes are held, as may."""


class DeadlineError(UnavailableError):
    """The answer would come too late."""


class NotReadyError(UnavailableError):
    """The model is being loaded, or could not be."""


RETRY_AFTER = 1  # s: a photograph takes a fraction of it

_CLIENT_LEFT = 499  # as nginx logs it: nobody reads the answer

# The most specific class wins. What is not named here, a ModelError for one, is the server's fault: 500.
STATUS: dict[type[Exception], int] = {
    ImageTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ImageDecodeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ImageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    OptionError: HTTPStatus.UNPROCESSABLE_ENTITY,
    MissingExtraError: HTTPStatus.NOT_IMPLEMENTED,
    RequestValidationError: HTTPStatus.UNPROCESSABLE_ENTITY,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    MemoryError: HTTPStatus.SERVICE_UNAVAILABLE,
    ClientDisconnect: _CLIENT_LEFT,
    Exception: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def add_error_answers(app: FastAPI) -> None:
    """Makes `app` answer every error in the one shape."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        return error_response(request.scope, error)

    for kind in (RequestError, HTTPException, *STATUS):
        app.add_exception_handler(kind, answer)


def error_response(scope: Scope, error: Exception) -> JSONResponse:
    """The answer to a request that failed."""
    path: str = scope["path"]
    status, detail = describe_error(error, path)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.REQUEST_TIMEOUT:
        headers["Connection"] = "close"  # the rest of the body may still come
    if path == "/v2" or path.startswith("/v2/"):
        return JSONResponse(V2Error(error=detail.message).model_dump(), status, headers)
    detail.request_id = scope.get("state", {}).get("request_id")
    return JSONResponse(ErrorBody(error=detail).model_dump(exclude_none=True), status, headers)


def describe_error(error: Exception, path: str = "") -> tuple[int, ErrorDetail]:
    """The status and the words for an error. The text of an unexpected one is left out: it may hold paths."""
    if isinstance(error, HTTPException):
        return error.status_code, _describe_http(error, path)
    if isinstance(error, RequestError):
        return error.status, ErrorDetail(type=type(error).__name__, message=str(error))
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        message = "Something went wrong in the server; its log says what. The request may be sent again."
        return status, ErrorDetail(type="InternalError", message=message)
    if isinstance(error, MemoryError):
        message = "The system gives the server no more memory. Try again in a moment, or send a smaller photograph."
        return status, ErrorDetail(type="BusyError", message=message)
    if isinstance(error, RequestValidationError):
        message = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return status, ErrorDetail(type="RequestError", message=message)
    return status, ErrorDetail(type=type(error).__name__, message=str(error))


def _describe_http(error: HTTPException, path: str) -> ErrorDetail:
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            message = f"There is nothing at {path}. /openapi.json says what there is."
        case HTTPStatus.METHOD_NOT_ALLOWED:
            message = f"{path} answers to {(error.headers or {}).get('Allow', 'another method')} only."
        case _:
            message = str(error.detail)
    return ErrorDetail(type=HTTPStatus(error.status_code).phrase.replace(" ", ""), message=message)
