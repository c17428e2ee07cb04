"""Backgrounds, and objects in front of the animals."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from drawing.colors import INK, Color, mix


def _gradient(size: int, top: Color, bottom: Color) -> Image.Image:
    rows = np.linspace(0.0, 1.0, size)[:, None, None]
    values = np.array(top) * (1 - rows) + np.array(bottom) * rows
    return Image.fromarray(np.broadcast_to(values, (size, size, 3)).astype(np.uint8).copy(), "RGB")


def _any_color(rng: random.Random, low: int = 60, high: int = 235) -> Color:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def background(size: int, scene: str, rng: random.Random) -> Image.Image:
    """A background.

    Args:
        size: Side in pixels.
        scene: ``studio``, ``meadow``, ``room``, ``bokeh``, ``tiles``, ``beach``, ``snow`` or ``night``.
        rng: Source of all choices.
    """
    horizon = rng.uniform(0.5, 0.8) * size
    if scene in ("meadow", "beach", "snow", "night"):
        sky: dict[str, tuple[Color, Color]] = {
            "meadow": ((132, 190, 232), (214, 234, 240)),
            "beach": ((150, 208, 236), (250, 232, 196)),
            "snow": ((176, 192, 210), (226, 232, 240)),
            "night": ((24, 28, 62), (76, 72, 120)),
        }
        ground: dict[str, Color] = {
            "meadow": (104, 160, 72),
            "beach": (228, 204, 152),
            "snow": (240, 244, 250),
            "night": (52, 66, 64),
        }
        image = _gradient(size, *sky[scene])
        draw = ImageDraw.Draw(image)
        if scene == "night":
            for _ in range(40):
                x, y, r = rng.uniform(0, size), rng.uniform(0, horizon), rng.uniform(0.001, 0.005) * size
                draw.ellipse((x - r, y - r, x + r, y + r), fill=(250, 246, 214))
        else:
            for _ in range(rng.randint(0, 3)):
                x, y, r = rng.uniform(0, size), rng.uniform(0, horizon * 0.6), rng.uniform(0.05, 0.12) * size
                for dx in (-0.9, 0, 0.9):
                    draw.ellipse((x + dx * r - r, y - r * 0.5, x + dx * r + r, y + r * 0.5), fill=(248, 250, 252))
        for i in range(rng.randint(1, 3)):
            x, r = rng.uniform(0, size), rng.uniform(0.3, 0.7) * size
            hill = mix(ground[scene], sky[scene][1], 0.5 - 0.15 * i)
            draw.ellipse((x - r, horizon - r * 0.35, x + r, horizon + r), fill=hill)
        draw.rectangle((0, horizon, size, size), fill=ground[scene])
        for _ in range(70):
            x, y = rng.uniform(0, size), rng.uniform(horizon, size)
            tone = mix(ground[scene], rng.choice([(255, 255, 255), (40, 60, 30)]), rng.uniform(0.05, 0.2))
            draw.line(
                (x, y, x + rng.uniform(-0.01, 0.01) * size, y - rng.uniform(0.01, 0.04) * size),
                fill=tone,
                width=max(1, size // 150),
            )
        return image
    first, second = _any_color(rng), _any_color(rng)
    if scene == "room":
        wall = mix(first, (240, 232, 220), 0.55)
        image = Image.new("RGB", (size, size), wall)
        draw = ImageDraw.Draw(image)
        stripe = rng.uniform(0.05, 0.14) * size
        if rng.random() < 0.6:
            for i in range(0, int(size / stripe) + 1, 2):
                draw.rectangle((i * stripe, 0, (i + 1) * stripe, size), fill=mix(wall, (255, 255, 255), 0.2))
        if rng.random() < 0.5:
            x, y, w = rng.uniform(0, 0.7) * size, rng.uniform(0.02, 0.2) * size, rng.uniform(0.2, 0.35) * size
            draw.rectangle(
                (x, y, x + w, y + w * 0.8), fill=_any_color(rng), outline=(110, 84, 60), width=max(2, size // 60)
            )
        draw.rectangle((0, horizon, size, size), fill=mix(second, (150, 108, 74), 0.6))
        draw.rectangle((0, horizon - size * 0.015, size, horizon), fill=(238, 232, 224))
        return image
    if scene == "tiles":
        image = Image.new("RGB", (size, size), mix(first, (255, 255, 255), 0.3))
        draw = ImageDraw.Draw(image)
        step = rng.uniform(0.08, 0.2) * size
        for i in range(int(size / step) + 1):
            for j in range(int(size / step) + 1):
                if (i + j) % 2:
                    draw.rectangle(
                        (i * step, j * step, (i + 1) * step, (j + 1) * step), fill=mix(second, (255, 255, 255), 0.35)
                    )
        return image.rotate(rng.uniform(-20, 20), fillcolor=mix(first, second, 0.5))
    image = _gradient(size, mix(first, (255, 255, 255), 0.3), second)
    if scene == "bokeh":
        layer = Image.new("RGB", (size, size))
        layer.paste(image)
        draw = ImageDraw.Draw(layer)
        for _ in range(rng.randint(8, 20)):
            x, y, r = rng.uniform(0, size), rng.uniform(0, size), rng.uniform(0.03, 0.14) * size
            draw.ellipse((x - r, y - r, x + r, y + r), fill=mix(_any_color(rng), (255, 255, 255), 0.3))
        image = Image.blend(image, layer, 0.6).filter(ImageFilter.GaussianBlur(size * 0.012))
    return image


def occlude(image: Image.Image, rng: random.Random) -> None:
    """Put something small in front of the animal: blades of grass, a ball, leaves, or a fence post at the edge."""
    size = image.width
    draw = ImageDraw.Draw(image)
    kind = rng.choice(["grass", "ball", "leaves", "post"])
    if kind == "grass":
        for _ in range(rng.randint(15, 40)):
            x, tall = rng.uniform(0, size), rng.uniform(0.06, 0.2) * size
            lean = rng.uniform(-0.04, 0.04) * size
            green = (rng.randint(50, 110), rng.randint(120, 180), rng.randint(40, 80))
            draw.polygon([(x - size * 0.008, size), (x + lean, size - tall), (x + size * 0.008, size)], fill=green)
    elif kind == "ball":
        x, y, r = rng.uniform(0.1, 0.9) * size, rng.uniform(0.84, 0.96) * size, rng.uniform(0.06, 0.11) * size
        color = _any_color(rng, 90)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=color, outline=mix(color, INK, 0.5), width=max(1, size // 100))
        draw.arc((x - r, y - r * 0.4, x + r, y + r * 0.4), 0, 180, fill=(250, 250, 250), width=max(1, size // 80))
    elif kind == "leaves":
        for _ in range(rng.randint(3, 7)):
            x, y, r = (
                rng.uniform(0, size),
                rng.choice([rng.uniform(0, 0.12), rng.uniform(0.88, 1.0)]) * size,
                rng.uniform(0.04, 0.1) * size,
            )
            draw.ellipse(
                (x - r, y - r * 0.45, x + r, y + r * 0.45),
                fill=(rng.randint(60, 190), rng.randint(110, 170), rng.randint(30, 70)),
            )
    else:
        x, w = rng.choice([rng.uniform(0, 0.1), rng.uniform(0.82, 0.92)]) * size, rng.uniform(0.06, 0.1) * size
        draw.rectangle((x, 0, x + w, size), fill=(150, 116, 80), outline=(100, 74, 50), width=max(1, size // 100))
