"""What both stages' processes have in common: log, signals, exit code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pdk_shared.errors import PdkError

__all__ = ["Terminated", "run_stage"]

log = logging.getLogger("pdk")


class Terminated(BaseException):
    """The worker received SIGTERM: the job was stopped, deleted, or its pod must go."""


def run_stage(stage: Callable[[], object]) -> int:
    """Run a stage as the process of a pipeline's worker: progress to standard output, an error to standard error.

    Args:
        stage: Parses the command line and does the work.

    Returns:
        0, the ``exit_code`` of the error that ended the stage, or 143 after SIGTERM.
    """
    _settle_home()
    with _logging():
        previous = signal.signal(signal.SIGTERM, _terminate)
        try:
            stage()
        except PdkError as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return error.exit_code
        except Terminated:
            log.error("stopped")
            return 128 + signal.SIGTERM
        finally:
            signal.signal(signal.SIGTERM, previous)
    return 0


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


@contextmanager
def _logging() -> Iterator[None]:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    before = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def _settle_home() -> None:
    """Give clients a home that can be written: pods without a user have ``/`` or nothing."""
    home = os.environ.get("HOME", "")
    if home in ("", "/") or not os.access(home, os.W_OK):
        os.environ["HOME"] = tempfile.mkdtemp(prefix="pdk-home-")
