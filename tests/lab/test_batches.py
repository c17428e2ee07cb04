"""Many pictures in few requests: none too large, none too long, and each answered in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from pdk_nb.platforms.serving import batches
from pdk_nb.platforms.serving.predictions import Endpoint, Prediction
from pdk_shared.errors import PredictionError


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each request carried; a picture's answer is the length of its text."""
    sent: list[int] = []

    def send(target: Endpoint, instances: Sequence[Mapping[str, str]], progress: Any = None) -> list[Prediction]:
        sent.append(len(instances))
        if any(each["data"] == "bad" for each in instances):
            raise PredictionError("refused")
        return [Prediction(len(each["data"])) for each in instances]

    monkeypatch.setattr(batches, "send", send)
    return sent


def endpoint(max_bytes: int = 1_000_000) -> Endpoint:
    return Endpoint("pets", "127.0.0.1:80", "pets.example", "dogs-and-cats", max_bytes=max_bytes)


def indexes(answers: Iterator[list[Prediction]]) -> list[Any]:
    return [each.index for batch in answers for each in batch]


def test_a_request_carries_few_pictures_and_answers_keep_their_order(requests: list[int]) -> None:
    pictures = [{"data": "x" * number} for number in range(2 * batches.BATCH_SIZE + 1)]
    assert indexes(batches.predict_in_batches(endpoint(), pictures)) == list(range(2 * batches.BATCH_SIZE + 1))
    assert requests == [batches.BATCH_SIZE, batches.BATCH_SIZE, 1]
    assert indexes(batches.predict_in_batches(endpoint(), [])) == []


def test_a_request_stays_below_the_services_limit(requests: list[int]) -> None:
    pictures = [{"data": "x" * 1000}] * 3
    limit = 2 * (1000 + batches.BODY_BYTES) + batches.BODY_BYTES
    assert indexes(batches.predict_in_batches(endpoint(limit), pictures)) == [1000, 1000, 1000]
    assert requests == [2, 1]


def test_pictures_are_taken_when_their_request_is_due(requests: list[int]) -> None:
    pictures = ({"data": "bad" if number == 0 else "x"} for number in range(100))
    with pytest.raises(PredictionError, match="refused"):
        next(batches.predict_in_batches(endpoint(), pictures))
    # The first of the next batch has been looked at, and no more.
    assert len(list(pictures)) == 100 - batches.BATCH_SIZE - 1
