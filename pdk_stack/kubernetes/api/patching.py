"""Applies patches to objects.

Source: ``k8s.io/apiserver/pkg/endpoints/handlers/patch.go``.
"""

from __future__ import annotations

from typing import Any

from pdk_stack.kubernetes.api.bodies import UNREADABLE
from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.core.patches import json_patch, merge_patch, strategic_merge_patch
from pdk_stack.kubernetes.errors import StatusError, bad_request, unsupported_media_type
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.decoding import type_name

JSON_PATCH, MERGE = "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"


def check_type(call: ResourceCall) -> None:
    """Refuse a patch in a format that the resource doesn't take.

    Raises:
        StatusError: 415.
    """
    known = [JSON_PATCH, MERGE, APPLY] if call.kind.custom else [JSON_PATCH, MERGE, STRATEGIC, APPLY]
    if call.body.media_type in known:
        return
    if call.kind.custom:
        raise unsupported_media_type(UNREADABLE + ", ".join(known))
    # Kubernetes' own resources answer in the router's words.
    raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})


def patched(call: ResourceCall, patch: Any, current: Object) -> Any:
    """Return what a patch makes of an object.

    Args:
        call: The call.
        patch: The parsed patch.
        current: The stored object.

    Raises:
        StatusError: 400 for a malformed patch, 422 for one that doesn't fit the object.
    """
    if call.body.media_type == JSON_PATCH:
        return json_patch(current, patch)
    if not isinstance(patch, dict):
        found = type_name(patch)
        start = "" if call.body.media_type == STRATEGIC else "error decoding patch: "
        raise bad_request(f"{start}json: cannot unmarshal {found} into Go value of type map[string]interface {{}}")
    if call.body.media_type == MERGE:
        return merge_patch(current, patch)
    return strategic_merge_patch(current, patch)
