"""Prometheus metrics of the ingress.

Names, labels, and buckets match those of Knative's queue-proxy (``pkg/queue/metrics/request_metric.go`` of Knative
1.13), which dashboards for KServe's serverless mode read. A queue-proxy counts for its own pod; here, the ingress
counts for all pods, and :meth:`Metrics.text_of` gives the part of one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

import prometheus_client
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# Milliseconds, up to a minute.
BUCKETS: tuple[int, ...] = (5, 10, 20, 40, 60, 80, 100, 150, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 900)
BUCKETS += (1000, 2000, 5000, 10000, 20000, 50000, 100000)
# Of each service; without a limit, every roll-out would leave its series behind.
KEPT_REVISIONS = 10
# Of each revision; on a cluster, a pod's series end with the pod.
KEPT_PODS = 20
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


class OfPod(Collector):
    """The part of other metrics that is about one pod.

    Args:
        metrics: All metrics.
        namespace: The pod's namespace.
        pod: The pod.
    """

    def __init__(self, metrics: Iterable[Metric], namespace: str, pod: str) -> None:
        self._metrics = metrics
        self._labels = {"namespace_name": namespace, "pod_name": pod}.items()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that have samples."""
        for each in self._metrics:
            part = Metric(each.name, each.documentation, each.type, each.unit)
            part.samples = [sample for sample in each.samples if self._labels <= sample.labels.items()]
            if part.samples:
                yield part


class Metrics:
    """Requests and latencies by service, revision, pod, and status code.

    Args:
        inflight: Requests in flight by namespace, service, and revision.
    """

    def __init__(self, inflight: Inflight) -> None:
        self._registry = prometheus_client.CollectorRegistry()
        labels = (*REVISION, "pod_name", "response_code", "response_code_class")
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
        # The codes of each pod, of each revision, of each service.
        self._codes: dict[tuple[str, str], dict[str, dict[str, set[int]]]] = {}

    def observe(self, namespace: str, service: str, revision: str, pod: str, code: int, milliseconds: float) -> None:
        """Record one answered request.

        Args:
            namespace: The service's namespace.
            service: The service.
            revision: The revision that it went to.
            pod: The pod that it went to; empty if it was refused before.
            code: Status code of the answer.
            milliseconds: From the request's head to the answer.
        """
        with self._lock:
            revisions = self._codes.setdefault((namespace, service), {})
            pods = revisions.setdefault(revision, {})
            if code not in pods.setdefault(pod, set()):
                pods[pod].add(code)
                if len(pods) > KEPT_PODS:
                    self._forget(namespace, service, revision, next(iter(pods)))
                if len(revisions) > KEPT_REVISIONS:
                    oldest = next(iter(revisions))
                    for each in list(revisions[oldest]):
                        self._forget(namespace, service, oldest, each)
                    del revisions[oldest]
            # Under the lock, so that no series comes back after its revision was forgotten.
            labels = (namespace, service, revision, pod, code, f"{code // 100}xx")
            self._count.labels(*labels).inc()
            self._latencies.labels(*labels).observe(milliseconds)

    def _forget(self, namespace: str, service: str, revision: str, pod: str) -> None:
        """Remove the series of a pod: on a cluster, they end with it."""
        for code in self._codes[namespace, service][revision].pop(pod):
            for metric in (self._count, self._latencies):
                metric.remove(namespace, service, revision, pod, code, f"{code // 100}xx")

    def text(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return _knative(prometheus_client.generate_latest(self._registry))

    def text_of(self, namespace: str, pod: str) -> bytes:
        """Return what a pod's queue-proxy tells of it, in the Prometheus text format.

        Args:
            namespace: The pod's namespace.
            pod: The pod.
        """
        part = prometheus_client.CollectorRegistry()
        part.register(OfPod(self._registry.collect(), namespace, pod))
        return _knative(prometheus_client.generate_latest(part))


def _knative(given: bytes) -> bytes:
    """The library appends _total to every counter's name; Knative's has no such suffix."""
    return given.replace(b"revision_request_count_total", b"revision_request_count")
