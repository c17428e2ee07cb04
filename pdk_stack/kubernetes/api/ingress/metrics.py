"""Prometheus metrics of the ingress.

Names and buckets match Knative's queue-proxy (``knative.dev/serving/pkg/queue/stats``), which dashboards for KServe's
serverless mode read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import prometheus_client
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

# Milliseconds, up to a minute.
BUCKETS: tuple[int, ...] = (5, 10, 20, 40, 60, 80, 100, 150, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 900)
BUCKETS += (1000, 2000, 5000, 10000, 20000, 50000, 100000)
# Of each service; without a limit, every roll-out would leave its series behind.
KEPT_REVISIONS = 10
REVISION = ("namespace_name", "configuration_name", "revision_name")

Inflight = Callable[[], dict[tuple[str, str, str], int]]

# Creation times are an OpenMetrics feature that Knative doesn't export.
prometheus_client.disable_created_metrics()


class QueueDepth(Collector):
    """Requests in flight, read on each scrape.

    Args:
        inflight: Requests in flight by namespace, service, and revision.
    """

    def __init__(self, inflight: Inflight) -> None:
        self._inflight = inflight

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauge."""
        text = "Requests that a revision works on or that wait for it."
        gauge = GaugeMetricFamily("revision_queue_depth", text, labels=REVISION)
        for names, count in sorted(self._inflight().items()):
            gauge.add_metric(names, count)
        yield gauge


class Metrics:
    """Requests and latencies by service, revision, and status code.

    Args:
        inflight: Requests in flight by namespace, service, and revision.
    """

    def __init__(self, inflight: Inflight) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        labels = (*REVISION, "response_code")
        self._count = prometheus_client.Counter(
            "revision_request_count", "Requests that were answered.", labels, registry=self._registry
        )
        self._latencies = prometheus_client.Histogram(
            "revision_request_latencies",
            "Milliseconds from the request's head to the answer.",
            labels,
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._registry.register(QueueDepth(inflight))
        self._lock = threading.Lock()
        self._codes: dict[tuple[str, str], dict[str, set[int]]] = {}

    def observe(self, namespace: str, service: str, revision: str, code: int, milliseconds: float) -> None:
        """Record one answered request."""
        with self._lock:
            revisions = self._codes.setdefault((namespace, service), {})
            if code not in revisions.setdefault(revision, set()):
                revisions[revision].add(code)
                if len(revisions) > KEPT_REVISIONS:
                    self._forget(namespace, service, next(iter(revisions)))
            # Under the lock, so that no series comes back after its revision was forgotten.
            self._count.labels(namespace, service, revision, code).inc()
            self._latencies.labels(namespace, service, revision, code).observe(milliseconds)

    def _forget(self, namespace: str, service: str, revision: str) -> None:
        """Remove the series of a service's oldest revision: on a cluster, they end with its pods."""
        for code in self._codes[namespace, service].pop(revision):
            for metric in (self._count, self._latencies):
                metric.remove(namespace, service, revision, code)

    def text(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        # The library appends _total to every counter's name; Knative's has no such suffix.
        given = prometheus_client.generate_latest(self._registry)
        return given.replace(b"revision_request_count_total", b"revision_request_count")
