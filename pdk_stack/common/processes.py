"""Child processes with all that they start: each in a process group of its own, ended as a whole.

Whoever starts a process here can also find it after a crash of its own: :meth:`ProcessGroup.note` writes down which one
it was, :func:`kill_noted` ends those that are left.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

__all__ = ["ProcessGroup", "kill_group", "kill_noted"]

# Two processes of one number were born further apart than this.
SAME_BIRTH_S = 0.01


class ProcessGroup:
    """One child process and whatever it starts in its process group.

    Args:
        command: Program and arguments.
        environment: The child's whole environment.
        folder: Its working folder.
        stdin: Where it reads from; nothing by default.
        stdout: Where it writes to.
        stderr: Where it writes errors to; beside its output by default.

    Raises:
        OSError: The program cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str | os.PathLike[str]],
        environment: Mapping[str, str],
        *,
        folder: Path | None = None,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: IO[bytes] | int = subprocess.PIPE,
        stderr: IO[bytes] | int = subprocess.STDOUT,
    ) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            bufsize=0 if stdin == subprocess.DEVNULL else -1,
            # A new session makes a new group, and keeps a terminal's Ctrl-C away: the parent decides when it ends.
            start_new_session=True,
        )
        self.stdin = self._process.stdin
        self.stdout = self._process.stdout
        self.stderr = self._process.stderr

    @property
    def pid(self) -> int:
        """The child's process id, which is its group's, too."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the child itself still runs."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How the child ended: its exit code, the negative number of a signal, or None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the child's end.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Its exit code, or None when it still runs.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def signal(self, number: int) -> None:
        """Send a signal to the whole group, if it is still there."""
        _signal_group(self.pid, number)

    def kill(self) -> int:
        """End the whole group at once, what the child left running included; the child's exit code."""
        self.signal(signal.SIGKILL)
        return self._process.wait()

    def stop(self, grace: float) -> int:
        """End the group: SIGTERM first, SIGKILL for what is left after ``grace`` seconds; the child's exit code."""
        if self.running:
            self.signal(signal.SIGTERM)
            self.wait(grace)
        return self.kill()

    def note(self, path: Path) -> None:
        """Write down which process this is, for :func:`kill_noted` after a crash of this one."""
        with contextlib.suppress(psutil.Error, OSError):
            born = psutil.Process(self.pid).create_time()
            path.write_text(json.dumps({"pid": self.pid, "born": born}))


def kill_group(pid: int) -> None:
    """Kill a process group, if it is still there."""
    _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def kill_noted(path: Path) -> bool:
    """Kill the group that :meth:`ProcessGroup.note` wrote down, unless the number belongs to another process by now.

    Returns:
        Whether it still ran.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, psutil.Error):
        content = json.loads(path.read_text())
        if abs(psutil.Process(content["pid"]).create_time() - content["born"]) < SAME_BIRTH_S:
            kill_group(content["pid"])
            return True
    return False
