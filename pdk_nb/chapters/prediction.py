"""Chapters 05 and 06: pictures become requests, requests become classes, versions are compared."""

from __future__ import annotations

import hashlib
import html
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pdk_nb.display import charts
from pdk_nb.display.progress import Progress
from pdk_nb.display.tables import Markup, Table
from pdk_nb.headless import record
from pdk_nb.labels import LabelRule, split
from pdk_nb.photos import IMAGE_SUFFIXES, from_request, thumbnail, to_request
from pdk_nb.platforms import serving
from pdk_shared.errors import DataError

if TYPE_CHECKING:
    from pdk_nb.chapters.data import Arrival
    from pdk_nb.platforms.serving.predictions import Prediction
    from pdk_nb.session import Session

# Pictures of one request; a request has a size limit, a folder has none.
BATCH = 4
HOLD_OUT = 60


def expected_label(name: str, classes: Sequence[str] = ("dog", "cat")) -> str:
    """What a picture's name says that it shows; empty when it says nothing."""
    index = LabelRule(tuple(classes)).label(name)
    return "" if index is None else classes[index]


def remember(image: str, expected: str, label: str) -> None:
    """Write a prediction into the run's record."""
    record("prediction", image=image, expected=expected, label=label, correct=(label == expected) if expected else None)


def show_request(session: Session, picture: Path) -> Markup:
    """A picture beside the JSON that the service gets for it."""
    text = json.dumps(to_request([picture]))
    shown = f"{text[:56]}\n   … {len(text):,} characters …\n{text[-32:]}"
    name = html.escape(picture.name)
    content = (
        '<div style="display:flex;flex-wrap:wrap;align-items:center;gap:1.5em">'
        f'<figure style="margin:0"><img src="{thumbnail(picture, 360)}" alt="{name}" '
        f'style="height:180px;border-radius:6px;margin:0"><figcaption>{name}</figcaption></figure>'
        f"<pre>{html.escape(shown)}</pre></div>"
    )
    return Markup(content, f"{picture.name} and the {len(text):,} characters of JSON that are sent for it:\n{shown}")


def samples(session: Session, source: str) -> list[Path]:
    """A few pictures to predict that training never learns from.

    Args:
        session: The session.
        source: Folder or zip file that the model was trained from; the lab's own six pictures when empty.
    """
    from pdk_nb.chapters.data import open_photos
    from pdk_nb.chapters.setup import classes

    if not source:
        return pictures_in(session.sample("pred"))
    arrival = open_photos(session, source, "data1", classes(session))
    rule, chosen = arrival.photos.rule, []
    held = hold_out([arrival])
    for name in rule.classes:
        chosen += [path for path in held if rule.name(f"{path.parent.name}/{path.name}") == name][:3]
    return chosen


def predict_json(session: Session, files: Sequence[Path], *, judge: bool = True) -> Table:
    """Send request files as they are and show the bare answers, as curl does.

    Args:
        session: The session.
        files: Request files; names that do not exist are looked for in ``sample-data``.
        judge: Whether the answers count; a model that learned from other pictures need not know the lab's.
    """
    target = serving.endpoint(session.settings, session.names.service)
    classes = served_classes(session)
    rows = []
    for file in files:
        path = file if file.exists() else session.sample(str(file))
        request = json.loads(path.read_text())
        from_request(request)
        answer = serving.predict(target, images=request, detail=False)[0]
        label = classes[answer.index] if answer.index is not None and answer.index < len(classes) else ""
        expected = expected_label(path.stem, classes) if judge else ""
        rows.append((path.name, json.dumps({"predictions": [answer.index]}), label, expected))
        remember(path.name, expected, label)
    return Table(
        ("Request", "Answer", "Means", "Should be"), rows, caption=f"POST {target.address}  Host: {target.host}"
    )


def served_classes(session: Session) -> tuple[str, ...]:
    """Class names of the served model, in the order of its outputs."""
    from pdk_nb.platforms import mlde

    commit = serving.service_status(session.settings, session.names.service).version
    version = mlde.version_for_commit(session.determined, session.names.model, commit) if commit else None
    classes = (version.metadata or {}).get("classes") if version is not None else None
    return tuple(classes) if classes else ("dog", "cat")


def pictures_in(folder: Path) -> list[Path]:
    """All pictures of a folder, by name.

    Raises:
        DataError: There is none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise DataError("There is no picture.", where=str(folder))
    return found


def predict_pictures(session: Session, pictures: Sequence[Path]) -> Table:
    """Predict pictures and compare each answer with the picture's name."""
    classes = served_classes(session)
    rows = []
    for picture, answer in ask(session, pictures):
        expected = expected_label(f"{picture.parent.name}/{picture.name}", classes)
        verdict = "" if not expected else ("right" if answer.label == expected else "WRONG")
        rows.append((picture.name, answer.label or answer.error, f"{answer.score or 0:.0%}", expected, verdict))
        remember(picture.name, expected, answer.label)
    return Table(("Picture", "Predicted", "Probability", "Should be", "Verdict"), rows)


def ask(session: Session, pictures: Sequence[Path]) -> list[tuple[Path, Prediction]]:
    """Every picture with the service's answer."""
    target = serving.endpoint(session.settings, session.names.service)
    answers: list[tuple[Path, Prediction]] = []
    with Progress(f"Asking {session.names.service}", len(pictures), "pictures") as progress:
        for start in range(0, len(pictures), BATCH):
            batch = list(pictures[start : start + BATCH])
            answers += zip(batch, serving.predict(target, images=batch), strict=True)
            progress.step(len(answers))
        progress.end(f"{session.names.service} answered for {len(pictures)} picture(s) in {progress.seconds:.1f} s.")
    return answers


def who_answers(session: Session, picture: Path, requests: int) -> Table:
    """Ask the same thing again and again, and count which version answered."""
    target = serving.endpoint(session.settings, session.names.service)
    with Progress("Asking who answers", requests, "requests") as progress:
        counts: Counter[str] = Counter()
        for done in range(1, requests + 1):
            counts[serving.predict(target, images=[picture])[0].version or "unknown"] += 1
            progress.step(done)
        progress.end(f"Asked {requests} times in {progress.seconds:.1f} s.")
    rows = [(version, count, f"{count / requests:.0%}") for version, count in counts.most_common()]
    return Table(("Model version", "Answers", "Share"), rows)


def curl(session: Session, file: str) -> str:
    """The setup guide's curl line with this cluster's values."""
    return serving.curl_command(
        session.settings, session.names.service, str(session.sample(file).relative_to(session.checkout))
    )


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


def hold_out(arrivals: Sequence[Arrival]) -> list[Path]:
    """Pictures that training never learns from, chosen as the experiment chooses its validation set.

    The choice depends on each picture's path in the repo alone, so it is the same for every version.
    """
    by_path: dict[str, Path] = {}
    for arrival in arrivals:
        by_path |= {f"{arrival.name}/{name}": local for name, local in arrival.files().items()}
    rule = arrivals[0].photos.rule
    _, held = split((path, label) for path in by_path if (label := rule.label(path)) is not None)
    ordered = sorted(held, key=lambda path: hashlib.sha256(path.encode()).hexdigest())
    return [by_path[path] for path in ordered[:HOLD_OUT]]


def evaluate(session: Session, pictures: Sequence[Path], title: str) -> Evaluation:
    """Ask the service for every picture and count."""
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
    """Versions side by side, with their confusion matrices."""
    from IPython.display import display

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
