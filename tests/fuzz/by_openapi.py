"""Requests that an OpenAPI document allows, and others that it forbids, made by schemathesis.

Kubernetes serves its documents. Determined's client carries bindings that are generated from its document, so
:func:`determined_document` makes the document from them again.
"""

from __future__ import annotations

import zlib
from collections.abc import Container, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.core import NotSet
from schemathesis.core.errors import InvalidSchema
from schemathesis.core.result import Err, Ok

from pdk_stack.determined.api.messages import Call, Enum, List, Map, Type, fields_of
from tests.fuzz.asking import Case

Operation = schemathesis.APIOperation[Any, Any, Any, Any]

#: Requests to an operation before the next one's turn.
EACH = 3
#: JSON types of protobuf's scalars, by their names in the bindings.
SCALARS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("int32", "int64", "uint32"), {"type": "integer"}),
    **dict.fromkeys(("double", "float"), {"type": "number"}),
    **dict.fromkeys(("bool", "BoolValue"), {"type": "boolean"}),
    "string": {"type": "string"},
    "bytes": {"type": "string", "format": "byte"},
    "Timestamp": {"type": "string", "format": "date-time"},
    "Struct": {"type": "object"},
    "ListValue": {"type": "array", "items": {}},
    "Value": {},
}


def determined_document(calls: list[Call], known: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """Return the OpenAPI document of calls of Determined's gateway.

    Args:
        calls: The calls.
        known: Values that lead to what exists, by the scalar's name; values in paths and queries come from them, too.
    """
    schemas: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for call in calls:
        values = [_parameter(name, "path", kind, schemas, known) for name, kind in call.values.items()]
        queries = [_parameter(name, "query", kind, schemas, known) for name, kind in call.query.items()]
        operation: dict[str, Any] = {
            "operationId": call.operation,
            "parameters": values + queries,
            "responses": {"default": {"description": "any answer"}},
        }
        if call.body is not None:
            schema = _schema(call.body, schemas)
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
        paths.setdefault(call.path, {})[call.method.lower()] = operation
    return {
        "openapi": "3.0.3",
        "info": {"title": "Determined", "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _parameter(
    name: str, place: str, kind: Type, schemas: dict[str, Any], known: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    schema = _schema(kind, schemas)
    if isinstance(kind, str) and kind in known:
        schema = {"anyOf": [{"enum": list(known[kind])}, schema]}
    return {"name": name, "in": place, "required": place == "path", "schema": schema}


def _schema(kind: Type, schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a type, and add those of the messages in it."""
    if isinstance(kind, Enum):
        return {"type": "string", "enum": list(kind.numbers)}
    if isinstance(kind, List):
        return {"type": "array", "items": _schema(kind.of, schemas)}
    if isinstance(kind, Map):
        return {"type": "object", "additionalProperties": _schema(kind.of, schemas)}
    if kind in SCALARS:
        return SCALARS[kind]
    if kind not in schemas:
        schemas[kind] = {}  # a message may hold itself
        properties = {name: _schema(each, schemas) for name, each in fields_of(kind).items()}
        schemas[kind] = {"type": "object", "properties": properties}
    return {"$ref": f"#/components/schemas/{kind}"}


def cases(documents: Sequence[dict[str, Any]], number: int, leave_out: Container[str] = ()) -> Iterator[Case]:
    """Yield requests to every operation in turn, without end; every other round has what the documents forbid.

    Args:
        documents: OpenAPI documents.
        number: The seed.
        leave_out: Operations that aren't asked, by ``operationId``.
    """
    documented = (
        _sound(found) for each in documents for found in schemathesis.openapi.from_dict(each).get_all_operations()
    )
    operations = [each for each in documented if each.definition.raw.get("operationId") not in leave_out]
    while True:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            for operation in operations:
                yield from _drawn(operation, mode, number ^ zlib.crc32(operation.label.encode()))
        number += 1


def _sound(found: Ok[Operation] | Err[InvalidSchema]) -> Operation:
    """Return an operation; raise what is wrong with its document."""
    if isinstance(found, Err):
        raise found.err()
    return found.ok()


def _drawn(
    operation: schemathesis.APIOperation[Any, Any, Any, Any], mode: schemathesis.GenerationMode, number: int
) -> list[Case]:
    found: list[Case] = []

    @seed(number)
    @settings(
        max_examples=EACH,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def draw(made: schemathesis.Case[Any]) -> None:
        found.append(as_case(made))

    try:
        draw()
    except Unsatisfiable:
        # The document forbids nothing here: such an operation has no parameters, or takes any value.
        if mode is schemathesis.GenerationMode.POSITIVE:
            raise
    return found


def as_case(made: schemathesis.Case[Any]) -> Case:
    """Return schemathesis' request as one of ours."""
    body = None if isinstance(made.body, NotSet) else made.body
    headers = {str(name): str(value) for name, value in _readable(made.headers)}
    if body is not None and made.media_type and "*" not in made.media_type:
        headers["Content-Type"] = made.media_type
    label = made.operation.definition.raw.get("operationId") or made.operation.label
    return Case(label, made.method, unquote(made.formatted_path), dict(made.query or {}), body, headers)


def _readable(headers: Mapping[str, Any] | None) -> Iterator[tuple[str, Any]]:
    """Yield the headers that a client of HTTP can send."""
    for name, value in (headers or {}).items():
        if str(value).isascii() and str(value).isprintable():
            yield name, value
