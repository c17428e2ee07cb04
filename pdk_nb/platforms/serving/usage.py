"""How a service is used: its requests, latencies, and errors, from what its pods count themselves.

Whoever has only a kubeconfig reaches the pods' metrics through the Kubernetes API (``pods/proxy``), without Prometheus
and without access to the pods' network:

* On Knative, each pod's queue-proxy counts on port 9091 (``pkg/networking/constants.go``): up to 1.18, as
  ``revision_request_count`` and ``revision_request_latencies`` in milliseconds
  (``pkg/queue/metrics/request_metric.go``), which is on by default; from 1.19 on, as OpenTelemetry's
  ``http.server.request.duration`` (``pkg/queue/sharedmain/otel.go``), which is off by default.
* In raw mode, KServe's server counts on port 8080 (``request_predict_seconds`` in ``python/kserve/kserve/metrics.py``),
  and TorchServe on port 8082 (``ts/configs/metrics.yaml``: ``ts_inference_requests_total``, and one counter for each
  class of codes).

All of them are counters since the pod's start: :func:`between` makes a rate of two readings. Percentiles come from
histograms, so they are as exact as their buckets.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from pdk_nb.platforms.cluster import Cluster
from pdk_nb.platforms.serving.pods import Pod
from pdk_shared.errors import NoAnswer

__all__ = ["Counts", "Reading", "Usage", "between", "read_usage"]

#: Connect, then read: a page waits for the figures.
TIMEOUT_S = (2.0, 3.0)
QUEUE_PORT, SERVER_PORT, TORCHSERVE_PORT = 9091, 8080, 8082
# With what a cluster answers for a port on which nothing listens.
NO_LISTENER = frozenset({404, 501, 502, 503, 504})
SWITCHED_OFF = (
    "In Knative's ConfigMap config-observability, request-metrics-protocol must be prometheus; before Knative 1.19, "
    "metrics.request-metrics-backend-destination."
)
Key = TypeVar("Key", str, float)


@dataclass(frozen=True)
class Counts:
    """What has been counted so far.

    Attributes:
        requests: All requests.
        errors: Those that failed, by status code (``503``) or class of codes (``5xx``).
        buckets: Requests that took at most so many milliseconds; empty where nobody measures it.
    """

    requests: float = 0.0
    errors: Mapping[str, float] = field(default_factory=dict)
    buckets: Mapping[float, float] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        return self._with(other, 1)

    def __sub__(self, other: Counts) -> Counts:
        return self._with(other, -1)

    def _with(self, other: Counts, sign: int) -> Counts:
        errors = _joined(self.errors, other.errors, sign)
        return Counts(
            self.requests + sign * other.requests,
            {code: count for code, count in errors.items() if count},
            _joined(self.buckets, other.buckets, sign),
        )

    def quantile(self, share: float) -> float | None:
        """The latency that a share of the requests doesn't exceed, in milliseconds; None if nobody measured one.

        It's interpolated within its bucket, as Prometheus does it (``histogram_quantile``). Beyond the largest bound,
        it's that bound.

        Args:
            share: From 0 to 1: 0.5 for the median.
        """
        bounds = sorted(self.buckets)
        total = self.buckets[bounds[-1]] if bounds else 0.0
        if total <= 0:
            return None
        rank, below, lower = share * total, 0.0, 0.0
        for bound in bounds:
            count = self.buckets[bound]
            if count >= rank and count > below:
                return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
            below, lower = count, bound
        return lower


def _joined(first: Mapping[Key, float], second: Mapping[Key, float], sign: int) -> dict[Key, float]:
    return {key: first.get(key, 0.0) + sign * second.get(key, 0.0) for key in {**first, **second}}


@dataclass(frozen=True)
class Reading:
    """One reading of a service's pods.

    Attributes:
        moment: When, in seconds of the monotonic clock.
        counts: What each pod has counted since its start.
        unread: Pods that exist, but gave no figures.
        problem: Why; empty if all pods gave their figures.
    """

    moment: float
    counts: Mapping[str, Counts]
    unread: frozenset[str] = frozenset()
    problem: str = ""

    @property
    def total(self) -> Counts:
        """All pods together, since their starts."""
        return sum(self.counts.values(), Counts())


@dataclass(frozen=True)
class Usage:
    """How a service was used between two readings.

    Attributes:
        seconds: The time between them.
        counts: What was counted between them.
    """

    seconds: float
    counts: Counts

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.counts.requests / self.seconds if self.seconds > 0 else 0.0


def between(old: Reading, new: Reading) -> Usage:
    """How a service was used between two readings.

    A pod that is gone takes its last requests with it. One whose counters went back has started again, and counts from
    zero, as one does that is new.

    Args:
        old: The earlier reading.
        new: The later one.
    """
    found = Counts()
    for pod, now in new.counts.items():
        if pod in old.unread:
            continue
        before = old.counts.get(pod, Counts())
        found += now - before if now.requests >= before.requests else now
    return Usage(new.moment - old.moment, found)


def read_usage(cluster: Cluster, pods: Sequence[Pod], clock: Callable[[], float] = time.monotonic) -> Reading:
    """Read what a service's pods have counted.

    Args:
        cluster: The connection.
        pods: The service's pods; those that aren't ready have nothing to tell.
        clock: Gives the time of the reading.

    Raises:
        NoAnswer: The Kubernetes API doesn't answer.
    """
    counts: dict[str, Counts] = {}
    problems: dict[str, str] = {}
    for pod in pods:
        if not pod.ready:
            continue
        found, problem = _of_pod(cluster, pod)
        if found is None:
            problems[pod.name] = problem
        else:
            counts[pod.name] = found
    return Reading(clock(), counts, frozenset(problems), next(iter(problems.values()), ""))


def _of_pod(cluster: Cluster, pod: Pod) -> tuple[Counts | None, str]:
    """A pod's counts, or why there are none."""
    if pod.revision:
        text, problem = _metrics(cluster, pod, QUEUE_PORT)
        return (None, problem) if text is None else (_queue(text), "")
    server, problem = _metrics(cluster, pod, SERVER_PORT)
    torchserve, second = _metrics(cluster, pod, TORCHSERVE_PORT)
    if server is None and torchserve is None:
        return None, problem or second
    return _raw(server or "", torchserve or ""), ""


def _metrics(cluster: Cluster, pod: Pod, port: int) -> tuple[str | None, str]:
    """The metrics of one port, or why there are none."""
    import kubernetes
    import urllib3

    try:
        reply = cluster.core.connect_get_namespaced_pod_proxy_with_path(
            f"{pod.name}:{port}", cluster.namespace, "metrics", _preload_content=False, _request_timeout=TIMEOUT_S
        )
        return bytes(reply.data).decode("utf-8", "replace"), ""
    except kubernetes.client.ApiException as error:
        if error.status in (401, 403):
            return None, (
                "Requests and latencies need a right that this user lacks: "
                f"get pods/proxy in the namespace {cluster.namespace}."
            )
        if error.status in NO_LISTENER:
            hint = f" {SWITCHED_OFF}" if port == QUEUE_PORT else ""
            return None, f"Pod {pod.name} offers no metrics on port {port}.{hint}"
        return None, f"The metrics of pod {pod.name} can't be read: {error.status} {error.reason}."
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        raise NoAnswer(f"The Kubernetes API doesn't answer: {reason}", where=cluster.server) from error


def _samples(text: str) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Name, labels, and value of each sample of a text; what isn't in the Prometheus text format has none.

    Counters come without the ending ``_total``: Java's client adds it, Knative doesn't, and the parser does again.
    """
    # The stages' images use this package, too, and have no such parser.
    from prometheus_client.parser import text_string_to_metric_families

    with contextlib.suppress(ValueError):
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                yield sample.name.removesuffix("_total"), sample.labels, float(sample.value)


def _queue(text: str) -> Counts:
    """What a queue-proxy tells."""
    codes: dict[str, float] = defaultdict(float)
    buckets: dict[float, float] = defaultdict(float)
    for name, labels, value in _samples(text):
        if name == "revision_request_count":
            codes[labels.get("response_code", "")] += value
        elif name == "http_server_request_duration_seconds_count":
            codes[labels.get("http_response_status_code", "")] += value
        elif name == "revision_request_latencies_bucket":
            buckets[float(labels["le"])] += value
        elif name == "http_server_request_duration_seconds_bucket":
            buckets[1000 * float(labels["le"])] += value
    errors = {code: count for code, count in codes.items() if code.startswith(("4", "5"))}
    return Counts(sum(codes.values()), errors, dict(buckets))


def _raw(server: str, torchserve: str) -> Counts:
    """What KServe's server and TorchServe tell of one pod."""
    predicted, asked = 0.0, 0.0
    errors: dict[str, float] = defaultdict(float)
    buckets: dict[float, float] = defaultdict(float)
    for name, labels, value in _samples(server):
        if name == "request_predict_seconds_count":
            predicted += value
        elif name == "request_predict_seconds_bucket":
            buckets[1000 * float(labels["le"])] += value
    for name, _, value in _samples(torchserve):
        if name == "ts_inference_requests":
            asked += value
        elif name in ("Requests4XX", "Requests5XX"):
            errors[name.removeprefix("Requests").lower()] += value
    return Counts(predicted if buckets else asked, dict(errors), dict(buckets))
