"""Traces by OpenTelemetry, where its variables of the environment ask for them. Without them nothing is imported."""

import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ASKED = ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_STAGE = re.compile(r"(\w+);dur=([\d.]+)")
_log = logging.getLogger(__name__)


def add_tracing(app: FastAPI) -> None:
    """A span for each request, with the milliseconds of its stages; sent by OTLP over HTTP.

    What a span says is what the log says: method, address with its query, status, times. No file name, no header, no
    body. The variables are those of OpenTelemetry's specification; `OTEL_TRACES_EXPORTER=none` or
    `OTEL_SDK_DISABLED=true` turns it off.
    """
    if not _is_asked(os.environ):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError:
        _log.warning("no traces: OpenTelemetry is not installed. Run: pip install 'vesselrt[otel]'")
        return
    os.environ.setdefault("OTEL_SERVICE_NAME", "vesselrt")
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace_with(app, provider, FastAPIInstrumentor())


def trace_with(app: FastAPI, provider: Any, instrumentor: Any) -> None:
    """The same, to where `provider` sends it."""
    app.add_middleware(_StageTimes)
    instrumentor.instrument_app(
        app, tracer_provider=provider, exclude_spans=["receive", "send"], excluded_urls="/health,/metrics,/v2/health"
    )


class _StageTimes:
    """Tells the span of a request what the header Server-Timing of its answer says."""

    def __init__(self, app: ASGIApp) -> None:
        from opentelemetry.trace import get_current_span

        self._app, self._current_span = app, get_current_span

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        span = self._current_span()

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                timing = Headers(raw=message["headers"]).get("server-timing", "")
                for stage, milliseconds in _STAGE.findall(timing):
                    span.set_attribute(f"vesselrt.{stage}_ms", float(milliseconds))
            await send(message)

        await self._app(scope, receive, told if scope["type"] == "http" else send)


def _is_asked(environment: Mapping[str, str]) -> bool:
    given = [environment.get(name, "") for name in _ASKED]
    off = given[0] == "none" or environment.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return any(given) and not off
