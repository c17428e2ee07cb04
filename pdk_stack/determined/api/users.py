"""Login, logout, and user calls."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.listing import Keys, listed
from pdk_stack.determined.api.routing import Request, integer, route
from pdk_stack.determined.api.views import user_view
from pdk_stack.determined.core.accounts import agent_group, client_hash
from pdk_stack.determined.core.patterns import like
from pdk_stack.determined.core.permissions import require_admin, require_owner
from pdk_stack.determined.errors import invalid, not_found
from pdk_stack.determined.store.documents import Document
from pdk_stack.determined.timestamps import now


def _sent(request: Request) -> str:
    password = str(request.get("password") or "")
    return password if request.get("isHashed") else client_hash(password)


@route("POST", "/api/v1/auth/login", open=True)
def log_in(request: Request) -> dict[str, Any]:
    token, user = request.master.accounts.log_in(str(request.get("username") or ""), _sent(request))
    return {"token": token, "user": user_view(user)}


@route("POST", "/login", open=True)
def log_in_page(request: Request) -> dict[str, Any]:
    """Log in outside the gateway, with the password as the client hashes it."""
    name, password = request.get("username"), request.get("password")
    if not isinstance(name or "", str) or not isinstance(password or "", str):
        raise invalid("Bad Request")
    return {"token": request.master.accounts.log_in_page(name or "", password or "")}


@route("POST", "/api/v1/auth/logout")
def log_out(request: Request) -> dict[str, Any]:
    if request.token:
        request.master.accounts.close_session(request.token)
    return {}


@route("GET", "/api/v1/me")
@route("GET", "/api/v1/auth/user")
def me(request: Request) -> dict[str, Any]:
    return {"user": user_view(request.me)}


@route("GET", "/api/v1/users")
def list_users(request: Request) -> dict[str, Any]:
    active, admin, name = request.flag("active"), request.flag("admin"), f"%{request.text('name')}%"
    if request.all("roleIdAssignedDirectlyToUser"):
        raise invalid("cannot filter by role id. RBAC must be enabled.")
    users = [
        user
        for user in request.master.store.list("user")
        if (active is None or user["active"] == active)
        and (admin is None or user["admin"] == admin)
        and (like(user["username"], name) or like(user["displayName"], name))
    ]
    keys: Keys = {
        "SORT_BY_USER_NAME": lambda user: user["username"],
        "SORT_BY_DISPLAY_NAME": lambda user: user["displayName"] or None,
        "SORT_BY_ADMIN": lambda user: user["admin"],
        "SORT_BY_ACTIVE": lambda user: user["active"],
        "SORT_BY_MODIFIED_TIME": lambda user: user["modifiedAt"],
        "SORT_BY_NAME": lambda user: user["displayName"] or user["username"],
        "SORT_BY_LAST_AUTH_TIME": lambda user: user["lastAuthAt"],
        "SORT_BY_REMOTE": lambda user: user["remote"],
    }
    return listed(request, "users", users, user_view, keys, ties_ascend=True)


@route("GET", "/api/v1/users/{user_id}")
def get_user(request: Request, user_id: str) -> dict[str, Any]:
    return {"user": user_view(_user(request, user_id))}


def _user(request: Request, user_id: str) -> Document:
    return request.master.accounts.get(integer("user_id", user_id))


@route("GET", "/api/v1/users/{username}/by-username")
def get_user_by_name(request: Request, username: str) -> dict[str, Any]:
    found = request.master.accounts.by_name(username)
    if found is None:
        raise not_found("user not found")
    return {"user": user_view(found)}


@route("POST", "/api/v1/users")
def create_user(request: Request) -> dict[str, Any]:
    wanted = request.get("user")
    if wanted is None:
        raise invalid("must specify user to create")
    if request.get("password") and wanted.get("remote"):
        raise invalid("cannot set password for remote user")
    require_admin(request.me, "create user")
    user = request.master.accounts.create(
        wanted.get("username") or "",
        _sent(request),
        admin=bool(wanted.get("admin")),
        active=bool(wanted.get("active")),
        remote=bool(wanted.get("remote")),
        display_name=wanted.get("displayName") or "",
        agent_user_group=agent_group(wanted["agentUserGroup"]) if wanted.get("agentUserGroup") else None,
    )
    return {"user": user_view(user)}


@route("PATCH", "/api/v1/users")
def switch_users(request: Request) -> dict[str, Any]:
    """Activate or deactivate many users."""
    require_admin(request.me, "active")
    store, active = request.master.store, bool(request.get("activate"))
    with store.write():
        for key in request.get("userIds") or []:
            if store.get("user", key) is not None:
                store.update("user", key, active=active)
    return {"results": [{"error": "", "id": key} for key in request.get("userIds") or []]}


@route("PATCH", "/api/v1/users/{user_id}")
def patch_user(request: Request, user_id: str) -> dict[str, Any]:
    # The body is the user itself.
    wanted, user = request.get("user") or request.body or {}, _user(request, user_id)
    changes = {name: wanted[name] for name in PATCHED if wanted.get(name) is not None}
    for field in ("admin", "remote", "active"):
        if field in changes:
            require_admin(request.me, field)
    for field in ("username", "displayName"):
        if changes.get(field, user[field]) != user[field]:
            require_owner(request.me, field, user["id"])
    sent = wanted.get("password")
    if sent is not None:
        require_owner(request.me, "password", user["id"])
        sent = sent if wanted.get("isHashed") else client_hash(sent)
    if wanted.get("agentUserGroup") is not None:
        changes["agentUserGroup"] = agent_group(wanted["agentUserGroup"])
        require_admin(request.me, "agentUserGroup")
    changed = request.master.accounts.change(user, changes, sent)
    if changes.get("active") is False:
        request.master.tokens.revoke_all(user["id"])
    return {"user": user_view(changed)}


PATCHED = ("admin", "remote", "active", "username", "displayName")


@route("GET", "/api/v1/users/setting")
def get_settings(request: Request) -> dict[str, Any]:
    found = request.master.store.get("user_setting", request.me["id"]) or {"settings": []}
    return {"settings": found["settings"]}


@route("POST", "/api/v1/users/setting")
def put_settings(request: Request) -> dict[str, Any]:
    store, key = request.master.store, request.me["id"]
    known = {
        (each["storagePath"], each["key"]): each
        for each in (store.get("user_setting", key) or {"settings": []})["settings"]
    }
    for each in request.get("settings") or []:
        entry = {name: each.get(name) or "" for name in ("storagePath", "key", "value")}
        known[entry["storagePath"], entry["key"]] = entry
    # A setting without a value is taken away.
    store.put("user_setting", key, {"settings": [each for each in known.values() if each["value"]]})
    return {}


@route("POST", "/api/v1/users/setting/reset")
def reset_settings(request: Request) -> dict[str, Any]:
    request.master.store.delete("user_setting", request.me["id"])
    return {}


@route("POST", "/api/v1/users/{user_id}/password")
def set_password(request: Request, user_id: str) -> dict[str, Any]:
    """Set a password; the body is the password itself."""
    user = _user(request, user_id)
    require_owner(request.me, "password", user["id"])
    sent = client_hash(request.body if isinstance(request.body, str) else "")
    return {"user": user_view(request.master.accounts.change(user, {}, sent))}


@route("POST", "/api/v1/users/activity")
def record_activity(request: Request) -> dict[str, Any]:
    """Remember when the user last looked at an object."""
    kind, key = request.get("entityType") or "ENTITY_TYPE_UNSPECIFIED", int(request.get("entityId") or 0)
    seen = {"userId": request.me["id"], "entityType": kind, "entityId": key, "activityTime": now()}
    request.master.store.put("activity", f"{request.me['id']}/{kind}/{key}", seen, parent=request.me["id"])
    return {}


MOST_PROJECTS = 500


@route("GET", "/api/v1/user/projects/activity")
def recent_projects(request: Request) -> dict[str, Any]:
    """List the projects that the user looked at last, the newest first."""
    store, limit = request.master.store, request.number("limit")
    if limit > MOST_PROJECTS:
        raise invalid(f"Bad request: limit is required and must be <= {MOST_PROJECTS}")
    seen = [each for each in store.list("activity", request.me["id"]) if each["entityType"] == "ENTITY_TYPE_PROJECT"]
    seen.sort(key=lambda each: each["activityTime"], reverse=True)
    found = [project for each in seen if (project := store.get("project", each["entityId"])) is not None]
    return {"projects": [request.views.project(each) for each in found[: max(limit, 0)]]}
