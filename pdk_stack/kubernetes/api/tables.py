"""Tables: the printed columns that kubectl requests (``meta.k8s.io/v1`` Table)."""

from __future__ import annotations

from typing import Any

from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind


def wants_table(accept: str) -> bool:
    """Return whether a client requests a Table."""
    return "as=Table" in accept


def table(
    kind: Kind, objects: list[Object], meta: dict[str, Any], include: str = "", *, headers: bool = True
) -> dict[str, Any]:
    """Convert objects to a Table.

    Args:
        kind: The objects' kind.
        objects: The rows.
        meta: The list's metadata.
        include: The request's ``includeObject``: ``None``, ``Metadata`` (default), or ``Object``.
        headers: Whether to include the column definitions; a watch sends them once.
    """
    rows = []
    for obj in objects:
        row: dict[str, Any] = {"cells": [column.value(obj) for column in kind.columns]}
        if include == "Object":
            row["object"] = {"apiVersion": kind.api_version, "kind": kind.kind, **obj}
        elif include != "None":
            row["object"] = {
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": obj["metadata"],
            }
        rows.append(row)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [column.definition() for column in kind.columns] if headers else [],
        "rows": rows,
    }
