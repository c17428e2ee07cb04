"""A pen that draws smooth shapes in an animal's own coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

from drawing.colors import INK, Color, mix

Point = tuple[float, float]


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
