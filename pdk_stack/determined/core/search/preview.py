"""Previews a search: how many trials train for how long.

Source: ``Simulate`` in ``master/pkg/searcher/simulate.go``.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from pdk_stack.determined.core.search.hyperparameters import grid_size
from pdk_stack.determined.core.search.methods import brackets_of, rung_lengths

__all__ = ["preview"]


def preview(config: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return entries of ``v1TrialSummary``; lengths are in units of the searcher's time metric, or "to the end".

    Args:
        config: ``searcher`` and ``hyperparameters``, both complete.

    Returns:
        The entries, or None for a search that the master doesn't preview.
    """
    searcher = config["searcher"]
    counts = {"single": lambda: 1, "random": lambda: searcher["max_trials"]}
    counts["grid"] = lambda: grid_size(config["hyperparameters"])
    if count := counts.get(searcher["name"]):
        return [{"count": count(), "unit": {"maxLength": True}}]
    if searcher["name"] != "adaptive_asha":
        return None
    divisor, stopped = float(searcher["divisor"]), Counter[int]()
    for rungs, trials in brackets_of(searcher):
        lengths = rung_lengths(rungs, divisor, int(searcher["max_time"]))
        for rung, length in enumerate(lengths):
            continued = max(int(trials / divisor), 1)
            stopped[length] += trials if rung == len(lengths) - 1 else trials - continued
            trials = continued
    name = searcher["time_metric"]
    return [
        {"count": count, "unit": {"name": name, "value": length, "maxLength": False}}
        for length, count in sorted(stopped.items())
    ]
