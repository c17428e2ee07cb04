"""Starting, finishing, and listing commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import (
    ancestors,
    commit_by_pk,
    direct_provenance,
    find_branch,
    get_commit,
    get_repo,
)
from pdk_stack.pachyderm.core.pfs.trees import base_tree, staged_changes
from pdk_stack.pachyderm.core.pfs.types import (
    ORIGIN_USER,
    SPEC_REPO,
    Branch,
    BranchKey,
    Commit,
    CommitRef,
    RepoKey,
    select_commits,
)
from pdk_stack.pachyderm.errors import AlreadyExists, Fault, NotFound, wrapped
from pdk_stack.pachyderm.names import check_branch_name, check_name, is_commit_id
from pdk_stack.pachyderm.store import tree_edits as edits
from pdk_stack.pachyderm.store.clock import now_ns
from pdk_stack.pachyderm.store.nodes import StoredNodes


def insert_commit(
    change: Change,
    repo_pk: int,
    branch: str,
    *,
    parent: int | None,
    origin: int,
    description: str = "",
    upstream: Iterable[int] = (),
) -> Commit:
    """Add an open commit to this change's set.

    Raises:
        AlreadyExists: The repo already has a commit in this set.
    """
    connection = change.connection
    try:
        cursor = connection.execute(
            "INSERT INTO commits (repo, id, branch, origin, description, parent, started) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (repo_pk, change.set_id, branch, origin, description, parent, now_ns()),
        )
    except sqlite3.IntegrityError as error:
        row = connection.execute("SELECT project, name, type FROM repos WHERE id = ?", (repo_pk,)).fetchone()
        repo = RepoKey(*row)
        raise AlreadyExists(
            f"commit {repo.key}@{change.set_id} already exists\ninconsistent dependencies: cannot create commit from "
            f"{repo}@{change.set_id}; repo ({repo.name}) already has a commit in this transaction"
        ) from error
    pk = int(cursor.lastrowid or 0)
    connection.executemany(
        "INSERT OR IGNORE INTO commit_provenance (commit_pk, upstream) VALUES (?, ?)",
        [(pk, each) for each in upstream if each != pk],
    )
    change.created.append(pk)
    return commit_by_pk(connection, pk)


def set_head(change: Change, branch: int, commit: int | None) -> None:
    """Move a branch's head, and mark the branch for propagation."""
    change.connection.execute("UPDATE branches SET head = ? WHERE id = ?", (commit, branch))
    change.touch(branch)


def insert_branch(connection: sqlite3.Connection, key: BranchKey) -> Branch:
    """Add a branch without a head or provenance."""
    check_branch_name(key.name)
    repo = get_repo(connection, key.repo)
    connection.execute("INSERT INTO branches (repo, name, created) VALUES (?, ?, ?)", (repo.pk, key.name, now_ns()))
    branch = find_branch(connection, key)
    assert branch is not None
    return branch


def check_writable(connection: sqlite3.Connection, branch: Branch) -> None:
    """Refuse to start a commit on a branch that a pipeline or provenance fills; a spout's output is writable.

    Raises:
        Fault: The branch has provenance.
    """
    upstream = direct_provenance(connection, branch.pk)
    if upstream and not (len(upstream) == 1 and upstream[0].key.repo.type == SPEC_REPO):
        raise Fault(f"cannot start a commit on an output branch: {branch.key}")


def start_commit(change: Change, key: BranchKey, parent: CommitRef | None = None, description: str = "") -> Commit:
    """Start a commit on a branch, creating the branch if needed.

    Args:
        change: The change in progress.
        key: The branch.
        parent: The commit to start from, also one of another repo; None means the branch's head.
        description: A free-text description.

    Raises:
        NotFound: The repo or the parent doesn't exist.
        AlreadyExists: The repo already has a commit in this change.
        Fault: The branch has provenance, or the parent is still open.
    """
    connection = change.connection
    if not key.name:
        raise Fault("branch must be specified")
    check_name(key.name)
    repo = get_repo(connection, key.repo)
    branch = find_branch(connection, key)
    previous = None
    if parent is not None:
        with wrapped("parent commit not found"):
            previous = get_commit(connection, parent)
    elif branch is not None and branch.head is not None:
        previous = commit_by_pk(connection, branch.head)
    if previous is not None and previous.is_open:
        raise Fault(f"parent commit {previous} has not been finished")
    parent_pk = previous.pk if previous else None
    commit = insert_commit(change, repo.pk, key.name, parent=parent_pk, origin=ORIGIN_USER, description=description)
    if branch is None:
        with wrapped("start commit"):
            branch = insert_branch(connection, key)
    check_writable(connection, branch)
    set_head(change, branch.pk, commit.pk)
    return commit


def stage(change: Change, commit: Commit, changes: Sequence[edits.TreeEdit]) -> None:
    """Stage changes in an open commit."""
    change.connection.executemany(
        "INSERT INTO staged (commit_pk, change) VALUES (?, ?)",
        [(commit.pk, edits.dump_edit(each)) for each in changes],
    )


def finish(
    change: Change,
    commit: Commit,
    *,
    changes: Sequence[edits.TreeEdit] = (),
    error: str = "",
    description: str = "",
) -> Commit:
    """Finish a commit: apply its changes, validate the tree, and make it readable.

    Args:
        change: The change in progress.
        commit: An open commit.
        changes: Changes to apply after the staged ones.
        error: Why the commit failed. Its own files stay readable, but its children start from its parent's.
        description: Replaces the commit's description if given.

    Raises:
        Fault: The commit is already finished.
    """
    connection = change.connection
    if not commit.is_open:
        raise Fault(f"commit {commit} has already finished")
    # A commit may finish before its parent, for example a stopped job's.
    fresh: dict[bytes, bytes] = {}
    editor = edits.TreeEditor(StoredNodes(connection, fresh), base_tree(connection, commit, fresh))
    editor.apply(staged_changes(connection, commit.pk))
    editor.apply(changes)
    result = editor.finish()
    error = error or result.problem
    fresh.update(result.nodes)
    tree, size = result.root.node, result.root.size
    connection.executemany("INSERT OR IGNORE INTO nodes (hash, data) VALUES (?, ?)", list(fresh.items()))
    moment = now_ns()
    connection.execute(
        "UPDATE commits SET finishing = ?, finished = ?, error = ?, tree = ?, size = ?,"
        " description = CASE WHEN ? != '' THEN ? ELSE description END WHERE pk = ?",
        (moment, moment, error, tree, size, description, description, commit.pk),
    )
    connection.execute("DELETE FROM staged WHERE commit_pk = ?", (commit.pk,))
    change.finished.append(commit.pk)
    return commit_by_pk(connection, commit.pk)


def open_for_writing(change: Change, ref: CommitRef) -> tuple[Commit, bool]:
    """Return the commit that a file modification writes to (``modifyFile``).

    If the reference names an open commit, it is that commit. If it names a branch whose head is finished, or a new
    branch, the function creates a commit, which the caller must finish.

    Returns:
        The commit, and whether the caller must finish it.

    Raises:
        NotFound: The repo or the commit doesn't exist.
        Fault: The commit is finished, or the branch has provenance.
    """
    branch, wanted = ref.branch, ref.id
    if not branch and not is_commit_id(wanted):
        branch, wanted = wanted, ""
    try:
        commit = get_commit(change.connection, ref)
    except NotFound:
        if not branch:
            raise
    else:
        if commit.is_open:
            return commit, False
        if wanted:
            raise Fault(f"commit {commit} has already finished")
    return start_commit(change, BranchKey(ref.repo, branch)), True


def finish_by_client(
    change: Change, ref: CommitRef, *, description: str, error: str, force: bool, is_output: bool
) -> None:
    """Finish a commit on behalf of a client.

    Args:
        change: The change in progress.
        ref: The commit.
        description: Replaces the commit's description if given.
        error: Why the commit failed, if it did.
        force: Also finish commits without provenance checks.
        is_output: Whether the commit is a pipeline's output.

    Raises:
        NotFound: The commit doesn't exist.
        Fault: The commit is already finished, or is a pipeline's output.
    """
    commit = get_commit(change.connection, ref)
    if not commit.is_open:
        raise Fault(f"commit {commit} has already finished")
    if is_output and not force:
        raise Fault("cannot finish a pipeline output or meta commit, use 'stop job' instead")
    finish(change, commit, error=error, description=description)


def list_commits(
    connection: sqlite3.Connection,
    repo: RepoKey,
    *,
    upto: CommitRef | None = None,
    after: CommitRef | None = None,
    reverse: bool = False,
    everything: bool = False,
    origin: int = 0,
) -> Iterator[Commit]:
    """Yield a repo's commits, newest first.

    Args:
        connection: The connection to read from.
        repo: The repo; without a name, all repos.
        upto: Only this commit and its ancestors.
        after: Only descendants of this commit, excluding itself; as in the server, only if it is named by its ID.
        reverse: Whether to start with the oldest.
        everything: Whether to include commits of every origin.
        origin: Only commits of this origin kind, unless ``everything`` is set.

    Raises:
        NotFound: The repo or one of the named commits doesn't exist.
        Fault: ``after`` is given without ``upto``, one of them is of another repo, or they are combined with
            ``reverse``.
    """
    if any(each is not None and each.repo != repo for each in (upto, after)):
        raise Fault(f"`from` and `to` commits need to be from repo {repo}")
    if repo.name:
        with wrapped("ensure repo exists"):
            get_repo(connection, repo)
    for each in (after, upto):
        if each is not None:
            get_commit(connection, each)
    if after is not None and upto is None:
        raise Fault("cannot use `from` commit without `to` commit")
    # An empty part of the repo's name means any, as in the server.
    line, rest = "", "WHERE ? IN ('', repos.project) AND ? IN ('', repos.name) AND ? IN ('', repos.type)"
    values: tuple[str, ...] = repo.parts
    if upto is not None:
        if reverse:
            raise Fault("cannot use 'Reverse' while also using 'From' or 'To'")
        start = get_commit(connection, upto)
        end = next((each for each in ancestors(connection, start) if after is not None and each.id == after.id), None)
        last = end.pk if end else -1
        # A parent may lie in another repo.
        line = f"""WITH RECURSIVE line(pk) AS (
            SELECT {start.pk} UNION ALL
            SELECT commits.parent FROM commits JOIN line ON commits.pk = line.pk
            WHERE commits.parent IS NOT NULL AND line.pk != {last})"""
        rest, values = f"WHERE commits.pk IN (SELECT pk FROM line) AND commits.pk != {last}", ()
    if not everything and origin:
        rest += f" AND commits.origin = {int(origin)}"
    rest += " ORDER BY commits.pk" + ("" if reverse else " DESC")
    return select_commits(connection, rest, *values, named=line)
