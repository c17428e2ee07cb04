"""Checks the bodies of predictions as KServe's own data plane does before the model server sees them.

Sources: ``protocol/dataplane.py``, ``protocol/rest`` and ``model.py`` in ``python/kserve/kserve`` of KServe v0.13.1.
TorchServe itself only reports that its handler failed.
"""

from __future__ import annotations

import codecs
import math
from typing import Any

import orjson

from pdk_stack.kubernetes.api.ingress.answers import error
from pdk_stack.kubernetes.api.ingress.server import Answer

__all__ = ["fault", "not_json", "refused"]

V1, V2 = ":predict", "/infer"
MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def refused(path: str, body: bytes) -> Answer | None:
    """Return KServe's refusal of a prediction's body; None for a body that the model server gets.

    Args:
        path: The request's path.
        body: The whole body.
    """
    if not path.endswith((V1, V2)):
        return None
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as failure:
        return _unreadable(path, str(failure))
    if path.endswith(V2):
        return _refused_tensors(given)
    if isinstance(given, dict) and not isinstance(given.get("instances", []), list):
        return error(400, 'Expected "instances" to be a list')
    return None


def not_json(path: str, begin: bytes) -> Answer | None:
    """Return the refusal of a body that is not in UTF-8, or begins with a byte order mark.

    Args:
        path: The request's path.
        begin: The first bytes of a body that is too large to be read ahead.
    """
    if not path.endswith((V1, V2)) or not (begin.startswith(MARKS) or b"\0" in begin[:4]):
        return None
    return _unreadable(path, "unexpected character: line 1 column 1 (char 0)")


def fault(path: str, body: bytes) -> Answer | None:
    """Return what was wrong with a request that made the handler fail; None for the handler's own fault.

    KServe passes these on, and TorchServe's envelope for its protocol can't read them.
    """
    if not path.endswith(V1):
        return None
    given = orjson.loads(body)
    if not isinstance(given, dict) or not isinstance(given.get("instances"), list):
        return error(400, 'Expected "instances" to be a list')
    return None


def _unreadable(path: str, why: str) -> Answer:
    text = f"Unrecognized request format: {why}"
    return _unprocessable(["body"], text) if path.endswith(V2) else error(400, text)


def _unprocessable(place: list[Any], why: str) -> Answer:
    """Return 422 in the form of KServe's server, with the field."""
    field = ".".join(map(str, place[1:]))
    answer = error(422, f"{field}: {why}" if field else why)
    answer.body = orjson.dumps({**orjson.loads(answer.body), "detail": [{"loc": place, "msg": why}]})
    return answer


def _refused_tensors(given: Any) -> Answer | None:
    from pydantic import ValidationError  # its import takes a while, and most services speak v1

    from pdk_stack.third_party.kserve.v2_datamodels import InferenceRequest

    try:
        asked = InferenceRequest.model_validate(given)
    except ValidationError as failure:
        first = failure.errors(include_url=False, include_input=False, include_context=False)[0]
        return _unprocessable(["body", *first["loc"]], str(first["msg"]))
    if not asked.inputs:
        return _unprocessable(["body", "inputs"], "There is no input")
    for number, tensor in enumerate(asked.inputs):
        place = ["body", "inputs", number]
        if any(size < 0 for size in tensor.shape):
            return _unprocessable([*place, "shape"], f"A size is negative: {tensor.shape}")
        wanted, found = math.prod(tensor.shape), _elements(tensor.data)
        if wanted != found or not found:
            why = f"The shape {tensor.shape} has {wanted} elements, the data {found}"
            return _unprocessable([*place, "data"], why if found else "There is no data")
    return None


def _elements(data: list[Any]) -> int:
    """Count the elements of nested lists; 0 when their lengths differ, so that they are no tensor."""
    level: list[Any] = [data]
    while level:
        lengths = {len(each) if isinstance(each, list) else None for each in level}
        if lengths == {None}:
            return len(level)
        if len(lengths) > 1:
            return 0
        level = [inner for each in level for inner in each]
    return 0
