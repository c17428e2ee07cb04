"""How much a replica takes at once, and how long one request may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# KServe's own default is 300 s; TorchServe gives up a prediction after 120.
REQUEST_SECONDS = 120.0
# Fewer than TorchServe queues (see torchserve.JOB_QUEUE_SIZE), so that it never has to refuse one.
MAX_WAITING = 128


@dataclass(frozen=True)
class RequestLimits:
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
    def of(cls, predictor: dict[str, Any]) -> RequestLimits:
        """The limits that a predictor asks for; Knative's queue holds ten times the concurrency."""
        concurrency = int(predictor.get("containerConcurrency") or 0)
        waiting = min(MAX_WAITING, 11 * concurrency) if concurrency else MAX_WAITING
        return cls(concurrency, waiting, float(predictor.get("timeout") or REQUEST_SECONDS))
