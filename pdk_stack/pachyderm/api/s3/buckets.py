"""Bucket names and the keys of a bucket.

Names have the form ``[commit.][branch.]repo[.project]`` (``bucketNameToCommit`` in ``src/server/pfs/s3/driver.go``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from typing import Protocol

from pdk_stack.pachyderm.api.s3.errors import no_such_bucket
from pdk_stack.pachyderm.core.pfs import repos
from pdk_stack.pachyderm.core.pfs.lookup import commit_by_pk, find_branch, get_commit
from pdk_stack.pachyderm.core.pfs.types import BranchKey, Bucket, Commit, CommitRef, RepoKey
from pdk_stack.pachyderm.errors import NotFound
from pdk_stack.pachyderm.names import DEFAULT_PROJECT, is_commit_id
from pdk_stack.pachyderm.store.clock import now_ns
from pdk_stack.pachyderm.store.tree import FoundEntry, Tree


class Buckets(Protocol):
    """The buckets of a gateway."""

    def find(self, name: str) -> Bucket:
        """Return a bucket by name.

        Raises:
            S3Error: The bucket doesn't exist.
        """

    def names(self, connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
        """Yield each bucket's name and creation time, in nanoseconds since the epoch."""


class BranchBuckets:
    """One bucket for every branch."""

    def find(self, name: str) -> Bucket:
        """Return a bucket by name."""
        return parse_bucket(name)

    def names(self, connection: sqlite3.Connection) -> Iterator[tuple[str, int]]:
        """Yield all buckets."""
        for repo in repos.list_repos(connection, "user", []):
            for branch in repos.repo_branches(connection, repo.pk):
                yield f"{branch.key.name}.{repo.key.name}.{repo.key.project}", repo.created


class FixedBuckets:
    """A fixed set of buckets, such as a job's.

    Args:
        buckets: The buckets by name.
    """

    def __init__(self, buckets: Mapping[str, Bucket]) -> None:
        self._buckets = buckets
        self._created = now_ns()

    def find(self, name: str) -> Bucket:
        """Return a bucket by name."""
        if name not in self._buckets:
            raise no_such_bucket(name)
        return self._buckets[name]

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
        raise no_such_bucket(name)
    return Bucket(name, BranchKey(RepoKey(project, repo), branch), commit, writable=not commit)


def open_bucket(connection: sqlite3.Connection, bucket: Bucket) -> Commit | None:
    """Return the commit that a bucket shows; None if its branch has no commit yet.

    Raises:
        S3Error: The branch or the commit doesn't exist.
    """
    branch = find_branch(connection, bucket.branch)
    if branch is None:
        raise no_such_bucket(bucket.name)
    if bucket.commit:
        try:
            return get_commit(connection, CommitRef(bucket.branch.repo, id=bucket.commit))
        except NotFound as error:
            raise no_such_bucket(bucket.name) from error
    return None if branch.head is None else commit_by_pk(connection, branch.head)


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
