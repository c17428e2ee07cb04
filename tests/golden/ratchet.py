"""The numbers that must not grow: the calls of each class but ``same``, by platform and group, in ``ratchet.json``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.golden.asking import Counts

FILE = Path(__file__).with_name("ratchet.json")
# A call that moves from one of these to a better one lets the better one grow; so they count together, worst first.
ORDER = ("accepted", "refused", "code", "absent", "words")
# Calls that answer by chance: lists in an order that nobody defines (words), and in some groups all classes, because
# they race with a job, a trial, or a controller.
SLACK = 2
RACING = {"determined": {"cli", "cluster", "life", "reading"}, "pachyderm": {"jobs"}, "kubernetes": {"kubectl"}}


def read() -> dict[str, Counts]:
    """Return the numbers by platform."""
    found: dict[str, Counts] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found


def write(name: str, counts: Counts) -> None:
    """Replace the numbers of a platform's groups."""
    numbers = read()
    kept = numbers.get(name, {})
    kept |= {group: {each: of[each] for each in ORDER} for group, of in counts.items() if group != "all"}
    FILE.write_text(json.dumps({**numbers, name: kept}, indent=1, sort_keys=True) + "\n")


def grown(name: str, counts: Counts) -> list[str]:
    """Return a sentence for each group with a class that holds more calls than it may.

    Args:
        name: The platform.
        counts: What :func:`tests.golden.asking.counts` returned.
    """
    found = []
    for group, limits in read().get(name, {}).items():
        here = there = 0
        for each in ORDER:
            here, there = here + counts.get(group, {}).get(each, 0), there + limits[each]
            if here > there + (SLACK if each == "words" or group in RACING.get(name, ()) else 0):
                found.append(f"{name}/{group}: {here} calls are {each} or worse; {there} were")
                break
    return found
