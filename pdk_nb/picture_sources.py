"""Sources of pictures: a folder, a zip file, or the sample data."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pdk_nb.photos import IMAGE_SUFFIXES, ignored
from pdk_shared.errors import DataError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["folder_of", "names_in", "pictures_in", "unpack"]

SAMPLE_ZIP = "dataset-dog-cat.zip"
# Limit for the unpacked size of a picture archive.
MAX_UNPACKED_BYTES = 4 << 30


def folder_of(session: Session, source: str, arrival: str) -> Path:
    """The folder of pictures for a source; a zip file is unpacked.

    Args:
        session: The session.
        source: Folder or zip file; the sample data when empty.
        arrival: Name of a top-level folder in the zip file, e.g. ``data1``.
    """
    path = Path(source).expanduser() if source else session.sample(SAMPLE_ZIP)
    if path.suffix.lower() != ".zip":
        return path
    folder = unpack(path)
    return folder / arrival if (folder / arrival).is_dir() else folder


def pictures_in(folder: Path) -> list[Path]:
    """All pictures of a folder, by name.

    Args:
        folder: The folder, with all subfolders.

    Raises:
        DataError: There is no picture.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise DataError("There is no picture.", where=str(folder))
    return found


def names_in(source: str) -> list[str]:
    """Paths of the pictures in a folder or zip file, without opening the pictures.

    Args:
        source: Folder or zip file.

    Raises:
        DataError: The folder doesn't exist, or the zip file can't be read.
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


def unpack(archive: Path) -> Path:
    """Unpack a zip file into a new temporary folder.

    Args:
        archive: A zip file.

    Raises:
        DataError: It isn't a zip file, has entries outside its folder, or is too large.
    """
    target = Path(tempfile.mkdtemp(prefix="pdk-photos-"))
    try:
        with zipfile.ZipFile(archive) as bundle:
            total = sum(entry.file_size for entry in bundle.infolist())
            if total > MAX_UNPACKED_BYTES:
                raise DataError(f"The zip file is too large: {total >> 20} MB unpacked.", where=str(archive))
            for entry in bundle.infolist():
                parts = PurePosixPath(entry.filename).parts
                if ".." in parts or entry.filename.startswith("/"):
                    raise DataError(f"The zip file has an entry outside itself: {entry.filename}", where=str(archive))
            bundle.extractall(target)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"The zip file cannot be read: {error}", where=str(archive), fix="Use a folder of pictures or a zip file."
        ) from error
    return target
