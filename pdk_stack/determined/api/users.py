"""Login, logout, and user calls."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.listing import Keys, listed
from pdk_stack.determined.api.routing import Request, integer, route
from pdk_stack.determined.api.views import user_view
from pdk_stack.determined.core.accounts import client_hash
from pdk_stack.determined.core.permissions import require_admin, require_owner
from pdk_stack.determined.errors import invalid, not_found
from pdk_stack.determined.timestamps import now


def _sent(request: Request) -> str:
    password = str(request.get("password") or "")
    return password if request.get("isHashed") else client_hash(password)


@route("POST", "/api/v1/auth/login", open=True)
def log_in(request: Request) -> dict[str, Any]:
    token, user = request.master.accounts.log_in(str(request.get("username") or ""), _sent(request))
    return {"token": token, "user": user_view(user)}


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
    users = request.master.store.list("user")
    active, admin, name = request.flag("active"), request.flag("admin"), request.text("name").lower()
    users = [
        user
        for user in users
        if (active is None or user["active"] == active)
        and (admin is None or user["admin"] == admin)
        and (not name or name in user["username"].lower() or name in user["displayName"].lower())
    ]
    keys: Keys = {
        "SORT_BY_USER_NAME": lambda user: user["username"].lower(),
        "SORT_BY_DISPLAY_NAME": lambda user: user["displayName"].lower(),
        "SORT_BY_ADMIN": lambda user: user["admin"],
        "SORT_BY_ACTIVE": lambda user: user["active"],
        "SORT_BY_MODIFIED_TIME": lambda user: user["modifiedAt"],
    }
    return listed(request, "users", users, user_view, keys)


@route("GET", "/api/v1/users/{user_id}")
def get_user(request: Request, user_id: str) -> dict[str, Any]:
    return {"user": user_view(request.master.accounts.get(integer("user_id", user_id)))}


@route("GET", "/api/v1/users/{username}/by-username")
def get_user_by_name(request: Request, username: str) -> dict[str, Any]:
    found = request.master.accounts.by_name(username)
    if found is None:
        raise not_found(f"user '{username}' not found")
    return {"user": user_view(found)}


@route("POST", "/api/v1/users")
def create_user(request: Request) -> dict[str, Any]:
    require_admin(request.me, "create user")
    wanted = request.need("user")
    user = request.master.accounts.create(
        str(wanted.get("username") or ""),
        _sent(request),
        admin=bool(wanted.get("admin")),
        active=bool(wanted.get("active", True)),
        display_name=str(wanted.get("displayName") or ""),
    )
    return {"user": user_view(user)}


@route("PATCH", "/api/v1/users/{user_id}")
def patch_user(request: Request, user_id: str) -> dict[str, Any]:
    accounts, wanted = request.master.accounts, request.get("user") or request.body
    user = accounts.get(integer("user_id", user_id))
    for field in ("admin", "remote", "active", "agentUserGroup"):
        if wanted.get(field) is not None:
            require_admin(request.me, field)
    for field in ("username", "displayName"):
        if wanted.get(field) is not None and wanted[field] != user[field]:
            require_owner(request.me, field, user["id"])
    changes = {key: wanted[key] for key in ("admin", "active", "displayName") if wanted.get(key) is not None}
    name = wanted.get("username")
    if name and name != user["username"]:
        other = accounts.by_name(name)
        if other is not None and other["id"] != user["id"]:
            raise invalid(f"user {name} already exists")
        changes["username"] = name
    if wanted.get("password") is not None:
        require_owner(request.me, "password", user["id"])
        sent = wanted["password"] if wanted.get("isHashed") else client_hash(wanted["password"])
        accounts.set_password(user["id"], sent)
    user = request.master.store.update("user", user["id"], **changes, modifiedAt=now())
    if changes.get("active") is False:
        accounts.end_sessions(user["id"])
    return {"user": user_view(user)}


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
    for each in request.need("settings"):
        entry = {"storagePath": each.get("storagePath") or "", "key": each["key"], "value": each.get("value")}
        known[entry["storagePath"], entry["key"]] = entry
    store.put("user_setting", key, {"settings": list(known.values())})
    return {}


@route("POST", "/api/v1/users/setting/reset")
def reset_settings(request: Request) -> dict[str, Any]:
    request.master.store.delete("user_setting", request.me["id"])
    return {}


@route("POST", "/api/v1/users/{user_id}/password")
def set_password(request: Request, user_id: str) -> dict[str, Any]:
    """Set a password; the body is the password, hashed by the client."""
    accounts = request.master.accounts
    user = accounts.get(integer("user_id", user_id))
    require_owner(request.me, "password", user["id"])
    accounts.set_password(user["id"], request.body if isinstance(request.body, str) else _sent(request))
    return {"user": user_view(accounts.get(user["id"]))}
