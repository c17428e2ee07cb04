"""API answers: JSON with the kind that typed clients need, and warnings."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind


def reply(body: Any, code: int = 200, media_type: str = "application/json") -> Response:
    """Make a JSON answer."""
    return Response(json.dumps(body), code, media_type=media_type)


def list_of(kind: Kind, objects: list[Object], **meta: Any) -> dict[str, Any]:
    """Make a list object of a kind.

    Args:
        kind: The items' kind.
        objects: The items.
        meta: The list's metadata.
    """
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": objects}


def typed(kind: Kind, obj: Object) -> Object:
    """Return an object with its ``kind`` and ``apiVersion``."""
    return {**obj, "apiVersion": kind.api_version, "kind": kind.kind}


def warned(response: Response, warnings: list[str]) -> Response:
    """Add warnings, which kubectl prints, to an answer."""
    for text in warnings:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.append("Warning", f'299 - "{escaped}"')
    return response
