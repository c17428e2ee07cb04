"""What the lab makes of odd pictures: used, refused, or a fault, with the time and memory of each.

    python -m benchmarks.pictures [FOLDER ...] [--size 224] [--all] [--json result.json]

Decodes each file below the folders with the function that training and serving use, and applies the transform of
validation. Good sets are ``Tests/images`` of Pillow and PngSuite. Without a folder, it generates odd pictures. Each
file gets a process of its own, so a crash is counted and the memory is that file's. The target: nothing but "used" and
"refused".
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pdk_nb.photos import files_in
from pdk_shared import pictures
from pdk_shared.errors import DataError
from tests.support.odd_pictures import odd_pictures

EXPERIMENT = Path(__file__).resolve().parents[1] / "examples" / "dog-cat" / "experiment"
TIMEOUT_S = 60.0
# ru_maxrss is in KiB on Linux, and in bytes on macOS.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def inputs(folders: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each picture."""
    if not folders:
        yield from ((each.name, each.data) for each in odd_pictures())
    for folder in folders:
        for path, problem in files_in(folder):
            if not problem:
                yield path.relative_to(folder).as_posix(), path.read_bytes()


def attempt(data: bytes, size: int, answer: Connection) -> None:
    """Decode and transform one picture, in a process of its own."""
    import preprocess

    # What the decoders print would disturb the table.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    try:
        preprocess.eval_transform(size)(pictures.decode(data))
        outcome, reason = "used", ""
    except DataError as error:
        outcome, reason = "refused", error.what
    except BaseException as error:
        outcome, reason = "raised", f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - started
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    answer.send({"outcome": outcome, "reason": reason, "seconds": seconds, "mb": grown * RSS_UNIT / 1e6})


def measure(name: str, data: bytes, size: int) -> dict[str, Any]:
    """The outcome, reason, seconds, and additional memory in MB for one picture."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=attempt, args=(data, size, theirs))
    process.start()
    theirs.close()
    row: dict[str, Any] = {"outcome": "raised", "reason": "", "seconds": TIMEOUT_S, "mb": 0.0}
    try:
        row["reason"] = f"no answer within {TIMEOUT_S:.0f} s"
        if ours.poll(TIMEOUT_S):
            row = ours.recv()
    except EOFError:
        process.join()
        row["reason"] = f"the process ended with {process.exitcode}"
    if process.is_alive() and row["outcome"] == "raised":
        process.kill()
    process.join()
    return {"name": name, **row}


def main() -> int:
    """Run the benchmark; 1 when a picture raised anything but DataError, or its process died."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--size", type=int, default=224, help="side of the model's input in pixels")
    parser.add_argument("--all", action="store_true", help="print every file, also of folders")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, str(EXPERIMENT))
    import preprocess  # here, so that no process has to load torch

    assert preprocess
    pictures.decode(odd_pictures()[0].data)
    rows = [measure(name, data, options.size) for name, data in inputs(options.folders)]
    print(f"{'outcome':8}  {'seconds':>8}  {'MB':>6}  file")
    shown = rows if options.all or not options.folders else [row for row in rows if row["outcome"] == "raised"]
    for row in shown:
        print(f"{row['outcome']:8}  {row['seconds']:8.3f}  {row['mb']:6.0f}  {row['name']}  {row['reason'][:100]}")
    counts = Counter(row["outcome"] for row in rows)
    print(f"{len(rows)} pictures: " + ", ".join(f"{counts[each]} {each}" for each in ("used", "refused", "raised")))
    for key, unit in (("seconds", "s"), ("mb", "MB")):
        worst = max(rows, key=lambda row: row[key])
        print(f"most {key}: {worst[key]:.2f} {unit} for {worst['name']}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return int(counts["raised"] > 0)


if __name__ == "__main__":
    raise SystemExit(main())
