"""How a picture becomes the model's input: one function for validation, serving, and notebooks.

This file needs only PIL, NumPy, torch, and ``pdk_shared.pictures``. All are in the checkpoint's ``code/`` folder and in
the model archive, next to the handler: validation and serving use the same code, byte for byte.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageOps

from pdk_shared.pictures import upright_rgb

Transform = Callable[[Image.Image], torch.Tensor]

MEAN, STD = 0.5, 0.5


def to_tensor(image: Image.Image) -> torch.Tensor:
    """RGB picture -> float32 tensor (3, height, width), values from -1 to 1."""
    values = np.asarray(image, dtype=np.float32) / 255.0
    return torch.from_numpy((values - MEAN) / STD).permute(2, 0, 1).contiguous()


class EvalTransform:
    """The center square, resized to ``size`` pixels, normalized. Has no randomness."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Image.Image) -> torch.Tensor:
        image = upright_rgb(image)
        side = min(image.size)
        left, top = (image.width - side) / 2, (image.height - side) / 2
        # Resizing the square only: a long, thin picture would need gigabytes as a whole.
        box = (left, top, left + side, top + side)
        return to_tensor(image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box))


def eval_transform(size: int) -> Transform:
    """The transform for validation and serving.

    Args:
        size: Side of the model's input in pixels.

    Returns:
        Callable from a PIL picture of any mode and size to a float32 tensor (3, size, size).
    """
    return EvalTransform(size)


class TrainTransform:
    """A random crop, with random mirroring, rotation, and lighting. For training only."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Image.Image) -> torch.Tensor:
        image = upright_rgb(image)
        if random.random() < 0.3:
            image = image.rotate(random.uniform(-15, 15), Image.Resampling.BILINEAR, fillcolor=(128, 128, 128))
        side = min(image.size) * random.uniform(0.75, 1.0)
        stretch = random.uniform(0.9, 1.1)
        width, height = min(image.width, side * stretch), min(image.height, side / stretch)
        left, top = random.uniform(0, image.width - width), random.uniform(0, image.height - height)
        box = (left, top, left + width, top + height)
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        tensor = to_tensor(image)
        grey = tensor.mean(dim=0, keepdim=True)
        tensor = grey + (tensor - grey) * random.uniform(0.6, 1.3)
        return tensor * random.uniform(0.75, 1.25) + random.uniform(-0.25, 0.25)


def train_transform(size: int) -> Transform:
    """The transform for training: random crops, mirroring, rotation, and lighting.

    Args:
        size: Side of the model's input in pixels.
    """
    return TrainTransform(size)
