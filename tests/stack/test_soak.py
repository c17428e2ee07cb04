"""The soak benchmark sees what grows, and calls nothing else growing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.soak import Line, slope, watch
from tests.support.vitals import Vitals


@pytest.mark.parametrize(
    ("values", "rise"),
    [
        ([5, 5, 5, 5, 5], 0),
        ([5, 6, 7, 8, 9], 10),
        ([5, 5, 90, 5, 5], 0),
        ([9, 8, 7, 6, 5], -10),
        ([5], 0),
    ],
    ids=["flat", "grows", "a spike", "shrinks", "one sample"],
)
def test_slopes(values: list[float], rise: float) -> None:
    assert slope([10 * (number + 1) for number in range(len(values))], values) == rise


@pytest.mark.parametrize(
    ("last", "rises", "grows"),
    [
        (Vitals(10, 5, 50), Vitals(0, 0, 0), []),
        (Vitals(11, 5, 50), Vitals(10, 0, 0), []),  # one descriptor in a short run
        (Vitals(17, 5, 50), Vitals(7, 0, 0), ["descriptors"]),
        (Vitals(10, 30, 90), Vitals(0, 25, 40), ["threads", "megabytes"]),
        (Vitals(10, 5, 54), Vitals(0, 0, 2), []),  # the allocator
        (Vitals(1010, 5, 50), Vitals(0.9, 0, 0), []),
    ],
)
def test_what_grows(last: Vitals, rises: Vitals, grows: list[str]) -> None:
    assert Line("trials", "determined", Vitals(10, 5, 50), last, rises).grows == grows


@pytest.mark.parametrize("leaks", [False, True])
def test_a_leak_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, leaks: bool) -> None:
    monkeypatch.setattr(soak, "QUIET_S", 0.0)
    held = []

    def once(number: int) -> None:
        if leaks:
            held.append((tmp_path / str(number)).open("w"))

    (line,) = watch("files", once, 40, {"own": os.getpid()})
    for each in held:
        each.close()
    assert (line.grows, round(line.slope.descriptors)) == ((["descriptors"], 100) if leaks else ([], 0))
    assert ("grows: descriptors" if leaks else "flat") in soak.table([line])
