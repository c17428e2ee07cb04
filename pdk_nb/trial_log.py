"""Messages from a trial to the train stage, through the trial's log.

A trial runs on another machine, and Determined doesn't store why a trial gave up: the experiment of a trial that raises
``InvalidHP`` ends like any other. The log is the only channel, so both sides use the markers in this module. It needs
only the standard library, because every trial gets it with the experiment's code.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["DATA_LOGGER", "REFUSAL", "TRIAL_LOGGER", "notes", "refusal"]

# The trial writes this marker before the reason why it can't use its data.
REFUSAL = "cannot train:"
# Loggers of the experiment's code whose messages also go to the job's log.
DATA_LOGGER, TRIAL_LOGGER = "pdk.data", "pdk.trial"


def refusal(lines: Iterable[str]) -> str:
    """Why the trial refused its data; empty when it didn't."""
    return next((line.partition(REFUSAL)[2].strip() for line in lines if REFUSAL in line), "")


def notes(lines: Iterable[str]) -> list[str]:
    """The messages of the experiment's own loggers, without their prefix."""
    found = (line for line in lines if DATA_LOGGER in line or TRIAL_LOGGER in line)
    return [line.rpartition("pdk.")[2].partition(": ")[2] for line in found]
