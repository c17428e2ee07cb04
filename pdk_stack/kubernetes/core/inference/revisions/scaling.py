"""Knative's pod autoscaler, as far as one machine needs it: computes a revision's number of replicas.

Sources: ``pkg/autoscaler/scaling/autoscaler.go`` and ``pkg/reconciler/autoscaling/resources/target.go`` of Knative
Serving 1.15 for the rule, ``config/core/configmaps/autoscaler.yaml`` for the numbers, and KServe's
``reconcilers/knative/ksvc_reconciler.go`` for the fields.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdk_stack.kubernetes.core.inference.resources import cpus

# Aim for this fraction of the target, to leave headroom until the next replica is up.
UTILIZATION = 0.7
DEFAULT_TARGETS = {"concurrency": 100.0, "rps": 200.0}
WINDOW_SECONDS = 60.0
# Panic mode for sudden load: this fraction of the window, when it needs this many times the current replicas.
PANIC_PART, PANIC_FACTOR = 0.1, 2.0
WINDOW_ANNOTATION = "autoscaling.knative.dev/window"


@dataclass(frozen=True)
class Bounds:
    """Bounds on a revision's number of replicas.

    Attributes:
        least: ``minReplicas``; 0 stops the last replica when there are no requests.
        most: ``maxReplicas``; the machine's number of CPUs by default, where Knative has no bound.
    """

    least: int = 1
    most: int = 1

    @classmethod
    def of(cls, predictor: Mapping[str, Any]) -> Bounds:
        """Return a predictor's bounds."""
        given = predictor.get("minReplicas")
        least = 1 if given is None else int(given)
        most = int(predictor.get("maxReplicas") or cpus())
        return cls(least, max(least, most, 1))

    @property
    def initial(self) -> int:
        """Number of replicas that a new revision starts with; all must be ready before it gets traffic."""
        return max(1, self.least)

    def clip(self, count: int) -> int:
        """Clip a number of replicas to the bounds for a revision in use."""
        return min(self.most, max(self.initial, count))


def target_of(predictor: Mapping[str, Any]) -> tuple[str, float]:
    """Return the scaling metric and its target per replica.

    Args:
        predictor: ``spec.predictor``.

    Returns:
        ``concurrency`` or ``rps``, and the target.
    """
    metric = str(predictor.get("scaleMetric") or "concurrency")
    total = DEFAULT_TARGETS.get(metric, DEFAULT_TARGETS["concurrency"])
    hard = float(predictor.get("containerConcurrency") or 0)
    if metric == "concurrency" and hard:
        total = hard
    if predictor.get("scaleTarget"):
        total = float(predictor["scaleTarget"])
        if metric == "concurrency" and hard:
            total = min(hard, total)
    return metric, total * UTILIZATION


def window_of(annotations: Mapping[str, str] | None) -> float:
    """Return the averaging window in seconds, from the annotation ``autoscaling.knative.dev/window`` (``60s``)."""
    text = str((annotations or {}).get(WINDOW_ANNOTATION, "")).removesuffix("s")
    return max(6.0, float(text)) if text.replace(".", "", 1).isdigit() else WINDOW_SECONDS


class Scaler:
    """Computes replicas from one revision's load.

    Args:
        window: Averaging window in seconds.
    """

    def __init__(self, window: float = WINDOW_SECONDS) -> None:
        self._window = window
        self._samples: deque[tuple[float, float]] = deque()
        self._panic_since: float | None = None

    def desired(self, now: float, total: float, target: float, ready: int) -> int:
        """Return the number of replicas that the load needs, before bounds.

        Args:
            now: Monotonic clock in seconds.
            total: The cumulative metric: request seconds (``concurrency``) or requests (``rps``).
            target: The metric's target per second and replica.
            ready: Number of ready replicas.
        """
        self._samples.append((now, total))
        while len(self._samples) > 2 and now - self._samples[1][0] >= self._window:
            self._samples.popleft()
        ready = max(1, ready)
        stable = math.ceil(round(self._average(now, self._window) / target, 6))
        panic = math.ceil(round(self._average(now, self._window * PANIC_PART) / target, 6))
        # Halve at most (max-scale-down-rate).
        stable = max(stable, ready // 2)
        if panic / ready >= PANIC_FACTOR:
            self._panic_since = now
        if self._panic_since is not None and now - self._panic_since < self._window:
            return max(panic, stable, ready)
        self._panic_since = None
        return stable

    def _average(self, now: float, seconds: float) -> float:
        """Return the average growth per second over the last seconds, or since the first sample."""
        end, last = self._samples[-1]
        begin, first = next(each for each in self._samples if now - each[0] <= seconds or each is self._samples[-1])
        return (last - first) / (end - begin) if end > begin else 0.0
