"""Answers of the API: JSON, with the kind that typed clients ask for, and warnings."""

from __future__ import annotations

import json
from typing import Any

from werkzeug.wrappers import Response

from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind


def reply(body: Any, code: int = 200) -> Response:
    """A JSON answer."""
    return Response(json.dumps(body), code, content_type="application/json")


def typed(kind: Kind, obj: Object) -> Object:
    """An object with its kind, as clients get it."""
    return {**obj, "apiVersion": kind.api_version, "kind": kind.kind}


def warned(response: Response, warnings: list[str]) -> Response:
    """An answer with warnings, which kubectl prints."""
    for text in warnings:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{escaped}"')
    return response
