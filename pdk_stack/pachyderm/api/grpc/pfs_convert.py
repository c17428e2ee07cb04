"""Conversion between protocol messages and internal objects, for PFS."""

from __future__ import annotations

import json
import sqlite3

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
    Branch,
    BranchKey,
    Commit,
    CommitRef,
    Repo,
    RepoKey,
    repo_key,
)
from pdk_stack.pachyderm.store.clock import NANOSECONDS
from pdk_stack.pachyderm.store.tree import FoundEntry


def stamp(moment: int) -> timestamp_pb2.Timestamp | None:
    """Convert nanoseconds since the epoch to a Timestamp; 0, an event that hasn't happened, gives None."""
    if not moment:
        return None
    return timestamp_pb2.Timestamp(seconds=moment // NANOSECONDS, nanos=moment % NANOSECONDS)


def read_repo(message: pfs_pb2.Repo) -> RepoKey:
    """Read a repo's name."""
    return repo_key(message.project.name, message.name, message.type)


def repo_of_commit(message: pfs_pb2.Commit) -> RepoKey:
    """Read the repo of a commit reference; older clients give it only in the branch."""
    return read_repo(message.repo if message.repo.name else message.branch.repo)


def read_commit(message: pfs_pb2.Commit) -> CommitRef:
    """Read a commit reference."""
    return CommitRef(repo_of_commit(message), message.branch.name, message.id)


def read_branch(message: pfs_pb2.Branch) -> BranchKey:
    """Read a branch's name."""
    return BranchKey(read_repo(message.repo), message.name)


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


def commit_info(connection: sqlite3.Connection, found: Commit) -> pfs_pb2.CommitInfo:
    """Build a commit's ``CommitInfo``."""
    info = pfs_pb2.CommitInfo(
        commit=commit(found),
        parent_commit=commit_of_pk(connection, found.parent),
        origin=pfs_pb2.CommitOrigin(kind=found.origin),
        description=found.description,
        started=stamp(found.started),
        finishing=stamp(found.finishing),
        finished=stamp(found.finished),
        error=found.error,
        size_bytes_upper_bound=found.size,
        child_commits=[commit(each) for each in children(connection, found.pk)],
        direct_provenance=[commit(each) for each in commit_provenance(connection, found.pk)],
    )
    if found.finished:
        info.details.size_bytes = found.size
    return info


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


def repo_info(connection: sqlite3.Connection, found: Repo) -> pfs_pb2.RepoInfo:
    """Build a repo's ``RepoInfo``."""
    size = repo_size(connection, found.pk)
    info = pfs_pb2.RepoInfo(
        repo=repo(found.key),
        created=stamp(found.created),
        description=found.description,
        size_bytes_upper_bound=size,
        branches=[branch(each.key) for each in repo_branches(connection, found.pk)],
    )
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
