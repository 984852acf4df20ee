"""HTTP/1.1 by uvicorn, for clients that are slow, many or mistaken: time limits, and JSON for what is no HTTP."""

import asyncio
import json
import re
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from vesselrt.server import edge
from vesselrt.server.errors import RETRY_AFTER
from vesselrt.server.settings import Settings

MOST_HEAD = 16 * 1024
"""Bytes of request line and headers."""
_HEAD_ENDS = re.compile(rb"\n\r?\n")


class Protocol(H11Protocol):
    """One connection."""

    def __init__(self, *args: Any, settings: Settings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = settings
        self._head: asyncio.TimerHandle | None = None
        self._write: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._settings.max_connections:
            message = f"{self._settings.max_connections} connections are open, and no more may. Try again in a moment."
            self._refuse(503, "BusyError", message)
        else:
            self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # uvicorn's own timer ends with the first byte of the next request, so a head may never come to its end.
        if self.conn.their_state is not h11.IDLE:
            _stop(self._head)
            self._head = None
        elif self._head is None and not self.transport.is_closing():
            self._wait_for_head()

    def handle_events(self) -> None:
        if self.conn.their_state is h11.IDLE:
            # h11 limits heads that are not complete; those that come in one piece are limited here.
            received = self.conn.trailing_data[0]
            end = _HEAD_ENDS.search(received)
            if (end.start() if end else len(received)) > MOST_HEAD:
                self._refuse_head()
                return
        super().handle_events()

    def connection_lost(self, exc: Exception | None) -> None:
        _stop(self._head, self._write)
        self._head = self._write = None
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write = self._write or self.loop.call_later(self._settings.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _stop(self._write)
        self._write = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the library's reason is more to the point
        # uvicorn calls this where it handles h11's error, and does not hand that on.
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400)
        if status == 431:
            self._refuse_head()
            return
        reason = str(error).partition(": bytearray")[0]  # what came is not sent back
        self._refuse(status, "RequestError", f"not a request in HTTP/1.1: {reason}. Send a well-formed one.")

    def _refuse_head(self) -> None:
        message = f"the head of the request has more than {MOST_HEAD:,} bytes. Send fewer or shorter headers."
        self._refuse(431, "RequestError", message)

    def _wait_for_head(self) -> None:
        self._head = self.loop.call_later(self._settings.header_timeout, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head = None
        if self.conn.trailing_data[0]:
            seconds = self._settings.header_timeout
            self._refuse(408, "RequestError", f"the head of the request did not come within {seconds:g} s.")
        elif not self.transport.is_closing():
            self.transport.close()  # a connection that was opened and not used

    def _refuse(self, status: int, kind: str, message: str) -> None:
        """Answers and closes the connection; without an answer where one has begun."""
        name = edge.new_name()
        body = json.dumps({"error": {"type": kind, "message": message, "request_id": name}}).encode()
        fields = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            "X-Request-ID": name,
            **edge.SECURITY,
            "Content-Security-Policy": edge.POLICY,
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
        self.transport.close()


def _stop(*timers: asyncio.TimerHandle | None) -> None:
    for timer in timers:
        if timer is not None:
            timer.cancel()
