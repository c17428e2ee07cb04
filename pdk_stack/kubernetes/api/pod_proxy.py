"""``GET .../pods/<name>:9091/proxy/metrics``: what Knative's queue-proxy counts of a pod's requests.

The real API's proxy reaches every port of a pod (``pkg/registry/core/pod/strategy.go``). Here it reaches the one port
that shows how a service is used; the ingress counts what passes through it, so the figures are those of real requests.
Other ports and paths are refused.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from pdk_stack.kubernetes.api.request_info import RequestInfo
from pdk_stack.kubernetes.errors import StatusError, not_implemented
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.workload_kinds import PODS

__all__ = ["PodMetrics", "pod_proxy"]

#: What a pod's queue-proxy tells of it, in the Prometheus text format: ``(namespace, pod) -> text``.
PodMetrics = Callable[[str, str], bytes]
#: ``UserQueueMetricsPort`` in ``pkg/networking/constants.go`` of Knative.
QUEUE_METRICS_PORT = "9091"


def pod_proxy(store: ObjectStore, metrics: PodMetrics, method: str, info: RequestInfo) -> Response:
    """Answer a request to a port of a pod.

    Args:
        store: The objects.
        metrics: Returns what a pod's queue-proxy tells of it.
        method: The HTTP method.
        info: The request; its name is ``[<scheme>:]<pod>[:<port>]``.

    Raises:
        StatusError: 404 for an unknown pod; 501 for another port, path, or method; 503 for a pod that doesn't run.
    """
    # The scheme comes first, and only together with a port (``SplitSchemeNamePort`` of k8s.io/apimachinery).
    parts = info.name.split(":")
    name, port = (parts[-2], parts[-1]) if len(parts) > 1 else (info.name, "")
    pod = store.get(PODS, info.namespace, name)
    if (method, port, info.rest) != ("GET", QUEUE_METRICS_PORT, ("metrics",)):
        raise not_implemented(f"pods/proxy ({method} {info.path}), only GET :{QUEUE_METRICS_PORT}/proxy/metrics")
    if (pod.get("status") or {}).get("phase") != "Running":
        raise StatusError(503, "ServiceUnavailable", "error trying to reach service: the pod doesn't run")
    return Response(metrics(info.namespace, name), headers={"content-type": CONTENT_TYPE_LATEST})
