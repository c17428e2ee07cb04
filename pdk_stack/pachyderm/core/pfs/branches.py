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
    find_repo,
    get_branch,
    get_commit,
    get_repo,
    missing_repo,
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
from pdk_stack.pachyderm.errors import FailedPrecondition, Fault, Inconsistent, NotFound, wrapped
from pdk_stack.pachyderm.names import check_name, go_quoted


def create_branch(
    change: Change,
    key: BranchKey,
    *,
    head: CommitRef | None = None,
    provenance: Sequence[BranchKey] = (),
    trigger: str | None = None,
) -> Branch:
    """Create a branch, or change its head, provenance, or trigger.

    Args:
        change: The change in progress.
        key: The branch.
        head: The new head; None keeps the current one.
        provenance: The branch's direct provenance.
        trigger: A trigger as JSON; None keeps the current one.

    Raises:
        NotFound: A repo, the head, or the trigger's branch doesn't exist.
        Inconsistent: The provenance is cyclic.
        Fault: A name is invalid, or the provenance is in the same repo.
    """
    connection = change.connection
    if trigger is not None:
        triggers.validate(connection, key, json.loads(trigger))
        if provenance:
            raise Fault("a branch cannot have both provenance and a trigger")
    for each in (*provenance, key):
        check_name(each.name)
    for each in provenance:
        _create_missing(change, each)
    target = None
    if head is not None:
        with wrapped(f"unable to inspect {head}"):
            target = get_commit(connection, head)
    if any(each.repo == key.repo for each in provenance):
        raise Fault(f"repo {key.repo} cannot be in the provenance of its own branch")
    branch = find_branch(connection, key)
    before = [each.key for each in direct_provenance(connection, branch.pk)] if branch else []
    current = target.pk if target else branch.head if branch else None
    # A branch without a head, or with new provenance, gets a commit of its own.
    fresh = current is None or (bool(provenance) and set(before) != set(provenance))
    made = None
    if fresh:
        upstream = [each.head for each in (get_branch(connection, each) for each in provenance)]
        made = _empty_commit(change, key, parent=current, upstream=[pk for pk in upstream if pk is not None])
        current = made.pk
    with wrapped("create branch"):
        branch = branch or commits.insert_branch(connection, key)
        _set_provenance(connection, branch, provenance)
        if trigger is not None:
            triggers.check_branch(connection, key.repo, json.loads(trigger))
            connection.execute("UPDATE branches SET trigger = ? WHERE id = ?", (trigger, branch.pk))
    if fresh or target is not None:
        commits.set_head(change, branch.pk, current)
    if set(before) != set(provenance):
        change.grown.append(branch.pk)
    return branch_by_pk(connection, branch.pk)


def _create_missing(change: Change, key: BranchKey) -> None:
    """Create a branch of a provenance that doesn't exist yet, with an empty commit."""
    if find_branch(change.connection, key) is not None:
        return
    with wrapped("create empty commit"):
        commit = _empty_commit(change, key, parent=None, upstream=())
    with wrapped("upsert branch"):
        branch = commits.insert_branch(change.connection, key)
    commits.set_head(change, branch.pk, commit.pk)


def _set_provenance(connection: sqlite3.Connection, branch: Branch, provenance: Sequence[BranchKey]) -> None:
    below = {each.key for each in all_subvenance(connection, branch.pk)}
    for key in sorted(provenance):
        if key in below:
            raise Inconsistent(f"cycle detected because {key.key} is already in the subvenance of {branch.key.key}")
    connection.execute("DELETE FROM branch_provenance WHERE branch = ?", (branch.pk,))
    for position, key in enumerate(dict.fromkeys(provenance)):
        connection.execute(
            "INSERT INTO branch_provenance (branch, upstream, position) VALUES (?, ?, ?)",
            (branch.pk, get_branch(connection, key).pk, position),
        )


def check_graphs(change: Change) -> None:
    """Check the graphs of the branches that got new provenance in this change.

    Raises:
        Fault: A graph connects two branches of a repo.
    """
    connection = change.connection
    with wrapped("validate DAG at end of transaction"):
        for pk in change.grown:
            if connection.execute("SELECT 1 FROM branches WHERE id = ?", (pk,)).fetchone():
                _check_graph(connection, pk)
    change.grown.clear()


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


def _empty_commit(change: Change, key: BranchKey, *, parent: int | None, upstream: Sequence[int]) -> Commit:
    """Create a commit for a branch: finished if nothing feeds it, otherwise open for data from its provenance.

    Raises:
        NotFound: The repo doesn't exist.
        AlreadyExists: The repo already has a commit in this change.
    """
    connection = change.connection
    repo = find_repo(connection, key.repo)
    if repo is None:
        raise NotFound(
            f"get commit by commit key: {missing_repo(connection, key.repo)}\n"
            f"commit (int_id=0, commit_id={key.repo.key}@{change.set_id}) not found"
        )
    commit = commits.insert_commit(change, repo.pk, key.name, parent=parent, origin=ORIGIN_AUTO, upstream=upstream)
    return commit if upstream else commits.finish(change, commit)


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
    """Delete a branch but keep its commits.

    Raises:
        NotFound: The branch doesn't exist.
        Fault: Other branches depend on it, or their triggers follow it, and ``force`` isn't set.
    """
    with wrapped(f"get branch {go_quoted(key.key)}"):
        branch = get_branch(connection, key)
    following = direct_subvenance(connection, branch.pk) + triggers.followers(connection, branch)
    if following and not force:
        names = " ".join(str(each.key) for each in following)
        raise Fault(
            f"could not delete branch {branch.pk}: {key.name} has [{names}] as subvenance, deleting it would break "
            "those branches"
        )
    connection.executemany(
        "UPDATE branches SET trigger = '' WHERE id = ?",
        [(each.pk,) for each in triggers.followers(connection, branch)],
    )
    connection.execute("DELETE FROM branches WHERE id = ?", (branch.pk,))


def require_output(connection: sqlite3.Connection, key: BranchKey) -> None:
    """Refuse to change a pipeline whose output branch was deleted.

    Raises:
        FailedPrecondition: The branch doesn't exist.
    """
    if find_branch(connection, key) is None:
        raise FailedPrecondition(
            f"the output branch {key} was deleted, and an update or a deletion of its pipeline then ends pachd 2.8.10 "
            f"itself (a nil pointer), so it is refused here; create the branch {key} again first"
        )
