"""Many pictures in few requests: a request has a size limit, a folder has none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from pdk_nb.platforms.serving.predictions import Endpoint, Prediction, send

__all__ = ["BATCH_SIZE", "BODY_BYTES", "predict_in_batches"]

# Pictures of one request: few enough that the first answers come soon, and that a slow model stays within its time.
BATCH_SIZE = 8
# Bytes of a request's body that each picture needs besides its base64 text.
BODY_BYTES = 400


def predict_in_batches(
    target: Endpoint,
    instances: Iterable[Mapping[str, str]],
    progress: Callable[[str], object] | None = None,
) -> Iterator[list[Prediction]]:
    """Ask about pictures, several in one request.

    Args:
        target: Where the model answers.
        instances: v1 instances: ``{"data": "<base64>"}``. Each is taken when its batch is put together.
        progress: Called with one line while a service that was scaled to zero starts.

    Yields:
        The answers of one request after the other, in the order of the instances.

    Raises:
        PredictionError: A request failed; the instances after it have not been asked about.
    """
    batch: list[Mapping[str, str]] = []
    size = 0
    for instance in instances:
        weight = len(instance["data"]) + BODY_BYTES
        if batch and (len(batch) == BATCH_SIZE or size + weight > target.max_bytes - BODY_BYTES):
            yield send(target, batch, progress=progress)
            batch, size = [], 0
        batch.append(instance)
        size += weight
    if batch:
        yield send(target, batch, progress=progress)
