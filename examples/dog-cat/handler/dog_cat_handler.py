"""TorchServe handler of the dogs-and-cats model.

It runs inside the model server, so it has few dependencies: torch, Pillow, TorchServe's base class, and two modules
that are packed with it, ``pdk_shared.pictures`` and the experiment's ``preprocess.py``. Requests in KServe's v1
protocol::

    {"instances": [{"data": "<base64 of a picture>"}, ...]}

get one prediction per instance: the class index (``{"predictions": [1]}``), or, for an instance with
``"detail": true``, ``{"index": 1, "label": "cat", "scores": {...}, "model": ..., "version": ...}``. An instance that
cannot be read gets ``{"error": ...}`` in its place, and the others are answered all the same. With the v2 protocol
each input is one picture (``datatype`` BYTES), and details are asked for with ``"parameters": {"detail": true}``.

A request of the wrong shape is refused as a whole, as KServe's server does: 400 in v1, and 422 in v2.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import json
import math
import os
from typing import Any

import torch
from ts.torch_handler.base_handler import BaseHandler
from ts.utils.util import PredictionException

from pdk_shared import pictures
from pdk_shared.errors import DataError

MODEL_FILE = "pdk-model.json"
# TorchScript specializes on its first two calls; make them before a user does.
WARM_UP_CALLS = 2
# Rows that the model gets at once. A request of many tiny pictures must not fill the memory with tensors.
BATCH_ROWS = 32
BAD_REQUEST, UNPROCESSABLE = 400, 422
# The fields of a v2 input (kserve.protocol.rest.v2_datamodels.RequestInput).
V2_FIELDS = {"name": str, "datatype": str, "shape": list}


class DogCatHandler(BaseHandler):  # type: ignore[misc]
    """Answers every row of a request; the module's docstring describes both forms of an answer."""

    def initialize(self, context: Any) -> None:
        """Load the model, the class names and the transform that validation used."""
        super().initialize(context)
        folder = context.system_properties["model_dir"]
        with open(os.path.join(folder, MODEL_FILE), encoding="utf-8") as stream:
            self.known = json.load(stream)
        self.classes = list(self.known["classes"])
        self.size = int(self.known["image_size"])
        self.transform = importlib.import_module("preprocess").eval_transform(self.size)
        blank = torch.zeros(1, 3, self.size, self.size, device=self.device)
        with torch.inference_mode():
            for _ in range(WARM_UP_CALLS):
                self.model(blank)

    def handle(self, data: Any, context: Any) -> list[Any]:
        """One answer per row, in their order.

        Args:
            data: Rows of the request: dicts with ``data`` or ``body``.
            context: TorchServe's context.
        """
        rows = _checked(data, is_v2=getattr(context, "input_names", None) is not None)
        answers: list[Any] = []
        for start in range(0, len(rows), BATCH_ROWS):
            answers += self._batch(rows[start : start + BATCH_ROWS])
        return answers

    def _batch(self, rows: list[Any]) -> list[Any]:
        """One answer per row; a row that can't be read doesn't change the answers of the others."""
        tensors: list[torch.Tensor] = []
        answers: list[Any] = []
        places: list[int] = []
        for place, row in enumerate(rows):
            answers.append(None)
            try:
                tensors.append(self._tensor(row))
                places.append(place)
            except ValueError as error:
                answers[place] = self._encode(row, {"error": str(error)})
        if tensors:
            with torch.inference_mode():
                scores = torch.softmax(self.model(torch.stack(tensors).to(self.device)).float(), dim=1).cpu()
            for position, place in enumerate(places):
                answers[place] = self._answer(rows[place], scores[position])
        return answers

    def _tensor(self, row: Any) -> torch.Tensor:
        """The model's input for one row; ValueError says what is wrong with it."""
        value = row.get("data") or row.get("body") if isinstance(row, dict) else row
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
            value = value[0]
        if isinstance(value, str):
            try:
                value = base64.b64decode("".join(value.split()), validate=True)
            except (binascii.Error, ValueError) as error:
                raise ValueError(f"'data' is not base64: {error}") from error
        if isinstance(value, (bytes, bytearray)):
            return self._picture(bytes(value))
        if isinstance(value, list) and value:
            return self._listed(value)
        raise ValueError("the instance has no picture: give its bytes as base64 in 'data'")

    def _picture(self, content: bytes) -> torch.Tensor:
        """A picture, decoded as in training, through the transform of validation."""
        try:
            return self.transform(pictures.decode(content))
        except DataError as error:
            raise ValueError(f"'data' cannot be read: {error.what}") from error

    def _listed(self, value: list[Any]) -> torch.Tensor:
        """Numbers that the transform has been applied to already: channels, rows, columns."""
        try:
            tensor = torch.tensor(value, dtype=torch.float32)
        except Exception as error:  # torch raises TypeError, ValueError, RuntimeError, and OverflowError
            raise ValueError(f"'data' is not an array of numbers: {error}") from error
        wanted = (3, self.size, self.size)
        if tuple(tensor.shape) != wanted:
            raise ValueError(f"'data' has the shape {tuple(tensor.shape)}, the model takes {wanted}")
        if not tensor.isfinite().all():
            raise ValueError("'data' has numbers that are not finite")
        return tensor

    def _answer(self, row: Any, scores: torch.Tensor) -> Any:
        index = int(scores.argmax())
        options = row if isinstance(row, dict) else {}
        parameters = options.get("parameters")
        parameters = parameters if isinstance(parameters, dict) else {}
        if not (options.get("detail") is True or parameters.get("detail") is True):
            return index
        detail = {
            "index": index,
            "label": self.classes[index],
            "scores": {label: round(float(scores[place]), 6) for place, label in enumerate(self.classes)},
            "model": self.known["model"],
            "version": self.known["version"],
            "number": self.known.get("number"),
        }
        return self._encode(row, detail)

    @staticmethod
    def _encode(row: Any, answer: dict[str, Any]) -> Any:
        """Objects as they are in v1; as JSON text in v2, whose tensors hold no objects."""
        is_v2 = isinstance(row, dict) and "datatype" in row
        return json.dumps(answer) if is_v2 else answer


def _checked(data: Any, *, is_v2: bool) -> list[Any]:
    """The rows of a request, or PredictionException with the code of KServe's server for a request of another shape.

    Args:
        data: What TorchServe's envelope took from the request's ``instances`` (v1) or ``inputs`` (v2).
        is_v2: Whether the request came in the v2 protocol.
    """
    field, code = ("inputs", UNPROCESSABLE) if is_v2 else ("instances", BAD_REQUEST)
    if not isinstance(data, list):
        raise PredictionException(f'Expected "{field}" to be a list', code)
    if not data:
        raise PredictionException(f'"{field}" is empty: give at least one picture', code)
    if _has_nan(data):
        raise PredictionException("Unrecognized request format: JSON has no NaN and no Infinity", BAD_REQUEST)
    for place, row in enumerate(data if is_v2 else []):
        problem = _v2_problem(row)
        if problem:
            raise PredictionException(f"inputs.{place}{problem}", UNPROCESSABLE)
    return data


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
