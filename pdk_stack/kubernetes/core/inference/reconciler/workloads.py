"""A revision's Deployment, ReplicaSet, and Pods, with Knative's names and labels.

They mirror the model server processes for ``kubectl get deploy,rs,pods``, ``rollout status``, ``wait``, and ``logs``.
Sources: ``pkg/reconciler/revision/resources`` of Knative Serving for the objects, and kubectl's ``rollout_status.go``
for the fields that it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pdk_stack.kubernetes.core.inference.resources import asked, container_of
from pdk_stack.kubernetes.core.inference.revisions.replica import PodState, Trouble
from pdk_stack.kubernetes.core.inference.revisions.template import (
    CONTAINER,
    INITIALIZER,
    own_annotations,
    replica_set_name,
)
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object, timestamp
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.kinds import INFERENCE_SERVICES
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.workload_kinds import DEPLOYMENTS, PODS, REPLICA_SETS

NODE = "embedded"
IMAGES = {CONTAINER: "pytorch/torchserve-kfs:embedded", INITIALIZER: "kserve/storage-initializer:embedded"}


class Workload:
    """The workload objects of one revision.

    Args:
        store: The cluster's objects.
        service: The InferenceService.
        revision: The revision's name.
    """

    def __init__(self, store: ObjectStore, service: Object, revision: str) -> None:
        self._store = store
        self._service = service
        self._revision = revision
        self._namespace: str = service["metadata"]["namespace"]
        self.deployment = f"{revision}-deployment"
        self.replica_set = replica_set_name(service, revision)

    def show(self, pods: Sequence[PodState], failure: Trouble | None = None) -> dict[str, Object]:
        """Create or update the objects.

        Args:
            pods: The replicas' states; none for a revision that is scaled to zero.
            failure: Why the controller gave up on the revision.

        Returns:
            The pods' objects by name.
        """
        failure = failure or next((each.trouble for each in pods if each.trouble.final), None)
        wanted, ready = len(pods), sum(each.step == "Ready" for each in pods)
        counts = {"replicas": wanted, "readyReplicas": ready, "availableReplicas": ready}
        deployment = self._write(
            DEPLOYMENTS,
            self.deployment,
            self._owner(INFERENCE_SERVICES, self._service),
            {"replicas": wanted, **self._template(), "progressDeadlineSeconds": 600},
            {**counts, "updatedReplicas": wanted, "unavailableReplicas": wanted - ready}
            | {"conditions": _deployment_conditions(wanted, ready, failure)},
        )
        if deployment is None:
            return {}
        owner = self._owner(DEPLOYMENTS, deployment)
        spec = {"replicas": wanted, **self._template()}
        replica_set = self._write(REPLICA_SETS, self.replica_set, owner, spec, counts)
        self._remove_pods(keep={each.pod for each in pods})
        found = {}
        if replica_set is not None:
            owner = self._owner(REPLICA_SETS, replica_set)
            for each in pods:
                pod_spec = {**self._template()["template"]["spec"]}
                if each.step != "Unschedulable":
                    pod_spec["nodeName"] = NODE
                pod = self._write(PODS, each.pod, owner, pod_spec, _pod_status(each))
                if pod is not None:
                    found[each.pod] = pod
        return found

    def remove(self) -> None:
        """Delete the objects that exist."""
        self._remove_pods(keep=set())
        self._delete(REPLICA_SETS, self.replica_set)
        self._delete(DEPLOYMENTS, self.deployment)

    def _remove_pods(self, keep: set[str]) -> None:
        """Delete the revision's pods except some, including those from before a restart."""
        for pod in self._store.view(PODS, self._namespace)[0]:
            name = pod["metadata"]["name"]
            if name.startswith(f"{self.deployment}-") and name not in keep:
                self._delete(PODS, name)

    def _delete(self, kind: Kind, name: str) -> None:
        try:
            self._store.delete(kind, self._namespace, name)
        except StatusError as error:
            if error.http_status != 404:
                raise

    def _labels(self) -> dict[str, str]:
        return {
            "app": self._revision,
            "component": "predictor",
            "serving.knative.dev/revision": self._revision,
            "serving.kserve.io/inferenceservice": self._service["metadata"]["name"],
        }

    def _template(self) -> dict[str, Any]:
        """Return the selector and the pod template."""
        given = container_of(self._service["spec"]["predictor"])
        container = {"name": CONTAINER, "image": given.get("image") or IMAGES[CONTAINER]}
        container |= {key: given[key] for key in ("command", "args", "env") if given.get(key)}
        if resources := {field: values for field, values in asked(self._service).items() if values}:
            container["resources"] = resources
        spec = {"initContainers": [{"name": INITIALIZER, "image": IMAGES[INITIALIZER]}], "containers": [container]}
        template = {"metadata": {"labels": self._labels(), "annotations": own_annotations(self._service)}, "spec": spec}
        return {"selector": {"matchLabels": {"serving.knative.dev/revision": self._revision}}, "template": template}

    @staticmethod
    def _owner(kind: Kind, obj: Object) -> dict[str, Any]:
        meta = obj["metadata"]
        reference = {"apiVersion": kind.api_version, "kind": kind.kind, "name": meta["name"], "uid": meta["uid"]}
        return {**reference, "controller": True, "blockOwnerDeletion": True}

    def _write(
        self, kind: Kind, name: str, owner: dict[str, Any], spec: dict[str, Any], status: dict[str, Any]
    ) -> Object | None:
        """Create or update one object; None when its namespace is terminating."""
        notes = own_annotations(self._service) if kind is PODS else {"deployment.kubernetes.io/revision": "1"}
        for _ in range(5):
            try:
                old = self._store.get(kind, self._namespace, name)
            except StatusError:
                metadata = {"name": name, "labels": self._labels(), "annotations": notes, "ownerReferences": [owner]}
                new: Object = {"metadata": {**metadata, "generation": 1}, "spec": spec}
                new["status"] = _observed(status, new, {})
                try:
                    return self._store.create(kind, self._namespace, new)
                except StatusError as error:
                    if error.http_status == 409:
                        continue
                    if error.http_status in (403, 404):
                        return None
                    raise
            new = {**old, "metadata": {**old["metadata"], "annotations": notes}, "spec": spec}
            new["status"] = _observed(status, new, old)
            try:
                return self._store.update(kind, self._namespace, name, new)
            except StatusError as error:
                if error.http_status not in (404, 409):
                    raise
        return None


def _observed(status: dict[str, Any], new: Object, old: Object) -> dict[str, Any]:
    """Add the observed generation to a status, and keep the times of unchanged conditions."""
    generation = new["metadata"]["generation"] + int(bool(old) and old["spec"] != new["spec"])
    found = {**status, "observedGeneration": generation}
    before = old.get("status") or {}
    known = {each["type"]: each for each in before.get("conditions") or []}
    if "conditions" in status:
        found["conditions"] = [
            {**each, "lastTransitionTime": _since(each, known.get(each["type"]))} for each in status["conditions"]
        ]
    for field in ("initContainerStatuses", "containerStatuses"):
        states = {each["name"]: each["state"] for each in before.get(field) or []}
        for each in found.get(field) or []:
            each["state"] = _timed(each["state"], states.get(each["name"]) or {})
    return found


def _timed(state: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Add times to a container's state; an unchanged state keeps its times."""
    (kind, content), *_ = state.items()
    if kind == "waiting":
        return state
    if kind in before:
        return before
    now = timestamp()
    if kind == "running":
        return {kind: {**content, "startedAt": now}}
    started = (before.get("running") or {}).get("startedAt") or now
    return {kind: {**content, "startedAt": started, "finishedAt": now}}


def _since(condition: dict[str, Any], before: dict[str, Any] | None) -> str:
    same = before is not None and before["status"] == condition["status"]
    return str(before["lastTransitionTime"]) if same and before else timestamp()


def _deployment_conditions(wanted: int, ready: int, failure: Trouble | None) -> list[dict[str, Any]]:
    available = ready >= wanted
    conditions = [
        {
            "type": "Available",
            "status": "True" if available else "False",
            "reason": "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable",
            "message": f"Deployment {'has' if available else 'does not have'} minimum availability.",
        }
    ]
    if failure:
        # The condition that ends kubectl's `rollout status`.
        why = {"reason": "ProgressDeadlineExceeded", "message": f"{failure.reason}: {failure.message}"}
        return [*conditions, {"type": "Progressing", "status": "False", **why}]
    reason = "NewReplicaSetAvailable" if available else "ReplicaSetUpdated"
    return [*conditions, {"type": "Progressing", "status": "True", "reason": reason, "message": "It goes on."}]


def _pod_status(state: PodState) -> dict[str, Any]:
    step, trouble = state.step, state.trouble
    placed = step != "Unschedulable"
    fetched = step in ("Loading", "Ready", "Unhealthy", "Failed")
    if fetched:
        initializer: dict[str, Any] = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    elif step == "FetchFailed":
        initializer = {"waiting": {"reason": trouble.reason, "message": trouble.message}}
    else:
        initializer = {"running": {}}
    if step in ("Loading", "Ready", "Unhealthy"):
        container: dict[str, Any] = {"running": {}}
    elif step == "Failed":
        container = {"waiting": {"reason": "CrashLoopBackOff", "message": f"{trouble.reason}: {trouble.message}"}}
    else:
        container = {"waiting": {"reason": "PodInitializing"}}
    scheduled: dict[str, Any] = {"type": "PodScheduled", "status": "True" if placed else "False"}
    if not placed:
        scheduled |= {"reason": trouble.reason, "message": trouble.message}
        return {"phase": "Pending", "conditions": [scheduled]}
    inner = _container_status(INITIALIZER, fetched, initializer)
    main = _container_status(CONTAINER, step == "Ready", container, state.restarts)
    if trouble.reason and fetched and step != "Unhealthy":
        main["lastState"] = {
            "terminated": {"exitCode": trouble.exit_code, "reason": trouble.reason, "message": trouble.message}
        }
    return {
        "phase": "Running" if fetched else "Pending",
        "conditions": [
            scheduled,
            {"type": "Initialized", "status": str(fetched)},
            {"type": "ContainersReady", "status": str(step == "Ready")},
            {"type": "Ready", "status": str(step == "Ready")},
        ],
        "podIP": "127.0.0.1",
        "hostIP": "127.0.0.1",
        "initContainerStatuses": [inner],
        "containerStatuses": [main],
    }


def _container_status(name: str, ready: bool, state: dict[str, Any], restarts: int = 0) -> dict[str, Any]:
    image = IMAGES[name]
    return {"name": name, "ready": ready, "restartCount": restarts, "image": image, "imageID": image, "state": state}
