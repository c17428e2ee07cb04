"""Lesson 06: a second arrival, the comparison of two versions, and the traffic between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb import tasks
from pdk_nb.counting import counted
from pdk_nb.display.progress import Progress
from pdk_nb.display.tables import Note, Table
from pdk_nb.drift import Drift, measure
from pdk_nb.drift import compare as compare_arrivals
from pdk_nb.evaluation import Evaluation, Judged, change
from pdk_nb.journey import latest_commit
from pdk_nb.journey.lineage import trace
from pdk_nb.labels import LabelRule
from pdk_nb.lessons import n02_data, n04_deployment
from pdk_nb.lessons.explanation import Explanation
from pdk_nb.lessons.lesson import Exercise, Findings, Lesson, expect
from pdk_nb.lessons.n04_deployment import loading_progress
from pdk_nb.lessons.n05_prediction import ask, expected_label, served_classes
from pdk_nb.platforms import mlde, serving
from pdk_shared.errors import NotFound

if TYPE_CHECKING:
    from pdk_nb.lessons.n02_data import Arrival
    from pdk_nb.session import Session


def evaluate(session: Session, pictures: Sequence[Path], title: str) -> Evaluation:
    """Send every picture to the service and judge the answers.

    Args:
        session: The session.
        pictures: Picture files whose names or folders give the class.
        title: What is evaluated; the beginning of the commit's id when empty.
    """
    commit = serving.service_status(session.settings, session.names.service).version
    classes = served_classes(session)
    rule = LabelRule(classes)
    judged = []
    for picture, answer in ask(session, pictures):
        # The parent folder counts, too: some collections keep each class in its own folder.
        true = expected_label(f"{picture.parent.name}/{picture.name}", classes)
        if true:
            judged.append(Judged(picture, true, answer.label or "no answer", rule.kind(picture.name)))
    return Evaluation(title or commit[:12], commit, tuple(judged), classes)


def picture_drift(old: Arrival, new: Arrival) -> Drift:
    """Compare a new arrival with the one that the model was trained with, and draw the difference.

    Args:
        old: The pictures that the model knows.
        new: The new pictures.
    """
    from IPython.display import display

    measured = []
    with Progress("Measuring pictures", 2, "arrivals") as progress:
        for done, each in enumerate((old, new), 1):
            measured.append(measure(each.name, [(photo.path, photo.class_name) for photo in each.photos.photos]))
            progress.step(done)
        progress.end(f"Measured {sum(len(each.photos.photos) for each in (old, new))} pictures.")
    found = compare_arrivals(*measured)
    display(found.chart())
    return found


def compare_pictures(evaluations: Sequence[Evaluation]) -> Table:
    """Compare versions: their confusion matrices, how many pictures changed sides, and the accuracy by kind.

    Args:
        evaluations: One for each version, on the same pictures; the oldest first.
    """
    from IPython.display import display

    from pdk_nb.display import charts  # its drawing library takes a while to load

    first = evaluations[0]
    display(charts.confusion({each.title: each.counts for each in evaluations}, first.classes))
    for old, new in pairwise(evaluations):
        changed = change(old, new)
        state = "ok" if len(changed.better) >= len(changed.worse) else "warning"
        display(Note(state, f"{changed}{_named(' Became wrong', changed.worse)}"))
    kinds = list(first.kinds)
    rows = []
    for each in evaluations:
        found = each.kinds
        groups = [found.get(kind, ()) for kind in kinds] if len(kinds) > 1 else []
        groups += [tuple(one for one in each.judged if one.true == name) for name in each.classes]
        shares = [f"{sum(one.right for one in group) / len(group):.1%}" if group else "-" for group in groups]
        rows.append((each.title, each.commit, f"{each.accuracy:.1%}", *shares))
    columns = [*(kinds if len(kinds) > 1 else ()), *(f"{name}s" for name in first.classes)]
    return Table(
        ("Version", "Commit", "All", *columns),
        rows,
        caption=f"Right answers for {first.total} pictures that neither was trained with",
    )


def _named(title: str, judged: Sequence[Judged]) -> str:
    return f"{title}: {', '.join(each.picture.name for each in judged)}." if judged else ""


def serve_version(session: Session, commit: str, timeout: float) -> Note:
    """Roll back or forward to a version that the service has served. This ends a canary.

    In raw mode, KServe replaces the pods: the old version answers until the new one is ready.

    Args:
        session: The session.
        commit: Name of the version.
        timeout: Seconds to wait until the version answers.
    """
    with loading_progress(session, commit) as progress:
        applied = serving.rollback(session.settings, session.names.service, commit)
        _wait_changed(session, applied, commit, timeout, progress)
        serving.promote(session.settings, session.names.service)
        serving.wait_share(session.settings, session.names.service)
    return Note("ready", f"{session.names.service} answers with {commit} again.")


def canary(session: Session, commit: str, percent: int, timeout: float) -> Note:
    """Give a version a share of the traffic, and wait until the change takes effect.

    Where KServe can't split traffic, the note says so, and the version gets all requests.

    Args:
        session: The session.
        commit: Name of the version.
        percent: Its share of the requests, in percent.
        timeout: Seconds to wait until the version answers.
    """
    try:
        applied = serving.canary(session.settings, session.names.service, commit, percent)
    except serving.NoCanary as error:
        serve_version(session, commit, timeout)
        return Note("warning", f"{error.what} {commit} gets all requests.", error.fix)
    with loading_progress(session, commit) as progress:
        _wait_changed(session, applied, commit, timeout, progress)
        serving.wait_share(session.settings, session.names.service, percent)
    text = f"{percent}% of the requests go to {commit}."
    return Note("ready", text, "To give it the rest, use lab.promote(); to roll back, lab.serve_version(commit).")


def promote(session: Session) -> Note:
    """Give the canary all of the traffic."""
    serving.promote(session.settings, session.names.service)
    status = serving.wait_share(session.settings, session.names.service)
    return Note("ready", f"{session.names.service} answers with {status.version} only.")


def traffic_table(session: Session) -> Table:
    """The share of the traffic of each model version."""
    shares = serving.traffic(session.settings, session.names.service)
    rows = [(each.version or "unknown", f"{each.percent}%", each.revision, each.tag) for each in shares]
    return Table(("Model version", "Share", "Revision", "Tag"), rows, caption=f"Traffic of {session.names.service}")


def who_answers(session: Session, item: Any, requests: int) -> Table:
    """Send the same request many times, and count which version answers.

    Args:
        session: The session.
        item: What to ask about, e.g. a picture file.
        requests: Number of requests.
    """
    target = serving.endpoint(session.settings, session.names.service)
    instance: Any = tasks.for_lab(session).instance(item)
    with Progress("Counting answers by version", requests, "requests") as progress:
        counts: Counter[str] = Counter()
        for done in range(1, requests + 1):
            answer = serving.predict(target, images=[instance], progress=progress.say)[0]
            counts[answer.version or "unknown"] += 1
            progress.step(done)
        progress.end(f"Sent {requests} requests in {progress.seconds:.1f} s.")
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
    """Trace the served model back to its code."""

    name = "06-code"
    kind = "Find"
    question = "Which commit of the experiment's code trained the model that answers now?"
    hint = "lab.lineage() traces the model that answers; its stations have names."
    solution = 'answer = lab.lineage().station("code").id'
    why = "Data and code together determine a model; both are recorded with it."

    def expected(self, session: Session) -> str:
        """The code's commit in the lineage of the served model."""
        station = trace(session).station("code")
        return station.id if station is not None else ""


class CanaryShare(Exercise):
    """Predict how often a canary answers."""

    name = "06-share"
    kind = "Predict"
    question = "A canary has a quarter of the traffic. Of 60 requests, how many do you expect it to answer?"
    hint = "A share of 25% means that each request goes to the canary with a probability of one quarter."
    solution = "answer = 60 * 25 // 100"
    why = "That's the average. Each request is routed at random, so 10 or 20 of 60 are no reason to worry."

    def expected(self, session: Session) -> int:
        """A quarter of the requests."""
        return round(60 * 0.25)


class AddedPictures(Exercise):
    """Compare a commit with its parent."""

    name = "06-added"
    kind = "Measure"
    question = "How many more pictures does the newest commit have than its parent, the commit before it?"
    hint = "lab.pachyderm.list_commit() gives commits, newest first; lab.committed(id) lists the pictures of one."
    solution = (
        "found = lab.pachyderm.list_commit(lab.names.data_repo, project_name=lab.names.project)\n"
        "newest, parent = [info.commit.id for info in found][:2]\n"
        "answer = len(lab.committed(newest)) - len(lab.committed(parent))"
    )
    why = "A commit contains everything, so a model version can be trained again with exactly the pictures of its time."

    def expected(self, session: Session) -> int:
        """Pictures of the newest commit less those of its parent."""
        parent = n02_data.commit_object(session)["parent_commit"]["id"]
        newest = n02_data.committed(session, latest_commit(session))
        return len(newest) - len(n02_data.committed(session, parent))


class RollbackField(Exercise):
    """Know what a rollback changes."""

    name = "06-rollback"
    kind = "Repair"
    question = (
        "The new version is bad, and you only have `kubectl edit inferenceservice`. Which field under "
        "`spec.predictor.model` do you change to serve the old version again?"
    )
    hint = "Notebook 04 explains the fields of the InferenceService: the archive of each version has its own address."
    solution = 'answer = "storageUri"'
    why = "A rollback changes one address. Nothing is trained, packed, or uploaded again."

    def fault(self, session: Session, answer: Any) -> str:
        """What is wrong; the whole path of the field is right, too."""
        return super().fault(session, answer.rpartition(".")[2] if isinstance(answer, str) else answer)

    def expected(self, session: Session) -> str:
        """The field of the service that holds the archive's address."""
        model = n04_deployment.service_object(session)["spec"]["predictor"]["model"]
        return next(str(key) for key in model if key == "storageUri")


def check(session: Session) -> Findings:
    """06: the model has two versions, and the service answers with the newest commit's version."""
    model = mlde.find_model(session.determined, session.names.model)
    count = len(mlde.versions(model)) if model is not None else 0
    yield expect(
        count >= 2,
        f"Model {session.names.model} has {count} versions.",
        f"Model {session.names.model} has {counted(count, 'version')}; the second arrival creates another.",
        "Commit the second arrival.",
        state="not yet",
    )
    yield from n04_deployment.check(session)


def registered(session: Session) -> dict[str, Any]:
    """The newest version of the model in Determined's registry."""
    version = newest_version(session)
    checkpoint = version.checkpoint
    return {
        "model": version.model_name,
        "version": version.model_version,
        "name": version.name,
        "metadata": dict(version.metadata or {}),
        "checkpoint": {
            "uuid": checkpoint.uuid,
            "steps_completed": (checkpoint.metadata or {}).get("steps_completed"),
            "experiment": checkpoint.training.experiment_id if checkpoint.training else None,
        },
    }


def newest_version(session: Session) -> Any:
    """The newest version of the model, as an object of Determined's client.

    Raises:
        NotFound: The model has no version.
    """
    with mlde.api_errors(f"model {session.names.model}"):
        version = session.determined.get_model(session.names.model).get_version()
    if version is None:
        raise NotFound(f"Model {session.names.model} has no version.", fix="Run notebook 03.")
    return version


VERSION = Explanation(
    "06-version",
    "The newest version in Determined's registry",
    registered,
    {
        "version": "Counted by the registry.",
        "name": "The id of the commit that it was trained with; the train stage sets it.",
        "checkpoint.uuid": "The files of the checkpoint are stored under this name.",
        "checkpoint.experiment": "The experiment whose best checkpoint it is.",
        "metadata": "What the stages wrote down: classes, code, metric, and where the model is stored.",
    },
    lambda session: f"det model describe {session.names.model}",
    lambda session: newest_version(session).name,
)

LESSON = Lesson(
    "06",
    check,
    needs=("00", "01", "02", "03", "04"),
    exercises=(ServingCode(), CanaryShare(), AddedPictures(), RollbackField()),
    explanations=(VERSION,),
)
