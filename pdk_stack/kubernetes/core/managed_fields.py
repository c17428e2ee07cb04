"""Field ownership: ``metadata.managedFields`` and server-side apply.

This is handwritten because structured-merge-diff exists only in Go. Sources: ``sigs.k8s.io/structured-merge-diff`` and
the field manager of ``k8s.io/apimachinery``. Paths are tuples of ``f:<name>`` and, in keyed lists,
``k:{"name":"x"}``; lists of custom resources are atomic.
"""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from typing import Any

from pdk_stack.kubernetes.core.patches import MERGE_KEYS, merge_patch, strategic_merge_patch
from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import Object, timestamp
from pdk_stack.kubernetes.store.kind import Kind
from pdk_stack.kubernetes.store.models import Schema
from pdk_stack.kubernetes.store.schemas import complete

Path = tuple[str, ...]
# The part of a path that stands for the map or item itself, apart from what is in it.
ITSELF = "."
# Fields without an owner (stripMeta of the field manager).
UNOWNED_METADATA = (
    "name namespace creationTimestamp selfLink uid resourceVersion generation managedFields clusterName "
    "deletionTimestamp"
)
UNOWNED = {("f:apiVersion",), ("f:kind",), *(("f:metadata", f"f:{name}") for name in UNOWNED_METADATA.split())}


def owned_paths(kind: Kind, obj: Object) -> dict[Path, Any]:
    """Return an object's leaf paths with their values."""
    found: dict[Path, Any] = {}

    def walk(value: Any, path: Path, name: str) -> None:
        if path in UNOWNED or path[:2] == ("f:metadata", "f:managedFields"):
            return
        if isinstance(value, dict) and value:
            for key, each in value.items():
                walk(each, (*path, f"f:{key}"), key)
            return
        if _keyed(kind, name, value):
            key = MERGE_KEYS[name]
            for item in value:
                for inner, each in item.items():
                    walk(each, (*path, _item(key, item), f"f:{inner}"), inner)
            return
        if path:
            found[path] = value

    walk(obj, (), "")
    return found


def _containers(kind: Kind, obj: Object) -> set[Path]:
    """Return the paths of an object's maps, and of keyed lists and their items, themselves.

    Fields of Go structs are always there, so that nobody owns the struct.
    """
    found: set[Path] = set()

    def walk(value: Any, path: Path, name: str, schema: Schema) -> None:
        if path in UNOWNED:
            return
        if isinstance(value, dict):
            properties = schema.get("properties") or {}
            is_map = kind.custom or "additionalProperties" in schema
            if is_map and value and len(path) > (0 if path[:1] != ("f:metadata",) else 1):
                found.add((*path, ITSELF))
            inner = schema.get("additionalProperties")
            for key, each in value.items():
                known = properties.get(key) or (inner if isinstance(inner, dict) else {})
                walk(each, (*path, f"f:{key}"), key, known)
        elif _keyed(kind, name, value):
            found.add((*path, ITSELF))
            for item in value:
                place = (*path, _item(MERGE_KEYS[name], item))
                found.add((*place, ITSELF))
                walk(item, place, name, schema.get("items") or {})

    walk(obj, (), "", complete(kind.schema or {}))
    return found


def _keyed(kind: Kind, name: str, value: Any) -> bool:
    if kind.custom or name not in MERGE_KEYS or not isinstance(value, list) or not value:
        return False
    return all(isinstance(each, dict) and MERGE_KEYS[name] in each for each in value)


def _item(key: str, item: dict[str, Any]) -> str:
    return "k:" + json.dumps({key: item[key]}, separators=(",", ":"))


def encode(paths: set[Path]) -> dict[str, Any]:
    """Encode paths as ``fieldsV1``."""
    tree: dict[str, Any] = {}
    for path in sorted(paths):
        node = tree
        for part in path:
            node = node.setdefault(part, {})
    return tree


def decode(tree: dict[str, Any], prefix: Path = ()) -> set[Path]:
    """Decode ``fieldsV1`` to paths."""
    found: set[Path] = set()
    for part, inner in tree.items():
        found |= decode(inner, (*prefix, part)) if inner else {(*prefix, part)}
    return found


Owners = dict[tuple[str, str, str], set[Path]]


def _owners(obj: Object) -> Owners:
    return {
        (each["manager"], each["operation"], each.get("subresource", "")): decode(each.get("fieldsV1") or {})
        for each in obj["metadata"].get("managedFields") or []
    }


def _write_owners(kind: Kind, obj: Object, owners: Owners, before: Object | None) -> None:
    old = {
        (each["manager"], each["operation"], each.get("subresource", "")): each
        for each in ((before or {}).get("metadata") or {}).get("managedFields") or []
    }
    entries = []
    for (manager, operation, subresource), paths in owners.items():
        if not paths:
            continue
        fields = encode(paths)
        known = old.get((manager, operation, subresource))
        entry = {
            "manager": manager,
            "operation": operation,
            "apiVersion": kind.api_version,
            "time": known["time"] if known and known["fieldsV1"] == fields else timestamp(),
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
        entries.append({**entry, "subresource": subresource} if subresource else entry)
    # Source of the order: sortEncodedManagedFields.
    entries.sort(key=lambda each: (each["operation"], each["time"], each["manager"], each.get("subresource", "")))
    if entries:
        obj["metadata"]["managedFields"] = entries
    else:
        obj["metadata"].pop("managedFields", None)


def track(kind: Kind, before: Object | None, after: Object, manager: str, subresource: str = "") -> None:
    """Record in place which fields a create, update, or patch changed.

    Args:
        kind: The object's kind.
        before: The stored object; None for a new one.
        after: The object to store.
        manager: The field manager that writes.
        subresource: ``status`` or empty.
    """
    was = owned_paths(kind, before) if before else {}
    now = owned_paths(kind, after)
    containers = _containers(kind, after)
    changed = {path for path, value in now.items() if path not in was or was[path] != value}
    changed |= containers - (_containers(kind, before) if before else set())
    owners = _owners(before) if before else {}
    for paths in owners.values():
        paths -= changed
        paths &= set(now) | containers
    if changed:
        owners.setdefault((manager, "Update", subresource), set()).update(changed)
    _write_owners(kind, after, owners, before)


def apply(kind: Kind, current: Object | None, wanted: Object, manager: str, *, force: bool) -> Object:
    """Apply a configuration server-side.

    Args:
        kind: The object's kind.
        current: The stored object; None for a new one.
        wanted: The manager's applied configuration; fields that it no longer contains are removed.
        manager: The field manager that applies.
        force: Whether to take over conflicting fields from other managers.

    Returns:
        The object to store.

    Raises:
        StatusError: 409 with each conflicting field and its owner.
    """
    asked = owned_paths(kind, wanted)
    mine = (manager, "Apply", "")
    if current is None:
        result = copy.deepcopy(wanted)
        _write_owners(kind, result, {mine: set(asked)}, None)
        return result
    have = owned_paths(kind, current)
    owners = _owners(current)
    conflicts: dict[tuple[str, str], list[Path]] = defaultdict(list)
    for key, paths in owners.items():
        if key == mine:
            continue
        for path in sorted(paths & set(asked)):
            if have.get(path) != asked[path]:
                conflicts[(key[0], key[1])].append(path)
                if force:
                    paths.discard(path)
    if conflicts and not force:
        raise _conflict(kind, conflicts)
    given = {key: value for key, value in wanted.items()}
    given["metadata"] = {key: value for key, value in wanted["metadata"].items() if key != "managedFields"}
    result = merge_patch(current, given) if kind.custom else strategic_merge_patch(current, given)
    left = owners.get(mine, set()) - set(asked)
    for path in left:
        if not any(path in paths for key, paths in owners.items() if key != mine):
            _remove(result, path)
    owners[mine] = set(asked)
    _write_owners(kind, result, owners, current)
    return dict(result)


def _remove(node: Any, path: Path) -> None:
    """Remove a field and the parents that become empty."""
    part, rest = path[0], path[1:]
    if part.startswith("k:"):
        wanted = json.loads(part[2:])
        for item in [each for each in node if wanted.items() <= each.items()]:
            _remove(item, rest)
            if not item or item.keys() <= wanted.keys():
                node.remove(item)
        return
    name = part[2:]
    if not isinstance(node, dict) or name not in node:
        return
    if rest:
        _remove(node[name], rest)
        if not node[name]:
            del node[name]
    else:
        del node[name]


def _text(path: Path) -> str:
    text = ""
    for part in path:
        if part.startswith("k:"):
            text += "[" + ",".join(f'{key}="{value}"' for key, value in json.loads(part[2:]).items()) + "]"
        else:
            text += f".{part[2:]}"
    return text


def _conflict(kind: Kind, conflicts: dict[tuple[str, str], list[Path]]) -> StatusError:
    causes = []
    lines = []
    for (manager, operation), paths in conflicts.items():
        who = f'with "{manager}"' + (f" using {kind.api_version}" if operation == "Update" else "")
        for path in paths:
            causes.append({"reason": "FieldManagerConflict", "message": f"conflict {who}", "field": _text(path)})
        if len(paths) == 1:
            lines.append(f"conflict {who}: {_text(paths[0])}")
        else:
            lines.append(f"conflicts {who}:\n" + "\n".join(f"- {_text(path)}" for path in paths))
    count = f"{len(causes)} conflict{'s' if len(causes) != 1 else ''}"
    message = f"Apply failed with {count}: " + "\n".join(lines)
    return StatusError(409, "Conflict", message, {"causes": causes})
