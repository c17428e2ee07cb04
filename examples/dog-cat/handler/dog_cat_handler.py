"""TorchServe handler of the dogs-and-cats model.

It runs inside the model server, so it has few dependencies: torch, Pillow, TorchServe's base class, and modules that
are packed with it: two of ``pdk_shared``, and the experiment's ``preprocess.py``. Requests in KServe's v1 protocol::

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
import os
from typing import Any

import torch
from ts.torch_handler.base_handler import BaseHandler

from pdk_shared import pictures
from pdk_shared.errors import DataError
from pdk_shared.prediction_requests import check_rows, description, in_form_of, wants_detail

MODEL_FILE = "pdk-model.json"
# TorchScript specializes on its first two calls; make them before a user does.
WARM_UP_CALLS = 2
# Rows that the model gets at once. A request of many tiny pictures must not fill the memory with tensors.
BATCH_ROWS = 32


class DogCatHandler(BaseHandler):  # type: ignore[misc]
    """Answers every row of a request; the module's docstring describes both forms of an answer."""

    def initialize(self, context: Any) -> None:
        """Load the model, the class names and the transform that validation used."""
        super().initialize(context)
        folder = context.system_properties["model_dir"]
        with open(os.path.join(folder, MODEL_FILE), encoding="utf-8") as stream:
            self.known = json.load(stream)
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
        rows = check_rows(data, context, "picture")
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
                answers[place] = in_form_of(row, {"error": str(error)})
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
        if not wants_detail(row):
            return index
        return in_form_of(row, description(self.known, index, scores.tolist()))
