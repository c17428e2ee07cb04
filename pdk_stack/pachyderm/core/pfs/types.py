"""Names of PFS objects, and database rows as dataclasses."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from pdk_stack.pachyderm.names import DEFAULT_PROJECT

USER_REPO, META_REPO, SPEC_REPO = "user", "meta", "spec"
REPO_TYPES = (USER_REPO, META_REPO, SPEC_REPO)

# The repo name that lets clients read file sets like commits.
FILESETS_REPO = "__filesets__"

# pfs.proto: OriginKind
ORIGIN_USER, ORIGIN_AUTO, ORIGIN_FSCK = 1, 2, 3
# pfs.proto: CommitState
STATE_STARTED, STATE_READY, STATE_FINISHING, STATE_FINISHED = 1, 2, 3, 4


@dataclass(frozen=True, order=True)
class RepoKey:
    """A repo's full name."""

    project: str
    name: str
    type: str = USER_REPO

    @property
    def parts(self) -> tuple[str, str, str]:
        """The project, name, and type, as query parameters."""
        return self.project, self.name, self.type

    @property
    def key(self) -> str:
        """The name with its type, as the server's database layer writes it in errors."""
        return f"{self.project}/{self.name}.{self.type}"

    def __str__(self) -> str:
        suffix = "" if self.type == USER_REPO else f".{self.type}"
        return f"{self.project}/{self.name}{suffix}"


@dataclass(frozen=True, order=True)
class BranchKey:
    """A branch's full name."""

    repo: RepoKey
    name: str

    @property
    def key(self) -> str:
        """The name with the repo's type, as the server's database layer writes it in errors."""
        return f"{self.repo.key}@{self.name}"

    def __str__(self) -> str:
        return f"{self.repo}@{self.name}"


@dataclass(frozen=True)
class CommitRef:
    """A client's reference to a commit: by branch, by ID, or by ID with an ancestry suffix.

    Attributes:
        repo: The repo.
        branch: A branch name, or empty.
        id: A commit ID or branch name, with or without ``^``, ``~n``, ``.n``; or empty.
    """

    repo: RepoKey
    branch: str = ""
    id: str = ""

    def __str__(self) -> str:
        # As the server writes it: without the branch.
        return f"{self.repo}@{self.id}"


@dataclass(frozen=True)
class Bucket:
    """A bucket of the S3 gateway.

    Attributes:
        name: The bucket's name.
        branch: The branch that it shows.
        commit: The ID of the commit that it shows; empty for the branch's head.
        writable: Whether clients can put objects into it.
    """

    name: str
    branch: BranchKey
    commit: str
    writable: bool

    @property
    def target(self) -> CommitRef:
        """The commit that writes change."""
        return CommitRef(self.branch.repo, branch=self.branch.name, id=self.commit)


@dataclass(frozen=True)
class Repo:
    """A repo."""

    pk: int
    key: RepoKey
    description: str
    created: int


@dataclass(frozen=True)
class Branch:
    """A branch.

    Attributes:
        head: The database key of the head commit, or None.
        trigger: The trigger as JSON, or empty.
    """

    pk: int
    key: BranchKey
    head: int | None
    trigger: str


@dataclass(frozen=True)
class Commit:
    """A commit; times are nanoseconds since the epoch, 0 if the event hasn't happened."""

    repo: RepoKey
    pk: int
    repo_pk: int
    id: str
    branch: str
    origin: int
    description: str
    parent: int | None
    started: int
    finishing: int
    finished: int
    error: str
    tree: bytes | None
    size: int

    @property
    def is_open(self) -> bool:
        """Whether the commit is still writable."""
        return self.finishing == 0

    def __str__(self) -> str:
        return f"{self.repo}@{self.id}"


# Columns in the order of the dataclasses' fields; a repo's name comes first.
_COMMITS = """
    SELECT repos.project, repos.name, repos.type, commits.pk, commits.repo, commits.id, commits.branch, commits.origin,
           commits.description, commits.parent, commits.started, commits.finishing, commits.finished, commits.error,
           commits.tree, commits.size
    FROM commits JOIN repos ON repos.id = commits.repo
"""
_BRANCHES = """
    SELECT repos.project, repos.name, repos.type, branches.id, branches.name, branches.head, branches.trigger
    FROM branches JOIN repos ON repos.id = branches.repo
"""
#: For ``named``: the keys of a set's commits and of all commits in their provenance.
SET_WITH_PROVENANCE = """WITH RECURSIVE named(pk) AS (
    SELECT pk FROM commits WHERE id = ?
    UNION SELECT upstream FROM commit_provenance JOIN named ON commit_pk = named.pk)"""


def select_commits(connection: sqlite3.Connection, rest: str, *values: object, named: str = "") -> Iterator[Commit]:
    """Select commits from the database.

    Args:
        connection: The connection to read from.
        rest: The SQL after ``FROM commits JOIN repos``.
        values: Values of the placeholders, those of ``named`` first.
        named: A ``WITH`` clause.
    """
    rows = connection.execute(f"{named} {_COMMITS} {rest}", values)
    return (Commit(RepoKey(*row[:3]), *row[3:]) for row in rows)


def select_branches(connection: sqlite3.Connection, rest: str, *values: object, named: str = "") -> list[Branch]:
    """Select branches from the database; the arguments are those of :func:`select_commits`."""
    rows = connection.execute(f"{named} {_BRANCHES} {rest}", values)
    return [Branch(row[3], BranchKey(RepoKey(*row[:3]), row[4]), *row[5:]) for row in rows]


def repo_key(project: str, name: str, kind: str = "") -> RepoKey:
    """Build a repo's name with Pachyderm's defaults."""
    return RepoKey(project or DEFAULT_PROJECT, name, kind or USER_REPO)
