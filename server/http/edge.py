"""What every request passes, whatever its address: its name, the key, the limits on its body, headers, the log."""

import asyncio
import hmac
import logging
import re
import secrets
import time
from http import HTTPStatus

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vesselrt.runtime.errors import ImageTooLargeError
from vesselrt.server.http.errors import RequestError, error_response
from vesselrt.server.metrics import ServerMetrics
from vesselrt.server.settings import ServerSettings
from vesselrt.server.work.budget import Budget, Share
from vesselrt.server.work.models import State, why_not

logger = logging.getLogger(__name__)

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Orchestrators that ask for health have no key; the page itself is open, what it asks for is not.
_WITHOUT_KEY = re.compile(r"/|/_next/.*|/licences\.txt|/health(/.*)?|/v2/health/.*")
_ADMIN_PATHS = re.compile(r"/metrics|/health(/.*)?|/v2/health/.*")
_BATCH = "/predict/batch"
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",  # photographs of patients
}
CONTENT_POLICY = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
}


class Edge:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: ServerMetrics, budget: Budget) -> None:
        self._app, self._settings, self._metrics, self._budget = app, settings, metrics, budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, headers = time.perf_counter(), Headers(scope=scope)
        name = headers.get("x-request-id", "")
        name = name if _SANE_ID.fullmatch(name) else new_request_id()
        # Two lengths: a proxy may have used the other one, so the next request on this connection may be forged.
        doubtful = "content-length" in headers and "transfer-encoding" in headers
        out = _Outlet(send, self._settings.write_timeout, name, started, close=doubtful)
        if scope["method"] == "HEAD":  # as GET; the server leaves the body out
            scope = {**scope, "method": "GET"}
        with self._budget.share() as share:
            abort = scope.setdefault("state", {}).pop("abort", None)
            scope["state"] |= {"request_id": name, "share": share}
            body = _Body(self._settings, share, headers, scope["path"] == _BATCH, receive)
            try:
                self._check_admitted(scope, headers)
                await self._app(scope, body.receive, out.send)
            except asyncio.CancelledError:  # the server stops, and the time to finish is over
                if out.status:
                    raise
                await error_response(scope, why_not(State.STOPPED))(scope, receive, out.send)
            except Exception as error:  # noqa: BLE001 - whatever it is: the client gets an answer in JSON
                if out.late and abort is not None:
                    abort()
                    await asyncio.sleep(0)  # lets the connection's own code run
                else:
                    await self._answer_error(scope, error, receive, out)
            finally:
                self._record(scope, out.status, time.perf_counter() - started)

    async def _answer_error(self, scope: Scope, error: Exception, receive: Receive, out: "_Outlet") -> None:
        if not isinstance(error, RequestError):
            logger.error("request %s failed", scope["state"]["request_id"], exc_info=error)
        if out.status:  # half an answer can't become another one
            raise error
        await error_response(scope, error)(scope, receive, out.send)

    def _check_admitted(self, scope: Scope, headers: Headers) -> None:
        path: str = scope["path"]
        if self._settings.admin_port and (scope.get("server") or ("", 0))[1] == self._settings.admin_port:
            if not _ADMIN_PATHS.fullmatch(path):
                message = f"there is nothing at {path[:80]} on this port: it is for /health and /metrics alone."
                raise RequestError(HTTPStatus.NOT_FOUND, message)
            return
        key = self._settings.api_key
        if key is None or _WITHOUT_KEY.fullmatch(path):
            return
        kind, _, token = headers.get("authorization", "").partition(" ")
        given = headers.get("x-api-key") or (token.strip() if kind.lower() == "bearer" else "")
        if not _is_key(given, key):
            raise RequestError(
                HTTPStatus.UNAUTHORIZED,
                f"{'another' if given else 'an'} API key is needed. Send it as X-API-Key, or as Authorization: Bearer.",
            )

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(route, method, status or "none").inc()
        self._metrics.seconds.labels(route).observe(seconds)
        name, client = scope["state"]["request_id"], (scope.get("client") or ("-",))[0]
        logger.info("%s %s %s %d %.1f ms %s", client, method, _logged_path(scope), status, seconds * 1e3, name)


class _Outlet:
    """An answer on its way out: in pieces, of which a client takes a quarter of each part within the time.

    A piece is copied on its way; between pieces other requests get their turn, and a part may be released when `send`
    returns: its last piece is with the system then.
    """

    PIECE = 64 * 1024

    def __init__(self, send: Send, seconds: float, name: str, started: float, *, close: bool) -> None:
        self._send, self._seconds, self._name, self._started, self._close = send, seconds, name, started, close
        self.status = 0
        """0: the answer has not begun."""
        self.late = False
        """Whether the client took too little of it."""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            _add_headers(headers, self._name, (time.perf_counter() - self._started) * 1e3)
            if self._close:
                headers["Connection"] = "close"
        body = memoryview(message.get("body", b""))
        if not body:
            await self._send_in_time(message)
            return
        for quarter in range(0, len(body), share := max(len(body) // 4, self.PIECE)):
            end = min(quarter + share, len(body))
            pieces = (body[start : min(start + self.PIECE, end)] for start in range(quarter, end, self.PIECE))
            await self._send_in_time(*({**message, "body": bytes(piece), "more_body": True} for piece in pieces))
        # Servers wait with the next message until the last one is written.
        await self._send_in_time({**message, "body": b"", "more_body": message.get("more_body", False)})

    async def _send_in_time(self, *messages: Message) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                for message in messages:
                    await self._send(message)
        except TimeoutError:
            self.late = True
            raise


class _Body:
    """A request's body as it comes in: its bytes take their place in the budget, and its time is limited.

    Errors are raised where the body is read, so they are answered like any other.
    """

    def __init__(self, settings: ServerSettings, share: Share, headers: Headers, batch: bool, receive: Receive) -> None:
        self._receive, self._share, self._seconds = receive, share, settings.body_timeout
        self._limit = settings.max_batch_bytes if batch else settings.max_bytes
        declared = headers.get("content-length", "")
        self._declared = int(declared) if declared.isdigit() and len(declared) < 20 else 0
        self._end = asyncio.get_running_loop().time() + self._seconds
        self._read, self._complete = 0, False

    async def receive(self) -> Message:
        if self._complete:  # what comes now is that the client leaves
            return await self._receive()
        if self._declared:  # refused before a byte is asked for; held is only what really came
            self._check(self._declared)
            self._share.take(self._declared)
            self._share.give(self._declared)
            self._declared = 0
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            raise RequestError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the body did not come within {self._seconds:g} s. Send it faster, or less of it.",
            ) from None
        count = len(message.get("body", b""))
        self._read += count
        self._check(self._read)
        self._share.take(count)
        self._complete = not message.get("more_body", False)
        return message

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise ImageTooLargeError(f"the body has more than {self._limit:,} bytes, the limit. Send a smaller file.")


class Refusals:
    """Counts refused connections, and logs them at most once a second."""

    def __init__(self, metrics: ServerMetrics) -> None:
        self._metrics, self._untold, self._next = metrics, 0, 0.0

    def __call__(self, why: str) -> None:
        self._metrics.refused.inc()
        self._untold += 1
        if time.monotonic() >= self._next:
            logger.warning("%d refused: %s", self._untold, why)
            self._untold, self._next = 0, time.monotonic() + 1


def new_request_id() -> str:
    """Of a request that brings none."""
    return secrets.token_hex(8)


def _add_headers(headers: MutableHeaders, name: str, milliseconds: float) -> None:
    headers["X-Request-ID"] = name
    for header, value in SECURITY_HEADERS.items():
        headers.setdefault(header, value)
    if "content-security-policy" not in headers:  # the page has its own, and says itself who may frame it
        headers.update(CONTENT_POLICY)
    stages = headers.get("server-timing")
    headers["Server-Timing"] = f"{stages}, total;dur={milliseconds:.1f}" if stages else f"total;dur={milliseconds:.1f}"


def _is_key(given: str, key: SecretStr) -> bool:
    """In a time that does not depend on how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.get_secret_value().encode("utf-8"))


def _logged_path(scope: Scope) -> str:
    """The address as it was sent: still percent-encoded, so that it can't begin a line of its own."""
    path: bytes = scope.get("raw_path") or scope["path"].encode("unicode_escape")
    return path[:200].decode("ascii", "backslashreplace")
