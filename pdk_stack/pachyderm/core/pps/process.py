"""Running one command of user code: environment, input, output lines, time limit, clean end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdk_stack.common.polling import Deadline, poll
from pdk_stack.common.processes import ProcessGroup
from pdk_stack.pachyderm.core.pps.sandbox import PFS_ROOT_VARIABLE, Command

MAX_LINE = 1 << 16
# How long a look at the code lasts: short at first, as most code ends soon.
POLL_S = 0.02
CALM_POLL_S = 0.1
CALM_AFTER_S = 1.0
OUTPUT_GRACE_S = 5.0
# Where a run notes its process, below its scratch folder.
PROCESS_NOTE = "pid.json"
# What the daemon's own environment must not hand down: on a cluster a pod starts without it.
_OWN_PREFIXES = ("PACH", "PPS_", "DET_", "PDK_", "KUBE", "PYTEST")


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: Its exit code; negative for a signal.
        timed_out: Whether it ran past its limit.
        cancelled: Whether it was ended from outside.
        problem: Why it could not be started, or empty.
    """

    code: int
    timed_out: bool = False
    cancelled: bool = False
    problem: str = ""


def base_environment() -> dict[str, str]:
    """The machine's environment without what configures this daemon."""
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
    """Run a command to its end.

    Args:
        command: What to run.
        environment: Its whole environment.
        stdin: Lines that it reads.
        scratch: A folder of this run alone, where its process is noted.
        on_line: Gets each line of its output.
        stop: Says when the command is to be killed.
        timeout: Seconds until it is killed; no limit when 0.
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
    # The whole group: what the code left running must not outlive its datum.
    code = group.kill()
    for thread in threads:
        thread.join(OUTPUT_GRACE_S)
    note.unlink(missing_ok=True)
    return Outcome(code, timed_out=not in_time and not cancelled, cancelled=cancelled)


def _feed(group: ProcessGroup, lines: Sequence[str]) -> None:
    assert group.stdin is not None
    # Code that does not read its input is no error.
    with contextlib.suppress(OSError):
        if lines:
            group.stdin.write(("\n".join(lines) + "\n").encode())
        group.stdin.close()


def _drain(group: ProcessGroup, on_line: Callable[[str], None]) -> None:
    assert group.stdout is not None
    with group.stdout:
        while raw := group.stdout.readline(MAX_LINE):
            on_line(raw.decode(errors="replace").rstrip("\r\n"))
