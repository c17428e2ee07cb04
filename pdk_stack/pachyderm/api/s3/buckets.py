"""Bucket names and the keys of a bucket.

Names have the form ``[commit.][branch.]repo[.project]`` (``bucketNameToCommit`` in ``src/server/pfs/s3/driver.go``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from pdk_stack.pachyderm.api.s3.errors import S3Error
from pdk_stack.pachyderm.core.pfs import repos
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk, find_branch, get_commit
from pdk_stack.pachyderm.core.pfs.types import Branch, BranchKey, Bucket, Commit, CommitRef, RepoKey
from pdk_stack.pachyderm.errors import NotFound
from pdk_stack.pachyderm.names import DEFAULT_PROJECT, go_quoted, is_commit_id
from pdk_stack.pachyderm.store.clock import now_ns
from pdk_stack.pachyderm.store.tree import FoundEntry, Tree


@dataclass(frozen=True)
class Abilities:
    """What a bucket is for (``bucketCapabilities``).

    Attributes:
        readable: Whether it shows its objects.
        writable: Whether clients can put objects into it.
        versions: Whether objects have versions.
    """

    readable: bool
    writable: bool
    versions: bool


class Buckets(Protocol):
    """The buckets of a gateway.

    Attributes:
        changeable: Whether clients can create and delete buckets.
    """

    changeable: bool

    def find(self, name: str) -> Bucket:
        """Return a bucket by name; its branch may not exist.

        Raises:
            S3Error: There can't be such a bucket.
        """

    def abilities(self, bucket: Bucket) -> Abilities:
        """Return what a bucket is for."""

    def names(self, connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
        """Yield each bucket's name and creation time, in nanoseconds since the epoch."""


class BranchBuckets:
    """One bucket for every branch."""

    changeable = True

    def find(self, name: str) -> Bucket:
        """Return a bucket by name."""
        return parse_bucket(name)

    def abilities(self, bucket: Bucket) -> Abilities:
        """Return what a bucket is for: also one that names a commit, which may be open."""
        return Abilities(readable=True, writable=True, versions=True)

    def names(self, connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
        """Yield all buckets."""
        for repo in repos.list_repos(connection, "user", []):
            for branch in repos.repo_branches(connection, repo.pk):
                yield f"{branch.key.name}.{repo.key.name}.{repo.key.project}", repo.created


class FixedBuckets:
    """A fixed set of buckets: a job's inputs, which can only be read, and its output, which can only be written.

    Args:
        buckets: The buckets by name.
    """

    changeable = False

    def __init__(self, buckets: Mapping[str, Bucket]) -> None:
        self._buckets = buckets
        self._created = now_ns()

    def find(self, name: str) -> Bucket:
        """Return a bucket by name."""
        if name not in self._buckets:
            raise S3Error("NoSuchBucket")
        return self._buckets[name]

    def abilities(self, bucket: Bucket) -> Abilities:
        """Return what a bucket is for."""
        return Abilities(readable=not bucket.writable, writable=bucket.writable, versions=False)

    def names(self, connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
        """Yield all buckets."""
        return ((name, self._created) for name in sorted(self._buckets))


def parse_bucket(name: str) -> Bucket:
    """Parse a bucket's name.

    Raises:
        S3Error: The name has the wrong form.
    """
    parts = name.split(".")
    commit = parts.pop(0) if is_commit_id(parts[0]) else ""
    if len(parts) == 1:
        branch, repo, project = "master", parts[0], DEFAULT_PROJECT
    elif len(parts) == 2:
        (branch, repo), project = parts, DEFAULT_PROJECT
    elif len(parts) == 3:
        branch, repo, project = parts
    else:
        raise S3Error("InvalidBucketName", f"invalid bucket name: {go_quoted(name)}")
    return Bucket(name, BranchKey(RepoKey(project or DEFAULT_PROJECT, repo), branch), commit, writable=True)


def require_branch(connection: sqlite3.Connection, bucket: Bucket) -> Branch:
    """Return a bucket's branch.

    Raises:
        S3Error: It doesn't exist.
    """
    branch = find_branch(connection, bucket.branch)
    if branch is None:
        raise S3Error("NoSuchBucket")
    return branch


def open_bucket(connection: sqlite3.Connection, bucket: Bucket) -> Commit | None:
    """Return the commit that a bucket shows; None if its branch has no commit yet.

    Raises:
        S3Error: The branch or the commit doesn't exist.
    """
    branch = require_branch(connection, bucket)
    if bucket.commit:
        try:
            return get_commit(connection, CommitRef(bucket.branch.repo, id=bucket.commit))
        except NotFound as error:
            raise S3Error("NoSuchBucket", error.message) from error
    return None if branch.head is None else commit_by_pk(connection, branch.head)


def modified(commit: Commit) -> int:
    """Return the time that a commit's objects show, in nanoseconds since the epoch; 0 while it is open."""
    return commit.finishing


def keys(tree: Tree, prefix: str, delimiter: str, after: str) -> Iterator[tuple[str, FoundEntry | None]]:
    """Yield the keys and common prefixes of a bucket, in order.

    Args:
        tree: The file tree.
        prefix: Only keys with this prefix.
        delimiter: ``/`` folds everything below the next slash into one common prefix; may be empty.
        after: Only keys after this one.

    Yields:
        A key with its file, or a common prefix with None.
    """
    top = tree.find("/" + prefix.rpartition("/")[0] + "/") if "/" in prefix else tree.root()
    if top is None:
        return
    pending = [tree.children(top)]
    while pending:
        found = next(pending[-1], None)
        if found is None:
            pending.pop()
            continue
        key = found.path[1:]
        if found.is_dir:
            fits = key.startswith(prefix)
            if not fits and not prefix.startswith(key):
                continue
            if fits and delimiter:
                if key > after:
                    yield key, None
            elif key > after or after.startswith(key):
                pending.append(tree.children(found))
        elif key.startswith(prefix) and key > after:
            yield key, found
