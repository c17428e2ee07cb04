"""Groups of users."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.api.views import user_view
from pdk_stack.determined.core.permissions import require_admin
from pdk_stack.determined.errors import invalid
from pdk_stack.determined.store.documents import Document

MOST = 500


def _view(request: Request, group: Document) -> dict[str, Any]:
    users = [request.master.store.get("user", key) for key in group["userIds"]]
    return {"groupId": group["id"], "name": group["name"], "users": [user_view(user) for user in users if user]}


@route("POST", "/api/v1/groups")
def create_group(request: Request) -> dict[str, Any]:
    require_admin(request.me, "groups")
    made = request.master.groups.create(request.get("name") or "", request.get("addUsers") or [])
    return {"group": _view(request, made)}


@route("POST", "/api/v1/groups/search")
def search_groups(request: Request) -> dict[str, Any]:
    offset, limit = int(request.get("offset") or 0), int(request.get("limit") or 0)
    if limit == 0 or limit > MOST:
        raise invalid(f"Bad request: limit is required and must be <= {MOST}")
    found = request.master.groups.all(request.get("name") or "", int(request.get("userId") or 0))
    start = max(offset, 0)
    page = found[start : start + limit if limit > 0 else None]
    bounds = {"offset": offset, "limit": limit, "startIndex": offset, "endIndex": offset + len(page)}
    return {
        "groups": [
            {"group": {"groupId": each["id"], "name": each["name"]}, "numMembers": len(each["userIds"])}
            for each in page
        ],
        "pagination": {**bounds, "total": len(found)},
    }


@route("GET", "/api/v1/groups/{key}")
def get_group(request: Request, key: int) -> dict[str, Any]:
    return {"group": _view(request, request.master.groups.get(key))}


@route("PUT", "/api/v1/groups/{key}")
def update_group(request: Request, key: int) -> dict[str, Any]:
    require_admin(request.me, "groups")
    members = (request.get(name) or [] for name in ("addUsers", "removeUsers"))
    return {"group": _view(request, request.master.groups.change(key, request.get("name") or "", *members))}


@route("DELETE", "/api/v1/groups/{key}")
def delete_group(request: Request, key: int) -> dict[str, Any]:
    require_admin(request.me, "groups")
    request.master.groups.delete(key)
    return {}


@route("PATCH", "/api/v1/users/assignments")
def assign_groups(request: Request) -> dict[str, Any]:
    require_admin(request.me, "groups")
    request.master.groups.assign(*(request.get(name) or [] for name in ("userIds", "addGroups", "removeGroups")))
    return {}
