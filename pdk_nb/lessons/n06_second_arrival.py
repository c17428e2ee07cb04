"""Lesson 06: more pictures arrive, versions are compared, and the traffic moves between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pdk_nb.display.progress import Progress
from pdk_nb.display.tables import Note, Table
from pdk_nb.journey.lineage import trace
from pdk_nb.lessons import n04_deployment
from pdk_nb.lessons.lesson import Exercise, Findings, Lesson, expect
from pdk_nb.lessons.n04_deployment import loading_progress
from pdk_nb.lessons.n05_prediction import ask, expected_label, served_classes
from pdk_nb.platforms import mlde, serving

if TYPE_CHECKING:
    from pdk_nb.session import Session


@dataclass(frozen=True)
class Evaluation:
    """How one version did on a set of pictures.

    Attributes:
        title: What is evaluated.
        commit: The version: the commit that its model was trained with.
        counts: Pictures by (true class, predicted class).
        classes: Class names in order.
    """

    title: str
    commit: str
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Pictures in all."""
        return sum(self.counts.values())

    @property
    def accuracy(self) -> float:
        """Share that is right."""
        right = sum(count for (true, guess), count in self.counts.items() if true == guess)
        return right / self.total if self.total else 0.0

    def __str__(self) -> str:
        return f"{self.title}: {self.accuracy:.1%} of {self.total} pictures right ({self.commit[:12]}…)"

    __repr__ = __str__


def evaluate(session: Session, pictures: Sequence[Path], title: str) -> Evaluation:
    """Ask the service for every picture and count.

    Args:
        session: The session.
        pictures: Picture files whose names or folders tell the class.
        title: What is evaluated; the beginning of the commit's id when empty.
    """
    commit = serving.service_status(session.settings, session.names.service).version
    classes = served_classes(session)
    counts: Counter[tuple[str, str]] = Counter()
    for picture, answer in ask(session, pictures):
        # The folder above counts as well: some collections keep each class in its own.
        true = expected_label(f"{picture.parent.name}/{picture.name}", classes)
        if true:
            counts[(true, answer.label or "no answer")] += 1
    return Evaluation(title or commit[:12], commit, dict(counts), classes)


def compare(evaluations: Sequence[Evaluation]) -> Table:
    """Versions side by side, with their confusion matrices.

    Args:
        evaluations: Of the same pictures, one for each version.
    """
    from IPython.display import display

    from pdk_nb.display import charts  # its drawing library takes a while to load

    display(charts.confusion({each.title: each.counts for each in evaluations}, evaluations[0].classes))
    rows = []
    for each in evaluations:
        recalls = []
        for name in each.classes:
            total = sum(count for (true, _), count in each.counts.items() if true == name)
            recalls.append(f"{each.counts.get((name, name), 0) / total:.1%}" if total else "-")
        rows.append((each.title, each.commit, f"{each.accuracy:.1%}", *recalls))
    columns = ("Version", "Commit", "Accuracy", *(f"Right of {name}s" for name in evaluations[0].classes))
    return Table(columns, rows, caption=f"{evaluations[0].total} pictures that neither was trained with")


def serve_version(session: Session, commit: str, timeout: float) -> Note:
    """Roll back, or forward, to a version that the service has served; a canary ends with it.

    Args:
        session: The session.
        commit: Name of the version.
        timeout: Seconds to wait until it answers.
    """
    with loading_progress(session, commit) as progress:
        applied = serving.rollback(session.settings, session.names.service, commit)
        _wait_changed(session, applied, commit, timeout, progress)
        serving.promote(session.settings, session.names.service)
        serving.wait_share(session.settings, session.names.service)
    return Note("ready", f"{session.names.service} answers with {commit} again.")


def canary(session: Session, commit: str, percent: int, timeout: float) -> Note:
    """Give a version that the service knows a share of the traffic, and wait until it has it.

    Args:
        session: The session.
        commit: Name of the version.
        percent: Its share of the requests.
        timeout: Seconds to wait until it answers.
    """
    with loading_progress(session, commit) as progress:
        applied = serving.canary(session.settings, session.names.service, commit, percent)
        _wait_changed(session, applied, commit, timeout, progress)
        serving.wait_share(session.settings, session.names.service, percent)
    text = f"{percent} % of the requests go to {commit}."
    return Note("ready", text, "lab.promote() gives it the rest; lab.serve_version(commit) goes back.")


def promote(session: Session) -> Note:
    """Give the canary all of the traffic."""
    serving.promote(session.settings, session.names.service)
    status = serving.wait_share(session.settings, session.names.service)
    return Note("ready", f"{session.names.service} answers with {status.version} only.")


def traffic_table(session: Session) -> Table:
    """Which model version gets how much of the traffic."""
    shares = serving.traffic(session.settings, session.names.service)
    rows = [(each.version or "unknown", f"{each.percent} %", each.revision, each.tag) for each in shares]
    return Table(("Model version", "Share", "Revision", "Tag"), rows, caption=f"Traffic of {session.names.service}")


def who_answers(session: Session, picture: Path, requests: int) -> Table:
    """Ask the same thing again and again, and count which version answered.

    Args:
        session: The session.
        picture: A picture file.
        requests: How often to ask.
    """
    target = serving.endpoint(session.settings, session.names.service)
    with Progress("Asking who answers", requests, "requests") as progress:
        counts: Counter[str] = Counter()
        for done in range(1, requests + 1):
            counts[serving.predict(target, images=[picture])[0].version or "unknown"] += 1
            progress.step(done)
        progress.end(f"Asked {requests} times in {progress.seconds:.1f} s.")
    rows = [(version, count, f"{count / requests:.0%}") for version, count in counts.most_common()]
    return Table(("Model version", "Answers", "Share"), rows)


def _wait_changed(session: Session, applied: serving.Applied, commit: str, timeout: float, progress: Progress) -> None:
    serving.wait_ready(
        session.settings,
        session.names.service,
        timeout,
        version=commit,
        after=applied.previous_revision,
        progress=progress.say,
    )


class ServingCode(Exercise):
    """Follow the model that answers back to its code."""

    name = "06-code"
    question = "Which commit of the experiment's code trained the model that answers now?"
    hint = "lab.lineage() follows the model that answers; its stations have names."
    solution = 'answer = lab.lineage().station("code").id'
    why = "Data and code together decide a model; both are written down with it."

    def expected(self, session: Session) -> str:
        """The code's commit in the lineage of the model that answers."""
        station = trace(session).station("code")
        return station.id if station is not None else ""


def check(session: Session) -> Findings:
    """06: the model has two versions, and the service answers with the newest commit's."""
    model = mlde.find_model(session.determined, session.names.model)
    count = len(mlde.versions(model)) if model is not None else 0
    yield expect(
        count >= 2,
        f"Model {session.names.model} has {count} versions.",
        f"Model {session.names.model} has {count} version(s); the second arrival makes another.",
        "Commit the second arrival.",
        state="not yet",
    )
    yield from n04_deployment.check(session)


LESSON = Lesson("06", check, needs=("00", "01", "02", "03", "04"), exercises=(ServingCode(),))
