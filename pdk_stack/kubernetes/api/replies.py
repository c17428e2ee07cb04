"""API answers: JSON or YAML, in the form that the client wants, with warnings."""

from __future__ import annotations

import json
from typing import Any

import yaml
from starlette.responses import Response

from pdk_stack.kubernetes.api.negotiation import YAML, Format
from pdk_stack.kubernetes.api.tables import table
from pdk_stack.kubernetes.errors import not_acceptable
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind

COMPACT = (",", ":")
YAML_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
# Packages of Go's internal types, which error texts name, by API group.
PACKAGES = {"": "core", "rbac.authorization.k8s.io": "rbac", "apiextensions.k8s.io": "apiextensions"}


def encoded(body: Any, form: Format) -> bytes:
    """Encode an answer; Go's encoder ends it with a line break."""
    if form.media_type == YAML:
        return bytes(
            yaml.dump(body, Dumper=YAML_DUMPER, allow_unicode=True, encoding="utf-8", default_flow_style=False)
        )
    if form.pretty:
        return json.dumps(body, ensure_ascii=False, indent=2).encode() + b"\n"
    return json.dumps(body, ensure_ascii=False, separators=COMPACT).encode() + b"\n"


def reply(body: Any, code: int = 200, media_type: str = "", form: Format | None = None) -> Response:
    """Make an answer.

    Args:
        body: What JSON can hold.
        code: The HTTP status.
        media_type: The content type; by default the format's.
        form: The format; JSON by default.
    """
    form = form or Format()
    headers = {"cache-control": "no-cache, private"}
    return Response(encoded(body, form), code, headers, media_type or form.media_type)


def list_of(kind: Kind, objects: list[Object], **meta: Any) -> dict[str, Any]:
    """Make a list object of a kind.

    Args:
        kind: The items' kind.
        objects: The items.
        meta: The list's metadata.
    """
    return {"kind": f"{kind.kind}List", "apiVersion": kind.api_version, "metadata": meta, "items": objects}


def typed(kind: Kind, obj: Object) -> Object:
    """Return an object of a kind's version with its ``kind`` and ``apiVersion``."""
    return {**(kind.shown(obj) if kind.shown else obj), "kind": kind.kind, "apiVersion": kind.api_version}


def _go_name(kind: Kind, *, listed: bool) -> str:
    if kind.custom:
        return f"*unstructured.Unstructured{'List' if listed else ''}"
    package = PACKAGES.get(kind.group, kind.group.partition(".")[0])
    return f"*{package}.{kind.kind}{'List' if listed else ''}"


def _partial(obj: Object, form: Format) -> dict[str, Any]:
    return {"kind": "PartialObjectMetadata", "apiVersion": form.api_version, "metadata": obj["metadata"]}


def one(kind: Kind, obj: Object, form: Format, include: str = "") -> dict[str, Any]:
    """Show one object in the form that the client wants.

    Args:
        kind: Its kind.
        obj: The object.
        form: The format.
        include: The request's ``includeObject``, for tables.

    Raises:
        StatusError: 406 for a list of one, 400 for an unknown ``includeObject``.
    """
    if form.form == "Table":
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return table(kind, [obj], meta, include, api_version=form.api_version)
    if form.form == "PartialObjectMetadata":
        return _partial(obj, form)
    if form.form == "PartialObjectMetadataList":
        told = "you requested PartialObjectMetadataList, but the requested object is not a list"
        raise not_acceptable(f"{told} ({_go_name(kind, listed=False)})")
    return typed(kind, obj)


def several(kind: Kind, objects: list[Object], meta: dict[str, Any], form: Format, include: str = "") -> dict[str, Any]:
    """Show a list of objects in the form that the client wants.

    Args:
        kind: Their kind.
        objects: The objects.
        meta: The list's metadata.
        form: The format.
        include: The request's ``includeObject``, for tables.

    Raises:
        StatusError: 406 for a list as one object, 400 for an unknown ``includeObject``.
    """
    if form.form == "Table":
        return table(kind, objects, meta, include, api_version=form.api_version)
    if form.form == "PartialObjectMetadataList":
        items = [_partial(obj, form) for obj in objects]
        return {"kind": form.form, "apiVersion": form.api_version, "metadata": meta, "items": items}
    if form.form == "PartialObjectMetadata":
        told = "you requested PartialObjectMetadata, but the requested object is a list"
        raise not_acceptable(f"{told} ({_go_name(kind, listed=True)})")
    return list_of(kind, [typed(kind, obj) for obj in objects], **meta)


def warned(response: Response, warnings: list[str]) -> Response:
    """Add warnings, which kubectl prints, to an answer."""
    for text in warnings:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "replace").decode()
        response.headers.append("Warning", f'299 - "{escaped}"')
    return response
