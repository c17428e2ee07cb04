"""Running one command of user code: environment, input, output lines, time limit, clean end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from pdk_stack.pachyderm.core.pps.sandbox import PFS_ROOT_VARIABLE, Command

MAX_LINE = 1 << 16
POLL_S = 0.02
PID_FILE = "pid.json"
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
        scratch: A folder of this run alone, where its process id is noted.
        on_line: Gets each line of its output.
        stop: Says when the command is to be killed.
        timeout: Seconds until it is killed; no limit when 0.
    """
    variables = dict(environment)
    if command.pfs_root:
        variables[PFS_ROOT_VARIABLE] = command.pfs_root
    try:
        process = subprocess.Popen(
            command.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=command.cwd,
            start_new_session=True,
        )
    except OSError as error:
        return Outcome(127, problem=f"cannot start {command.argv[0]}: {error}")
    _note(process.pid, scratch)
    threads = [
        threading.Thread(target=_feed, args=(process, stdin), daemon=True),
        threading.Thread(target=_drain, args=(process, on_line), daemon=True),
    ]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    timed_out = False
    while process.poll() is None:
        if stop():
            break
        if timeout and time.monotonic() - started > timeout:
            timed_out = True
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S if time.monotonic() - started < 1 else 5 * POLL_S)
    cancelled = process.poll() is None and not timed_out
    # The whole group: what the code left running must not outlive its datum.
    kill_group(process.pid)
    process.wait()
    for thread in threads:
        thread.join(timeout=5)
    (scratch / PID_FILE).unlink(missing_ok=True)
    return Outcome(process.returncode, timed_out, cancelled)


def kill_group(pid: int) -> None:
    """Kill a process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _feed(process: subprocess.Popen[bytes], lines: Sequence[str]) -> None:
    assert process.stdin is not None
    # Code that does not read its input is no error.
    with contextlib.suppress(OSError):
        if lines:
            process.stdin.write(("\n".join(lines) + "\n").encode())
        process.stdin.close()


def _drain(process: subprocess.Popen[bytes], on_line: Callable[[str], None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        while raw := process.stdout.readline(MAX_LINE):
            on_line(raw.decode(errors="replace").rstrip("\r\n"))


def _note(pid: int, scratch: Path) -> None:
    with contextlib.suppress(psutil.Error, OSError):
        born = psutil.Process(pid).create_time()
        (scratch / PID_FILE).write_text(json.dumps({"pid": pid, "born": born}))


def kill_leftovers(work: Path) -> int:
    """Kill the processes that a killed daemon left behind; how many there were.

    Args:
        work: The folder below which runs noted their process ids.
    """
    found = 0
    for note in work.glob(f"*/*/{PID_FILE}"):
        with contextlib.suppress(OSError, ValueError, KeyError, psutil.Error):
            content = json.loads(note.read_text())
            # The number may belong to somebody else by now; the time of birth tells.
            if abs(psutil.Process(content["pid"]).create_time() - content["born"]) < 0.01:
                kill_group(content["pid"])
                found += 1
    return found
