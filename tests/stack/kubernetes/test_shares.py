"""How KServe shares traffic out, as plain functions on a service's memory."""

from __future__ import annotations

from pathlib import Path

from pdk_stack.kubernetes.core.inference.reconciler.rollout import Rollout
from pdk_stack.kubernetes.core.inference.reconciler.status import Share
from pdk_stack.kubernetes.core.inference.revisions.template import revision_key
from tests.stack.kubernetes.serving import manifest


def test_a_canary_from_its_start_to_its_end_and_back(tmp_path: Path) -> None:
    rollout = Rollout(tmp_path / "state.json")
    assert rollout.shares({}) == ()
    # The first revision gets everything, even as a canary: there is nothing else.
    rollout.save(ready="r1")
    assert rollout.shares({"canaryTrafficPercent": 10}) == (Share("r1", 100),)
    rollout.settle({"canaryTrafficPercent": 10})
    rollout.save(ready="r2")
    canary = {"canaryTrafficPercent": 10}
    assert rollout.shares(canary) == (Share("r2", 10), Share("r1", 90, "prev"))
    rollout.settle(canary)
    # A newer canary takes the place of the first one; the base stays.
    rollout.save(ready="r3")
    assert rollout.shares(canary) == (Share("r3", 10), Share("r1", 90, "prev"))
    rollout.settle(canary)
    assert (rollout.rolled, rollout.previous) == ("r1", "")
    # Promoted.
    assert rollout.shares({"canaryTrafficPercent": 100}) == (Share("r3", 100),)
    rollout.settle({})
    assert (rollout.rolled, rollout.previous) == ("r3", "r1")
    # And back, and forth again.
    back = {"canaryTrafficPercent": 0}
    assert rollout.shares(back) == (Share("r3", 0), Share("r1", 100, "prev"))
    rollout.settle(back)
    rollout.settle(back)
    assert rollout.shares(back) == (Share("r3", 0), Share("r1", 100, "prev"))
    rollout.settle({})
    assert (rollout.rolled, rollout.previous) == ("r3", "r1")
    assert Rollout.read(tmp_path / "state.json") == rollout


def test_only_what_changes_the_model_makes_a_new_revision() -> None:
    base = manifest("a", "file:///x")
    assert revision_key(base) == revision_key(
        manifest("a", "file:///x", canaryTrafficPercent=5, minReplicas=0, containerConcurrency=2, timeout=9)
    )
    for other in (
        manifest("a", "file:///y"),
        manifest("a", "file:///x", {"pach_id": "2"}),
        manifest("a", "file:///x", serviceAccountName="s"),
    ):
        assert revision_key(other) != revision_key(base)
