"""Lookup of repos, branches, and commits by the names that clients use."""

from __future__ import annotations

import sqlite3

from pdk_stack.pachyderm.core.pfs.types import (
    REPO_TYPES,
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
from pdk_stack.pachyderm.names import go_quoted, is_commit_id, parse_ancestry

#: SQL condition on the three parts of a :class:`RepoKey`.
IN_REPO = "repos.project = ? AND repos.name = ? AND repos.type = ?"


def find_repo(connection: sqlite3.Connection, key: RepoKey) -> Repo | None:
    """Return a repo, or None.

    Raises:
        Fault: The server has no repos of this type.
    """
    if key.type not in REPO_TYPES:
        raise Fault(f"repo type {go_quoted(key.type)} is none of {', '.join(REPO_TYPES)}")
    row = connection.execute(f"SELECT * FROM repos WHERE {IN_REPO}", key.parts).fetchone()
    return None if row is None else Repo(row["id"], key, row["description"], row["created"])


def get_repo(connection: sqlite3.Connection, key: RepoKey) -> Repo:
    """Return a repo.

    Raises:
        NotFound: The repo doesn't exist.
    """
    return existing(find_repo(connection, key), f"repo {key} not found")


def find_branch(connection: sqlite3.Connection, key: BranchKey) -> Branch | None:
    """Return a branch, or None; the repo may be missing, too."""
    found = select_branches(connection, f"WHERE {IN_REPO} AND branches.name = ?", *key.repo.parts, key.name)
    return found[0] if found else None


def missing_repo(connection: sqlite3.Connection, key: RepoKey) -> str:
    """Return the words of the server's database layer for a repo that doesn't exist; a line for each missing part."""
    text = f"repo (id=0, project={key.project}, name={key.name}, type={key.type}) not found"
    if connection.execute("SELECT 1 FROM projects WHERE name = ?", (key.project,)).fetchone() is None:
        return f"project {go_quoted(key.project)} not found\n{text}"
    return text


def get_branch(connection: sqlite3.Connection, key: BranchKey) -> Branch:
    """Return a branch.

    Raises:
        NotFound: The branch doesn't exist.
    """
    found = find_branch(connection, key)
    if found is not None:
        return found
    text = f"branch (id=0, branch={key}) not found"
    if find_repo(connection, key.repo) is None:
        text = f"{missing_repo(connection, key.repo)}\n{text}"
    raise NotFound(text)


def resolve_branch(connection: sqlite3.Connection, key: BranchKey) -> Branch:
    """Return a branch that a client names; the words of the error have a line of the upper layer, too.

    Raises:
        NotFound: The branch doesn't exist.
    """
    try:
        return get_branch(connection, key)
    except NotFound as error:
        raise NotFound(f"{error.message}\nbranch {go_quoted(key.name)} not found in repo {key.repo}") from error


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
    """Return a repo's commit in a commit set: its own, or the one in the set's provenance.

    Raises:
        Fault: The server has no repos of this type.
    """
    if find_repo(connection, repo) is None:
        return None
    own = next(select_commits(connection, f"WHERE {IN_REPO} AND commits.id = ?", *repo.parts, commit_id), None)
    if own is not None:
        return own
    rest = f"WHERE commits.pk IN (SELECT pk FROM named) AND {IN_REPO} ORDER BY commits.pk DESC LIMIT 1"
    return next(select_commits(connection, rest, commit_id, *repo.parts, named=SET_WITH_PROVENANCE), None)


def get_commit(connection: sqlite3.Connection, ref: CommitRef) -> Commit:
    """Return the commit that a reference names (``resolveCommitWithID``); only an ID can have an ancestry suffix.

    Raises:
        NotFound: The branch or commit doesn't exist, or the ancestry goes beyond the first commit.
        Fault: The reference is empty, contradicts itself, or has an invalid suffix.
    """
    if not ref.id and not ref.branch:
        raise Fault("cannot resolve commit with no ID or branch")
    name, steps = parse_ancestry(ref.id)
    branch = ref.branch
    if name and not is_commit_id(name):
        if branch:
            raise Fault(f"invalid commit ID given with a branch ({BranchKey(ref.repo, branch)}): {name}\n")
        branch, name = name, ""
    if name:
        commit = existing(find_commit(connection, ref.repo, name), f"commit {ref.repo}@{name} not found")
    elif branch:
        head = resolve_branch(connection, BranchKey(ref.repo, branch)).head
        if head is None:
            raise NotFound(f"branch {BranchKey(ref.repo, branch)} has no head commit")
        commit = commit_by_pk(connection, head)
    else:
        raise Fault("resolve commit: branch cannot be nil")
    if steps == 0:
        return commit
    lineage = ancestors(connection, commit)
    # A negative number counts from the first commit.
    position = steps if steps > 0 else len(lineage) + steps
    if not 0 <= position < len(lineage):
        raise NotFound(f"commit {ref} not found")
    return lineage[position]


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
    """Return a commit's direct provenance, in the order of the commits' names (``CommitDirectProvenance``)."""
    joined = "JOIN commit_provenance ON upstream = commits.pk WHERE commit_pk = ?"
    return sorted(select_commits(connection, joined, commit), key=lambda each: f"{each.repo.key}@{each.id}")


def children(connection: sqlite3.Connection, commit: int) -> list[Commit]:
    """Return a commit's child commits."""
    return list(select_commits(connection, "WHERE commits.parent = ? ORDER BY commits.pk", commit))
