"""A revision: one immutable version of a service, in a folder of its own, with its own model server."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdk_nb.local.kubernetes.columns import Object
from pdk_nb.local.kubernetes.inference.custom import MOUNT, STORAGE_URI, CustomServer
from pdk_nb.local.kubernetes.inference.failures import ModelServerError, Reason, Superseded
from pdk_nb.local.kubernetes.inference.modelserver import end_group
from pdk_nb.local.kubernetes.inference.runtimes import check_predictor, model_server
from pdk_nb.local.kubernetes.inference.workloads import LAST_APPLIED
from pdk_nb.local.kubernetes.payloads import PayloadLogger, sink_problem
from pdk_nb.local.kubernetes.upstream import Upstream

FETCH_SECONDS = 180.0
LOAD_SECONDS = 120.0
DRAIN_SECONDS = 30.0
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


# Parts of the predictor that say how a revision is used, not what it is: changing them loads nothing anew.
USE_FIELDS = {
    "canaryTrafficPercent",
    "minReplicas",
    "maxReplicas",
    "scaleTarget",
    "scaleMetric",
    "containerConcurrency",
    "timeout",
}


def revision_key(service: Object) -> str:
    """What makes a new revision: spec, annotations and labels, as in Knative's revision template.

    Annotations count because ``pach_id`` is how a new model version at the same place is rolled out.
    """
    meta = service["metadata"]
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key != LAST_APPLIED}
    predictor = {key: value for key, value in service["spec"]["predictor"].items() if key not in USE_FIELDS}
    text = json.dumps([{**service["spec"], "predictor": predictor}, notes, meta.get("labels") or {}], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Limits:
    """How much a revision takes at once.

    Attributes:
        concurrency: Requests that its server works on; 0 for as many as come.
        waiting: Requests that it works on or keeps waiting; beyond them clients are told to come back.
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
        on_state: Told whether the server runs, each time this changes.
    """

    def __init__(
        self, name: str, folder: Path, service: Object, on_state: Callable[[Revision, bool], None] | None = None
    ) -> None:
        self.name = name
        self.folder = folder
        self.service = service
        self.key = revision_key(service)
        self.inflight = 0
        self.last_used = time.monotonic()
        self._on_state = on_state
        self._idle = threading.Condition()
        self._starting = threading.Lock()
        self._running = False
        self._closed = False
        predictor = service["spec"]["predictor"]
        self.limits = Limits.of(predictor)
        self._slots = threading.Semaphore(self.limits.concurrency) if self.limits.concurrency else None
        model = predictor.get("model") or {}
        self.version = str((service["metadata"].get("annotations") or {}).get("pach_id", ""))
        self.server = model_server(folder, predictor)
        self.uri = str(model.get("storageUri") or "")
        if self.custom:
            self.uri = self.server.environment.get(STORAGE_URI, "")
        self.upstream = Upstream(0)
        self.payloads = _payload_logger(service)

    @property
    def models(self) -> list[str]:
        """Names of the models that it serves."""
        return self.server.models

    @property
    def custom(self) -> bool:
        """Whether its server is a command of the user's own."""
        return isinstance(self.server, CustomServer)

    @property
    def running(self) -> bool:
        """Whether its server is there."""
        return self._running and self.server.alive

    def use(self, service: Object) -> None:
        """Take over limits that were changed without a new revision."""
        limits = Limits.of(service["spec"]["predictor"])
        if limits != self.limits:
            self._slots = threading.Semaphore(limits.concurrency) if limits.concurrency else None
            self.limits = limits

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
        check_predictor(predictor)

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
        command = [sys.executable, "-W", "ignore", "-m", "pdk_nb.local.kubernetes.inference.fetch"]
        command += [source, str(target), str(FETCH_SECONDS)]
        with (self.folder / "storage-initializer.log").open("wb") as sink:
            process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=sink,
                start_new_session=True,
                text=True,
            )
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

    def start(self, given_up: Callable[[], bool] = lambda: False) -> None:
        """Start the model server and wait until it serves, warmed up.

        Raises:
            ModelServerError: The model does not load.
            Superseded: The revision is not wanted any more.
        """
        self.server.start()
        self.server.wait_ready(LOAD_SECONDS, given_up)
        self.server.warm_up(warm_up_body(self.server.protocol))
        self.upstream = Upstream(self.server.inference_port)
        self.last_used = time.monotonic()
        self._running = True
        if self._on_state:
            self._on_state(self, True)

    def ensure_running(self) -> None:
        """Start the server again if it was scaled to zero or has died; others who ask meanwhile wait.

        Raises:
            ModelServerError: The model does not load.
        """
        if self.running:
            return
        with self._starting:
            if self._closed:
                raise ModelServerError("it has been taken away")
            if not self.running:
                self._stop_server()
                self.start()

    def scale_to_zero(self) -> bool:
        """Stop the server, unless a request is under way; the next one starts it again."""
        with self._starting:
            # First said, then looked: a request is counted in before it asks whether the server runs.
            self._running = False
            if self.inflight:
                self._running = True
                return False
            self._stop_server()
        if self._on_state:
            self._on_state(self, False)
        return True

    def _stop_server(self) -> None:
        self._running = False
        self.upstream.close()
        self.server.stop()

    @contextlib.contextmanager
    def slot(self) -> Iterator[bool]:
        """A place at the server; False when none became free in time."""
        slots = self._slots
        if slots is None:
            yield True
            return
        free = slots.acquire(timeout=self.limits.seconds)
        try:
            yield free
        finally:
            if free:
                slots.release()

    def enter(self) -> None:
        """Count a request in."""
        with self._idle:
            self.inflight += 1

    def leave(self) -> None:
        """Count a request out."""
        with self._idle:
            self.inflight -= 1
            self.last_used = time.monotonic()
            if not self.inflight:
                self._idle.notify_all()

    def wait_idle(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until no request is under way, or the time is over."""
        deadline = time.monotonic() + seconds
        with self._idle:
            while self.inflight and (left := deadline - time.monotonic()) > 0:
                self._idle.wait(left)

    def close(self) -> None:
        """End the server for good: no request that is still about starts it again."""
        self._closed = True
        with self._starting:
            self._stop_server()
        if self.payloads:
            self.payloads.close()

    def discard(self) -> None:
        """Let the requests under way end, then end the server and delete the files."""
        self.wait_idle()
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
