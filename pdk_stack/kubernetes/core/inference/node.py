"""The single node: places pods, and makes those wait whose resource requests don't fit.

Like Kubernetes' scheduler, it counts the requests of every placed pod, of new and old revisions, whether or not their
server is running, until the pod is gone. Source of the messages: ``NodeResourcesFit`` and the preemption plugin in
``pkg/scheduler/framework`` of Kubernetes 1.32.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from pdk_stack.kubernetes.core.inference.resources import capacity, quantity

# Tolerance for sums of fractions: ten times 0.1 CPU is one CPU.
TOLERANCE = 1e-6


class Node:
    """Places pods on this machine.

    Args:
        size: Capacity as quantities; None means the machine's own.
    """

    def __init__(self, size: Mapping[str, str] | None = None) -> None:
        self._size = {name: quantity(text) for name, text in (size or capacity()).items()}
        self._pods: dict[str, Mapping[str, float]] = {}
        self._changed = threading.Condition()

    def place(self, pod: str, requests: Mapping[str, float]) -> str:
        """Place a pod on the node.

        Args:
            pod: ``namespace/name``; a placed pod keeps its place.
            requests: Amounts by resource name.

        Returns:
            Why the pod must wait, in the scheduler's words; empty when it is placed.
        """
        with self._changed:
            if pod in self._pods:
                return ""
            free = {name: self._size.get(name, 0.0) - self._taken(name) for name in requests}
            short = sorted(name for name, wanted in requests.items() if wanted > free[name] + TOLERANCE)
            if not short:
                self._pods[pod] = dict(requests)
                return ""
        reasons = ", ".join(f"1 Insufficient {name}" for name in short)
        never = any(requests[name] > self._size.get(name, 0.0) + TOLERANCE for name in short)
        why = "Preemption is not helpful for scheduling" if never else "No preemption victims found for incoming pod"
        amounts = "; ".join(
            f"{name}: {amount(name, requests[name])} asked for, {amount(name, max(0.0, free[name]))} of "
            f"{amount(name, self._size.get(name, 0.0))} free"
            for name in short
        )
        return f"0/1 nodes are available: {reasons}. preemption: 0/1 nodes are available: 1 {why}. ({amounts})"

    def _taken(self, name: str) -> float:
        return sum(each.get(name, 0.0) for each in self._pods.values())

    def free(self, pod: str) -> None:
        """Release a pod's resources and wake waiting pods."""
        with self._changed:
            if self._pods.pop(pod, None) is not None:
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until resources are released or the timeout expires."""
        with self._changed:
            self._changed.wait(seconds)


def amount(name: str, value: float) -> str:
    """Format an amount for display: memory in MiB, others as plain numbers."""
    if name in ("memory", "ephemeral-storage"):
        return f"{value / 2**20:.0f}Mi"
    return f"{value:.3f}".rstrip("0").rstrip(".")
