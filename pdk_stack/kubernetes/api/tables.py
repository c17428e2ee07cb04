"""Tables: the printed columns that kubectl requests (``meta.k8s.io/v1`` Table)."""

from __future__ import annotations

from typing import Any

from pdk_stack.kubernetes.errors import bad_request, invalid_value
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind

INCLUDED = ("", "None", "Metadata", "Object")


def table(
    kind: Kind,
    objects: list[Object],
    meta: dict[str, Any],
    include: str = "",
    *,
    headers: bool = True,
    api_version: str = "meta.k8s.io/v1",
) -> dict[str, Any]:
    """Convert objects to a Table.

    Args:
        kind: The objects' kind.
        objects: The rows.
        meta: The list's metadata.
        include: The request's ``includeObject``: ``None``, ``Metadata`` (default), or ``Object``.
        headers: Whether to include the column definitions; a watch sends them once.
        api_version: The table's version.

    Raises:
        StatusError: 400 for an unknown ``includeObject``.
    """
    if include not in INCLUDED:
        why = invalid_value("includeObject", include, "must be 'Metadata', 'Object', 'None', or empty")
        raise bad_request(f"Unable to convert to Table as requested: {why}")
    rows = []
    for obj in objects:
        row: dict[str, Any] = {"cells": [column.value(obj) for column in kind.columns]}
        if include == "Object":
            row["object"] = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        elif include != "None":
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": api_version,
                "metadata": obj["metadata"],
            }
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": meta,
        "columnDefinitions": [column.definition() for column in kind.columns] if headers else [],
        "rows": rows,
    }
