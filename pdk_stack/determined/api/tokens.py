"""Access tokens."""

from __future__ import annotations

from typing import Any

from pdk_stack.determined.api.listing import Keys, listed
from pdk_stack.determined.api.routing import Request, route
from pdk_stack.determined.api.views import picked
from pdk_stack.determined.core.permissions import require_admin
from pdk_stack.determined.errors import plain
from pdk_stack.determined.store.documents import Document


def _view(token: Document) -> dict[str, Any]:
    return {
        **picked(token, "id", "userId", "expiry", "createdAt", "revoked", "description"),
        "tokenType": "TOKEN_TYPE_ACCESS_TOKEN",
    }


@route("POST", "/api/v1/tokens")
def create_token(request: Request) -> dict[str, Any]:
    request.master.accounts.get(int(request.get("userId") or 0))
    require_admin(request.me, "create token")
    token, key = request.master.tokens.create(
        int(request.get("userId") or 0), request.get("lifespan"), request.get("description") or ""
    )
    return {"token": token, "tokenId": key}


@route("GET", "/api/v1/tokens")
def list_tokens(request: Request) -> dict[str, Any]:
    accounts, name = request.master.accounts, request.text("username")
    wanted = accounts.by_name(name) if name else None
    if name and wanted is None:
        raise plain("sql: no rows in result set")
    if wanted is not None and wanted["id"] != request.me["id"]:
        require_admin(request.me, "see tokens")
    user_id = wanted["id"] if wanted else None if request.me["admin"] else request.me["id"]
    ids = {int(key) for key in request.all("tokenIds") if int(key) > 0}
    found = [
        each
        for each in request.master.tokens.all(inactive=bool(request.flag("showInactive")))
        if user_id in (None, each["userId"]) and (not ids or each["id"] in ids)
    ]
    keys: Keys = {
        "SORT_BY_USER_ID": lambda token: token["userId"],
        "SORT_BY_EXPIRY": lambda token: token["expiry"],
        "SORT_BY_CREATED_AT": lambda token: token["createdAt"],
        "SORT_BY_REVOKED": lambda token: token["revoked"],
        "SORT_BY_DESCRIPTION": lambda token: token["description"],
    }
    return listed(request, "tokenInfo", found, _view, keys, ties_ascend=True)


@route("PATCH", "/api/v1/tokens/{key}")
def patch_token(request: Request, key: int) -> dict[str, Any]:
    tokens = request.master.tokens
    tokens.get(key)
    require_admin(request.me, "update token")
    changed = tokens.change(key, request.get("description"), bool(request.get("setRevoked")))
    return {"tokenInfo": _view(changed)}
