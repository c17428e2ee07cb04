"""Commit sets: all commits with one ID, across all repos, and the commits in their provenance."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from pdk_stack.pachyderm.core.pfs import commits as commit_ops
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import children, direct_provenance
from pdk_stack.pachyderm.core.pfs.types import (
    ORIGIN_AUTO,
    ORIGIN_USER,
    SET_WITH_PROVENANCE,
    SPEC_REPO,
    Commit,
    select_branches,
    select_commits,
)
from pdk_stack.pachyderm.errors import Fault, NotFound


def commits_of_set(connection: sqlite3.Connection, set_id: str) -> list[Commit]:
    """Return the commits with a set's ID, in order of creation; none if the set doesn't exist."""
    return list(select_commits(connection, "WHERE commits.id = ? ORDER BY commits.pk", set_id))


def set_with_aliases(connection: sqlite3.Connection, set_id: str) -> list[Commit]:
    """Return a set's commits and those of earlier sets in their provenance, in topological order.

    Raises:
        NotFound: The set doesn't exist.
    """
    if not commits_of_set(connection, set_id):
        raise NotFound(f"no commits found for commitset {set_id}")
    rest = "WHERE commits.pk IN (SELECT pk FROM named) ORDER BY commits.id = ?, commits.pk"
    found = list(select_commits(connection, rest, set_id, set_id, named=SET_WITH_PROVENANCE))
    # Only one commit of each repo belongs to the set: its own, or else the newest one in the provenance.
    chosen: dict[int, Commit] = {}
    for commit in found:
        if commit.repo_pk not in chosen or chosen[commit.repo_pk].id != set_id:
            chosen[commit.repo_pk] = commit
    kept = {commit.pk for commit in chosen.values()}
    return [commit for commit in found if commit.pk in kept]


def list_sets(connection: sqlite3.Connection, project: str | None = None) -> list[str]:
    """List the IDs of all commit sets, newest first; with a project, only those that touch it."""
    where = "WHERE repos.project = ?" if project is not None else ""
    rows = connection.execute(
        "SELECT commits.id, MAX(commits.pk) AS newest FROM commits JOIN repos ON repos.id = commits.repo"
        f" {where} GROUP BY commits.id ORDER BY newest DESC",
        (project,) if project is not None else (),
    )
    return [row["id"] for row in rows]


def subvenant_sets(connection: sqlite3.Connection, members: Sequence[Commit]) -> list[str]:
    """Return the IDs of other sets whose commits derive from these."""
    keys = ",".join(str(commit.pk) for commit in members)
    rows = connection.execute(
        f"""WITH RECURSIVE reach(pk) AS (
                SELECT commit_pk FROM commit_provenance WHERE upstream IN ({keys})
                UNION SELECT commit_pk FROM commit_provenance JOIN reach ON upstream = reach.pk)
            SELECT DISTINCT id FROM commits WHERE pk IN (SELECT pk FROM reach) AND id != ? ORDER BY pk""",
        (members[0].id,),
    )
    return [row["id"] for row in rows]


def remove_set(change: Change, set_id: str, *, drop: bool) -> None:
    """Squash or drop a commit set; one that doesn't exist has no commits to remove.

    Args:
        change: The change in progress.
        set_id: The set.
        drop: Whether to delete the data instead of passing it on to child commits.

    Raises:
        Fault: Another set derives from it, a set to drop has children, or a set to squash has none or open ones.
    """
    connection = change.connection
    members = commits_of_set(connection, set_id)
    if not members:
        return
    following = " ".join(f'id:"{each}"' for each in subvenant_sets(connection, members))
    if following:
        # The server says so for both.
        raise Fault(
            f'commit set "id:\\"{set_id}\\"" cannot be dropped because it has subvenant commit sets: [{following}]'
        )
    for commit in members:
        _check(connection, commit, drop=drop, may_drop_spec=False)
    for commit in members:
        _remove(change, commit)


def _check(connection: sqlite3.Connection, commit: Commit, *, drop: bool, may_drop_spec: bool) -> None:
    """Refuse to drop a commit that has children, to squash one that has none, and to remove a pipeline's spec."""
    if commit.repo.type == SPEC_REPO and commit.origin == ORIGIN_USER and not (drop and may_drop_spec):
        raise Fault(f"cannot squash commit {commit} because it updated a pipeline")
    young = children(connection, commit.pk)
    if drop and young:
        raise Fault(f"cannot drop a commit that has children: {commit}")
    if not drop and not young:
        raise Fault(
            "cannot squash a commit that has no children as that would cause data loss, use the drop operation "
            f"instead: {commit}"
        )


def remove_commit(change: Change, commit: Commit, *, recursive: bool, drop: bool) -> None:
    """Squash or drop one commit and the commits that derive from it (Pachyderm 2.8 and later).

    Args:
        change: The change in progress.
        commit: The commit.
        recursive: Whether to include derived commits; otherwise, their existence is an error.
        drop: Whether to delete the data instead of passing it on to child commits.

    Raises:
        Fault: The commit can't be removed.
    """
    connection = change.connection
    reach = """WITH RECURSIVE reach(pk) AS (
        SELECT ? UNION SELECT commit_pk FROM commit_provenance JOIN reach ON upstream = reach.pk)"""
    rest = "WHERE commits.pk IN (SELECT pk FROM reach) ORDER BY commits.pk"
    doomed = list(select_commits(connection, rest, commit.pk, named=reach))
    what = "drop" if drop else "squash"
    if len(doomed) > 1 and not recursive:
        raise Fault(f"cannot {what} commit ({commit}) with subvenance without recursive")
    for each in doomed:
        _check(connection, each, drop=drop, may_drop_spec=True)
    for each in doomed:
        _remove(change, each)


def _remove(change: Change, commit: Commit) -> None:
    """Remove a commit; its children stay, and branches move to its parent or to a new empty commit.

    Raises:
        Fault: A child is still open.
    """
    connection = change.connection
    still_open = next((child for child in children(connection, commit.pk) if not child.finished), None)
    if still_open is not None:
        raise Fault(f"cannot squash until child commit {still_open} is finished")
    heads = select_branches(connection, "WHERE branches.head = ?", commit.pk)
    connection.execute("UPDATE commits SET parent = ? WHERE parent = ?", (commit.parent, commit.pk))
    connection.execute("DELETE FROM commits WHERE pk = ?", (commit.pk,))
    if not heads:
        return
    replacement = commit.parent
    if replacement is None:
        upstream = [each.head for each in direct_provenance(connection, heads[0].pk) if each.head is not None]
        empty = commit_ops.insert_commit(
            change, commit.repo_pk, heads[0].key.name, parent=None, origin=ORIGIN_AUTO, upstream=upstream
        )
        replacement = empty.pk if upstream else commit_ops.finish(change, empty).pk
    for branch in heads:
        connection.execute("UPDATE branches SET head = ? WHERE id = ?", (replacement, branch.pk))
