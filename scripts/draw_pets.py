"""Draw cats and dogs: a picture set that is free to share, small, and learnable.

No photo set of pets is free to ship with a lab, so this script draws one. Each picture's name is its seed, so every run
gives the same set. Pets vary in pose, coat, face, size, position, light, background, noise, blur, and objects in front
of them. Cats have pointed ears, whiskers, and a small nose; dogs have hanging ears, a snout, a big nose, and often a
tongue.

The first arrival shows common pets by day. The second one shows what it lacks, and says so in its names: rarer breeds
(cats with folded ears, dogs with pointed ones), nights, snow, and drawings in chalk. A model that knows only the first
arrival is visibly worse at them.

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
ARRIVALS = {"data1": 400, "data2": 280}
# What the pictures of an arrival show in turn; empty for common pets by day.
KINDS = {"data1": ("",), "data2": ("breed", "night", "snow", "chalk")}
# Pictures for predictions, selected by eye; the first of each kind is in cat.json and dog.json.
PREDICT = {"cat": (1003, 1004, 1012), "dog": (1003, 1004, 1014)}

SCENES = {
    "": ("studio", "meadow", "room", "bokeh", "tiles"),
    "breed": ("studio", "meadow", "room", "bokeh", "beach"),
    "night": ("night", "meadow", "room"),
    "snow": ("snow",),
    "chalk": ("studio", "meadow", "room"),
    "pred": ("meadow", "room", "bokeh", "beach"),
}


def jpeg(image: Image.Image, quality: int = 76) -> bytes:
    """The picture as a small JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def pictures(arrival: str) -> dict[str, bytes]:
    """One arrival: ``<arrival>/cat.<n>.jpg`` or ``<arrival>/cat.<kind>.<n>.jpg``, and as many dogs; no number twice."""
    first = 1 + sum(count // 2 for name, count in ARRIVALS.items() if name < arrival)
    kinds = KINDS[arrival]
    files = {}
    for number in range(first, first + ARRIVALS[arrival] // 2):
        for pet in ("cat", "dog"):
            kind = kinds[number % len(kinds)]
            name = f"{arrival}/{pet}.{kind}.{number}.jpg" if kind else f"{arrival}/{pet}.{number}.jpg"
            files[name] = jpeg(draw(name))
    return files


def draw(name: str) -> Image.Image:
    """The picture of a name, such as ``data2/cat.night.201.jpg``."""
    pet, *between, _, _ = name.rpartition("/")[2].split(".")
    kind = between[0] if between else ""
    side = random.Random(f"side {name}").randint(112, 144)
    return draw_pet(pet, name, side, SCENES[kind], kind)


def write_sample_data(folder: Path) -> None:
    """Write the data set, the prediction pictures, and the two requests of the setup guide."""
    (folder / "pred").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "dataset-dog-cat.zip", "w", zipfile.ZIP_STORED) as archive:
        for arrival in ARRIVALS:
            for name, data in pictures(arrival).items():
                # A fixed date: drawing again gives the same archive, byte by byte.
                archive.writestr(zipfile.ZipInfo(name, date_time=(2024, 1, 1, 0, 0, 0)), data)
    for kind, numbers in PREDICT.items():
        for number in numbers:
            picture = jpeg(draw_pet(kind, f"pred/{kind}.{number}", 288, SCENES["pred"]), quality=82)
            (folder / "pred" / f"{kind}.{number}.jpg").write_bytes(picture)
        request = to_request([folder / "pred" / f"{kind}.{numbers[0]}.jpg"])
        (folder / f"{kind}.json").write_text(json.dumps(request) + "\n", encoding="utf-8")


def contact_sheet(path: Path, columns: int = 10, side: int = 128) -> None:
    """A sheet to look at: a row of cats and a row of dogs for each kind."""
    rows = 2 * (len(KINDS["data1"]) + len(KINDS["data2"]))
    sheet = Image.new("RGB", (columns * side, rows * side))
    for row in range(rows):
        kind = [*KINDS["data1"], *KINDS["data2"]][row // 2]
        for column in range(columns):
            pet = ("cat", "dog")[row % 2]
            picture = draw_pet(pet, f"sheet/{pet}.{row * columns + column}", side, SCENES[kind], kind)
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
