"""How a service is used: what pods tell, rates of two readings, percentiles, and what is said when nobody may know."""

from __future__ import annotations

import functools
import json
from types import SimpleNamespace
from typing import Any

import kubernetes
import pytest

from pdk_nb.console import usage as histories
from pdk_nb.platforms import serving
from pdk_nb.platforms.cluster import Cluster
from pdk_nb.platforms.serving.pods import Pod
from pdk_nb.platforms.serving.usage import Counts, Reading, between, read_usage

QUEUE = """
# HELP revision_request_count The number of requests that are routed to queue-proxy
# TYPE revision_request_count counter
revision_request_count{{container_name="queue-proxy",pod_name="a",response_code="200",response_code_class="2xx"}} {ok}
revision_request_count{{container_name="queue-proxy",pod_name="a",response_code="503",response_code_class="5xx"}} {bad}
# TYPE revision_app_request_count counter
revision_app_request_count{{container_name="queue-proxy",pod_name="a",response_code="200"}} 99
# TYPE revision_request_latencies histogram
revision_request_latencies_bucket{{pod_name="a",response_code="200",le="5"}} 0
revision_request_latencies_bucket{{pod_name="a",response_code="200",le="10"}} {ok}
revision_request_latencies_bucket{{pod_name="a",response_code="200",le="+Inf"}} {ok}
revision_request_latencies_bucket{{pod_name="a",response_code="503",le="5"}} 0
revision_request_latencies_bucket{{pod_name="a",response_code="503",le="10"}} 0
revision_request_latencies_bucket{{pod_name="a",response_code="503",le="+Inf"}} {bad}
"""
# OpenTelemetry's names, from Knative 1.19 on.
OTEL = """
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{http_response_status_code="200",otel_scope_name="x",le="0.005"} 3
http_server_request_duration_seconds_bucket{http_response_status_code="200",otel_scope_name="x",le="+Inf"} 4
http_server_request_duration_seconds_count{http_response_status_code="200",otel_scope_name="x"} 4
http_server_request_duration_seconds_count{http_response_status_code="404",otel_scope_name="x"} 1
"""
SERVER = """
# TYPE request_preprocess_seconds histogram
request_preprocess_seconds_bucket{le="+Inf",model_name="m"} 70.0
# TYPE request_predict_seconds histogram
request_predict_seconds_bucket{le="0.1",model_name="m"} 6.0
request_predict_seconds_bucket{le="+Inf",model_name="m"} 7.0
request_predict_seconds_count{model_name="m"} 7.0
"""
TORCHSERVE = """
# TYPE Requests4XX counter
Requests4XX{Level="Host",Hostname="x",} 2.0
# TYPE Requests5XX counter
Requests5XX_total{Level="Host",Hostname="x",} 1.0
# TYPE ts_inference_requests_total counter
ts_inference_requests_total{model_name="m",model_version="default",hostname="x",} 9.0
"""
REVISION = "pets-predictor-00001"


class Core:
    """A cluster's pods: the text of each port, or the status of its refusal."""

    def __init__(self, ports: dict[str, str | int]) -> None:
        self.ports, self.asked = ports, []  # type: ignore[var-annotated]

    def connect_get_namespaced_pod_proxy_with_path(self, name: str, namespace: str, path: str, **_: Any) -> Any:
        self.asked.append((name, namespace, path))
        found = self.ports.get(name, 503)
        if isinstance(found, int):
            raise kubernetes.client.ApiException(status=found, reason="no")
        return SimpleNamespace(data=found.encode())

    def read_namespaced_pod_log(self, name: str, namespace: str, **given: Any) -> Any:
        if name not in self.ports:
            raise kubernetes.client.ApiException(status=404, reason="no")
        return SimpleNamespace(data=str(self.ports[name]).encode())


def cluster(ports: dict[str, str | int]) -> Cluster:
    return Cluster(None, Core(ports), "models", "https://here")


def ready(*names: str, revision: str = REVISION) -> list[Pod]:
    return [Pod(name, "pets", revision=revision, ready=True) for name in names]


def test_the_queues_of_all_pods_are_added_up() -> None:
    here = cluster({"a:9091": QUEUE.format(ok=8, bad=2), "b:9091": QUEUE.format(ok=2, bad=0)})
    waiting = Pod("c", "pets", revision=REVISION)
    found = read_usage(here, [*ready("a", "b"), waiting], lambda: 5.0)
    assert found.total == Counts(12, {"503": 2}, {5.0: 0, 10.0: 10, float("inf"): 12})
    assert here.core.asked == [("a:9091", "models", "metrics"), ("b:9091", "models", "metrics")]
    assert (found.moment, found.problem) == (5.0, "")


def test_newer_knative_counts_in_seconds() -> None:
    found = read_usage(cluster({"a:9091": OTEL}), ready("a")).total
    assert found == Counts(5, {"404": 1}, {5.0: 3, float("inf"): 4})


@pytest.mark.parametrize(
    ("ports", "counts"),
    [
        ({"a:8080": SERVER, "a:8082": TORCHSERVE}, Counts(7, {"4xx": 2, "5xx": 1}, {100.0: 6, float("inf"): 7})),
        ({"a:8080": SERVER}, Counts(7, {}, {100.0: 6, float("inf"): 7})),
        ({"a:8082": TORCHSERVE}, Counts(9, {"4xx": 2, "5xx": 1})),
    ],
)
def test_in_raw_mode_the_servers_count_themselves(ports: dict[str, str | int], counts: Counts) -> None:
    assert read_usage(cluster(ports), ready("a", revision="")).total == counts


@pytest.mark.parametrize(
    ("ports", "said"),
    [
        ({"a:9091": 403}, "need a right that this user lacks: get pods/proxy in the namespace models."),
        ({"a:9091": 503}, "offers no metrics on port 9091. In Knative's ConfigMap config-observability"),
        ({"a:9091": 500}, "can't be read: 500 no."),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(ports: dict[str, str | int], said: str) -> None:
    found = read_usage(cluster(ports), ready("a"))
    assert said in found.problem and found.unread == {"a"} and found.total == Counts()


def test_a_text_that_is_no_metrics_counts_nothing() -> None:
    assert read_usage(cluster({"a:9091": "<html>"}), ready("a")).total == Counts()


def test_two_readings_make_a_rate() -> None:
    old = Reading(0.0, {"a": Counts(10, {"503": 1}, {5.0: 4, 9.0: 10}), "restarted": Counts(50)}, frozenset({"unread"}))
    new = Reading(
        4.0,
        {
            "a": Counts(16, {"503": 1}, {5.0: 4, 9.0: 16}),
            "restarted": Counts(3),
            "fresh": Counts(1),
            # It may have counted for hours.
            "unread": Counts(1000),
        },
    )
    found = between(old, new)
    assert (found.counts.requests, found.per_second) == (10, 2.5)
    assert found.counts.errors == {} and found.counts.buckets == {5.0: 0, 9.0: 6}


@pytest.mark.parametrize(
    ("buckets", "share", "latency"),
    [
        ({10.0: 0, 20.0: 10, float("inf"): 10}, 0.5, 15.0),
        ({10.0: 10, 20.0: 10, float("inf"): 10}, 0.99, 9.9),
        ({10.0: 5, 20.0: 5, 30.0: 10, float("inf"): 10}, 0.75, 25.0),
        # Nobody knows how much longer it took.
        ({10.0: 5, float("inf"): 10}, 0.99, 10.0),
        ({10.0: 0, float("inf"): 0}, 0.5, None),
        ({}, 0.5, None),
    ],
)
def test_percentiles_are_interpolated(buckets: dict[float, float], share: float, latency: float | None) -> None:
    found = Counts(buckets=buckets).quantile(share)
    assert found == (None if latency is None else pytest.approx(latency))


def test_a_page_shows_the_last_minute_and_forgets_what_is_older() -> None:
    ports: dict[str, str | int] = {"a:9091": QUEUE.format(ok=0, bad=0), "a": ""}
    here = cluster(ports)
    history = histories.Histories().of(here, "pets")
    for number in range(200):
        ports["a:9091"] = QUEUE.format(ok=number * 4, bad=0)
        # A second look within two seconds asks nobody.
        for _ in range(2):
            history.read(here, ready("a"), functools.partial(float, 2 * number))
    assert len(here.core.asked) == 200
    recent = history.recent
    assert recent is not None and (recent.seconds, recent.per_second) == (60.0, 2.0)
    assert len(history.readings) == 151
    requests, latencies = history.plots()
    assert requests.series[0].points[-1] == (0.0, 2.0) and requests.series[0].points[0][0] == -298.0
    assert [each.name for each in latencies.series] == ["p50", "p99"]


def test_the_histories_of_services_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "MOST", 2)
    known, here = histories.Histories(), cluster({})
    first = known.of(here, "one")
    assert known.of(here, "two") is not first and known.of(here, "one") is first
    known.of(here, "three")
    assert known.of(here, "one") is first
    assert len(known._known) == 2


def test_the_last_lines_of_errors_are_shown_the_newest_first() -> None:
    log = [
        "2026-01-01T00:00:01Z [INFO ] W-9000 MODEL_LOG - Traceback (most recent call last):",
        "2026-01-01T00:00:02Z [INFO ] W-9000 MODEL_LOG - PIL.UnidentifiedImageError: cannot identify image file",
        '2026-01-01T00:00:03Z [INFO ] ACCESS_LOG - /127.0.0.1 "POST /v1/models/pets:predict HTTP/1.1" 200 12',
        '2026-01-01T00:00:04.5Z [INFO ] ACCESS_LOG - /127.0.0.1 "POST /v1/models/pets:predict HTTP/1.1" 503 12',
        "2026-01-01T00:00:05Z [ERROR] epollEventLoopGroup org.pytorch.serve.http.HttpRequestHandler -",
        "2026-01-01T00:00:06Z [INFO ] errors are no Error by name",
    ]
    other = ["2026-01-01T00:00:04Z KeyError: 'data'"]
    here = cluster({"a": "\n".join(log), "b": "\n".join(other)})
    found = serving.error_lines(here, ready("a", "b", "gone"))
    assert [each.moment[17:-1] for each in found] == ["05", "04.5", "04", "02"]
    assert [each.pod for each in found] == ["a", "a", "b", "a"]
    assert serving.error_lines(here, ready("a"), number=1)[0].text.startswith("[ERROR]")


def test_nobody_who_may_not_read_a_log_is_told_that_there_are_no_errors() -> None:
    class Closed(Core):
        def read_namespaced_pod_log(self, name: str, namespace: str, **given: Any) -> Any:
            body = json.dumps({"message": 'pods "a" is forbidden'})
            error = kubernetes.client.ApiException(status=403, reason="Forbidden")
            error.body = body
            raise error

    here = Cluster(None, Closed({"a:9091": QUEUE.format(ok=1, bad=0)}), "models", "https://here")
    history = histories.History()
    history.read(here, ready("a"))
    assert "forbidden" in history.log_problem and history.total.requests == 1
