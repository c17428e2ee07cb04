"""Lookup of repos, branches, and commits by the names that clients use."""

from __future__ import annotations

import re
import sqlite3

from pdk_stack.pachyderm.core.pfs.types import (
    SET_WITH_PROVENANCE,
    Branch,
    BranchKey,
    Commit,
    CommitRef,
    Repo,
    RepoKey,
    select_branches,
    select_commits,
)
from pdk_stack.pachyderm.errors import Fault, NotFound, existing
from pdk_stack.pachyderm.names import is_commit_id

#: SQL condition on the three parts of a :class:`RepoKey`.
IN_REPO = "repos.project = ? AND repos.name = ? AND repos.type = ?"
_SUFFIX = re.compile(r"(?P<name>[^~^.]*)(?P<steps>(?:[~^]\d*)*)(?:\.(?P<root>\d+))?")
_STEP = re.compile(r"[~^](\d*)")


def find_repo(connection: sqlite3.Connection, key: RepoKey) -> Repo | None:
    """Return a repo, or None."""
    row = connection.execute(f"SELECT * FROM repos WHERE {IN_REPO}", key.parts).fetchone()
    return None if row is None else Repo(row["id"], key, row["description"], row["created"])


def get_repo(connection: sqlite3.Connection, key: RepoKey) -> Repo:
    """Return a repo.

    Raises:
        NotFound: The repo doesn't exist.
    """
    return existing(find_repo(connection, key), f"repo {key} not found")


def find_branch(connection: sqlite3.Connection, key: BranchKey) -> Branch | None:
    """Return a branch, or None."""
    found = select_branches(connection, f"WHERE {IN_REPO} AND branches.name = ?", *key.repo.parts, key.name)
    return found[0] if found else None


def get_branch(connection: sqlite3.Connection, key: BranchKey) -> Branch:
    """Return a branch.

    Raises:
        NotFound: The branch doesn't exist.
    """
    return existing(find_branch(connection, key), f'branch "{key.name}" not found in repo {key.repo}')


def branch_by_pk(connection: sqlite3.Connection, pk: int) -> Branch:
    """Return a branch by database key."""
    return select_branches(connection, "WHERE branches.id = ?", pk)[0]


def commit_by_pk(connection: sqlite3.Connection, pk: int) -> Commit:
    """Return a commit by database key.

    Raises:
        NotFound: The commit has been removed.
    """
    return existing(find_by_pk(connection, pk), "commit was removed meanwhile")


def find_by_pk(connection: sqlite3.Connection, pk: int) -> Commit | None:
    """Return a commit by database key, or None."""
    return next(select_commits(connection, "WHERE commits.pk = ?", pk), None)


def find_commit(connection: sqlite3.Connection, repo: RepoKey, commit_id: str) -> Commit | None:
    """Return a repo's commit in a commit set: its own, or the one in the set's provenance."""
    own = next(select_commits(connection, f"WHERE {IN_REPO} AND commits.id = ?", *repo.parts, commit_id), None)
    if own is not None:
        return own
    rest = f"WHERE commits.pk IN (SELECT pk FROM named) AND {IN_REPO} ORDER BY commits.pk DESC LIMIT 1"
    return next(select_commits(connection, rest, commit_id, *repo.parts, named=SET_WITH_PROVENANCE), None)


def get_commit(connection: sqlite3.Connection, ref: CommitRef) -> Commit:
    """Return the commit that a reference names.

    Raises:
        NotFound: The branch or commit doesn't exist, or the ancestry goes beyond the first commit.
        Fault: The ancestry suffix is invalid, or the branch has no commit.
    """
    text = ref.id or ref.branch
    if not ref.repo.name:
        raise Fault("repo name must be specified")
    if not text:
        raise Fault(f"commit id or branch must be specified for repo {ref.repo}")
    matched = _SUFFIX.fullmatch(text)
    if matched is None:
        raise Fault(f'invalid ancestry syntax "{text}"')
    name = matched["name"]
    branch_name = "" if is_commit_id(name) else (name or ref.branch)
    if not branch_name:
        commit = existing(find_commit(connection, ref.repo, name), f"commit {ref.repo}@{name} not found")
    else:
        branch = get_branch(connection, BranchKey(ref.repo, branch_name))
        if branch.head is None:
            raise NotFound(f"branch {branch.key} has no head commit")
        commit = commit_by_pk(connection, branch.head)
    for step in _STEP.findall(matched["steps"]):
        for _ in range(int(step or 1)):
            if commit.parent is None:
                raise NotFound(f"commit {ref} not found")
            commit = commit_by_pk(connection, commit.parent)
    if matched["root"]:
        lineage = ancestors(connection, commit)
        position = int(matched["root"])
        if position == 0 or position > len(lineage):
            raise NotFound(f"commit {ref} not found")
        commit = lineage[-position]
    return commit


def ancestors(connection: sqlite3.Connection, commit: Commit) -> list[Commit]:
    """Return a commit and its ancestors, newest first."""
    line = """WITH RECURSIVE line(pk) AS (
        SELECT ? UNION ALL
        SELECT commits.parent FROM commits JOIN line ON commits.pk = line.pk WHERE commits.parent IS NOT NULL)"""
    rest = "WHERE commits.pk IN (SELECT pk FROM line) ORDER BY commits.pk DESC"
    return list(select_commits(connection, rest, commit.pk, named=line))


def direct_provenance(connection: sqlite3.Connection, branch: int) -> list[Branch]:
    """Return a branch's direct provenance."""
    joined = "JOIN branch_provenance ON upstream = branches.id WHERE branch_provenance.branch = ? ORDER BY position"
    return select_branches(connection, joined, branch)


def direct_subvenance(connection: sqlite3.Connection, branch: int) -> list[Branch]:
    """Return the branches whose direct provenance includes a branch."""
    joined = "JOIN branch_provenance ON branch_provenance.branch = branches.id WHERE upstream = ? ORDER BY branches.id"
    return select_branches(connection, joined, branch)


def _closure(connection: sqlite3.Connection, branch: int, source: str, target: str) -> list[Branch]:
    reach = f"""WITH RECURSIVE reach(id) AS (
        SELECT {target} FROM branch_provenance WHERE {source} = ?
        UNION SELECT {target} FROM branch_provenance JOIN reach ON {source} = reach.id)"""
    rest = "WHERE branches.id IN (SELECT id FROM reach) ORDER BY branches.id"
    return select_branches(connection, rest, branch, named=reach)


def all_provenance(connection: sqlite3.Connection, branch: int) -> list[Branch]:
    """Return all branches upstream of a branch."""
    return _closure(connection, branch, "branch", "upstream")


def all_subvenance(connection: sqlite3.Connection, branch: int) -> list[Branch]:
    """Return all branches downstream of a branch."""
    return _closure(connection, branch, "upstream", "branch")


def commit_provenance(connection: sqlite3.Connection, commit: int) -> list[Commit]:
    """Return a commit's direct provenance."""
    joined = "JOIN commit_provenance ON upstream = commits.pk WHERE commit_pk = ? ORDER BY commits.pk"
    return list(select_commits(connection, joined, commit))


def children(connection: sqlite3.Connection, commit: int) -> list[Commit]:
    """Return a commit's child commits."""
    return list(select_commits(connection, "WHERE commits.parent = ? ORDER BY commits.pk", commit))
