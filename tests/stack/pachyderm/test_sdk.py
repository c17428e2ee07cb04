"""pachyderm-sdk 2.8 against the daemon, in an environment of its own."""

from __future__ import annotations

from collections.abc import Callable


def test_the_walk_of_the_sdk(run_sdk: Callable[..., str]) -> None:
    assert run_sdk("sdk_walk.py").strip().endswith("done")
