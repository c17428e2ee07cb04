"""Sources of pictures: a folder, a zip file, or the sample data."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from pdk_nb.photos import IMAGE_SUFFIXES, files_in, ignored
from pdk_shared.errors import DataError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["folder_of", "names_in", "pictures_in", "unpack"]

SAMPLE_ZIP = "dataset-dog-cat.zip"
# Limit for the unpacked size of a picture archive.
MAX_UNPACKED_BYTES = 4 << 30
# Bits of a zip entry's flags (APPNOTE.TXT 6.3.10, section 4.4.4).
ENCRYPTED, UTF8_NAME = 0x1, 0x800
READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
COMPRESSIONS = {6: "Implode", 9: "Deflate64", 19: "LZ77", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
UNPACK_FIRST = "Unpack the file, and use the folder; or create the zip file again without these options."


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
    found = [path for path, problem in files_in(folder) if not problem and path.suffix.lower() in IMAGE_SUFFIXES]
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
    if path.suffix.lower() == ".zip":
        with _opened(path) as bundle:
            found = [_entry_name(entry) for entry in bundle.infolist()]
    elif path.is_dir():
        found = [each.relative_to(path).as_posix() for each, problem in files_in(path) if not problem]
    else:
        raise DataError("There is no such folder or zip file.", where=str(path))
    return [name for name in found if not name.endswith("/") and ignored(name) is None]


def unpack(archive: Path) -> Path:
    """Unpack a zip file into a new temporary folder, which is deleted when this process ends.

    Args:
        archive: A zip file.

    Raises:
        DataError: It isn't a zip file, is damaged, encrypted, or too large, has entries outside its folder, or uses a
            compression that Python doesn't have.
    """
    target = Path(tempfile.mkdtemp(prefix="pdk-photos-"))
    try:
        with _opened(archive) as bundle:
            entries = bundle.infolist()
            total = sum(entry.file_size for entry in entries)
            if total > MAX_UNPACKED_BYTES:
                raise DataError(f"The zip file is too large: {total >> 20} MB unpacked.", where=str(archive))
            for entry in entries:
                # extract() turns this name into a path.
                entry.filename = _entry_name(entry)
                _check_entry(entry, archive)
            for entry in entries:
                bundle.extract(entry, target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    return target


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file; whatever reading it raises becomes a DataError."""
    try:
        with zipfile.ZipFile(archive) as bundle:
            yield bundle
    except DataError:
        raise
    except Exception as error:  # zipfile passes on the errors of zlib, bz2, lzma, struct, and codecs
        raise DataError(
            f"The zip file can't be read: {error}", where=str(archive), fix="Use a folder of pictures or a zip file."
        ) from error


def _entry_name(entry: zipfile.ZipInfo) -> str:
    """An entry's path with ``/`` between folders."""
    name = entry.filename
    if not entry.flag_bits & UTF8_NAME:
        # Without the flag, zipfile assumes the code page 437. macOS writes UTF-8 without the flag.
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            name = entry.filename
    # Some Windows programs write backslashes between folders, against the format's rules.
    return name.replace("\\", "/")


def _check_entry(entry: zipfile.ZipInfo, archive: Path) -> None:
    """Refuse an entry that can't be unpacked, or would be unpacked outside the folder."""
    name = entry.filename
    if ".." in PurePosixPath(name).parts or name.startswith("/") or PureWindowsPath(name).drive:
        raise DataError(f"The zip file has an entry outside itself: {name}", where=str(archive))
    if entry.flag_bits & ENCRYPTED:
        raise DataError("The zip file is protected with a password.", where=str(archive), fix=UNPACK_FIRST)
    if entry.compress_type not in READABLE:
        method = COMPRESSIONS.get(entry.compress_type, f"method {entry.compress_type}")
        raise DataError(
            f"The zip file is compressed with {method}, which can't be read here.", where=str(archive), fix=UNPACK_FIRST
        )
