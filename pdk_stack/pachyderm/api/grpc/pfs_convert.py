"""Conversion between protocol messages and internal objects, for PFS."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from google.protobuf import json_format, timestamp_pb2
from python_pachyderm.proto.v2.pfs import pfs_pb2

from pdk_stack.pachyderm.api.grpc.codec import FileInfoEncoder
from pdk_stack.pachyderm.core.pfs.files import PathRange
from pdk_stack.pachyderm.core.pfs.lookup import (
    all_provenance,
    all_subvenance,
    children,
    commit_by_pk,
    commit_provenance,
    direct_provenance,
)
from pdk_stack.pachyderm.core.pfs.repos import Project, repo_branches, repo_size
from pdk_stack.pachyderm.core.pfs.types import (
    ORIGIN_AUTO,
    Branch,
    BranchKey,
    Commit,
    CommitRef,
    Repo,
    RepoKey,
)
from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import DEFAULT_PROJECT
from pdk_stack.pachyderm.store.clock import NANOSECONDS
from pdk_stack.pachyderm.store.tree import FoundEntry


def stamp(moment: int) -> timestamp_pb2.Timestamp | None:
    """Convert nanoseconds since the epoch to a Timestamp; 0, an event that hasn't happened, gives None."""
    if not moment:
        return None
    return timestamp_pb2.Timestamp(seconds=moment // NANOSECONDS, nanos=moment % NANOSECONDS)


def read_repo(message: pfs_pb2.Repo) -> RepoKey:
    """Read a repo's name; only the project has a default (``EnsureProject``)."""
    return RepoKey(message.project.name or DEFAULT_PROJECT, message.name, message.type)


def given_repo(message: Any) -> RepoKey:
    """Read the name of the repo that a request must have.

    Raises:
        Fault: The request has no repo.
    """
    if not message.HasField("repo"):
        raise Fault("repo cannot be nil")
    return read_repo(message.repo)


def repo_of_commit(message: pfs_pb2.Commit) -> RepoKey:
    """Read the repo of a commit reference; older clients give it only in the branch (``AccessRepo``)."""
    return read_repo(message.repo if message.HasField("repo") else message.branch.repo)


def read_commit(message: pfs_pb2.Commit) -> CommitRef:
    """Read a commit reference."""
    return CommitRef(repo_of_commit(message), message.branch.name, message.id)


def given_commit(message: Any, field: str = "commit") -> CommitRef:
    """Read the commit that a request must have (``checkCommit``).

    Args:
        message: The request, or a part of it.
        field: The field with the commit.

    Raises:
        Fault: The field isn't set, or the commit has no repo.
    """
    if not message.HasField(field):
        raise Fault("commit cannot be nil")
    found: pfs_pb2.Commit = getattr(message, field)
    if not (found.HasField("repo") or found.branch.HasField("repo")):
        raise Fault("commit must have a repo")
    return read_commit(found)


def optional_commit(message: Any, field: str) -> CommitRef | None:
    """Read a commit that a request may have; None if it hasn't.

    Raises:
        Fault: The commit has no repo.
    """
    return given_commit(message, field) if message.HasField(field) else None


def given_file(message: Any, field: str = "file") -> CommitRef:
    """Read the commit of the file that a request must have (``validateFile``).

    Raises:
        Fault: The field isn't set, or its commit isn't, or the commit has no repo.
    """
    if not message.HasField(field):
        raise Fault("file cannot be nil")
    return given_commit(getattr(message, field))


def read_branch(message: pfs_pb2.Branch) -> BranchKey:
    """Read a branch's name."""
    return BranchKey(read_repo(message.repo), message.name)


def given_branch(message: Any) -> BranchKey:
    """Read the name of the branch that a request must have.

    Raises:
        Fault: The request has no branch, or the branch has no repo.
    """
    if not message.HasField("branch"):
        raise Fault("branch cannot be nil")
    if not message.branch.HasField("repo"):
        raise Fault("branch repo cannot be nil")
    return read_branch(message.branch)


def read_range(message: pfs_pb2.PathRange) -> PathRange:
    """Read a range of paths."""
    return PathRange(message.lower, message.upper)


def repo(key: RepoKey) -> pfs_pb2.Repo:
    """Build the message for a repo's name."""
    return pfs_pb2.Repo(name=key.name, type=key.type, project=pfs_pb2.Project(name=key.project))


def branch(key: BranchKey) -> pfs_pb2.Branch:
    """Build the message for a branch's name."""
    return pfs_pb2.Branch(repo=repo(key.repo), name=key.name)


def commit(found: Commit) -> pfs_pb2.Commit:
    """Build the message for a commit's name; its repo is both here and in the branch, for old and new clients."""
    return pfs_pb2.Commit(repo=repo(found.repo), id=found.id, branch=branch(BranchKey(found.repo, found.branch)))


def commit_of_pk(connection: sqlite3.Connection, pk: int | None) -> pfs_pb2.Commit | None:
    """Build the message for a commit by its database key; None for None."""
    return None if pk is None else commit(commit_by_pk(connection, pk))


def commit_info(connection: sqlite3.Connection, found: Commit, upper_bound: int = 0) -> pfs_pb2.CommitInfo:
    """Build a commit's ``CommitInfo``.

    Args:
        connection: The connection to read from.
        found: The commit.
        upper_bound: The size that a list shows, in bytes.
    """
    upstream = commit_provenance(connection, found.pk)
    info = pfs_pb2.CommitInfo(
        commit=commit(found),
        parent_commit=commit_of_pk(connection, found.parent),
        origin=pfs_pb2.CommitOrigin(kind=found.origin),
        description=found.description,
        started=stamp(found.started),
        finishing=stamp(found.finishing),
        finished=stamp(found.finished),
        error=found.error,
        size_bytes_upper_bound=upper_bound,
        child_commits=[commit(each) for each in children(connection, found.pk)],
        direct_provenance=[commit(each) for each in upstream],
        details=pfs_pb2.CommitInfo.Details(),
    )
    # The server measures the work at the end of a commit; a commit that it makes empty, or with an error, has none.
    if found.finished and not found.error and (upstream or found.origin != ORIGIN_AUTO):
        info.details.size_bytes = found.size
        info.details.compacting_time.SetInParent()
        info.details.validating_time.SetInParent()
    return info


def virtual_commit(message: pfs_pb2.Commit) -> pfs_pb2.CommitInfo:
    """Build the ``CommitInfo`` of a file set that a client names like a commit."""
    return pfs_pb2.CommitInfo(
        commit=message, description="FileSet - Virtual Commit", finished=timestamp_pb2.Timestamp()
    )


def branch_info(connection: sqlite3.Connection, found: Branch) -> pfs_pb2.BranchInfo:
    """Build a branch's ``BranchInfo``."""
    info = pfs_pb2.BranchInfo(
        branch=branch(found.key),
        head=commit_of_pk(connection, found.head),
        provenance=[branch(each.key) for each in all_provenance(connection, found.pk)],
        subvenance=[branch(each.key) for each in all_subvenance(connection, found.pk)],
        direct_provenance=[branch(each.key) for each in direct_provenance(connection, found.pk)],
    )
    if found.trigger:
        json_format.ParseDict(json.loads(found.trigger), info.trigger)
    return info


def repo_info(connection: sqlite3.Connection, found: Repo, *, listed: bool = False) -> pfs_pb2.RepoInfo:
    """Build a repo's ``RepoInfo``.

    Args:
        connection: The connection to read from.
        found: The repo.
        listed: Whether it is part of a list, which shows the size in another field.
    """
    size = repo_size(connection, found.pk)
    info = pfs_pb2.RepoInfo(
        repo=repo(found.key),
        created=stamp(found.created),
        description=found.description,
        branches=[branch(each.key) for each in reversed(repo_branches(connection, found.pk))],
    )
    if listed:
        info.size_bytes_upper_bound = size
    else:
        info.details.size_bytes = size
    return info


def project_info(found: Project) -> pfs_pb2.ProjectInfo:
    """Build a project's ``ProjectInfo``."""
    return pfs_pb2.ProjectInfo(
        project=pfs_pb2.Project(name=found.name),
        description=found.description,
        created_at=stamp(found.created),
    )


class FileInfos:
    """Builds the ``FileInfo`` of a commit's entries.

    Args:
        found: The commit.
    """

    def __init__(self, found: Commit) -> None:
        self._commit = commit(found)
        self._committed = stamp(found.finishing)
        self._encode = FileInfoEncoder(self._commit, self._committed)

    def encoded(self, found: FoundEntry) -> bytes:
        """Build an entry's ``FileInfo`` in encoded form."""
        entry = found.entry
        tag = "" if found.is_dir else entry.parts[0].tag
        return self._encode(found.path, tag, found.is_dir, entry.size, entry.hash)

    def __call__(self, found: FoundEntry) -> pfs_pb2.FileInfo:
        """Build an entry's ``FileInfo``."""
        return pfs_pb2.FileInfo(
            file=pfs_pb2.File(
                commit=self._commit,
                path=found.path,
                datum="" if found.is_dir else found.entry.parts[0].tag,
            ),
            file_type=pfs_pb2.DIR if found.is_dir else pfs_pb2.FILE,
            committed=self._committed,
            size_bytes=found.entry.size,
            hash=found.entry.hash,
        )
