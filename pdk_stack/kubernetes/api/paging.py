"""Lists in pages and at versions: ``limit``, ``continue``, ``resourceVersion`` and ``resourceVersionMatch``.

Source: ``k8s.io/apiserver/pkg/storage`` (``continue.go``, ``etcd3/store.go``).
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from pdk_stack.kubernetes.api.calls import ResourceCall
from pdk_stack.kubernetes.core.selectors import Predicate
from pdk_stack.kubernetes.core.validation.options import integer
from pdk_stack.kubernetes.errors import FieldError, StatusError, bad_request, invalid_value
from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.objects import ObjectStore, version_number

PAGE_VERSION = "meta.k8s.io/v1"


@dataclass(frozen=True)
class Page:
    """A part of a list.

    Attributes:
        objects: The objects.
        meta: The list's metadata.
    """

    objects: list[Object]
    meta: dict[str, Any]


def check_version(store: ObjectStore, text: str) -> int:
    """Return the version that a reader asks for; 0 for any.

    Raises:
        StatusError: 400 for anything but a number, 504 for a version that is still to come.
    """
    if not text:
        return 0
    try:
        version = version_number(text)
    except StatusError as error:
        wrong: FieldError = invalid_value("resourceVersion", text, error.message)
        raise bad_request(str(wrong)) from error
    if version > store.version:
        message = f"Too large resource version: {version}, current: {store.version}"
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        raise StatusError(504, "Timeout", f"Timeout: {message}", {"causes": [cause], "retryAfterSeconds": 1})
    return version


def _key(obj: Object) -> str:
    meta = obj["metadata"]
    return f"{meta.get('namespace') or ''}/{meta['name']}"


def _encode(version: int, key: str) -> str:
    token = json.dumps({"v": PAGE_VERSION, "rv": version, "start": f"{key}\0"})
    return base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


def _decode(text: str) -> tuple[int, str]:
    try:
        padded = text + "=" * (-len(text) % 4)
        token = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        version, start = token["rv"], token["start"]
        if token["v"] != PAGE_VERSION or not isinstance(version, int) or not isinstance(start, str):
            raise ValueError("incorrect version or start")
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from error
    return version, start


def page(store: ObjectStore, call: ResourceCall, matches: Predicate) -> Page:
    """Return the part of a list that a call asks for.

    Args:
        store: The objects.
        call: The call, whose options are valid.
        matches: Which objects belong to the list.

    Raises:
        StatusError: 400 for a token or version that cannot be read, 410 for one that is too old, 504 for one to come.
    """
    token, wanted = call.value("continue"), call.value("resourceVersion")
    if token and wanted and wanted != "0":
        raise bad_request("specifying resource version is not allowed when using continue")
    version = 0 if token else check_version(store, wanted)
    found, current = store.view(call.kind, call.namespace)
    if version and call.value("resourceVersionMatch") == "Exact":
        if store.changes(call.kind, call.namespace, version):
            raise StatusError(410, "Expired", "The provided resource version is too old; only the current one is kept.")
        current = version
    start = ""
    if token:
        current, start = _decode(token)
        # Changes since then are gone from the history with the version; then the pages would not fit together.
        store.changes(call.kind, call.namespace, current)
    objects = [obj for obj in found if matches(obj) and _key(obj) >= start]
    limit = integer(call.query, "limit") or 0
    meta: dict[str, Any] = {"resourceVersion": str(current)}
    if 0 < limit < len(objects):
        meta["continue"] = _encode(current, _key(objects[limit - 1]))
        if not call.value("labelSelector") and not call.value("fieldSelector"):
            meta["remainingItemCount"] = len(objects) - limit
        objects = objects[:limit]
    return Page(objects, meta)
