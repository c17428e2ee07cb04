"""Creating, updating and deleting InferenceServices."""

from __future__ import annotations

import json
from typing import Any

from pdk_nb.platforms.cluster import REQUEST_TIMEOUT_S, Cluster, Object, Where, api_errors, resolve
from pdk_nb.platforms.serving.installation import cluster_mode, features_fix, knative_config, mode_of, refused_fields
from pdk_nb.platforms.serving.objects import (
    GROUP,
    PLURAL,
    VERSION,
    Applied,
    create,
    find,
    patch,
    retry_on_conflict,
    where_text,
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
from pdk_nb.platforms.waiting import wait
from pdk_shared.errors import DeploymentError, NotFound

__all__ = ["apply", "delete"]


def apply(where: Where, deployment: Deployment) -> Applied:
    """Create a service, or update it in place.

    Args:
        where: Settings or connection.
        deployment: What it should serve.

    Returns:
        What was done; applying the same again changes nothing and starts no new revision.

    Raises:
        UsageError: The deployment's name or address cannot be used.
        DeploymentError: The cluster refuses the object or would refuse its pods, or others keep changing it.
        ServiceUnreachable: The cluster does not answer, or does not allow it.
    """
    cluster = resolve(where)
    body = manifest(deployment, cluster.namespace)

    def step() -> Applied:
        current = find(cluster, deployment.name)
        _check_fields(cluster, body, current)
        if current is not None:
            return _update(cluster, deployment, current)
        try:
            return create(cluster, body)
        except NotFound as error:
            raise DeploymentError(
                f"There is no namespace {cluster.namespace}.",
                where=where_text(cluster, deployment.name),
                fix=f"kubectl create namespace {cluster.namespace}",
            ) from error

    return retry_on_conflict(cluster, deployment.name, step)


def _check_fields(cluster: Cluster, body: Object, current: Object | None) -> None:
    """Ask Knative's configuration before KServe: KServe accepts the service, and then only an event tells the refusal.

    Raises:
        DeploymentError: Knative refuses a field of the predictor.
    """
    predictor = body["spec"]["predictor"]
    if not refused_fields({}, predictor):
        return
    if (mode_of(current) if current is not None else cluster_mode(cluster.core)) == "raw":
        return
    features = knative_config(cluster.core, "config-features")
    # The pipelines' account may not read it: there, the event has to do (pdk_nb.platforms.serving.reasons).
    refused = [] if features is None else refused_fields(features, predictor)
    if refused:
        raise DeploymentError(
            f"Knative refuses {' and '.join(refused)} in a service: its configuration doesn't allow them.",
            where=where_text(cluster, body["metadata"]["name"]),
            fix=features_fix(refused),
        )


def _update(cluster: Cluster, deployment: Deployment, current: Object) -> Applied:
    predictor = predictor_spec(deployment)
    # Older kits use the framework's own key, which newer KServe moves to "model"; two of them are refused.
    if "pytorch" in current.get("spec", {}).get("predictor", {}):
        predictor["pytorch"] = None
    served = [each for each in history(current) if each["version"] != deployment.version]
    served = [*served, record(deployment)][-HISTORY_LENGTH:]
    notes: dict[str, Any] = {**lineage_notes(deployment), HISTORY: json.dumps(served, separators=(",", ":"))}
    return patch(cluster, current, {"annotations": notes}, {"predictor": predictor})


def delete(where: Where, name: str, timeout: float = 60.0) -> bool:
    """Delete a service and wait until it is gone.

    Returns:
        Whether there was one.

    Raises:
        DeploymentError: It is still there after the time.
    """
    cluster = resolve(where)
    try:
        with api_errors(cluster, where_text(cluster, name)):
            cluster.custom.delete_namespaced_custom_object(
                GROUP, VERSION, cluster.namespace, PLURAL, name, _request_timeout=REQUEST_TIMEOUT_S
            )
    except NotFound:
        return False
    wait(
        lambda: find(cluster, name),
        lambda found: found is None,
        timeout=timeout,
        reason=lambda _: DeploymentError(
            f"The service is still there after {timeout:.0f} s.",
            where=where_text(cluster, name),
            fix="A finalizer holds it; kubectl describe shows which.",
        ),
    )
    return True
