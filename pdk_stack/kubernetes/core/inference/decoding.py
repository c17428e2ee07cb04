"""Decodes an InferenceService as Go does: the first field of a wrong type ends it, in the words of ``encoding/json``.

KServe's defaulter decodes a service before the API server checks its schema, so these are the words for wrong types.
Sources: ``encoding/json/decode.go`` of Go, ``k8s.io/apimachinery/pkg/api/resource/quantity.go``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pdk_stack.kubernetes.store.columns import Object
from pdk_stack.kubernetes.store.models import Schema
from pdk_stack.kubernetes.store.schemas import FRAMEWORKS, INFERENCE_SERVICE

__all__ = ["decoding_error", "quantity_problem"]

# Go's structs by the field that holds them; the frameworks' are named like the client's models.
STRUCTS = {
    "": "InferenceService",
    "spec": "InferenceServiceSpec",
    "predictor": "PredictorSpec",
    "transformer": "TransformerSpec",
    "explainer": "ExplainerSpec",
    "model": "ModelSpec",
    "modelFormat": "ModelFormat",
    "storage": "StorageSpec",
    "logger": "LoggerSpec",
    "batcher": "Batcher",
    "resources": "ResourceRequirements",
    "env": "EnvVar",
    **{field: model.removeprefix("V1beta1") for field, model in FRAMEWORKS.items()},
}
OF_KUBERNETES = {"ResourceRequirements", "EnvVar"}
# Integers that aren't 64 bits wide.
INTEGERS = dict.fromkeys(("minReplicas", "maxReplicas", "scaleTarget", "maxBatchSize", "maxLatency"), "int")
NAMED = {"scaleMetric": "v1beta1.ScaleMetric", "mode": "v1beta1.LoggerType"}
NAMED |= {"protocolVersion": "constants.InferenceServiceProtocol"}
WORDS: dict[type, str] = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
PLAIN = {"string": "string", "boolean": "bool", "number": "float64"}
TAKES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "array": (list,),
}
QUANTITIES = ("limits", "requests")

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
SUFFIX = re.compile(r"[KMGTPE]i|[numkMGTPE]?|[eE][+-]?\d+")
FORMAT = re.compile(r"[+-]?[0-9]*(\.[0-9]*)?[eEinumkKMGTP]*[-+]?[0-9]*")
WRONG_FORMAT = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


def quantity_problem(given: Any) -> str:
    """Return why a value is no quantity, in the words of ``ParseQuantity``; empty when it is one."""
    text = given.strip() if isinstance(given, str) else str(given)
    if isinstance(given, (bool, list, dict)) or not text or not FORMAT.fullmatch(text):
        return WRONG_FORMAT
    number = NUMBER.match(text)
    if number is None:
        return "unable to parse numeric part of quantity" if text[-1:].isdigit() else WRONG_FORMAT
    return "" if SUFFIX.fullmatch(text[number.end() :]) else "unable to parse quantity's suffix"


def decoding_error(service: Object) -> str:
    """Return the error with which Go refuses to decode a service; empty when it doesn't."""
    found = list(_errors(INFERENCE_SERVICE, {"spec": service.get("spec")}, "", ""))
    # A quantity's own decoder stops everything; fields of a wrong type are only remembered.
    return next((text for text in found if not text.startswith("json: ")), found[0] if found else "")


def _errors(schema: Schema, given: dict[str, Any], path: str, holder: str) -> Iterator[str]:
    """Yield the errors of an object's fields, in the order in which the API server writes them."""
    known = schema.get("properties") or {}
    for name in sorted(given):
        value, inner = given[name], f"{path}.{name}" if path else name
        if value is None or name not in known:
            continue
        if name in QUANTITIES and holder == "resources" and isinstance(value, dict):
            yield from filter(None, (quantity_problem(each) for _, each in sorted(value.items()) if each is not None))
            continue
        yield from _value_errors(known[name], value, inner, name, holder)


def _value_errors(schema: Schema, value: Any, path: str, name: str, holder: str) -> Iterator[str]:
    kind = schema.get("type")
    if kind not in TAKES:
        return
    if not isinstance(value, TAKES[kind]) or (isinstance(value, bool) and kind != "boolean"):
        word = WORDS.get(type(value), "object")
        if isinstance(value, float) and kind == "integer":
            word = f"number {value}"
        struct = STRUCTS.get(holder, "Container")
        yield f"json: cannot unmarshal {word} into Go struct field {struct}.{path} of type {_go_type(schema, name)}"
    elif isinstance(value, dict):
        others = schema.get("additionalProperties")
        if isinstance(others, dict):
            for key in sorted(value):
                if value[key] is not None:
                    yield from _value_errors(others, value[key], path, name, holder)
        else:
            yield from _errors(schema, value, path, name)
    elif isinstance(value, list):
        for each in value:
            if each is not None:
                yield from _value_errors(schema.get("items") or {}, each, path, name, name)


def _go_type(schema: Schema, name: str) -> str:
    kind = schema.get("type", "")
    if kind == "integer":
        return INTEGERS.get(name, "int64")
    if kind == "array":
        return f"[]{_go_type(schema.get('items') or {}, name)}"
    if kind == "object":
        struct = STRUCTS.get(name)
        if struct is None:
            inner = schema.get("additionalProperties")
            return f"map[string]{_go_type(inner, '')}" if isinstance(inner, dict) else f"v1.{name.title()}"
        return f"{'v1' if struct in OF_KUBERNETES else 'v1beta1'}.{struct}"
    return NAMED.get(name) or PLAIN.get(kind, "string")
