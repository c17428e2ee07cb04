"""The lab's one polling loop: look until something is done, report each state, and say why when time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from pdk_shared.errors import NoAnswer, PdkError

__all__ = ["changes", "wait"]

State = TypeVar("State")

#: How long a platform may be away while something is waited for, in seconds.
PATIENCE_S = 60.0


def wait(
    look: Callable[[], State],
    done: Callable[[State], bool],
    *,
    timeout: float | None,
    reason: Callable[[State], PdkError],
    interval: float = 0.3,
    progress: Callable[[State], object] | None = None,
    patience: float = PATIENCE_S,
) -> State:
    """Look at something until it is done.

    Args:
        look: Reads the state now.
        done: Whether a state ends the wait. It raises when waiting longer is useless.
        timeout: Seconds until the wait fails; None waits for ever.
        reason: Makes the error for the state at the deadline: what is missing, and what to do.
        interval: Seconds between two looks.
        progress: Called with every state; see :func:`changes`.
        patience: Seconds for which looks and ``progress`` may fail with :class:`NoAnswer` before that error ends the
            wait: what is waited for goes on while a platform restarts.

    Returns:
        The first state that is done.

    Raises:
        PdkError: What ``look``, ``done`` or ``reason`` gave.
    """
    started = time.monotonic()
    answered = started
    while True:
        try:
            state = look()
            if progress is not None:
                progress(state)
        except NoAnswer:
            if time.monotonic() - answered >= patience:
                raise
        else:
            answered = time.monotonic()
            if done(state):
                return state
            if timeout is not None and answered - started >= timeout:
                raise reason(state)
        time.sleep(interval)


def changes(progress: Callable[[State], object] | None) -> Callable[[State], None]:
    """A callback that passes on only the states that differ from the one before; None passes on nothing."""
    last: list[State] = []

    def report(state: State) -> None:
        if progress is not None and last != [state]:
            progress(state)
        last[:] = [state]

    return report
