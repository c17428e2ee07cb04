"""InferenceServices of KServe: create or update, wait with reasons, split traffic, roll back, predict.

Everything goes through the Kubernetes API with the official client; every function takes the lab's settings or a
:class:`Cluster` made by :func:`connect`. An update is a merge patch of the fields that belong to the lab, guarded by
the object's ``resourceVersion``: what others set (autoscaling, labels, a canary share) stays.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pdk_nb.platforms.cluster import (
    REQUEST_TIMEOUT_S,
    Cluster,
    Where,
    api_errors,
    connect,
    ensure_service_account,
    resolve,
)
from pdk_nb.platforms.serving import predictions
from pdk_nb.platforms.serving.objects import (
    GROUP,
    PLURAL,
    VERSION,
    Applied,
    create,
    find,
    need,
    patch,
    until_settled,
    where_text,
)
from pdk_nb.platforms.serving.predictions import Endpoint, Prediction
from pdk_nb.platforms.serving.rollout import (
    Share,
    canary,
    promote,
    revisions,
    rollback,
    set_canary,
    traffic,
    wait_share,
)
from pdk_nb.platforms.serving.spec import (
    HISTORY,
    HISTORY_LENGTH,
    Deployment,
    history,
    lineage_notes,
    manifest,
    predictor_spec,
    record,
)
from pdk_nb.platforms.serving.status import ServiceStatus, failure_reasons, is_terminal, read_status
from pdk_shared.errors import DeploymentError, PredictionError

__all__ = [
    "Applied",
    "Cluster",
    "Deployment",
    "Endpoint",
    "Prediction",
    "ServiceStatus",
    "Share",
    "apply",
    "canary",
    "connect",
    "curl_command",
    "delete",
    "endpoint",
    "ensure_service_account",
    "manifest",
    "predict",
    "promote",
    "revisions",
    "rollback",
    "service_status",
    "set_canary",
    "status_table",
    "traffic",
    "wait_ready",
    "wait_share",
]

# A failed state has to hold this long before it ends a wait: right after a change it can be the old revision's.
SETTLE_S = 3.0


def apply(where: Where, deployment: Deployment) -> Applied:
    """Create a service, or update it in place.

    Args:
        where: Settings or connection.
        deployment: What it should serve.

    Returns:
        What was done; applying the same again changes nothing and starts no new revision.

    Raises:
        UsageError: The deployment's name or address cannot be used.
        DeploymentError: The cluster refuses the object, or others keep changing it.
        ServiceUnreachable: The cluster does not answer, or does not allow it.
    """
    import kubernetes

    cluster = resolve(where)
    body = manifest(deployment, cluster.namespace)

    def step() -> Applied:
        current = find(cluster, deployment.name)
        if current is not None:
            return _update(cluster, deployment, current)
        try:
            return create(cluster, body)
        except kubernetes.client.ApiException as error:
            if error.status == 404:
                raise DeploymentError(
                    f"There is no namespace {cluster.namespace}.",
                    where=where_text(cluster, deployment.name),
                    fix=f"kubectl create namespace {cluster.namespace}",
                ) from error
            raise

    return until_settled(cluster, deployment.name, step)


def _update(cluster: Cluster, deployment: Deployment, current: dict[str, Any]) -> Applied:
    predictor = predictor_spec(deployment)
    # Older kits use the framework's own key, which newer KServe moves to "model"; two of them are refused.
    if "pytorch" in current.get("spec", {}).get("predictor", {}):
        predictor["pytorch"] = None
    served = [each for each in history(current) if each["version"] != deployment.version]
    served = [*served, record(deployment)][-HISTORY_LENGTH:]
    notes: dict[str, Any] = {**lineage_notes(deployment), HISTORY: json.dumps(served, separators=(",", ":"))}
    return patch(cluster, current, {"annotations": notes}, {"predictor": predictor})


def service_status(where: Where, name: str) -> ServiceStatus:
    """A service's state, read now.

    Raises:
        DeploymentError: There is no such service.
    """
    return read_status(need(resolve(where), name))


def status_table(where: Where) -> list[dict[str, str]]:
    """The namespace's services with the columns of ``kubectl get inferenceservices``."""
    cluster = resolve(where)
    with api_errors(cluster, f"{PLURAL} in {cluster.namespace}"):
        found = cluster.custom.list_namespaced_custom_object(
            GROUP, VERSION, cluster.namespace, PLURAL, _request_timeout=REQUEST_TIMEOUT_S
        )
    return [read_status(each).row() for each in found.get("items", [])]


def wait_ready(
    where: Where,
    name: str,
    timeout: float = 300.0,
    *,
    version: str = "",
    after: str = "",
    poll: float = 0.5,
    progress: Callable[[str], None] | None = None,
) -> ServiceStatus:
    """Wait until a service serves what it was told to.

    Args:
        where: Settings or connection.
        name: The service.
        timeout: Seconds.
        version: Model version that it must have been given; any when empty.
        after: Revision before the change that is waited for (:attr:`Applied.previous_revision`): a status that still
            speaks of it is not believed.
        poll: Seconds between looks.
        progress: Told each new state, one line.

    Raises:
        DeploymentError: The revision failed, or time ran out; the text holds the reasons that conditions, model status,
            pods and events give.
        ServiceUnreachable: The cluster does not answer.
    """
    cluster = resolve(where)
    deadline = time.monotonic() + timeout
    failing_since, said = 0.0, ""
    status: ServiceStatus | None = None
    while True:
        found = find(cluster, name)
        status = read_status(found) if found else None
        if status and (not version or status.version == version):
            stale = bool(after) and after in (status.latest_created, status.latest_ready)
            if status.ready and not stale:
                return status
            line = status.summary()
            failing = is_terminal(status) and not stale
            now = time.monotonic()
            failing_since = (failing_since or now) if failing else 0.0
            if failing and now - failing_since >= SETTLE_S:
                reasons = failure_reasons(cluster.core, cluster.namespace, name, status)
                raise _not_ready(cluster, name, "The new revision failed.", reasons)
        elif status:
            line = f"it still has version {status.version or 'unknown'}"
        else:
            line = "it does not exist yet"
        if progress and line != said:
            progress(line)
            said = line
        if time.monotonic() >= deadline:
            reasons = failure_reasons(cluster.core, cluster.namespace, name, status) if status else [line]
            raise _not_ready(cluster, name, f"Not ready within {timeout:.0f} s.", [line, *reasons])
        time.sleep(poll)


def _not_ready(cluster: Cluster, name: str, what: str, reasons: list[str]) -> DeploymentError:
    unique = list(dict.fromkeys(each for each in reasons if each))
    text = what + "".join(f"\n  - {each}" for each in unique)
    fix = (
        f"kubectl -n {cluster.namespace} describe inferenceservice {name}; "
        f"kubectl -n {cluster.namespace} logs -l serving.kserve.io/inferenceservice={name} -c kserve-container"
    )
    return DeploymentError(text, where=where_text(cluster, name), fix=fix)


def delete(where: Where, name: str, timeout: float = 60.0) -> bool:
    """Delete a service and wait until it is gone.

    Returns:
        Whether there was one.

    Raises:
        DeploymentError: It is still there after the time.
    """
    import kubernetes

    cluster = resolve(where)
    with api_errors(cluster, where_text(cluster, name)):
        try:
            cluster.custom.delete_namespaced_custom_object(
                GROUP, VERSION, cluster.namespace, PLURAL, name, _request_timeout=REQUEST_TIMEOUT_S
            )
        except kubernetes.client.ApiException as error:
            if error.status == 404:
                return False
            raise
    deadline = time.monotonic() + timeout
    while find(cluster, name) is not None:
        if time.monotonic() > deadline:
            raise DeploymentError(
                f"The service is still there after {timeout:.0f} s.",
                where=where_text(cluster, name),
                fix="A finalizer holds it; kubectl describe shows which.",
            )
        time.sleep(0.25)
    return True


def endpoint(where: Where, name: str) -> Endpoint:
    """Where a service's model answers: host from its status, address of the ingress, model from its annotations.

    Raises:
        DeploymentError: There is no such service.
        PredictionError: It has no URL yet, or nobody knows the ingress or its model.
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
        lacking = "the ingress's address" if not cluster.ingress else "the service's model"
        raise PredictionError(
            f"Nobody says {lacking}.",
            where=where_text(cluster, name),
            fix="Give pdk-config kserve_ingress_host and kserve_ingress_port, and the service the annotation "
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
    )


def predict(
    where: Where | Endpoint,
    service: str = "",
    images: Sequence[bytes | Path] | Mapping[str, Any] | Sequence[Mapping[str, Any]] = (),
    *,
    detail: bool = True,
    timeout: float = 30.0,
) -> list[Prediction]:
    """Ask a service what it sees.

    Args:
        where: Settings, connection, or an endpoint (which saves looking the service up again).
        service: The service; not needed with an endpoint.
        images: Pictures as bytes or paths; or v1 instances; or a whole request like that of ``cat.json``.
        detail: Whether to ask for label, scores and version instead of the bare index.
        timeout: Seconds to wait for the answer.

    Raises:
        DataError: A picture cannot be used.
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
    return predictions.send(target, instances, detail=detail, timeout=timeout)


def curl_command(where: Where | Endpoint, service: str = "", body_file: str = "cat.json") -> str:
    """The setup guide's curl line with this cluster's values.

    Raises:
        DeploymentError: There is no such service.
    """
    target = where if isinstance(where, Endpoint) else endpoint(where, service)
    return predictions.curl_command(target, body_file)
