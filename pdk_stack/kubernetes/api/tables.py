"""Tables: the printed columns that kubectl asks the server for (``meta.k8s.io/v1`` Table)."""

from __future__ import annotations

from typing import Any

from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.kind import Kind


def wants_table(accept: str) -> bool:
    """Whether a client asked for a Table."""
    return "as=Table" in accept


def table(
    kind: Kind, objects: list[Object], meta: dict[str, Any], include: str = "", *, headers: bool = True
) -> dict[str, Any]:
    """Objects as a Table.

    Args:
        kind: Their kind.
        objects: The rows.
        meta: The list's metadata.
        include: ``includeObject`` of the request: ``None``, ``Metadata`` (default) or ``Object``.
        headers: Whether to send the column definitions; a watch sends them once.
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
