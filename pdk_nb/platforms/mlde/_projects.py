"""Determined's workspaces and their projects."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pdk_nb.platforms.creating import create_or_accept
from pdk_nb.platforms.mlde._errors import api_errors
from pdk_shared.errors import NotFound, SettingsError

if TYPE_CHECKING:
    from determined.common.experimental.determined import Determined
    from determined.common.experimental.project import Project
    from determined.common.experimental.workspace import Workspace


def ensure_workspace(client: Determined, workspace: str) -> Workspace:
    """The workspace of that name, created if absent."""
    where = f"workspace {workspace}"

    def find() -> Workspace | None:
        with contextlib.suppress(NotFound), api_errors(where):
            return client.get_workspace(workspace)
        return None

    return create_or_accept(find, api_errors(where)(lambda: client.create_workspace(workspace)))[0]


def ensure_project(client: Determined, workspace: str, project: str) -> Project:
    """The project in the workspace; both are created if absent."""
    where = f"project {workspace}/{project}"
    home = ensure_workspace(client, workspace)

    def find() -> Project | None:
        with contextlib.suppress(NotFound), api_errors(where):
            return home.get_project(project)
        return None

    return create_or_accept(find, api_errors(where)(lambda: home.create_project(project)))[0]


@api_errors()
def check_project(client: Determined, workspace: str, project: str) -> None:
    """Refuse a workspace or project that does not exist, naming those that do.

    Raises:
        SettingsError: One of them is missing, or only one of the two is given.
    """
    if bool(workspace) != bool(project):
        raise SettingsError(
            "An experiment needs both a workspace and a project, or neither.",
            where=f"workspace: {workspace!r}, project: {project!r}",
            fix="complete the experiment's configuration, or pass --workspace and --experiment-project",
        )
    if not workspace:
        return
    workspaces = {found.name: found for found in client.list_workspaces()}
    if workspace not in workspaces:
        raise SettingsError(
            f"Determined has no workspace {workspace!r}.",
            where=f"workspaces: {', '.join(sorted(map(str, workspaces)))}",
            fix=f"det workspace create {workspace!r}, or run notebook 01",
        )
    projects = sorted(str(found.name) for found in workspaces[workspace].list_projects())
    if project not in projects:
        raise SettingsError(
            f"The workspace {workspace!r} has no project {project!r}.",
            where=f"projects: {', '.join(projects) or 'none'}",
            fix=f"det project create {workspace!r} {project!r}, or run notebook 01",
        )
