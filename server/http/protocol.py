"""HTTP/1.1 by uvicorn, for clients that are slow, many or mistaken: time limits, and JSON for what is no HTTP."""

import asyncio
import json
import re
import sys
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from vesselrt.server.http import edge
from vesselrt.server.http.errors import RETRY_AFTER
from vesselrt.server.settings import ServerSettings

MOST_HEAD_BYTES = 16 * 1024
"""Bytes of request line and headers."""
_HEAD_ENDS = re.compile(rb"\n\r?\n")
_MANY_CHUNKS, _SMALL_CHUNK = 1000, 256
"""Chunks of a body that may be of any size; bytes that more of them must have on average."""


class _LimitedConnection(h11.Connection):
    """HTTP/1.1, less bodies of very many very small chunks: handling one takes as long as handling a large one."""

    _chunks = _bytes = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = self._bytes = 0
        elif isinstance(event, h11.Data):
            self._chunks += event.chunk_start
            self._bytes += len(event.data)
            if self._chunks > _MANY_CHUNKS and self._bytes < _SMALL_CHUNK * self._chunks:
                raise h11.RemoteProtocolError(f"the body comes in chunks of less than {_SMALL_CHUNK} bytes")
        return event


class LimitedProtocol(H11Protocol):
    """One connection."""

    def __init__(
        self,
        *args: Any,
        settings: ServerSettings,
        refused: Callable[[str], object] | None = None,
        **kwargs: Any,
    ) -> None:
        """`refused` is called with the reason for each refused connection. None: the one in the lifespan's state."""
        super().__init__(*args, **kwargs)
        self.conn = _LimitedConnection(h11.SERVER, MOST_HEAD_BYTES)
        self._settings, self._refused = settings, refused
        self._head: asyncio.TimerHandle | None = None
        """Runs while a head, or what is left of a body that was answered before its end, is to come."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Of an answer no more than one piece is in this process's hands; vesselrt.server.http.edge times each.
        transport.set_write_buffer_limits(0)
        refused = self._refused or self.app_state.get("refused")
        self.app_state = {**self.app_state, "abort": transport.abort}
        most = self._settings.max_connections
        if len(self.connections) > most:
            message = f"{most} connections are open, and no more may. Try again in a moment."
            if refused is not None:
                refused(message)
            self._refuse(503, "BusyError", message)
        else:
            self._wait_for_head(self._settings.header_timeout)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # uvicorn's own timer ends with the first byte that comes, so a head may never come to its end, and neither may
        # the body of a request that was answered before it was read.
        answered = self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY
        if self.conn.their_state is not h11.IDLE and not answered:
            self._stop_waiting()
        elif self._head is None and not self.transport.is_closing():
            self._wait_for_head(self._settings.body_timeout if answered else self._settings.header_timeout)

    def handle_events(self) -> None:
        if self.conn.their_state is h11.IDLE:
            # h11 limits heads that are not complete; those that come in one piece are limited here.
            received = self.conn.trailing_data[0]
            end = _HEAD_ENDS.search(received)
            if (end.start() if end else len(received)) > MOST_HEAD_BYTES:
                self._refuse_head()
                return
        super().handle_events()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the library's reason is more to the point
        # uvicorn calls this where it handles h11's error, and does not hand that on.
        error = sys.exc_info()[1]
        if getattr(error, "error_status_hint", 400) == 431:
            self._refuse_head()
            return
        reason = str(error).partition(": bytearray")[0]  # what came is not sent back
        self._refuse(400, "RequestError", f"not a request in HTTP/1.1: {reason}. Send a well-formed one.")

    def _refuse_head(self) -> None:
        message = f"the head of the request has more than {MOST_HEAD_BYTES:,} bytes. Send fewer or shorter headers."
        self._refuse(431, "RequestError", message)

    def _wait_for_head(self, seconds: float) -> None:
        self._head = self.loop.call_later(seconds, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._head is not None:
            self._head.cancel()
        self._head = None

    def _head_is_late(self) -> None:
        self._head = None
        if self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]:
            seconds = self._settings.header_timeout
            self._refuse(408, "RequestError", f"the head of the request did not come within {seconds:g} s.")
        elif not self.transport.is_closing():
            self.transport.close()  # a connection that was opened and not used

    def _refuse(self, status: int, kind: str, message: str) -> None:
        """Answers and closes the connection; without an answer where one has begun."""
        name = edge.new_request_id()
        body = json.dumps({"error": {"type": kind, "message": message, "request_id": name}}).encode()
        fields = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            "X-Request-ID": name,
            **edge.SECURITY_HEADERS,
            **edge.CONTENT_POLICY,
        }
        if status == 503:
            fields["Retry-After"] = str(RETRY_AFTER)
        headers = [(field.lower().encode(), value.encode()) for field, value in fields.items()]
        reason = STATUS_PHRASES.get(status, b"")
        events = (h11.Response(status_code=status, headers=headers, reason=reason), h11.Data(body), h11.EndOfMessage())
        try:
            for event in events:
                self.transport.write(self.conn.send(event))
        except h11.LocalProtocolError:
            pass
        if self.cycle is not None:  # whoever works on the request has nobody to answer any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
