"""The dog-cat example's trial, with the time of every batch and training report written down.

The harness keeps whole seconds. Goes beside the example's ``model_def.py``; appends seconds since 1970 to the files
that ``PDK_TRAINING_TIMES`` and ``PDK_BATCH_TIMES`` name, where they are set.
"""

from __future__ import annotations

import os
import time
from typing import Any

import model_def
import torch
from determined import pytorch


def note(variable: str) -> None:
    """Write the time down in the file that a variable names."""
    if name := os.environ.get(variable):
        with open(name, "a") as file:
            print(time.time(), file=file)


class Times(pytorch.PyTorchCallback):
    """Writes a line whenever a report is due."""

    def on_training_workload_end(self, avg_metrics: dict[str, Any], batch_metrics: list[dict[str, Any]]) -> None:
        note("PDK_TRAINING_TIMES")


class Timed(model_def.DogCatModel):
    """The example with its times."""

    def build_callbacks(self) -> dict[str, pytorch.PyTorchCallback]:
        return {**super().build_callbacks(), "times": Times()}

    def train_batch(self, batch: pytorch.TorchData, epoch_idx: int, batch_idx: int) -> dict[str, torch.Tensor]:
        result: dict[str, torch.Tensor] = super().train_batch(batch, epoch_idx, batch_idx)
        note("PDK_BATCH_TIMES")
        return result
