"""TorchServe handler of the churn model.

It runs inside the model server, so it has few dependencies: torch, TorchServe's base class, and two modules that are
packed with it, ``pdk_shared.prediction_requests`` and the experiment's ``preprocess.py``. Requests in KServe's v1
protocol::

    {"instances": [{"data": {"tenure": 3, "charge": 90.5, "contract": "monthly", ...}}, ...]}

get one prediction per instance: the class index (``{"predictions": [1]}``), or, with ``"detail": true``,
``{"index": 1, "label": "leaves", "scores": {...}, "effects": {...}, "model": ..., "version": ...}``.
``effects`` says for each column by how much its value raised the probability of the chosen class, compared with the
average row of the training. An instance that can't be read gets ``{"error": ...}`` in its place, and the others are
answered all the same. With the v2 protocol each input is one row as JSON text (``datatype`` BYTES), and details are
asked for with ``"parameters": {"detail": true}``.

A request of the wrong shape is refused as a whole, as KServe's server does: 400 in v1, and 422 in v2.
"""

from __future__ import annotations

import importlib
import json
import os
from typing import Any

import torch
from ts.torch_handler.base_handler import BaseHandler

from pdk_shared.prediction_requests import check_rows, description, in_form_of, wants_detail

MODEL_FILE = "pdk-model.json"
# TorchScript specializes on its first two calls; make them before a user does.
WARM_UP_CALLS = 2


class ChurnHandler(BaseHandler):  # type: ignore[misc]
    """Answers every row of a request; the module's docstring describes both forms of an answer."""

    def initialize(self, context: Any) -> None:
        """Load the model, the class names, and the columns."""
        super().initialize(context)
        folder = context.system_properties["model_dir"]
        with open(os.path.join(folder, MODEL_FILE), encoding="utf-8") as stream:
            self.known = json.load(stream)
        self.columns = list(self.known["columns"])
        self.preprocess = importlib.import_module("preprocess")
        self.places = self.preprocess.places(self.columns)
        with torch.inference_mode():
            for _ in range(WARM_UP_CALLS):
                self.model(self.model.mean.unsqueeze(0))

    def handle(self, data: Any, context: Any) -> list[Any]:
        """One answer per row, in their order.

        Args:
            data: Rows of the request: dicts with ``data`` or ``body``.
            context: TorchServe's context.
        """
        rows = check_rows(data, context, "row")
        answers: list[Any] = [None] * len(rows)
        encoded: list[list[float]] = []
        places: list[int] = []
        for place, row in enumerate(rows):
            try:
                encoded.append(self.preprocess.encode(_values(row), self.columns))
                places.append(place)
            except ValueError as error:
                answers[place] = in_form_of(row, {"error": str(error)})
        if encoded:
            inputs = torch.tensor(encoded, dtype=torch.float32, device=self.device)
            scores = self._scores(inputs)
            for position, place in enumerate(places):
                answers[place] = self._answer(rows[place], inputs[position], scores[position])
        return answers

    def _scores(self, inputs: torch.Tensor) -> torch.Tensor:
        """Probabilities of the classes, on the CPU. Shapes: (n, inputs) -> (n, classes)."""
        with torch.inference_mode():
            return torch.softmax(self.model(inputs).double(), dim=1).cpu()

    def _answer(self, row: Any, inputs: torch.Tensor, scores: torch.Tensor) -> Any:
        index = int(scores.argmax())
        if not wants_detail(row):
            return index
        detail = description(self.known, index, scores.tolist())
        detail["effects"] = self._effects(inputs, index, float(scores[index]))
        return in_form_of(row, detail)

    def _effects(self, inputs: torch.Tensor, index: int, score: float) -> dict[str, float]:
        """For each column: the score of a class, less its score with the training's average in this column's place."""
        changed = inputs.repeat(len(self.places), 1)
        for number, (start, end) in enumerate(self.places.values()):
            changed[number, start:end] = self.model.mean[start:end]
        without = self._scores(changed)[:, index]
        return {name: round(score - float(each), 6) for name, each in zip(self.places, without, strict=True)}


def _values(row: Any) -> dict[str, Any]:
    """Value by column of one row of a request; ValueError says what is wrong with it."""
    value = row.get("data") or row.get("body") if isinstance(row, dict) else row
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, (str, bytes, bytearray)):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f"'data' is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("the instance has no row: give an object with a value for each column in 'data'")
    return value
