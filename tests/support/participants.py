"""Many people walk through the lab at the same time on one embedded stack."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.support.command_line import pdk_nb

__all__ = ["Walk", "names", "on_two_cores", "walk_together"]


@dataclass(frozen=True)
class Walk:
    """One person's run of all notebooks.

    Attributes:
        person: The participant.
        seconds: Duration.
        error: The end of what went wrong; empty when it passed.
    """

    person: str
    seconds: float
    error: str = ""


def names(count: int) -> list[str]:
    """Participants ``p1``, ``p2`` and so on."""
    return [f"p{number}" for number in range(1, count + 1)]


@contextlib.contextmanager
def on_two_cores() -> Iterator[None]:
    """Give this process, and what it starts, two cores; where the system has no such setting, all of them."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:2])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def walk_together(people: Sequence[str], folder: Path, timeout: float) -> list[Walk]:
    """Start a stack, run all notebooks for each participant at once, from the project to the clean-up, and stop it.

    Args:
        people: The participants.
        folder: An empty folder for the stack's state and the results; all runs share the folder of results.
        timeout: Seconds for the slowest.
    """
    state = folder / "state"
    started = pdk_nb("up", "--json", "--state-dir", str(state))
    assert started.returncode == 0, started.stderr
    cluster = ("--kubeconfig", json.loads(started.stdout)["kubeconfig"])

    def walk(person: str) -> Walk:
        begun = time.monotonic()
        flags = ("--participant", person, "--small", "--clean-up", "--out", str(folder / "runs"))
        done = pdk_nb("run", *cluster, *flags, timeout=timeout)
        error = "" if done.returncode == 0 else (done.stderr + done.stdout)[-2000:]
        return Walk(person, time.monotonic() - begun, error)

    try:
        with ThreadPoolExecutor(len(people)) as pool:
            return list(pool.map(walk, people))
    finally:
        pdk_nb("down", "--state-dir", str(state))
