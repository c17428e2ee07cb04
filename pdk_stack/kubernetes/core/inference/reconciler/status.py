"""The status of an InferenceService, as KServe 0.13 writes it in serverless mode.

Source: ``pkg/apis/serving/v1beta1/inference_service_status.go`` of KServe v0.13.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pdk_stack.kubernetes.core.inference.failures import Reason
from pdk_stack.kubernetes.store.columns import Object, timestamp

DOMAIN = "example.com"
CONDITIONS = (
    "IngressReady",
    "LatestDeploymentReady",
    "PredictorConfigurationReady",
    "PredictorReady",
    "PredictorRouteReady",
    "Ready",
    "RoutesReady",
)
INFO = {"LatestDeploymentReady", "PredictorConfigurationReady", "PredictorRouteReady", "RoutesReady"}
# While a new revision loads or fails, the routes still point to the old one.
ROUTES = {"IngressReady", "PredictorRouteReady", "RoutesReady"}

Phase = Literal["Pending", "Loading", "Loaded", "FailedToLoad"]


@dataclass(frozen=True)
class Failure:
    """Why a revision doesn't serve.

    Attributes:
        reason: One-word reason.
        message: Human-readable cause.
        exit_code: Exit code of the process that failed.
    """

    reason: Reason
    message: str
    exit_code: int = 1

    @property
    def text(self) -> str:
        """The message, prefixed with the reason where KServe has no term for it."""
        return self.message if self.reason is self.reason.of_kserve else f"{self.reason.value}: {self.message}"


def host(name: str, namespace: str) -> str:
    """Return a service's host name."""
    return f"{name}.{namespace}.{DOMAIN}"


@dataclass(frozen=True)
class Share:
    """One revision's share of the traffic, as Knative's route reports it."""

    revision: str
    percent: int
    tag: str = ""


@dataclass(frozen=True)
class Traffic:
    """The traffic of a service.

    Attributes:
        shares: The revisions that get traffic; empty until one has been ready.
        ready: The latest ready revision.
        rolled: The last revision that had all traffic.
        previous: The one before ``rolled``.
    """

    shares: tuple[Share, ...] = ()
    ready: str = ""
    rolled: str = ""
    previous: str = ""

    @property
    def revisions(self) -> set[str]:
        """Names of the revisions that get traffic."""
        return {each.revision for each in self.shares}


def service_status(
    service: Object,
    created: str,
    traffic: Traffic,
    phase: Phase,
    failure: Failure | None = None,
    waiting: str = "",
    copies: int = 0,
) -> dict[str, Any]:
    """Build a service's status.

    Args:
        service: The InferenceService; unchanged conditions keep the times of its current status.
        created: Name of the latest revision.
        traffic: The revisions that serve.
        phase: Phase of the latest revision.
        failure: Why it failed.
        waiting: What it waits for, unless that is a failure.
        copies: Number of pods of the latest revision.
    """
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    before = service.get("status") or {}
    serving = bool(traffic.shares)
    predictor: dict[str, Any] = {"latestCreatedRevision": created}
    if serving:
        predictor |= {
            "latestReadyRevision": traffic.ready,
            "url": f"http://{name}-predictor.{namespace}.{DOMAIN}",
            "address": {"url": f"http://{name}-predictor.{namespace}.svc.cluster.local"},
            "traffic": [_share(name, namespace, each, traffic.ready) for each in traffic.shares],
        }
        if traffic.rolled:
            predictor["latestRolledoutRevision"] = traffic.rolled
        if traffic.previous:
            predictor["previousRolledoutRevision"] = traffic.previous
    status: dict[str, Any] = {
        "conditions": _conditions(before, created, phase, serving, failure, waiting),
        "components": {"predictor": predictor},
        "modelStatus": _model_status(phase, serving, failure, copies),
        "observedGeneration": service["metadata"].get("generation", 1),
    }
    if serving:
        status["url"] = f"http://{host(name, namespace)}"
        status["address"] = {"url": f"http://{name}.{namespace}.svc.cluster.local"}
    return status


def _share(name: str, namespace: str, share: Share, ready: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "latestRevision": share.revision == ready,
        "percent": share.percent,
        "revisionName": share.revision,
    }
    if share.tag:
        entry |= {"tag": share.tag, "url": f"http://{share.tag}-{name}-predictor.{namespace}.{DOMAIN}"}
    return entry


def _conditions(
    before: dict[str, Any], created: str, phase: Phase, serving: bool, failure: Failure | None, waiting: str
) -> list[dict[str, Any]]:
    known = {each["type"]: each for each in before.get("conditions") or []}
    # To Knative, a revision whose pods can't be placed counts as failed until they are placed. One that has loaded and
    # lost its servers is down; one that isn't there yet can still become ready.
    failed = failure is not None and (phase != "Pending" or failure.reason is Reason.UNSCHEDULABLE)
    found = []
    for kind in CONDITIONS:
        if phase == "Loaded" or (serving and kind in ROUTES):
            state = "True"
        else:
            state = "False" if failed and kind not in ROUTES else "Unknown"
        condition: dict[str, Any] = {"type": kind, "status": state}
        if kind in INFO:
            condition["severity"] = "Info"
        if state == "False" and failure:
            # Knative's terms.
            message = f'Revision "{created}" failed with message: {failure.text}'
            condition |= {"reason": "RevisionFailed", "message": message}
        elif state == "Unknown" and failure:
            condition |= {"reason": failure.reason.value, "message": failure.message}
        elif state == "Unknown" and waiting:
            condition |= {"reason": "WaitingForModel" if phase == "Pending" else "Deploying", "message": waiting}
        same = known.get(kind, {}).get("status") == state
        condition["lastTransitionTime"] = known[kind]["lastTransitionTime"] if same else timestamp()
        found.append(condition)
    return found


def _model_status(phase: Phase, serving: bool, failure: Failure | None, copies: int) -> dict[str, Any]:
    transition = {"Loaded": "UpToDate", "FailedToLoad": "BlockedByFailedLoad"}.get(phase, "InProgress")
    if phase == "FailedToLoad" and failure and failure.reason.in_spec:
        transition = "InvalidSpec"
    status: dict[str, Any] = {
        "copies": {
            "failedCopies": int(phase == "FailedToLoad"),
            "totalCopies": copies or int(serving or phase == "Loaded"),
        },
        "states": {
            "activeModelState": "Loaded" if serving or phase == "Loaded" else "",
            "targetModelState": phase,
        },
        "transitionStatus": transition,
    }
    if failure and failure.reason not in (Reason.UNSCHEDULABLE, Reason.UNHEALTHY):
        status["lastFailureInfo"] = {
            "reason": failure.reason.of_kserve.value,
            "message": failure.text,
            "exitCode": failure.exit_code,
        }
    return status


def mark_changed(service: Object) -> None:
    """Mark a service as not ready, in place, because its spec changed or its server must restart.

    The routes don't change: the old revision keeps serving.
    """
    for condition in (service.get("status") or {}).get("conditions") or []:
        if condition["type"] not in ROUTES and condition["status"] != "Unknown":
            condition |= {"status": "Unknown", "lastTransitionTime": timestamp()}
            condition.pop("reason", None)
            condition.pop("message", None)
