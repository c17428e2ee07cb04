"""A revision: one immutable version of a service, with its own folder and model servers."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pdk_stack.kubernetes.core.inference.dataplane.payload_logger import PayloadLogger, sink_problem
from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason
from pdk_stack.kubernetes.core.inference.node import Node
from pdk_stack.kubernetes.core.inference.resources import custom_container, memory_limit, requests_of
from pdk_stack.kubernetes.core.inference.revisions.knative import knative_problem
from pdk_stack.kubernetes.core.inference.revisions.limits import RequestLimits
from pdk_stack.kubernetes.core.inference.revisions.load import Load
from pdk_stack.kubernetes.core.inference.revisions.replica import PodState, Replica, Trouble
from pdk_stack.kubernetes.core.inference.revisions.replica_pool import DRAIN_SECONDS, ReplicaPool
from pdk_stack.kubernetes.core.inference.revisions.scaling import DEFAULT_TARGETS, Bounds, Scaler, target_of, window_of
from pdk_stack.kubernetes.core.inference.revisions.template import pod_name, revision_key
from pdk_stack.kubernetes.core.inference.servers.custom_predictor import STORAGE_URI, plain_environment
from pdk_stack.kubernetes.core.inference.servers.runtimes import check_predictor, model_server
from pdk_stack.kubernetes.core.inference.servers.warm_up import warm_up_body
from pdk_stack.kubernetes.store.columns import Object

# In a revision's folder: one folder per pod, with its server's log.
PODS_FOLDER = "pods"


def _payload_logger(service: Object) -> PayloadLogger | None:
    logger = service["spec"]["predictor"].get("logger")
    if logger is None or sink_problem(logger):
        return None
    meta = service["metadata"]
    return PayloadLogger(str(logger["url"]), str(logger.get("mode") or "all"), meta["namespace"], meta["name"])


class Revision:
    """One revision of one service.

    Args:
        name: For example ``<service>-predictor-00001``.
        folder: Folder of its files.
        service: The InferenceService that it is created from.
        node: The node that places its pods.
        on_change: Called when a pod changes, with the replica, or with None after pods are added or removed.

    Attributes:
        rollout: Whether pods that start now take it into a service that another revision serves.
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
        self.load = Load()
        self.closed = False
        self.models: list[str] = []
        self.failure: Trouble | None = None
        self.fetch_trouble: Trouble | None = None
        self.rollout = False
        self._node = node
        self._on_change = on_change or (lambda _revision, _replica: None)
        self._fetched = threading.Event()
        predictor = service["spec"]["predictor"]
        container = custom_container(predictor)
        self.custom = container is not None
        self.uri = str((predictor.get("model") or {}).get("storageUri") or "")
        if container is not None:
            self.uri = plain_environment(container).get(STORAGE_URI, "")
        self.protocol = str((predictor.get("model") or {}).get("protocolVersion") or "v1")
        self.version = str((service["metadata"].get("annotations") or {}).get("pach_id", ""))
        self.limits, self.bounds, self.target = RequestLimits.of(predictor), Bounds.of(predictor), target_of(predictor)
        self._scaler = Scaler(window_of(service["metadata"].get("annotations")))
        self.replicas = ReplicaPool(self._replica, lambda: self._on_change(self, None))
        self.payloads = _payload_logger(service)

    @property
    def running(self) -> bool:
        """Whether any of its servers is running."""
        return self.replicas.ready > 0

    def use(self, service: Object) -> None:
        """Apply limits and replica bounds that change without a new revision."""
        predictor = service["spec"]["predictor"]
        self.limits, self.target = RequestLimits.of(predictor), target_of(predictor)
        bounds = Bounds.of(predictor)
        if bounds != self.bounds:
            self.bounds = bounds
            if self.replicas.wanted:
                self.replicas.scale(bounds.clip(self.replicas.wanted))

    def check(self) -> None:
        """Refuse predictors that the embedded runtimes can't serve.

        Raises:
            ModelServerError: The predictor is unsupported.
        """
        for part in ("transformer", "explainer"):
            if self.service["spec"].get(part):
                text = f"The embedded runtime starts no {part}, only predictors."
                raise ModelServerError(text, reason=Reason.INVALID_SPEC)
        if problem := knative_problem(self.service):
            raise ModelServerError(problem, reason=Reason.INVALID_SPEC)
        predictor = self.service["spec"]["predictor"]
        if predictor.get("logger") is not None and (problem := sink_problem(predictor["logger"])):
            raise ModelServerError(problem, reason=Reason.INVALID_SPEC)
        if predictor.get("batcher") is not None:
            raise ModelServerError("The embedded runtime has no batcher.", reason=Reason.INVALID_SPEC)
        if (metric := predictor.get("scaleMetric")) not in (None, *DEFAULT_TARGETS):
            # Knative also refuses these; they are for Kubernetes' own autoscaler in RawDeployment mode.
            text = f"scaleMetric {metric} is not measured here; there are {' and '.join(DEFAULT_TARGETS)}."
            raise ModelServerError(text, reason=Reason.INVALID_SPEC)
        check_predictor(predictor)
        requests_of(self.service)

    def _replica(self, number: int) -> Replica:
        """Create and start a replica."""
        pod = pod_name(self.service, self.name, number)
        home = self.folder / PODS_FOLDER / pod
        server = model_server(self.folder, home, self.service["spec"]["predictor"], memory_limit(self.service))
        replica = Replica(pod, server, warm_up_body(self.protocol), self.replicas.changed, self._changed)
        key = f"{self.service['metadata']['namespace']}/{pod}"
        replica.start(self._node, key, requests_of(self.service), self._fetched, rollout=self.rollout)
        return replica

    def _changed(self, replica: Replica) -> None:
        if replica.step == "Ready":
            self.models = replica.server.models
            self.load.last_used = time.monotonic()
        self._on_change(self, replica)

    def pods(self) -> list[PodState]:
        """Return the states of its pods."""
        trouble = self.fetch_trouble
        states = self.replicas.states()
        if trouble:
            states = [replace(each, step="FetchFailed", trouble=trouble) for each in states]
        return states

    def place(self, given_up: Callable[[], bool], blocked: Callable[[str], None]) -> None:
        """Request its pods and wait until one is placed.

        Args:
            given_up: Returns whether the revision is no longer wanted.
            blocked: Called with the reason why none is placed, each time it changes.

        Raises:
            ModelServerError: No place became free in time.
            Superseded: The revision is no longer wanted.
        """
        self.replicas.scale(self.bounds.initial)
        self.replicas.wait_placed(given_up, blocked)

    def start(self, given_up: Callable[[], bool], blocked: Callable[[str], None]) -> None:
        """Start the servers of the fetched model, and wait until all are ready and warmed up.

        Args:
            given_up: Returns whether the revision is no longer wanted.
            blocked: Called with the reason why a pod is not placed, each time it changes.

        Raises:
            ModelServerError: The model doesn't load, or a pod has no place in time.
            Superseded: The revision is no longer wanted.
        """
        self._fetched.set()
        self.replicas.wait_ready(given_up, blocked)

    def ensure_running(
        self, given_up: Callable[[], bool] = lambda: False, blocked: Callable[[str], None] | None = None
    ) -> None:
        """Restart servers after scale to zero or when all have died; concurrent callers wait.

        Args:
            given_up: Returns whether the revision is no longer wanted.
            blocked: See :meth:`ReplicaPool.ensure_one`.

        Raises:
            ModelServerError: The model doesn't load, or its pods can't be placed.
            Superseded: The revision is no longer wanted.
        """
        if self.replicas.ready:
            return
        if self.closed:
            raise ModelServerError("it has been taken away")
        self._fetched.set()
        self.replicas.ensure_one(self.bounds.initial, given_up, blocked)

    def scale_to_zero(self) -> bool:
        """Stop the servers unless a request is in flight; the next request restarts them."""
        # A request is counted before it requests a replica.
        stopped = self.replicas.stop(unless=lambda: self.load.inflight > 0)
        if stopped:
            self._on_change(self, None)
        return stopped

    def autoscale(self) -> int:
        """Scale to the load within the bounds; return the wanted number of replicas."""
        wanted = self.replicas.wanted
        if not self.running:
            return wanted
        metric, target = self.target
        total = self.load.total(metric)
        count = self.bounds.clip(self._scaler.desired(time.monotonic(), total, target, self.replicas.ready))
        if count != wanted:
            self.replicas.scale(count)
        return count

    def fail(self, trouble: Trouble) -> None:
        """End the servers of a revision that failed to start; its pods and logs stay for inspection."""
        self.failure = trouble
        self.replicas.halt()

    def close(self) -> None:
        """End the servers permanently, so that no remaining request restarts them."""
        self.closed = True
        self.replicas.close()
        if self.payloads:
            self.payloads.close()

    def discard(self) -> None:
        """Let the requests in flight end, then end the servers and delete the files."""
        self.load.wait_idle(DRAIN_SECONDS)
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)
