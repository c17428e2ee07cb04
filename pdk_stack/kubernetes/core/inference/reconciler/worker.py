"""One service's worker: a thread that reconciles the actual state with the InferenceService.

A new revision comes up and warms up beside the old one. Then the traffic switches in one step, and revisions that are
no longer needed drain. A revision that fails never gets traffic, and the old one keeps serving.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from pdk_stack.kubernetes.core.inference.failures import Superseded
from pdk_stack.kubernetes.core.inference.node import Node
from pdk_stack.kubernetes.core.inference.reconciler.backoff import BackOff
from pdk_stack.kubernetes.core.inference.reconciler.bring_up import BringUp
from pdk_stack.kubernetes.core.inference.reconciler.routes import Routes
from pdk_stack.kubernetes.core.inference.reconciler.serving import Serving
from pdk_stack.kubernetes.core.inference.revisions.knative import knative_problem
from pdk_stack.kubernetes.core.inference.revisions.template import revision_key
from pdk_stack.kubernetes.core.volumes import Volumes
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.objects import ObjectStore

log = logging.getLogger(__name__)

STOP_SECONDS = 15.0


class ServiceWorker:
    """Reconciles one InferenceService.

    Args:
        store: The cluster's objects.
        routes: The routing table.
        volumes: The folders of claims.
        node: The node that places pods.
        folder: The service's folder, which contains its revisions.
        namespace: The service's namespace.
        name: The service's name.

    Attributes:
        placed: Set once the pods from before a restart have requested places.
    """

    def __init__(
        self,
        store: ObjectStore,
        routes: Routes,
        volumes: Volumes,
        node: Node,
        folder: Path,
        namespace: str,
        name: str,
    ) -> None:
        self.title = f"{namespace}/{name}"
        self.placed = threading.Event()
        self._serving = Serving(store, routes, node, folder, namespace, name, self.wake)
        self._bring_up = BringUp(store, volumes, self._serving)
        self._resumed = False
        self._seen_generation = 0
        self._reconciling, self._scaling = BackOff(), BackOff()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"isvc-{namespace}-{name}", daemon=True)

    def start(self) -> None:
        """Start reconciling."""
        self._wake.set()
        self._thread.start()

    def wake(self) -> None:
        """Trigger a reconciliation."""
        self._wake.set()

    def stop(self) -> None:
        """Stop the thread and the model servers; the files stay for the next start."""
        self._ended.set()
        self._wake.set()
        self._thread.join(STOP_SECONDS)
        for revision in self._serving.known():
            revision.close()
        self._bring_up.close()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._ended.is_set():
                return
            try:
                self._reconcile()
                self._reconciling.succeeded()
            except Superseded:
                self._wake.set()
            except Exception as error:  # a failed reconciliation must not end the worker
                log.exception("failed to reconcile %s", self.title)
                self._pause(error)

    def _pause(self, error: Exception) -> None:
        """Report a failed reconciliation and back off; a change of the service's spec ends the pause."""
        seconds = self._reconciling.failed()
        service = self._serving.reporter.current()
        try:
            self._serving.stumbled(error, seconds)
        except Exception:  # the same cause, for example a full disk
            log.exception("failed to report it")
        while (left := self._reconciling.left) and not self._ended.is_set():
            # The report itself wakes the worker.
            self._wake.wait(left)
            self._wake.clear()
            if service is not None and self._outdated(service):
                break
        self._wake.set()

    def _outdated(self, service: Object) -> bool:
        """Return whether a service has a new spec, is deleted, or the worker ends."""
        if self._ended.is_set():
            return True
        current = self._serving.reporter.current()
        fields = ("uid", "generation", "annotations", "labels")
        return current is None or any(current["metadata"].get(each) != service["metadata"].get(each) for each in fields)

    def _reconcile(self) -> None:
        serving, rollout = self._serving, self._serving.rollout
        service = serving.reporter.current()
        if service is None:
            self.placed.set()
            self._bring_up.forget_failed(None)
            serving.retire_all()
            rollout.reset("")
            return
        if service["metadata"]["uid"] != rollout.uid:
            # A new object with the old name restarts the revision count.
            serving.retire_all()
            rollout.reset(service["metadata"]["uid"])

        def outdated() -> bool:
            return self._outdated(service)

        if not self._resumed:
            self._resumed = True
            serving.resume(service, self.placed, outdated)
        key = revision_key(service)
        latest = serving.revisions.get(rollout.ready)
        if latest and latest.key == key:
            rollout.save(key=key, failed="")
            serving.share(service, outdated)
        elif key != rollout.failed:
            self._seen_generation = int(service["metadata"].get("generation") or 0)
            self._bring_up.run(service, key, lambda: self._superseded(key))
        elif serving.revisions:
            # The newest revision failed, but the traffic split of the others can have changed.
            serving.share(service, outdated, phase="FailedToLoad")

    def _superseded(self, key: str) -> bool:
        if self._ended.is_set():
            return True
        service = self._serving.reporter.current()
        if service is None or revision_key(service) != key:
            return True
        generation = int(service["metadata"].get("generation") or 0)
        if generation != self._seen_generation:
            # Apply changes that need no new revision first: the new one can depend on fewer replicas of the old.
            self._seen_generation = generation
            for revision in self._serving.known() if not knative_problem(service) else ():
                revision.use(service)
        return False

    def replace_pod(self, pod: str) -> bool:
        """Replace a pod with a new one; return whether it belongs to this service."""
        return any(revision.replicas.replace(pod) for revision in self._serving.known())

    def scale(self) -> None:
        """Scale replicas to the load."""
        if self._ended.is_set() or not self._serving.revisions or self._scaling.left:
            return
        try:
            if service := self._serving.reporter.current():
                self._serving.scale(service)
            self._scaling.succeeded()
        except Exception:  # one service's failure must not stop the others' scaling
            self._scaling.failed()
            log.exception("failed to scale %s", self.title)
