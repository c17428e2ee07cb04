"""Chapter 02: pictures come in, are looked at, and become one commit."""

from __future__ import annotations

import random
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pdk_nb.display import charts
from pdk_nb.display.progress import Progress
from pdk_nb.display.tables import Note, Table
from pdk_nb.labels import LabelRule, infer_classes
from pdk_nb.photos import Photo, PhotoSet, ignored, load_image, scan
from pdk_nb.platforms import mldm
from pdk_shared.errors import DataError

if TYPE_CHECKING:
    from pdk_nb.session import Session

SAMPLE_ZIP = "dataset-dog-cat.zip"
# Pictures of each class in a small lab.
SMALL = 40
# A picture archive has no business growing beyond this when it is unpacked.
MAX_UNPACKED_BYTES = 4 << 30


@dataclass(frozen=True)
class Arrival:
    """Pictures that arrived together.

    Attributes:
        name: ``data1`` and so on.
        photos: What the scan found.
    """

    name: str
    photos: PhotoSet

    def show(self, count: int = 16, seed: int = 1) -> Any:
        """A grid of some of the pictures, the same ones every time."""
        some = list(self.photos.photos)
        random.Random(seed).shuffle(some)
        return charts.photo_grid([(load_image(photo.path), photo.class_name) for photo in some[:count]])

    def histogram(self) -> Any:
        """How many pictures each class has."""
        return charts.histogram(self.photos.counts(), f"pictures in {self.name}")

    def skipped(self) -> Table | Note:
        """Files that will not be used, each with the reason; and names that have to change."""
        rows: list[tuple[str, str, str]] = [(each.name, "skipped", each.reason) for each in self.photos.skipped]
        rows += [
            (old, "renamed", f"Pachyderm refuses this name; committed as {new}")
            for old, new in self.photos.renames.items()
        ]
        rows += [(names[0], "the same as", ", ".join(names[1:])) for names in self.photos.duplicates]
        if not rows:
            return Note("ok", f"All {len(self.photos.photos)} pictures can be used.")
        return Table(("File", "What", "Reason"), rows)

    def files(self) -> dict[str, Path]:
        """Local files by the path that they get inside the commit's folder."""
        return {self.photos.renames.get(photo.name, photo.name): photo.path for photo in self.photos.photos}


def open_photos(
    session: Session, source: str, arrival: str, classes: Sequence[str], limit: int = 0, seed: int = 1
) -> Arrival:
    """Look at the pictures of a folder or zip file.

    Args:
        session: The session.
        source: Folder or zip file; the sample data when empty.
        arrival: Which arrival it is; a zip file may hold several as top folders.
        classes: Class names in the order of the model's outputs.
        limit: Take only this many pictures of each class, the same ones every time; all when 0.
        seed: Which ones.

    Raises:
        DataError: Nothing there can be learned from.
    """
    rule = LabelRule(tuple(classes))
    with Progress(f"Looking at the pictures of {arrival}", unit="files") as progress:
        photos = scan(folder_of(session, source, arrival), rule, progress.step)
        progress.end(f"Looked at {len(photos.photos) + len(photos.skipped)} files of {arrival}.")
    if not photos.photos:
        _say_which_classes(photos)
    _check_renames(photos)
    if limit:
        photos = replace(photos, photos=_some_of_each(photos, limit, seed))
    photos.check()
    return Arrival(arrival, photos)


def folder_of(session: Session, source: str, arrival: str) -> Path:
    """The folder of pictures that a source means; a zip file is unpacked."""
    path = Path(source).expanduser() if source else session.sample(SAMPLE_ZIP)
    if path.suffix.lower() != ".zip":
        return path
    folder = unpack(path)
    return folder / arrival if (folder / arrival).is_dir() else folder


def names_in(source: str) -> list[str]:
    """Paths of the pictures in a folder or zip file, by name alone.

    Raises:
        DataError: There is no such folder, or the zip file cannot be read.
    """
    path = Path(source).expanduser()
    try:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as bundle:
                found = bundle.namelist()
        elif path.is_dir():
            found = [each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file()]
        else:
            raise DataError("There is no such folder or zip file.", where=str(path))
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"The zip file cannot be read: {error}", where=str(path)) from error
    return [name for name in found if not name.endswith("/") and ignored(name) is None]


def _say_which_classes(photos: PhotoSet) -> None:
    """Raise with the classes that the names tell, when they are others than the pipeline's."""
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
    """Refuse names that would lose their class: training sees only what Pachyderm lets through."""
    for photo in photos.photos:
        new = photos.renames.get(photo.name)
        if new is not None and photos.rule.label(new) != photo.label:
            raise DataError(
                f"Pachyderm refuses the name {photo.name}, and as {new} it would be no {photo.class_name} any more.",
                where=str(photos.folder),
                fix="Give the class a name of plain letters (a to z) and name the folder or files after it.",
            )


def _some_of_each(photos: PhotoSet, limit: int, seed: int) -> tuple[Photo, ...]:
    """A few pictures of each class, chosen by chance that is the same every time, in the order of their names."""
    kept: list[Photo] = []
    for label in range(len(photos.rule.classes)):
        group = [photo for photo in photos.photos if photo.label == label]
        kept += random.Random(seed).sample(group, min(limit, len(group)))
    return tuple(sorted(kept, key=lambda photo: photo.name))


def unpack(archive: Path) -> Path:
    """Unpack a zip file into a temporary folder of its own.

    Raises:
        DataError: It is no zip file, leaves its folder, or is absurdly large.
    """
    target = Path(tempfile.mkdtemp(prefix="pdk-photos-"))
    try:
        with zipfile.ZipFile(archive) as bundle:
            total = sum(entry.file_size for entry in bundle.infolist())
            if total > MAX_UNPACKED_BYTES:
                raise DataError(f"The zip file would unpack to {total >> 20} MB.", where=str(archive))
            for entry in bundle.infolist():
                parts = PurePosixPath(entry.filename).parts
                if ".." in parts or entry.filename.startswith("/"):
                    raise DataError(f"The zip file has an entry outside itself: {entry.filename}", where=str(archive))
            bundle.extractall(target)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"The zip file cannot be read: {error}", where=str(archive), fix="Name a folder of pictures or a zip file."
        ) from error
    return target


def commit(session: Session, arrival: Arrival, folder: str = "") -> str:
    """Commit an arrival into a folder of the data repo.

    Args:
        session: The session.
        arrival: The pictures.
        folder: Folder in the repo; the next free ``dataN`` when empty.

    Returns:
        The id of the commit; of the present one when the same pictures are already there.
    """
    names, client = session.names, session.pachyderm
    wanted = arrival.files()
    same = mldm.find_same(client, names.project, names.data_repo, wanted)
    if same:
        head = latest_commit(session)
        print(f"These {len(wanted)} pictures are already in /{same}; no new commit. The newest one is {head}.")
        return head
    target = folder or mldm.next_folder(client, names.project, names.data_repo)
    kilobytes = arrival.photos.size / 1e3
    size = f"{kilobytes / 1e3:.1f} MB" if kilobytes >= 100 else f"{kilobytes:.0f} kB"
    with Progress(f"Sending pictures to {names.data_repo}@master:/{target}", len(wanted), "pictures") as progress:
        id = mldm.commit_files(client, names.project, names.data_repo, target, wanted, progress.step)
        progress.end(
            f"Committed {len(wanted)} pictures ({size}) to {names.data_repo}@master:/{target} "
            f"in {progress.seconds:.1f} s."
        )
    print(f"The id that ties everything from here on: {id}")
    return id


def latest_commit(session: Session) -> str:
    """Id of the newest commit of the data repo that holds pictures.

    Raises:
        DataError: There is none yet.
    """
    names = session.names
    head = mldm.head(session.pachyderm, names.project, names.data_repo)
    if not head:
        raise DataError(
            "The data repo has no commit yet.",
            where=f"{names.project}/{names.data_repo}",
            fix="Run notebook 02 first: it commits pictures.",
        )
    return head


def committed(session: Session, commit: str, classes: Sequence[str]) -> list[tuple[str, int]]:
    """Path and class index of every picture of a commit, as training sees them."""
    rule = LabelRule(tuple(classes))
    paths = mldm.files(session.pachyderm, mldm.commit_of(session.names.project, session.names.data_repo, id=commit))
    return [(path, label) for path in paths if ignored(path) is None and (label := rule.label(path)) is not None]
