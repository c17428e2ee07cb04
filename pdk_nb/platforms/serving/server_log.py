"""The last lines of a service's pods that tell of an error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pdk_nb.platforms.cluster import REQUEST_TIMEOUT_S, Cluster, api_errors
from pdk_nb.platforms.serving.pods import Pod
from pdk_shared.errors import DeploymentError, NotFound

__all__ = ["ErrorLine", "error_lines"]

CONTAINER = "kserve-container"
#: Lines of a pod's log that are looked through, and the longest line.
LOOKED_AT, LONGEST = 500, 400
# Java's and Python's levels; the last line of Python's tracebacks, which TorchServe logs at the level INFO; and failed
# requests, as TorchServe and uvicorn log them.
TELLS = re.compile(r"\b(ERROR|CRITICAL|FATAL)\b|\b\w*(Error|Exception|Interrupt)\b(:|$)|HTTP/\d(\.\d)?\" [45]\d\d\b")


@dataclass(frozen=True)
class ErrorLine:
    """One line.

    Attributes:
        moment: When it was written, as Kubernetes has it (RFC 3339).
        pod: The pod.
        text: The line.
    """

    moment: str
    pod: str
    text: str


def error_lines(cluster: Cluster, pods: Sequence[Pod], number: int = 20) -> list[ErrorLine]:
    """The last lines of the pods' logs that tell of an error, the newest first.

    Args:
        cluster: The connection.
        pods: The service's pods.
        number: At most so many.

    Raises:
        ServiceUnreachable: The logs can't be read: the right to get ``pods/log`` is missing, for example.
    """
    found: list[ErrorLine] = []
    for pod in pods:
        try:
            with api_errors(cluster, f"log of pod {pod.name}"):
                reply = cluster.core.read_namespaced_pod_log(
                    pod.name,
                    cluster.namespace,
                    container=CONTAINER,
                    tail_lines=LOOKED_AT,
                    timestamps=True,
                    _preload_content=False,
                    _request_timeout=REQUEST_TIMEOUT_S,
                )
        except (NotFound, DeploymentError):  # the pod is gone, or its container hasn't started yet
            continue
        for line in bytes(reply.data).decode("utf-8", "replace").splitlines():
            moment, _, text = line.partition(" ")
            if TELLS.search(text):
                found.append(ErrorLine(moment, pod.name, text[:LONGEST]))
    # Kubernetes leaves out zeros at the end of a second's fraction, but never the zone, which is UTC.
    return sorted(found, key=lambda each: each.moment.rstrip("Z"), reverse=True)[:number]
