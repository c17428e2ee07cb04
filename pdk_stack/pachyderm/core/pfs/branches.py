"""Branches with provenance, and how new commits propagate along it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from pdk_stack.pachyderm.core.pfs import commits, triggers
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import (
    all_provenance,
    all_subvenance,
    branch_by_pk,
    commit_by_pk,
    direct_provenance,
    direct_subvenance,
    find_branch,
    get_commit,
    get_repo,
)
from pdk_stack.pachyderm.core.pfs.types import (
    ORIGIN_AUTO,
    SPEC_REPO,
    Branch,
    BranchKey,
    Commit,
    CommitRef,
    RepoKey,
)
from pdk_stack.pachyderm.errors import Fault


def create_branch(
    change: Change,
    key: BranchKey,
    *,
    head: CommitRef | None = None,
    provenance: Sequence[BranchKey] = (),
    trigger: str | None = None,
    new_set: bool = False,
) -> Branch:
    """Create a branch, or change its head, provenance, or trigger.

    Args:
        change: The change in progress.
        key: The branch.
        head: The new head; None keeps the current one.
        provenance: The branch's direct provenance.
        trigger: A trigger as JSON; None keeps the current one.
        new_set: Whether moving the head starts a new commit set.

    Raises:
        NotFound: A repo or the head doesn't exist.
        Fault: The provenance is in the same repo or cyclic, or a branch with provenance gets a head.
    """
    connection = change.connection
    repo = get_repo(connection, key.repo)
    if any(upstream.repo == key.repo for upstream in provenance):
        raise Fault(f"repo {key.repo} cannot be in the provenance of its own branch")
    if provenance and trigger:
        raise Fault("a branch cannot have both provenance and a trigger")
    branch = find_branch(connection, key) or commits.insert_branch(connection, key)
    before = [each.key for each in direct_provenance(connection, branch.pk)]
    changed = sorted(before) != sorted(provenance)
    if changed:
        _set_provenance(change, branch, provenance)
    if trigger:
        triggers.validate(connection, branch, json.loads(trigger))
        connection.execute("UPDATE branches SET trigger = ? WHERE id = ?", (trigger, branch.pk))
    if head is not None and (head.id or head.branch):
        target = get_commit(connection, head)
        if target.repo != key.repo:
            raise Fault(f"branch {key} cannot have its head in another repo: {target}")
        if new_set:
            target = _again(change, branch, repo.pk, target)
        if target.pk != branch.head:
            commits.set_head(change, branch.pk, target.pk)
    elif branch.head is None or (changed and provenance):
        _empty_commit(change, branch, repo.pk)
    return branch_by_pk(connection, branch.pk)


def _again(change: Change, branch: Branch, repo_pk: int, target: Commit) -> Commit:
    """Create a commit in this set with another commit's data."""
    commit = commits.insert_commit(change, repo_pk, branch.key.name, parent=target.pk, origin=ORIGIN_AUTO)
    return commits.finish(change, commit)


def _set_provenance(change: Change, branch: Branch, provenance: Sequence[BranchKey]) -> None:
    connection = change.connection
    connection.execute("DELETE FROM branch_provenance WHERE branch = ?", (branch.pk,))
    for position, key in enumerate(provenance):
        upstream = find_branch(connection, key)
        if upstream is None:
            repo = get_repo(connection, key.repo)
            upstream = commits.insert_branch(connection, key)
            _empty_commit(change, upstream, repo.pk)
        connection.execute(
            "INSERT OR IGNORE INTO branch_provenance (branch, upstream, position) VALUES (?, ?, ?)",
            (branch.pk, upstream.pk, position),
        )
    if any(each.pk == branch.pk for each in all_provenance(connection, branch.pk)):
        raise Fault(f"branch {branch.key} cannot be in its own provenance")
    _check_graph(connection, branch.pk)


def _check_graph(connection: sqlite3.Connection, start: int) -> None:
    """Refuse a graph that connects two branches of a repo: a job's ID would be ambiguous."""
    seen: dict[int, Branch] = {}
    pending = [branch_by_pk(connection, start)]
    while pending:
        branch = pending.pop()
        if branch.pk in seen:
            continue
        seen[branch.pk] = branch
        pending += direct_provenance(connection, branch.pk) + direct_subvenance(connection, branch.pk)
    repos: set[RepoKey] = set()
    for branch in seen.values():
        if branch.key.repo in repos:
            raise Fault(f'multiple branches from the same repo, "{branch.key.repo}", cannot participate in a DAG')
        repos.add(branch.key.repo)


def _empty_commit(change: Change, branch: Branch, repo_pk: int) -> Commit:
    """Create a new head: finished if nothing feeds the branch, otherwise open for data from its provenance."""
    connection = change.connection
    heads = [each.head for each in direct_provenance(connection, branch.pk)]
    upstream = [head for head in heads if head is not None]
    commit = commits.insert_commit(
        change, repo_pk, branch.key.name, parent=branch.head, origin=ORIGIN_AUTO, upstream=upstream
    )
    if not heads:
        commit = commits.finish(change, commit)
    commits.set_head(change, branch.pk, commit.pk)
    return commit


def propagate(change: Change) -> None:
    """Give every branch downstream of a touched one an open commit in this change's set."""
    connection = change.connection
    affected: dict[int, Branch] = {}
    for touched in change.touched:
        for branch in all_subvenance(connection, touched):
            affected[branch.pk] = branch
    depth = {pk: len(all_provenance(connection, pk)) for pk in affected}
    for pk in sorted(affected, key=lambda each: (depth[each], each)):
        branch = branch_by_pk(connection, pk)
        upstream = direct_provenance(connection, pk)
        # A spout's output depends only on its spec; no pipeline input fills it.
        if len(upstream) == 1 and upstream[0].key.repo.type == SPEC_REPO:
            continue
        if branch.head is not None and commit_by_pk(connection, branch.head).id == change.set_id:
            continue
        heads = [each.head for each in upstream if each.head is not None]
        repo = get_repo(connection, branch.key.repo)
        commit = commits.insert_commit(
            change, repo.pk, branch.key.name, parent=branch.head, origin=ORIGIN_AUTO, upstream=heads
        )
        connection.execute("UPDATE branches SET head = ? WHERE id = ?", (commit.pk, pk))


def delete_branch(connection: sqlite3.Connection, key: BranchKey, force: bool) -> None:
    """Delete a branch but keep its commits; a missing branch is not an error.

    Raises:
        Fault: Other branches depend on it and ``force`` isn't set.
    """
    branch = find_branch(connection, key)
    if branch is None:
        return
    following = direct_subvenance(connection, branch.pk)
    if following and not force:
        names = " ".join(str(each.key) for each in following)
        raise Fault(f"branch {key.name} has [{names}] as subvenance, deleting it would break those branches")
    connection.execute("DELETE FROM branches WHERE id = ?", (branch.pk,))
