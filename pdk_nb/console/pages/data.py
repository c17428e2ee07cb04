"""Data: repos, branches, commits, folders with thumbnails, and what a commit changed."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pdk_nb import labels, photos
from pdk_nb.console.pages.page import PAGE_SIZE, Page, Parameters
from pdk_nb.lessons.n01_pipelines import classes
from pdk_nb.platforms import mldm
from pdk_shared.errors import PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session

#: Files and folders of a commit up to which the page counts the pictures of each class.
COUNTED = 20_000
#: Changes on one page.
CHANGES = 120


def is_picture(path: str) -> bool:
    """Whether a file's name says that it's a picture."""
    return PurePosixPath(path).suffix.lower() in photos.IMAGE_SUFFIXES


def read_repos(session: Session, parameters: Parameters) -> dict[str, Any]:
    """All repos."""
    return {"repos": mldm.all_repos(session.pachyderm)}


def read_repo(session: Session, parameters: Parameters) -> dict[str, Any]:
    """Branches and history of a repo."""
    client, project, repo = session.pachyderm, parameters["project"], parameters["repo"]
    return {
        "branches": mldm.branches(client, project, repo),
        "history": mldm.history(client, project, repo, PAGE_SIZE, parameters.get("before", "")),
    }


def read_commit(session: Session, parameters: Parameters) -> dict[str, Any]:
    """A folder of a commit."""
    client, project, repo = session.pachyderm, parameters["project"], parameters["repo"]
    commit = mldm.inspect(client, project, repo, parameters["commit"])
    path = "/" + parameters.get("path", "").strip("/")
    listed = mldm.folder(
        client,
        mldm.commit_of(project, repo, id=commit.id),
        path,
        PAGE_SIZE,
        parameters.get("after", ""),
    )
    parts = [part for part in path.split("/") if part]
    return {
        "commit": commit,
        "way": [(part, "/".join(parts[: place + 1])) for place, part in enumerate(parts)],
        "path": path,
        "listed": listed,
        "pictures": {each.path for each in listed.items if is_picture(each.path)},
        "shares": _shares(session, project, repo, commit.id) if path == "/" else [],
    }


def _shares(session: Session, project: str, repo: str, id: str) -> list[tuple[str, int, float]]:
    """Class, pictures, and share of the lab's data repo; nothing for other repos and for very large commits."""
    if (project, repo) != (session.names.project, session.names.data_repo):
        return []
    try:
        rule = labels.LabelRule(classes(session))
    except PdkError:  # before notebook 01
        rule = labels.LabelRule()
    found = mldm.below(session.pachyderm, mldm.commit_of(project, repo, id=id), COUNTED)
    if found.more:
        return []
    names = [each.path.strip("/") for each in found.items if not each.is_folder]
    indices = (rule.label(name) for name in names if not photos.ignored(name))
    counts = Counter(index for index in indices if index is not None)
    total = max(1, counts.total())
    return [(name, counts[index], counts[index] / total) for index, name in enumerate(rule.classes)]


def read_changes(session: Session, parameters: Parameters) -> dict[str, Any]:
    """What a commit changed, compared with its parent or another commit."""
    client, project, repo = session.pachyderm, parameters["project"], parameters["repo"]
    new = mldm.inspect(client, project, repo, parameters["commit"])
    old = parameters.get("old", "") or new.parent
    listed = mldm.changes(
        client,
        mldm.commit_of(project, repo, id=new.id),
        mldm.commit_of(project, repo, id=old) if old else None,
        CHANGES,
    )
    return {
        "commit": new,
        "old": old,
        "listed": listed,
        "counts": Counter(each.kind for each in listed.items),
        "pictures": {each.path for each in listed.items if is_picture(each.path)},
    }


PAGES = (
    Page("/data", "Data", "data.html", read_repos, menu="Data"),
    Page("/data/{project}/{repo}", "Repo {repo}", "repo.html", read_repo),
    Page("/data/{project}/{repo}/{commit}", "Commit {commit}", "commit.html", read_commit, live=False),
    Page("/changes/{project}/{repo}/{commit}", "Changes of {commit}", "changes.html", read_changes, live=False),
)
