"""TorchServe handler of the dogs-and-cats model.

It runs inside the model server, so it has few dependencies: torch, Pillow, TorchServe's base class, and the
experiment's ``preprocess.py``, which is packed with it. Requests in KServe's v1 protocol::

    {"instances": [{"data": "<base64 of a picture>"}, ...]}

get one prediction per instance: the class index (``{"predictions": [1]}``), or, for an instance with
``"detail": true``, ``{"index": 1, "label": "cat", "scores": {...}, "model": ..., "version": ...}``. An instance that
cannot be read gets ``{"error": ...}`` in its place, and the others are answered all the same. With the v2 protocol
each input is one picture (``datatype`` BYTES), and details are asked for with ``"parameters": {"detail": true}``.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import io
import json
import os
from typing import Any

import torch
from PIL import Image
from ts.torch_handler.base_handler import BaseHandler

MODEL_FILE = "pdk-model.json"
# TorchScript specializes on its first two calls; make them before a user does.
WARM_UP_CALLS = 2
# A small file can claim billions of pixels.
MAX_PIXELS = 100_000_000


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
        rows = list(data or [])
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
        """A picture through the transform of validation, which turns it upright and makes it RGB."""
        try:
            with Image.open(io.BytesIO(content)) as opened:
                width, height = opened.size
                if width * height > MAX_PIXELS:
                    raise ValueError(f"it has too many pixels: {width} x {height}")
                opened.load()
                return self.transform(opened)
        except Exception as error:  # Pillow raises a dozen kinds of errors for broken files
            reason = "it is in no known format" if "cannot identify" in str(error) else error
            raise ValueError(f"the picture cannot be read: {reason}") from error

    def _listed(self, value: list[Any]) -> torch.Tensor:
        """Numbers that the transform has been applied to already: channels, rows, columns."""
        try:
            tensor = torch.tensor(value, dtype=torch.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"'data' is not an array of numbers: {error}") from error
        wanted = (3, self.size, self.size)
        if tuple(tensor.shape) != wanted:
            raise ValueError(f"'data' has the shape {tuple(tensor.shape)}, the model takes {wanted}")
        return tensor

    def _answer(self, row: Any, scores: torch.Tensor) -> Any:
        index = int(scores.argmax())
        options = row if isinstance(row, dict) else {}
        parameters = options.get("parameters") or {}
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
