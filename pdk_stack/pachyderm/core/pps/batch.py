"""Datum batching: one process handles datum after datum, and asks for the next one itself.

User code calls ``NextDatum`` of the worker service (``src/worker/worker.proto``) whenever it is done with a datum,
with an error where it failed; the answer comes when the next datum lies below ``/pfs``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from pdk_stack.common.polling import Deadline
from pdk_stack.pachyderm.core.pps.context import ServeDatums
from pdk_stack.pachyderm.core.pps.process import Outcome

POLL_S = 0.1
STOP_S = 5.0

Launch = Callable[[int, Callable[[], bool]], Outcome]


class Batch:
    """The process of one worker, and the port at which it asks for datums.

    Args:
        serve: Opens the port.
        launch: Runs the code to its end, given the port and what says when to kill it.
    """

    def __init__(self, serve: ServeDatums, launch: Launch) -> None:
        self._launch = launch
        self._changed = threading.Condition()
        # What the process asks: the number of its last question, and the error that came with it.
        self._asked = 0
        self._error = ""
        self._answered = 0
        self._variables: Mapping[str, str] = {}
        self._ended: Outcome | None = None
        self._kill = threading.Event()
        self._thread: threading.Thread | None = None
        self._opened = ExitStack()
        self._port = self._opened.enter_context(serve(self._ask))

    def _ask(self, error: str, active: Callable[[], bool]) -> Mapping[str, str]:
        """The user code's question for the next datum; the answer is the datum's variables."""
        with self._changed:
            self._asked += 1
            number, self._error = self._asked, error
            self._changed.notify_all()
            while self._answered < number and active():
                self._changed.wait(POLL_S)
            return self._variables

    def next(self, variables: Mapping[str, str], stop: Callable[[], bool], limit: float) -> Outcome:
        """Let the process handle the datum that lies below ``/pfs`` now.

        Args:
            variables: The datum's variables.
            stop: Says when to kill the process.
            limit: Seconds that the datum may take; no limit when 0.
        """
        if self._thread is None:
            self._start()
        failed = self._until_asked(stop, 0.0)
        if failed is None:
            with self._changed:
                self._answered = self._asked
                self._variables = variables
                self._error = ""
                self._changed.notify_all()
            failed = self._until_asked(stop, limit)
        if failed is None and self._error:
            failed = Outcome(1, problem=self._error)
        if failed is not None:
            # As on a cluster, code that failed is started anew for the next datum.
            self._stop()
        return failed or Outcome(0)

    def _start(self) -> None:
        self._kill.clear()
        self._ended = None
        self._answered = self._asked

        def run() -> None:
            outcome = self._launch(self._port, self._kill.is_set)
            with self._changed:
                self._ended = outcome
                self._changed.notify_all()

        self._thread = threading.Thread(target=run, name="batch", daemon=True)
        self._thread.start()

    def _until_asked(self, stop: Callable[[], bool], limit: float) -> Outcome | None:
        """Wait for the process's next question; how it failed where none comes."""
        deadline = Deadline(limit or None)
        with self._changed:
            while self._asked == self._answered:
                if self._ended is not None:
                    return self._ended if self._ended.problem else _early(self._ended)
                if stop():
                    return Outcome(-9, cancelled=True)
                if deadline.over:
                    return Outcome(-9, timed_out=True)
                self._changed.wait(POLL_S)
        return None

    def _stop(self) -> None:
        self._kill.set()
        if self._thread is not None:
            self._thread.join(STOP_S)
            self._thread = None

    def close(self) -> None:
        """End the process and the port."""
        self._stop()
        self._opened.close()


def _early(outcome: Outcome) -> Outcome:
    if outcome.code == 0:
        return Outcome(0, problem="user code exited prematurely")
    return outcome
