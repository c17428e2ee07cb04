"""Limits on a replica's concurrent requests and on a request's duration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# KServe's own default is 300 s; TorchServe gives up on a prediction after 120 s.
REQUEST_SECONDS = 120.0
# Less than TorchServe's queue (see torchserve.JOB_QUEUE_SIZE), so that it never has to refuse a request.
MAX_WAITING = 128


@dataclass(frozen=True)
class RequestLimits:
    """Request limits of a replica.

    Attributes:
        concurrency: Maximum number of requests that a replica processes at once; 0 means no limit.
        waiting: Maximum number of requests that a replica processes or queues; clients must retry beyond that.
        seconds: Maximum duration of a request in seconds.
    """

    concurrency: int = 0
    waiting: int = MAX_WAITING
    seconds: float = REQUEST_SECONDS

    @classmethod
    def of(cls, predictor: dict[str, Any]) -> RequestLimits:
        """Return a predictor's limits; as in Knative, the queue holds ten times the concurrency."""
        concurrency = int(predictor.get("containerConcurrency") or 0)
        waiting = min(MAX_WAITING, 11 * concurrency) if concurrency else MAX_WAITING
        return cls(concurrency, waiting, float(predictor.get("timeout") or REQUEST_SECONDS))
