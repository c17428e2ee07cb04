"""What both stages' processes have in common: log, signals, exit code."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pdk_nb.names import STAGE_LOG
from pdk_nb.stages.worker import pfs_root
from pdk_shared.errors import PdkError

__all__ = ["Terminated", "run_stage"]

log = logging.getLogger("pdk")


class Terminated(BaseException):
    """The worker received SIGTERM: the job was stopped, deleted, or its pod must go."""


def run_stage(stage: Callable[[], object], *, keep_log: bool = True) -> int:
    """Run a stage as the process of a pipeline's worker: progress to standard output, an error to standard error.

    Args:
        stage: Parses the command line and does the work.
        keep_log: Whether to copy the log to the output; not if a job has many datums, which share the output.

    Returns:
        0, the ``exit_code`` of the error that ended the stage, or 143 after SIGTERM.
    """
    _settle_home()
    out = pfs_root() / "out" if keep_log else None
    with _logging() as lines:
        previous = signal.signal(signal.SIGTERM, _terminate)
        try:
            stage()
            _keep(lines, out)
        except PdkError as error:
            told = f"{type(error).__name__}: {error}"
            print(told, file=sys.stderr, flush=True)
            _keep([*lines, told], out)
            return error.exit_code
        except Terminated:
            log.error("stopped")
            return 128 + signal.SIGTERM
        except Exception:
            _keep([*lines, traceback.format_exc().rstrip()], out)
            raise
        finally:
            signal.signal(signal.SIGTERM, previous)
    return 0


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


def _keep(lines: list[str], out: Path | None) -> None:
    """Copy the log to the output: Pachyderm alone can show it only as long as the worker's pod exists.

    A datum that fails has no output commit, but Pachyderm keeps its folder in the pipeline's meta repo.
    """
    if out is not None and out.is_dir():
        # A full disk, for example, must not hide how the stage ended.
        with contextlib.suppress(OSError):
            (out / STAGE_LOG).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


class _Lines(logging.Handler):
    """Collects what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(self.format(record))


@contextmanager
def _logging() -> Iterator[list[str]]:
    """Progress to standard output for the time of the block; gives the lines as they are logged."""
    kept = _Lines()
    handlers: tuple[logging.Handler, ...] = (logging.StreamHandler(sys.stdout), kept)
    before = log.level
    log.setLevel(logging.INFO)
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        log.addHandler(handler)
    try:
        yield kept.lines
    finally:
        for handler in handlers:
            log.removeHandler(handler)
        log.setLevel(before)


def _settle_home() -> None:
    """Give clients a home that can be written: pods without a user have ``/`` or nothing."""
    home = os.environ.get("HOME", "")
    if home in ("", "/") or not os.access(home, os.W_OK):
        os.environ["HOME"] = tempfile.mkdtemp(prefix="pdk-home-")
