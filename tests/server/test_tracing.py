"""Traces: of each request one span, with its stages and without what is the patient's."""

import logging
import sys
from typing import Any

import pytest
from fastapi import FastAPI
from serving import picture, png, running, segmenter

from vesselrt.server import tracing
from vesselrt.server.http import application

sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="needs the extra otel")
SECRET = "Kim Minji 1970-01-01"


@pytest.fixture
def spans() -> Any:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    return InMemorySpanExporter()


@pytest.fixture
def _traced(spans: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(
        application, "add_tracing", lambda app: tracing.trace_with(app, provider, FastAPIInstrumentor())
    )


@pytest.mark.usefixtures("_traced")
def test_a_request_is_one_span_with_its_stages_and_no_name(spans: Any) -> None:
    with running(segmenter(), warm=True) as client:
        spans.clear()
        assert client.post("/predict", files={"image": (f"{SECRET}.png", png(picture()))}).status_code == 200
        assert client.post("/predict", files={"image": (f"{SECRET}.png", b"torn")}).status_code == 415
        client.get("/health")
    fine, refused = spans.get_finished_spans()
    assert (fine.name, fine.attributes["http.status_code"]) == ("POST /predict", 200)
    assert {"decode", "infer", "total"} <= {name[9:-3] for name in fine.attributes if name.startswith("vesselrt.")}
    assert refused.attributes["http.status_code"] == 415
    assert SECRET not in fine.to_json() + refused.to_json()


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_only_the_environment_turns_it_on(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], asked: bool
) -> None:
    for name in (*tracing._ASKED, "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    told = list[object]()
    monkeypatch.setattr(tracing, "trace_with", lambda *given: told.append(given))
    tracing.add_tracing(FastAPI())
    assert bool(told) == asked


def test_where_it_is_not_installed_the_server_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with caplog.at_level(logging.WARNING):
        tracing.add_tracing(FastAPI())
    assert "pip install 'vesselrt[otel]'" in caplog.text
