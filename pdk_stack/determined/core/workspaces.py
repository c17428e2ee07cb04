"""Workspaces and projects.

Sources: ``api_workspace.go``, ``api_project.go`` and ``project/postgres_project.go`` in ``master/internal`` of
Determined 0.38. Names are unique as written: ``GOLD`` may stand beside ``gold``.
"""

from __future__ import annotations

import re
import secrets
import string
from typing import Any

from pdk_stack.determined.errors import already_exists, failed_precondition, invalid, not_found, plain
from pdk_stack.determined.store.documents import Document, Store
from pdk_stack.determined.timestamps import now

__all__ = ["Workspaces"]

DEFAULT = "Uncategorized"
LONGEST_NAME = 80
LONGEST_KEY = 5
#: How many characters of a project's name its key begins with.
KEY_PREFIX = 3
_NO_KEY_CHARACTER = re.compile(r"[^A-Za-z0-9]")


class Workspaces:
    """All workspaces and their projects.

    Args:
        store: The master's database.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def ensure_defaults(self, owner: Document) -> None:
        """Create workspace 1 and project 1, which can't be changed."""
        if self._store.get("workspace", 1) is None:
            self.create(DEFAULT, owner, immutable=True)
            self._add_project(1, DEFAULT, owner, immutable=True)

    def create(self, name: str, owner: Document, *, immutable: bool = False, **more: Any) -> Document:
        """Create a workspace, pinned for its owner.

        Raises:
            Refusal: The name is not allowed or taken.
        """
        _check_name(name)
        with self._store.write():
            if self.by_name(name):
                raise already_exists(TAKEN)
            key = self._store.next_id("workspace")
            workspace = {
                "id": key,
                "name": name,
                "archived": False,
                "userId": owner["id"],
                "immutable": immutable,
                "pinnedBy": {} if immutable else {str(owner["id"]): now()},
                "createdAt": now(),
                "agentUserGroup": None,
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

    def changeable(self, key: int) -> Document:
        """Return a workspace that may be changed.

        Raises:
            Refusal: It doesn't exist, or is immutable or archived.
        """
        workspace = self.get(key)
        for state in ("immutable", "archived"):
            if workspace[state]:
                raise plain(f"workspace ({key}) is {state} and cannot add new projects")
        return workspace

    def by_name(self, name: str) -> Document | None:
        """Return a workspace by name, or None."""
        return next((each for each in self.all() if each["name"] == name), None)

    def all(self) -> list[Document]:
        """List all workspaces."""
        return self._store.list("workspace")

    def update(self, key: int, **changes: Any) -> Document:
        """Change a workspace.

        Raises:
            Refusal: It can't be changed, or the new name is not allowed or taken.
        """
        with self._store.write():
            workspace = self.changeable(key)
            name = str(changes.get("name", workspace["name"]))
            _check_name(name)
            other = self.by_name(name)
            if other is not None and other["id"] != key:
                raise already_exists(TAKEN)
            return self._store.update("workspace", key, **changes)

    def archive(self, key: int, archived: bool) -> None:
        """Archive or unarchive a workspace.

        Raises:
            Refusal: It doesn't exist, or is immutable.
        """
        if self.get(key)["immutable"]:
            raise plain(f"error {'' if archived else 'un'}archiving workspace ({key}): not found")
        self._store.update("workspace", key, archived=archived)

    def pin(self, key: int, user: Document, pinned: bool) -> None:
        """Pin or unpin a workspace for a user.

        Raises:
            Refusal: It doesn't exist, or is pinned, or not, already.
        """
        with self._store.write():
            pins, me = dict(self.get(key)["pinnedBy"]), str(user["id"])
            if (me in pins) == pinned:
                state = "already pinned" if pinned else "not found"
                raise plain(f"error {'' if pinned else 'un-'}pinning workspace ({key}): {state}")
            if pinned:
                pins[me] = now()
            else:
                del pins[me]
            self._store.update("workspace", key, pinnedBy=pins)

    def deletable(self, key: int) -> list[Document]:
        """Return the projects of a workspace that may be deleted.

        Raises:
            Refusal: It doesn't exist, contains models, or is immutable.
        """
        workspace = self.get(key)
        if any(model["workspaceId"] == key for model in self._store.list("model")):
            raise failed_precondition(f"workspace ({key}) contains models; move or delete models first")
        if workspace["immutable"]:
            raise plain(f"workspace ({key}) does not exist or not deletable by this user: not found")
        return self.projects(key)

    def delete(self, key: int) -> None:
        """Delete a workspace with its templates, after its projects."""
        with self._store.write():
            for template in self._store.list("template"):
                if template["workspaceId"] == key:
                    self._store.delete("template", template["name"])
            self._store.delete("workspace", key)

    # -- projects ------------------------------------------------------------------------------------------------

    def create_project(
        self, workspace_id: int, name: str, owner: Document, *, description: str = "", key: str | None = None
    ) -> Document:
        """Create a project.

        Args:
            key: Up to five letters and digits that begin the names of its runs; made from the name when absent.

        Raises:
            Refusal: The name or the key is not allowed or taken, or the workspace can't be changed.
        """
        self.changeable(workspace_id)
        return self._add_project(workspace_id, name, owner, description=description, key=key)

    def _add_project(
        self,
        workspace_id: int,
        name: str,
        owner: Document,
        *,
        description: str = "",
        key: str | None = None,
        immutable: bool = False,
    ) -> Document:
        key = None if key is None else _checked_key(key)
        _check_project_name(name)
        with self._store.write():
            taken = {each["key"] for each in self._store.list("project")}
            if key in taken:
                raise already_exists(_not_inserted(name, f"project key {key} is already in use"))
            if self.project_by_name(workspace_id, name):
                raise already_exists(_not_inserted(name, f"project name {name} is already in use"))
            number = self._store.next_id("project")
            project = {
                "id": number,
                "name": name,
                "workspaceId": workspace_id,
                "description": description,
                "notes": [],
                "archived": False,
                "userId": owner["id"],
                "immutable": immutable,
                "key": key or _made_key(name, taken),
            }
            self._store.put("project", number, project, parent=workspace_id)
        return project

    def project(self, key: int) -> Document:
        """Return a project.

        Raises:
            Refusal: It doesn't exist.
        """
        return self._store.need("project", key)

    def project_by_name(self, workspace_id: int, name: str) -> Document | None:
        """Return a workspace's project by name, or None."""
        return next((each for each in self.projects(workspace_id) if each["name"] == name), None)

    def project_by_key(self, key: str) -> Document:
        """Return the project with a key, in any case.

        Raises:
            Refusal: It doesn't exist.
        """
        found = next((each for each in self.projects() if each["key"] == key.upper()), None)
        if found is None:
            raise not_found(f"project '{key}' not found")
        return found

    def projects(self, workspace_id: int | None = None) -> list[Document]:
        """List a workspace's projects; None lists all."""
        return self._store.list("project", workspace_id)

    def changeable_project(self, key: int) -> Document:
        """Return a project that may be changed.

        Raises:
            Refusal: It doesn't exist, or is immutable, or it or its workspace is archived.
        """
        project = self.project(key)
        if project["archived"] or self.get(project["workspaceId"])["archived"]:
            raise plain(f"project ({key}) is archived and cannot have attributes updated")
        if project["immutable"]:
            raise plain(f"project ({key}) is immutable and cannot have attributes updated")
        return project

    def update_project(self, number: int, **changes: Any) -> Document:
        """Change a project's name, description, or key.

        Args:
            number: The project's id.
            changes: New values of these fields.

        Raises:
            Refusal: It can't be changed, or the new name or key is not allowed or taken.
        """
        if "key" in changes:
            changes["key"] = _checked_key(changes["key"])
        with self._store.write():
            project = self.changeable_project(number)
            name = str(changes.get("name", project["name"]))
            _check_project_name(name)
            other = self.project_by_name(project["workspaceId"], name)
            if other is not None and other["id"] != number:
                raise already_exists(f"error updating project {name}: row already exists")
            if any(each["key"] == changes.get("key") and each["id"] != number for each in self.projects()):
                raise already_exists(f"project key {changes['key']} is already in use")
            return self._store.update("project", number, **changes)

    def archive_project(self, key: int, archived: bool) -> None:
        """Archive or unarchive a project.

        Raises:
            Refusal: It doesn't exist, or is immutable, or its workspace is archived.
        """
        project = self.project(key)
        if self.get(project["workspaceId"])["archived"]:
            raise plain(
                "This project belongs to an archived workspace. To make changes, first unarchive the workspace."
            )
        if project["immutable"]:
            raise plain(f"error {'' if archived else 'un'}archiving project ({key}): not found")
        self._store.update("project", key, archived=archived)

    def move_project(self, key: int, workspace_id: int) -> None:
        """Move a project to another workspace.

        Raises:
            Refusal: The project can't be moved, or its name is taken there.
        """
        with self._store.write():
            project, source = self.project(key), self.get(self.project(key)["workspaceId"])
            if self.project_by_name(workspace_id, project["name"]):
                raise plain(f"project with name '{project['name']}' already exists in target workspace")
            if any(each[state] for each in (project, source) for state in ("immutable", "archived")):
                raise plain(f"error moving project ({key}): not found")
            project["workspaceId"] = workspace_id
            self._store.put("project", key, project, parent=workspace_id)

    def refuse_immutable_project(self, key: int) -> None:
        """Refuse to delete a project that must stay.

        Raises:
            Refusal: It doesn't exist, or is immutable.
        """
        if self.project(key)["immutable"]:
            raise plain(f"project ({key}) does not exist or not deletable by this user: not found")

    def delete_project(self, key: int) -> None:
        """Delete a project, after its experiments."""
        self._store.delete("project", key)


TAKEN = "avoid names equal to other workspaces (case-insensitive)"


def _not_inserted(name: str, reason: str) -> str:
    return (
        f"error creating project {name} in database: rpc error: code = AlreadyExists desc = error inserting project "
        f"{name} into database: {reason}: row already exists"
    )


def _check_name(name: str) -> None:
    size = len(name.encode())
    if size < 1:
        raise invalid(f"name '{name}' must be at least 1 character long")
    if size > LONGEST_NAME:
        # The number in the master's sentence is not its limit.
        raise invalid(f"name '{name}' must be at most 53 character long")
    if not name.strip():
        raise invalid("name must contain at least non-whitespace letter")


def _check_project_name(name: str) -> None:
    """Refuse what the master's database refuses; the master's own words are ``internal server error``."""
    if not 1 <= len(name) <= LONGEST_NAME:
        raise plain(f"project name '{name}' must be 1 to {LONGEST_NAME} characters long")


def _checked_key(key: str) -> str:
    key = key.upper()
    if len(key.encode()) > LONGEST_KEY:
        raise invalid(f"project key cannot be longer than {LONGEST_KEY} characters")
    if not key:
        raise invalid("project key cannot be empty")
    if _NO_KEY_CHARACTER.search(key):
        raise invalid(f"project key can only contain alphanumeric characters: {key}")
    return key


def _made_key(name: str, taken: set[str]) -> str:
    prefix = _NO_KEY_CHARACTER.sub("", name)[:KEY_PREFIX].upper()
    while True:
        rest = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(LONGEST_KEY - len(prefix)))
        if prefix + rest not in taken:
            return prefix + rest
