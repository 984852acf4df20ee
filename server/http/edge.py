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
from vesselrt.server.http.errors import BusyError, RequestError, answer
from vesselrt.server.metrics import Metrics
from vesselrt.server.settings import Settings
from vesselrt.server.work.models import State, why_not

logger = logging.getLogger(__name__)

_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Orchestrators that ask for health have no key; the page itself is open, what it asks for is not.
_OPEN = re.compile(r"/|/_next/.*|/licences\.txt|/health(/.*)?|/v2/health/.*")
_BATCH = "/predict/batch"
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",  # photographs of patients
}
POLICY = "default-src 'none'; frame-ancestors 'none'"


class Edge:
    """ASGI middleware, the outermost."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._held = 0
        """Bytes of bodies in memory."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, headers = time.perf_counter(), 0, Headers(scope=scope)
        name = headers.get("x-request-id", "")
        name = name if _SANE.fullmatch(name) else new_name()
        scope.setdefault("state", {})["request_id"] = name

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                milliseconds = (time.perf_counter() - started) * 1e3
                _dress(MutableHeaders(scope=message), name, milliseconds)
            await send(message)

        if scope["method"] == "HEAD":  # as GET; the server leaves the body out
            scope = {**scope, "method": "GET"}
        body = _Body(self, headers, scope["path"] == _BATCH, receive)
        try:
            self._check_key(scope["path"], headers)
            await self._app(scope, body.receive, dressed)
        except asyncio.CancelledError:  # the server stops, and the time to finish is over
            if status:
                raise
            await answer(scope, why_not(State.STOPPED))(scope, receive, dressed)
        except Exception as error:
            if not isinstance(error, RequestError):
                logger.exception("request %s failed", name)
            if status:  # half an answer can't become another one
                raise
            await answer(scope, error)(scope, receive, dressed)
        finally:
            self._hold(-body.read)
            self._record(scope, status, time.perf_counter() - started)

    def _check_key(self, path: str, headers: Headers) -> None:
        key = self._settings.api_key
        if key is None or _OPEN.fullmatch(path):
            return
        kind, _, token = headers.get("authorization", "").partition(" ")
        given = headers.get("x-api-key") or (token.strip() if kind.lower() == "bearer" else "")
        if not _same(given, key):
            raise RequestError(
                HTTPStatus.UNAUTHORIZED,
                f"{'another' if given else 'an'} API key is needed. Send it as X-API-Key, or as Authorization: Bearer.",
            )

    def _hold(self, count: int) -> None:
        self._held += count
        self._metrics.held.inc(count)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(route, method, status or "none").inc()
        self._metrics.seconds.labels(route).observe(seconds)
        name, client = scope["state"]["request_id"], (scope.get("client") or ("-",))[0]
        logger.info("%s %s %s %d %.1f ms %s", client, method, _line(scope), status, seconds * 1e3, name)


class _Body:
    """A request's body as it comes in: its bytes are counted and its time is limited.

    Errors are raised where the body is read, so they are answered like any other.
    """

    def __init__(self, edge: Edge, headers: Headers, batch: bool, receive: Receive) -> None:
        self._edge, self._receive, settings = edge, receive, edge._settings  # noqa: SLF001 - one class in two parts
        self.limit = settings.max_batch_bytes if batch else settings.max_bytes
        self.read = 0
        declared = headers.get("content-length", "")
        self._declared = int(declared) if declared.isdigit() and len(declared) < 20 else 0
        self._end = asyncio.get_running_loop().time() + settings.body_timeout
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:  # what comes now is that the client leaves
            return await self._receive()
        self._check(self._declared)
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            seconds = self._edge._settings.body_timeout  # noqa: SLF001
            raise RequestError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"the body did not come within {seconds:g} s. Send it faster, or less of it.",
            ) from None
        count = len(message.get("body", b""))
        self._check(self.read + count)
        self.read += count
        self._edge._hold(count)  # noqa: SLF001
        self._complete = not message.get("more_body", False)
        return message

    def _check(self, size: int) -> None:
        if size > self.limit:
            raise ImageTooLargeError(f"the body has more than {self.limit:,} bytes, the limit. Send a smaller file.")
        most = self._edge._settings.max_upload_bytes  # noqa: SLF001
        if self._edge._held - self.read + size > most:  # noqa: SLF001
            raise BusyError(f"requests hold {most:,} bytes, and no more may come. Try again in a moment.")


def new_name() -> str:
    """Of a request that brings none."""
    return secrets.token_hex(8)


def _dress(headers: MutableHeaders, name: str, milliseconds: float) -> None:
    headers["X-Request-ID"] = name
    for header, value in SECURITY.items():
        headers.setdefault(header, value)
    if not headers.get("content-type", "").startswith("text/html"):  # the page has a policy of its own
        headers.setdefault("Content-Security-Policy", POLICY)
    stages = headers.get("server-timing")
    headers["Server-Timing"] = f"{stages}, total;dur={milliseconds:.1f}" if stages else f"total;dur={milliseconds:.1f}"


def _same(given: str, key: SecretStr) -> bool:
    """In a time that does not depend on how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), key.get_secret_value().encode("utf-8"))


def _line(scope: Scope) -> str:
    """The address as it was sent: still percent-encoded, so that it can't begin a line of its own."""
    path: bytes = scope.get("raw_path") or scope["path"].encode("unicode_escape")
    return path[:200].decode("ascii", "backslashreplace")
