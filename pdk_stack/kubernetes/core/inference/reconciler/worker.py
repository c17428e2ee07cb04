"""One service's worker: a thread that brings the world to what the InferenceService says.

A new revision is made beside the old one, made ready and warmed up; then the traffic is shared out in one step and
what is not needed any more is drained. A revision that fails never gets traffic, and the old one keeps serving.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from pathlib import Path

from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason, Superseded
from pdk_stack.kubernetes.core.inference.node import Node
from pdk_stack.kubernetes.core.inference.reconciler.reporter import Reporter
from pdk_stack.kubernetes.core.inference.reconciler.rollout import Rollout
from pdk_stack.kubernetes.core.inference.reconciler.routes import Routes, Target
from pdk_stack.kubernetes.core.inference.reconciler.status import Failure, Phase, Traffic
from pdk_stack.kubernetes.core.inference.revisions.credentials import storage_environment
from pdk_stack.kubernetes.core.inference.revisions.replica import Replica, Trouble
from pdk_stack.kubernetes.core.inference.revisions.revision import Revision
from pdk_stack.kubernetes.core.inference.revisions.template import revision_key
from pdk_stack.kubernetes.core.inference.servers.custom_predictor import MOUNT
from pdk_stack.kubernetes.core.volumes import SCHEME, VolumeError, Volumes
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.objects import ObjectStore

log = logging.getLogger(__name__)

# Knative waits for its stable window (60 s) and a grace period (30 s) before it takes the last pod away.
IDLE_SECONDS = 90.0
# A pipeline creates the service before the commit that holds its model is finished: that long, it is no trouble.
MODEL_GRACE_SECONDS = 30.0
IDLE_ANNOTATION = "autoscaling.knative.dev/scale-to-zero-pod-retention-period"


def idle_seconds(service: Object) -> float:
    """How long a service without requests keeps its last replica."""
    text = str((service["metadata"].get("annotations") or {}).get(IDLE_ANNOTATION, "")).removesuffix("s")
    return float(text) if text.replace(".", "", 1).isdigit() else IDLE_SECONDS


class ServiceWorker:
    """Reconciles one InferenceService.

    Args:
        store: The cluster's objects.
        routes: Where ready revisions are announced.
        volumes: The folders of claims.
        node: Where pods need a place.
        folder: The service's folder; revisions lie below it.
        namespace: The service's namespace.
        name: The service's name.
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
        self.store = store
        self.volumes = volumes
        self.node = node
        self.routes = routes
        self.folder = folder
        self.namespace = namespace
        self.name = name
        self.revisions: dict[str, Revision] = {}
        self._tell = Reporter(store, namespace, name, self._copies)
        self.rollout = Rollout.read(folder / "state.json")
        self._traffic = Traffic()
        self._resumed = False
        # Set once the pods of before a restart have asked for their places.
        self.placed = threading.Event()
        # The revision that is being made, and the one that failed last.
        self._coming: Revision | None = None
        self._failed_one: Revision | None = None
        self._seen_generation = 0
        self._showing = threading.Lock()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"isvc-{namespace}-{name}", daemon=True)

    def start(self) -> None:
        """Start reconciling."""
        self._wake.set()
        self._thread.start()

    def wake(self) -> None:
        """Look at the service again."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread and the model servers; the files stay for the next start."""
        self._ended.set()
        self._wake.set()
        self._thread.join(15)
        for revision in [*self.revisions.values(), self._coming, self._failed_one]:
            if revision is not None:
                revision.close()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._ended.is_set():
                return
            try:
                self._reconcile()
            except Superseded:
                self._wake.set()
            except Exception:  # one service's trouble must not end its worker
                log.exception("%s/%s could not be reconciled", self.namespace, self.name)

    def _superseded(self, key: str) -> bool:
        if self._ended.is_set():
            return True
        service = self._tell.current()
        if service is None or revision_key(service) != key:
            return True
        generation = int(service["metadata"].get("generation") or 0)
        if generation != self._seen_generation:
            # What needs no new revision does not wait for one: fewer replicas of the old may be what it waits for.
            self._seen_generation = generation
            for revision in (*self.revisions.values(), self._coming):
                if revision is not None:
                    revision.use(service)
        return False

    def _reconcile(self) -> None:
        service = self._tell.current()
        if service is None:
            self.placed.set()
            self._remove()
            return
        if service["metadata"]["uid"] != self.rollout.uid:
            # A new object of the old name starts counting again.
            self._retire_all()
            self.rollout.reset(service["metadata"]["uid"])
        if not self._resumed:
            self._resumed = True
            self._resume(service)
        key = revision_key(service)
        latest = self.revisions.get(self.rollout.ready)
        if latest and latest.key == key:
            self.rollout.save(key=key, failed="")
            self._share(service)
        elif key != self.rollout.failed:
            self._roll_out(service, key)
        elif self.revisions:
            # The newest revision failed, but the others' shares may have been changed.
            self._share(service, phase="FailedToLoad")

    def _resume(self, service: Object) -> None:
        """Serve the revisions of before a restart again, from the files that are there."""
        self.rollout.save(failed="")
        for name, origin in self.rollout.origins.items():
            metadata = {**service["metadata"], **origin["metadata"]}
            revision = self._revision(name, {**service, "metadata": metadata, "spec": origin["spec"]})
            # A container may have brought its model itself.
            if (revision.folder / MOUNT.lstrip("/")).is_dir() or not revision.uri:
                self.revisions[name] = revision
        wanted = [each.revision for each in self.rollout.shares(service["spec"]["predictor"])]
        for name in wanted:
            if name in self.revisions:
                self.revisions[name].use(service)
                self.revisions[name].replicas.scale(self.revisions[name].bounds.initial)
        self.placed.set()
        for name in wanted:
            revision_or_none = self.revisions.get(name)
            try:
                if revision_or_none is None:
                    raise ModelServerError("its files are gone")
                self._tell.status(service, name, self._traffic, "Loading")
                revision_or_none.ensure_running()
            except ModelServerError as error:
                log.warning("%s cannot be served again (%s); fetching the model anew", name, error)
                self._retire_all()
                self.rollout.save(ready="", rolled="", previous="", key="")
                return
        for revision in self.revisions.values():
            # Pods of before the restart that nobody needs now.
            self._pods_changed(revision, None)
        if wanted:
            self._share(service, phase="Loaded" if self._is_latest(service) else "Pending")

    def _is_latest(self, service: Object) -> bool:
        latest = self.revisions.get(self.rollout.ready)
        return latest is not None and latest.key == revision_key(service)

    def _revision(self, name: str, service: Object) -> Revision:
        return Revision(name, self.folder / name, service, self.node, self._pods_changed)

    def _copies(self, name: str) -> int:
        revision = self.revisions.get(name) or self._coming
        return revision.replicas.wanted if revision is not None and revision.name == name else 0

    def _pods_changed(self, revision: Revision, replica: Replica | None) -> None:
        """A pod got its place, serves, failed, was added or has gone."""
        with self._showing:
            if revision.closed or self._tell.current() is None:
                return
            self._tell.show(revision.service, revision.name, revision.pods(), revision.failure, replica)
        died = replica is not None and replica.step == "Failed" and revision.name in self.revisions
        if died and replica is not None:
            # One that had served; the keeper starts it again.
            trouble = replica.trouble
            self._tell.event(revision.service, "Warning", trouble.reason, f"{revision.name}: {trouble.message}")

    def _roll_out(self, service: Object, key: str) -> None:
        self._clear_failed(service)
        name = f"{self.name}-predictor-{self.rollout.count + 1:05d}"
        self.rollout.save(count=self.rollout.count + 1, key=key, failed="")
        # Not ready in the first write after the change: a client that waits for READY must not see the old one's.
        self._tell.status(service, name, self._traffic, "Pending")
        self._tell.event(service, "Normal", "RevisionCreated", f"Created revision {name}")
        self._seen_generation = int(service["metadata"].get("generation") or 0)
        revision: Revision | None = None
        try:
            revision = self._coming = self._revision(name, service)
            shutil.rmtree(revision.folder, ignore_errors=True)
            revision.check()
            revision.place(lambda: self._superseded(key), lambda why: self._blocked(service, revision, why))
            self._fetch(service, key, revision)
            self._tell.status(service, name, self._traffic, "Loading")
            revision.start(lambda: self._superseded(key), lambda why: self._blocked(service, revision, why))
            if self._superseded(key):
                raise Superseded
        except Superseded:
            self._tell.event(service, "Normal", "RevisionSuperseded", f"{name} is not wanted any more")
            if revision is not None:
                self._retire(revision, wait=False)
            raise
        except (ModelServerError, StatusError, OSError) as error:
            self._failed(service, key, revision, name, error)
            return
        finally:
            self._coming = None
        self.revisions[name] = revision
        self.rollout.save(ready=name)
        self._share(service)
        self._tell.event(service, "Normal", "InferenceServiceReady", f"{name} serves")
        log.info("%s serves with %d replicas", name, revision.replicas.ready)

    def _blocked(self, service: Object, revision: Revision | None, why: str) -> None:
        """A pod has no place on the node: the revision waits, however long, as on a cluster."""
        if revision is None:
            return
        self._tell.event(service, "Warning", Reason.UNSCHEDULABLE.value, f"{revision.name}: {why}")
        if revision.running:
            # Knative says so only as long as no pod is there at all.
            self._tell.status(service, revision.name, self._traffic, "Loading", waiting=why)
            return
        self._tell.status(service, revision.name, self._traffic, "Pending", Failure(Reason.UNSCHEDULABLE, why))

    def _fetch(self, service: Object, key: str, revision: Revision) -> None:
        """Bring a revision's model, with the credentials of its service account."""
        # Waiting for a place is over.
        self._tell.status(service, revision.name, self._traffic, "Pending")
        if not revision.uri:
            # A container that brings its own.
            revision.folder.mkdir(parents=True, exist_ok=True)
            return
        source = revision.uri
        if source.startswith(SCHEME):
            try:
                source = str(self.volumes.path(self.namespace, source))
            except VolumeError as error:
                raise ModelServerError(str(error), reason=Reason.STORAGE_NOT_FOUND) from error
        begun = time.monotonic()

        def told(why: str, absent: bool) -> None:
            if absent and time.monotonic() - begun < MODEL_GRACE_SECONDS:
                text = f"The model is not there yet: {why}"
                self._tell.status(service, revision.name, self._traffic, "Pending", waiting=text)
                self._tell.event(service, "Normal", "WaitingForModel", f"{revision.name}: {text}")
                return
            reason = Reason.STORAGE_NOT_FOUND if absent else Reason.STORAGE_FAILED
            self._tell.status(
                service, revision.name, self._traffic, "Pending", Failure(reason, f"{why} (it is tried again)")
            )
            revision.fetch_trouble = Trouble(reason.value, why)
            self._pods_changed(revision, None)
            self._tell.event(service, "Warning", reason.value, f"{revision.name}: {why}")

        predictor = service["spec"]["predictor"]
        environment = storage_environment(self.store, self.namespace, predictor, revision.folder)
        revision.fetch(source, environment, told, lambda: self._superseded(key))
        revision.fetch_trouble = None

    def _failed(self, service: Object, key: str, revision: Revision | None, name: str, error: Exception) -> None:
        log.warning("%s failed: %s", name, error)
        reason = getattr(error, "reason", Reason.MODEL_LOAD_FAILED)
        # An StatusError has Kubernetes' reason.
        reason = reason if isinstance(reason, Reason) else Reason.MODEL_LOAD_FAILED
        failure = Failure(reason, str(error)[:1000], getattr(error, "exit_code", 1))
        self.rollout.save(
            failed=key,
            failed_name=name,
            failure=failure.message,
            reason=reason.value,
            exit_code=failure.exit_code,
        )
        if revision is not None:
            revision.fail(Trouble.of(error, final=True))
            self._failed_one = revision
            if not reason.in_spec:
                self._pods_changed(revision, None)
        self._tell.event(service, "Warning", reason.value, f"{name}: {failure.message}")
        self._tell.status(service, name, self._traffic, "FailedToLoad", failure)

    def _clear_failed(self, service: Object) -> None:
        """Forget the failed revision, whose log was kept for the people who look for the cause."""
        if self._failed_one is not None:
            self._failed_one.close()
            self._failed_one = None
        if self.rollout.failed_name:
            self._tell.gone(service, self.rollout.failed_name)
            shutil.rmtree(self.folder / self.rollout.failed_name, ignore_errors=True)
            self.rollout.save(failed_name="")

    def _share(self, service: Object, phase: Phase = "Loaded") -> None:
        """Give each revision its part of the traffic, and let go of those without one."""
        predictor = service["spec"]["predictor"]
        shares = self.rollout.shares(predictor)
        try:
            for share in shares:
                self.revisions[share.revision].use(service)
                if share.revision not in [each.revision for each in self._traffic.shares]:
                    self.revisions[share.revision].ensure_running()
        except ModelServerError as error:
            self._tell.event(service, "Warning", error.reason.value, f"{share.revision}: {error}")
            failure = Failure(error.reason, str(error), error.exit_code)
            self._tell.status(service, self.rollout.newest(self.name), self._traffic, "FailedToLoad", failure)
            return
        self.rollout.settle(predictor)
        told = None
        if phase == "FailedToLoad":
            reason = Reason(self.rollout.reason or Reason.MODEL_LOAD_FAILED.value)
            told = Failure(reason, self.rollout.failure, self.rollout.exit_code)
        targets = [Target(self.revisions[each.revision], each.percent, each.tag) for each in shares]
        traffic = Traffic(shares, self.rollout.ready, self.rollout.rolled, self.rollout.previous)
        if traffic.shares != self._traffic.shares:
            self.routes.set(self.namespace, self.name, targets)
        self._traffic = traffic
        # Back to the one that serves while another was loading: that one is gone, and its name with it.
        created = self.rollout.ready if phase == "Loaded" else self.rollout.newest(self.name)
        self._tell.status(service, created, self._traffic, phase, told)
        self._let_go({each.revision for each in shares})

    def _let_go(self, serving: set[str]) -> None:
        """Stop what serves no more: the one before the present is kept on disk for going back, others are deleted."""
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
                threading.Thread(target=self._retire, args=(revision,), daemon=True).start()
        self.rollout.save(origins=origins)

    def _rest(self, revision: Revision) -> None:
        """Stop a revision that may be wanted again: if it is by then, it goes on."""
        revision.wait_idle()
        if revision.name not in [each.revision for each in self._traffic.shares]:
            revision.scale_to_zero()

    def _retire(self, revision: Revision, *, wait: bool = True) -> None:
        if wait:
            revision.wait_idle()
        with self._showing:
            # From here on its pods' changes write nothing any more.
            revision.closed = True
        revision.discard()
        self._tell.gone(revision.service, revision.name)

    def replace_pod(self, pod: str) -> bool:
        """Take a pod away and start another in its place; whether it was one that this service keeps."""
        known = [*self.revisions.values(), self._coming]
        return any(revision is not None and revision.replicas.replace(pod) for revision in known)

    def scale(self) -> None:
        """Fit the number of replicas to the load, and stop those of a service without requests."""
        if self._ended.is_set() or not self.revisions:
            return
        service = self._tell.current()
        if service is None:
            return
        serving = {each.revision for each in self._traffic.shares}
        sleeps = service["spec"]["predictor"].get("minReplicas") == 0
        limit = idle_seconds(service)
        for name, revision in list(self.revisions.items()):
            if name not in serving or not revision.running:
                continue
            if sleeps and time.monotonic() - revision.last_used >= limit:
                if revision.scale_to_zero():
                    self._tell.event(service, "Normal", "ScaledToZero", f"{name} had no request")
                continue
            before = revision.replicas.wanted
            count = revision.autoscale()
            if count != before:
                self._tell.event(service, "Normal", "Scaled", f"{name} goes from {before} to {count} replicas")

    def _retire_all(self) -> None:
        self.routes.remove(self.namespace, self.name)
        revisions, self.revisions, self._traffic = self.revisions, {}, Traffic()
        for revision in revisions.values():
            self._retire(revision)

    def _remove(self) -> None:
        if self._failed_one is not None:
            self._failed_one.close()
            self._failed_one = None
        shutil.rmtree(self.folder / (self.rollout.failed_name or "none"), ignore_errors=True)
        self._retire_all()
        self.rollout.reset("")
