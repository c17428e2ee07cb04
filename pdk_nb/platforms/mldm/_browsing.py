"""Pachyderm's data as a person looks through it: repos, branches, commits, folders, and differences, page by page.

A page is asked for from the server (``number`` with ``to`` or ``paginationMarker``), so that a folder of a hundred
thousand files costs what its page costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timezone
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

import python_pachyderm
from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_nb.platforms.mldm._commits import commit_of
from pdk_nb.platforms.mldm._errors import api_errors

T = TypeVar("T")

ORIGINS = {value: name.lower() for name, value in pfs_pb2.OriginKind.items()}


@dataclass(frozen=True)
class Listed(Generic[T]):
    """One page of a list.

    Attributes:
        items: What is on the page.
        more: Whether another page follows.
    """

    items: tuple[T, ...]
    more: bool


@dataclass(frozen=True)
class RepoEntry:
    """A repo.

    Attributes:
        project: Its project.
        name: Its name.
        description: Its description.
        created: When it was created, in seconds since the epoch.
        bytes: Size of its newest commits, at most; some are still being compacted.
        branches: Its branches.
    """

    project: str
    name: str
    description: str
    created: float
    bytes: int
    branches: tuple[str, ...]


@dataclass(frozen=True)
class CommitEntry:
    """A commit.

    Attributes:
        id: Its id.
        branch: Its branch.
        description: Its description.
        origin: ``user``, or ``auto`` when a pipeline made it.
        started: When it began, in seconds since the epoch.
        finished: When it was finished; 0 while it is open.
        bytes: Its size, at most.
        parent: Id of the commit before it; empty for the first.
        error: Why it can't be used; empty when it can.
    """

    id: str
    branch: str
    description: str
    origin: str
    started: float
    finished: float
    bytes: int
    parent: str
    error: str


@dataclass(frozen=True)
class FileEntry:
    """A file or folder.

    Attributes:
        path: Its path; a folder's ends with ``/``.
        bytes: Its size; a folder's is that of all files in it.
    """

    path: str
    bytes: int

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.path.endswith("/")

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Change:
    """What a commit did to a file.

    Attributes:
        kind: ``added``, ``changed``, or ``removed``.
        path: The file.
        bytes: Its new size; that of the old file when it was removed.
    """

    kind: Literal["added", "changed", "removed"]
    path: str
    bytes: int


def _moment(holder: Any, name: str) -> float:
    return float(getattr(holder, name).ToDatetime(timezone.utc).timestamp()) if holder.HasField(name) else 0.0


def _page(found: Iterable[T], number: int) -> Listed[T]:
    items = tuple(islice(found, number + 1))
    return Listed(items[:number], len(items) > number)


def all_repos(client: python_pachyderm.Client) -> list[RepoEntry]:
    """All repos that the person can see, by project and name."""
    with api_errors("repos"):
        found = [
            RepoEntry(
                info.repo.project.name,
                info.repo.name,
                info.description,
                _moment(info, "created"),
                int(info.size_bytes_upper_bound),
                tuple(sorted(each.name for each in info.branches)),
            )
            for info in client.list_repo()
        ]
    return sorted(found, key=lambda each: (each.project, each.name))


def branches(client: python_pachyderm.Client, project: str, repo: str) -> list[tuple[str, str]]:
    """Name and newest commit of each branch, by name.

    Raises:
        NotFound: There is no such repo.
    """
    with api_errors(f"{project}/{repo}"):
        found = client.list_branch(repo, project_name=project)
        return sorted((str(info.branch.name), str(info.head.id)) for info in found)


def history(
    client: python_pachyderm.Client, project: str, repo: str, number: int, before: str = ""
) -> Listed[CommitEntry]:
    """Commits of a repo, the newest first.

    Args:
        client: A client.
        project: The repo's project.
        repo: The repo.
        number: Commits on a page.
        before: Id of the commit that the page before ended with; empty for the first page.

    Raises:
        NotFound: There is no such repo or commit.
    """
    # The list begins with the commit that it is given, which the page before has already shown.
    start = commit_of(project, repo, id=before) if before else None
    with api_errors(f"{project}/{repo}"):
        found = client.list_commit(repo, to_commit=start, number=number + 1 + bool(before), project_name=project)
        entries = (_commit_entry(info) for info in found)
        return _page((each for each in entries if each.id != before), number)


def inspect(client: python_pachyderm.Client, project: str, repo: str, id: str) -> CommitEntry:
    """One commit.

    Raises:
        NotFound: There is no such commit.
    """
    with api_errors(f"{project}/{repo}@{id}"):
        return _commit_entry(next(iter(client.inspect_commit(commit_of(project, repo, id=id)))))


def _commit_entry(info: pfs_pb2.CommitInfo) -> CommitEntry:
    return CommitEntry(
        info.commit.id,
        info.commit.branch.name,
        info.description,
        ORIGINS.get(info.origin.kind, ""),
        _moment(info, "started"),
        _moment(info, "finished"),
        int(info.details.size_bytes or info.size_bytes_upper_bound),
        info.parent_commit.id,
        info.error,
    )


def folder(
    client: python_pachyderm.Client, commit: pfs_pb2.Commit, path: str, number: int, after: str = ""
) -> Listed[FileEntry]:
    """What a folder of a commit contains, by path; nothing for a folder that isn't there, as Pachyderm has it.

    Args:
        client: A client.
        commit: The commit.
        path: The folder.
        number: Entries on a page.
        after: Path of the entry that the page before ended with; empty for the first page.

    Raises:
        NotFound: There is no such commit.
    """
    marker = pfs_pb2.File(commit=commit, path=after) if after else None
    with api_errors(f"{commit.repo.name}@{commit.id}:{path}"):
        found = client.list_file(commit, path, pagination_marker=marker, number=number + 1)
        return _page((_file_entry(info) for info in found), number)


def below(client: python_pachyderm.Client, commit: pfs_pb2.Commit, number: int) -> Listed[FileEntry]:
    """All files and folders of a commit, however deep.

    Args:
        client: A client.
        commit: The commit.
        number: At most so many.

    Raises:
        NotFound: There is no such commit.
    """
    with api_errors(f"{commit.repo.name}@{commit.id}"):
        return _page((_file_entry(info) for info in client.walk_file(commit, "/", number=number + 1)), number)


def _file_entry(info: pfs_pb2.FileInfo) -> FileEntry:
    ending = "/" if info.file_type == pfs_pb2.DIR else ""
    return FileEntry(info.file.path.rstrip("/") + ending, int(info.size_bytes))


def changes(
    client: python_pachyderm.Client, new: pfs_pb2.Commit, old: pfs_pb2.Commit | None, number: int
) -> Listed[Change]:
    """What changed between two commits of a repo, file by file.

    Args:
        client: A client.
        new: The newer commit.
        old: The older one; the newer one's parent when None.
        number: At most so many files.

    Raises:
        NotFound: There is no such commit.
    """
    with api_errors(f"{new.repo.name}@{new.id}"):
        return _page(_changes(client.diff_file(new, "/", old, "/")), number)


def _changes(found: Iterable[pfs_pb2.DiffFileResponse]) -> Iterator[Change]:
    for each in found:
        new, old = each.new_file, each.old_file
        if pfs_pb2.DIR in (new.file_type, old.file_type):
            continue
        if not new.file.path:
            yield Change("removed", old.file.path, int(old.size_bytes))
        else:
            yield Change("changed" if old.file.path else "added", new.file.path, int(new.size_bytes))
