"""A service's revisions and their shares of its traffic."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason
from pdk_stack.kubernetes.core.inference.node import Node
from pdk_stack.kubernetes.core.inference.reconciler.reporter import Reporter
from pdk_stack.kubernetes.core.inference.reconciler.rollout import Rollout
from pdk_stack.kubernetes.core.inference.reconciler.routes import Routes, Target
from pdk_stack.kubernetes.core.inference.reconciler.status import Failure, Phase, Traffic
from pdk_stack.kubernetes.core.inference.revisions.knative import knative_problem
from pdk_stack.kubernetes.core.inference.revisions.replica import Replica
from pdk_stack.kubernetes.core.inference.revisions.replica_pool import DRAIN_SECONDS
from pdk_stack.kubernetes.core.inference.revisions.revision import Revision
from pdk_stack.kubernetes.core.inference.revisions.template import revision_key
from pdk_stack.kubernetes.core.inference.servers.custom_predictor import MOUNT
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.objects import ObjectStore

log = logging.getLogger(__name__)

# Knative waits for its stable window (60 s) and a grace period (30 s) before it removes the last pod.
IDLE_SECONDS = 90.0
IDLE_ANNOTATION = "autoscaling.knative.dev/scale-to-zero-pod-retention-period"


def idle_seconds(service: Object) -> float:
    """Return how many seconds a service without requests keeps its last replica."""
    text = str((service["metadata"].get("annotations") or {}).get(IDLE_ANNOTATION, "")).removesuffix("s")
    return float(text) if text.replace(".", "", 1).isdigit() else IDLE_SECONDS


class Serving:
    """Revisions and traffic of one InferenceService.

    Args:
        store: The cluster's objects.
        routes: The routing table.
        node: The node that places pods.
        folder: The service's folder, which contains its revisions.
        namespace: The service's namespace.
        name: The service's name.
        on_health: Called when a server of a revision that was ready is lost or back.

    Attributes:
        revisions: Revisions that are or were ready, by name.
        coming: The revision that is coming up.
        rollout: State that survives restarts.
        reporter: Writes what clients see.
    """

    def __init__(
        self,
        store: ObjectStore,
        routes: Routes,
        node: Node,
        folder: Path,
        namespace: str,
        name: str,
        on_health: Callable[[], None],
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.folder = folder
        self.revisions: dict[str, Revision] = {}
        self.coming: Revision | None = None
        self.rollout = Rollout.read(folder / "state.json")
        self.reporter = Reporter(store, namespace, name, self._copies)
        self._routes = routes
        self._node = node
        self._on_health = on_health
        self._traffic = Traffic()
        self._showing = threading.Lock()

    def known(self) -> list[Revision]:
        """All revisions, including the one that is coming up."""
        coming = self.coming
        return [*self.revisions.values(), *([coming] if coming else [])]

    def _copies(self, name: str) -> int:
        return next((each.replicas.wanted for each in self.known() if each.name == name), 0)

    def make(self, name: str, service: Object) -> Revision:
        """Create a revision of the service's current spec, and start reporting its pods."""
        revision = Revision(name, self.folder / name, service, self._node, self.show_pods)
        revision.rollout = bool(self._traffic.shares)
        return revision

    def show_pods(self, revision: Revision, replica: Replica | None = None) -> None:
        """Report a pod that was placed, serves, failed, was added, or was removed."""
        with self._showing:
            if revision.closed or self.reporter.current() is None:
                return
            self.reporter.show(revision.service, revision.name, revision.pods(), revision.failure, replica)
        if replica is None or revision.name not in self.revisions:
            return
        if replica.step in ("Failed", "Unhealthy"):
            # It served before, so its keeper thread restarts it or waits for its workers.
            trouble = replica.trouble
            text = f"{revision.name}: {trouble.message}"
            self.reporter.event(revision.service, "Warning", trouble.reason, text)
        if replica.step in ("Failed", "Unhealthy", "Ready"):
            self._on_health()

    def status(
        self, service: Object, created: str, phase: Phase, failure: Failure | None = None, waiting: str = ""
    ) -> None:
        """Write the service's status; see :meth:`Reporter.status`."""
        self.reporter.status(service, created, self._traffic, phase, failure, waiting)

    def stumbled(self, error: Exception, seconds: float) -> None:
        """Report an unexpected error of the controller.

        Args:
            error: The error.
            seconds: Seconds until the next try.
        """
        service = self.reporter.current()
        if service is None:
            return
        text = f"{type(error).__name__}: {error}"
        self.reporter.event(service, "Warning", Reason.INTERNAL_ERROR.value, text)
        failure = Failure(Reason.INTERNAL_ERROR, f"{text} (the next try is in {seconds:.0f} s)")
        self.status(service, self.rollout.newest(self.name), "Pending", failure)

    def blocked(self, service: Object, revision: Revision, why: str) -> None:
        """Report that a pod of a revision has no place on the node."""
        self.reporter.event(service, "Warning", Reason.UNSCHEDULABLE.value, f"{revision.name}: {why}")
        if revision.running:
            # Knative reports this only while no pod is running.
            self.status(service, revision.name, "Loading", waiting=why)
        else:
            self.status(service, revision.name, "Pending", Failure(Reason.UNSCHEDULABLE, why))

    def _start(self, service: Object, revision: Revision, superseded: Callable[[], bool]) -> None:
        """Start a revision that was ready before; its pods can use the node's reserve."""
        revision.rollout = True
        try:
            revision.ensure_running(superseded, lambda why: self.blocked(service, revision, why))
        finally:
            revision.rollout = False

    def _trouble(self) -> Failure | None:
        """Return why a revision with traffic has lost all its servers; None while each has one."""
        for name in self._traffic.revisions:
            states = self.revisions[name].replicas.states()
            if any(each.step == "Ready" for each in states):
                continue
            if lost := next((each.trouble for each in states if each.trouble.reason), None):
                return Failure(Reason(lost.reason), lost.message, lost.exit_code)
        return None

    def resume(self, service: Object, placed: threading.Event, superseded: Callable[[], bool]) -> None:
        """Serve the revisions from before a restart again, from their existing files.

        Args:
            service: The service.
            placed: Set once their pods have requested places.
            superseded: Returns whether the service has changed since.

        Raises:
            Superseded: The service has changed.
        """
        self.rollout.save(failed="")
        for name, origin in self.rollout.origins.items():
            metadata = {**service["metadata"], **origin["metadata"]}
            revision = self.make(name, {**service, "metadata": metadata, "spec": origin["spec"]})
            # A custom container can bring its own model.
            if (revision.folder / MOUNT.lstrip("/")).is_dir() or not revision.uri:
                self.revisions[name] = revision
        wanted = [each.revision for each in self.rollout.shares(service["spec"]["predictor"])]
        for name in wanted:
            if name in self.revisions:
                self.revisions[name].use(service)
                # They had their places before, some of them on the node's reserve.
                self.revisions[name].rollout = True
                self.revisions[name].replicas.scale(self.revisions[name].bounds.initial)
        placed.set()
        for name in wanted:
            try:
                if name not in self.revisions:
                    raise ModelServerError("its files are gone")
                self.status(service, name, "Loading")
                self._start(service, self.revisions[name], superseded)
            except ModelServerError as error:
                log.warning("%s can't resume (%s); fetching the model again", name, error)
                self.retire_all()
                self.rollout.save(ready="", rolled="", previous="", key="")
                return
        for revision in self.revisions.values():
            # Pods from before the restart that are no longer needed.
            self.show_pods(revision)
        if wanted:
            latest = self.revisions.get(self.rollout.ready)
            is_latest = latest is not None and latest.key == revision_key(service)
            self.share(service, superseded, phase="Loaded" if is_latest else "Pending")

    def share(self, service: Object, superseded: Callable[[], bool], phase: Phase = "Loaded") -> None:
        """Split the traffic among the revisions, and release those without a share.

        Args:
            service: The service.
            superseded: Returns whether the service has changed since.
            phase: Phase of the newest revision.

        Raises:
            Superseded: The service has changed.
        """
        if problem := knative_problem(service):
            # What serves goes on as before.
            self.reporter.event(service, "Warning", Reason.INVALID_SPEC.value, problem)
            refusal = Failure(Reason.INVALID_SPEC, problem)
            self.status(service, self.rollout.newest(self.name), "FailedToLoad", refusal)
            return
        predictor = service["spec"]["predictor"]
        shares = self.rollout.shares(predictor)
        failure: Failure | None = None
        try:
            for share in shares:
                self.revisions[share.revision].use(service)
                if share.revision not in self._traffic.revisions:
                    self._start(service, self.revisions[share.revision], superseded)
        except ModelServerError as error:
            self.reporter.event(service, "Warning", error.reason.value, f"{share.revision}: {error}")
            failure = Failure(error.reason, str(error), error.exit_code)
            self.status(service, self.rollout.newest(self.name), "FailedToLoad", failure)
            return
        self.rollout.settle(predictor)
        if phase == "FailedToLoad":
            reason = Reason(self.rollout.reason or Reason.MODEL_LOAD_FAILED.value)
            failure = Failure(reason, self.rollout.failure, self.rollout.exit_code)
        traffic = Traffic(shares, self.rollout.ready, self.rollout.rolled, self.rollout.previous)
        if traffic.shares != self._traffic.shares:
            targets = [Target(self.revisions[each.revision], each.percent, each.tag) for each in shares]
            self._routes.set(self.namespace, self.name, targets)
        self._traffic = traffic
        # The spec returned to the serving revision while another was loading, so the latter is gone, with its name.
        created = self.rollout.ready if phase == "Loaded" else self.rollout.newest(self.name)
        lost = self._trouble() if phase == "Loaded" else None
        self.status(service, created, "Loading" if lost else phase, lost or failure)
        self._let_go(traffic.revisions)

    def _let_go(self, serving: set[str]) -> None:
        """Stop revisions without traffic; keep the previous one on disk for rollback and delete the others."""
        kept = {self.rollout.ready, self.rollout.rolled, self.rollout.previous}
        origins = {}
        for name, revision in list(self.revisions.items()):
            if name in kept:
                origins[name] = {
                    "metadata": {key: revision.service["metadata"].get(key) or {} for key in ("annotations", "labels")},
                    "spec": revision.service["spec"],
                }
            if name in serving:
                continue
            if name in kept:
                if revision.running:
                    threading.Thread(target=self._rest, args=(revision,), daemon=True).start()
            else:
                del self.revisions[name]
                threading.Thread(target=self.retire, args=(revision,), daemon=True).start()
        self.rollout.save(origins=origins)

    def _rest(self, revision: Revision) -> None:
        """Stop a revision that a rollback can use; it keeps running if it has traffic again by then."""
        revision.load.wait_idle(DRAIN_SECONDS)
        if revision.name not in self._traffic.revisions:
            revision.scale_to_zero()

    def retire(self, revision: Revision, *, wait: bool = True) -> None:
        """Stop a revision, and delete its files and objects.

        Args:
            revision: A revision that gets no new requests.
            wait: Whether to let requests in flight end first.
        """
        if wait:
            revision.load.wait_idle(DRAIN_SECONDS)
        with self._showing:
            # From now on, its pods' changes write nothing.
            revision.closed = True
        revision.discard()
        self.reporter.gone(revision.service, revision.name)

    def retire_all(self) -> None:
        """Remove the service's routes, then retire all revisions."""
        self._routes.remove(self.namespace, self.name)
        revisions, self.revisions, self._traffic = self.revisions, {}, Traffic()
        for revision in revisions.values():
            self.retire(revision)

    def scale(self, service: Object) -> None:
        """Scale replicas to the load, and to zero for a service without requests."""
        sleeps = service["spec"]["predictor"].get("minReplicas") == 0
        limit = idle_seconds(service)
        for name, revision in list(self.revisions.items()):
            if name not in self._traffic.revisions or not revision.running:
                continue
            if sleeps and time.monotonic() - revision.load.last_used >= limit:
                if revision.scale_to_zero():
                    self.reporter.event(service, "Normal", "ScaledToZero", f"{name} had no request")
                continue
            before = revision.replicas.wanted
            count = revision.autoscale()
            if count != before:
                text = f"{name} goes from {before} to {count} replicas"
                self.reporter.event(service, "Normal", "Scaled", text)
