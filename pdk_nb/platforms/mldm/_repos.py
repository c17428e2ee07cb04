"""Pachyderm's projects and repos."""

from __future__ import annotations

from typing import Literal

import python_pachyderm

from pdk_nb.platforms.mldm._errors import api_errors
from pdk_shared.errors import NotFound

Outcome = Literal["created", "updated", "unchanged"]


def ensure_project(client: python_pachyderm.Client, project: str, description: str = "") -> Outcome:
    """Create a project if it is absent."""
    with api_errors(f"project {project}"):
        if any(info.project.name == project for info in client.list_project()):
            return "unchanged"
        client.create_project(project, description)
    return "created"


def ensure_repo(client: python_pachyderm.Client, project: str, repo: str, description: str = "") -> Outcome:
    """Create a repo if it is absent."""
    where = f"repo {project}/{repo}"
    try:
        with api_errors(where):
            client.inspect_repo(repo, project_name=project)
    except NotFound:
        with api_errors(where):
            client.create_repo(repo, description, project_name=project)
        return "created"
    return "unchanged"


def repos(client: python_pachyderm.Client, project: str) -> list[str]:
    """Names of a project's user repos, sorted."""
    with api_errors(f"project {project}"):
        return sorted(info.repo.name for info in client.list_repo() if info.repo.project.name == project)
