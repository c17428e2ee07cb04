"""The model: a small network that scales its inputs itself."""

from __future__ import annotations

import torch
from torch import nn


class ScaledNet(nn.Module):
    """Two hidden layers over scaled inputs.

    The means and deviations of the training rows are buffers: they are saved and exported with the weights, so a served
    model can't be scaled with those of other data.

    Args:
        inputs: Number of inputs.
        outputs: Number of classes.
        width: Units of a hidden layer.
        dropout: Share of units to drop in training.

    Shapes:
        (n, inputs) -> (n, outputs)
    """

    def __init__(self, inputs: int, outputs: int, width: int = 32, dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))
        self.layers = nn.Sequential(
            nn.Linear(inputs, width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, outputs),
        )

    def fit(self, rows: torch.Tensor) -> None:
        """Take the means and deviations of rows.

        Args:
            rows: Shape (n, inputs).
        """
        self.mean.copy_(rows.mean(dim=0))
        # An input that never changes says nothing; it must not be divided by 0.
        spread = rows.std(dim=0, unbiased=False)
        self.deviation.copy_(torch.where(spread > 1e-6, spread, torch.ones_like(spread)))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layers((rows - self.mean) / self.deviation)
