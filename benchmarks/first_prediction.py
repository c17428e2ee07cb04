"""How long the lab takes to the first prediction and for the whole walkthrough, against the work without a platform.

    python -m benchmarks.first_prediction [--rounds 3] [--json result.json]

Each round runs ``benchmarks.floor`` and then the lab: a new embedded stack, and ``pdk-nb run --clean-up`` on it, which
runs the notebooks 00 to 06 and 99 headless. The figures are medians; the ratios compare with the floor of the same run.
The targets: 1.6 times the floor to the first prediction, 4.5 times for the whole walkthrough.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.support.command_line import ROOT, pdk_nb

FIRST, WHOLE = 1.6, 4.5
BAR = 40


def floor() -> dict[str, Any]:
    """One run without a platform."""
    with tempfile.TemporaryDirectory(prefix="pdk-floor-") as folder:
        command = [sys.executable, "-m", "benchmarks.floor", folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def lab() -> dict[str, Any]:
    """One run of the lab: the summary of ``pdk-nb run``."""
    with tempfile.TemporaryDirectory(prefix="pdk-first-") as folder:
        state, out = Path(folder) / "state", Path(folder) / "runs"
        done = pdk_nb("up", "--json", "--state-dir", str(state))
        assert done.returncode == 0, done.stderr
        try:
            kubeconfig = json.loads(done.stdout)["kubeconfig"]
            done = pdk_nb("run", "--kubeconfig", kubeconfig, "--clean-up", "--out", str(out))
            assert done.returncode == 0, done.stdout + done.stderr
            return dict(json.loads(next(out.glob("2*/summary.json")).read_text()))
        finally:
            pdk_nb("down", "--state-dir", str(state))


def bars(title: str, steps: dict[str, list[float]]) -> None:
    """A bar for each step, of its median."""
    print(f"\n{title}")
    longest = max(statistics.median(each) for each in steps.values())
    for name, seconds in steps.items():
        median = statistics.median(seconds)
        print(f"  {name:28} {median:7.1f} s  {'█' * round(BAR * median / longest)}")


def main() -> int:
    """Measure and print; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(description="Measure the time to the first prediction.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    floors, labs = [], []
    for number in range(options.rounds):
        floors.append(floor())
        labs.append(lab())
        print(
            f"round {number + 1}: floor {floors[-1]['seconds']:.1f} s, first prediction "
            f"{labs[-1]['seconds_to_first_prediction']:.1f} s, walkthrough {labs[-1]['seconds']:.1f} s",
            flush=True,
        )
    base = statistics.median(each["seconds"] for each in floors)
    first = statistics.median(each["seconds_to_first_prediction"] for each in labs)
    whole = statistics.median(each["seconds"] for each in labs)
    bars("The floor", {name: [each["steps"][name] for each in floors] for name in floors[0]["steps"]})
    names = [each["name"] for each in labs[0]["notebooks"]]
    bars("The lab", {name: [run["notebooks"][i]["seconds"] for run in labs] for i, name in enumerate(names)})
    print()
    for name, seconds, target in (("first prediction", first, FIRST), ("whole walkthrough", whole, WHOLE)):
        print(f"{name:20} {seconds:7.1f} s, {seconds / base:.2f} times the floor ({base:.1f} s); target {target}")
    if options.json:
        options.json.write_text(json.dumps({"floor": floors, "lab": labs}, indent=1) + "\n")
    return int(first > FIRST * base or whole > WHOLE * base)


if __name__ == "__main__":
    sys.exit(main())
