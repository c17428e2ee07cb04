"""Running one user command: environment, input, output lines, time limit, and cleanup."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdk_stack.common.polling import Deadline, poll
from pdk_stack.common.processes import ProcessGroup
from pdk_stack.pachyderm.core.pps.sandbox import PFS_ROOT_VARIABLE, Command

log = logging.getLogger("pdk_stack.pachyderm.process")

MAX_LINE = 1 << 16
# Polling interval: short at first, because most code ends soon.
POLL_S = 0.02
CALM_POLL_S = 0.1
CALM_AFTER_S = 1.0
OUTPUT_GRACE_S = 5.0
# The file, below a run's scratch folder, that records its process.
PROCESS_NOTE = "pid.json"
# Variables of the daemon that user code must not inherit: a pod on a cluster doesn't have them.
_OWN_PREFIXES = ("PACH", "PPS_", "DET_", "PDK_", "KUBE", "PYTEST")


@dataclass(frozen=True)
class Outcome:
    """The result of a command.

    Attributes:
        code: The exit code; negative for a signal.
        timed_out: Whether it exceeded its time limit.
        cancelled: Whether it was stopped from outside.
        problem: Why it couldn't start, or empty.
    """

    code: int
    timed_out: bool = False
    cancelled: bool = False
    problem: str = ""


def base_environment() -> dict[str, str]:
    """Return the machine's environment without the daemon's own settings."""
    return {key: value for key, value in os.environ.items() if not key.startswith(_OWN_PREFIXES)}


def run_command(
    command: Command,
    environment: Mapping[str, str],
    stdin: Sequence[str],
    scratch: Path,
    on_line: Callable[[str], None],
    stop: Callable[[], bool],
    timeout: float = 0.0,
) -> Outcome:
    """Run a command until it exits.

    Args:
        command: The program and its arguments.
        environment: The complete environment.
        stdin: Lines for its standard input.
        scratch: A private folder for this run, where its process is recorded.
        on_line: Receives each line of output.
        stop: Returns whether to kill the command.
        timeout: Time limit, in seconds; 0 means no limit.
    """
    variables = dict(environment)
    if command.pfs_root:
        variables[PFS_ROOT_VARIABLE] = command.pfs_root
    try:
        group = ProcessGroup(command.argv, variables, folder=Path(command.cwd), stdin=subprocess.PIPE)
    except OSError as error:
        return Outcome(127, problem=f"cannot start {command.argv[0]}: {error}")
    note = scratch / PROCESS_NOTE
    group.note(note)
    threads = [
        threading.Thread(target=_feed, args=(group, stdin), daemon=True),
        threading.Thread(target=_drain, args=(group, on_line), daemon=True),
    ]
    for thread in threads:
        thread.start()
    calm = Deadline(CALM_AFTER_S)

    def ended() -> bool:
        return group.wait(CALM_POLL_S if calm.over else POLL_S) is not None

    in_time = poll(ended, timeout or None, 0.0, stop)
    cancelled = not in_time and stop()
    # Kill the whole group: processes that the code left running must not outlive its datum.
    code = group.kill()
    for thread in threads:
        thread.join(OUTPUT_GRACE_S)
    note.unlink(missing_ok=True)
    return Outcome(code, timed_out=not in_time and not cancelled, cancelled=cancelled)


def _feed(group: ProcessGroup, lines: Sequence[str]) -> None:
    assert group.stdin is not None
    # Code that doesn't read its input is not an error.
    with contextlib.suppress(OSError):
        if lines:
            group.stdin.write(("\n".join(lines) + "\n").encode())
        group.stdin.close()


def _drain(group: ProcessGroup, on_line: Callable[[str], None]) -> None:
    assert group.stdout is not None
    with group.stdout:
        while raw := group.stdout.readline(MAX_LINE):
            try:
                on_line(raw.decode(errors="replace").rstrip("\r\n"))
            except Exception:
                # A full pipe would stop the code: go on reading.
                log.exception("lost a line of output")
