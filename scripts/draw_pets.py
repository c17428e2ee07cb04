"""Draw cats and dogs: a picture set that is free to share, small, and learnable.

No photo set of pets is free to ship with a lab, so this script draws one. Every picture is seeded by its name, so a
run always gives the same set. Pets vary in pose, coat, face, size, place, light, background, noise, blur and what
stands in front of them. Cats have pointed ears, whiskers and a small nose; dogs have hanging ears, a snout, a big nose
and often a tongue.

    python scripts/draw_pets.py            # writes sample-data/ anew
    python scripts/draw_pets.py --sheet contact.png
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from pdk_nb.photos import to_request

Point = tuple[float, float]
Color = tuple[int, int, int]

SAMPLE_DATA = Path(__file__).resolve().parent.parent / "sample-data"
ARRIVALS = {"data1": 400, "data2": 200}
# Pictures for predictions, chosen by eye for their charm; the first of each kind is in cat.json and dog.json.
PREDICT = {"cat": (1003, 1004, 1012), "dog": (1003, 1004, 1014)}
SUPERSAMPLING = 3

COATS: list[Color] = [
    (226, 150, 74),  # ginger
    (246, 214, 160),  # cream
    (150, 104, 68),  # brown
    (96, 66, 48),  # chocolate
    (70, 68, 74),  # charcoal
    (150, 152, 160),  # grey
    (240, 236, 228),  # white
    (196, 132, 88),  # fawn
    (120, 128, 146),  # blue-grey
    (208, 176, 130),  # sand
]
EYES_CAT: list[Color] = [(120, 178, 74), (226, 184, 60), (96, 160, 206), (206, 132, 52)]
EYES_DOG: list[Color] = [(70, 42, 26), (98, 60, 30), (46, 34, 30), (110, 150, 180)]
PINK: Color = (236, 150, 156)
INK: Color = (48, 38, 40)


def mix(a: Color, b: Color, share: float) -> Color:
    """The colour between two, ``share`` of the way from ``a`` to ``b``."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]


class Pen:
    """Draws smooth shapes given in pet coordinates onto a layer, through a movable frame.

    Args:
        layer: RGBA image to draw on.
        origin: Where the frame's origin lies, in pixels.
        scale: Pixels per unit.
        angle: Turn of the frame in radians.
        mirror: -1 swaps left and right.
    """

    def __init__(self, layer: Image.Image, origin: Point, scale: float, angle: float = 0.0, mirror: int = 1) -> None:
        self.layer, self.draw = layer, ImageDraw.Draw(layer)
        self.origin, self.scale, self.angle, self.mirror = origin, scale, angle, mirror

    def at(self, x: float, y: float, *, scale: float = 1.0, angle: float = 0.0) -> Pen:
        """A pen whose frame starts at a point of this one's."""
        pen = Pen(self.layer, self.map((x, y)), self.scale * scale, self.angle + angle * self.mirror, self.mirror)
        return pen

    def map(self, point: Point) -> Point:
        x, y = point[0] * self.scale * self.mirror, point[1] * self.scale
        c, s = math.cos(self.angle), math.sin(self.angle)
        return self.origin[0] + x * c - y * s, self.origin[1] + x * s + y * c

    def shape(self, points: Sequence[Point], fill: Color, outline: float = 0.035, smooth: bool = True) -> None:
        """A filled closed shape through the points, with a darker outline of the given width."""
        path = [self.map(p) for p in (_closed_curve(points) if smooth else points)]
        self.draw.polygon(path, fill=(*fill, 255))
        if outline:
            width = max(1, round(outline * self.scale))
            self.draw.line([*path, path[0], path[1]], fill=(*mix(fill, INK, 0.55), 255), width=width, joint="curve")

    def oval(
        self, x: float, y: float, rx: float, ry: float, fill: Color, *, turn: float = 0.0, outline: float = 0.035
    ) -> None:
        """An ellipse, turned by ``turn`` radians."""
        c, s = math.cos(turn), math.sin(turn)
        steps = [2 * math.pi * i / 48 for i in range(48)]
        points = [
            (x + rx * math.cos(a) * c - ry * math.sin(a) * s, y + rx * math.cos(a) * s + ry * math.sin(a) * c)
            for a in steps
        ]
        self.shape(points, fill, outline, smooth=False)

    def line(self, points: Sequence[Point], color: Color, width: float, taper: float = 1.0) -> None:
        """A smooth open line whose width goes from ``width`` to ``width * taper``."""
        path = [self.map(p) for p in _open_curve(points)]
        for i, (x, y) in enumerate(path):
            radius = max(0.5, 0.5 * self.scale * width * (1 + (taper - 1) * i / max(1, len(path) - 1)))
            self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*color, 255))


def _spline(a: Point, b: Point, c: Point, d: Point, steps: int) -> list[Point]:
    """Catmull-Rom curve from b to c."""
    points = []
    for i in range(steps):
        t = i / steps
        weights = (
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        )
        points.append(
            (
                sum(w * p[0] for w, p in zip(weights, (a, b, c, d), strict=True)),
                sum(w * p[1] for w, p in zip(weights, (a, b, c, d), strict=True)),
            )
        )
    return points


def _closed_curve(points: Sequence[Point], steps: int = 8) -> list[Point]:
    n = len(points)
    return [
        p for i in range(n) for p in _spline(points[i - 1], points[i], points[(i + 1) % n], points[(i + 2) % n], steps)
    ]


def _open_curve(points: Sequence[Point], steps: int = 48) -> list[Point]:
    ends = [points[0], *points, points[-1]]
    curve = [p for i in range(len(points) - 1) for p in _spline(*ends[i : i + 4], steps)]
    return [*curve, points[-1]]


class Pet:
    """One animal's looks.

    Args:
        kind: ``cat`` or ``dog``.
        rng: Source of all choices.
    """

    def __init__(self, kind: str, rng: random.Random) -> None:
        self.kind, self.rng = kind, rng
        jitter = [rng.randint(-14, 14) for _ in range(3)]
        base = rng.choice(COATS)
        self.coat: Color = tuple(max(20, min(250, c + j)) for c, j in zip(base, jitter, strict=True))  # type: ignore[assignment]
        bright = sum(self.coat) / 3
        self.dark = mix(self.coat, INK, 0.5 if bright > 110 else 0.45)
        self.light = mix(self.coat, (255, 250, 242), 0.72)
        patterns = (
            ["tabby", "tuxedo", "mask", "patch", "solid"]
            if kind == "cat"
            else ["spots", "blaze", "patch", "mask", "solid"]
        )
        self.pattern = rng.choice(patterns)
        self.eyes = rng.choice(EYES_CAT if kind == "cat" else EYES_DOG)
        self.asleep = rng.random() < 0.1
        self.collar = (
            rng.choice([(204, 60, 60), (60, 110, 190), (70, 150, 96), (222, 178, 60)]) if rng.random() < 0.4 else None
        )
        self.tongue = rng.random() < 0.7
        self.ears = rng.choice(["drop", "drop", "long", "fold"])

    def head(self, pen: Pen) -> None:
        """The head, about one unit in radius."""
        (self._cat_head if self.kind == "cat" else self._dog_head)(pen)

    def _cat_head(self, pen: Pen) -> None:
        rng = self.rng
        spread, tall = rng.uniform(0.5, 0.66), rng.uniform(0.72, 0.95)
        ear = self.dark if self.pattern == "mask" else self.coat
        for side in (-1, 1):
            tip = (side * (spread + 0.26), -0.62 - tall)
            pen.shape([(side * 0.16, -0.78), tip, (side * 0.99, -0.2)], ear, 0.05, smooth=False)
            inner = [(side * 0.36, -0.8), (side * (spread + 0.22), -0.42 - tall), (side * 0.82, -0.44)]
            pen.shape(inner, mix(PINK, ear, 0.25), 0, smooth=False)
        face = [
            (0, -0.9), (0.62, -0.72), (0.98, -0.1), (1.12, 0.34), (0.74, 0.66), (0, 0.84),
            (-0.74, 0.66), (-1.12, 0.34), (-0.98, -0.1), (-0.62, -0.72),
        ]  # fmt: skip
        pen.shape(face, self.coat, 0.05)
        if self.pattern == "mask":
            pen.oval(0, 0.2, 0.62, 0.58, self.dark, outline=0)
        if self.pattern == "patch":
            pen.oval(0.42, -0.3, 0.4, 0.46, self.dark, turn=0.4, outline=0)
        if self.pattern in ("tabby", "solid") and (self.pattern == "tabby" or rng.random() < 0.3):
            for x in (-0.26, 0.0, 0.26):
                pen.line([(x, -0.84), (x * 0.8, -0.52)], self.dark, 0.1, 0.4)
            for side in (-1, 1):
                for y in (0.1, 0.32):
                    pen.line([(side * 0.98, y), (side * 0.7, y + 0.03)], self.dark, 0.09, 0.4)
        if self.pattern == "tuxedo":
            pen.shape([(0, -0.5), (0.26, 0.2), (0.5, 0.6), (0, 0.82), (-0.5, 0.6), (-0.26, 0.2)], (250, 247, 240), 0)
        muzzle = mix(self.light, (255, 255, 255), 0.3)
        for side in (-1, 1):
            pen.oval(side * 0.2, 0.42, 0.27, 0.21, muzzle, outline=0)
        self._eyes(pen, x=0.44, y=-0.1, rx=0.23, ry=0.25, slit=True)
        pen.shape([(-0.13, 0.2), (0.13, 0.2), (0, 0.34)], PINK if self.pattern != "mask" else mix(PINK, INK, 0.5), 0.03)
        for side in (-1, 1):
            pen.line([(0, 0.34), (side * 0.06, 0.5), (side * 0.24, 0.52), (side * 0.32, 0.44)], INK, 0.04)
        whisker = (250, 250, 248) if sum(self.coat) < 420 else (92, 84, 84)
        reach = rng.uniform(1.25, 1.6)
        for side in (-1, 1):
            for i, y in enumerate((0.3, 0.42, 0.54)):
                droop = (i - 1) * 0.2 + rng.uniform(-0.05, 0.05)
                pen.line(
                    [(side * 0.4, y), (side * 0.9, y + droop * 0.5), (side * reach, y + droop * 1.3)],
                    whisker,
                    0.035,
                    0.5,
                )

    def _dog_head(self, pen: Pen) -> None:
        rng = self.rng
        ear = self.dark if self.pattern in ("blaze", "spots", "mask", "patch") else mix(self.coat, INK, 0.2)
        face = [
            (0, -0.92), (0.56, -0.78), (0.8, -0.25), (0.72, 0.3), (0.5, 0.82), (0, 1.02),
            (-0.5, 0.82), (-0.72, 0.3), (-0.8, -0.25), (-0.56, -0.78),
        ]  # fmt: skip
        pen.shape(face, self.coat, 0.05)
        if self.pattern == "blaze":
            pen.shape([(0, -0.9), (0.2, -0.3), (0.36, 0.4), (0, 0.8), (-0.36, 0.4), (-0.2, -0.3)], (250, 246, 238), 0)
        if self.pattern == "patch":
            pen.oval(0.36, -0.22, 0.34, 0.42, self.dark, turn=-0.3, outline=0)
        if self.pattern == "spots":
            for _ in range(rng.randint(4, 7)):
                x, y = rng.uniform(-0.55, 0.55), rng.uniform(-0.75, 0.1)
                pen.oval(x, y, rng.uniform(0.06, 0.14), rng.uniform(0.06, 0.13), self.dark, outline=0)
        snout = self.dark if self.pattern == "mask" else self.light
        if self.tongue:
            swing = rng.uniform(-0.12, 0.12)
            tongue = [(-0.18, 0.86), (0.18, 0.86), (0.2 + swing, 1.22), (swing, 1.36), (-0.2 + swing, 1.22)]
            pen.shape(tongue, (232, 108, 122), 0.035)
            pen.line([(0, 0.9), (swing * 0.9, 1.22)], (190, 74, 92), 0.04)
        pen.shape(
            [(0, 0.08), (0.4, 0.22), (0.56, 0.6), (0.36, 0.92), (0, 1.0), (-0.36, 0.92), (-0.56, 0.6), (-0.4, 0.22)],
            snout,
            0.03,
        )
        mouth = INK if self.pattern != "mask" else mix(INK, (255, 255, 255), 0.2)
        pen.line([(0, 0.48), (0, 0.72)], mouth, 0.05)
        for side in (-1, 1):
            pen.line([(0, 0.72), (side * 0.18, 0.83), (side * 0.4, 0.7)], mouth, 0.05)
        self._eyes(pen, x=0.34, y=-0.18, rx=0.15, ry=0.17, slit=False)
        pen.oval(0, 0.34, 0.25, 0.18, (38, 32, 36), outline=0)
        pen.oval(-0.07, 0.28, 0.07, 0.04, (150, 146, 152), outline=0)
        for side in (-1, 1):
            if self.ears == "fold":
                flap = [
                    (side * 0.3, -0.86),
                    (side * 0.72, -0.98),
                    (side * 1.0, -0.62),
                    (side * 0.96, -0.2),
                    (side * 0.68, -0.4),
                ]
            elif self.ears == "long":
                flap = [
                    (side * 0.46, -0.84), (side * 0.86, -0.7), (side * 1.12, 0.1), (side * 1.08, 0.8),
                    (side * 0.84, 0.94), (side * 0.72, 0.3), (side * 0.66, -0.3),
                ]  # fmt: skip
            else:
                flap = [
                    (side * 0.44, -0.86), (side * 0.9, -0.72), (side * 1.2, -0.05), (side * 1.1, 0.44),
                    (side * 0.86, 0.46), (side * 0.72, -0.1), (side * 0.62, -0.45),
                ]  # fmt: skip
            pen.shape(flap, ear, 0.05)

    def _eyes(self, pen: Pen, *, x: float, y: float, rx: float, ry: float, slit: bool) -> None:
        look = self.rng.uniform(-0.3, 0.3) * rx
        pupil = self.rng.uniform(0.25, 0.7)
        for side in (-1, 1):
            cx = side * x
            if self.asleep:
                pen.line([(cx - rx, y), (cx, y + ry * 0.5), (cx + rx, y)], INK, 0.06)
                continue
            if slit:
                pen.oval(cx, y, rx, ry, self.eyes, turn=side * -0.3, outline=0.045)
                pen.oval(cx + look, y, rx * pupil, ry * 0.86, (24, 22, 26), outline=0)
            else:
                pen.oval(cx, y, rx * 1.2, ry * 1.15, (250, 246, 240), outline=0.03)
                pen.oval(cx + look, y + 0.01, rx, ry, self.eyes, outline=0)
                pen.oval(cx + look, y + 0.01, rx * 0.62, ry * 0.62, (22, 18, 20), outline=0)
                pen.line([(cx - rx, y - 0.36), (cx, y - 0.42), (cx + rx, y - 0.36)], self.dark, 0.07)
            pen.oval(cx + look - rx * 0.3, y - ry * 0.36, rx * 0.22, ry * 0.22, (255, 255, 255), outline=0)

    def _tail(self, pen: Pen, x: float, y: float, side: int) -> None:
        edge = mix(self.coat, INK, 0.55)
        up = self.rng.uniform(0.7, 1.3)
        if self.kind == "cat":
            path = [
                (x, y),
                (x + side * 0.75, y + 0.05),
                (x + side * 1.0, y - 0.6 * up),
                (x + side * 0.6, y - 1.15 * up),
            ]
            widths = (0.3, 0.24, 0.7)
        else:
            path = [(x, y), (x + side * 0.5, y - 0.2), (x + side * 0.78, y - 0.75 * up)]
            widths = (0.36, 0.3, 0.35)
        pen.line(path, edge, widths[0], widths[2])
        pen.line(path, self.coat, widths[1], widths[2])
        if self.kind == "cat" and self.pattern in ("tabby", "mask"):
            pen.line(path[-2:], self.dark, widths[1] * 0.75, 0.9)

    def _band(self, pen: Pen, y: float, half: float) -> None:
        if self.collar:
            pen.line([(-half, y), (0, y + 0.14), (half, y)], self.collar, 0.18)
            pen.oval(0, y + 0.3, 0.12, 0.12, (240, 204, 84))

    def _coat_marks(self, pen: Pen, xs: tuple[float, float], ys: tuple[float, float]) -> None:
        rng = self.rng
        if self.pattern == "spots":
            for _ in range(rng.randint(4, 8)):
                pen.oval(
                    rng.uniform(*xs),
                    rng.uniform(*ys),
                    rng.uniform(0.08, 0.18),
                    rng.uniform(0.07, 0.16),
                    self.dark,
                    outline=0,
                )
        elif self.pattern == "tabby":
            for i in range(4):
                x = xs[0] + (xs[1] - xs[0]) * (i + 0.5) / 4
                pen.line([(x, ys[0]), (x + 0.06, (ys[0] + ys[1]) / 2)], self.dark, 0.12, 0.4)
        elif self.pattern == "patch":
            pen.oval(rng.uniform(*xs), rng.uniform(*ys), 0.36, 0.3, self.dark, turn=rng.uniform(-1, 1), outline=0)

    def portrait(self, pen: Pen) -> None:
        """Head and shoulders, from the front."""
        body = [(-0.75, 0.7), (0.75, 0.7), (1.25, 1.7), (1.35, 2.9), (-1.35, 2.9), (-1.25, 1.7)]
        pen.shape(body, self.coat, 0.05)
        pen.oval(0, 1.7, 0.55, 0.75, self.light, outline=0)
        self._band(pen, 1.0, 0.72)
        self.head(pen.at(0, 0, angle=self.rng.uniform(-0.22, 0.22)))

    def sitting(self, pen: Pen) -> None:
        """The whole animal, sitting, from the front."""
        side = self.rng.choice((-1, 1))
        self._tail(pen, side * 0.7, 2.55, side)
        for s in (-1, 1):
            pen.oval(s * 0.78, 2.35, 0.48, 0.62, self.coat, turn=s * 0.2)
            pen.oval(s * 0.95, 2.86, 0.36, 0.19, self.light)
        body = [(0, 0.5), (0.62, 0.9), (0.86, 1.7), (0.84, 2.5), (0, 2.86), (-0.84, 2.5), (-0.86, 1.7), (-0.62, 0.9)]
        pen.shape(body, self.coat, 0.05)
        self._coat_marks(pen, (-0.6, 0.6), (1.2, 2.2))
        pen.oval(0, 1.45, 0.42, 0.62, self.light, outline=0)
        for s in (-1, 1):
            leg = [(s * 0.1, 1.75), (s * 0.46, 1.7), (s * 0.48, 2.6), (s * 0.46, 2.9), (s * 0.1, 2.9), (s * 0.08, 2.4)]
            pen.shape(leg, self.coat)
            pen.oval(s * 0.29, 2.88, 0.29, 0.17, self.light)
            for x in (-0.08, 0.08):
                pen.line([(s * 0.29 + x, 2.86), (s * 0.29 + x, 2.98)], self.dark, 0.035)
        self._band(pen, 0.92, 0.58)
        self.head(pen.at(0, 0, angle=self.rng.uniform(-0.2, 0.2)))

    def standing(self, pen: Pen) -> None:
        """The whole animal from its side, its face turned to us."""
        self._tail(pen, 2.75, 1.15, 1)
        for x in (0.75, 2.35):
            pen.shape([(x, 1.6), (x + 0.4, 1.6), (x + 0.36, 2.75), (x + 0.02, 2.75)], self.dark)
        for x in (0.3, 2.05):
            pen.shape(
                [(x, 1.5), (x + 0.5, 1.5), (x + 0.44, 2.2), (x + 0.4, 2.85), (x + 0.04, 2.85), (x, 2.2)], self.coat
            )
            pen.oval(x + 0.16, 2.86, 0.3, 0.15, self.light)
        body = [(0.1, 0.75), (1.2, 0.72), (2.4, 0.72), (2.86, 1.2), (2.7, 1.9), (1.5, 1.96), (0.4, 1.95), (-0.05, 1.4)]
        pen.shape(body, self.coat, 0.05)
        for x in (0.36, 2.11):
            # The upper legs run into the body: cover the outline between them.
            pen.shape([(x, 1.6), (x + 0.38, 1.6), (x + 0.38, 2.1), (x, 2.1)], self.coat, 0)
        self._coat_marks(pen, (0.9, 2.5), (0.9, 1.6))
        pen.oval(1.42, 1.8, 0.55, 0.12, self.light, outline=0)
        self.head(pen.at(0, 0.25, scale=0.95, angle=self.rng.uniform(-0.25, 0.15)))

    def lying(self, pen: Pen) -> None:
        """The whole animal lying, its face turned to us."""
        self._tail(pen, 2.7, 1.45, 1)
        body = [(0.0, 0.7), (1.1, 0.45), (2.2, 0.5), (2.85, 1.05), (2.7, 1.68), (1.4, 1.78), (0.2, 1.7)]
        pen.shape(body, self.coat, 0.05)
        self._coat_marks(pen, (0.9, 2.3), (0.65, 1.3))
        pen.oval(2.2, 1.35, 0.55, 0.45, self.coat, turn=0.2)
        for x, length in ((-0.45, 0.95), (0.2, 0.8)):
            pen.line([(x + length, 1.6), (x, 1.68)], mix(self.coat, INK, 0.55), 0.4)
            pen.line([(x + length, 1.6), (x, 1.68)], self.coat, 0.33)
            pen.oval(x - 0.05, 1.68, 0.23, 0.18, self.light)
        self.head(pen.at(0.05, 0.35, scale=0.95, angle=self.rng.uniform(-0.3, 0.3)))


# Pose -> method, and the box (left, top, right, bottom) that the animal fills, in head radii.
POSES: dict[str, tuple[Callable[[Pet, Pen], None], tuple[float, float, float, float]]] = {
    "portrait": (Pet.portrait, (-1.5, -1.6, 1.5, 2.2)),
    "sitting": (Pet.sitting, (-1.5, -1.6, 1.5, 3.0)),
    "standing": (Pet.standing, (-1.3, -1.4, 3.7, 3.0)),
    "lying": (Pet.lying, (-1.3, -1.3, 3.7, 2.0)),
}


def _gradient(size: int, top: Color, bottom: Color) -> Image.Image:
    rows = np.linspace(0.0, 1.0, size)[:, None, None]
    values = np.array(top) * (1 - rows) + np.array(bottom) * rows
    return Image.fromarray(np.broadcast_to(values, (size, size, 3)).astype(np.uint8).copy(), "RGB")


def _any_color(rng: random.Random, low: int = 60, high: int = 235) -> Color:
    return rng.randint(low, high), rng.randint(low, high), rng.randint(low, high)


def background(size: int, scene: str, rng: random.Random) -> Image.Image:
    """A place to stand in.

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
    """Put something small before the animal: blades of grass, a ball, leaves, or a fence post at the edge."""
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


def draw_pet(kind: str, seed: str, side: int, scenes: Sequence[str]) -> Image.Image:
    """One picture.

    Args:
        kind: ``cat`` or ``dog``.
        seed: Any text; the same text gives the same picture.
        side: Width and height in pixels.
        scenes: Backgrounds to choose from.
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
    method(Pet(kind, rng), pen)
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
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8), "RGB")


SCENES = {
    "data1": ("studio", "meadow", "room", "bokeh", "tiles"),
    "data2": ("studio", "meadow", "room", "bokeh", "beach", "snow", "night"),
    "pred": ("meadow", "room", "bokeh", "beach"),
}


def jpeg(image: Image.Image, quality: int = 76) -> bytes:
    """The picture as a small JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def pictures(arrival: str, count: int) -> dict[str, bytes]:
    """One arrival: ``<arrival>/cat.<n>.jpg`` and ``<arrival>/dog.<n>.jpg`` in equal numbers; names never repeat."""
    first = 1 + sum(n // 2 for name, n in ARRIVALS.items() if name < arrival)
    files = {}
    for number in range(first, first + count // 2):
        for kind in ("cat", "dog"):
            name = f"{arrival}/{kind}.{number}.jpg"
            side = random.Random(f"side {name}").randint(112, 144)
            files[name] = jpeg(draw_pet(kind, name, side, SCENES[arrival]))
    return files


def write_sample_data(folder: Path) -> None:
    """Write the data set, the pictures to predict, and the two requests of the setup guide."""
    (folder / "pred").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "dataset-dog-cat.zip", "w", zipfile.ZIP_STORED) as archive:
        for arrival, count in ARRIVALS.items():
            for name, data in pictures(arrival, count).items():
                # A fixed date: drawing again gives the same archive, byte by byte.
                archive.writestr(zipfile.ZipInfo(name, date_time=(2024, 1, 1, 0, 0, 0)), data)
    for kind, numbers in PREDICT.items():
        for number in numbers:
            picture = jpeg(draw_pet(kind, f"pred/{kind}.{number}", 288, SCENES["pred"]), quality=82)
            (folder / "pred" / f"{kind}.{number}.jpg").write_bytes(picture)
        request = to_request([folder / "pred" / f"{kind}.{numbers[0]}.jpg"])
        (folder / f"{kind}.json").write_text(json.dumps(request) + "\n", encoding="utf-8")


def contact_sheet(path: Path, rows: int = 8, columns: int = 10, side: int = 128) -> None:
    """A sheet to look at: cats in even rows, dogs in odd ones."""
    sheet = Image.new("RGB", (columns * side, rows * side))
    for row in range(rows):
        for column in range(columns):
            kind = ("cat", "dog")[row % 2]
            picture = draw_pet(kind, f"sheet/{kind}.{row * columns + column}", side, SCENES["data2"])
            sheet.paste(picture, (column * side, row * side))
    sheet.save(path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Draw the sample pets.")
    parser.add_argument("--out", type=Path, default=SAMPLE_DATA, help="folder to write (default: %(default)s)")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet to this file, and nothing else")
    options = parser.parse_args(arguments)
    if options.sheet:
        contact_sheet(options.sheet)
    else:
        write_sample_data(options.out)


if __name__ == "__main__":
    main()
