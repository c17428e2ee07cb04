"""Pachyderm's projects and repos."""

from __future__ import annotations

import contextlib
from typing import Literal

import python_pachyderm

from pdk_nb.platforms.creating import create_or_accept
from pdk_nb.platforms.mldm._errors import api_errors
from pdk_shared.errors import NotFound

Outcome = Literal["created", "updated", "unchanged"]


def ensure_project(client: python_pachyderm.Client, project: str, description: str = "") -> Outcome:
    """Create a project if it is absent."""
    errors = api_errors(f"project {project}")

    @errors
    def find() -> bool | None:
        return any(info.project.name == project for info in client.list_project()) or None

    @errors
    def create() -> bool:
        client.create_project(project, description)
        return True

    return "created" if create_or_accept(find, create)[1] else "unchanged"


def ensure_repo(client: python_pachyderm.Client, project: str, repo: str, description: str = "") -> Outcome:
    """Create a repo if it is absent."""
    errors = api_errors(f"repo {project}/{repo}")

    def find() -> bool | None:
        with contextlib.suppress(NotFound):
            errors(client.inspect_repo)(repo, project_name=project)
            return True
        return None

    @errors
    def create() -> bool:
        client.create_repo(repo, description, project_name=project)
        return True

    return "created" if create_or_accept(find, create)[1] else "unchanged"


def repos(client: python_pachyderm.Client, project: str) -> list[str]:
    """Names of a project's user repos, sorted."""
    with api_errors(f"project {project}"):
        return sorted(info.repo.name for info in client.list_repo() if info.repo.project.name == project)
