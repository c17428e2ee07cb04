"""Who may do what: the master's basic authorization.

Source: the ``authz_basic_impl.go`` files in ``master/internal`` of Determined 0.38. Everyone may do what isn't listed
here with everyone's objects: also pause, kill, archive, and edit experiments; delete many experiments at once; edit,
move, and archive models; delete checkpoints and templates; and change the job queue.
"""

from __future__ import annotations

from pdk_stack.determined.errors import forbidden
from pdk_stack.determined.store.documents import Document

__all__ = ["require_admin", "require_owner"]

_WORKSPACE = "only admins may {} other user's workspaces"
_PROJECT = "can't {}: non admin users need to own the project or workspace"
_UPDATE_USERS = "only admin privileged users can update users"
_UPDATE_OTHERS = "only admin privileged users can update other users"
_AGENT_GROUP = "only admin privileged users can set workspace agent user groups"

#: The master's words, by what only administrators may do.
_ADMIN = {
    "master config": "user does not have permission",
    # The master wraps this one refusal twice.
    "update agents": "rpc error: code = PermissionDenied desc = user does not have permission",
    "create user": "only admin privileged users can create users",
    "admin": _UPDATE_USERS,
    "active": _UPDATE_USERS,
    "agentUserGroup": _UPDATE_USERS,
    "remote": _UPDATE_OTHERS,
    "workspace agentUserGroup": _AGENT_GROUP,
    "groups": "user does not have permission",
    "create token": "only admin privileged users can create token for own/other users",
    "see tokens": "only admin privileged users can view other users",
    "update token": "only admin privileged users can update access tokens",
}
#: The master's words, by what administrators and owners may do.
_OWNER = {
    "username": _UPDATE_OTHERS,
    "displayName": "only admin privileged users can set another user's display name",
    "password": "only admin privileged users can change other user's passwords",
    "delete experiment": "non admin users may not delete other user's experiments",
    "delete model": "non-admin users may not delete other users' models access denied",
    "delete model version": "non-admin users may not delete other users' model versions access denied",
    "move project": "non admin users can't move projects that someone else owns",
    # The master has these words for the description, too.
    "patch project": _PROJECT.format("set project name"),
    "delete project": _PROJECT.format("delete project"),
    "archive project": _PROJECT.format("archive project"),
    "unarchive project": _PROJECT.format("unarchive project"),
    "name workspace": "only admins may set other user's workspaces names",
    "set workspace storage": "only admins may set checkpoint storage config on other user's workspaces",
    "delete workspace": _WORKSPACE.format("delete"),
    "archive workspace": _WORKSPACE.format("archive"),
    "unarchive workspace": _WORKSPACE.format("unarchive"),
}


def require_admin(user: Document, action: str) -> None:
    """Allow administrators only.

    Args:
        user: The caller.
        action: What the caller wants to do.

    Raises:
        Refusal: The user is not an administrator.
    """
    if not user["admin"]:
        raise forbidden(_ADMIN[action])


def require_owner(user: Document, action: str, *owners: int) -> None:
    """Allow administrators and owners only.

    Args:
        user: The caller.
        action: What the caller wants to do.
        owners: Ids of the users that own the object.

    Raises:
        Refusal: The user is neither.
    """
    if not user["admin"] and user["id"] not in owners:
        raise forbidden(_OWNER[action])
