"""Cats and dogs: their looks, heads and poses."""

from __future__ import annotations

import random
from collections.abc import Callable

from drawing.colors import COATS, EYES_CAT, EYES_DOG, INK, PINK, Color, mix
from drawing.pen import Pen


class Pet:
    """One animal's looks.

    Args:
        kind: ``cat`` or ``dog``.
        rng: Source of all choices.
        rare: Whether it is of a rarer breed: a cat with folded ears, or a dog with pointed ones.
    """

    def __init__(self, kind: str, rng: random.Random, rare: bool = False) -> None:
        self.kind, self.rng, self.rare = kind, rng, rare
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
        for side in () if self.rare else (-1, 1):
            tip = (side * (spread + 0.26), -0.62 - tall)
            pen.shape([(side * 0.16, -0.78), tip, (side * 0.99, -0.2)], ear, 0.05, smooth=False)
            inner = [(side * 0.36, -0.8), (side * (spread + 0.22), -0.42 - tall), (side * 0.82, -0.44)]
            pen.shape(inner, mix(PINK, ear, 0.25), 0, smooth=False)
        face = [
            (0, -0.9), (0.62, -0.72), (0.98, -0.1), (1.12, 0.34), (0.74, 0.66), (0, 0.84),
            (-0.74, 0.66), (-1.12, 0.34), (-0.98, -0.1), (-0.62, -0.72),
        ]  # fmt: skip
        pen.shape(face, self.coat, 0.05)
        for side in (-1, 1) if self.rare else ():
            flap = [(side * 0.22, -0.98), (side * 0.62, -0.98), (side * 0.96, -0.36), (side * 0.58, -0.58)]
            pen.shape(flap, mix(self.dark, self.coat, 0.4), 0.05)
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
        for side in (-1, 1) if self.rare else ():
            pen.shape([(side * 0.12, -0.8), (side * 0.62, -1.62), (side * 0.84, -0.3)], ear, 0.05, smooth=False)
            inner = [(side * 0.34, -0.84), (side * 0.58, -1.36), (side * 0.7, -0.5)]
            pen.shape(inner, mix(PINK, ear, 0.4), 0, smooth=False)
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
        for side in () if self.rare else (-1, 1):
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
        """The whole animal from the side, with its face to the viewer."""
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
        """The whole animal lying down, with its face to the viewer."""
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
