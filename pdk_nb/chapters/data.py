"""Chapter 02: pictures come in, are looked at, and become one commit."""

from __future__ import annotations

import random
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pdk_nb import mldm, plots
from pdk_nb.errors import DataError
from pdk_nb.labels import LabelRule
from pdk_nb.photos import PhotoSet, load_image, scan
from pdk_nb.report import Note, Table

if TYPE_CHECKING:
    from pdk_nb.lab import Lab

SAMPLE_ZIP = "dataset-dog-cat.zip"
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
        return plots.photo_grid([(load_image(photo.path), photo.class_name) for photo in some[:count]])

    def histogram(self) -> Any:
        """How many pictures each class has."""
        return plots.histogram(self.photos.counts(), f"pictures in {self.name}")

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


def open_photos(lab: Lab, source: str, arrival: str, classes: str) -> Arrival:
    """Look at the pictures of a folder or zip file.

    Args:
        lab: The lab.
        source: Folder or zip file; the sample data when empty.
        arrival: Which arrival it is; a zip file may hold several as top folders.
        classes: Class names, separated by commas, in the order of the model's outputs.

    Raises:
        DataError: Nothing there can be learned from.
    """
    path = Path(source).expanduser() if source else lab.sample(SAMPLE_ZIP)
    if path.suffix.lower() == ".zip":
        folder = unpack(path)
        folder = folder / arrival if (folder / arrival).is_dir() else folder
    else:
        folder = path
    rule = LabelRule(tuple(each.strip() for each in classes.split(",") if each.strip()))
    photos = scan(folder, rule)
    photos.check()
    return Arrival(arrival, photos)


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


def commit(lab: Lab, arrival: Arrival, folder: str = "") -> str:
    """Commit an arrival into a folder of the data repo.

    Args:
        lab: The lab.
        arrival: The pictures.
        folder: Folder in the repo; the next free ``dataN`` when empty.

    Returns:
        The id of the commit; of the present one when the same pictures are already there.
    """
    names, client = lab.names, lab.pachyderm
    wanted = arrival.files()
    same = mldm.find_same(client, names.project, names.data_repo, wanted)
    if same:
        head = latest_commit(lab)
        print(f"These {len(wanted)} pictures are already in /{same}; no new commit. The newest one is {head}.")
        return head
    target = folder or mldm.next_folder(client, names.project, names.data_repo)
    id = mldm.commit_files(client, names.project, names.data_repo, target, wanted, _progress_line(wanted))
    size = arrival.photos.size / 1e6
    print(f"Committed {len(wanted)} pictures ({size:.1f} MB) to {names.data_repo}@master:/{target}.")
    print(f"The id that ties everything from here on: {id}")
    return id


def _progress_line(wanted: Mapping[str, Path]) -> Any:
    """One line that counts while somebody looks on; nothing that stays in a saved notebook."""

    def show(done: int, total: int) -> None:
        if sys.stdout.isatty() and (done % 50 == 0 or done == total):
            print(f"\r{done} of {total} pictures sent", end="\n" if done == total else "", flush=True)

    return show


def latest_commit(lab: Lab) -> str:
    """Id of the newest commit of the data repo that holds pictures.

    Raises:
        DataError: There is none yet.
    """
    names = lab.names
    head = mldm.head(lab.pachyderm, names.project, names.data_repo)
    if not head:
        raise DataError(
            "The data repo has no commit yet.",
            where=f"{names.project}/{names.data_repo}",
            fix="Run notebook 02 first: it commits pictures.",
        )
    return head
