"""A revision: one immutable version of a service, in a folder of its own, with its own model servers."""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pdk_stack.kubernetes.core.container_logs import keep_times
from pdk_stack.kubernetes.core.inference.dataplane.payload_logger import PayloadLogger, sink_problem
from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason, Superseded
from pdk_stack.kubernetes.core.inference.node import Node
from pdk_stack.kubernetes.core.inference.resources import custom_container, memory_limit, requests_of
from pdk_stack.kubernetes.core.inference.revisions.replica import PodState, Replica, Trouble
from pdk_stack.kubernetes.core.inference.revisions.replicas import DRAIN_SECONDS, Replicas
from pdk_stack.kubernetes.core.inference.revisions.scaling import DEFAULT_TARGETS, Bounds, Scaler, target_of, window_of
from pdk_stack.kubernetes.core.inference.revisions.template import INITIALIZER, pod_name, revision_key
from pdk_stack.kubernetes.core.inference.servers.custom_predictor import MOUNT, STORAGE_URI, plain_environment
from pdk_stack.kubernetes.core.inference.servers.model_server import end_group
from pdk_stack.kubernetes.core.inference.servers.runtimes import check_predictor, model_server
from pdk_stack.kubernetes.store.columns import Object

FETCH_SECONDS = 180.0
# Below a revision's folder: a folder for each pod, with its server's log.
PODS_FOLDER = "pods"
# KServe's own default is 300 s; TorchServe gives up a prediction after 120.
REQUEST_SECONDS = 120.0
# Fewer than TorchServe queues (see torchserve.JOB_QUEUE_SIZE), so that it never has to refuse one.
MAX_WAITING = 128


@functools.cache
def warm_up_body(protocol: str = "v1") -> bytes:
    """A prediction request with a small grey picture: valid for every image handler."""
    from PIL import Image

    picture = io.BytesIO()
    Image.new("RGB", (32, 32), (127, 127, 127)).save(picture, "JPEG")
    text = base64.b64encode(picture.getvalue()).decode()
    if protocol == "v1":
        return json.dumps({"instances": [{"data": text}]}).encode()
    return json.dumps({"inputs": [{"name": "picture", "shape": [1], "datatype": "BYTES", "data": [text]}]}).encode()


@dataclass(frozen=True)
class Limits:
    """How much a replica takes at once.

    Attributes:
        concurrency: Requests that one replica works on; 0 for as many as come.
        waiting: Requests that one replica works on or keeps waiting; beyond them clients are told to come back.
        seconds: How long one request may take.
    """

    concurrency: int = 0
    waiting: int = MAX_WAITING
    seconds: float = REQUEST_SECONDS

    @classmethod
    def of(cls, predictor: dict[str, Any]) -> Limits:
        """The limits that a predictor asks for; Knative's queue holds ten times the concurrency."""
        concurrency = int(predictor.get("containerConcurrency") or 0)
        waiting = min(MAX_WAITING, 11 * concurrency) if concurrency else MAX_WAITING
        return cls(concurrency, waiting, float(predictor.get("timeout") or REQUEST_SECONDS))


def _payload_logger(service: Object) -> PayloadLogger | None:
    logger = service["spec"]["predictor"].get("logger")
    if logger is None or sink_problem(logger):
        return None
    meta = service["metadata"]
    return PayloadLogger(str(logger["url"]), str(logger.get("mode") or "all"), meta["namespace"], meta["name"])


class Revision:
    """One revision of one service.

    Args:
        name: ``<service>-predictor-00001`` and so on.
        folder: Where its files lie.
        service: The InferenceService that it was made from.
        node: Where its pods need a place.
        on_change: Told each time its pods change: with the replica, or None when some were added or have gone.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        service: Object,
        node: Node,
        on_change: Callable[[Revision, Replica | None], None] | None = None,
    ) -> None:
        self.name = name
        self.folder = folder
        self.service = service
        self.key = revision_key(service)
        self.inflight = 0
        self.requests = 0
        self.last_used = time.monotonic()
        self.closed = False
        self.models: list[str] = []
        self.failure: Trouble | None = None
        self.fetch_trouble: Trouble | None = None
        self._busy_seconds, self._busy_since = 0.0, self.last_used
        self._node = node
        self._told = on_change or (lambda _revision, _replica: None)
        self._idle = threading.Condition()
        self._fetched = threading.Event()
        predictor = service["spec"]["predictor"]
        container = custom_container(predictor)
        self.custom = container is not None
        self.uri = str((predictor.get("model") or {}).get("storageUri") or "")
        if container is not None:
            self.uri = plain_environment(container).get(STORAGE_URI, "")
        self.protocol = str((predictor.get("model") or {}).get("protocolVersion") or "v1")
        self.version = str((service["metadata"].get("annotations") or {}).get("pach_id", ""))
        self.limits, self.bounds, self.target = Limits.of(predictor), Bounds.of(predictor), target_of(predictor)
        self._scaler = Scaler(window_of(service["metadata"].get("annotations")))
        self.replicas = Replicas(self._replica, lambda: self._told(self, None))
        self.payloads = _payload_logger(service)

    @property
    def running(self) -> bool:
        """Whether one of its servers is there."""
        return self.replicas.ready > 0

    def use(self, service: Object) -> None:
        """Take over limits and numbers of replicas that were changed without a new revision."""
        predictor = service["spec"]["predictor"]
        self.limits, self.target = Limits.of(predictor), target_of(predictor)
        bounds = Bounds.of(predictor)
        if bounds != self.bounds:
            self.bounds = bounds
            if self.replicas.wanted:
                self.replicas.scale(bounds.clip(self.replicas.wanted))

    def check(self) -> None:
        """Refuse what the embedded runtimes cannot serve.

        Raises:
            ModelServerError: The predictor is of another kind.
        """
        for part in ("transformer", "explainer"):
            if self.service["spec"].get(part):
                text = f"The embedded runtime starts no {part}, only predictors."
                raise ModelServerError(text, reason=Reason.INVALID_SPEC)
        predictor = self.service["spec"]["predictor"]
        if predictor.get("logger") is not None and (problem := sink_problem(predictor["logger"])):
            raise ModelServerError(problem, reason=Reason.INVALID_SPEC)
        if predictor.get("batcher") is not None:
            raise ModelServerError("The embedded runtime has no batcher.", reason=Reason.INVALID_SPEC)
        if (metric := predictor.get("scaleMetric")) not in (None, *DEFAULT_TARGETS):
            # Knative refuses them too; they are for Kubernetes' own autoscaler, in RawDeployment mode.
            text = f"scaleMetric {metric} is not measured here; there are {' and '.join(DEFAULT_TARGETS)}."
            raise ModelServerError(text, reason=Reason.INVALID_SPEC)
        check_predictor(predictor)
        requests_of(self.service)

    def _replica(self, number: int) -> Replica:
        """Make a replica and let it begin."""
        pod = pod_name(self.service, self.name, number)
        home = self.folder / PODS_FOLDER / pod
        server = model_server(self.folder, home, self.service["spec"]["predictor"], memory_limit(self.service))
        replica = Replica(pod, server, warm_up_body(self.protocol), self.replicas.changed, self._changed)
        key = f"{self.service['metadata']['namespace']}/{pod}"
        replica.start(self._node, key, requests_of(self.service), self._fetched)
        return replica

    def _changed(self, replica: Replica) -> None:
        if replica.step == "Ready":
            self.models = replica.server.models
            self.last_used = time.monotonic()
        self._told(self, replica)

    def pods(self) -> list[PodState]:
        """What its pods show."""
        trouble = self.fetch_trouble
        states = self.replicas.states()
        if trouble:
            states = [replace(each, step="FetchFailed", trouble=trouble) for each in states]
        return states

    def fetch(
        self,
        source: str,
        environment: dict[str, str],
        on_failure: Callable[[str, bool], None],
        superseded: Callable[[], bool],
    ) -> None:
        """Bring the model into ``mnt/models``.

        Args:
            source: Where it lies: a URI or a local folder.
            environment: Storage credentials.
            on_failure: Told the reason of each failed try, and whether the model is merely not there.
            superseded: Whether a newer revision is wanted; then the fetch is given up.

        Raises:
            ModelServerError: It could not be fetched in time.
            Superseded: A newer revision is wanted.
        """
        target = self.folder / MOUNT.lstrip("/")
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-W", "ignore", "-m", "pdk_stack.kubernetes.core.inference.revisions.fetch"]
        command += [source, str(target), str(FETCH_SECONDS)]
        written = self.folder / f"{INITIALIZER}.log"
        with written.open("wb") as sink:
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                start_new_session=True,
                text=True,
            )
        keep_times(written, process)
        last, absent = "the storage initialiser ended without a word", False

        def read() -> None:
            nonlocal last, absent
            for line in process.stdout or ():
                if line.startswith("{"):
                    told = json.loads(line)
                    last, absent = str(told["reason"]), bool(told["absent"])
                    on_failure(last, absent)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        while process.poll() is None:
            if superseded():
                end_group(process)
                raise Superseded
            time.sleep(0.05)
        reader.join(5)
        if process.stdout:
            process.stdout.close()
        if process.returncode:
            reason = Reason.STORAGE_NOT_FOUND if absent else Reason.STORAGE_FAILED
            raise ModelServerError(f"storage-initializer: {last}", process.returncode, reason)

    def place(self, given_up: Callable[[], bool], blocked: Callable[[str], None]) -> None:
        """Ask for its pods, and wait until one has a place.

        Args:
            given_up: Whether the revision is not wanted any more.
            blocked: Told why none has one, each time this changes.

        Raises:
            Superseded: The revision is not wanted any more.
        """
        self.replicas.scale(self.bounds.initial)
        self.replicas.wait_placed(given_up, blocked)

    def start(self, given_up: Callable[[], bool], blocked: Callable[[str], None]) -> None:
        """Start the servers of the model that is there now, and wait until all serve, warmed up.

        Args:
            given_up: Whether the revision is not wanted any more.
            blocked: Told why a pod has no place, each time this changes.

        Raises:
            ModelServerError: The model does not load.
            Superseded: The revision is not wanted any more.
        """
        self._fetched.set()
        self.replicas.wait_ready(given_up, blocked)

    def ensure_running(self) -> None:
        """Start servers again if it was scaled to zero or all have died; others who ask meanwhile wait.

        Raises:
            ModelServerError: The model does not load, or has no place.
        """
        if self.replicas.ready:
            return
        if self.closed:
            raise ModelServerError("it has been taken away")
        self._fetched.set()
        self.replicas.ensure_one(self.bounds.initial)

    def scale_to_zero(self) -> bool:
        """Stop the servers, unless a request is under way; the next one starts them again."""
        # A request is counted in before it asks for a replica.
        stopped = self.replicas.stop(unless=lambda: self.inflight > 0)
        if stopped:
            self._told(self, None)
        return stopped

    def autoscale(self) -> int:
        """Have as many replicas as the load asks for, within the bounds; how many there are to be."""
        wanted = self.replicas.wanted
        if not self.running:
            return wanted
        metric, target = self.target
        with self._idle:
            self._count_busy()
            total = self._busy_seconds if metric == "concurrency" else float(self.requests)
        count = self.bounds.clip(self._scaler.desired(time.monotonic(), total, target, self.replicas.ready))
        if count != wanted:
            self.replicas.scale(count)
        return count

    def _count_busy(self) -> None:
        now = time.monotonic()
        self._busy_seconds += self.inflight * (now - self._busy_since)
        self._busy_since = now

    def enter(self) -> None:
        """Count a request in."""
        with self._idle:
            self._count_busy()
            self.inflight += 1
            self.requests += 1

    def leave(self) -> None:
        """Count a request out."""
        with self._idle:
            self._count_busy()
            self.inflight -= 1
            self.last_used = self._busy_since
            if not self.inflight:
                self._idle.notify_all()

    def wait_idle(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until no request is under way, or the time is over."""
        deadline = time.monotonic() + seconds
        with self._idle:
            while self.inflight and (left := deadline - time.monotonic()) > 0:
                self._idle.wait(left)

    def fail(self, trouble: Trouble) -> None:
        """End the servers of a revision that does not come up; its pods and logs stay to be looked at."""
        self.failure = trouble
        self.replicas.halt()

    def close(self) -> None:
        """End the servers for good: no request that is still about starts them again."""
        self.closed = True
        self.replicas.close()
        if self.payloads:
            self.payloads.close()

    def discard(self) -> None:
        """Let the requests under way end, then end the servers and delete the files."""
        self.wait_idle()
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
