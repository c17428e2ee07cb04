"""Finding repos, branches and commits by what clients call them."""

from __future__ import annotations

import re
import sqlite3

from pdk_stack.pachyderm.core.pfs.types import (
    FROM_BRANCHES,
    FROM_COMMITS,
    Branch,
    BranchKey,
    Commit,
    CommitRef,
    Repo,
    RepoKey,
    branch_of,
    commit_of,
)
from pdk_stack.pachyderm.errors import Fault, NotFound
from pdk_stack.pachyderm.names import is_commit_id

_SUFFIX = re.compile(r"(?P<name>[^~^.]*)(?P<steps>(?:[~^]\d*)*)(?:\.(?P<root>\d+))?")
_STEP = re.compile(r"[~^](\d*)")


def find_repo(connection: sqlite3.Connection, key: RepoKey) -> Repo | None:
    """A repo, or None."""
    row = connection.execute(
        "SELECT * FROM repos WHERE project = ? AND name = ? AND type = ?", (key.project, key.name, key.type)
    ).fetchone()
    return None if row is None else Repo(row["id"], key, row["description"], row["created"])


def get_repo(connection: sqlite3.Connection, key: RepoKey) -> Repo:
    """A repo.

    Raises:
        NotFound: There is none of that name.
    """
    repo = find_repo(connection, key)
    if repo is None:
        raise NotFound(f"repo {key} not found")
    return repo


def find_branch(connection: sqlite3.Connection, key: BranchKey) -> Branch | None:
    """A branch, or None."""
    row = connection.execute(
        f"{FROM_BRANCHES} WHERE repos.project = ? AND repos.name = ? AND repos.type = ? AND branches.name = ?",
        (key.repo.project, key.repo.name, key.repo.type, key.name),
    ).fetchone()
    return None if row is None else branch_of(row)


def get_branch(connection: sqlite3.Connection, key: BranchKey) -> Branch:
    """A branch.

    Raises:
        NotFound: There is none of that name.
    """
    branch = find_branch(connection, key)
    if branch is None:
        raise NotFound(f'branch "{key.name}" not found in repo {key.repo}')
    return branch


def branch_by_pk(connection: sqlite3.Connection, pk: int) -> Branch:
    """A branch by its key in the database."""
    return branch_of(connection.execute(f"{FROM_BRANCHES} WHERE branches.id = ?", (pk,)).fetchone())


def commit_by_pk(connection: sqlite3.Connection, pk: int) -> Commit:
    """A commit by its key in the database.

    Raises:
        NotFound: It was removed meanwhile.
    """
    found = find_by_pk(connection, pk)
    if found is None:
        raise NotFound("commit was removed meanwhile")
    return found


def find_by_pk(connection: sqlite3.Connection, pk: int) -> Commit | None:
    """A commit by its key in the database, or None."""
    row = connection.execute(f"{FROM_COMMITS} WHERE commits.pk = ?", (pk,)).fetchone()
    return None if row is None else commit_of(row)


def find_commit(connection: sqlite3.Connection, repo: RepoKey, commit_id: str) -> Commit | None:
    """The commit of a repo in a commit set: its own, or the one that the set's provenance holds."""
    row = connection.execute(
        f"{FROM_COMMITS} WHERE repos.project = ? AND repos.name = ? AND repos.type = ? AND commits.id = ?",
        (repo.project, repo.name, repo.type, commit_id),
    ).fetchone()
    if row is None:
        row = connection.execute(
            f"""WITH RECURSIVE reach(pk) AS (
                    SELECT pk FROM commits WHERE id = ?
                    UNION SELECT upstream FROM commit_provenance JOIN reach ON commit_pk = reach.pk)
                {FROM_COMMITS} WHERE commits.pk IN (SELECT pk FROM reach)
                AND repos.project = ? AND repos.name = ? AND repos.type = ?
                ORDER BY commits.pk DESC LIMIT 1""",
            (commit_id, repo.project, repo.name, repo.type),
        ).fetchone()
    return None if row is None else commit_of(row)


def get_commit(connection: sqlite3.Connection, ref: CommitRef) -> Commit:
    """The commit that a reference means.

    Raises:
        NotFound: The branch or commit does not exist, or the ancestry goes beyond the first commit.
        Fault: The ancestry suffix cannot be read, or the branch has no commit.
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
        commit = find_commit(connection, ref.repo, name)
        if commit is None:
            raise NotFound(f"commit {ref.repo}@{name} not found")
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
    """A commit and its parents, youngest first."""
    rows = connection.execute(
        f"""WITH RECURSIVE line(pk) AS (
                SELECT ? UNION ALL
                SELECT commits.parent FROM commits JOIN line ON commits.pk = line.pk
                WHERE commits.parent IS NOT NULL)
            {FROM_COMMITS} WHERE commits.pk IN (SELECT pk FROM line) ORDER BY commits.pk DESC""",
        (commit.pk,),
    )
    return [commit_of(row) for row in rows]


def direct_provenance(connection: sqlite3.Connection, branch: int) -> list[Branch]:
    """The branches that a branch names as its provenance."""
    rows = connection.execute(
        f"{FROM_BRANCHES} JOIN branch_provenance ON branch_provenance.upstream = branches.id"
        " WHERE branch_provenance.branch = ? ORDER BY position",
        (branch,),
    )
    return [branch_of(row) for row in rows]


def direct_subvenance(connection: sqlite3.Connection, branch: int) -> list[Branch]:
    """The branches that name a branch as their provenance."""
    rows = connection.execute(
        f"{FROM_BRANCHES} JOIN branch_provenance ON branch_provenance.branch = branches.id"
        " WHERE branch_provenance.upstream = ? ORDER BY branches.id",
        (branch,),
    )
    return [branch_of(row) for row in rows]


def _closure(connection: sqlite3.Connection, branch: int, source: str, target: str) -> list[Branch]:
    rows = connection.execute(
        f"""WITH RECURSIVE reach(id) AS (
                SELECT {target} FROM branch_provenance WHERE {source} = ?
                UNION SELECT {target} FROM branch_provenance JOIN reach ON {source} = reach.id)
            {FROM_BRANCHES} WHERE branches.id IN (SELECT id FROM reach) ORDER BY branches.id""",
        (branch,),
    )
    return [branch_of(row) for row in rows]


def all_provenance(connection: sqlite3.Connection, branch: int) -> list[Branch]:
    """The branches that a branch follows from, directly or not."""
    return _closure(connection, branch, "branch", "upstream")


def all_subvenance(connection: sqlite3.Connection, branch: int) -> list[Branch]:
    """The branches that follow from a branch, directly or not."""
    return _closure(connection, branch, "upstream", "branch")


def commit_provenance(connection: sqlite3.Connection, commit: int) -> list[Commit]:
    """The commits that a commit was made from, directly."""
    rows = connection.execute(
        f"{FROM_COMMITS} JOIN commit_provenance ON commit_provenance.upstream = commits.pk"
        " WHERE commit_provenance.commit_pk = ? ORDER BY commits.pk",
        (commit,),
    )
    return [commit_of(row) for row in rows]


def children(connection: sqlite3.Connection, commit: int) -> list[Commit]:
    """The commits whose parent a commit is."""
    rows = connection.execute(f"{FROM_COMMITS} WHERE commits.parent = ? ORDER BY commits.pk", (commit,))
    return [commit_of(row) for row in rows]
