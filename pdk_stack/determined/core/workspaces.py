"""Workspaces and projects."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from pdk_stack.determined.errors import already_exists, failed_precondition, invalid
from pdk_stack.determined.store.documents import Document, Store
from pdk_stack.determined.timestamps import now

__all__ = ["Workspaces"]

DEFAULT = "Uncategorized"


class Workspaces:
    """All workspaces and their projects; names are case-insensitive.

    Args:
        store: The master's database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def ensure_defaults(self, owner: Document) -> None:
        """Create workspace 1 and project 1, which can't be changed."""
        if self._store.get("workspace", 1) is None:
            self.create(DEFAULT, owner, immutable=True)
            self.create_project(1, DEFAULT, owner, immutable=True)

    def create(self, name: str, owner: Document, *, immutable: bool = False, **more: Any) -> Document:
        """Create a workspace.

        Raises:
            Refusal: The name is empty or taken.
        """
        _check_name(name, "workspace")
        with self._store.write():
            if self.by_name(name):
                raise already_exists(f"a workspace with the name {name} already exists")
            key = self._store.next_id("workspace")
            workspace = {
                "id": key,
                "name": name,
                "archived": False,
                "userId": owner["id"],
                "immutable": immutable,
                "pinnedBy": {},
                "createdAt": now(),
                "checkpointStorageConfig": None,
                "defaultComputePool": "",
                "defaultAuxPool": "",
                **more,
            }
            self._store.put("workspace", key, workspace)
        return workspace

    def get(self, key: int) -> Document:
        """Return a workspace.

        Raises:
            Refusal: It doesn't exist.
        """
        return self._store.need("workspace", key)

    def by_name(self, name: str) -> Document | None:
        """Return a workspace by name, or None."""
        wanted = name.lower()
        return next((each for each in self.all() if each["name"].lower() == wanted), None)

    def all(self) -> list[Document]:
        """List all workspaces."""
        return self._store.list("workspace")

    def update(self, key: int, **changes: Any) -> Document:
        """Change a workspace.

        Raises:
            Refusal: It can't be changed, or the new name is taken.
        """
        workspace = self.get(key)
        if workspace["immutable"] and set(changes) - {"pinnedBy"}:
            raise invalid(f"workspace '{workspace['name']}' is immutable and cannot be changed")
        _check_change(str(changes.get("name", workspace["name"])), workspace, "workspace", self.by_name)
        return self._store.update("workspace", key, **changes)

    def delete(self, key: int) -> None:
        """Delete a workspace and its empty projects.

        Raises:
            Refusal: It contains experiments or models.
        """
        workspace = self.get(key)
        if workspace["immutable"]:
            raise invalid(f"workspace '{workspace['name']}' is immutable and cannot be deleted")
        if any(model["workspaceId"] == key for model in self._store.list("model")):
            raise failed_precondition(f"workspace '{workspace['name']}' has models: delete or move them first")
        for project in self.projects(key):
            self.delete_project(project["id"])
        self._store.delete("workspace", key)

    # -- projects ------------------------------------------------------------------------------------------------

    def create_project(
        self, workspace_id: int, name: str, owner: Document, *, description: str = "", immutable: bool = False
    ) -> Document:
        """Create a project.

        Raises:
            Refusal: The name is empty or taken, or the workspace is archived.
        """
        _check_name(name, "project")
        with self._store.write():
            workspace = self.get(workspace_id)
            if workspace["archived"]:
                raise failed_precondition("this workspace is archived. it cannot be edited")
            if self.project_by_name(workspace_id, name):
                raise already_exists(f"a project with the name {name} already exists")
            key = self._store.next_id("project")
            project = {
                "id": key,
                "name": name,
                "workspaceId": workspace_id,
                "description": description,
                "notes": [],
                "archived": False,
                "userId": owner["id"],
                "immutable": immutable,
                "key": self._key(name),
            }
            self._store.put("project", key, project, parent=workspace_id)
        return project

    def _key(self, name: str) -> str:
        taken = {each["key"] for each in self._store.list("project")}
        start = (re.sub(r"[^A-Za-z0-9]", "", name)[:3] or "PRJ").upper()
        number, key = 1, start
        while key in taken:
            number, key = number + 1, f"{start}{number}"
        return key

    def project(self, key: int) -> Document:
        """Return a project.

        Raises:
            Refusal: It doesn't exist.
        """
        return self._store.need("project", key)

    def project_by_name(self, workspace_id: int, name: str) -> Document | None:
        """Return a workspace's project by name, or None."""
        wanted = name.lower()
        return next((each for each in self.projects(workspace_id) if each["name"].lower() == wanted), None)

    def projects(self, workspace_id: int | None = None) -> list[Document]:
        """List a workspace's projects; None lists all."""
        return self._store.list("project", workspace_id)

    def update_project(self, key: int, **changes: Any) -> Document:
        """Change a project.

        Raises:
            Refusal: It can't be changed, or the new name is taken.
        """
        project = self.project(key)
        if project["immutable"]:
            raise invalid(f"project '{project['name']}' is immutable and cannot be changed")
        named = functools.partial(self.project_by_name, project["workspaceId"])
        _check_change(str(changes.get("name", project["name"])), project, "project", named)
        return self._store.update("project", key, **changes)

    def move_project(self, key: int, workspace_id: int) -> None:
        """Move a project to another workspace."""
        self.get(workspace_id)
        project = self.project(key)
        if self.project_by_name(workspace_id, project["name"]):
            raise already_exists(f"a project with the name {project['name']} already exists")
        project["workspaceId"] = workspace_id
        self._store.put("project", key, project, parent=workspace_id)

    def delete_project(self, key: int) -> None:
        """Delete a project.

        Raises:
            Refusal: It contains experiments.
        """
        project = self.project(key)
        if project["immutable"]:
            raise invalid(f"project '{project['name']}' is immutable and cannot be deleted")
        if self._store.count("experiment", key):
            raise failed_precondition(f"project '{project['name']}' has experiments: delete or move them first")
        self._store.delete("project", key)


def _check_name(name: str, kind: str) -> None:
    if not name or not name.strip():
        raise invalid(f"{kind} name must not be empty")
    if len(name) > 80:
        raise invalid(f"name '{name}' must be at most 80 characters long")


def _check_change(name: str, document: Document, kind: str, named: Callable[[str], Document | None]) -> None:
    """Refuse a new name that is empty or taken; changes of case are allowed."""
    if name == document["name"]:
        return
    _check_name(name, kind)
    other = named(name)
    if other is not None and other["id"] != document["id"]:
        raise already_exists(f"a {kind} with the name {name} already exists")
