"""What Prometheus reads at /metrics. With several workers every one of them answers for all."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable: the folder through which the workers' figures come together."""

_SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0)


class ServerMetrics:
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
        self.held = self._gauge("vesselrt_held_bytes", "Held by requests: bodies, pixels, maps, answers.")
        self.maps = self._counter("vesselrt_maps", "Photographs whose map was kept (hit) or not (miss).", "outcome")
        self.failed = self._counter("vesselrt_failed", "Photographs that could not be segmented.", "model")
        self.refused = self._counter("vesselrt_connections_refused", "Connections beyond those that may be open.")
        self.last = Gauge(
            "vesselrt_last_photograph_seconds", "When a model was done with its last one, in Unix time.", ["model"],
            registry=self._registry, multiprocess_mode="max",
        )  # fmt: skip
        if SHARED_FOLDER not in os.environ:
            ProcessCollector(registry=self._registry)

    def page(self, accept: str) -> tuple[bytes, str]:
        """The figures, and their media type."""
        registry = self._all_workers()
        try:
            encode, media_type = choose_encoder(accept)
            return encode(registry), media_type
        except TypeError:  # the library compares versions, and what was asked for is none: "version=abc"
            encode, media_type = choose_encoder("")
            return encode(registry), media_type

    def value(self, sample: str, **labels: str) -> float:
        """One figure, of all workers together; 0 where nothing was counted yet."""
        return self._all_workers().get_sample_value(sample, labels) or 0.0

    def _all_workers(self) -> CollectorRegistry:
        """The figures of every worker."""
        if SHARED_FOLDER not in os.environ:
            return self._registry
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return registry

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=_SECONDS, registry=self._registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self._registry, multiprocess_mode="livesum")
