"""The training data: downloaded from a Pachyderm commit, labeled, split, and read safely.

``download_pach_repo`` downloads the whole commit in one tar stream, or only what is new since a previous commit.
Broken, hidden, and unlabeled files are skipped and reported; they never end a trial.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import preprocess
import torch
from PIL import Image
from torch.utils.data import Dataset

from pdk_nb import labels, photos
from pdk_nb.trial_data import clean_path, commit_reference, connect, is_empty, stream
from pdk_nb.trial_log import DATA_LOGGER

log = logging.getLogger(DATA_LOGGER)

# Memory limit for decoded pictures, in bytes; above it, pictures are decoded again in every epoch.
CACHE_BYTES = 1_000_000_000
# Of longer pictures, only the middle is kept in memory.
MAX_ASPECT = 4


class UnusableData(Exception):
    """This commit is unusable for training."""


def list_commit(client: Any, commit: Mapping[str, str]) -> dict[str, bytes]:
    """Every file of a commit: path -> hash of its contents."""
    from python_pachyderm.service import pfs_proto

    try:
        infos = list(client.walk_file(dict(commit), "/"))
    except Exception as error:
        if is_empty(error):
            return {}
        raise
    return {clean_path(info.file.path): info.hash for info in infos if info.file_type == pfs_proto.FileType.FILE}


def new_files(client: Any, commit: Mapping[str, str], previous: Mapping[str, str]) -> list[str]:
    """Paths of the files that a commit has added or changed since a previous one."""
    from python_pachyderm.service import pfs_proto

    found = []
    for difference in client.diff_file(dict(commit), "/", dict(previous), "/"):
        info = difference.new_file
        if info.file.path and info.file_type == pfs_proto.FileType.FILE:
            found.append(clean_path(info.file.path))
    return sorted(found)


def _write(root: Path, path: str, data: bytes) -> None:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def download_pach_repo(
    host: str,
    port: int | str,
    repo: str,
    branch: str,
    root: str | Path,
    token: str = "",
    project: str = "default",
    previous_commit: str | None = None,
    *,
    also: Sequence[str] = (),
    client: Any = None,
) -> list[str]:
    """Download the files of a commit to a folder.

    Args:
        host: Address of pachd.
        port: Its gRPC port.
        repo: The repo.
        branch: Commit id or branch.
        root: The folder to write.
        token: Pachyderm token; empty in the community edition.
        project: The repo's project.
        previous_commit: Download only what is new or changed since this commit.
        also: With ``previous_commit``: additional paths to download.
        client: Use this client instead of a new one.

    Returns:
        Paths of the downloaded files, sorted.
    """
    root = Path(root)
    client = client or connect(host, port, token)
    commit = commit_reference(project, repo, branch)
    brought = []
    if not previous_commit:
        for path, data in stream(client, commit):
            _write(root, path, data)
            brought.append(path)
        return sorted(brought)
    wanted = {*new_files(client, commit, commit_reference(project, repo, previous_commit)), *also}
    known = len(list_commit(client, commit))
    if len(wanted) * 3 > known:
        # One stream of everything is quicker than many single files.
        for path, data in stream(client, commit):
            if path in wanted:
                _write(root, path, data)
                brought.append(path)
        return sorted(brought)
    for path in sorted(wanted):
        with contextlib.closing(client.get_file(dict(commit), f"/{path}")) as file:
            _write(root, path, file.read())
        brought.append(path)
    return brought


@dataclass(frozen=True)
class Item:
    """One picture: its path in the repo, its file, its class index."""

    path: str
    file: Path
    label: int


@dataclass
class Corpus:
    """The pictures of one training.

    Attributes:
        train: The training set.
        held: The validation set: the fixed hold-out of the whole commit.
        skipped: Path -> reason, for files that aren't used.
        new: How many of ``train`` are new since the previous commit; None after a full training.
    """

    train: list[Item]
    held: list[Item]
    skipped: dict[str, str] = field(default_factory=dict)
    new: int | None = None


def fetch(
    settings: Mapping[str, Any],
    token: str,
    root: Path,
    rule: labels.LabelRule,
    replay: float,
    replay_at_least: int = 0,
) -> Corpus:
    """The pictures that an experiment's ``data.pachyderm`` block names.

    With a previous commit, the training set has the new pictures, and ``replay`` old pictures for each new one to
    prevent forgetting. The validation set is the hold-out of all pictures.

    Args:
        settings: host, port, repo, branch, project, previous_commit.
        token: Pachyderm token.
        root: Folder for the files.
        rule: Label rule.
        replay: Old pictures per new one.
        replay_at_least: Minimum number of old pictures, as far as there are so many: a single new picture must not
            become half of the training set.
    """
    client = connect(settings["host"], settings["port"], token)
    place = (settings["host"], settings["port"], settings["repo"], settings["branch"], root, token, settings["project"])
    previous = settings.get("previous_commit") or None
    fresh: set[str] = set()
    if previous:
        commit = commit_reference(settings["project"], settings["repo"], settings["branch"])
        try:
            fresh = set(new_files(client, commit, commit_reference(settings["project"], settings["repo"], previous)))
        except Exception as error:
            log.warning("the previous commit %s cannot be read (%s): training with everything", previous, _line(error))
        if not fresh:
            log.info("nothing is new since the commit %s: training with everything", previous)
    if not fresh:
        download_pach_repo(*place, client=client)
        return collect(root, rule)
    names = sorted(list_commit(client, commit_reference(settings["project"], settings["repo"], settings["branch"])))
    usable = [(n, label) for n in names if not photos.ignored(n) and (label := rule.label(n)) is not None]
    train, held = labels.split(usable)
    wanted = max(round(sum(path in fresh for path in train) * replay), replay_at_least)
    again = _replay([path for path in train if path not in fresh], dict(usable), wanted)
    download_pach_repo(*place, previous_commit=previous, also=[*held, *again], client=client)
    corpus = collect(root, rule)
    corpus.new = sum(item.path in fresh for item in corpus.train)
    return corpus


def _replay(old: list[str], label_of: Mapping[str, int], wanted: int) -> list[str]:
    """A sample of old pictures, balanced over the classes as far as these have enough, the same in every run."""
    chosen: list[str] = []
    by_class: dict[int, list[str]] = {}
    for path in old:
        by_class.setdefault(label_of[path], []).append(path)
    classes = sorted(by_class.items(), key=lambda each: (len(each[1]), each[0]))
    for place, (label, paths) in enumerate(classes):
        share = -(-(wanted - len(chosen)) // (len(classes) - place))
        chosen += random.Random(label).sample(sorted(paths), min(len(paths), max(0, share)))
    return chosen


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def collect(root: Path, rule: labels.LabelRule) -> Corpus:
    """Label, verify, and split the pictures below a folder.

    Args:
        root: Folder whose relative paths are those of the repo.
        rule: Label rule.
    """
    usable: dict[str, Item] = {}
    skipped: dict[str, str] = {}
    for file, problem in photos.files_in(root):
        path = file.relative_to(root).as_posix()
        reason = problem or photos.ignored(path)
        if reason is None:
            label = rule.explain(path)
            reason = None if label.index is not None else label.reason
            if label.index is not None:
                try:
                    photos.load_image(file)
                    usable[path] = Item(path, file, label.index)
                except Exception as error:
                    reason = _line(error)
        if reason is not None:
            skipped[path] = reason
    train, held = labels.split((item.path, item.label) for item in usable.values())
    return Corpus([usable[path] for path in train], [usable[path] for path in held], skipped)


def report(corpus: Corpus, rule: labels.LabelRule) -> None:
    """Log which pictures are used for training and validation, and which are skipped and why."""
    for title, items in (("learning from", corpus.train), ("validating with", corpus.held)):
        counts = Counter(item.label for item in items)
        log.info(
            "%s %d pictures: %s", title, len(items), ", ".join(f"{n} {counts[i]}" for i, n in enumerate(rule.classes))
        )
    if corpus.new is not None:
        log.info("%d of them are new since the previous commit", corpus.new)
    for path, reason in list(corpus.skipped.items())[:20]:
        log.warning("left out: %s: %s", path, reason)
    if len(corpus.skipped) > 20:
        log.warning("left out: %d more files", len(corpus.skipped) - 20)


def check(corpus: Corpus, rule: labels.LabelRule) -> None:
    """Refuse data that is unusable for training.

    Raises:
        UnusableData: No pictures, or a class without any to learn from or to validate with.
    """
    if not corpus.train and not corpus.held:
        raise UnusableData(f"No data: the commit has no usable picture ({len(corpus.skipped)} files left out)")
    for what, items in (("learn from", corpus.train), ("validate with", corpus.held)):
        counts = Counter(item.label for item in items)
        missing = [name for i, name in enumerate(rule.classes) if not counts[i]]
        if missing:
            raise UnusableData(
                f"No data of class {', '.join(missing)} to {what}: every class needs at least two usable pictures"
            )


class Pictures(Dataset):  # type: ignore[type-arg]
    """Pictures as (tensor, class index).

    Args:
        items: The pictures.
        transform: From a picture to a tensor.
        keep: Side in pixels to keep decoded pictures at, in memory; 0 decodes at every access.
        fixed: The transform has no randomness: keep its results instead.
    """

    def __init__(
        self, items: Sequence[Item], transform: preprocess.Transform, *, keep: int = 0, fixed: bool = False
    ) -> None:
        self.items, self.transform = list(items), transform
        fits = len(self.items) * keep * keep * 3 * (4 if fixed else 1.4) < CACHE_BYTES
        self.tensors: list[torch.Tensor] = []
        self.images: list[Image.Image] = []
        if keep and fits and fixed:
            self.tensors = [transform(photos.load_image(item.file)) for item in self.items]
        elif keep and fits:
            self.images = [_shrunk(photos.load_image(item.file), keep) for item in self.items]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        label = self.items[index].label
        if self.tensors:
            return self.tensors[index], label
        image = self.images[index] if self.images else photos.load_image(self.items[index].file)
        return self.transform(image), label


def _shrunk(image: Image.Image, side: int) -> Image.Image:
    """A copy with the shorter side at most ``side`` pixels, and the longer at most ``MAX_ASPECT`` times the shorter."""
    longest = min(image.size) * MAX_ASPECT
    left, top = max(0, image.width - longest) // 2, max(0, image.height - longest) // 2
    if left or top:
        image = image.crop((left, top, image.width - left, image.height - top))
    scale = side / min(image.size)
    if scale >= 1:
        return image
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
