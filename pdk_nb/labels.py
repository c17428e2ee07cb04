"""Labels from file names: only the last path components decide which class a picture has.

A picture's label is its folder (``Dog/1.jpg``) or the start of its file name (``cat.1.jpg``, ``dogs_7.png``),
regardless of case and of singular or plural. Nothing else counts: a commit folder ``dogs-from-cats`` gives no label,
``hotdog.jpg`` isn't a dog, and a picture whose folder and name disagree has no label. Ambiguous names are reported,
never guessed.

This module needs only the standard library, because every trial gets it with the experiment's code.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from pdk_shared.errors import DataError

__all__ = ["HOLDOUT_SHARE", "Label", "LabelRule", "choose_classes", "infer_classes", "parse_classes", "split"]

# Share of the pictures that are never used for training.
HOLDOUT_SHARE = 0.2

# File names of cameras and phones: their common prefix isn't a class.
CAMERA_PREFIXES = frozenset(
    {"img", "image", "dsc", "dscn", "dscf", "pic", "photo", "picture", "pxl", "p", "mvi", "scan"}
)


def _tokens(text: str) -> tuple[str, ...]:
    """``"Golden-Retriever 12"`` -> ``("golden", "retriever")``: words in lower case, digits dropped."""
    return tuple(re.findall(r"[^\W\d_]+", text.lower()))


def _forms(name: str) -> set[tuple[str, ...]]:
    """A class name as words, in singular and plural."""
    words = _tokens(name)
    head, last = words[:-1], words[-1]
    forms = {last, f"{last}s", f"{last}es"}
    if last.endswith("y"):
        forms.add(f"{last[:-1]}ies")
    if last.endswith("ss"):
        forms.discard(f"{last}s")
    return {(*head, form) for form in forms}


@dataclass(frozen=True)
class Label:
    """The label of one path.

    Attributes:
        index: Position in the rule's classes, or None if the path gives no class.
        reason: Reason for people: ``file name``, ``folder``, or the problem.
    """

    index: int | None
    reason: str


@dataclass(frozen=True)
class LabelRule:
    """How paths become class indices.

    Args:
        classes: Class names; the order is the order of the model's outputs.

    Raises:
        DataError: Fewer than two classes, an empty name, or two equivalent names (``cat`` and ``Cats``).
    """

    classes: tuple[str, ...] = ("dog", "cat")

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        fix = "name at least two different classes, for example dog,cat"
        if len(self.classes) < 2:
            raise DataError(f"a label rule needs at least two classes, got {list(self.classes)}", fix=fix)
        seen: dict[tuple[str, ...], str] = {}
        for name in self.classes:
            if not _tokens(name):
                raise DataError(f"{name!r} can't be a class name: it has no letter", fix=fix)
            for form in _forms(name):
                if seen.setdefault(form, name) != name:
                    raise DataError(f"the classes {seen[form]!r} and {name!r} can't be told apart", fix=fix)

    def explain(self, path: str) -> Label:
        """The label of one path, and why.

        Args:
            path: Path in a repo, an archive or a folder, with ``/`` between components. Never opened.
        """
        pure = PurePosixPath(path.replace("\\", "/"))
        # A folder counts only as a whole name: "cats" does, "dogs-from-cats" doesn't.
        folder = self._whole(pure.parent.name)
        found = self._prefix(pure.stem)
        if len(found) > 1:
            names = " and ".join(self.classes[i] for i in sorted(found))
            return Label(None, f"ambiguous: the file name says {names}")
        name = next(iter(found), None)
        if name is not None and folder is not None and name != folder:
            return Label(None, f"ambiguous: the file name says {self.classes[name]}, the folder {self.classes[folder]}")
        if name is not None:
            return Label(name, "file name")
        if folder is not None:
            return Label(folder, "folder")
        return Label(None, f"neither file name nor folder begins with {' or '.join(self.classes)}")

    def label(self, path: str) -> int | None:
        """The class index of one path, or None if it gives no class or several."""
        return self.explain(path).index

    def name(self, path: str) -> str | None:
        """The class name of one path, or None."""
        index = self.label(path)
        return None if index is None else self.classes[index]

    def kind(self, path: str) -> str:
        """What a file name says beside the class: ``night`` for ``cat.night.7.jpg``; empty for ``cat.7.jpg``."""
        words = _tokens(PurePosixPath(path.replace("\\", "/")).stem)
        starts = [form for name in self.classes for form in _forms(name) if words[: len(form)] == form]
        return " ".join(words[max(map(len, starts), default=0) :])

    def _whole(self, text: str) -> int | None:
        words = _tokens(text)
        return next((i for i, name in enumerate(self.classes) if words in _forms(name)), None)

    def _prefix(self, stem: str) -> set[int]:
        """Classes in the file name: the one that it starts with, and any other that it contains."""
        words = _tokens(stem)
        first = {i for i, name in enumerate(self.classes) if any(words[: len(f)] == f for f in _forms(name))}
        if not first:
            return set()
        also = {
            i
            for i, name in enumerate(self.classes)
            for form in _forms(name)
            for start in range(len(words))
            if words[start : start + len(form)] == form
        }
        if len(first) > 1:
            # "dog" and "dog house" both match "dog house 3.jpg": the longer name is meant.
            longest = max(len(_tokens(self.classes[i])) for i in first)
            covered = first - {i for i in first if len(_tokens(self.classes[i])) == longest}
            return (first | also) - covered
        return first | also


def parse_classes(text: str) -> tuple[str, ...]:
    """Class names from a text like ``dog, cat``."""
    return tuple(each.strip() for each in text.split(",") if each.strip())


def choose_classes(text: str, paths: Iterable[str]) -> tuple[str, ...]:
    """The given classes, or else the classes from the pictures' paths.

    Args:
        text: Class names, separated by commas; may be empty.
        paths: Paths of the pictures; without any, the classes are dogs and cats.

    Raises:
        DataError: The names are invalid, or the paths give no classes.
    """
    usual = LabelRule()
    if text.strip():
        return LabelRule(parse_classes(text)).classes
    paths = list(paths)
    if not paths:
        return usual.classes
    found = infer_classes(paths)
    # The order of the model's outputs is fixed: 0 is a dog, 1 is a cat, however the folders spell them.
    same = len(found) == len(usual.classes) and all(usual.label(f"{name}/1.jpg") is not None for name in found)
    return usual.classes if same else LabelRule(found).classes


def infer_classes(paths: Iterable[str]) -> tuple[str, ...]:
    """Class names of a data set, from file name prefixes or else from folders.

    Args:
        paths: Paths of its pictures.

    Returns:
        The names in alphabetical order, for :class:`LabelRule`.

    Raises:
        DataError: Neither the file names nor the folders give at least two classes.
    """
    pures = [PurePosixPath(p.replace("\\", "/")) for p in paths]
    prefixes: Counter[str] = Counter()
    folders: Counter[str] = Counter()
    for pure in pures:
        matched = re.match(r"[^\W\d_]+(?:[ _-][^\W\d_]+)*", pure.stem.lower())
        prefix = matched.group() if matched else ""
        if prefix and prefix not in CAMERA_PREFIXES:
            prefixes[prefix] += 1
        if pure.parent.name and _tokens(pure.parent.name):
            folders[pure.parent.name.lower()] += 1
    for names in (prefixes, folders):
        usable = {name for name, count in names.items() if count >= 2}
        if len(usable) >= 2 and sum(names[n] for n in usable) >= 0.9 * len(pures):
            return tuple(sorted(usable))
    raise DataError(
        f"the names of {len(pures)} files give no classes",
        fix="put the pictures of each class in a separate folder, or start file names with the class: cat.1.jpg",
    )


def _position(path: str) -> float:
    """A number from 0 to 1 that depends only on the path: the same on every machine, in every run."""
    digest = hashlib.sha256(f"/{path.strip('/')}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def split(items: Iterable[tuple[str, int]], share: float = HOLDOUT_SHARE) -> tuple[list[str], list[str]]:
    """Split pictures into a training set and a hold-out, the same way in every run.

    A picture's path alone decides, so no picture changes sets when more arrive, and a resumed model is never tested
    with pictures from its earlier training. Every class has at least one picture in the hold-out: if the hash selects
    none, the picture closest to the limit is held out.

    Args:
        items: (path in the repo, class index) of every usable picture.
        share: Share to hold out.

    Returns:
        Paths to train with and paths to validate with, each sorted.
    """
    train: list[str] = []
    held: list[str] = []
    by_class: dict[int, list[str]] = {}
    for path, label in items:
        by_class.setdefault(label, []).append(path)
    for paths in by_class.values():
        ordered = sorted(paths, key=lambda path: (_position(path), path))
        count = max(sum(_position(path) < share for path in ordered), 1)
        if count == len(ordered) > 1:
            count -= 1
        held += ordered[:count]
        train += ordered[count:]
    return sorted(train), sorted(held)
