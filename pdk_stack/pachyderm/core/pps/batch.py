"""Datum batching: one process handles many datums and requests each one itself.

After each datum, user code calls ``NextDatum`` of the worker service (``src/worker/worker.proto``), with an error if
the datum failed. The call returns when the next datum's files are below ``/pfs``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from pdk_stack.common.polling import Deadline
from pdk_stack.pachyderm.core.pps.context import ServeDatums
from pdk_stack.pachyderm.core.pps.process import Outcome

log = logging.getLogger("pdk_stack.pachyderm.batch")

POLL_S = 0.1
STOP_S = 5.0

Launch = Callable[[int, Callable[[], bool]], Outcome]


class Batch:
    """A worker's process, and the port where it requests datums.

    Args:
        serve: Opens the port.
        launch: Runs the code until it exits, given the port and a function that says when to kill it.
    """

    def __init__(self, serve: ServeDatums, launch: Launch) -> None:
        self._launch = launch
        self._changed = threading.Condition()
        # The process's requests: the number of the last one, and the error that it reported.
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
        """Handle the user code's request for the next datum; return the datum's variables."""
        with self._changed:
            self._asked += 1
            number, self._error = self._asked, error
            self._changed.notify_all()
            while self._answered < number and active():
                self._changed.wait(POLL_S)
            return self._variables

    def next(self, variables: Mapping[str, str], stop: Callable[[], bool], limit: float) -> Outcome:
        """Let the process handle the datum that is currently below ``/pfs``.

        Args:
            variables: The datum's variables.
            stop: Returns whether to kill the process.
            limit: Time limit for the datum, in seconds; 0 means no limit.
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
            # As on a cluster, failed code restarts for the next datum.
            self._stop()
        return failed or Outcome(0)

    def _start(self) -> None:
        self._kill.clear()
        self._ended = None
        self._answered = self._asked

        def run() -> None:
            try:
                outcome = self._launch(self._port, self._kill.is_set)
            except Exception as error:
                # Whoever waits for the process's request must learn that none will come.
                log.exception("a batch could not run")
                outcome = Outcome(1, problem=f"{type(error).__name__}: {error}")
            with self._changed:
                self._ended = outcome
                self._changed.notify_all()

        self._thread = threading.Thread(target=run, name="batch", daemon=True)
        self._thread.start()

    def _until_asked(self, stop: Callable[[], bool], limit: float) -> Outcome | None:
        """Wait for the process's next request; return the failure if none comes."""
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
        """Stop the process and close the port."""
        self._stop()
        self._opened.close()


def _early(outcome: Outcome) -> Outcome:
    if outcome.code == 0:
        return Outcome(0, problem="user code exited prematurely")
    return outcome
