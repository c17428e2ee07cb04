"""Decodes the Kubernetes protobuf envelope for the kinds that ``kubectl create`` sends.

kubectl encodes typed objects as protobuf and doesn't fall back to JSON. This decoder is handwritten because the
official Python client has no protobuf messages. Source of field numbers: ``generated.proto`` of ``k8s.io/api/core/v1``,
``k8s.io/api/authorization/v1``, and ``k8s.io/apimachinery/pkg/apis/meta/v1``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pdk_stack.kubernetes.errors import StatusError, bad_request
from pdk_stack.kubernetes.store.columns import timestamp

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"


@dataclass(frozen=True)
class Field:
    """How to decode a field: ``text``, ``int``, ``bool``, ``time``, ``map``, ``bytes-map``, ``port``, or a message.

    ``port`` is an IntOrString.
    """

    name: str
    kind: str = "text"
    repeated: bool = False
    message: Fields = field(default_factory=dict)


Fields = dict[int, Field]


def _fields_of(text: str, **messages: Fields) -> Fields:
    """Describe the fields of a message.

    Args:
        text: Comma-separated ``<number> <name>[:<kind>]``; ``*`` marks a repeated field.
        messages: The types of message fields, by name.
    """
    found: Fields = {}
    for each in text.split(","):
        number, told = each.split()
        name, _, kind = told.removesuffix("*").partition(":")
        message = messages.get(name, {})
        found[int(number)] = Field(name, "message" if name in messages else kind or "text", told.endswith("*"), message)
    return found


META = _fields_of(
    "1 name, 2 generateName, 3 namespace, 5 uid, 6 resourceVersion, 8 creationTimestamp:time, 11 labels:map, "
    "12 annotations:map, 14 finalizers*"
)
ROLE = _fields_of(
    "1 metadata, 2 rules*",
    metadata=META,
    rules=_fields_of("1 verbs*, 2 apiGroups*, 3 resources*, 4 resourceNames*, 5 nonResourceURLs*"),
)
BINDING = _fields_of(
    "1 metadata, 2 subjects*, 3 roleRef",
    metadata=META,
    subjects=_fields_of("1 kind, 2 apiGroup, 3 name, 4 namespace"),
    roleRef=_fields_of("1 apiGroup, 2 kind, 3 name"),
)
SERVICE_SPEC = _fields_of(
    "1 ports*, 2 selector:map, 3 clusterIP, 4 type, 10 externalName",
    ports=_fields_of("1 name, 2 protocol, 3 port:int, 4 targetPort:port, 5 nodePort:int, 6 appProtocol"),
)
ACCESS_SPEC = _fields_of(
    "1 resourceAttributes, 2 nonResourceAttributes",
    resourceAttributes=_fields_of("1 namespace, 2 verb, 3 group, 4 version, 5 resource, 6 subresource, 7 name"),
    nonResourceAttributes=_fields_of("1 path, 2 verb"),
)


def _with_spec(spec: Fields) -> Fields:
    return _fields_of("1 metadata, 2 spec", metadata=META, spec=spec)


MESSAGES: dict[tuple[str, str], Fields] = {
    ("v1", "ConfigMap"): _fields_of("1 metadata, 2 data:map, 3 binaryData:bytes-map, 4 immutable:bool", metadata=META),
    ("v1", "Secret"): _fields_of(
        "1 metadata, 2 data:bytes-map, 3 type, 4 stringData:map, 5 immutable:bool", metadata=META
    ),
    ("v1", "Namespace"): _with_spec(_fields_of("1 finalizers*")),
    ("v1", "Service"): _with_spec(SERVICE_SPEC),
    # Users can't create these kinds; they are decoded so that the refusal can say why.
    ("apps/v1", "Deployment"): _fields_of("1 metadata", metadata=META),
    ("v1", "ServiceAccount"): _fields_of(
        "1 metadata, 2 secrets*, 3 imagePullSecrets*, 4 automountServiceAccountToken:bool",
        metadata=META,
        secrets=_fields_of("1 kind, 2 namespace, 3 name, 4 uid, 5 apiVersion"),
        imagePullSecrets=_fields_of("1 name"),
    ),
    ("rbac.authorization.k8s.io/v1", "Role"): ROLE,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): ROLE,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): BINDING,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): BINDING,
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): _with_spec(_fields_of("1 namespace")),
    ("authentication.k8s.io/v1", "SelfSubjectReview"): _fields_of("1 metadata", metadata=META),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): _with_spec(ACCESS_SPEC),
}


def decode(body: bytes) -> dict[str, Any]:
    """Decode an enveloped object.

    Raises:
        StatusError: 415 for an unknown envelope or kind; the message names the kind. 400 for a damaged message.
    """
    if not body.startswith(MAGIC):
        raise _unsupported("a body without the Kubernetes envelope")
    try:
        return _decode(body)
    except (IndexError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise bad_request(f"the protobuf message cannot be read: {error}") from error


def _decode(body: bytes) -> dict[str, Any]:
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
    """Yield the field numbers and raw values of a message."""
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


def _read_message(body: bytes, fields: Fields) -> dict[str, Any]:
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
