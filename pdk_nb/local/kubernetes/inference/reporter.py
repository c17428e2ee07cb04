"""What a service's worker tells the world: the status, events, and the objects of its revisions."""

from __future__ import annotations

from pdk_nb.local.kubernetes.columns import Object
from pdk_nb.local.kubernetes.errors import ApiError
from pdk_nb.local.kubernetes.inference.events import record_event
from pdk_nb.local.kubernetes.inference.revision import revision_key
from pdk_nb.local.kubernetes.inference.status import Failure, Phase, Traffic, service_status
from pdk_nb.local.kubernetes.inference.workloads import Step, Trouble, Workload
from pdk_nb.local.kubernetes.kinds import INFERENCE_SERVICES
from pdk_nb.local.kubernetes.store import ObjectStore


class Reporter:
    """Writes what is known of one InferenceService.

    Args:
        store: The cluster's objects.
        namespace: The service's namespace.
        name: The service's name.
    """

    def __init__(self, store: ObjectStore, namespace: str, name: str) -> None:
        self._store = store
        self._namespace = namespace
        self._name = name

    def current(self) -> Object | None:
        """The service as it is now; None when it is gone."""
        try:
            return self._store.get(INFERENCE_SERVICES, self._namespace, self._name)
        except ApiError:
            return None

    def event(self, service: Object, kind: str, reason: str, message: str) -> None:
        """Write an event; the same again only counts up."""
        record_event(self._store, service, kind, reason, message)

    def show(self, service: Object, revision: str, step: Step, trouble: Trouble | None = None) -> None:
        """Bring a revision's Deployment, ReplicaSet and Pod up to date."""
        Workload(self._store, service, revision).show(step, trouble)

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
        """Write the status, unless the object has gone.

        Args:
            service: The service as the worker saw it.
            created: Name of the latest revision.
            traffic: Which revisions serve.
            phase: What the latest revision is doing.
            failure: Why it failed.
            waiting: What it waits for, as long as that is no failure.
        """
        for _ in range(5):
            current = self.current()
            if current is None or current["metadata"]["uid"] != service["metadata"]["uid"]:
                return
            if phase == "Loaded" and revision_key(current) != revision_key(service):
                # Ready is said of the newest spec only; this one was changed meanwhile.
                phase = "Pending"
            current["status"] = service_status(current, created, traffic, phase, failure, waiting)
            try:
                self._store.update(INFERENCE_SERVICES, self._namespace, self._name, current, subresource="status")
                return
            except ApiError as error:
                if error.code == 404:
                    return
