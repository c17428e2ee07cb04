"""Asking a service about uploaded pictures: each gets an answer or a reason of its own."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from pdk_nb.chapters.prediction import expected_label
from pdk_nb.panel.download import MAX_PICTURE_BYTES
from pdk_nb.photos import thumbnail, to_request
from pdk_nb.platforms import serving
from pdk_nb.platforms.serving import predictions
from pdk_nb.platforms.serving.predictions import Endpoint, Prediction
from pdk_shared.errors import DataError, PdkError, PredictionError

# Pictures of one request: few enough that the first answers come soon, and that a slow model stays within its time.
GROUP = 8
SHOWN_SIDE = 480
SHOWN_SIDE_OF_MANY = 200
# The other fields of a request's body.
ROOM = 400


@dataclass(frozen=True)
class Asked:
    """One picture and what became of it.

    Attributes:
        name: File name.
        folder: Name of the folder that it lay in; empty when unknown.
        size: Width and height in pixels, as stored.
        picture: A small copy as a ``data:`` address; empty when it cannot be read.
        instance: What is sent for it; None when nothing can be.
        answer: The service's answer.
        error: Why there is none.
        alone: Whether it was the only picture of its request.
    """

    name: str
    folder: str = ""
    size: tuple[int, int] = (0, 0)
    picture: str = ""
    instance: dict[str, str] | None = None
    answer: Prediction | None = None
    error: PdkError | None = None
    alone: bool = True

    @property
    def expected(self) -> str:
        """The class that the picture's name or folder tells; empty when they tell none."""
        path = f"{self.folder}/{self.name}" if self.folder else self.name
        return expected_label(path, tuple(self.answer.scores)) if self.answer and self.answer.scores else ""

    @property
    def right(self) -> bool | None:
        """Whether the answer is what the name tells; None when the name tells nothing."""
        return self.answer.label == self.expected if self.answer and self.expected else None


def prepare(name: str, content: bytes, target: Endpoint, *, shown_side: int = SHOWN_SIDE, folder: str = "") -> Asked:
    """Make a picture ready to be sent: decoded, upright, and no larger than the service takes.

    Args:
        name: File name.
        content: The file's bytes.
        target: Where it will go.
        shown_side: Longest side of the copy for the page, in pixels.
        folder: Name of the folder that it lay in; empty when unknown.
    """
    try:
        if len(content) > MAX_PICTURE_BYTES:
            raise DataError(
                f"{name} has {len(content) / 2**20:.0f} MB; at most {MAX_PICTURE_BYTES >> 20} MB are taken.",
                fix="Choose a smaller picture.",
            )
        # Decodes a large picture once; everything after this works with what is sent.
        instance = to_request([content], max_bytes=target.max_bytes - ROOM)["instances"][0]
        with Image.open(io.BytesIO(content)) as stored:
            size = stored.size
        return Asked(name, folder, size, thumbnail(base64.b64decode(instance["data"]), shown_side), instance)
    except PdkError as error:
        return Asked(name, error=_named(name, error))


def _named(name: str, error: PdkError) -> PdkError:
    """An error that says which picture it speaks of."""
    what = error.what if name in error.what else f"{name}: {error.what}"
    return PredictionError(what, where=error.where, fix=error.fix)


def ask(target: Endpoint, pictures: Sequence[Asked], progress: Callable[[int], None] | None = None) -> list[Asked]:
    """Ask about every picture that can be sent.

    Args:
        target: Where the model answers.
        pictures: Prepared pictures.
        progress: Told how many have been dealt with.

    Returns:
        The pictures with their answers, in the same order. When the service fails, those that were not asked any more
        carry its error.
    """
    results = list(pictures)
    failed: PdkError | None = None
    done = sum(each.instance is None for each in pictures)
    for group in _groups(pictures, target.max_bytes - ROOM):
        if failed is None:
            try:
                request = {"instances": [pictures[place].instance for place in group]}
                answers = serving.predict(target, images=request)
                for place, answer in zip(group, answers, strict=True):
                    results[place] = _with_answer(pictures[place], answer, alone=len(group) == 1)
            except PdkError as error:
                failed = error
        if failed is not None:
            for place in group:
                results[place] = replace(pictures[place], answer=None, error=failed)
        done += len(group)
        if progress:
            progress(done)
    return results


def _with_answer(picture: Asked, answer: Prediction, *, alone: bool) -> Asked:
    if answer.error:
        error = PredictionError(f"{picture.name}: {answer.error}", fix="The predictor's log says more.")
        return replace(picture, answer=None, error=error)
    return replace(picture, answer=answer, error=None, alone=alone)


def _groups(pictures: Sequence[Asked], limit: int) -> Iterator[list[int]]:
    """Places of pictures that travel in one request."""
    group: list[int] = []
    size = 0
    for place, picture in enumerate(pictures):
        if picture.instance is None:
            continue
        weight = len(picture.instance["data"]) + ROOM
        if group and (len(group) == GROUP or size + weight > limit):
            yield group
            group, size = [], 0
        group.append(place)
        size += weight
    if group:
        yield group


def request_text(target: Endpoint, instance: dict[str, str]) -> str:
    """The body that is sent for one picture, shortened in the middle of its base64 text."""
    body = predictions.body_for(target, [instance], detail=True).decode()
    data = instance["data"]
    return body.replace(data, f"{data[:32]}… {len(data):,} characters …{data[-12:]}")


def answer_text(raw: Any) -> str:
    """One picture's row of the answer, readable."""
    return json.dumps(raw, indent=2)
