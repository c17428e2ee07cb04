"""Pictures: read them safely, find them in a folder, and convert them to prediction requests.

:mod:`pdk_shared.pictures` decides whether a picture can be used, here as in training and serving.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from pdk_nb.labels import LabelRule
from pdk_shared import pictures
from pdk_shared.errors import DataError

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_REQUEST_BYTES",
    "Photo",
    "PhotoSet",
    "Skipped",
    "files_in",
    "from_request",
    "ignored",
    "load_image",
    "refused_name",
    "scan",
    "suggest_name",
    "thumbnail",
    "to_request",
]

# TorchServe refuses bodies above max_request_size of config.properties, by default 6553500 bytes.
MAX_REQUEST_BYTES = 6_553_500
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif"}
)
IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "__pycache__"})
# Characters that Pachyderm refuses in paths, in addition to everything outside printable ASCII
# (src/internal/storage: "globbing character not allowed in path").
REFUSED_CHARACTERS = frozenset("*?[]{}!()@+^\\")


def load_image(data: bytes | Path) -> Image.Image:
    """Decode one picture, upright and in RGB.

    Args:
        data: The file's bytes, or its path.

    Returns:
        An RGB image, as :func:`pdk_shared.pictures.decode` describes.

    Raises:
        DataError: The file can't be read, or isn't a usable picture.
    """
    try:
        return pictures.decode(data.read_bytes() if isinstance(data, Path) else data)
    except OSError as error:
        raise DataError(f"the picture can't be read: {error.strerror or error}", where=str(data)) from error
    except DataError as error:
        error.where = str(data) if isinstance(data, Path) else ""
        raise


def thumbnail(picture: bytes | Path, side: int = 128) -> str:
    """A small copy of a picture, as a ``data:`` address for HTML.

    Args:
        picture: The picture.
        side: Longest side in pixels.

    Raises:
        DataError: It can't be read.
    """
    image = load_image(picture)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def to_request(
    images: Sequence[bytes | Path], *, max_bytes: int = MAX_REQUEST_BYTES, max_side: int = 1024
) -> dict[str, Any]:
    """The prediction request for pictures, in the setup guide's form.

    Small upright RGB JPEGs are sent unchanged; others are converted, and shrunk until the request fits.

    Args:
        images: Pictures as bytes or paths.
        max_bytes: Limit of the JSON body.
        max_side: Longest side in pixels.

    Returns:
        ``{"instances": [{"data": "<base64>"}, ...]}``.

    Raises:
        DataError: There is no picture, a picture is broken, or there are too many for one request even when shrunk.
    """
    if not images:
        raise DataError("a request needs at least one picture")
    side = max_side
    while True:
        encoded = [base64.b64encode(_request_bytes(item, side)).decode("ascii") for item in images]
        request = {"instances": [{"data": text} for text in encoded]}
        size = len(json.dumps(request))
        if size <= max_bytes:
            return request
        if side <= 64:
            raise DataError(
                f"{len(images)} pictures need a request of {size:,} bytes; the limit is {max_bytes:,}",
                fix="send fewer pictures at a time",
            )
        side = max(64, int(side * 0.7))


def _request_bytes(item: bytes | Path, max_side: int) -> bytes:
    image = load_image(item)
    raw = item.read_bytes() if isinstance(item, Path) else item
    with Image.open(io.BytesIO(raw)) as opened:
        plain = opened.format == "JPEG" and opened.mode == "RGB" and pictures.orientation(opened) == 1
    if plain and max(image.size) <= max_side:
        return raw
    if max(image.size) > max_side:
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()


def from_request(request: Mapping[str, Any]) -> list[bytes]:
    """The pictures of a prediction request.

    Args:
        request: A request from :func:`to_request` or ``cat.json``.

    Raises:
        DataError: It has no instances, or an instance has no base64 text under ``data``.
    """
    instances = request.get("instances")
    if not isinstance(instances, list) or not instances:
        raise DataError('the request has no list "instances"', fix='its shape is {"instances": [{"data": "<base64>"}]}')
    pictures = []
    for number, instance in enumerate(instances):
        text = instance.get("data") if isinstance(instance, Mapping) else None
        try:
            if not isinstance(text, str):
                raise ValueError('no text under "data"')
            pictures.append(base64.b64decode(text, validate=True))
        except (ValueError, binascii.Error) as error:
            raise DataError(f"instance {number} of the request holds no base64 picture: {error}") from error
    return pictures


@dataclass(frozen=True)
class Photo:
    """One usable picture of a folder.

    Attributes:
        path: The file.
        name: Its path relative to the scanned folder, with ``/`` as separator.
        label: Class index.
        class_name: Class name.
        sha256: Hash of the bytes.
        size: Bytes.
    """

    path: Path
    name: str
    label: int
    class_name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Skipped:
    """One file that isn't used, and the reason."""

    path: Path
    name: str
    reason: str


@dataclass(frozen=True)
class PhotoSet:
    """The pictures in a folder.

    Attributes:
        folder: The scanned folder.
        rule: The label rule.
        photos: Usable pictures, sorted by name.
        skipped: Files that aren't used, with the reason.
        renames: Name -> suggested name, for usable pictures whose names Pachyderm refuses.
        duplicates: Groups of names with the same bytes.
    """

    folder: Path
    rule: LabelRule
    photos: tuple[Photo, ...]
    skipped: tuple[Skipped, ...] = ()
    renames: Mapping[str, str] = field(default_factory=dict)
    duplicates: tuple[tuple[str, ...], ...] = ()

    def counts(self) -> dict[str, int]:
        """Number of pictures in each class, in the rule's order, including zeros."""
        found = Counter(photo.class_name for photo in self.photos)
        return {name: found[name] for name in self.rule.classes}

    @property
    def size(self) -> int:
        """Bytes of all usable pictures."""
        return sum(photo.size for photo in self.photos)

    def check(self, *, minimum: int = 2) -> None:
        """Refuse data that is too small for training.

        Args:
            minimum: Pictures that each class needs: one for training, one for validation.

        Raises:
            DataError: No usable picture, or a class with too few.
        """
        fix = "name files like cat.1.jpg and dog.1.jpg, or put them into folders named after the class"
        if not self.photos:
            raise DataError(f"no usable picture ({len(self.skipped)} files skipped)", where=str(self.folder), fix=fix)
        few = [f"{name}: {count}" for name, count in self.counts().items() if count < minimum]
        if few:
            raise DataError(
                f"every class needs at least {minimum} pictures; found {', '.join(few)}",
                where=str(self.folder),
                fix=fix,
            )


def ignored(name: str) -> str | None:
    """Why a file's name alone excludes it, or None.

    Args:
        name: Path with ``/`` as separator.
    """
    parts = [part for part in name.split("/") if part]
    for part in parts:
        if part.startswith("."):
            return "hidden file"
        if part.lower() in IGNORED_NAMES:
            return "created by the operating system"
    suffix = Path(parts[-1]).suffix.lower() if parts else ""
    if suffix not in IMAGE_SUFFIXES:
        return f"not a picture, by its name ({suffix or 'no suffix'})"
    return None


def files_in(folder: Path) -> list[tuple[Path, str]]:
    """Every file below a folder, also below linked folders, sorted by path.

    Args:
        folder: The folder.

    Returns:
        Pairs of path and problem. The problem is empty for a file; otherwise it tells why the path can't be used: a
        link to nothing, a folder that can't be read, or a link to a folder that was already visited, as in a loop.
    """
    found: list[tuple[Path, str]] = []
    seen: set[str] = set()
    links: list[str] = []

    def unreadable(error: OSError) -> None:
        found.append((Path(error.filename), f"the folder can't be read: {error.strerror}"))

    def walk(start: str) -> None:
        for root, folders, names in os.walk(start, onerror=unreadable):
            seen.add(os.path.realpath(root))
            links.extend(each for name in sorted(folders) if os.path.islink(each := os.path.join(root, name)))
            for name in names:
                path = Path(root, name)
                if path.is_file():
                    found.append((path, ""))
                else:
                    found.append((path, "a broken link" if path.is_symlink() else "not a file"))

    walk(str(folder))
    # A folder keeps its own place: links to folders that are also below the start are reported, not followed.
    while links:
        link = links.pop(0)
        if os.path.realpath(link) in seen:
            found.append((Path(link), "a link to a folder that is already included"))
        else:
            walk(link)
    return sorted(found)


def scan(
    folder: str | Path,
    rule: LabelRule | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> PhotoSet:
    """Inspect every file below a folder: which pictures are usable, and why others aren't.

    Args:
        folder: The folder.
        rule: Label rule; dogs and cats by default.
        progress: Called with the number of inspected files and their total.

    Raises:
        DataError: The folder does not exist.
    """
    folder = Path(folder).expanduser()
    rule = rule or LabelRule()
    if not folder.is_dir():
        raise DataError("there is no such folder", where=str(folder), fix="unpack sample-data/dataset-dog-cat.zip")
    photos: list[Photo] = []
    skipped: list[Skipped] = []
    found_files = files_in(folder)
    for done, (path, problem) in enumerate(found_files):
        progress(done, len(found_files))
        name = path.relative_to(folder).as_posix()
        reason = problem or ignored(name)
        if reason is None:
            # Only paths inside the folder count: the repo doesn't contain the scanned folder's name.
            found = rule.explain(name)
            reason = None if found.index is not None else found.reason
            if found.index is not None:
                try:
                    raw = path.read_bytes()
                    load_image(raw)
                    digest = hashlib.sha256(raw).hexdigest()
                    photos.append(Photo(path, name, found.index, rule.classes[found.index], digest, len(raw)))
                except (DataError, OSError) as error:
                    reason = error.what if isinstance(error, DataError) else str(error)
        if reason is not None:
            skipped.append(Skipped(path, name, reason))
    by_hash: dict[str, list[str]] = {}
    for photo in photos:
        by_hash.setdefault(photo.sha256, []).append(photo.name)
    return PhotoSet(
        folder=folder,
        rule=rule,
        photos=tuple(photos),
        skipped=tuple(skipped),
        renames=_renames([photo.name for photo in photos]),
        duplicates=tuple(tuple(names) for names in by_hash.values() if len(names) > 1),
    )


def refused_name(name: str) -> str | None:
    """Why Pachyderm refuses a path, or None.

    Args:
        name: Path in a repo.
    """
    bad = sorted({c for c in name if c in REFUSED_CHARACTERS})
    if bad:
        return f"Pachyderm refuses {' '.join(bad)} in names"
    if not all(" " <= c <= "~" for c in name):
        return "Pachyderm accepts only printable ASCII characters"
    if any(part in (".", "..") for part in name.split("/")):
        return "Pachyderm refuses relative paths"
    return None


def suggest_name(name: str) -> str:
    """A name that Pachyderm accepts, as close as possible to the given one."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[*?\[\]{}!()@+^\\]", "_", plain)
    parts = [re.sub(r"_+", "_", part).strip() for part in plain.split("/")]
    stem, dot, suffix = parts[-1].rpartition(".")
    parts[-1] = f"{(stem.rstrip('_ ') or 'picture')}{dot}{suffix}" if dot else (parts[-1].strip("_ ") or "picture")
    return "/".join(part or "folder" for part in parts)


def _renames(names: Iterable[str]) -> dict[str, str]:
    names = list(names)
    taken = {name for name in names if refused_name(name) is None}
    renames: dict[str, str] = {}
    for name in names:
        if refused_name(name) is None:
            continue
        wanted = suggest_name(name)
        stem, dot, suffix = wanted.rpartition(".")
        number = 2
        while wanted in taken:
            wanted = f"{stem}-{number}{dot}{suffix}"
            number += 1
        taken.add(wanted)
        renames[name] = wanted
    return renames
