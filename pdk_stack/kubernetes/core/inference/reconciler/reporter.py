"""Writes what a service's worker reports: status, events, and the objects of its revisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pdk_stack.kubernetes.core.inference.reconciler.events import record_event
from pdk_stack.kubernetes.core.inference.reconciler.status import Failure, Phase, Traffic, service_status
from pdk_stack.kubernetes.core.inference.reconciler.workloads import NODE, Workload
from pdk_stack.kubernetes.core.inference.revisions.replica import PodState, Replica, Trouble
from pdk_stack.kubernetes.core.inference.revisions.template import CONTAINER, revision_key
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kinds import INFERENCE_SERVICES
from pdk_stack.kubernetes.store.objects import ObjectStore
from pdk_stack.kubernetes.store.workload_kinds import PODS

SCHEDULER, KUBELET = "default-scheduler", "kubelet"


class Reporter:
    """Writes the status, events, and workload objects of one InferenceService.

    Args:
        store: The cluster's objects.
        namespace: The service's namespace.
        name: The service's name.
        copies: Returns a revision's number of pods by its name.
    """

    def __init__(self, store: ObjectStore, namespace: str, name: str, copies: Callable[[str], int]) -> None:
        self._store = store
        self._namespace = namespace
        self._name = name
        self._copies = copies

    def current(self) -> Object | None:
        """Return the service's current object; None when it is deleted."""
        try:
            return self._store.get(INFERENCE_SERVICES, self._namespace, self._name)
        except StatusError:
            return None

    def event(self, service: Object, kind: str, reason: str, message: str) -> None:
        """Write an event; repeated events only increase its count."""
        record_event(self._store, service, INFERENCE_SERVICES, kind, reason, message)

    def show(
        self,
        service: Object,
        revision: str,
        pods: Sequence[PodState],
        failure: Trouble | None = None,
        changed: Replica | None = None,
    ) -> None:
        """Update a revision's Deployment, ReplicaSet, and Pods.

        Args:
            service: The service.
            revision: The revision's name.
            pods: Its replicas' states.
            failure: Why the controller gave up on the revision.
            changed: The replica that changed; its pod gets an event.
        """
        found = Workload(self._store, service, revision).show(pods, failure)
        if changed is None or changed.pod not in found:
            return
        pod, trouble = found[changed.pod], changed.trouble
        back_off = f"Back-off restarting failed container {CONTAINER} in pod {changed.pod}: {trouble.message}"
        assigned = f"Successfully assigned {self._namespace}/{changed.pod} to {NODE}"
        events = {
            "Unschedulable": ("Warning", "FailedScheduling", trouble.message, SCHEDULER),
            "Fetching": ("Normal", "Scheduled", assigned, SCHEDULER),
            "Loading": ("Normal", "Started", f"Started container {CONTAINER}", KUBELET),
            "Unhealthy": ("Warning", "Unhealthy", f"Readiness probe failed: {trouble.message}", KUBELET),
            "Failed": ("Warning", "BackOff", back_off, KUBELET),
        }
        if changed.step in events:
            record_event(self._store, pod, PODS, *events[changed.step])

    def gone(self, service: Object, revision: str) -> None:
        """Delete a revision's objects."""
        Workload(self._store, service, revision).remove()

    def status(
        self,
        service: Object,
        created: str,
        traffic: Traffic,
        phase: Phase,
        failure: Failure | None = None,
        waiting: str = "",
    ) -> None:
        """Write the status unless the object is deleted.

        Args:
            service: The service as the worker saw it.
            created: Name of the latest revision.
            traffic: The revisions that serve.
            phase: Phase of the latest revision.
            failure: Why it failed.
            waiting: What it waits for, unless that is a failure.
        """
        for _ in range(5):
            current = self.current()
            if current is None or current["metadata"]["uid"] != service["metadata"]["uid"]:
                return
            if phase == "Loaded" and revision_key(current) != revision_key(service):
                # Only the newest spec can be Ready, and this one is outdated.
                phase = "Pending"
            current["status"] = service_status(
                current, created, traffic, phase, failure, waiting, self._copies(created)
            )
            try:
                self._store.update(INFERENCE_SERVICES, self._namespace, self._name, current, subresource="status")
                return
            except StatusError as error:
                if error.http_status == 404:
                    return
