"""Lesson 08, an elective: a pipeline that classifies a folder of pictures, each picture as a datum of its own."""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pdk_nb import specs
from pdk_nb.counting import counted
from pdk_nb.display.diagrams import State, Tile, Tiles
from pdk_nb.display.picture_table import PictureRow, picture_table
from pdk_nb.display.progress import OutputArea, Progress
from pdk_nb.display.tables import Markup, Note, Table
from pdk_nb.journey.states import DATUMS
from pdk_nb.labels import LabelRule, split
from pdk_nb.lessons import n01_pipelines
from pdk_nb.lessons.explanation import Explanation
from pdk_nb.lessons.lesson import Exercise, Findings, Lesson, WrittenExercise, expect, read_written
from pdk_nb.photos import suggest_name
from pdk_nb.picture_sources import folder_of, pictures_in
from pdk_nb.platforms import mldm, serving
from pdk_nb.platforms.cluster import resolve
from pdk_nb.platforms.serving.objects import need
from pdk_nb.platforms.serving.predictions import Endpoint
from pdk_nb.stages.classify import SUFFIX
from pdk_shared.errors import DataError

if TYPE_CHECKING:
    from pdk_nb.session import Session

# Pictures of the lab's own batch, without the broken one.
LAB_PICTURES, SMALL_PICTURES = 23, 7
BROKEN = "broken.jpg"
# Bytes of a picture that arrive before the connection breaks.
BROKEN_BYTES = 300
# What a datum's state means for people, and how it's drawn.
WORDS: dict[State, str] = {
    "done": "classified",
    "missing": "recovered",
    "failed": "failed",
    "running": "running",
    "waiting": "to do",
}
REDRAW_S = 0.5


@dataclass(frozen=True)
class Batch:
    """Pictures to classify.

    Attributes:
        files: Local files by their name in the batch's folder.
    """

    files: dict[str, Path]

    def __str__(self) -> str:
        return f"{counted(len(self.files), 'file')}: {', '.join(list(self.files)[:4])} …"

    __repr__ = __str__


def open_batch(session: Session, source: str, small: bool, broken: bool) -> Batch:
    """The pictures of a folder or zip file, or some of the lab's own that no model was trained with.

    Args:
        session: The session.
        source: Folder or zip file; the lab's own when empty.
        small: Whether to take only a few of the lab's own.
        broken: Whether to add a file that broke off on its way.

    Raises:
        DataError: There is no picture.
    """
    folder = folder_of(session, source, "data2")
    found = pictures_in(folder)
    if not source:
        rule = LabelRule()
        paths = {f"data2/{path.name}": path for path in found}
        _, held = split((name, label) for name in paths if (label := rule.label(name)) is not None)
        ordered = sorted(held, key=lambda path: hashlib.sha256(path.encode()).hexdigest())
        found = sorted(paths[name] for name in ordered[: SMALL_PICTURES if small else LAB_PICTURES])
    files: dict[str, Path] = {}
    for path in found:
        # One level, so that the glob makes a datum of each picture.
        name = "-".join(path.relative_to(folder).parts) if source else path.name
        files[suggest_name(name)] = path
    if broken:
        files[BROKEN] = _broken(found[0])
    return Batch(files)


def _broken(picture: Path) -> Path:
    """A copy of a picture that ends after a few bytes."""
    folder = Path(tempfile.mkdtemp(prefix="pdk-broken-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / BROKEN
    path.write_bytes(picture.read_bytes()[:BROKEN_BYTES])
    return path


def create_pipeline(session: Session, workers: int) -> Table:
    """Create the repo and the batch pipeline, or update the pipeline if its spec has changed.

    Args:
        session: The session.
        workers: How many workers share the datums.

    Raises:
        DeploymentError: There is no service to ask.
    """
    names, client = session.names, session.pachyderm
    repo = mldm.ensure_repo(client, names.project, names.batch_repo, "Pictures to classify")
    spec = specs.batch_spec(session.settings, names, targets(session), workers)
    pipeline = mldm.ensure_pipeline(client, spec)
    rows = [
        ("Pachyderm repo", names.batch_repo, repo),
        ("Pachyderm pipeline", names.batch_pipeline, pipeline),
    ]
    return Table(("What", "Name", "Outcome"), rows, caption=f"Glob {specs.BATCH_GLOB}, {counted(workers, 'worker')}")


def targets(session: Session) -> list[Endpoint]:
    """Where workers can ask the service: at the ingress, and at its address inside the cluster.

    A person's ingress address may be a tunnel that ends on the person's machine; pods can't use it.

    Args:
        session: The session.

    Raises:
        DeploymentError: There is no service.
    """
    ingress = serving.endpoint(session.settings, session.names.service)
    status = need(resolve(session.settings), session.names.service).get("status") or {}
    inside = urlsplit(str((status.get("address") or {}).get("url") or "")).netloc
    return [ingress, replace(ingress, address=inside, host=inside)] if inside else [ingress]


def commit_batch(session: Session, batch: Batch) -> str:
    """Commit a batch into a folder of its own; the same pictures again don't create a new commit.

    Args:
        session: The session.
        batch: The pictures.

    Returns:
        The commit's id.
    """
    names, client = session.names, session.pachyderm
    same = mldm.find_same(client, names.project, names.batch_repo, batch.files)
    if same:
        head = mldm.head(client, names.project, names.batch_repo)
        print(f"These {len(batch.files)} files are already in /{same}; no new commit. The newest commit is {head}.")
        return head
    folder = mldm.next_folder(client, names.project, names.batch_repo, "batch")
    with Progress(f"Sending files to {names.batch_repo}@master:/{folder}", len(batch.files), "files") as progress:
        id = mldm.commit_files(client, names.project, names.batch_repo, folder, batch.files, progress.step)
        progress.end(f"Committed {len(batch.files)} files to {names.batch_repo}@master:/{folder}: {id}")
    return id


def follow_batch(session: Session, commit: str, timeout: float) -> None:
    """Watch the job of a batch: one sign for each datum.

    Args:
        session: The session.
        commit: Id of a commit of the batch repo.
        timeout: Seconds to wait.

    Raises:
        TrainingError: The job failed, or didn't end in time.
    """
    names, client = session.names, session.pachyderm
    source = mldm.commit_of(names.project, names.batch_repo, id=commit)
    paths = sorted(path for path in mldm.files(client, source) if path.count("/") == specs.BATCH_GLOB.count("/"))
    area = OutputArea()

    def draw() -> list[mldm.Datum]:
        found = mldm.job_datums(client, names.project, names.batch_pipeline, commit)
        area.show(tiles(paths, found).draw())
        return found

    with Progress(f"Waiting for the job of {commit[:12]}…", len(paths), "datums") as progress:

        def look(job: mldm.Job | None) -> None:
            if job is not None:
                progress.step(len(draw()))

        job = mldm.wait_job(
            client,
            names.project,
            names.batch_pipeline,
            commit,
            timeout=timeout,
            interval=REDRAW_S,
            progress=look,
        )
        found = draw()
        busy = sum(each.seconds for each in found if each.state != "SKIPPED")
        progress.end(
            f"The job ended as {job.state} after {job.seconds:.0f} s; its workers computed for {busy:.0f} s in total."
        )


def tiles(paths: list[str], found: list[mldm.Datum]) -> Tiles:
    """The datums of a batch, each with its state.

    Args:
        paths: Path of each datum.
        found: The datums that are done.
    """
    states = {path: each.state for each in found for path in each.paths}
    drawn = [
        Tile(f"{path}: {states.get(path, 'waiting').lower()}", DATUMS.get(states.get(path, ""), "waiting"))
        for path in paths
    ]
    return Tiles(drawn, counted(len(paths), "datum"), WORDS)


def results(session: Session, commit: str, rows: int) -> Markup:
    """The answers of a batch, the least sure pictures first.

    Args:
        session: The session.
        commit: Id of a commit of the batch repo.
        rows: How many rows at most.

    Raises:
        DataError: The batch has no answers.
    """
    names, client = session.names, session.pachyderm
    answers = answers_of(session, commit)
    if not answers:
        raise DataError("This batch has no answers.", where=commit, fix="Wait for its job: lab.follow_batch().")
    rule = LabelRule(n01_pipelines.classes(session))
    source = mldm.commit_of(names.project, names.batch_repo, id=commit)
    shown = []
    for each in answers[:rows]:
        name = str(each["picture"])
        true = rule.name(name) or ""
        verdict = "" if not true else "right" if true == each["label"] else f"wrong: {true}"
        picture = mldm.read_file(client, source, f"/{name}")
        shown.append(PictureRow(picture, name, sure(each), (str(each["label"]), verdict)))
    recovered = sum(each.state == "RECOVERED" for each in _datums(session, commit))
    return picture_table(
        ("Picture", "Probability", "Class", "By its name"),
        shown,
        f"{counted(len(answers), 'picture')} classified, {recovered} set aside; the least sure first",
    )


def answers_of(session: Session, commit: str) -> list[dict[str, Any]]:
    """The answers in the output of a batch, the least sure first.

    Args:
        session: The session.
        commit: Id of a commit of the batch repo.
    """
    names = session.names
    output = mldm.commit_of(names.project, names.batch_pipeline, id=commit)
    found = mldm.read_files(session.pachyderm, output)
    return sorted((json.loads(content) for path, content in found.items() if path.endswith(SUFFIX)), key=sure)


def sure(answer: dict[str, Any]) -> float:
    """The probability of the class that the model chose."""
    return float((answer.get("scores") or {}).get(answer["label"], 0.0))


def _datums(session: Session, commit: str) -> list[mldm.Datum]:
    names = session.names
    return mldm.job_datums(session.pachyderm, names.project, names.batch_pipeline, commit)


def newest(session: Session) -> str:
    """The newest commit of the batch repo; empty while there is none."""
    return mldm.newest(session.pachyderm, session.names.project, session.names.batch_repo)


class SetAside(Exercise):
    """Find the datum that was recovered."""

    name = "08-aside"
    kind = "Find"
    question = "Which file did `err_cmd` set aside? Answer with its path in the repo."
    hint = "The client's list_datum(pipeline, job, project_name=…) gives the datums of a job; RECOVERED is a state."
    solution = (
        "from python_pachyderm.service import pps_proto\n\n"
        "client, project = lab.pachyderm, lab.names.project\n"
        "job = next(iter(client.list_job(lab.names.batch_pipeline, project_name=project))).job.id\n"
        "datums = client.list_datum(lab.names.batch_pipeline, job, project_name=project)\n"
        "aside = [datum for datum in datums if datum.state == pps_proto.DatumState.RECOVERED]\n"
        "answer = aside[0].data[0].file.path"
    )
    why = "Its state tells it from the others, long after the log is gone. With the next commit, it's tried again."

    def expected(self, session: Session) -> str:
        """Path of the recovered datum of the newest job; empty without one."""
        found = [each for each in _datums(session, newest(session)) if each.state == "RECOVERED"]
        return found[0].paths[0] if found else ""


class BusyWorkers(Exercise):
    """Predict how many workers have something to do."""

    name = "08-busy"
    kind = "Predict"
    folders = (50, 50, 50)
    question = (
        "A repo holds 3 folders with 50 pictures each. The glob is `/*`, and `parallelism_spec` has `constant: 8`. How "
        "many of the 8 workers get a datum?"
    )
    hint = "A worker takes one datum at a time. How many datums does this glob make?"
    solution = "answer = min(8, 3)"
    why = "A datum is never shared. With /*/*, there would be 150 datums, and all workers would be busy."

    def expected(self, session: Session) -> int:
        """The smaller number of datums and workers."""
        return min(8, len(self.folders))


class WrittenTransform(WrittenExercise):
    """Repair an error handler that hides everything."""

    name = "08-repair"
    kind = "Repair"
    question = """A colleague's pipeline classifies pictures, too. While the service was down for an hour, its jobs \
succeeded, but their output is empty. Repair the spec so that only files that can't be read are set aside, as in the \
pipeline above, and each datum is tried 3 times. Answer with the whole text in triple quotes.

```yaml
datum_tries: 1
transform:
  err_cmd: ["true"]
```"""
    hint = "true always succeeds, so every failure counts as recovered. Which program decides in the spec above?"
    solution = '''answer = """
datum_tries: 3
transform:
  err_cmd: [/bin/sh]
  err_stdin: [exec python classify.py --set-aside]
"""'''
    why = "An error handler should recover only what it understands; everything else must fail, so that somebody looks."

    def fault(self, session: Session, answer: Any) -> str:
        """What is wrong; the handler may be started with or without a shell."""
        written, fault = read_written(answer)
        if fault:
            return fault
        transform = written.get("transform") if isinstance(written, dict) else None
        if not isinstance(transform, dict):
            return "the field transform is missing"
        words = [str(word) for key in ("err_cmd", "err_stdin") for word in transform.get(key) or ()]
        if "--set-aside" not in " ".join(words):
            return "the error handler still succeeds whatever happened"
        return super().fault(session, {**written, "transform": {}})

    def expected(self, session: Session) -> dict[str, Any]:
        """The fields besides the handler."""
        return {"datum_tries": 3, "transform": {}}


def check(session: Session) -> Findings:
    """08: the newest batch's job succeeded, and each of its files has an answer or was set aside."""
    names, commit = session.names, newest(session)
    if not commit:
        yield Note("not yet", "No batch has been committed yet.", "Run the cell with lab.commit_batch().")
        return
    job = mldm.job(session.pachyderm, names.project, names.batch_pipeline, commit)
    yield expect(
        job is not None and job.state == "SUCCESS",
        f"The job of {commit} succeeded.",
        f"The job of {commit} is {job.state.lower() if job else 'missing'}.",
        "Run the cell with lab.follow_batch(): it waits for the job.",
        state="not yet",
    )
    files = mldm.files(session.pachyderm, mldm.commit_of(names.project, names.batch_repo, id=commit))
    aside = sum(each.state == "RECOVERED" for each in _datums(session, commit))
    answers = len(answers_of(session, commit))
    yield expect(
        answers > 0 and answers + aside == len(files),
        f"Of {len(files)} files, {answers} have an answer and {aside} {'was' if aside == 1 else 'were'} set aside.",
        f"Of {len(files)} files, only {answers} have an answer, and {aside} were set aside.",
        f"pachctl list datum {names.batch_pipeline}@{commit} --project {names.project}",
    )


def batch_spec(session: Session) -> dict[str, Any]:
    """The spec of the batch pipeline, as Pachyderm has it."""
    return mldm.pipeline_spec(session.pachyderm, session.names.project, session.names.batch_pipeline)


SPEC = Explanation(
    "08-spec",
    "The spec of the batch pipeline",
    batch_spec,
    {
        "input.pfs.glob": "/*/*: a datum for each file of each folder.",
        "parallelism_spec.constant": "How many workers share the datums.",
        "transform.stdin": "What a worker runs once for each datum.",
        "transform.err_stdin": "What it runs after each failed try; if it succeeds, the datum is recovered.",
        "datum_tries": "How often a datum is tried before it counts as failed or recovered.",
    },
    lambda session: f"pachctl inspect pipeline {session.names.batch_pipeline} --project {session.names.project} --raw",
    lambda session: len(_datums(session, newest(session))),
)

LESSON = Lesson(
    "08",
    check,
    needs=("00", "01", "02", "03", "04"),
    exercises=(SetAside(), BusyWorkers(), WrittenTransform()),
    explanations=(SPEC,),
)
