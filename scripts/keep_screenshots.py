"""Copy the documentation's screenshots from the last ``make browser-test``, cropped, scaled, and compressed.

Usage: python scripts/keep_screenshots.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SOURCE, TARGET = ROOT / "runs" / "browser", ROOT / "docs" / "images"
WIDTH = 848
MAX_BYTES = 200_000
# Name in the documentation, name of the screenshot, and the part of it that is kept (left, top, right, bottom).
PICTURES: tuple[tuple[str, str, tuple[int, int, int, int] | None], ...] = (
    ("panel", "panel-upload", None),
    ("panel-dark", "panel-dark", None),
    ("panel-compare", "panel-compare", None),
    ("notebook-03", "03-watch-the-experiment", (300, 94, 1235, 1604)),
    ("console-pipelines", "console-atlas-light-1280", (0, 0, 1280, 640)),
    ("console-usage", "console-usage-light", (0, 0, 1280, 920)),
    ("console-in-jupyterlab", "console-in-jupyterlab", (0, 0, 1280, 800)),
)


def keep(name: str, screenshot: str, part: tuple[int, int, int, int] | None) -> int:
    """Write one picture and return its size in bytes."""
    picture = Image.open(SOURCE / f"{screenshot}.png").convert("RGB")
    picture = picture.crop(part) if part else picture
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    target = TARGET / f"{name}.png"
    # The octree keeps the few strong colors of lines and buttons, which other methods replace with grays.
    picture.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(target, optimize=True)
    return target.stat().st_size


def main() -> None:
    for name, screenshot, part in PICTURES:
        size = keep(name, screenshot, part)
        print(f"docs/images/{name}.png: {size // 1000} kB")
        if size > MAX_BYTES:
            raise SystemExit(f"docs/images/{name}.png is larger than {MAX_BYTES // 1000} kB")


if __name__ == "__main__":
    main()
