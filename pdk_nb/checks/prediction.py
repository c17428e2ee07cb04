"""Check 05: the answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pdk_nb.chapters import prediction
from pdk_nb.checks.findings import Findings, expect
from pdk_nb.platforms import serving

if TYPE_CHECKING:
    from pdk_nb.session import Session


def check_predictions(
    session: Session, pictures: list[Path] | None = None, judge: bool = True, min_right: int = 5
) -> Findings:
    """05: the service answers; for the lab's own pets cat.json is a cat (1), dog.json a dog (0).

    Args:
        session: The session.
        pictures: Pictures that training never learned from; the lab's own six when None.
        judge: Whether the answers count: a model that learned from other pictures need not know drawn pets, and one
            that has seen few pictures guesses.
        min_right: How many of the pictures have to be right.
    """
    target = serving.endpoint(session.settings, session.names.service)
    for name, index in (("cat.json", 1), ("dog.json", 0)):
        request = json.loads(session.sample(name).read_text())
        answer = serving.predict(target, images=request, detail=False)[0]
        if not judge:
            yield expect(
                answer.index is not None,
                f"{name} is answered with class {answer.index}.",
                f"{name} is not answered: {answer.error}",
                "Look at the log of the service's pod.",
            )
            continue
        yield expect(
            answer.index == index,
            f"{name} is class {index}.",
            f"{name} is class {answer.index}, not {index}.",
            "Train with more pictures; a model that has seen few guesses.",
        )
    classes = prediction.served_classes(session)
    answers = prediction.ask(session, prediction.samples(session, "") if pictures is None else pictures)
    right = sum(
        answer.label == prediction.expected_label(f"{path.parent.name}/{path.name}", classes)
        for path, answer in answers
    )
    wanted = min_right if judge else 0
    yield expect(
        right >= wanted,
        f"{right} of {len(answers)} sample pictures are right.",
        f"Only {right} of {len(answers)} sample pictures are right; {wanted} are wanted.",
        "Train with more pictures.",
    )
