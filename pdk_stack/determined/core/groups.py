"""Groups of users.

Source: ``usergroup/`` in ``master/internal`` of Determined 0.38. Without roles, a group is no more than a list.
"""

from __future__ import annotations

from pdk_stack.determined.core.accounts import Accounts
from pdk_stack.determined.errors import already_exists, invalid, not_found
from pdk_stack.determined.store.documents import Document, Store
from pdk_stack.determined.timestamps import now

__all__ = ["Groups"]

PERSONAL = "DeterminedPersonalGroup"


class Groups:
    """All groups.

    Args:
        store: The master's database.
        accounts: The users.
    """

    def __init__(self, store: Store, accounts: Accounts) -> None:
        self._store = store
        self._accounts = accounts

    def create(self, name: str, users: list[int]) -> Document:
        """Create a group.

        Raises:
            Refusal: The name is taken or reserved, or a user doesn't exist.
        """
        if PERSONAL in name:
            raise invalid(f"group name cannot contain '{PERSONAL}'")
        with self._store.write():
            self._refuse_taken(name, f"Error creating group {name}")
            key = self._store.next_id("group")
            group = {"id": key, "name": name, "userIds": self._known(users, 1)}
            self._store.put("group", key, group)
        return group

    def all(self, name: str, user_id: int) -> list[Document]:
        """List the groups with a name and a member; an empty name and user 0 match all."""
        return [
            each
            for each in self._store.list("group")
            if (not name or each["name"] == name) and (not user_id or user_id in each["userIds"])
        ]

    def get(self, key: int, doing: str = "getting") -> Document:
        """Return a group.

        Raises:
            Refusal: It doesn't exist.
        """
        found = self._store.get("group", key)
        if found is None:
            raise not_found(f"Error {doing} group {key}: not found")
        return found

    def change(self, key: int, name: str, add: list[int], remove: list[int]) -> Document:
        """Rename a group, and add and remove members.

        Raises:
            Refusal: The group or a user doesn't exist, or the name is taken.
        """
        with self._store.write():
            group = self.get(key)
            if name and name != group["name"]:
                self._refuse_taken(name, f"Error updating group {key} name")
            members = self._joined(group["userIds"], add)
            gone = [user for user in remove if user in members]
            if remove and not gone:
                raise not_found(f"Error when removing {len(remove)} user(s) from 1 group(s): not found")
            left = [user for user in members if user not in gone]
            return self._store.update("group", key, name=name or group["name"], userIds=left)

    def delete(self, key: int) -> None:
        """Delete a group.

        Raises:
            Refusal: It doesn't exist.
        """
        self.get(key, "deleting")
        self._store.delete("group", key)

    def assign(self, users: list[int], add: list[int], remove: list[int]) -> None:
        """Add users to groups and remove them from others.

        Raises:
            Refusal: A group or a user doesn't exist.
        """
        with self._store.write():
            groups = [group for key in {*add, *remove} if (group := self._store.get("group", key)) is not None]
            if len(groups) < len({*add, *remove}):
                raise not_found("group does not exist or is a personal group: not found")
            for group in groups:
                members = self._joined(group["userIds"], users if group["id"] in add else [])
                left = [user for user in members if not (group["id"] in remove and user in users)]
                self._store.update("group", group["id"], userIds=left)
            for user in users:
                self._store.update("user", self._accounts.get(user)["id"], modifiedAt=now())

    def _joined(self, members: list[int], users: list[int]) -> list[int]:
        return [*members, *(user for user in self._known(users, 1) if user not in members)]

    def _known(self, users: list[int], groups: int) -> list[int]:
        """Return users once each.

        Raises:
            Refusal: One doesn't exist.
        """
        if any(self._store.get("user", user) is None for user in users):
            raise not_found(f"Error when adding {len(users)} user(s) to {groups} group(s): not found")
        return list(dict.fromkeys(users))

    def _refuse_taken(self, name: str, doing: str) -> None:
        if any(each["name"] == name for each in self._store.list("group")):
            raise already_exists(f"{doing}: row already exists")
