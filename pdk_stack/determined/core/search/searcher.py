"""A running search: its method, the trials that it requested, and how they ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pdk_stack.determined.core.search.hyperparameters import sample
from pdk_stack.determined.core.search.methods import Answer, Method, make_method
from pdk_stack.determined.core.search.randomness import RandomState

__all__ = ["Action", "Create", "Searcher", "Shutdown", "Stop"]

INVALID_REASONS = frozenset({"EXITED_REASON_INVALID_HP", "EXITED_REASON_INIT_INVALID_HP"})


@dataclass(frozen=True)
class Create:
    """Start a trial.

    Attributes:
        request_id: The trial's id within the search.
        hparams: Its hyperparameters.
        seed: Its random seed, 31 bits.
    """

    request_id: str
    hparams: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class Stop:
    """Stop a trial early; its checkpoints stay."""

    request_id: str


@dataclass(frozen=True)
class Shutdown:
    """The search is over.

    Attributes:
        canceled: Every trial was canceled.
        failed: Every trial failed.
    """

    canceled: bool
    failed: bool


Action = Create | Stop | Shutdown


class Searcher:
    """Drives one method.

    Args:
        config: The complete experiment configuration.
        state: The value of :attr:`state` before a restart; None for a new search.
    """

    def __init__(self, config: dict[str, Any], state: dict[str, Any] | None = None) -> None:
        self._space = config["hyperparameters"]
        self._method: Method = make_method(config["searcher"], self._space)
        self._state: dict[str, Any] = {
            "requested": 0,
            "closed": {},
            "exits": {},
            "cancels": {},
            "failures": {},
            "progress": {},
        }
        if state is not None:
            self._method.state = state["method"]
            self._state = {key: value for key, value in state.items() if key not in ("method", "drawn")}
        seed = int(config["reproducibility"]["experiment_seed"])
        self._random = RandomState(seed, state.get("drawn", 0) if state else 0)

    @property
    def state(self) -> dict[str, Any]:
        """The state that a restart needs, as JSON."""
        return {**self._state, "method": self._method.state, "drawn": self._random.drawn}

    def _creates(self, answer: Answer) -> list[Action]:
        made: list[Action] = []
        for index, hparams in enumerate(answer.create):
            self._state["requested"] += 1
            point = sample(self._space, self._random) if hparams is None else hparams
            request_id = self._random.request_id()
            self._method.created(request_id, index)
            self._state["progress"][request_id] = 0.0
            made.append(Create(request_id, point, self._random.below(2**31)))
        return made

    def _shutdown(self) -> list[Action]:
        if len(self._state["closed"]) < self._state["requested"]:
            return []
        return [
            Shutdown(
                canceled=len(self._state["cancels"]) >= self._state["requested"],
                failed=len(self._state["failures"]) >= self._state["requested"],
            )
        ]

    def initial(self) -> list[Action]:
        """Return the trials to start with."""
        return self._creates(self._method.initial())

    def validated(self, request_id: str, metrics: dict[str, Any]) -> list[Action]:
        """Handle the validation metrics of a trial.

        Raises:
            ValueError: The searcher's metric or its time metric is missing.
        """
        answer = self._method.validated(request_id, metrics)
        stops: list[Action] = [Stop(request_id)] if answer.stop else []
        return stops + self._creates(answer)

    def exited_early(self, request_id: str, reason: str) -> list[Action]:
        """Handle a trial's report that it exits early; ignore repeated reports."""
        if request_id in self._state["exits"]:
            return []
        invalid = reason in INVALID_REASONS
        if invalid:
            self._state["progress"].pop(request_id, None)
        elif reason == "EXITED_REASON_USER_CANCELED":
            self._state["cancels"][request_id] = True
        elif reason == "EXITED_REASON_ERRORED":
            self._state["failures"][request_id] = True
        answer = self._method.exited_early(request_id, invalid)
        self._state["exits"][request_id] = True
        stops: list[Action] = [Stop(request_id)] if answer.stop else []
        return stops + self._creates(answer)

    def exited(self, request_id: str) -> list[Action]:
        """Handle the final end of a trial."""
        if request_id in self._state["closed"]:
            return []
        self._state["closed"][request_id] = True
        return self._creates(self._method.exited(request_id)) + self._shutdown()

    def report_progress(self, request_id: str, fraction: float) -> None:
        """Record a trial's progress, 0 to 1."""
        if request_id in self._state["progress"]:
            self._state["progress"][request_id] = fraction

    @property
    def progress(self) -> float:
        """Return the search's progress, 0 to 1."""
        done = self._method.progress(self._state["progress"], self._state["closed"])
        return min(max(done, 0.0), 1.0) if done == done else 0.0
