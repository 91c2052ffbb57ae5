"""Figures of a server in the Prometheus text format."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from prism_cli.serving.service import Service

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of requests, and the figures of the service and its queue."""

    def __init__(self, service: Service) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "prism_requests", "Requests by HTTP status, without probes and the page",
            ["code"], registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "prism_request_seconds", "Seconds of answered rerank requests",
            buckets=_BUCKETS, registry=self._registry,
        )  # fmt: skip
        self._registry.register(_QueueFigures(service))

    def count(self, status: int, seconds: float, *, ranks: bool) -> None:
        """Count a request.

        Args:
            ranks: a rerank request; its seconds count if it was answered, as refusals within a
                millisecond would hide a slow model.
        """
        self._requests.labels(str(status)).inc()
        if ranks and status == 200:
            self._seconds.observe(seconds)

    def text(self) -> bytes:
        """Return all figures."""
        return generate_latest(self._registry)


class _QueueFigures(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        service = self._service
        yield GaugeMetricFamily(
            "prism_ready", "1 if rerank requests are taken, as /ready says", value=service.ready
        )
        yield GaugeMetricFamily(
            "prism_requests_in_flight", "Rerank requests", value=len(service.tickets)
        )
        if service.queue is None:
            return
        figures = service.queue.figures
        yield GaugeMetricFamily(
            "prism_queued_bytes", "Bytes of prompts that wait", value=service.queue.queued_bytes
        )
        for name, text, value in (
            ("prism_model_busy_seconds", "Seconds that the model worked", figures.busy_seconds),
            ("prism_queue_wait_seconds", "Seconds that pairs waited", figures.wait_seconds),
            ("prism_batches", "Rounds of the model", figures.rounds),
            ("prism_pairs", "Pairs that were read", figures.pairs),
            ("prism_tokens_read", "Tokens that were read", figures.tokens_read),
            ("prism_tokens_written", "Tokens that were written", figures.tokens_written),
            ("prism_pairs_cancelled", "Pairs that were given up", figures.cancelled),
        ):
            yield CounterMetricFamily(name, text, value=value)
