"""The dog-cat example's trial, with the time of every training report written down: the harness keeps whole seconds.

Goes beside the example's ``model_def.py``; appends seconds since 1970 to the file that ``PDK_TRAINING_TIMES`` names.
"""

from __future__ import annotations

import os
import time
from typing import Any

import model_def
from determined import pytorch


class Times(pytorch.PyTorchCallback):
    """Writes a line whenever a report is due."""

    def on_training_workload_end(self, avg_metrics: dict[str, Any], batch_metrics: list[dict[str, Any]]) -> None:
        with open(os.environ["PDK_TRAINING_TIMES"], "a") as file:
            print(time.time(), file=file)


class Timed(model_def.DogCatModel):
    """The example with ``Times``."""

    def build_callbacks(self) -> dict[str, pytorch.PyTorchCallback]:
        return {**super().build_callbacks(), "times": Times()}
