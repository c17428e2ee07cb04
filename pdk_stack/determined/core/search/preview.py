"""Previews a search by simulating it with random metrics."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from pdk_stack.determined.core.search.searcher import Create, Searcher, Stop

__all__ = ["preview"]


def preview(config: dict[str, Any], seed: int = 0) -> list[dict[str, Any]]:
    """Simulate how many trials train for how long.

    Args:
        config: A complete experiment configuration.
        seed: Seed for the random metrics.

    Returns:
        Entries of ``v1TrialSummary``; lengths are in units of the searcher's time metric, or "to the end".
    """
    searcher_config = config["searcher"]
    searcher, source = Searcher(config), random.Random(seed)
    waiting = [action.request_id for action in searcher.initial() if isinstance(action, Create)]
    lengths: Counter[int | None] = Counter()
    while waiting:
        trial = waiting.pop(0)
        stopped_at, actions = _run(searcher, searcher_config, trial, source)
        lengths[stopped_at] += 1
        actions += searcher.exited(trial)
        waiting += [action.request_id for action in actions if isinstance(action, Create)]
    summary = []
    for length, count in sorted(lengths.items(), key=lambda entry: (entry[0] is None, entry[0] or 0)):
        unit: dict[str, Any] = {"maxLength": length is None}
        if length is not None:
            unit |= {"name": searcher_config["time_metric"], "value": length}
        summary.append({"count": count, "unit": unit})
    return summary


def _run(searcher: Searcher, config: dict[str, Any], trial: str, source: random.Random) -> tuple[int | None, list[Any]]:
    """Simulate one trial; return the time at which the search stopped it, and the search's other actions."""
    actions: list[Any] = []
    if config["name"] not in ("adaptive_asha", "async_halving"):
        return None, actions
    for time in _times(config):
        answer = searcher.validated(trial, {config["metric"]: source.random(), config["time_metric"]: time})
        actions += answer
        if any(isinstance(action, Stop) for action in answer):
            return time, actions
    return int(config["max_time"]), actions


def _times(config: dict[str, Any]) -> list[int]:
    """Return all times at which any bracket decides."""
    most, divisor = int(config["max_time"]), float(config["divisor"])
    rungs = int(config.get("num_rungs") or config.get("max_rungs") or 5)
    rungs = max([rungs, *(config.get("bracket_rungs") or [])])
    return sorted({max(int(most / divisor**power), 1) for power in range(rungs)})
