"""The one node: which pods it holds, and which must wait because their requests do not fit beside the others'.

Counted as Kubernetes' scheduler does: the requests of every pod that has a place, new and old revisions alike, whether
their server is up or not, until the pod is gone. Source of the words: ``NodeResourcesFit`` and the preemption plugin of
``pkg/scheduler/framework`` of Kubernetes 1.32.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping

from pdk_stack.kubernetes.core.inference.resources import capacity, quantity

# Sums of fractions: 0.1 CPU ten times is one CPU.
TOLERANCE = 1e-6


class Node:
    """Places pods on this machine.

    Args:
        size: What there is, as quantities; the machine's own when None.
    """

    def __init__(self, size: Mapping[str, str] | None = None) -> None:
        self._size = {name: quantity(text) for name, text in (size or capacity()).items()}
        self._pods: dict[str, Mapping[str, float]] = {}
        self._changed = threading.Condition()

    def place(self, pod: str, requests: Mapping[str, float]) -> str:
        """Give a pod its place.

        Args:
            pod: ``namespace/name``; one that has a place keeps it.
            requests: Amounts by resource name.

        Returns:
            Why it has to wait, as the scheduler says it; empty when it has its place.
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
        """Take a pod's place away; those that wait look again."""
        with self._changed:
            if self._pods.pop(pod, None) is not None:
                self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until a place was given up, or the time is over."""
        with self._changed:
            self._changed.wait(seconds)


def amount(name: str, value: float) -> str:
    """An amount for people: memory in MiB, others as plain numbers."""
    if name in ("memory", "ephemeral-storage"):
        return f"{value / 2**20:.0f}Mi"
    return f"{value:.3f}".rstrip("0").rstrip(".")
