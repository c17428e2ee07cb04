"""From a service's name to the address where its model answers, and to its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pdk_nb.platforms.cluster import Where, resolve
from pdk_nb.platforms.serving import predictions
from pdk_nb.platforms.serving.objects import where_text
from pdk_nb.platforms.serving.predictions import Endpoint, Prediction
from pdk_nb.platforms.serving.readiness import service_status
from pdk_shared.errors import PredictionError

__all__ = ["curl_command", "endpoint", "predict"]


def endpoint(where: Where, name: str) -> Endpoint:
    """Where a service's model answers: host from its status, address of the ingress, model from its annotations.

    Raises:
        DeploymentError: There is no such service.
        PredictionError: It has no URL yet, or the ingress or its model is unknown.
    """
    cluster = resolve(where)
    status = service_status(where, name)
    if not status.url:
        raise PredictionError(
            "The service has no URL yet: " + (status.summary() or "it is starting"),
            where=where_text(cluster, name),
            fix="Wait until it is READY.",
        )
    if not cluster.ingress or not status.model:
        lacking = "The ingress's address" if not cluster.ingress else "The service's model"
        raise PredictionError(
            f"{lacking} is unknown.",
            where=where_text(cluster, name),
            fix="Set kserve_ingress_host and kserve_ingress_port in pdk-config, and the service's annotation "
            "pdk-lab/model (the deploy stage does).",
        )
    return Endpoint(
        service=name,
        address=cluster.ingress,
        host=predictions.host_of(status.url),
        model=status.model,
        protocol=status.protocol,
        max_bytes=status.max_request_size or predictions.MAX_REQUEST_BYTES,
        version=status.version,
        may_sleep=status.may_sleep,
        asleep=status.asleep,
    )


def predict(
    where: Where | Endpoint,
    service: str = "",
    images: Sequence[bytes | Path] | Mapping[str, Any] | Sequence[Mapping[str, Any]] = (),
    *,
    detail: bool = True,
    timeout: float = 30.0,
    progress: Callable[[str], object] | None = None,
) -> list[Prediction]:
    """Ask a service what it sees.

    Args:
        where: Settings, connection, or an endpoint (which saves looking the service up again).
        service: The service; not needed with an endpoint.
        images: Files as bytes or paths; or v1 instances; or a whole request.
        detail: Whether to ask for label, scores and version instead of the bare index.
        timeout: Seconds to wait for the answer; more for a service that may be scaled to zero.
        progress: Called with one line while such a service starts.

    Raises:
        DataError: A file cannot be used.
        PredictionError: The request is too large, or failed; the text says which name or limit was wrong.
    """
    target = where if isinstance(where, Endpoint) else endpoint(where, service)
    instances: Sequence[Mapping[str, Any]]
    if isinstance(images, Mapping):
        instances = images.get("instances") or ()
    elif images and isinstance(images[0], Mapping):
        instances = images  # type: ignore[assignment]
    elif images:
        from pdk_nb.photos import to_request

        # The other fields of the body need a few bytes per instance.
        room = target.max_bytes - 200 * (len(images) + 1)
        instances = to_request([each for each in images if not isinstance(each, Mapping)], max_bytes=room)["instances"]
    else:
        instances = ()
    return predictions.send(target, instances, detail=detail, timeout=timeout, progress=progress)


def curl_command(where: Where | Endpoint, service: str = "", body_file: str = "cat.json") -> str:
    """The setup guide's curl line with this cluster's values.

    Raises:
        DeploymentError: There is no such service.
    """
    target = where if isinstance(where, Endpoint) else endpoint(where, service)
    return predictions.curl_command(target, body_file)
