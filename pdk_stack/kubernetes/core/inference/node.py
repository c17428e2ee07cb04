"""The single node: places pods, and makes those wait whose resource requests don't fit.

Like Kubernetes' scheduler, it counts the requests of every placed pod, of new and old revisions, whether or not their
server is running, until the pod is gone. Source of the messages: ``NodeResourcesFit`` and the preemption plugin in
``pkg/scheduler/framework`` of Kubernetes 1.32.

On a full node, no service could be updated: each holds its place until the new revision serves, which needs a place as
well. A cluster adds nodes. Here, roll-outs take turns on a reserve beyond the node's size.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pdk_stack.kubernetes.core.inference.resources import capacity, quantity

# Tolerance for sums of fractions: ten times 0.1 CPU is one CPU.
TOLERANCE = 1e-6
# The reserve, as a part of the node: as much as a Deployment goes beyond its replicas by default (``maxSurge``: 25%).
RESERVE = 0.25
# Requests for these say how much is usually used; of others, for example GPUs, there is not one more than the node has.
RESERVED = ("cpu", "memory")


@dataclass(frozen=True)
class Waiting:
    """A pod without a place.

    Attributes:
        requests: Amounts by resource name.
        rollout: Whether the reserve is open to it.
        since: When it asked, in seconds of the clock.
    """

    requests: Mapping[str, float]
    rollout: bool
    since: float


class Node:
    """Places pods on this machine, those that wait in the order in which they asked.

    Args:
        size: Capacity as quantities; None means the machine's own.
        clock: Returns the time in seconds.
    """

    def __init__(self, size: Mapping[str, str] | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = {name: quantity(text) for name, text in (size or capacity()).items()}
        self._pods: dict[str, Mapping[str, float]] = {}
        self._queue: dict[str, Waiting] = {}
        self._clock = clock
        self._moved = clock()
        self._changed = threading.Condition()

    def place(self, pod: str, requests: Mapping[str, float], *, rollout: bool = False) -> str:
        """Place a pod on the node, or put it in the queue.

        Args:
            pod: ``namespace/name``; a placed pod keeps its place, and a waiting one its turn.
            requests: Amounts by resource name.
            rollout: Whether it belongs to a new revision of a service that serves, so that the reserve is open to it.

        Returns:
            Why the pod must wait, with the scheduler's words; empty when it is placed.
        """
        with self._changed:
            if pod not in self._pods:
                self._queue.setdefault(pod, Waiting(dict(requests), rollout, self._clock()))
                self._settle()
            waiting = self._queue.get(pod)
            return self._why(waiting) if waiting else ""

    def _settle(self) -> None:
        """Place those in the queue that fit."""
        for pod, waiting in list(self._queue.items()):
            if not self._short(waiting):
                self._pods[pod] = waiting.requests
                del self._queue[pod]
                self._moved = self._clock()
                self._changed.notify_all()

    def _limit(self, name: str, *, rollout: bool) -> float:
        size = self._size.get(name, 0.0)
        return size * (1 + RESERVE) if rollout and name in RESERVED else size

    def _taken(self, name: str) -> float:
        return sum(each.get(name, 0.0) for each in self._pods.values())

    def _short(self, pod: Waiting) -> list[str]:
        """Return the resources that are lacking for a pod."""
        return sorted(
            name
            for name, wanted in pod.requests.items()
            if self._taken(name) + wanted > self._limit(name, rollout=pod.rollout) + TOLERANCE
        )

    def _never(self, pod: Waiting) -> bool:
        """Return whether a pod has no place even on an empty node."""
        limits = {name: self._limit(name, rollout=pod.rollout) for name in pod.requests}
        return any(wanted > limits[name] + TOLERANCE for name, wanted in pod.requests.items())

    def _why(self, pod: Waiting) -> str:
        short = self._short(pod)
        amounts = []
        for name in short:
            size = self._size.get(name, 0.0)
            free = amount(name, max(0.0, size - self._taken(name)))
            amounts.append(f"{name} {amount(name, pod.requests[name])} asked for, {free} of {amount(name, size)} free")
        never = self._never(pod)
        if pod.rollout and not never:
            amounts.append("the reserve for roll-outs is in use")
        reasons = ", ".join(f"1 Insufficient {name}" for name in short)
        hope = "Preemption is not helpful for scheduling" if never else "No preemption victims found for incoming pod"
        scheduler = f"0/1 nodes are available: {reasons}. preemption: 0/1 nodes are available: 1 {hope}."
        return f"waiting for a place: {'; '.join(amounts)} ({scheduler})"

    def stuck(self, pod: str) -> float:
        """Return for how many seconds a waiting pod has seen no other get or release a place.

        For a pod that has no place even on an empty node, these are the seconds since it asked.
        """
        with self._changed:
            waiting = self._queue.get(pod)
            if waiting is None:
                return 0.0
            return self._clock() - (waiting.since if self._never(waiting) else max(waiting.since, self._moved))

    def free(self, pod: str) -> None:
        """Release a pod's resources or its turn, and place waiting pods."""
        with self._changed:
            self._queue.pop(pod, None)
            if self._pods.pop(pod, None) is not None:
                self._moved = self._clock()
                self._settle()
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until places change or the timeout expires."""
        with self._changed:
            self._changed.wait(seconds)


def amount(name: str, value: float) -> str:
    """Format an amount for display: memory in MiB, others as plain numbers."""
    if name in ("memory", "ephemeral-storage"):
        return f"{value / 2**20:.0f}Mi"
    return f"{value:.3f}".rstrip("0").rstrip(".")
