"""Uploaded pictures and their answers: each picture gets an answer or a reason."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from pdk_nb.lessons.n05_prediction import expected_label
from pdk_nb.panel.download import MAX_PICTURE_BYTES
from pdk_nb.photos import thumbnail, to_request
from pdk_nb.platforms.serving import predictions
from pdk_nb.platforms.serving.batches import BODY_BYTES, predict_in_batches
from pdk_nb.platforms.serving.predictions import Endpoint, Prediction
from pdk_shared.errors import DataError, PdkError, PredictionError

SHOWN_SIDE = 480
SHOWN_SIDE_OF_MANY = 200


@dataclass(frozen=True)
class PictureResult:
    """One picture and its result.

    Attributes:
        name: File name.
        folder: Name of its folder; empty when unknown.
        size: Width and height in pixels, as stored.
        picture: A small copy as a ``data:`` address; empty when it can't be read.
        instance: The instance to send; None when it can't be sent.
        answer: The service's answer.
        error: Why there is no answer.
        alone: Whether it was the only picture of its request.
        corrected: The right class, if a person gave it; otherwise the name decides.
    """

    name: str
    folder: str = ""
    size: tuple[int, int] = (0, 0)
    picture: str = ""
    instance: dict[str, str] | None = None
    answer: Prediction | None = None
    error: PdkError | None = None
    alone: bool = True
    corrected: str = ""

    @property
    def expected(self) -> str:
        """The class that a person, or the picture's name or folder, gives; empty when none does."""
        if self.corrected:
            return self.corrected
        path = f"{self.folder}/{self.name}" if self.folder else self.name
        return expected_label(path, tuple(self.answer.scores)) if self.answer and self.answer.scores else ""

    @property
    def right(self) -> bool | None:
        """Whether the answer matches the name; None when the name gives no class."""
        return self.answer.label == self.expected if self.answer and self.expected else None


def prepare(
    name: str, content: bytes, target: Endpoint, *, shown_side: int = SHOWN_SIDE, folder: str = ""
) -> PictureResult:
    """Prepare a picture for sending: decoded, upright, and within the service's size limit.

    Args:
        name: File name.
        content: The file's bytes.
        target: Where to send it.
        shown_side: Longest side of the copy for the page, in pixels.
        folder: Name of its folder; empty when unknown.
    """
    try:
        if len(content) > MAX_PICTURE_BYTES:
            raise DataError(
                f"{name} has {len(content) / 2**20:.0f} MB; the limit is {MAX_PICTURE_BYTES >> 20} MB.",
                fix="Use a smaller picture.",
            )
        # Decode a large picture once; everything after this uses the smaller copy.
        instance = to_request([content], max_bytes=target.max_bytes - BODY_BYTES)["instances"][0]
        with Image.open(io.BytesIO(content)) as stored:
            size = stored.size
        return PictureResult(name, folder, size, thumbnail(base64.b64decode(instance["data"]), shown_side), instance)
    except PdkError as error:
        return PictureResult(name, error=_named(name, error))


def _named(name: str, error: PdkError) -> PdkError:
    """An error that names its picture."""
    what = error.what if name in error.what else f"{name}: {error.what}"
    return PredictionError(what, where=error.where, fix=error.fix)


def ask(
    target: Endpoint,
    pictures: Sequence[PictureResult],
    progress: Callable[[int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[PictureResult]:
    """Send every picture that can be sent.

    Args:
        target: Where the model answers.
        pictures: Prepared pictures.
        progress: Called with the number of pictures that are done.
        say: Called with one line while a service that was scaled to zero starts.

    Returns:
        The pictures with their answers, in the same order. If the service fails, the remaining pictures get its error.
    """
    results = list(pictures)
    waiting = [place for place, each in enumerate(pictures) if each.instance is not None]
    done = len(pictures) - len(waiting)
    try:
        instances = [pictures[place].instance or {} for place in waiting]
        for answers in predict_in_batches(target, instances, say):
            for answer in answers:
                place = waiting.pop(0)
                results[place] = _with_answer(pictures[place], answer, alone=len(answers) == 1)
            done += len(answers)
            if progress:
                progress(done)
    except PdkError as error:
        for place in waiting:
            results[place] = replace(pictures[place], answer=None, error=error)
        if progress:
            progress(len(pictures))
    return results


def _with_answer(picture: PictureResult, answer: Prediction, *, alone: bool) -> PictureResult:
    if answer.error:
        error = PredictionError(f"{picture.name}: {answer.error}", fix="Check the predictor's log.")
        return replace(picture, answer=None, error=error)
    return replace(picture, answer=answer, error=None, alone=alone)


def request_text(target: Endpoint, instance: dict[str, str]) -> str:
    """The body that is sent for one picture, shortened in the middle of its base64 text.

    Args:
        target: Where it's sent.
        instance: The picture's instance.
    """
    body = predictions.body_for(target, [instance], detail=True).decode()
    data = instance["data"]
    return body.replace(data, f"{data[:32]}… {len(data):,} characters …{data[-12:]}")


def answer_text(raw: Any) -> str:
    """One picture's row of the answer, in readable form."""
    return json.dumps(raw, indent=2)
