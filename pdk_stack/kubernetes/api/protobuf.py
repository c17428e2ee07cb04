"""Decode the Kubernetes protobuf envelope for the kinds that ``kubectl create`` sends.

kubectl encodes typed objects as protobuf and does not fall back to JSON. Field numbers:
``k8s.io/api/core/v1/generated.proto``, ``k8s.io/api/authorization/v1/generated.proto`` and
``k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pdk_stack.kubernetes.errors import StatusError
from pdk_stack.kubernetes.store.columns import timestamp

MAGIC = b"k8s\x00"


@dataclass(frozen=True)
class Field:
    """How one field is read: ``text``, ``int``, ``bool``, ``time``, ``map``, ``bytes-map``, ``port`` or a message.

    ``port`` is an IntOrString.
    """

    name: str
    kind: str = "text"
    repeated: bool = False
    message: dict[int, Field] = field(default_factory=dict)


def _message(name: str, fields: dict[int, Field], *, repeated: bool = False) -> Field:
    return Field(name, "message", repeated, fields)


OBJECT_META = {
    1: Field("name"),
    2: Field("generateName"),
    3: Field("namespace"),
    5: Field("uid"),
    6: Field("resourceVersion"),
    8: Field("creationTimestamp", "time"),
    11: Field("labels", "map"),
    12: Field("annotations", "map"),
    14: Field("finalizers", repeated=True),
}
LOCAL_REFERENCE = {1: Field("name")}
OBJECT_REFERENCE = {
    1: Field("kind"),
    2: Field("namespace"),
    3: Field("name"),
    4: Field("uid"),
    5: Field("apiVersion"),
}
RESOURCE_ATTRIBUTES = {
    1: Field("namespace"),
    2: Field("verb"),
    3: Field("group"),
    4: Field("version"),
    5: Field("resource"),
    6: Field("subresource"),
    7: Field("name"),
}
POLICY_RULE = {
    1: Field("verbs", repeated=True),
    2: Field("apiGroups", repeated=True),
    3: Field("resources", repeated=True),
    4: Field("resourceNames", repeated=True),
    5: Field("nonResourceURLs", repeated=True),
}
ROLE_REF = {1: Field("apiGroup"), 2: Field("kind"), 3: Field("name")}
SUBJECT = {1: Field("kind"), 2: Field("apiGroup"), 3: Field("name"), 4: Field("namespace")}
SERVICE_PORT = {
    1: Field("name"),
    2: Field("protocol"),
    3: Field("port", "int"),
    4: Field("targetPort", "port"),
    5: Field("nodePort", "int"),
    6: Field("appProtocol"),
}
SERVICE_SPEC = {
    1: _message("ports", SERVICE_PORT, repeated=True),
    2: Field("selector", "map"),
    3: Field("clusterIP"),
    4: Field("type"),
    10: Field("externalName"),
}
META = _message("metadata", OBJECT_META)
ROLE = {1: META, 2: _message("rules", POLICY_RULE, repeated=True)}
BINDING = {1: META, 2: _message("subjects", SUBJECT, repeated=True), 3: _message("roleRef", ROLE_REF)}

MESSAGES: dict[tuple[str, str], dict[int, Field]] = {
    ("v1", "ConfigMap"): {
        1: META,
        2: Field("data", "map"),
        3: Field("binaryData", "bytes-map"),
        4: Field("immutable", "bool"),
    },
    ("v1", "Secret"): {
        1: META,
        2: Field("data", "bytes-map"),
        3: Field("type"),
        4: Field("stringData", "map"),
        5: Field("immutable", "bool"),
    },
    ("v1", "Namespace"): {1: META, 2: _message("spec", {1: Field("finalizers", repeated=True)})},
    ("v1", "Service"): {1: META, 2: _message("spec", SERVICE_SPEC)},
    # Not to be created by people; read so that the refusal can say why.
    ("apps/v1", "Deployment"): {1: META},
    ("v1", "ServiceAccount"): {
        1: META,
        2: _message("secrets", OBJECT_REFERENCE, repeated=True),
        3: _message("imagePullSecrets", LOCAL_REFERENCE, repeated=True),
        4: Field("automountServiceAccountToken", "bool"),
    },
    ("rbac.authorization.k8s.io/v1", "Role"): ROLE,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): ROLE,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): BINDING,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): BINDING,
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): {1: META, 2: _message("spec", {1: Field("namespace")})},
    ("authentication.k8s.io/v1", "SelfSubjectReview"): {1: META},
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): {
        1: META,
        2: _message(
            "spec",
            {
                1: _message("resourceAttributes", RESOURCE_ATTRIBUTES),
                2: _message("nonResourceAttributes", {1: Field("path"), 2: Field("verb")}),
            },
        ),
    },
}


def decode(body: bytes) -> dict[str, Any]:
    """Decode an enveloped object.

    Raises:
        StatusError: 415 when the envelope or the kind is not known here; the kind is named.
    """
    if not body.startswith(MAGIC):
        raise _unsupported("a body without the Kubernetes envelope")
    envelope = dict(_fields(body[len(MAGIC) :]))
    type_meta = dict(_fields(envelope.get(1, b"")))
    api_version, kind = (bytes(type_meta.get(number, b"")).decode() for number in (1, 2))
    fields = MESSAGES.get((api_version, kind))
    if fields is None:
        raise _unsupported(f"{kind} of {api_version}")
    obj = _read_message(envelope.get(2, b""), fields)
    obj.setdefault("metadata", {})
    return {"apiVersion": api_version, "kind": kind, **obj}


def _unsupported(what: str) -> StatusError:
    return StatusError(
        415,
        "UnsupportedMediaType",
        f"the embedded API does not offer {what}, or not as protobuf (kubectl apply -f sends JSON)",
    )


def _fields(body: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers and raw values of one message."""
    position = 0

    def varint() -> int:
        nonlocal position
        result = shift = 0
        while True:
            byte = body[position]
            position += 1
            result |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return result

    while position < len(body):
        tag = varint()
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            yield number, varint()
        elif wire_type == 2:
            length = varint()
            yield number, body[position : position + length]
            position += length
        elif wire_type in (1, 5):
            width = 8 if wire_type == 1 else 4
            yield number, body[position : position + width]
            position += width
        else:
            raise _unsupported(f"wire type {wire_type}")


def _read_message(body: bytes, fields: dict[int, Field]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for number, raw in _fields(body):
        known = fields.get(number)
        if known is None:
            continue
        if known.kind in ("map", "bytes-map"):
            entry = dict(_fields(raw))
            value = bytes(entry.get(2, b""))
            text = value.decode() if known.kind == "map" else base64.b64encode(value).decode()
            result.setdefault(known.name, {})[bytes(entry.get(1, b"")).decode()] = text
            continue
        value = _read_value(raw, known)
        if known.repeated:
            result.setdefault(known.name, []).append(value)
        elif value not in ("", None):
            result[known.name] = value
    return result


def _read_value(raw: Any, known: Field) -> Any:
    if known.kind == "message":
        return _read_message(raw, known.message)
    if known.kind == "text":
        return raw.decode()
    if known.kind == "bool":
        return bool(raw)
    if known.kind == "int":
        return int(raw) or None
    if known.kind == "port":
        port = dict(_fields(raw))
        return bytes(port.get(3, b"")).decode() if port.get(1) else int(port.get(2, 0))
    seconds = dict(_fields(raw)).get(1)
    return timestamp(seconds) if seconds else None
