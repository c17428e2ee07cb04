"""The embedded stack as ``pdk-nb`` uses it: another distribution, found by its entry point and never imported."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol, cast

from pdk_shared.errors import UsageError

__all__ = ["GROUP", "Stack", "installed", "require"]

GROUP = "pdk_nb.stack"


class Stack(Protocol):
    """The interface of a distribution that can start its own cluster on this machine."""

    #: What the stack is and isn't, for people.
    stand_in: str

    def register(self, commands: Any, state: argparse.ArgumentParser) -> None:
        """Add its commands to the subparsers of ``pdk-nb``."""

    def kubeconfig(self, state_dir: str | None) -> str:
        """The kubeconfig of the running stack; empty when none runs."""

    def up(self, state_dir: str | None, progress: Callable[[str], None], files: Path | None = None) -> tuple[str, bool]:
        """Start it unless it runs, on the lab's files in a folder; returns its kubeconfig, and whether it started."""

    def environment(self, state_dir: str | None) -> dict[str, str]:
        """The variables that connect the platforms' own clients to the running stack."""

    def down(self, state_dir: str | None, progress: Callable[[str], None]) -> None:
        """Stop it."""


@lru_cache(1)
def installed() -> Stack | None:
    """The installed stack, or None: on a cluster, the lab doesn't need it."""
    for each in entry_points(group=GROUP):
        return cast(Stack, each.load()())
    return None


def require() -> Stack:
    """The installed stack.

    Raises:
        UsageError: The stack isn't installed.
    """
    stack = installed()
    if stack is None:
        raise UsageError(
            "The embedded stack isn't installed.",
            fix="pip install 'pdk-lab[laptop]', or set a cluster with --kubeconfig",
        )
    return stack
