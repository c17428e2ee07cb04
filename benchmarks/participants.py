"""How long one, four, or eight people take who walk through the lab at the same time on one embedded stack.

    python -m benchmarks.participants [--people 1 4 8] [--json result.json]

For each number, a new stack starts on two cores, and as many ``pdk-nb run --small --participant pN`` start in the same
second: all notebooks, from the project to the clean-up. Eight model servers of 250m fill two cores, so the roll-outs of
notebook 06 take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from tests.support.participants import names, on_two_cores, walk_together

TIMEOUT_S = 3600.0


def main() -> int:
    """Measure and print a table; return 1 if a run failed."""
    parser = argparse.ArgumentParser(description="Walk through the lab with many people at once.")
    parser.add_argument("--people", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results = []
    print("people   slowest    median   fastest   failed", flush=True)
    for count in options.people:
        with tempfile.TemporaryDirectory(prefix="pdk-people-") as folder, on_two_cores():
            walks = walk_together(names(count), Path(folder), TIMEOUT_S)
        seconds = [each.seconds for each in walks]
        failed = [each for each in walks if each.error]
        times = (max(seconds), statistics.median(seconds), min(seconds))
        print(f"{count:6}" + "".join(f"{each:8.0f} s" for each in times) + f"{len(failed):9}", flush=True)
        for each in failed:
            print(f"{each.person}: {each.error}", file=sys.stderr)
        results.append({"people": count, "seconds": seconds, "failed": [each.person for each in failed]})
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    return int(any(each["failed"] for each in results))


if __name__ == "__main__":
    sys.exit(main())
