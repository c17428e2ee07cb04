"""What an InferenceService should be: the lab's fields of the object, with the lineage in its annotations."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict, cast

from pdk_nb.platforms.cluster import Object
from pdk_nb.platforms.serving.status import read_status
from pdk_shared.errors import DeploymentError, UsageError

__all__ = [
    "API_VERSION",
    "CANARY_NAME_LIMIT",
    "Deployment",
    "ServedVersion",
    "check_service_name",
    "deployment_of",
    "history",
    "lineage_notes",
    "manifest",
    "predictor_spec",
    "record",
    "recorded_version",
]

API_VERSION = "serving.kserve.io/v1beta1"
# KServe's webhook refuses other names (inference_service_validation.go).
SERVICE_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
# A canary's route is "prev-<name>-predictor", a DNS label of at most 63 letters; without a canary, 50 would do.
CANARY_NAME_LIMIT = 63 - len("prev--predictor")
# Seconds that a request may take. Knative makes it the pod's grace period, too, and TorchServe doesn't end at SIGTERM:
# with Knative's own 300 s, the pods of the version before would hold their CPU and memory for five minutes.
REQUEST_SECONDS = 60
HISTORY = "pdk-lab/history"
HISTORY_LENGTH = 20


class ServedVersion(TypedDict, total=False):
    """A model version in a service's history: enough to serve it again. ``version`` and ``uri`` are always there."""

    version: str
    uri: str
    number: int
    model: str
    experiment: int
    checkpoint: str
    project: str
    repo: str


@dataclass(frozen=True)
class Deployment:
    """What a service should serve.

    Attributes:
        name: Name of the InferenceService.
        storage_uri: URI of the model's folder; ends with ``/``.
        model: Registry model.
        version: Its version name: the commit and job id.
        number: Its number in the registry; 0 when unknown.
        experiment: Experiment id; 0 when unknown.
        checkpoint: Checkpoint uuid.
        project: Pachyderm project.
        repo: Repo that the model was trained from.
        protocol: ``v1`` or ``v2``.
        service_account: Service account of the predictor; the namespace's default when empty.
        requests: Resource requests, e.g. ``{"cpu": "2"}``.
        limits: Resource limits.
        tolerations: Kubernetes tolerations.
        max_request_size: Largest request in bytes, when not TorchServe's default.
    """

    name: str
    storage_uri: str
    model: str
    version: str
    number: int = 0
    experiment: int = 0
    checkpoint: str = ""
    project: str = ""
    repo: str = ""
    protocol: str = "v1"
    service_account: str = ""
    requests: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, str]] = ()
    max_request_size: int = 0


def check_service_name(name: str) -> str:
    """Refuse names that KServe's webhook would refuse, or that leave no room for a canary's route.

    Raises:
        UsageError: The name is not a lower-case DNS label that begins with a letter.
    """
    if not SERVICE_NAME.fullmatch(name) or len(name) > CANARY_NAME_LIMIT:
        raise UsageError(
            f"'{name}' can't be the name of an InferenceService.",
            fix=f"Use up to {CANARY_NAME_LIMIT} lowercase letters, digits, and '-', starting with a letter.",
        )
    return name


def lineage_notes(deployment: Deployment) -> dict[str, str]:
    """Lineage on the service itself; PDK's own ``pach_id`` first."""
    notes = {
        "pach_id": deployment.version,
        "pdk-lab/model": deployment.model,
        "pdk-lab/model-version-number": str(deployment.number or ""),
        "pdk-lab/experiment": str(deployment.experiment or ""),
        "pdk-lab/checkpoint": deployment.checkpoint,
        "pdk-lab/project": deployment.project,
        "pdk-lab/repo": deployment.repo,
        "pdk-lab/max-request-size": str(deployment.max_request_size or ""),
    }
    # The ingress talks to the predictor without a mesh's sidecar in between.
    return {"sidecar.istio.io/inject": "false", **{key: value for key, value in notes.items() if value}}


def predictor_spec(deployment: Deployment) -> dict[str, Any]:
    """The predictor of the InferenceService, with the fields that belong to the lab."""
    resources = {"requests": dict(deployment.requests), "limits": dict(deployment.limits)}
    model: dict[str, Any] = {
        "modelFormat": {"name": "pytorch"},
        "protocolVersion": deployment.protocol,
        "storageUri": deployment.storage_uri,
    }
    if any(resources.values()):
        model["resources"] = {key: value for key, value in resources.items() if value}
    predictor: dict[str, Any] = {"model": model, "timeout": REQUEST_SECONDS}
    if deployment.service_account:
        predictor["serviceAccountName"] = deployment.service_account
    if deployment.tolerations:
        predictor["tolerations"] = [dict(each) for each in deployment.tolerations]
    return predictor


def record(deployment: Deployment) -> ServedVersion:
    """What the history keeps of a deployment: enough to go back to it."""
    record: dict[str, Any] = {
        "version": deployment.version,
        "number": deployment.number,
        "model": deployment.model,
        "uri": deployment.storage_uri,
        "experiment": deployment.experiment,
        "checkpoint": deployment.checkpoint,
        "project": deployment.project,
        "repo": deployment.repo,
    }
    return cast("ServedVersion", {key: value for key, value in record.items() if value})


def deployment_of(record: ServedVersion, name: str, **others: Any) -> Deployment:
    """What a version in the history served, as a deployment again.

    Args:
        record: As :func:`record` keeps it.
        name: The service that is to serve it.
        others: Further fields of :class:`Deployment`, which the history does not keep.
    """
    values: Mapping[str, Any] = record
    fields: dict[str, Any] = {key: int(values.get(key, 0)) for key in ("number", "experiment")}
    fields |= {key: str(values.get(key, "")) for key in ("version", "model", "checkpoint", "project", "repo")}
    return Deployment(name=name, storage_uri=record["uri"], **fields, **others)


def manifest(deployment: Deployment, namespace: str) -> Object:
    """The InferenceService as the lab creates it.

    Raises:
        UsageError: The name cannot be used, or the storage URI has a scheme that KServe does not know.
    """
    check_service_name(deployment.name)
    if not re.match(r"(gs|s3|pvc|file|https?)://", deployment.storage_uri):
        raise UsageError(f"KServe can't read models from '{deployment.storage_uri}'.", fix="Use gs:// or s3://.")
    notes = {**lineage_notes(deployment), HISTORY: json.dumps([record(deployment)], separators=(",", ":"))}
    return {
        "apiVersion": API_VERSION,
        "kind": "InferenceService",
        "metadata": {"name": deployment.name, "namespace": namespace, "annotations": notes},
        "spec": {"predictor": predictor_spec(deployment)},
    }


def history(service: Mapping[str, Any]) -> list[ServedVersion]:
    """Versions that a service has served, oldest first; entries that cannot be read are left out."""
    text = (service["metadata"].get("annotations") or {}).get(HISTORY, "[]")
    try:
        entries: list[ServedVersion] = json.loads(text)
    except ValueError:
        return []
    return [each for each in entries if isinstance(each, dict) and each.get("version") and each.get("uri")]


def recorded_version(service: Object, to: str | int | None) -> ServedVersion:
    """The version in a service's history that a person means.

    Args:
        service: The InferenceService.
        to: Version name, or its number in the registry; None for the version before the current one.

    Raises:
        DeploymentError: The service has never served it.
    """
    served = history(service)
    status = read_status(service)
    if to is None:
        places = [place for place, each in enumerate(served) if each["version"] == status.version]
        if places and places[0] > 0:
            return served[places[0] - 1]
    else:
        for each in served:
            if str(to) in (each["version"], str(each.get("number", ""))):
                return each
        if re.fullmatch(r"[0-9a-f]{32}", str(to)) and status.version and status.version in status.storage_uri:
            # Deployed before this history began: the address follows from the version, as for every version.
            uri = status.storage_uri.replace(status.version, str(to))
            notes = service["metadata"].get("annotations") or {}
            found = ServedVersion(version=str(to), uri=uri, model=status.model)
            if "pdk-lab/project" in notes:
                found["project"] = notes["pdk-lab/project"]
            if "pdk-lab/repo" in notes:
                found["repo"] = notes["pdk-lab/repo"]
            return found
    known = ", ".join(f"{each['version'][:12]} (number {each.get('number', '?')})" for each in served) or "none"
    raise DeploymentError(
        "There is no earlier version to go back to." if to is None else f"The service has never served {to}.",
        where=f"{service['metadata']['namespace']}/{service['metadata']['name']}",
        fix=f"Versions in its history: {known}.",
    )
