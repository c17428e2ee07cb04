"""The API's three patch types, as pure functions on documents.

Sources: RFC 7386 (merge patch), RFC 6902 (JSON patch), and ``k8s.io/apimachinery/pkg/util/strategicpatch`` (Go only).
"""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch

from pdk_stack.kubernetes.errors import StatusError, bad_request

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
REJECTED = "the server rejected our request due to an error in our request"


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
    """Apply a strategic merge patch, which merges lists with a merge key item by item."""
    if isinstance(patch, dict):
        if patch.get("$patch") == "replace":
            return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
        result = dict(target) if isinstance(target, dict) else {}
        for key, value in patch.items():
            if key.startswith("$"):
                continue
            if value is None:
                result.pop(key, None)
            else:
                result[key] = strategic_merge_patch(result.get(key), value, key)
        return result
    is_list = isinstance(patch, list) and all(isinstance(each, dict) for each in patch)
    if is_list and field in MERGE_KEYS:
        return _merge_list(target or [], patch, MERGE_KEYS[field])
    return copy.deepcopy(patch)


def _merge_list(original: list[Any], patch: list[Any], key: str) -> list[Any]:
    """Merge two lists; items that only the patch has come before those that only the server has."""
    by_key = {each.get(key): each for each in original}
    patched: list[Any] = []
    deleted = set()
    for item in patch:
        if item.get("$patch") == "delete":
            deleted.add(item.get(key))
        else:
            patched.append(strategic_merge_patch(by_key.get(item.get(key)), item))
    named = {each.get(key) for each in patched}
    kept = [each for each in original if each.get(key) not in named | deleted]
    return patched + kept


def json_patch(document: Any, operations: Any) -> Any:
    """Apply an RFC 6902 JSON patch without changing the document.

    Raises:
        StatusError: The patch is malformed (400), or one of its paths or tests fails (422).
    """
    if not isinstance(operations, list):
        raise bad_request("error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    try:
        return jsonpatch.apply_patch(document, operations)
    except jsonpatch.InvalidJsonPatch as error:
        raise bad_request(f"error decoding patch: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
        raise StatusError(422, "Invalid", REJECTED) from error
