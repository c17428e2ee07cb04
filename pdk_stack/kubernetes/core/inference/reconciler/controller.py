"""The InferenceService controller: follows changes and runs one worker per service."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from pdk_stack.common.processes import kill_noted
from pdk_stack.kubernetes.core.inference.node import Node
from pdk_stack.kubernetes.core.inference.reconciler.routes import Routes
from pdk_stack.kubernetes.core.inference.reconciler.runtime_objects import write_runtimes
from pdk_stack.kubernetes.core.inference.reconciler.status import mark_changed
from pdk_stack.kubernetes.core.inference.reconciler.worker import ServiceWorker
from pdk_stack.kubernetes.core.inference.revisions.revision import PODS_FOLDER
from pdk_stack.kubernetes.core.inference.revisions.storage_initializer import PROCESS_NOTE as FETCH_NOTE
from pdk_stack.kubernetes.core.inference.revisions.template import revision_key
from pdk_stack.kubernetes.core.inference.servers.model_server import PROCESS_NOTE as SERVER_NOTE
from pdk_stack.kubernetes.core.inference.servers.model_server import remove_scratch
from pdk_stack.kubernetes.core.volumes import Volumes
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kinds import INFERENCE_SERVICES
from pdk_stack.kubernetes.store.objects import Change, ObjectStore

# Knative's autoscaler runs every 2 s (tick-interval).
SCALE_SECONDS = 2.0
PLACE_SECONDS = 5.0


class Pods:
    """The processes behind the pods: logs and replicas.

    Args:
        folder: Folder of the revisions' files.
        workers: The services' workers, by namespace and name.
    """

    def __init__(self, folder: Path, workers: Mapping[tuple[str, str], ServiceWorker]) -> None:
        self._folder = folder
        self._workers = workers

    def log(self, namespace: str, pod: str, container: str) -> Path | None:
        """Return the log of a container in a revision's pod; None when it has no log."""
        for folder in self._folder.glob(f"{namespace}/*/*"):
            if pod.startswith(f"{folder.name}-deployment-"):
                # The model is fetched once, for all pods.
                for path in (folder / PODS_FOLDER / pod / f"{container}.log", folder / f"{container}.log"):
                    if path.exists():
                        return path
        return None

    def replace(self, namespace: str, pod: str) -> bool:
        """Replace a pod with a new one; return whether that succeeded."""
        workers = [worker for (place, _), worker in list(self._workers.items()) if place == namespace]
        return any(worker.replace_pod(pod) for worker in workers)


class InferenceController:
    """Watches InferenceServices and runs one worker for each.

    Args:
        store: The cluster's objects.
        volumes: The folders of claims.
        folder: Folder of the revisions' files.
    """

    def __init__(self, store: ObjectStore, volumes: Volumes, folder: Path) -> None:
        self.routes = Routes()
        self._store = store
        self._volumes = volumes
        self._folder = folder
        self._node = Node()
        self._ended = threading.Event()
        self._workers: dict[tuple[str, str], ServiceWorker] = {}
        self._lock = threading.Lock()
        self.pods = Pods(folder, self._workers)

    def start(self) -> None:
        """Resume the services from before the restart, and follow changes."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_runtimes(self._store)
        # End the model servers and storage initializers left by a killed daemon, and delete their scratch folders.
        for note in (f"{PODS_FOLDER}/*/{SERVER_NOTE}", FETCH_NOTE):
            for path in self._folder.glob(f"*/*/*/{note}"):
                kill_noted(path)
                remove_scratch(path.parent)
        self._store.subscribe(self._changed)
        self._store.before_update(INFERENCE_SERVICES, _not_ready_when_changed)
        threading.Thread(target=self._scale, name="autoscaler", daemon=True).start()
        services = self._store.select(INFERENCE_SERVICES)[0]
        # Revisions that served keep their places on the node; those that waited keep waiting.
        services.sort(key=lambda each: not (each.get("status") or {}).get("url"))
        for number, service in enumerate(services):
            if number and not (service.get("status") or {}).get("url"):
                for worker in self._workers.values():
                    worker.placed.wait(PLACE_SECONDS)
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
        # The controller's own status writes arrive here too; the worker finds nothing to do.
        if change.plural == INFERENCE_SERVICES.plural and change.group == INFERENCE_SERVICES.group:
            meta = change.object["metadata"]
            self._wake(meta["namespace"], meta["name"])

    def _wake(self, namespace: str, name: str) -> None:
        with self._lock:
            worker = self._workers.get((namespace, name))
            if worker is None:
                folder = self._folder / namespace / name
                worker = ServiceWorker(self._store, self.routes, self._volumes, self._node, folder, namespace, name)
                self._workers[(namespace, name)] = worker
                worker.start()
        worker.wake()

    def _scale(self) -> None:
        while not self._ended.wait(SCALE_SECONDS):
            with self._lock:
                workers = list(self._workers.values())
            for worker in workers:
                worker.scale()

    def stop(self) -> None:
        """Stop all workers and model servers."""
        self._ended.set()
        with self._lock:
            workers = list(self._workers.values())
        for worker in workers:
            worker.stop()


def _not_ready_when_changed(old: Object, new: Object) -> None:
    """Mark a changed service as not ready, so that waiting clients don't see the old revision's READY."""
    if revision_key(old) != revision_key(new):
        mark_changed(new)
