"""What a trial tells the train stage through its log.

A trial runs on another machine, and Determined keeps no text of why it gave up: the experiment of a trial that raises
``InvalidHP`` ends like any other. The log is the only channel, so both sides take its marks from here. This module
needs the standard library only; it travels with the experiment's code into every trial.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["DATA_LOGGER", "REFUSAL", "TRIAL_LOGGER", "notes", "refusal"]

# The trial writes it in front of the reason why it cannot use its data.
REFUSAL = "cannot train:"
# Loggers of the experiment's code whose lines belong into the job's log, too.
DATA_LOGGER, TRIAL_LOGGER = "pdk.data", "pdk.trial"


def refusal(lines: Iterable[str]) -> str:
    """Why the trial refused its data; empty when it did not."""
    return next((line.partition(REFUSAL)[2].strip() for line in lines if REFUSAL in line), "")


def notes(lines: Iterable[str]) -> list[str]:
    """The messages of the experiment's own loggers, without what stands in front of them."""
    found = (line for line in lines if DATA_LOGGER in line or TRIAL_LOGGER in line)
    return [line.rpartition("pdk.")[2].partition(": ")[2] for line in found]
