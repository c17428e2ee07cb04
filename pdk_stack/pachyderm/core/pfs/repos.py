"""Projects and repos."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from pdk_stack.pachyderm.core.pfs.lookup import all_subvenance, find_repo, get_repo
from pdk_stack.pachyderm.core.pfs.types import FILESETS_REPO, Branch, Repo, RepoKey, select_branches
from pdk_stack.pachyderm.errors import AlreadyExists, FailedPrecondition, Fault, NotFound
from pdk_stack.pachyderm.names import DEFAULT_PROJECT, check_name, check_project_name
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


def create_project(connection: sqlite3.Connection, name: str, description: str, update: bool) -> None:
    """Create a project, or change its description.

    Raises:
        AlreadyExists: The project exists and ``update`` isn't set.
        Fault: The name is invalid.
    """
    check_project_name(name)
    exists = connection.execute("SELECT 1 FROM projects WHERE name = ?", (name,)).fetchone()
    if exists and not update:
        raise AlreadyExists(f"project {name} already exists")
    if exists:
        connection.execute("UPDATE projects SET description = ? WHERE name = ?", (description, name))
        return
    connection.execute(
        "INSERT INTO projects (name, description, created) VALUES (?, ?, ?)", (name, description, now_ns())
    )


def get_project(connection: sqlite3.Connection, name: str) -> Project:
    """Return a project.

    Raises:
        NotFound: The project doesn't exist.
    """
    row = connection.execute("SELECT * FROM projects WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NotFound(f'error getting project "{name}": project "{name}" not found')
    return Project(row["name"], row["description"], row["created"])


def list_projects(connection: sqlite3.Connection) -> list[Project]:
    """List all projects by name."""
    rows = connection.execute("SELECT * FROM projects ORDER BY name")
    return [Project(row["name"], row["description"], row["created"]) for row in rows]


def delete_project(connection: sqlite3.Connection, name: str) -> None:
    """Delete an empty project.

    Raises:
        NotFound: The project doesn't exist.
        FailedPrecondition: The project still has repos.
    """
    get_project(connection, name)
    left = [str(repo.key) for repo in list_repos(connection, "", [name])]
    if left:
        reasons = "; ".join(f"repo {repo} still exists" for repo in left)
        raise FailedPrecondition(f"cannot delete project {name}: {reasons}")
    connection.execute("DELETE FROM projects WHERE name = ?", (name,))


def create_repo(connection: sqlite3.Connection, key: RepoKey, description: str, update: bool) -> Repo:
    """Create a repo, or change its description.

    Raises:
        AlreadyExists: The repo exists and ``update`` isn't set.
        NotFound: The project doesn't exist.
        Fault: The name is invalid.
    """
    check_name(key.name)
    if key.name == FILESETS_REPO:
        raise Fault(f"{FILESETS_REPO} is a reserved name")
    if connection.execute("SELECT 1 FROM projects WHERE name = ?", (key.project,)).fetchone() is None:
        raise NotFound(f'cannot find project "{key.project}": project "{key.project}" not found')
    existing = find_repo(connection, key)
    if existing:
        if not update:
            raise AlreadyExists(f"repo {key} already exists")
        connection.execute("UPDATE repos SET description = ? WHERE id = ?", (description, existing.pk))
    else:
        connection.execute(
            "INSERT INTO repos (project, name, type, description, created) VALUES (?, ?, ?, ?, ?)",
            (key.project, key.name, key.type, description, now_ns()),
        )
    return get_repo(connection, key)


def list_repos(connection: sqlite3.Connection, kind: str, projects: Sequence[str]) -> list[Repo]:
    """List repos, newest first.

    Args:
        connection: The connection to read from.
        kind: Only repos of this type; empty means all.
        projects: Only repos in these projects; empty means all.
    """
    rows = connection.execute("SELECT * FROM repos ORDER BY id DESC")
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


def delete_repo(connection: sqlite3.Connection, key: RepoKey, force: bool) -> None:
    """Delete a repo with its branches, commits, and system repos; a missing repo is not an error.

    Raises:
        Fault: Branches of other repos depend on its branches and ``force`` isn't set.
    """
    repo = find_repo(connection, key)
    if repo is None:
        return
    related = [key]
    if key.type == "user":
        related += [RepoKey(key.project, key.name, kind) for kind in ("meta", "spec")]
    doomed = [found for found in (find_repo(connection, each) for each in related) if found]
    keys = {each.key for each in doomed}
    if not force:
        for each in doomed:
            for branch in repo_branches(connection, each.pk):
                outside = [s for s in all_subvenance(connection, branch.pk) if s.key.repo not in keys]
                if outside:
                    names = " ".join(str(s.key) for s in outside)
                    raise Fault(
                        f"branch {branch.key.name} has [{names}] as subvenance, deleting it would break those branches"
                    )
    for each in doomed:
        connection.execute("DELETE FROM repos WHERE id = ?", (each.pk,))
