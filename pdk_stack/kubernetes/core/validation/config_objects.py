"""Validates ConfigMaps and Secrets.

Source: ``pkg/apis/core/validation``.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from pdk_stack.kubernetes.core.validation.metadata import IMMUTABLE
from pdk_stack.kubernetes.core.validation.syntax import config_key
from pdk_stack.kubernetes.errors import FieldError, forbidden_field, invalid_value, required, too_long
from pdk_stack.kubernetes.store.columns import Object

#: Most bytes of the data of a ConfigMap or Secret (``MaxSecretSize``).
MOST_BYTES = 1 << 20
FIXED = "field is immutable when `immutable` is set"
#: Keys that a type of Secret needs.
NEEDED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
DOCKER = ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson")
ACCOUNT_NAME = "kubernetes.io/service-account.name"


def _size(encoded: str) -> int:
    """Return how many bytes a base64 text stands for."""
    return len(encoded) * 3 // 4 - encoded.count("=", -2)


def _keys(field: str, data: dict[str, str]) -> list[FieldError]:
    return [invalid_value(f"{field}[{key}]", key, words) for key in data for words in config_key(key)]


def config_map(obj: Object) -> list[FieldError]:
    """Validate the data of a ConfigMap."""
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    found = _keys("data", data)
    for key in data.keys() & binary.keys():
        found.append(invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData"))
    found += _keys("binaryData", binary)
    size = sum(len(each.encode()) for each in data.values()) + sum(map(_size, binary.values()))
    # The whole object is meant.
    return [*found, too_long("[]", MOST_BYTES)] if size > MOST_BYTES else found


def _unchanged(new: Object, old: Object, *fields: str) -> list[FieldError]:
    """Return an error for each changed part of an immutable object."""
    if not old.get("immutable"):
        return []
    found = [] if new.get("immutable") else [forbidden_field("immutable", FIXED)]
    return found + [forbidden_field(each, FIXED) for each in fields if (new.get(each) or {}) != (old.get(each) or {})]


def config_map_update(new: Object, old: Object) -> list[FieldError]:
    """Validate what an update changes of a ConfigMap."""
    return _unchanged(new, old, "data", "binaryData")


def secret(obj: Object) -> list[FieldError]:
    """Validate the data of a Secret, and what its type needs."""
    data, kind = obj.get("data") or {}, obj.get("type") or ""
    found = _keys("data", data)
    if sum(map(_size, data.values())) > MOST_BYTES:
        found.append(too_long("data", MOST_BYTES))
    named = (obj["metadata"].get("annotations") or {}).get(ACCOUNT_NAME)
    if kind == "kubernetes.io/service-account-token" and not named:
        found.append(required(f"metadata.annotations[{ACCOUNT_NAME}]"))
    if kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        found += [required("data[username]"), required("data[password]")]
    for key in NEEDED_KEYS.get(kind, ()):
        if key not in data or (key == "ssh-privatekey" and not data[key]):
            found.append(required(f"data[{key}]"))
        elif kind in DOCKER:
            found += _docker_config(key, data[key])
    return found


def _docker_config(key: str, encoded: str) -> list[FieldError]:
    try:
        content: Any = json.loads(base64.b64decode(encoded))
    except ValueError:
        return [invalid_value(f"data[{key}]", "<secret contents redacted>", "unexpected end of JSON input")]
    if not isinstance(content, dict):
        why = "json: cannot unmarshal the value into Go value of type map[string]interface {}"
        return [invalid_value(f"data[{key}]", "<secret contents redacted>", why)]
    return []


def secret_update(new: Object, old: Object) -> list[FieldError]:
    """Validate what an update changes of a Secret."""
    found = _unchanged(new, old, "data")
    changed = new.get("type") != old.get("type")
    return [invalid_value("type", new.get("type", ""), IMMUTABLE), *found] if changed else found
