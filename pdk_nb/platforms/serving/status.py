"""Reading an InferenceService's status: what it serves, whether it is ready, and why not.

Source of the fields: ``pkg/apis/serving/v1beta1/inference_service_status.go`` of KServe 0.13.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from pdk_nb.counting import counted
from pdk_nb.platforms.serving.installation import Mode, mode_of
from pdk_nb.platforms.serving.pods import Pod

__all__ = ["TERMINAL", "ServiceStatus", "is_terminal", "read_status"]

TERMINAL = frozenset({"BlockedByFailedLoad", "InvalidSpec"})
# Knative counts a pod without a node as a failed revision, and takes that back as soon as there is room.
WAITS_FOR_ROOM = "nodes are available"


@dataclass(frozen=True)
class ServiceStatus:
    """A service's state.

    Attributes:
        name: The service.
        namespace: Its namespace.
        url: Its URL; empty before it has one.
        ready: Whether the version that it was given last is what it serves.
        ready_text: ``True``, ``False``, ``Unknown`` or empty, as kubectl prints it.
        previous_percent: Traffic of the revision before, in percent; None when there is no split.
        latest_percent: Traffic of the latest revision in percent.
        latest_created: Newest revision.
        latest_ready: Newest revision that became ready.
        previous_rolled_out: Revision that had all traffic before.
        previous_url: Where the revision before is asked by itself while the traffic is split; empty otherwise.
        transition: KServe's ``transitionStatus``: InProgress, UpToDate, BlockedByFailedLoad, InvalidSpec.
        model_state: State of the newest revision's model: Pending, Loading, Loaded, FailedToLoad.
        reasons: What is missing, from its conditions and model status.
        model: Registry model (annotation).
        version: Model version (annotation ``pach_id``).
        number: Registry number (annotation); None when unknown.
        storage_uri: URI of the model's folder.
        protocol: ``v1`` or ``v2``.
        max_request_size: Largest request in bytes; 0 for TorchServe's default.
        created: Creation time.
        annotations: All annotations.
        changed: When it became ready, or stopped being ready; None when unknown.
        mode: Whether Knative makes revisions (``serverless``), or KServe a plain Deployment (``raw``).
        pods: Its pods; None if they were not looked at.
        may_sleep: Whether Knative may scale it to zero: ``minReplicas`` is 0. KServe's default is 1.
        asleep: Whether it is scaled to zero: the next request wakes it.
        revision_failed: Whether Knative has given up the newest revision.
    """

    name: str
    namespace: str
    url: str
    ready: bool
    ready_text: str
    previous_percent: int | None
    latest_percent: int | None
    latest_created: str
    latest_ready: str
    previous_rolled_out: str
    previous_url: str
    transition: str
    model_state: str
    reasons: tuple[str, ...]
    model: str
    version: str
    number: int | None
    storage_uri: str
    protocol: str
    max_request_size: int
    created: datetime | None
    annotations: Mapping[str, str]
    changed: datetime | None = None
    mode: Mode = "serverless"
    pods: tuple[Pod, ...] | None = None
    may_sleep: bool = False
    asleep: bool = False
    revision_failed: bool = False

    @property
    def newest_pods(self) -> tuple[Pod, ...]:
        """The pods that are to serve the version that it was given last, without those that end."""
        return tuple(
            pod
            for pod in self.pods or ()
            if pod.ends is None and pod.version == self.version and pod.revision in ("", self.latest_created)
        )

    def summary(self) -> str:
        """One line about its state."""
        if self.asleep:
            return "READY, scaled to zero: the next request starts a pod"
        if self.ready:
            return f"READY, {self.latest_ready or f'version {self.version[:12]}'} serves"
        if self.mode == "raw" and self.pods is not None:
            fresh = self.newest_pods
            text = f"{sum(pod.ready for pod in fresh)} of {counted(len(fresh), 'pod')} of the new version ready"
            return f"{text}; {self.reasons[0]}" if self.reasons else text
        state = f"model {self.model_state}" if self.model_state else "no status yet"
        head = f"{self.latest_created}: {state}" if self.latest_created else state
        return f"{head}; {self.reasons[0]}" if self.reasons else head

    def row(self) -> dict[str, str]:
        """The columns of ``kubectl get inferenceservices``."""
        return {
            "NAME": self.name,
            "URL": self.url,
            "READY": self.ready_text,
            "PREV": "" if self.previous_percent is None else str(self.previous_percent),
            "LATEST": "" if self.latest_percent is None else str(self.latest_percent),
            "PREVROLLEDOUTREVISION": self.previous_rolled_out,
            "LATESTREADYREVISION": self.latest_ready,
            "AGE": _age(self.created),
        }


def _age(created: datetime | None) -> str:
    if created is None:
        return ""
    seconds = max(0, int((datetime.now(timezone.utc) - created).total_seconds()))
    if seconds < 120:
        return f"{seconds}s"
    if seconds < 2 * 3600:
        return f"{seconds // 60}m"
    return f"{seconds // 3600}h" if seconds < 48 * 3600 else f"{seconds // 86400}d"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def _number(text: Any) -> int | None:
    return int(text) if str(text or "").isdigit() else None


def _serves(version: str, pods: Sequence[Pod] | None) -> bool:
    """Whether, in raw mode, the newest version alone answers.

    During a rollout, all conditions stay true because of the old pods, and KServe writes ``Loaded`` and ``UpToDate``
    (``PropagateModelStatus`` of 0.13): only the pods tell the versions apart.
    """
    staying = [pod for pod in pods or () if pod.ends is None]
    return any(pod.ready for pod in staying) and all(pod.version == version for pod in staying)


def read_status(service: Mapping[str, Any], pods: Sequence[Pod] | None = None) -> ServiceStatus:
    """Read an InferenceService object; any field of its status may be absent.

    Args:
        service: The object.
        pods: Its pods. Without them, a service in raw mode never counts as ready, and none as asleep.
    """
    meta, status = service["metadata"], service.get("status") or {}
    notes: dict[str, str] = meta.get("annotations") or {}
    predictor_spec = (service.get("spec") or {}).get("predictor") or {}
    model_spec = predictor_spec.get("model") or predictor_spec.get("pytorch") or {}
    predictor = (status.get("components") or {}).get("predictor") or {}
    traffic = predictor.get("traffic") or []
    model_status = status.get("modelStatus") or {}
    conditions = status.get("conditions") or []
    ready_text = next((str(each.get("status", "")) for each in conditions if each.get("type") == "Ready"), "")
    created_revision = str(predictor.get("latestCreatedRevision") or "")
    ready_revision = str(predictor.get("latestReadyRevision") or "")
    transition = str(model_status.get("transitionStatus") or "")
    settled = not ready_revision or ready_revision == created_revision
    mode, version = mode_of(service), notes.get("pach_id", "")
    may_sleep = mode == "serverless" and predictor_spec.get("minReplicas") == 0
    # KServe may forget that a model is loaded when it looks at a service without pods (InProgress), or not look at all.
    # The number of copies stays as it was when the model was loaded last (UpdateModelRevisionStates of 0.13). The
    # status comes late, too: a service that has a pod isn't asleep.
    asleep = (
        may_sleep
        and pods is not None
        and all(pod.ends is not None for pod in pods if pod.revision in ("", created_revision))
        and ready_text == "True"
        and bool(ready_revision)
        and settled
        and transition in ("", "UpToDate", "InProgress")
    )
    up = _serves(version, pods) if mode == "raw" else settled and (asleep or transition in ("", "UpToDate"))
    stamp = meta.get("creationTimestamp")
    changed = next((each.get("lastTransitionTime") for each in conditions if each.get("type") == "Ready"), None)
    return ServiceStatus(
        name=str(meta["name"]),
        namespace=str(meta.get("namespace", "")),
        url=str(status.get("url") or ""),
        ready=ready_text == "True" and up,
        ready_text=ready_text,
        previous_percent=next((each.get("percent") for each in traffic if each.get("tag") == "prev"), None),
        latest_percent=next((each.get("percent") for each in traffic if each.get("latestRevision")), None),
        latest_created=created_revision,
        latest_ready=ready_revision,
        previous_rolled_out=str(predictor.get("previousRolledoutRevision") or ""),
        previous_url=next((str(each.get("url") or "") for each in traffic if each.get("tag") == "prev"), ""),
        transition=transition,
        model_state=str((model_status.get("states") or {}).get("targetModelState") or ""),
        reasons=_reasons(conditions, model_status),
        model=notes.get("pdk-lab/model", ""),
        version=version,
        number=_number(notes.get("pdk-lab/model-version-number")),
        storage_uri=str(model_spec.get("storageUri") or ""),
        protocol=str(model_spec.get("protocolVersion") or "v1"),
        max_request_size=_number(notes.get("pdk-lab/max-request-size")) or 0,
        created=_moment(stamp),
        annotations=notes,
        changed=_moment(changed),
        mode=mode,
        pods=None if pods is None else tuple(pods),
        may_sleep=may_sleep,
        asleep=asleep,
        revision_failed=any(_given_up(each, created_revision) for each in conditions),
    )


def _given_up(condition: Mapping[str, Any], revision: str) -> bool:
    message = str(condition.get("message") or "")
    return (
        condition.get("status") == "False"
        and condition.get("reason") == "RevisionFailed"
        and f'"{revision}"' in message
        and WAITS_FOR_ROOM not in message
    )


def _reasons(conditions: list[dict[str, Any]], model_status: dict[str, Any]) -> tuple[str, ...]:
    """The problems, with the model's own failure first; each text once."""
    found = []
    failure = model_status.get("lastFailureInfo") or {}
    if failure.get("message") and model_status.get("transitionStatus") != "UpToDate":
        found.append(f"{failure.get('reason', 'model')}: {failure['message']}")
    for each in conditions:
        if each.get("status") != "True" and each.get("message"):
            found.append(str(each["message"]))
    known: list[str] = []
    for text in found:
        if not any(text in other or other in text for other in known):
            known.append(text)
    return tuple(known)


def is_terminal(status: ServiceStatus) -> bool:
    """Whether KServe or Knative says that the newest revision will not become ready by waiting."""
    return status.transition in TERMINAL or status.revision_failed
