"""The models: a small network for training from scratch on a CPU, and a pretrained ResNet-50 for GPUs."""

from __future__ import annotations

import torch
from torch import nn


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )


class SmallNet(nn.Module):
    """Four convolutions with batch normalization: learns a few hundred pictures in seconds on two cores.

    Args:
        classes: Number of outputs.
        width: Channels of the first layer.
        dropout: Share of features to drop in training.

    Shapes:
        (n, 3, size, size) -> (n, classes); size is a multiple of 16, at least 32.
    """

    def __init__(self, classes: int, width: int = 24, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            _block(width, 2 * width),
            _block(2 * width, 4 * width),
            _block(4 * width, 4 * width),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8 * width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x)
        pooled = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
        return self.head(self.dropout(pooled))


def build(name: str, classes: int, *, pretrained: bool = False, width: int = 24, dropout: float = 0.2) -> nn.Module:
    """Build a model by name.

    Args:
        name: ``small`` or ``resnet50``.
        classes: Number of outputs.
        pretrained: Start from ImageNet weights (``resnet50`` only; needs the internet once).
        width: Channels of the small net's first layer.
        dropout: Dropout of the small net.

    Raises:
        ValueError: There is no such model.
        RuntimeError: The pretrained weights cannot be downloaded.
    """
    if name == "small":
        return SmallNet(classes, width, dropout)
    if name == "resnet50":
        # Imported here: it takes two seconds, which trials of the small network save.
        from torchvision.models import ResNet50_Weights, resnet50

        try:
            model = resnet50(weights=ResNet50_Weights.DEFAULT if pretrained else None)
        except OSError as error:
            raise RuntimeError(
                f"the pretrained weights of {name} cannot be downloaded ({error}); "
                "set hyperparameters.pretrained to false, or train where the internet is reached"
            ) from error
        model.fc = nn.Linear(model.fc.in_features, classes)
        return model
    raise ValueError(f"there is no model {name!r}; choose small or resnet50")
