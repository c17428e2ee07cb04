"""One finished picture: place, animal, light, blur and grain."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from drawing.looks import LOOKS
from drawing.pen import Pen
from drawing.pets import POSES, Pet
from drawing.scenes import background, occlude

SUPERSAMPLING = 3


def _light(layer: Image.Image, rng: random.Random, noise: np.random.Generator) -> Image.Image:
    """Round the flat animal: lighter on one side, darker below, with a little fur."""
    size = layer.width
    ys, xs = np.mgrid[0:size, 0:size] / size - 0.5
    shade = -0.30 * ys + rng.uniform(-0.25, 0.25) * xs
    coarse = noise.normal(0, 1, (size // 3 + 1, size // 3 + 1))
    fur = np.asarray(Image.fromarray(coarse.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))
    factor = 1 + shade + 0.05 * fur
    values = np.asarray(layer).astype(np.float32)
    values[..., :3] = np.clip(values[..., :3] * factor[..., None], 0, 255)
    return Image.fromarray(values.astype(np.uint8), "RGBA")


def draw_pet(kind: str, seed: str, side: int, scenes: Sequence[str], look: str = "") -> Image.Image:
    """One picture.

    Args:
        kind: ``cat`` or ``dog``.
        seed: Any text; the same text gives the same picture.
        side: Width and height in pixels.
        scenes: Backgrounds to choose from.
        look: One of :data:`drawing.looks.LOOKS`, or ``breed`` for a rarer breed; empty for a common pet by day.
    """
    rng = random.Random(seed)
    noise = np.random.default_rng(rng.getrandbits(32))
    size = side * SUPERSAMPLING
    scene = rng.choice(list(scenes))
    image = background(size, scene, rng)
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(size * rng.uniform(0.002, 0.012)))
    pose = rng.choices(list(POSES), weights=(4, 4, 2, 2))[0]
    method, (left, top, right, bottom) = POSES[pose]
    fill = rng.uniform(0.74, 1.0)
    scale = fill * size / max(right - left, bottom - top)
    mirror = rng.choice((-1, 1))
    x = size / 2 - mirror * (left + right) / 2 * scale + rng.uniform(-0.06, 0.06) * size
    y = size / 2 - (top + bottom) / 2 * scale + (1 - fill) * rng.uniform(-0.1, 0.5) * size
    if pose == "portrait":
        y = max(y, size - bottom * scale)
    layer = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    pen = Pen(layer, (x, y), scale, rng.uniform(-0.12, 0.12), mirror)
    if pose != "portrait":
        shadow = Image.new("L", (size, size), 0)
        foot = [pen.map((left * 0.7, bottom - 0.15)), pen.map((right * 0.8, bottom + 0.15))]
        xs, ys = sorted(p[0] for p in foot), sorted(p[1] for p in foot)
        ImageDraw.Draw(shadow).ellipse((xs[0], ys[0], xs[1], max(ys[1], ys[0] + size * 0.04)), fill=90)
        image.paste((20, 20, 30), (0, 0), shadow.filter(ImageFilter.GaussianBlur(size * 0.015)))
    method(Pet(kind, rng, look == "breed"), pen)
    layer = _light(layer, rng, noise)
    image.paste(layer, (0, 0), layer)
    if rng.random() < 0.35:
        occlude(image, rng)
    image = image.resize((side, side), Image.Resampling.LANCZOS)
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.95 if scene == "night" else 0.75, 1.18))
    image = ImageEnhance.Color(image).enhance(rng.uniform(0.55, 1.25))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.8, 1.15))
    if rng.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(side / 128 * rng.uniform(0.2, 0.8)))
    grain = noise.normal(0, rng.choice((0, 2, 4, 8)), (side, side, 1)) + noise.normal(0, 1.0, (side, side, 3))
    image = Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8), "RGB")
    return LOOKS[look](image, rng, noise) if look in LOOKS else image
