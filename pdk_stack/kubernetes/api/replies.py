"""Answers of the API: JSON, with the kind that typed clients ask for, and warnings."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind


def reply(body: Any, code: int = 200, media_type: str = "application/json") -> Response:
    """A JSON answer."""
    return Response(json.dumps(body), code, media_type=media_type)


def list_of(kind: Kind, objects: list[Object], **meta: Any) -> dict[str, Any]:
    """Objects as the list that their kind has.

    Args:
        kind: Their kind.
        objects: The items.
        meta: The list's metadata.
    """
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": objects}


def typed(kind: Kind, obj: Object) -> Object:
    """An object with its kind, as clients get it."""
    return {**obj, "apiVersion": kind.api_version, "kind": kind.kind}


def warned(response: Response, warnings: list[str]) -> Response:
    """An answer with warnings, which kubectl prints."""
    for text in warnings:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.append("Warning", f'299 - "{escaped}"')
    return response
