"""A replica: one model server of a revision, shown as a pod and kept running by a separate thread.

The thread waits for a place on the node and for the model's files, starts the server, and restarts it when it ends or
when its models stay without a worker, with the kubelet's backoff (``pkg/kubelet``: immediately, then 10 s, doubling
each time up to 5 minutes).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from pdk_stack.common.polling import Deadline, poll
from pdk_stack.kubernetes.core.inference.dataplane.upstream import Upstream
from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason, Superseded
from pdk_stack.kubernetes.core.inference.node import Node
from pdk_stack.kubernetes.core.inference.servers.model_server import ModelServer

log = logging.getLogger(__name__)

LOAD_SECONDS = 120.0
# How long a pod waits for a place while no other gets or releases one, before its Deployment reports no progress
# (progressDeadlineSeconds).
PROGRESS_SECONDS = 600.0
BACK_OFF_SECONDS, MAX_BACK_OFF_SECONDS = 10.0, 300.0
# How often a pod that waits for its model checks whether it is still wanted.
FETCHED_SECONDS = 0.1
# How often a server is asked for its workers, as often as the kubelet asks by default, because TorchServe logs it; how
# often when it has lost them; and how long it has to replace them.
CHECK_SECONDS, RECHECK_SECONDS, RECOVERY_SECONDS = 10.0, 1.0, 20.0
# How long a server must run to reset its backoff.
GOOD_SECONDS = 600.0

# Phases of a replica: waits for a place, waits for its model (not available yet), loads it, serves, has lost its
# workers, failed.
Step = Literal["Unschedulable", "Fetching", "FetchFailed", "Loading", "Ready", "Unhealthy", "Failed"]


@dataclass(frozen=True)
class Trouble:
    """Why a replica doesn't make progress.

    Attributes:
        reason: Machine-readable reason, for example ``OOMKilled``.
        message: Human-readable cause.
        exit_code: Exit code of the process.
        final: Whether its Deployment reports no progress.
    """

    reason: str = ""
    message: str = ""
    exit_code: int = 1
    final: bool = False

    @classmethod
    def of(cls, error: Exception, *, final: bool = False) -> Trouble:
        """Convert an error."""
        reason = getattr(error, "reason", Reason.MODEL_LOAD_FAILED)
        word = reason.value if isinstance(reason, Reason) else Reason.MODEL_LOAD_FAILED.value
        return cls(word, str(error)[:1000], getattr(error, "exit_code", 1), final)


@dataclass(frozen=True)
class PodState:
    """A replica's state as its pod shows it."""

    pod: str
    step: Step
    trouble: Trouble = Trouble()
    restarts: int = 0


class Replica:
    """One model server.

    Args:
        pod: Name of the pod.
        server: The model server.
        body: A request that warms up the server.
        changed: Condition that is held and notified when the state changes.
        on_change: Called after each change, without holding the lock.

    Attributes:
        inflight: Number of requests in flight; the pool maintains it under ``changed``.
        starts: Number of server starts.
        turn: Sequence number of its last request.
        ready: Whether it can get requests.
        failure: How the last start or run ended; None while the server runs.
    """

    def __init__(
        self,
        pod: str,
        server: ModelServer,
        body: bytes,
        changed: threading.Condition,
        on_change: Callable[[Replica], None],
    ) -> None:
        self.pod = pod
        self.server = server
        self.upstream = Upstream(0)
        self.inflight = 0
        self.ready = False
        self.step: Step = "Unschedulable"
        self.trouble = Trouble()
        self.restarts = 0
        self.failure: Exception | None = None
        self.turn = 0
        self.starts = 0
        self._shown: PodState | None = None
        self._body = body
        self._changed = changed
        self._on_change = on_change
        self._stopping = threading.Event()
        self._kick = threading.Event()
        self._thread: threading.Thread | None = None
        self._free: Callable[[], None] = lambda: None

    def start(
        self,
        node: Node,
        key: str,
        requests: Mapping[str, float],
        fetched: threading.Event,
        *,
        rollout: bool = False,
    ) -> None:
        """Start the server and keep it running.

        Args:
            node: The node that places it.
            key: Its name on the node.
            requests: Its resource requests.
            fetched: Set once the model's files are available.
            rollout: Whether it belongs to a new revision of a service that serves.
        """

        def place() -> str:
            return node.place(key, requests, rollout=rollout)

        self._free = lambda: node.free(key)
        # Request the place immediately, so that pods are placed in order of arrival.
        place()
        arguments = (node, key, place, fetched)
        self._thread = threading.Thread(target=self._run, args=arguments, name=f"pod-{self.pod}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the server permanently and release its place."""
        self._stopping.set()
        self._kick.set()
        self.ready = False
        self.server.stop()
        if self._thread is not None:
            self._thread.join(30)
        self.upstream.close()
        self._free()

    def kick(self) -> None:
        """Skip the backoff, because a request arrived."""
        self._kick.set()

    @property
    def state(self) -> PodState:
        """Return the state that the pod shows."""
        return PodState(self.pod, self.step, self.trouble, self.restarts)

    def _run(self, node: Node, key: str, place: Callable[[], str], fetched: threading.Event) -> None:
        try:
            while why := place():
                final = node.stuck(key) > PROGRESS_SECONDS
                self._enter("Unschedulable", Trouble(Reason.UNSCHEDULABLE.value, why, final=final))
                node.wait(1.0)
                if self._stopping.is_set():
                    return
            self._enter("Fetching")
            if poll(lambda: fetched.wait(FETCHED_SECONDS), None, 0, self._stopping):
                self._keep_up()
        except Exception:  # no caller catches this thread's errors
            log.exception("%s is no longer kept running", self.pod)
        finally:
            self.server.stop()

    def _keep_up(self) -> None:
        """Start and restart the server until it is no longer wanted."""
        ends = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            error = self._serve()
            if error is None or self._stopping.is_set():
                return
            log.warning("%s: %s", self.pod, error)
            ends = 1 if time.monotonic() - began > GOOD_SECONDS else ends + 1
            self._kick.clear()
            self._enter("Failed", Trouble.of(error), error)
            if ends > 1:
                self._kick.wait(min(BACK_OFF_SECONDS * 2 ** (ends - 2), MAX_BACK_OFF_SECONDS))
            self.restarts += 1

    def _serve(self) -> Exception | None:
        """Run the server once; return how it ended, or None when it is no longer wanted."""
        self.starts += 1
        self._enter("Loading", self.trouble)
        try:
            self.server.start()
            self.server.wait_ready(LOAD_SECONDS, self._stopping.is_set)
            self.server.warm_up(self._body)
        except Superseded:
            return None
        except (ModelServerError, OSError) as error:
            self.server.stop()
            return error
        self.upstream = Upstream(self.server.inference_port, self.server.inference_headers)
        self._enter("Ready", self.trouble, ready=True)
        end = self._watch()
        with self._changed:
            self.ready = False
            self._changed.notify_all()
        self.upstream.close()
        # Workers can outlive the front end.
        self.server.stop()
        return end

    def _watch(self) -> ModelServerError:
        """Wait until the server ends or doesn't replace its lost workers; return why.

        Without workers, it is not ready, although its process runs.
        """
        before = self.trouble
        recovery: Deadline | None = None
        while not self.server.wait(RECHECK_SECONDS if recovery else CHECK_SECONDS):
            why = self.server.lost_workers()
            if recovery is None and why:
                recovery = Deadline(RECOVERY_SECONDS)
                self._enter("Unhealthy", Trouble(Reason.UNHEALTHY.value, why))
            elif recovery is not None and self.server.is_ready():
                recovery = None
                self._enter("Ready", before, ready=True)
            elif recovery is not None and recovery.over:
                # Exit code of a container that is killed.
                return ModelServerError(self.trouble.message, 137, Reason.UNHEALTHY)
        return self.server.wait_end()

    def _enter(
        self, step: Step, trouble: Trouble | None = None, failure: Exception | None = None, *, ready: bool = False
    ) -> None:
        trouble = trouble or Trouble()
        with self._changed:
            self.step, self.trouble, self.failure = step, trouble, failure
            self.ready = ready and not self._stopping.is_set()
            self._changed.notify_all()
        if self.state != self._shown and not self._stopping.is_set():
            self._shown = self.state
            self._on_change(self)
