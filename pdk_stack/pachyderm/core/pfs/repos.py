"""Projects and repos."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from pdk_stack.pachyderm.core.pfs.lookup import all_subvenance, find_repo, get_repo, missing_repo
from pdk_stack.pachyderm.core.pfs.types import (
    FILESETS_REPO,
    REPO_TYPES,
    USER_REPO,
    Branch,
    Repo,
    RepoKey,
    select_branches,
)
from pdk_stack.pachyderm.errors import AlreadyExists, FailedPrecondition, Fault, NotFound, wrapped
from pdk_stack.pachyderm.names import DEFAULT_PROJECT, check_name, check_project_name, go_quoted
from pdk_stack.pachyderm.store.clock import now_ns


@dataclass(frozen=True)
class Project:
    """A project."""

    name: str
    description: str
    created: int


def ensure_default_project(connection: sqlite3.Connection) -> None:
    """Create the project ``default`` if it is missing."""
    connection.execute("INSERT OR IGNORE INTO projects (name, created) VALUES (?, ?)", (DEFAULT_PROJECT, now_ns()))


def create_project(connection: sqlite3.Connection, name: str | None, description: str, update: bool) -> None:
    """Create a project, or change its description.

    Args:
        connection: The change's connection.
        name: The project; None if the request names none.
        description: A free-text description.
        update: Whether an existing project is changed; a missing one is created, too.

    Raises:
        AlreadyExists: The project exists and ``update`` isn't set.
        Fault: The name is invalid.
    """
    name = _valid_project(name)
    exists = connection.execute("SELECT 1 FROM projects WHERE name = ?", (name,)).fetchone()
    if exists and not update:
        raise AlreadyExists(f"project {go_quoted(name)} already exists\nproject {name} already exists")
    if exists:
        connection.execute("UPDATE projects SET description = ? WHERE name = ?", (description, name))
        return
    connection.execute(
        "INSERT INTO projects (name, description, created) VALUES (?, ?, ?)", (name, description, now_ns())
    )


def _valid_project(name: str | None) -> str:
    with wrapped("invalid project name"):
        if name is None:
            raise Fault("nil project")
        check_project_name(name)
    return name


def find_project(connection: sqlite3.Connection, name: str) -> Project:
    """Return a project.

    Raises:
        NotFound: The project doesn't exist.
    """
    row = connection.execute("SELECT * FROM projects WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NotFound(f"project {go_quoted(name)} not found" if name else "project not found")
    return Project(row["name"], row["description"], row["created"])


def get_project(connection: sqlite3.Connection, name: str) -> Project:
    """Return a project that a client inspects.

    Raises:
        NotFound: The project doesn't exist.
    """
    with wrapped(f"error getting project {go_quoted(name)}"):
        return find_project(connection, name)


def list_projects(connection: sqlite3.Connection) -> list[Project]:
    """List all projects, oldest first."""
    rows = connection.execute("SELECT * FROM projects ORDER BY created, name")
    return [Project(row["name"], row["description"], row["created"]) for row in rows]


def delete_project(connection: sqlite3.Connection, name: str | None, force: bool) -> None:
    """Delete an empty project; as on a cluster, ``force`` doesn't delete its repos.

    Raises:
        NotFound: The project doesn't exist.
        FailedPrecondition: The project still has repos.
        Fault: The name is invalid, or the project still has repos and ``force`` is set.
    """
    name = _valid_project(name)
    left = [f"repo {repo.key} still exists" for repo in list_repos(connection, "", [name])]
    if left and not force:
        raise FailedPrecondition(f"cannot delete project {name}: " + "\n".join(left))
    with wrapped(f"delete project {go_quoted(name)}"):
        find_project(connection, name)
        if left:
            raise Fault("delete project: " + "\n".join(left))
    connection.execute("DELETE FROM projects WHERE name = ?", (name,))


def create_repo(connection: sqlite3.Connection, key: RepoKey, description: str, update: bool) -> Repo:
    """Create a repo, or change its description.

    Raises:
        AlreadyExists: The repo exists and ``update`` isn't set.
        NotFound: The project, or the user repo that a system repo belongs to, doesn't exist.
        Fault: The name or the type is invalid.
    """
    if key.name == FILESETS_REPO:
        raise Fault(f"{FILESETS_REPO} is a reserved name")
    check_name(key.name)
    with wrapped(f"cannot find project {go_quoted(key.project)}"):
        find_project(connection, key.project)
    with wrapped(f"error checking whether repo {go_quoted(str(key))} exists"):
        existing = find_repo(connection, key)
    if existing:
        if not update:
            raise AlreadyExists(f"repo {key} already exists")
        connection.execute("UPDATE repos SET description = ? WHERE id = ?", (description, existing.pk))
        return get_repo(connection, key)
    user = RepoKey(key.project, key.name)
    if find_repo(connection, user) is None and key != user:
        raise NotFound(
            "cannot create a system repo without a corresponding 'user' repo: " + missing_repo(connection, user)
        )
    connection.execute(
        "INSERT INTO repos (project, name, type, description, created) VALUES (?, ?, ?, ?, ?)",
        (key.project, key.name, key.type, description, now_ns()),
    )
    return get_repo(connection, key)


def list_repos(connection: sqlite3.Connection, kind: str, projects: Sequence[str]) -> list[Repo]:
    """List repos, oldest first.

    Args:
        connection: The connection to read from.
        kind: Only repos of this type; empty means all.
        projects: Only repos in these projects; empty means all.
    """
    rows = connection.execute("SELECT * FROM repos ORDER BY id")
    return [
        Repo(
            row["id"],
            RepoKey(row["project"], row["name"], row["type"]),
            row["description"],
            row["created"],
        )
        for row in rows
        if (not kind or row["type"] == kind) and (not projects or row["project"] in projects)
    ]


def repo_branches(connection: sqlite3.Connection, repo: int) -> list[Branch]:
    """List a repo's branches, newest first."""
    return select_branches(connection, "WHERE branches.repo = ? ORDER BY branches.id DESC", repo)


def repo_size(connection: sqlite3.Connection, repo: int) -> int:
    """Return the size of the newest finished commit on ``master``, in bytes; 0 if there is none."""
    row = connection.execute(
        """WITH RECURSIVE line(pk) AS (
               SELECT head FROM branches WHERE repo = ? AND name = 'master' AND head IS NOT NULL
               UNION ALL SELECT commits.parent FROM commits JOIN line ON commits.pk = line.pk
               WHERE commits.parent IS NOT NULL AND (commits.finished = 0 OR commits.error != ''))
           SELECT size FROM commits WHERE pk IN (SELECT pk FROM line) AND finished != 0 AND error = ''
           ORDER BY pk DESC LIMIT 1""",
        (repo,),
    ).fetchone()
    return 0 if row is None else int(row["size"])


def delete_repo(connection: sqlite3.Connection, key: RepoKey, force: bool) -> bool:
    """Delete a repo with its branches, commits, and system repos; return whether there was one.

    Raises:
        Fault: Branches of other repos depend on its branches and ``force`` isn't set.
    """
    repo = find_repo(connection, key)
    if repo is None:
        return False
    related = [key]
    if key.type == USER_REPO:
        related = [RepoKey(key.project, key.name, kind) for kind in REPO_TYPES]
    doomed = [found for found in (find_repo(connection, each) for each in related) if found]
    keys = {each.key for each in doomed}
    if not force:
        for each in doomed:
            for branch in repo_branches(connection, each.pk):
                outside = [s for s in all_subvenance(connection, branch.pk) if s.key.repo not in keys]
                if outside:
                    names = " ".join(str(s.key) for s in outside)
                    raise Fault(
                        f"delete branch {branch.key}: could not delete branch {branch.pk}: {branch.key.name} has "
                        f"[{names}] as subvenance, deleting it would break those branches"
                    )
    for each in doomed:
        connection.execute("DELETE FROM repos WHERE id = ?", (each.pk,))
    return True
