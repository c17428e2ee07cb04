"""What happens to a finished picture: darkness, falling snow, or chalk."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

Look = Callable[[Image.Image, random.Random, np.random.Generator], Image.Image]


def _at_night(image: Image.Image, rng: random.Random, noise: np.random.Generator) -> Image.Image:
    """Dark, nearly without color, and with the grain of a sensor that has too little light."""
    values = np.asarray(image).astype(np.float32)
    grey = values.mean(axis=2, keepdims=True)
    dark = (0.35 * values + 0.65 * grey) * np.array([0.75, 0.85, 1.25]) * rng.uniform(0.2, 0.34)
    shape = values.shape[:2]
    dark += noise.normal(0, rng.uniform(3, 7), (*shape, 1)) + noise.normal(0, 2.5, (*shape, 3))
    return Image.fromarray(np.clip(dark, 0, 255).astype(np.uint8), "RGB")


def _in_snow(image: Image.Image, rng: random.Random, noise: np.random.Generator) -> Image.Image:
    """Pale, behind falling flakes."""
    side = image.width
    pale = Image.blend(image, Image.new("RGB", image.size, (236, 240, 246)), rng.uniform(0.45, 0.62))
    draw = ImageDraw.Draw(pale)
    for _ in range(rng.randint(140, 260)):
        x, y, r = rng.uniform(0, side), rng.uniform(0, side), rng.choice((0.6, 1, 1.5, 2.2)) * side / 128
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(252, 253, 255))
    return pale


def _in_chalk(image: Image.Image, rng: random.Random, noise: np.random.Generator) -> Image.Image:
    """Lines of chalk on a board, where the picture is darker than around."""
    unit = image.width / 128
    fine = ImageOps.grayscale(image).filter(ImageFilter.GaussianBlur(0.6 * unit))
    around = fine.filter(ImageFilter.GaussianBlur(rng.uniform(2.0, 3.2) * unit))
    ratio = (np.asarray(fine).astype(np.float32) + 6) / (np.asarray(around).astype(np.float32) + 6)
    strength = np.clip((255 - np.clip(255 * ratio, 0, 255)) * rng.uniform(1.6, 2.6), 0, 235)[..., None] / 255
    board = np.array([rng.uniform(20, 45), rng.uniform(30, 60), rng.uniform(30, 55)])
    values = board + strength * (np.array([250, 248, 238]) - board) + noise.normal(0, 4, strength.shape)
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8), "RGB")


LOOKS: dict[str, Look] = {"night": _at_night, "snow": _in_snow, "chalk": _in_chalk}
