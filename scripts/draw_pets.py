"""Draw cats and dogs: a picture set that is free to share, small, and learnable.

No photo set of pets is free to ship with a lab, so this script draws one. Each picture's name is its seed, so every run
gives the same set. Pets vary in pose, coat, face, size, position, light, background, noise, blur, and objects in front
of them. Cats have pointed ears, whiskers, and a small nose; dogs have hanging ears, a snout, a big nose, and often a
tongue.

    python scripts/draw_pets.py            # regenerates sample-data/
    python scripts/draw_pets.py --sheet contact.png
"""

from __future__ import annotations

import argparse
import io
import json
import random
import zipfile
from collections.abc import Sequence
from pathlib import Path

from drawing.pictures import draw_pet
from PIL import Image

from pdk_nb.photos import to_request

SAMPLE_DATA = Path(__file__).resolve().parent.parent / "sample-data"
ARRIVALS = {"data1": 400, "data2": 200}
# Pictures for predictions, selected by eye; the first of each kind is in cat.json and dog.json.
PREDICT = {"cat": (1003, 1004, 1012), "dog": (1003, 1004, 1014)}


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
    """Write the data set, the prediction pictures, and the two requests of the setup guide."""
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
