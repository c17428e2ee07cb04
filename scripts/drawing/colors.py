"""Colors of coats and eyes, and how to mix them."""

from __future__ import annotations

Color = tuple[int, int, int]

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
    """The color between two, ``share`` of the way from ``a`` to ``b``."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]
