"""Pictures of a wanted size in bytes."""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def noise_bmp(target: Path, megabytes: int) -> Path:
    """Write an uncompressed picture of about so many MiB."""
    width = 2048
    height = (megabytes << 20) // (width * 3)
    Image.effect_mandelbrot((width, height), (-2.0, -1.2, 1.0, 1.2), 20).convert("RGB").save(target, "BMP")
    return target
