"""The search methods of release 0.38: single, random, grid, async_halving and adaptive_asha.

Decisions follow ``master/pkg/searcher`` of the master: ASHA in its *stopping* form, driven by the validation
metrics that trials report. A method answers an event with the number of trials to create, or with trials to stop.
"""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from typing import Any, Protocol

from pdk_stack.determined.core.search.hyperparameters import grid, grid_size

__all__ = ["Answer", "Method", "brackets_of", "make_method", "rung_lengths"]

#: Metric of a trial that ended early: worse than any other.
EXITED_METRIC = 1.7976931348623157e308
#: A search is stored as one document, so it can't be of any size.
MOST_TRIALS = 100_000
MOST_RUNGS = 100


@dataclass
class Answer:
    """A method's decision.

    Attributes:
        create: Hyperparameters of each new trial; None means a new sample.
        stop: Whether to stop the trial that the event concerns.
    """

    create: list[dict[str, Any] | None]
    stop: bool = False


class Method(Protocol):
    """A search method; only ``state``, which is JSON, survives a restart."""

    state: dict[str, Any]

    def initial(self) -> Answer:
        """Return the trials to create at the start."""

    def created(self, trial: str, index: int) -> None:
        """Record a created trial; ``index`` is its position in the answer that requested it."""

    def validated(self, trial: str, metrics: dict[str, Any]) -> Answer:
        """Handle the validation metrics of a trial."""

    def exited(self, trial: str) -> Answer:
        """Handle the end of a trial."""

    def exited_early(self, trial: str, invalid: bool) -> Answer:
        """Handle a trial that failed, was canceled, or rejected its hyperparameters (``invalid``)."""

    def progress(self, running: dict[str, float], closed: dict[str, bool]) -> float:
        """Return the progress, 0 to 1."""


def _mean_progress(running: dict[str, float], closed: dict[str, bool]) -> float:
    if not running:
        return 0.0
    return sum(1.0 if closed.get(trial) else done for trial, done in running.items()) / len(running)


class Random:
    """Independent samples; ``single`` takes just one."""

    def __init__(self, max_trials: int, max_concurrent: int, *, single: bool = False) -> None:
        self.max_trials = max_trials
        self.concurrent = min(max_trials, max_concurrent) if max_concurrent > 0 else max_trials
        self.single = single
        self.state: dict[str, Any] = {"created": 0}

    def _more(self, count: int) -> Answer:
        self.state["created"] += count
        return Answer([None] * count)

    def initial(self) -> Answer:
        return self._more(self.concurrent)

    def created(self, trial: str, index: int) -> None:
        pass

    def validated(self, trial: str, metrics: dict[str, Any]) -> Answer:
        return Answer([])

    def exited(self, trial: str) -> Answer:
        return self._more(1 if self.state["created"] < self.max_trials else 0)

    def exited_early(self, trial: str, invalid: bool) -> Answer:
        if invalid and not self.single:
            # A trial that rejects its hyperparameters does not count; its exit creates the replacement.
            self.state["created"] -= 1
        return Answer([])

    def progress(self, running: dict[str, float], closed: dict[str, bool]) -> float:
        return _mean_progress(running, closed)


class Grid:
    """Every grid point once."""

    def __init__(self, space: dict[str, Any], max_concurrent: int) -> None:
        self._space = space
        self._concurrent = max_concurrent
        self.state: dict[str, Any] = {"remaining": []}

    def _more(self, count: int) -> Answer:
        remaining = self.state["remaining"]
        return Answer([remaining.pop() for _ in range(min(count, len(remaining)))])

    def initial(self) -> Answer:
        self.state["remaining"] = grid(self._space)
        return self._more(self._concurrent if self._concurrent > 0 else len(self.state["remaining"]))

    def created(self, trial: str, index: int) -> None:
        pass

    def validated(self, trial: str, metrics: dict[str, Any]) -> Answer:
        return Answer([])

    def exited(self, trial: str) -> Answer:
        return self._more(1)

    def exited_early(self, trial: str, invalid: bool) -> Answer:
        return Answer([])

    def progress(self, running: dict[str, float], closed: dict[str, bool]) -> float:
        return _mean_progress(running, closed)


class AsyncHalving:
    """Stopping-based ASHA: a trial continues past a rung while it is in the best 1/divisor of those that reached it."""

    def __init__(
        self,
        *,
        num_rungs: int,
        divisor: float,
        max_time: int,
        time_metric: str,
        max_trials: int,
        max_concurrent: int,
        metric: str,
        smaller_is_better: bool,
    ) -> None:
        self.divisor = divisor
        self.time_metric = time_metric
        self.max_trials = max_trials
        self.metric = metric
        self.sign = 1.0 if smaller_is_better else -1.0
        if max_concurrent > 0:
            self.concurrent = min(max_concurrent, max_trials)
        else:
            self.concurrent = max(1, min(int(divisor ** (num_rungs - 1)), max_trials))
        needed = rung_lengths(num_rungs, divisor, max_time)
        self.state: dict[str, Any] = {
            "rungs": [{"needed": each, "metrics": []} for each in needed],
            "trials": {},
            "completed": 0,
            "invalid": 0,
        }

    def initial(self) -> Answer:
        return Answer([None] * self.concurrent)

    def created(self, trial: str, index: int) -> None:
        self.state["trials"][trial] = 0

    def _may_create(self) -> bool:
        return bool(len(self.state["trials"]) - self.state["invalid"] < self.max_trials)

    def _insert(self, rung: dict[str, Any], trial: str, value: float) -> int:
        index = bisect.bisect_left([entry[1] for entry in rung["metrics"]], value)
        rung["metrics"].insert(index, [trial, value])
        return index

    def validated(self, trial: str, metrics: dict[str, Any]) -> Answer:
        value, step = metrics.get(self.metric), metrics.get(self.time_metric)
        if not isinstance(value, (int, float)):
            raise ValueError(f"error parsing searcher metric ({self.metric}) from validation metrics: {metrics}")
        if not isinstance(step, (int, float)):
            raise ValueError(
                f"error parsing searcher time metric ({self.time_metric}) in validation metrics: {metrics}"
            )
        if not self._should_stop(trial, step, self.sign * value):
            return Answer([])
        return Answer([None] if self._may_create() else [], stop=True)

    def _should_stop(self, trial: str, step: float, value: float) -> bool:
        rungs = self.state["rungs"]
        # One report can complete several rungs, because the search does not schedule validations.
        for index in range(self.state["trials"].get(trial, 0), len(rungs)):
            rung = rungs[index]
            self.state["trials"][trial] = index
            if step < rung["needed"]:
                return False
            place = self._insert(rung, trial, value)
            if index == len(rungs) - 1 or place >= max(int(len(rung["metrics"]) / self.divisor), 1):
                return True
        return False

    def exited(self, trial: str) -> Answer:
        self.state["completed"] += 1
        return Answer([])

    def exited_early(self, trial: str, invalid: bool) -> Answer:
        highest = self.state["trials"].get(trial, 0)
        if invalid:
            self.state["invalid"] += 1
            for rung in self.state["rungs"][: highest + 1]:
                rung["metrics"] = [entry for entry in rung["metrics"] if entry[0] != trial]
            return Answer([None], stop=True)
        self._insert(self.state["rungs"][highest], trial, EXITED_METRIC)
        return Answer([None] if self._may_create() else [])

    def progress(self, running: dict[str, float], closed: dict[str, bool]) -> float:
        reached = len(self.state["rungs"][0]["metrics"])
        # 20% more than the trials, because the last ones still have to end.
        done = reached / (1.2 * self.max_trials)
        if reached == self.max_trials:
            done = max((self.state["completed"] - self.state["invalid"]) / self.max_trials, done)
        return done


class Tournament:
    """Several concurrent searches: the brackets of adaptive_asha."""

    def __init__(self, parts: list[AsyncHalving]) -> None:
        self._parts = parts
        self._wanted: list[int] = []
        self._own: dict[str, Any] = {"table": {}}

    @property
    def state(self) -> dict[str, Any]:
        return {**self._own, "parts": [part.state for part in self._parts]}

    @state.setter
    def state(self, value: dict[str, Any]) -> None:
        self._own = {"table": value["table"]}
        for part, state in zip(self._parts, value["parts"], strict=True):
            part.state = state

    def _mark(self, part: int, answer: Answer) -> Answer:
        self._wanted += [part] * len(answer.create)
        return answer

    def initial(self) -> Answer:
        answers = [self._mark(index, part.initial()) for index, part in enumerate(self._parts)]
        return Answer([each for answer in answers for each in answer.create])

    def created(self, trial: str, index: int) -> None:
        part = self._wanted.pop(0)
        self._own["table"][trial] = part
        self._parts[part].created(trial, index)

    def validated(self, trial: str, metrics: dict[str, Any]) -> Answer:
        part = self._own["table"][trial]
        return self._mark(part, self._parts[part].validated(trial, metrics))

    def exited(self, trial: str) -> Answer:
        part = self._own["table"][trial]
        return self._mark(part, self._parts[part].exited(trial))

    def exited_early(self, trial: str, invalid: bool) -> Answer:
        part = self._own["table"][trial]
        return self._mark(part, self._parts[part].exited_early(trial, invalid))

    def progress(self, running: dict[str, float], closed: dict[str, bool]) -> float:
        return sum(part.progress({}, {}) for part in self._parts) / len(self._parts)


def bracket_rungs(mode: str, max_rungs: int, max_time: int, max_trials: int, divisor: float) -> list[int]:
    """Return the number of rungs of each adaptive_asha bracket."""
    rungs = min(
        max_rungs,
        int(math.log(max_time) / math.log(divisor)) + 1,
        int(math.log(max_trials) / math.log(divisor)) + 1,
    )
    if mode == "conservative":
        return list(range(1, rungs + 1))
    if mode == "aggressive":
        return [rungs]
    return list(range((rungs - 1) // 2 + 1, rungs + 1))


def bracket_trials(max_trials: int, divisor: float, brackets: list[int]) -> list[int]:
    """Divide the trials among the brackets, so that each does about the same work."""
    weights = [divisor ** (rungs - 1) / rungs for rungs in brackets]
    shares = [max(int(weight / sum(weights) * max_trials), 1) for weight in weights]
    shares[0] += max(max_trials - sum(shares), 0)
    return shares


def bracket_concurrency(max_concurrent: int, divisor: float, trials: list[int]) -> list[int]:
    """Divide the concurrent trials among the brackets."""
    if max_concurrent == 0:
        return [max(trials[-1], int(divisor))] * len(trials)
    each, rest = divmod(max(max_concurrent, len(trials)), len(trials))
    return [each + (1 if index < rest else 0) for index in range(len(trials))]


def brackets_of(searcher: dict[str, Any]) -> list[tuple[int, int]]:
    """Return the brackets of adaptive_asha: the number of rungs and of trials of each."""
    divisor, most = float(searcher["divisor"]), searcher["max_trials"]
    rungs = searcher["bracket_rungs"] or bracket_rungs(
        searcher["mode"], searcher["max_rungs"], int(searcher["max_time"]), most, divisor
    )
    ordered = sorted(rungs, reverse=True)
    return list(zip(ordered, bracket_trials(most, divisor, ordered), strict=True))


def rung_lengths(rungs: int, divisor: float, max_time: int) -> list[int]:
    """Return the time at which each rung of a bracket decides."""
    return [max(int(max_time / divisor ** (rungs - rung - 1)), 1) for rung in range(rungs)]


def make_method(searcher: dict[str, Any], space: dict[str, Any]) -> Method:
    """Create the method that a complete ``searcher`` section names.

    Args:
        searcher: The section with defaults.
        space: The hyperparameter space.

    Raises:
        ValueError: The section is complete, but no search is possible with it.
    """
    name = searcher["name"]
    if name in ("adaptive_asha", "async_halving") and searcher["max_time"] < 1:
        raise ValueError(f"max_time must be at least 1, not {searcher['max_time']}")
    rungs = [*(searcher.get("bracket_rungs") or ()), searcher.get("num_rungs") or 1]
    if not all(1 <= each <= MOST_RUNGS for each in rungs):
        raise ValueError(f"a search has 1 to {MOST_RUNGS} rungs, not {max(rungs, key=abs)}")
    size = grid_size(space) if name == "grid" else searcher.get("max_trials") or 1
    if size > MOST_TRIALS:
        raise ValueError(f"this master searches with up to {MOST_TRIALS} trials, not {size}")
    if name == "single":
        return Random(1, 1, single=True)
    if name == "random":
        return Random(searcher["max_trials"], searcher["max_concurrent_trials"])
    if name == "grid":
        return Grid(space, searcher["max_concurrent_trials"])
    common: dict[str, Any] = {
        "divisor": float(searcher["divisor"]),
        "max_time": int(searcher["max_time"]),
        "time_metric": searcher["time_metric"],
        "metric": searcher["metric"],
        "smaller_is_better": searcher["smaller_is_better"],
    }
    if name == "async_halving":
        return AsyncHalving(
            num_rungs=searcher["num_rungs"],
            max_trials=searcher["max_trials"],
            max_concurrent=searcher["max_concurrent_trials"],
            **common,
        )
    brackets = brackets_of(searcher)
    trials = [most for _, most in brackets]
    concurrent = bracket_concurrency(searcher["max_concurrent_trials"], common["divisor"], trials)
    return Tournament(
        [
            AsyncHalving(num_rungs=number, max_trials=most, max_concurrent=at_once, **common)
            for (number, most), at_once in zip(brackets, concurrent, strict=True)
        ]
    )
