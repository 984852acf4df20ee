"""What Prometheus reads at /metrics. With several workers every one of them answers for all."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable: the folder through which the workers' figures come together."""

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0)


class Metrics:
    """The figures of one application."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = self._counter(
            "vesselrt_requests", "Answers, by address, method and status.", "route", "method", "status"
        )
        self.seconds = self._histogram(
            "vesselrt_request_seconds", "From a request's head to the end of its answer.", "route"
        )
        self.stages = self._histogram(
            "vesselrt_stage_seconds",
            "wait, decode, prepare, infer, finish, encode of each photograph.",
            "model",
            "stage",
        )
        self.dropped = self._counter(
            "vesselrt_dropped", "Photographs given up: their client left, or their deadline passed.", "reason"
        )
        self.reloads = self._counter("vesselrt_reloads", "Model files that changed, loaded or failed.", "outcome")
        self.places = self._gauge("vesselrt_places_taken", "Photographs worked on or waiting.")
        self.held = self._gauge("vesselrt_upload_bytes", "Request bodies held in memory.")
        if SHARED not in os.environ:
            ProcessCollector(registry=self._registry)

    def page(self, accept: str) -> tuple[bytes, str]:
        """The figures, and their media type."""
        registry = self._registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        try:
            encode, media_type = choose_encoder(accept)
            return encode(registry), media_type
        except TypeError:  # the library compares versions, and what was asked for is none: "version=abc"
            encode, media_type = choose_encoder("")
            return encode(registry), media_type

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=_SECONDS, registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self._registry, multiprocess_mode="livesum")
