"""The controller of InferenceServices: each has one thread that brings the world to what its spec says.

A new revision is made beside the old one, made ready and warmed up; then the route is switched in one step and the
old one is drained. A revision that fails never gets traffic, and the old one keeps serving.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from pathlib import Path

from pdk_nb.local.kubernetes.errors import ApiError
from pdk_nb.local.kubernetes.inference.credentials import storage_environment
from pdk_nb.local.kubernetes.inference.objects import record_event, remove_pod, write_pod
from pdk_nb.local.kubernetes.inference.revision import Revision, Superseded, revision_key
from pdk_nb.local.kubernetes.inference.routes import Routes
from pdk_nb.local.kubernetes.inference.status import Failure, Phase, mark_changed, service_status
from pdk_nb.local.kubernetes.inference.torchserve import ModelServerError
from pdk_nb.local.kubernetes.kinds import INFERENCE_SERVICES, Object
from pdk_nb.local.kubernetes.store import Change, ObjectStore
from pdk_nb.local.service import write_private

log = logging.getLogger(__name__)


class ServiceWorker:
    """Reconciles one InferenceService.

    Args:
        store: The cluster's objects.
        routes: Where ready revisions are announced.
        folder: The service's folder; revisions lie below it.
        namespace: The service's namespace.
        name: The service's name.
    """

    def __init__(self, store: ObjectStore, routes: Routes, folder: Path, namespace: str, name: str) -> None:
        self.store = store
        self.routes = routes
        self.folder = folder
        self.namespace = namespace
        self.name = name
        self.serving: Revision | None = None
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"isvc-{namespace}-{name}", daemon=True)
        self._state = self._read_state()

    def start(self) -> None:
        """Start reconciling."""
        self._wake.set()
        self._thread.start()

    def wake(self) -> None:
        """Look at the service again."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread and the model server; the files stay for the next start."""
        self._ended.set()
        self._wake.set()
        self._thread.join(15)
        if self.serving:
            self.serving.server.stop()

    # State that survives a restart: which revision served, made from what.

    @property
    def _state_file(self) -> Path:
        return self.folder / "state.json"

    def _read_state(self) -> dict[str, object]:
        try:
            content = json.loads(self._state_file.read_text())
        except (OSError, ValueError):
            return {"count": 0, "uid": "", "key": "", "serving": ""}
        return dict(content)

    def _save_state(self, **changes: object) -> None:
        self._state.update(changes)
        write_private(self._state_file, json.dumps(self._state))

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

    def _current(self) -> Object | None:
        try:
            return self.store.get(INFERENCE_SERVICES, self.namespace, self.name)
        except ApiError:
            return None

    def _superseded(self, key: str) -> bool:
        if self._ended.is_set():
            return True
        service = self._current()
        return service is None or revision_key(service) != key

    def _reconcile(self) -> None:
        service = self._current()
        if service is None:
            self._remove()
            return
        if service["metadata"]["uid"] != self._state["uid"]:
            # A new object of the old name starts counting again.
            self._retire(self.serving)
            self.serving = None
            self._save_state(count=0, uid=service["metadata"]["uid"], key="", serving="")
        key = revision_key(service)
        if key == self._state["key"] and self.serving is not None:
            return
        if key == self._state["key"] and self._state["serving"] and self._resume(service):
            return
        if key == self._state["key"] and self._state.get("failed") == key:
            return
        self._roll_out(service, key)

    def _resume(self, service: Object) -> bool:
        """Serve the revision of before a restart again, from the files that are there."""
        name = str(self._state["serving"])
        revision = Revision(name, self.folder / name, service)
        if not (revision.folder / "mnt" / "models").is_dir():
            return False
        self._report(service, name, "", "Loading")
        try:
            revision.start()
        except ModelServerError as error:
            log.warning("%s cannot be served again (%s); fetching it anew", name, error)
            revision.server.stop()
            return False
        self._switch(service, revision)
        return True

    def _roll_out(self, service: Object, key: str) -> None:
        count = int(str(self._state["count"])) + 1
        name = f"{self.name}-predictor-{count:05d}"
        old = self.serving
        self._save_state(count=count, key=key, failed="")
        # Not ready in the first write after the change: a client that waits for READY must not see the old one's.
        self._report(service, name, old.name if old else "", "Pending")
        record_event(self.store, service, "Normal", "RevisionCreated", f"Created revision {name}")
        revision = Revision(name, self.folder / name, service)
        shutil.rmtree(revision.folder, ignore_errors=True)
        try:
            revision.check()
            write_pod(self.store, service, name, "Pending", ready=False, reason="Init:0/1")
            environment = storage_environment(self.store, self.namespace, service["spec"]["predictor"])
            revision.fetch(
                environment,
                lambda why: self._storage_failed(service, name, why),
                lambda: self._superseded(key),
            )
            self._report(service, name, old.name if old else "", "Loading")
            write_pod(self.store, service, name, "Running", ready=False)
            revision.start()
            if self._superseded(key):
                raise Superseded
        except Superseded:
            revision.server.stop()
            remove_pod(self.store, self.namespace, name)
            shutil.rmtree(revision.folder, ignore_errors=True)
            raise
        except (ModelServerError, ApiError, OSError) as error:
            self._failed(service, key, revision, error)
            return
        self._switch(service, revision)
        if old:
            threading.Thread(target=self._retire, args=(old,), daemon=True).start()

    def _storage_failed(self, service: Object, revision: str, why: str) -> None:
        serving = self.serving.name if self.serving else ""
        failure = Failure("ModelLoadFailed", f"The model is not there yet: {why}")
        self._report(service, revision, serving, "Pending", failure)
        record_event(self.store, service, "Warning", "StorageNotFound", f"{revision}: {why}")

    def _failed(self, service: Object, key: str, revision: Revision, error: Exception) -> None:
        log.warning("%s failed: %s", revision.name, error)
        failure = Failure("ModelLoadFailed", str(error)[:1000], getattr(error, "exit_code", 1))
        self._save_state(failed=key)
        serving = self.serving.name if self.serving else ""
        write_pod(self.store, service, revision.name, "Running", ready=False, reason="CrashLoopBackOff")
        record_event(self.store, service, "Warning", "RevisionFailed", f"{revision.name}: {failure.message}")
        self._report(service, revision.name, serving, "FailedToLoad", failure)
        revision.server.stop()

    def _switch(self, service: Object, revision: Revision) -> None:
        """Give the traffic to a ready revision."""
        self.serving = revision
        self.routes.set(self.namespace, self.name, revision)
        self._save_state(serving=revision.name)
        write_pod(self.store, service, revision.name, "Running", ready=True)
        self._report(service, revision.name, revision.name, "Loaded")
        record_event(self.store, service, "Normal", "InferenceServiceReady", f"{revision.name} serves")
        log.info("%s serves on port %d", revision.name, revision.port)

    def _report(
        self, service: Object, created: str, serving: str, phase: Phase, failure: Failure | None = None
    ) -> None:
        """Write the status, unless the object has gone."""
        for _ in range(5):
            current = self._current()
            if current is None or current["metadata"]["uid"] != service["metadata"]["uid"]:
                return
            if phase == "Loaded" and revision_key(current) != revision_key(service):
                # Ready is said of the newest spec only; this one was changed meanwhile.
                phase = "Pending"
            current["status"] = service_status(current, created, serving, phase, failure)
            try:
                self.store.update(INFERENCE_SERVICES, self.namespace, self.name, current, subresource="status")
                return
            except ApiError as error:
                if error.code == 404:
                    return

    def _retire(self, revision: Revision | None) -> None:
        if revision is not None:
            revision.drain_and_stop()
            remove_pod(self.store, self.namespace, revision.name)

    def _remove(self) -> None:
        self.routes.remove(self.namespace, self.name)
        self._retire(self.serving)
        self.serving = None
        self._save_state(count=0, uid="", key="", serving="")


class InferenceController:
    """Watches InferenceServices and keeps one worker for each.

    Args:
        store: The cluster's objects.
        folder: Where revisions keep their files.
    """

    def __init__(self, store: ObjectStore, folder: Path) -> None:
        self.routes = Routes()
        self._store = store
        self._folder = folder
        self._workers: dict[tuple[str, str], ServiceWorker] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Serve what was served before, and follow changes from here on."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store.subscribe(self._changed)
        self._store.before_update(INFERENCE_SERVICES, _not_ready_when_changed)
        for service in self._store.select(INFERENCE_SERVICES)[0]:
            mark_changed(service)
            self._store.update(
                INFERENCE_SERVICES,
                service["metadata"]["namespace"],
                service["metadata"]["name"],
                service,
                subresource="status",
            )
            self._wake(service["metadata"]["namespace"], service["metadata"]["name"])

    def _changed(self, change: Change) -> None:
        # Status writes of our own come by here too; the worker sees that nothing is to be done.
        if change.plural == INFERENCE_SERVICES.plural and change.group == INFERENCE_SERVICES.group:
            meta = change.object["metadata"]
            self._wake(meta["namespace"], meta["name"])

    def _wake(self, namespace: str, name: str) -> None:
        with self._lock:
            worker = self._workers.get((namespace, name))
            if worker is None:
                folder = self._folder / namespace / name
                worker = ServiceWorker(self._store, self.routes, folder, namespace, name)
                self._workers[(namespace, name)] = worker
                worker.start()
        worker.wake()

    def pod_log(self, namespace: str, pod: str) -> bytes:
        """The log of a revision's pod: its storage initialiser's and its server's.

        Raises:
            ApiError: 404 when the pod has no log here.
        """
        for folder in self._folder.glob(f"{namespace}/*/*"):
            if folder.is_dir() and pod.startswith(folder.name):
                parts = [folder / "storage-initializer.log", folder / "kserve-container.log"]
                return b"".join(path.read_bytes() for path in parts if path.exists())
        raise ApiError(404, "NotFound", f"the log of pod {namespace}/{pod} is not here")

    def stop(self) -> None:
        """Stop all workers and model servers."""
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            worker.stop()


def _not_ready_when_changed(old: Object, new: Object) -> None:
    """A client that waits for READY right after its change must not see the old revision's."""
    if revision_key(old) != revision_key(new):
        mark_changed(new)
