"""Drawn pictures of three classes that nobody has trained the lab for."""

from __future__ import annotations

import math
import random
from pathlib import Path

from PIL import Image, ImageDraw

CLASSES = ("circle", "square", "triangle")


def draw(shape: str, seed: int) -> Image.Image:
    """One shape of any colour, size and place."""
    chance = random.Random(f"{shape}{seed}")
    image = Image.new("RGB", (72, 72), tuple(chance.randrange(150, 256) for _ in range(3)))
    pen, size = ImageDraw.Draw(image), chance.randrange(22, 30)
    x, y = (chance.randrange(32, 40) for _ in range(2))
    colour = tuple(chance.randrange(0, 110) for _ in range(3))
    if shape == "circle":
        pen.ellipse((x - size, y - size, x + size, y + size), fill=colour)
    else:
        sides = {"square": 4, "triangle": 3}[shape]
        turn = math.pi / 4 if sides == 4 else -math.pi / 2
        angles = [turn + 2 * math.pi * side / sides for side in range(sides)]
        pen.polygon([(x + size * math.cos(angle), y + size * math.sin(angle)) for angle in angles], fill=colour)
    return image


def write_shapes(folder: Path, numbers: range) -> Path:
    for shape in CLASSES:
        (folder / shape).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            draw(shape, number).save(folder / shape / f"{number}.png")
    return folder
