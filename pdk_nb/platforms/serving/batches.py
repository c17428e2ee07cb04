"""Many instances in few requests: a request has a size limit, a folder has none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pdk_nb.platforms.serving.predictions import Endpoint, Prediction, send

__all__ = ["BATCH_SIZE", "BODY_BYTES", "predict_in_batches"]

# Instances of one request: few enough that the first answers come soon, and that a slow model stays within its time.
BATCH_SIZE = 8
# Bytes of a request's body that each instance needs besides its data.
BODY_BYTES = 400


def predict_in_batches(
    target: Endpoint,
    instances: Iterable[Mapping[str, Any]],
    progress: Callable[[str], object] | None = None,
    *,
    size: int = BATCH_SIZE,
) -> Iterator[list[Prediction]]:
    """Ask about instances, several in one request.

    Args:
        target: Where the model answers.
        instances: v1 instances: ``{"data": ...}``, base64 text or an object. Each is taken when its batch
            is put together.
        progress: Called with one line while a service that was scaled to zero starts.
        size: Most instances of one request.

    Yields:
        The answers of one request after the other, in the order of the instances.

    Raises:
        PredictionError: A request failed; the instances after it have not been asked about.
    """
    batch: list[Mapping[str, Any]] = []
    total = 0
    for instance in instances:
        data = instance["data"]
        weight = len(data if isinstance(data, str) else json.dumps(data)) + BODY_BYTES
        if batch and (len(batch) == size or total + weight > target.max_bytes - BODY_BYTES):
            yield send(target, batch, progress=progress)
            batch, total = [], 0
        batch.append(instance)
        total += weight
    if batch:
        yield send(target, batch, progress=progress)
