"""Lesson 05: pictures become requests, and the answers give their classes."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb import tasks
from pdk_nb.counting import counted
from pdk_nb.display.progress import Progress
from pdk_nb.display.tables import Markup, Table
from pdk_nb.headless import log_event
from pdk_nb.labels import LabelRule
from pdk_nb.lessons.explanation import Explanation
from pdk_nb.lessons.lesson import Exercise, Findings, Lesson, expect
from pdk_nb.lessons.n01_pipelines import classes
from pdk_nb.lessons.n02_data import hold_out, open_photos
from pdk_nb.photos import thumbnail, to_request
from pdk_nb.picture_sources import pictures_in
from pdk_nb.platforms import mlde, serving
from pdk_nb.platforms.serving.batches import BODY_BYTES, predict_in_batches
from pdk_nb.platforms.waiting import changes

if TYPE_CHECKING:
    from pdk_nb.platforms.serving.predictions import Prediction
    from pdk_nb.session import Session


def expected_label(name: str, classes: Sequence[str] = ("dog", "cat")) -> str:
    """The class that a picture's name gives; empty when it gives none.

    Args:
        name: File name, or path with a folder that may give the class.
        classes: Class names in the order of the model's outputs.
    """
    return LabelRule(tuple(classes)).name(name) or ""


def log_prediction(image: str, expected: str, label: str) -> None:
    """Write a prediction into the event log of a headless run.

    Args:
        image: Name of the picture.
        expected: The class that its name gives; empty when it gives none.
        label: The class that was predicted.
    """
    correct = label == expected if expected else None
    log_event("prediction", image=image, expected=expected, label=label, correct=correct)


def show_request(picture: Path) -> Markup:
    """A picture next to the JSON that the service gets for it.

    Args:
        picture: A picture file.
    """
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
    """A few pictures that are never used for training.

    Args:
        session: The session.
        source: Folder or zip file that the model was trained with; the lab's own six pictures when empty.
    """
    if not source:
        return pictures_in(session.sample("pred"))
    arrival = open_photos(session, source, "data1", classes(session))
    rule, chosen = arrival.photos.rule, []
    held = hold_out([arrival])
    for name in rule.classes:
        chosen += [path for path in held if rule.name(f"{path.parent.name}/{path.name}") == name][:3]
    return chosen


def predict_json(session: Session, files: Sequence[Path], *, judge: bool = True) -> Table:
    """Send request files unchanged and show the raw answers, as curl does.

    Args:
        session: The session.
        files: Request files. Names that don't exist refer to ``sample-data``.
        judge: Whether to judge the answers; a model that learned from other pictures can only guess.
    """
    target = serving.endpoint(session.settings, session.names.service)
    classes = served_classes(session)
    # A notebook's first request may have to wake the service.
    say = changes(print)
    rows = []
    for file in files:
        path = file if file.exists() else session.sample(str(file))
        request = json.loads(path.read_text())
        answer = serving.predict(target, images=request, detail=False, progress=say)[0]
        label = classes[answer.index] if answer.index is not None and answer.index < len(classes) else ""
        expected = expected_label(path.stem, classes) if judge else ""
        rows.append((path.name, json.dumps({"predictions": [answer.index]}), label, expected))
        log_prediction(path.name, expected, label)
    return Table(
        ("Request", "Answer", "Means", "Should be"), rows, caption=f"POST {target.address}  Host: {target.host}"
    )


def served_classes(session: Session) -> tuple[str, ...]:
    """Class names of the served model, in the order of its outputs."""
    commit = serving.service_status(session.settings, session.names.service).version
    version = mlde.version_for_commit(session.determined, session.names.model, commit) if commit else None
    classes = (version.metadata or {}).get("classes") if version is not None else None
    return tuple(classes) if classes else ("dog", "cat")


def predict_pictures(session: Session, pictures: Sequence[Path]) -> Table:
    """Predict the classes of pictures and compare each answer with the picture's name.

    Args:
        session: The session.
        pictures: Picture files.
    """
    classes = served_classes(session)
    rows = []
    for picture, answer in ask(session, pictures):
        expected = expected_label(f"{picture.parent.name}/{picture.name}", classes)
        verdict = "" if not expected else ("right" if answer.label == expected else "WRONG")
        rows.append((picture.name, answer.label or answer.error, f"{answer.score or 0:.0%}", expected, verdict))
        log_prediction(picture.name, expected, answer.label)
    return Table(("Picture", "Predicted", "Probability", "Should be", "Verdict"), rows)


def ask(session: Session, pictures: Sequence[Path]) -> list[tuple[Path, Prediction]]:
    """Every picture with the service's answer.

    Args:
        session: The session.
        pictures: Picture files.
    """
    target = serving.endpoint(session.settings, session.names.service)
    answers: list[tuple[Path, Prediction]] = []
    with Progress(f"Asking {session.names.service}", len(pictures), "pictures") as progress:
        instances = (to_request([each], max_bytes=target.max_bytes - BODY_BYTES)["instances"][0] for each in pictures)
        for batch in predict_in_batches(target, instances, progress.say):
            answers += zip(pictures[len(answers) :], batch, strict=False)
            progress.step(len(answers))
        progress.end(
            f"{session.names.service} answered for {counted(len(pictures), 'picture')} in {progress.seconds:.1f} s."
        )
    return answers


def curl(session: Session, file: str) -> str:
    """The setup guide's curl line with this cluster's values.

    Args:
        session: The session.
        file: Name of a request file in ``sample-data``.
    """
    return serving.curl_command(
        session.settings, session.names.service, str(session.sample(file).relative_to(session.checkout))
    )


class LeastSure(Exercise):
    """Compare probabilities, not only classes."""

    name = "05-unsure"
    kind = "Measure"
    question = "Which of the six sample pictures is the model least sure about? Answer with its file name."
    hint = "lab.ask(pictures) returns pairs of picture and answer; an answer has a score."
    solution = "answer = min(lab.ask(lab.samples()), key=lambda pair: pair[1].score)[0].name"
    why = "A person should look at the pictures that a model is unsure about."

    def expected(self, session: Session) -> str:
        """Name of the sample picture whose answer has the lowest score."""
        return min(ask(session, samples(session, "")), key=lambda pair: pair[1].score)[0].name


class EncodedSize(Exercise):
    """Predict the size of a request."""

    name = "05-size"
    kind = "Predict"
    question = "A picture has 30,000 bytes. How many characters long is its base64 text?"
    hint = "Base64 writes three bytes as four characters."
    solution = "answer = 30_000 // 3 * 4"
    why = "Base64 adds a third, so a quarter of what is sent is overhead."

    def expected(self, session: Session) -> int:
        """Length of the text of so many bytes."""
        return len(base64.b64encode(bytes(30_000)))


class TwoPictures(Exercise):
    """Send two pictures in one request."""

    name = "05-two"
    kind = "Change"
    question = (
        "Send the pictures of `cat.json` and `dog.json`, in this order, in *one* request. Which list of `predictions` "
        "comes back?"
    )
    hint = (
        "Each file holds a list `instances` with one entry. Put both entries into one list, and send it with requests."
    )
    solution = (
        "import json\n\n"
        "import requests\n\n"
        "from pdk_nb.platforms import serving\n\n"
        "target = serving.endpoint(lab.settings, lab.names.service)\n"
        'instances = [json.loads(lab.sample(name).read_text())["instances"][0] for name in ("cat.json", "dog.json")]\n'
        'sent = requests.post(target.url, json={"instances": instances}, headers={"Host": target.host}, timeout=60)\n'
        'answer = sent.json()["predictions"]'
    )
    why = "One request can hold many pictures; the predictions come back in the same order."

    def expected(self, session: Session) -> list[Any]:
        """The service's answers for both pictures."""
        instances = [json.loads(session.sample(name).read_text())["instances"][0] for name in ("cat.json", "dog.json")]
        target = serving.endpoint(session.settings, session.names.service)
        return [each.index for each in serving.predict(target, images={"instances": instances}, detail=False)]


class WrongHost(Exercise):
    """See what a wrong Host header does."""

    name = "05-host"
    kind = "Repair"
    question = (
        "A colleague's request fails. The body is `cat.json`, the address is right, but the `Host` header is "
        "`dog-cat.example.com`. Send it yourself: with which HTTP status does the ingress answer?"
    )
    hint = "Change the headers of the cell with requests, and look at answer.status_code."
    solution = (
        "import requests\n\n"
        "from pdk_nb.platforms import serving\n\n"
        "target = serving.endpoint(lab.settings, lab.names.service)\n"
        'body, headers = lab.sample("cat.json").read_bytes(), {"Host": "dog-cat.example.com"}\n'
        "answer = requests.post(target.url, body, headers=headers, timeout=60).status_code"
    )
    why = "The request reached the ingress but no service. With the host of the service's URL, it works."

    def expected(self, session: Session) -> int:
        """The status that the ingress gives for a host that no service has."""
        import requests

        target = serving.endpoint(session.settings, session.names.service)
        body = session.sample("cat.json").read_bytes()
        return requests.post(target.url, body, headers={"Host": "dog-cat.example.com"}, timeout=60).status_code


def check(session: Session, **facts: Any) -> Findings:
    """05: the service answers; the task judges the answers.

    Args:
        session: The session.
        facts: What the task's own check takes.
    """
    return tasks.for_lab(session).check_answers(session, **facts)


def check_pictures(
    session: Session, pictures: list[Path] | None = None, judge: bool = True, min_right: int = 5
) -> Findings:
    """Whether the service answers. For the lab's own pets, cat.json is a cat (1) and dog.json a dog (0).

    Args:
        session: The session.
        pictures: Pictures that weren't used for training; the lab's own six when None.
        judge: Whether to judge the answers. A model that learned from other pictures, or from only a few, guesses.
        min_right: How many of the pictures must be right.
    """
    target = serving.endpoint(session.settings, session.names.service)
    for name, index in (("cat.json", 1), ("dog.json", 0)):
        request = json.loads(session.sample(name).read_text())
        answer = serving.predict(target, images=request, detail=False)[0]
        if not judge:
            yield expect(
                answer.index is not None,
                f"The answer for {name} is class {answer.index}.",
                f"There is no answer for {name}: {answer.error}",
                "Check the log of the service's pod.",
            )
            continue
        yield expect(
            answer.index == index,
            f"{name} is class {index}.",
            f"{name} is class {answer.index}, not {index}.",
            "Train with more pictures; with only a few, a model guesses.",
        )
    classes = served_classes(session)
    answers = ask(session, samples(session, "") if pictures is None else pictures)
    right = sum(answer.label == expected_label(f"{path.parent.name}/{path.name}", classes) for path, answer in answers)
    wanted = min_right if judge else 0
    yield expect(
        right >= wanted,
        f"{right} of {len(answers)} sample pictures are right.",
        f"Only {right} of {len(answers)} sample pictures are right; {wanted} are required.",
        "Train with more pictures.",
    )


def guide_request(session: Session) -> dict[str, Any]:
    """The first of the example's requests, with long text shortened."""
    request = json.loads(session.sample(session.example.requests[0]).read_text())
    shown = [
        {**each, "data": f"{each['data'][:40]}…"} if isinstance(each["data"], str) else each
        for each in request["instances"]
    ]
    return {**request, "instances": shown}


def guide_answer(session: Session) -> list[Any]:
    """The classes that the service gives for this request."""
    request = json.loads(session.sample(session.example.requests[0]).read_text())
    target = serving.endpoint(session.settings, session.names.service)
    return [each.index for each in serving.predict(target, images=request, detail=False)]


REQUEST = Explanation(
    "05-request",
    "A request",
    guide_request,
    {
        "instances": "One entry for each picture; the answer has one prediction for each, in the same order.",
        "instances.data": "The file's bytes as base64 text: JSON can't hold bytes.",
    },
    lambda session: curl(session, session.example.requests[0]),
    guide_answer,
)

LESSON = Lesson(
    "05",
    check,
    needs=("00", "01", "02", "03", "04"),
    exercises=(LeastSure(), EncodedSize(), TwoPictures(), WrongHost()),
    explanations=(REQUEST,),
)
