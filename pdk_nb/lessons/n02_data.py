"""Lesson 02: pictures arrive, are inspected, and become one commit."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdk_nb import tasks
from pdk_nb.counting import counted
from pdk_nb.display.progress import Progress
from pdk_nb.display.tables import Note, Table
from pdk_nb.journey import latest_commit
from pdk_nb.labels import LabelRule, infer_classes, split
from pdk_nb.lessons import n01_pipelines
from pdk_nb.lessons.explanation import Explanation
from pdk_nb.lessons.lesson import Exercise, Findings, Lesson, expect
from pdk_nb.photos import Photo, PhotoSet, ignored, load_image, scan
from pdk_nb.picture_sources import folder_of
from pdk_nb.platforms import mldm
from pdk_nb.tasks import lab_task
from pdk_shared.errors import DataError, PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session

# Pictures for each class with ``small``.
SMALL = 40
# Maximum number of pictures for comparing versions: enough to see a difference of a few percent.
HOLD_OUT = 140


@dataclass(frozen=True)
class Arrival:
    """An arrival: pictures that become one commit.

    Attributes:
        name: ``data1`` and so on.
        photos: What the scan found.
    """

    name: str
    photos: PhotoSet

    def show(self, count: int = 16, seed: int = 1) -> Any:
        """A grid with a sample of the pictures, the same each time.

        Args:
            count: How many pictures.
            seed: Seed of the sample.
        """
        some = list(self.photos.photos)
        random.Random(seed).shuffle(some)
        from pdk_nb.display import charts  # its drawing library takes a while to load

        return charts.photo_grid([(load_image(photo.path), photo.class_name) for photo in some[:count]])

    def histogram(self) -> Any:
        """A histogram of the classes."""
        from pdk_nb.display import charts

        return charts.histogram(self.photos.counts(), f"pictures in {self.name}")

    def skipped(self) -> Table | Note:
        """Files that aren't used, each with the reason, and names that must change."""
        rows: list[tuple[str, str, str]] = [(each.name, "skipped", each.reason) for each in self.photos.skipped]
        rows += [
            (old, "renamed", f"Pachyderm refuses this name; committed as {new}")
            for old, new in self.photos.renames.items()
        ]
        rows += [(names[0], "the same as", ", ".join(names[1:])) for names in self.photos.duplicates]
        if not rows:
            return Note("ok", f"All {len(self.photos.photos)} pictures can be used.")
        return Table(("File", "What", "Reason"), rows)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return self.photos.size

    def files(self) -> dict[str, Path]:
        """Local files by their path in the commit's folder."""
        return {self.photos.renames.get(photo.name, photo.name): photo.path for photo in self.photos.photos}


def open_photos(
    session: Session, source: str, arrival: str, classes: Sequence[str], limit: int = 0, seed: int = 1
) -> Arrival:
    """Inspect the pictures of a folder or zip file.

    Args:
        session: The session.
        source: Folder or zip file; the sample data when empty.
        arrival: Name of the arrival; a zip file may contain several as top-level folders.
        classes: Class names in the order of the model's outputs.
        limit: Use only this many pictures of each class, the same each time; all when 0.
        seed: Seed of the sample.

    Raises:
        DataError: The pictures can't be used for training.
    """
    rule = LabelRule(tuple(classes))
    with Progress(f"Inspecting the pictures of {arrival}", unit="files") as progress:
        photos = scan(folder_of(session, source, arrival), rule, progress.step)
        progress.end(f"Inspected {len(photos.photos) + len(photos.skipped)} files of {arrival}.")
    if not photos.photos:
        _say_which_classes(photos)
    _check_renames(photos)
    if limit:
        photos = replace(photos, photos=_some_of_each(photos, limit, seed))
    photos.check()
    return Arrival(arrival, photos)


def _say_which_classes(photos: PhotoSet) -> None:
    """Raise an error if the names give other classes than the pipeline learns."""
    try:
        found = infer_classes(each.name for each in photos.skipped if ignored(each.name) is None)
    except DataError:
        return
    wanted = ", ".join(photos.rule.classes)
    raise DataError(
        f"No picture is a {' or a '.join(photos.rule.classes)}; these show {', '.join(found)}.",
        where=str(photos.folder),
        fix=f'The train pipeline learns {wanted}. Run notebook 01 with classes = "{",".join(found)}" first.',
    )


def _check_renames(photos: PhotoSet) -> None:
    """Refuse names that would lose their class: training sees only names that Pachyderm accepts."""
    for photo in photos.photos:
        new = photos.renames.get(photo.name)
        if new is not None and photos.rule.label(new) != photo.label:
            raise DataError(
                f"Pachyderm refuses the name {photo.name}, and {new} would no longer be a {photo.class_name}.",
                where=str(photos.folder),
                fix="Give the class a name with the letters a to z, and name the folder or files after it.",
            )


def _some_of_each(photos: PhotoSet, limit: int, seed: int) -> tuple[Photo, ...]:
    """A random sample of each class, the same each time, sorted by name."""
    kept: list[Photo] = []
    for label in range(len(photos.rule.classes)):
        group = [photo for photo in photos.photos if photo.label == label]
        kept += random.Random(seed).sample(group, min(limit, len(group)))
    return tuple(sorted(kept, key=lambda photo: photo.name))


def commit(session: Session, arrival: lab_task.Arrival, folder: str = "") -> str:
    """Commit an arrival into a folder of the data repo.

    Args:
        session: The session.
        arrival: The data.
        folder: Folder in the repo; the next free ``dataN`` when empty.

    Returns:
        The commit's id; when the same files are already in the repo, that of the newest commit, or, if its train job
        has failed, that of a new commit without changes, which starts it again.
    """
    names, client = session.names, session.pachyderm
    wanted, files = dict(arrival.files()), tasks.for_lab(session).files
    same = mldm.find_same(client, names.project, names.data_repo, wanted)
    if same:
        head = latest_commit(session)
        known = f"These {len(wanted)} {files} are already in /{same}"
        job = mldm.job(client, names.project, names.train_pipeline, head)
        if job is None or job.state not in mldm.FAILED:
            print(f"{known}; no new commit. The newest commit is {head}.")
            return head
        id = mldm.commit_again(client, names.project, names.data_repo, f"tries {head} again")
        print(
            f"{known}, but the train job of {head} ended as {job.state}. A commit without changes starts it again: {id}"
        )
        return id
    target = folder or mldm.next_folder(client, names.project, names.data_repo)
    kilobytes = arrival.size / 1e3
    size = f"{kilobytes / 1e3:.1f} MB" if kilobytes >= 100 else f"{kilobytes:.0f} kB"
    with Progress(f"Sending {files} to {names.data_repo}@master:/{target}", len(wanted), files) as progress:
        id = mldm.commit_files(client, names.project, names.data_repo, target, wanted, progress.step)
        progress.end(
            f"Committed {counted(len(wanted), files.removesuffix('s'))} ({size}) to {names.data_repo}@master:/{target} "
            f"in {progress.seconds:.1f} s."
        )
    print(f"The id that links everything from here on: {id}")
    return id


def committed(session: Session, commit: str) -> list[tuple[str, int]]:
    """Path and class index of every picture of a commit, as training sees them.

    Args:
        session: The session.
        commit: Id of a commit of the data repo.
    """
    rule = LabelRule(n01_pipelines.classes(session))
    paths = mldm.files(session.pachyderm, mldm.commit_of(session.names.project, session.names.data_repo, id=commit))
    return [(path, label) for path in paths if ignored(path) is None and (label := rule.label(path)) is not None]


def datums(session: Session, globs: Sequence[str]) -> Table:
    """The datums that globs would make of the newest commit.

    Args:
        session: The session.
        globs: The globs.

    Raises:
        DataError: Pachyderm refuses a glob.
    """
    names, rows = session.names, []
    for glob in globs:
        found = mldm.datums(session.pachyderm, names.project, names.data_repo, glob)
        shown = [*found[:2], "…", found[-1]] if len(found) > 3 else found
        rows.append((glob, str(len(found)), ", ".join(shown) or "nothing matches"))
    return Table(("Glob", "Datums", "Paths"), rows)


def hold_out(arrivals: Sequence[Arrival]) -> list[Path]:
    """Pictures that are never used for training, selected like the experiment's validation set.

    A picture's path in the repo alone decides, so the selection is the same for every version.

    Args:
        arrivals: The committed arrivals, each in a folder with its name.
    """
    by_path: dict[str, Path] = {}
    for arrival in arrivals:
        by_path |= {f"{arrival.name}/{name}": local for name, local in arrival.files().items()}
    rule = arrivals[0].photos.rule
    _, held = split((path, label) for path in by_path if (label := rule.label(path)) is not None)
    ordered = sorted(held, key=lambda path: hashlib.sha256(path.encode()).hexdigest())
    return [by_path[path] for path in ordered[:HOLD_OUT]]


class HoldOutSize(Exercise):
    """Count the pictures of the hold-out."""

    name = "02-hold-out"
    kind = "Measure"
    question = "How many pictures of the newest commit are never used for training?"
    hint = "lab.committed() gives path and class of every picture; pdk_nb.labels.split() splits them as training does."
    solution = "from pdk_nb.labels import split\n\nanswer = len(split(lab.committed())[1])"
    why = "A picture's path alone decides, so it stays in the same set when more pictures arrive."

    def expected(self, session: Session) -> int:
        """Pictures of the newest commit in the hold-out."""
        return len(split(committed(session, latest_commit(session)))[1])


def missing(session: Session) -> str:
    """Whether a commit is missing."""
    head = mldm.newest(session.pachyderm, session.names.project, session.names.data_repo)
    return "" if head else "nothing has been committed yet"


def check(session: Session, **facts: Any) -> Findings:
    """02: the newest commit holds usable data; the task judges it.

    Args:
        session: The session.
        facts: What the task's own check takes.
    """
    return tasks.for_lab(session).check_commit(session, **facts)


def check_pictures(session: Session, minimum: int = 2) -> Findings:
    """Whether the newest commit holds pictures of every class and nothing else.

    Args:
        session: The session.
        minimum: Minimum number of pictures of each class.
    """
    commit = latest_commit(session)
    paths = mldm.files(session.pachyderm, mldm.commit_of(session.names.project, session.names.data_repo, id=commit))
    unusable = [path for path in paths if ignored(path)]
    folders = counted(len({path.split("/")[1] for path in paths}), "folder")
    yield expect(
        len(paths) - len(unusable) >= 2 * minimum,
        f"Commit {commit} holds {len(paths)} pictures in {folders}.",
        f"Commit {commit} holds {len(paths)} files, too few for training.",
        "Commit more pictures with lab.commit().",
    )
    yield expect(
        not unusable,
        "All its files are pictures.",
        f"{len(unusable)} files aren't pictures: {', '.join(unusable[:3])}",
        "Training skips them. To remove them, use pachctl delete file.",
    )


class GlobDatums(Exercise):
    """Count the datums of another glob."""

    name = "02-glob"
    kind = "Measure"
    question = "How many datums would the glob `/*` make of the newest commit?"
    hint = "A datum is one match of the glob. The cell above counts the datums of the train pipeline's own glob."
    solution = (
        "from python_pachyderm.service import pps_proto\n\n"
        'pfs = pps_proto.PFSInput(project=lab.names.project, repo=lab.names.data_repo, branch="master", glob="/*")\n'
        "answer = len(list(lab.pachyderm.list_datum(input=pps_proto.Input(pfs=pfs))))"
    )
    why = "Each top-level entry is a datum: workers can process them at the same time, and skip unchanged ones."

    def expected(self, session: Session) -> int:
        """Datums of the glob."""
        return mldm.datum_count(session.pachyderm, session.names.project, session.names.data_repo, "/*")


class NextDatums(Exercise):
    """Predict the datums of a commit that doesn't exist yet."""

    name = "02-next"
    kind = "Predict"
    question = (
        "Somebody commits one more picture, into a new top-level folder. How many datums would the glob `/*` make of "
        "the repo then?"
    )
    hint = "A commit contains everything that the repo holds from then on, not only what is new."
    solution = f"{GlobDatums.solution} + 1"
    why = "The old folders are datums that didn't change: a pipeline with this glob would process only the new one."

    def expected(self, session: Session) -> int:
        """One datum more than now."""
        return mldm.datum_count(session.pachyderm, session.names.project, session.names.data_repo, "/*") + 1


class PictureGlob(Exercise):
    """Repair a glob that matches nothing."""

    name = "02-repair"
    kind = "Repair"
    question = (
        "A colleague wants to process each picture as a datum, but the glob `/*.jpg` makes no datum of this repo. "
        "Repair it: which glob makes one datum of each picture of the newest commit?"
    )
    hint = "Pictures are in folders. A * doesn't match a slash, so the glob needs one for each level."
    solution = 'path, _ = lab.committed()[0]\nanswer = "/*" * path.count("/")'
    why = "A glob that matches nothing isn't an error: the job succeeds at once and does nothing."

    def expected(self, session: Session) -> int:
        """Datums that the glob has to make."""
        return len(committed(session, latest_commit(session)))

    def fault(self, session: Session, answer: Any) -> str:
        """How many datums the glob makes instead."""
        names, wanted = session.names, self.expected(session)
        try:
            found = mldm.datum_count(session.pachyderm, names.project, names.data_repo, str(answer))
        except PdkError as error:
            return f"Pachyderm refuses {answer!r}: {error.what}"
        return "" if found == wanted else f"{answer!r} makes {counted(found, 'datum')} of {wanted} pictures"


def commit_object(session: Session) -> dict[str, Any]:
    """The newest commit of the data repo, as Pachyderm has it."""
    names, id = session.names, latest_commit(session)
    return mldm.commit_data(session.pachyderm, mldm.commit_of(names.project, names.data_repo, id=id))


COMMIT = Explanation(
    "02-commit",
    "The newest commit of the data repo",
    commit_object,
    {
        "commit.id": "The global id: every job and every commit that follow from this commit have the same one.",
        "commit.branch.name": "A branch is a name for its newest commit, the head; pipelines watch it.",
        "origin.kind": "USER: somebody committed it. AUTO: a pipeline did.",
        "finished": "When the commit was finished. It never changes after that.",
        "details.size_bytes": "The size of all files that the commit contains, new or not.",
    },
    lambda session: f"pachctl inspect commit {session.names.data_repo}@master --project {session.names.project} --raw",
    lambda session: mldm.datum_count(session.pachyderm, session.names.project, session.names.data_repo, "/"),
)

LESSON = Lesson(
    "02",
    check,
    needs=("00", "01"),
    missing=missing,
    exercises=(GlobDatums(), NextDatums(), HoldOutSize(), PictureGlob()),
    explanations=(COMMIT,),
)
