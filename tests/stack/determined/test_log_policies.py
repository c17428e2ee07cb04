"""What a line of a trial's output says about the trial, and what of its configuration has no effect here."""

from __future__ import annotations

from typing import Any

import pytest

from pdk_stack.determined.core.expconf import completion, reader
from pdk_stack.determined.core.trials.log_policies import LogPolicies
from pdk_stack.determined.core.trials.without_effect import without_effect

CANCEL = {"name": "Full", "pattern": "no space", "action": "cancel_retries"}
EXCLUDE = {"pattern": r"error \d+", "action": "exclude_node"}
NAMED = {"name": "Seen", "pattern": "hello"}


def watched(policies: list[dict[str, Any]], *lines: str) -> tuple[LogPolicies, list[str]]:
    found = LogPolicies(policies)
    return found, [added for line in lines for added in found.watch(line)]


def test_a_policy_that_cancels_retries_quotes_the_first_line() -> None:
    policies, added = watched([CANCEL], "fine\n", "no space left\n", "no space again\n")
    assert added == [] and policies.matched == "Full" and not policies.excludes_node
    assert policies.no_retry() == [
        "trial failed and matched logs to a don't retry policy",
        '(log "no space left\\n" matched regex "no space")',
    ]


def test_a_policy_that_excludes_the_node_says_so_once() -> None:
    policies, added = watched([EXCLUDE], "error 7\n", "error 8\n")
    assert len(added) == 1 and "error 7" in added[0] and "will not schedule on" in added[0]
    assert policies.excludes_node and policies.no_retry() == [] and policies.matched is None


def test_the_newest_named_policy_is_shown() -> None:
    policies, _ = watched([CANCEL, NAMED], "no space", "hello")
    assert policies.matched == "Seen"


@pytest.mark.parametrize(
    "line", ["nothing of that\n", '{"log_policies": [{"pattern": "no space"}]} no space\n'], ids=["other", "the config"]
)
def test_lines_that_mean_nothing(line: str) -> None:
    policies, added = watched([CANCEL, EXCLUDE, {"name": "off"}, {"pattern": "(", "action": "exclude_node"}], line)
    assert (added, policies.matched, policies.no_retry(), policies.excludes_node) == ([], None, [], False)


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({}, []),
        ({"environment": {"environment_variables": ["A=1"]}}, []),
        (
            {"bind_mounts": [{"host_path": "/h", "container_path": "/c"}]},
            ["bind_mounts: /c is not mounted; on this machine, the trial finds /h under its own path"],
        ),
        (
            {"environment": {"image": "x:1", "add_capabilities": ["A"]}},
            [
                "environment.image: x:1 is not used; the trial has the lab's Python",
                "environment.add_capabilities has no effect without a container",
            ],
        ),
        ({"resources": {"shm_size": 5}}, ["resources.shm_size has no effect without a container"]),
        ({"slurm": {"gpu_type": "a"}}, ["slurm has no effect: there is no such cluster"]),
    ],
)
def test_what_has_no_effect_is_named(changes: dict[str, Any], sentences: list[str]) -> None:
    config = reader.sane({"searcher": {"name": "single", "metric": "loss"}, **changes})
    complete = completion.complete(config, storage={"type": "shared_fs", "host_path": "/x"}, pool="default")
    assert without_effect(complete) == sentences
