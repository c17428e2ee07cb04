"""The API's three patch types, as pure functions on documents.

Sources: RFC 7386 (merge patch), RFC 6902 (JSON patch), and ``k8s.io/apimachinery/pkg/util/strategicpatch`` (Go only).
"""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch

from pdk_stack.kubernetes.errors import StatusError, bad_request
from pdk_stack.kubernetes.store.decoding import type_name

# Lists that strategic merge merges by key (patchMergeKey in k8s.io/api's types).
MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "ports": "port",
    "secrets": "name",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
# Lists of texts that it joins (patchStrategy=merge).
MERGED_TEXTS = ("finalizers",)
REJECTED = "the server rejected our request due to an error in our request"
MOST_OPERATIONS = 10000
DELETED_TEXTS = "$deleteFromPrimitiveList/"


def rejected() -> StatusError:
    """Make the error for a patch that doesn't fit its object."""
    return StatusError(422, "Invalid", REJECTED, {})


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply an RFC 7386 merge patch without changing the inputs."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def strategic_merge_patch(target: Any, patch: Any, field: str = "") -> Any:
    """Apply a strategic merge patch, which merges lists with a merge key item by item.

    Raises:
        StatusError: 400 for a directive that is none, or an item without its key.
    """
    if isinstance(patch, dict):
        directive = patch.get("$patch", "merge")
        if directive not in ("merge", "replace", "delete"):
            raise bad_request(f"Unknown patch type: {directive}")
        if directive == "delete":
            return {}
        if directive == "replace":
            return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
        return _merged_map(target if isinstance(target, dict) else {}, patch)
    if isinstance(patch, list) and isinstance(target, list) and field in MERGED_TEXTS:
        return target + [each for each in patch if each not in target]
    is_list = isinstance(patch, list) and all(isinstance(each, dict) for each in patch)
    if is_list and field in MERGE_KEYS:
        return _merge_list(target if isinstance(target, list) else [], patch, MERGE_KEYS[field])
    return copy.deepcopy(patch)


def _merged_map(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    result = dict(target)
    for key, value in patch.items():
        if key.startswith(DELETED_TEXTS):
            name = key.removeprefix(DELETED_TEXTS)
            if isinstance(value, list) and isinstance(result.get(name), list):
                result[name] = [each for each in result[name] if each not in value]
        elif key.startswith("$"):
            continue
        elif value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
            result.pop(key, None)
        else:
            result[key] = strategic_merge_patch(result.get(key), value, key)
    return result


def _key_of(item: Any, key: str) -> Any:
    value = item.get(key) if isinstance(item, dict) else None
    if isinstance(value, (dict, list)):
        raise bad_request(f"map: {item} does not contain declared merge key: {key}")
    return value


def _merge_list(original: list[Any], patch: list[Any], key: str) -> list[Any]:
    """Merge two lists; items that only the patch has come before those that only the server has."""
    if any(item.get("$patch") == "replace" for item in patch):
        return [copy.deepcopy(item) for item in patch if "$patch" not in item]
    by_key = {_key_of(each, key): each for each in original}
    patched: list[Any] = []
    deleted = set()
    for item in patch:
        name = _key_of(item, key)
        if name is None:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        if item.get("$patch") == "delete":
            deleted.add(name)
        else:
            patched.append(strategic_merge_patch(by_key.get(name), item))
    named = {_key_of(each, key) for each in patched}
    kept = [each for each in original if _key_of(each, key) not in named | deleted]
    return patched + kept


def json_patch(document: Any, operations: Any) -> Any:
    """Apply an RFC 6902 JSON patch without changing the document.

    Raises:
        StatusError: The patch is malformed (400), has too many operations (413), or doesn't fit the document (422).
    """
    wrong = _first_wrong(operations)
    if wrong:
        raise bad_request(f"error decoding patch: json: cannot unmarshal {wrong}")
    if len(operations) > MOST_OPERATIONS:
        message = f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(operations)}"
        raise StatusError(413, "RequestEntityTooLarge", f"Request entity too large: {message}")
    try:
        return jsonpatch.apply_patch(document, operations)
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError, KeyError, ValueError) as error:
        raise rejected() from error


def _first_wrong(operations: Any) -> str:
    """Return what Go's decoder can't read of a patch; empty when it can."""
    if not isinstance(operations, list):
        return f"{type_name(operations)} into Go value of type []handlers.jsonPatchOp"
    for each in operations:
        if not isinstance(each, dict):
            return f"{type_name(each)} into Go value of type handlers.jsonPatchOp"
        for name in ("op", "path", "from"):
            if not isinstance(each.get(name, ""), (str, type(None))):
                return f"{type_name(each[name])} into Go struct field jsonPatchOp.{name} of type string"
    return ""
