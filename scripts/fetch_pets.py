"""Download real photos in the lab's layout: the Oxford-IIIT Pet data set, through torchvision.

    python scripts/fetch_pets.py --out real-pets --data1 600 --data2 300

It downloads about 800 MB once (into ``--cache``), then writes ``real-pets/data1/cat.1.jpg``, ``dog.1.jpg``, ... and
``real-pets/data2/...``. The data set is made available for download under CC BY-SA 4.0
(https://www.robots.ox.ac.uk/~vgg/data/pets/); follow this license if you share pictures.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image


def write_layout(
    dataset: Any, out: Path, arrivals: dict[str, int], *, max_side: int = 512, seed: int = 7
) -> dict[str, int]:
    """Write pictures in equal numbers of cats and dogs.

    Args:
        dataset: Sequence of (image, 0 for cat or 1 for dog), as torchvision's OxfordIIITPet with binary targets.
        out: Folder to write.
        arrivals: Folder name -> number of pictures.
        max_side: Longest side in pixels; larger pictures are shrunk.
        seed: Seed for the selection of pictures.

    Returns:
        Folder name -> number of pictures written; fewer than asked for where the data set ends.
    """
    order = list(range(len(dataset)))
    random.Random(seed).shuffle(order)
    written = dict.fromkeys(arrivals, 0)
    wanted = {(folder, kind): count // 2 for folder, count in arrivals.items() for kind in (0, 1)}
    numbers = {0: 0, 1: 0}
    for index in order:
        if not any(wanted.values()):
            break
        image, kind = dataset[index]
        folder = next((f for f in arrivals if wanted[f, kind]), None)
        if folder is None:
            continue
        wanted[folder, kind] -= 1
        numbers[kind] += 1
        path = out / folder / f"{('cat', 'dog')[kind]}.{numbers[kind]}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = image.convert("RGB")
        image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
        image.save(path, quality=88)
        written[folder] += 1
    return written


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Download Oxford-IIIT Pet photos in the lab's layout.")
    parser.add_argument("--out", type=Path, default=Path("real-pets"), help="folder to write (default: %(default)s)")
    parser.add_argument(
        "--cache", type=Path, default=Path.home() / ".cache" / "pdk-lab", help="folder for the download"
    )
    parser.add_argument("--data1", type=int, default=600, help="pictures of the first arrival (default: %(default)s)")
    parser.add_argument("--data2", type=int, default=300, help="pictures of the second arrival (default: %(default)s)")
    options = parser.parse_args(arguments)
    from torchvision.datasets import OxfordIIITPet

    dataset = OxfordIIITPet(str(options.cache), split="trainval", target_types="binary-category", download=True)
    written = write_layout(dataset, options.out, {"data1": options.data1, "data2": options.data2})
    print(f"{options.out}: " + ", ".join(f"{folder} {count} pictures" for folder, count in written.items()))


if __name__ == "__main__":
    main()
