"""Searches and the scheduler, without processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pdk_stack.determined.core.checkpoints.policy import Candidate, to_delete
from pdk_stack.determined.core.master import Master
from pdk_stack.determined.core.search import Create, Searcher, Shutdown, Stop, make_method
from pdk_stack.determined.core.search.hyperparameters import grid
from pdk_stack.determined.core.search.methods import bracket_concurrency, bracket_rungs, bracket_trials
from pdk_stack.determined.core.search.preview import preview
from pdk_stack.determined.core.search.randomness import RandomState
from pdk_stack.determined.core.trials.slots import Request, Slots, pick

SPACE = {
    "lr": {"type": "log", "minval": -4, "maxval": -1, "base": 10, "count": 4},
    "units": {"type": "int", "minval": 1, "maxval": 3, "count": 9},
    "kind": {"type": "categorical", "vals": ["a", "b"]},
    "nested": {
        "drop": {"type": "double", "minval": 0.0, "maxval": 0.5, "count": 2},
        "fixed": {"type": "const", "val": 1},
    },
}


def config(name: str, **searcher: Any) -> dict[str, Any]:
    section = {"name": name, "metric": "loss", "smaller_is_better": True, "max_concurrent_trials": 16, **searcher}
    return {"searcher": section, "hyperparameters": SPACE, "reproducibility": {"experiment_seed": 3}}


def asha(**searcher: Any) -> dict[str, Any]:
    values = {"max_time": 64, "time_metric": "batches", "divisor": 4, "num_rungs": 3, "max_trials": 8, **searcher}
    return config("async_halving", **values)


def creates(actions: list[Any]) -> list[Create]:
    return [action for action in actions if isinstance(action, Create)]


def restarted(search: dict[str, Any], searcher: Searcher) -> Searcher:
    """The same search after a restart of the master."""
    return Searcher(search, json.loads(json.dumps(searcher.state)))


def test_single_makes_one_trial_and_ends() -> None:
    searcher = Searcher(config("single"))
    (only,) = creates(searcher.initial())
    assert searcher.exited(only.request_id) == [Shutdown(canceled=False, failed=False)]


def test_seed_gives_the_same_trials_again() -> None:
    first, second = (creates(Searcher(config("random", max_trials=3)).initial()) for _ in range(2))
    assert first == second and len({each.request_id for each in first}) == 3
    for each in first:
        assert 1e-4 <= each.hparams["lr"] <= 0.1 and each.hparams["units"] in (1, 2, 3)
        assert 0 <= each.hparams["nested"]["drop"] <= 0.5 and each.hparams["nested"]["fixed"] == 1


def test_random_keeps_its_concurrency_over_a_restart() -> None:
    search = config("random", max_trials=5, max_concurrent_trials=2)
    searcher = Searcher(search)
    running = [each.request_id for each in creates(searcher.initial())]
    assert len(running) == 2
    total, ends = 2, []
    while running:
        searcher = restarted(search, searcher)
        actions = searcher.exited(running.pop(0))
        running += [each.request_id for each in creates(actions)]
        total += len(creates(actions))
        ends += [action for action in actions if isinstance(action, Shutdown)]
        assert len(running) <= 2
    assert total == 5 and ends == [Shutdown(canceled=False, failed=False)]


def test_refused_hyperparameters_are_replaced() -> None:
    searcher = Searcher(config("random", max_trials=2))
    first, second = creates(searcher.initial())
    assert searcher.exited_early(first.request_id, "EXITED_REASON_INVALID_HP") == []
    (third,) = creates(searcher.exited(first.request_id))
    assert searcher.exited(second.request_id) == []
    assert isinstance(searcher.exited(third.request_id)[-1], Shutdown)


def test_all_failed_means_failed() -> None:
    searcher = Searcher(config("random", max_trials=2))
    actions: list[Any] = []
    for each in creates(searcher.initial()):
        searcher.exited_early(each.request_id, "EXITED_REASON_ERRORED")
        actions = searcher.exited(each.request_id)
    assert actions == [Shutdown(canceled=False, failed=True)]


def test_grid_is_complete_and_without_doubles() -> None:
    points = grid(SPACE)
    assert len(points) == 4 * 3 * 2 * 2 == len({json.dumps(point, sort_keys=True) for point in points})
    assert {point["units"] for point in points} == {1, 2, 3}
    assert sorted({point["lr"] for point in points}) == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])
    searcher = Searcher(config("grid", max_concurrent_trials=5))
    assert len(creates(searcher.initial())) == 5


def test_asha_stops_the_worse_and_lets_the_best_reach_the_top() -> None:
    search = asha(max_concurrent_trials=4)
    searcher = Searcher(search)
    first, second, third, fourth = (each.request_id for each in creates(searcher.initial()))
    assert searcher.validated(first, {"loss": 0.5, "batches": 4}) == []
    searcher = restarted(search, searcher)
    worse = searcher.validated(second, {"loss": 0.9, "batches": 4})
    assert worse[0] == Stop(second) and len(creates(worse)) == 1
    assert searcher.validated(third, {"loss": 0.1, "batches": 4}) == []
    # Before the first rung nothing is decided.
    assert searcher.validated(fourth, {"loss": 99.0, "batches": 3}) == []
    top = searcher.validated(third, {"loss": 0.05, "batches": 64})
    assert top[0] == Stop(third)


def test_asha_with_larger_is_better() -> None:
    searcher = Searcher(asha(smaller_is_better=False, max_concurrent_trials=2))
    first, second = (each.request_id for each in creates(searcher.initial()))
    searcher.validated(first, {"loss": 0.9, "batches": 4})
    assert searcher.validated(second, {"loss": 0.5, "batches": 4})[0] == Stop(second)


def test_asha_needs_its_metrics() -> None:
    searcher = Searcher(asha())
    trial = creates(searcher.initial())[0].request_id
    with pytest.raises(ValueError, match="searcher metric"):
        searcher.validated(trial, {"batches": 4})
    with pytest.raises(ValueError, match="time metric"):
        searcher.validated(trial, {"loss": 1.0})


def test_brackets_of_adaptive_asha() -> None:
    # Figures by the formulas of the master's adaptive_asha.go.
    assert bracket_rungs("standard", 5, 1024, 16, 4) == [2, 3]
    assert bracket_rungs("aggressive", 5, 1024, 16, 4) == [3]
    assert bracket_rungs("conservative", 5, 1024, 16, 4) == [1, 2, 3]
    assert sum(bracket_trials(16, 4, [3, 2])) == 16
    assert bracket_concurrency(5, 4, [10, 6]) == [3, 2]
    assert bracket_concurrency(0, 4, [10, 6]) == [6, 6]


def test_adaptive_asha_makes_all_its_trials_and_ends() -> None:
    search = config(
        "adaptive_asha",
        max_trials=8,
        max_time=64,
        time_metric="batches",
        divisor=4,
        max_rungs=5,
        mode="standard",
        bracket_rungs=[],
        max_concurrent_trials=3,
    )
    searcher = Searcher(search)
    running = [each.request_id for each in creates(searcher.initial())]
    made, ended = len(running), False
    while running:
        trial = running.pop(0)
        for step in (4, 16, 64):
            actions = searcher.validated(trial, {"loss": float(made), "batches": step})
            made += len(creates(actions))
            running += [each.request_id for each in creates(actions)]
            if Stop(trial) in actions:
                break
        searcher = restarted(search, searcher)
        actions = searcher.exited(trial)
        running += [each.request_id for each in creates(actions)]
        made += len(creates(actions))
        ended = any(isinstance(action, Shutdown) for action in actions)
    assert made == 8 and ended
    assert sum(entry["count"] for entry in preview(search) or []) == 8


STANDARD = {"mode": "standard", "max_rungs": 5, "bracket_rungs": [], "divisor": 4, "time_metric": "t"}


@pytest.mark.parametrize(
    ("name", "more", "trials"),
    [
        ("single", {}, [(1, None)]),
        ("random", {"max_trials": 7}, [(7, None)]),
        ("grid", {}, [(12, None)]),
        # Two brackets, of 7 and 3 trials.
        (
            "adaptive_asha",
            {**STANDARD, "max_rungs": 10, "max_time": 900, "divisor": 3, "max_trials": 10},
            [(5, 100), (3, 300), (2, 900)],
        ),
    ],
)
def test_a_preview_counts_trials_by_length(
    name: str, more: dict[str, Any], trials: list[tuple[int, int | None]]
) -> None:
    space = {
        "a": {"type": "int", "minval": 0, "maxval": 10, "count": 4},
        "b": {"type": "categorical", "vals": ["x", "y", "z"]},
    }
    found = preview({**config(name, **more), "hyperparameters": space}) or []
    assert [(each["count"], each["unit"].get("value")) for each in found] == trials
    assert all(each["unit"]["maxLength"] == (each["unit"].get("value") is None) for each in found)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("random", {"max_trials": 10**9}),
        ("grid", {}),
        ("adaptive_asha", {**STANDARD, "max_trials": 4, "max_time": 0}),
        ("adaptive_asha", {**STANDARD, "max_trials": 4, "max_time": 9, "bracket_rungs": [10**6]}),
        ("adaptive_asha", {**STANDARD, "max_trials": 4, "max_time": 9, "bracket_rungs": [-1]}),
        ("async_halving", {"max_trials": 4, "max_time": 9, "time_metric": "t", "num_rungs": 10**9}),
    ],
)
def test_searches_beyond_measure_are_refused(name: str, more: dict[str, Any]) -> None:
    search = config(name, **more)
    huge = {"x": {"type": "double", "minval": 0, "maxval": 1, "count": 10**9}}
    with pytest.raises(ValueError, match="not"):
        make_method(search["searcher"], huge)


def test_progress_stays_between_nothing_and_all() -> None:
    searcher = Searcher(config("random", max_trials=2))
    first, second = (each.request_id for each in creates(searcher.initial()))
    assert searcher.progress == 0
    searcher.report_progress(first, 0.5)
    assert searcher.progress == pytest.approx(0.25)
    searcher.exited(first)
    searcher.exited(second)
    assert searcher.progress == 1


# -- scheduler -------------------------------------------------------------------------------------------------------


def request(trial: int, experiment: int = 1, priority: int = 42, slots: int = 1) -> Request:
    return Request(trial, experiment, priority, slots)


def test_urgent_trials_first_then_fair_then_oldest() -> None:
    assert pick([request(1), request(2, priority=1)], 1, 2, {}) == request(2, priority=1)
    assert pick([request(1), request(2, experiment=2)], 1, 2, {1: 1}) == request(2, experiment=2)
    assert pick([request(2), request(1)], 1, 2, {}) == request(1)


def test_large_trial_is_not_starved_and_an_impossible_one_blocks_nobody() -> None:
    large, small, impossible = request(1, slots=2), request(2, experiment=2), request(3, experiment=3, slots=9)
    assert pick([large, small], 1, 2, {}) is None
    assert pick([large, small], 2, 2, {}) == large
    assert pick([impossible, small], 1, 2, {}) == small
    assert pick([request(4, slots=0)], 0, 2, {}) == request(4, slots=0)


def test_slots_are_counted() -> None:
    slots = Slots(2)
    assert slots.take(1) == (0,) and slots.free == 1
    with pytest.raises(ValueError, match="2 slots wanted"):
        slots.take(2)
    slots.give_back((0,))
    assert slots.take(2) == (0, 1)


def test_disabled_slots_are_left_out_until_they_are_enabled() -> None:
    slots = Slots(2)
    assert slots.take(1) == (0,)
    slots.enable({0}, False)
    slots.give_back((0,))
    assert slots.free == 1 and not slots.enabled(0) and slots.take(1) == (1,)
    slots.enable({0}, True)
    assert slots.take(1) == (0,)


def test_a_slot_stays_disabled_when_the_master_starts_anew(tmp_path: Path) -> None:
    master = Master(tmp_path, slots=2)
    master.enable_slots({0, 1}, False)
    master.enable_slots({0}, True)
    master.store.close()
    again = Master(tmp_path, slots=2)
    assert (again.slots.enabled(0), again.slots.enabled(1), again.slots.free) == (True, False, 1)
    again.store.close()


# -- garbage collection ----------------------------------------------------------------------------------------------


def test_policy_keeps_the_best_the_latest_and_the_registered() -> None:
    checkpoints = [
        Candidate("a1", 1, 10, 0.5),
        Candidate("a2", 1, 20, 0.1),
        Candidate("a3", 1, 30, 0.3),
        Candidate("b1", 2, 10, 0.2),
        Candidate("b2", 2, 20, None),
    ]

    def deleted(best: int, trial: int, latest: int, kept: tuple[str, ...] = ()) -> list[str]:
        return to_delete(
            checkpoints,
            experiment_best=best,
            trial_best=trial,
            trial_latest=latest,
            smaller_is_better=True,
            kept=kept,
        )

    assert deleted(0, 1, 1) == ["a1"]
    assert deleted(1, 0, 0) == ["a1", "a3", "b1", "b2"]
    assert deleted(0, 0, 0, kept=("a1",)) == ["a2", "a3", "b1", "b2"]
    assert deleted(5, 5, 5) == []


def test_random_numbers_are_the_masters() -> None:
    # numpy.random.RandomState draws the same: randint(0, 10) and randint(0, 2**60 - 10).
    state = RandomState(42)
    assert [state.below(10) for _ in range(12)] == [6, 3, 7, 4, 6, 9, 2, 6, 7, 4, 3, 7]
    state = RandomState(999)
    assert [state.below(2**60 - 10) for _ in range(2)] == [985573361606668636, 507696633659605473]
    # After a restart it goes on where it was.
    again = RandomState(999, state.drawn)
    assert [again.below(2**31) for _ in range(5)] == [state.below(2**31) for _ in range(5)]


def test_a_seed_tries_what_a_cluster_tries() -> None:
    # Recorded on Determined 0.38.1 with experiment_seed 7.
    space = {"lr": {"type": "double", "minval": 0.1, "maxval": 0.9}, "n": {"type": "int", "minval": 1, "maxval": 9}}
    search = {**config("random", max_trials=2), "hyperparameters": space}
    search["reproducibility"] = {"experiment_seed": 7}
    assert [action.hparams for action in creates(Searcher(search).initial())] == [
        {"lr": 0.16104663149916576, "n": 7},
        {"lr": 0.3464102121501915, "n": 8},
    ]
    search["hyperparameters"] = {"lr": {"type": "log", "base": 10, "minval": -3, "maxval": -1}}
    assert creates(Searcher(search).initial())[0].hparams == {"lr": 0.0014210736239935744}
