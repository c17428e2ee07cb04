"""Requests and answers of a TorchServe handler behind KServe's protocols, whatever the model reads.

Handlers import this module inside the model server; it is packed with them into the archive. Beside the standard
library, it needs only TorchServe, and that only for a request that is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

__all__ = ["check_rows", "description", "in_form_of", "wants_detail"]

BAD_REQUEST, UNPROCESSABLE = 400, 422
# The fields of a v2 input (kserve.protocol.rest.v2_datamodels.RequestInput).
V2_FIELDS = {"name": str, "datatype": str, "shape": list}


def check_rows(data: Any, context: Any, what: str) -> list[Any]:
    """The rows of a request.

    Args:
        data: What TorchServe's envelope took from the request's ``instances`` (v1) or ``inputs`` (v2).
        context: TorchServe's context.
        what: What a row is, for people: ``picture``.

    Raises:
        PredictionException: The request has another shape; with the code of KServe's server: 400 in v1, 422 in v2.
    """
    # TorchServe's v2 envelope names the inputs; no other one does.
    is_v2 = getattr(context, "input_names", None) is not None
    field, code = ("inputs", UNPROCESSABLE) if is_v2 else ("instances", BAD_REQUEST)
    if not isinstance(data, list):
        _refuse(f'Expected "{field}" to be a list', code)
    if not data:
        _refuse(f'"{field}" is empty: give at least one {what}', code)
    if _has_nan(data):
        _refuse("Unrecognized request format: JSON has no NaN and no Infinity", BAD_REQUEST)
    for place, row in enumerate(data if is_v2 else []):
        if problem := _v2_problem(row):
            _refuse(f"inputs.{place}{problem}", UNPROCESSABLE)
    return list(data)


def wants_detail(row: Any) -> bool:
    """Whether a row asks for more than the class index: ``"detail": true`` in v1, in ``parameters`` in v2."""
    options = row if isinstance(row, dict) else {}
    parameters = options.get("parameters")
    return options.get("detail") is True or (isinstance(parameters, dict) and parameters.get("detail") is True)


def description(known: Mapping[str, Any], index: int, scores: Sequence[float]) -> dict[str, Any]:
    """A detailed answer: the class, the probabilities of all, and the version that gave it.

    Args:
        known: The archive's ``pdk-model.json``: ``classes``, ``model``, ``version``, ``number``.
        index: Index of the class.
        scores: Probability of each class, in the order of ``classes``.
    """
    return {
        "index": index,
        "label": known["classes"][index],
        "scores": {label: round(float(score), 6) for label, score in zip(known["classes"], scores, strict=True)},
        "model": known["model"],
        "version": known["version"],
        "number": known.get("number"),
    }


def in_form_of(row: Any, answer: dict[str, Any]) -> Any:
    """An answer as the protocol of its row has it: an object in v1; JSON text in v2, whose tensors hold no objects."""
    return json.dumps(answer) if isinstance(row, dict) and "datatype" in row else answer


def _refuse(problem: str, code: int) -> NoReturn:
    from ts.utils.util import PredictionException

    raise PredictionException(problem, code)


def _has_nan(value: Any) -> bool:
    """Whether a NaN or Infinity is anywhere in a JSON value."""
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, float) and not math.isfinite(each):
            return True
        if isinstance(each, (list, dict)):
            pending.extend(each.values() if isinstance(each, dict) else each)
    return False


def _v2_problem(row: Any) -> str:
    """What is wrong with a v2 input: its field, and the problem; empty when nothing is."""
    if not isinstance(row, dict):
        return ": Input should be an object"
    for field, kind in V2_FIELDS.items():
        if not isinstance(row.get(field), kind):
            return f".{field}: Input should be a valid {'string' if kind is str else 'list'}"
    if not all(isinstance(side, int) and not isinstance(side, bool) and side >= 0 for side in row["shape"]):
        return ".shape: Input should be a list of valid integers"
    if row.get("parameters") is not None and not isinstance(row["parameters"], dict):
        return ".parameters: Input should be a valid dictionary"
    return ""
