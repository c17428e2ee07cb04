"""Child processes, each in its own process group and killed together with its descendants.

:meth:`ProcessGroup.note` records a process so that, after a crash of the parent, :func:`kill_noted` can find and kill
what is still running.
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

__all__ = ["OWNER_VARIABLE", "ProcessGroup", "kill_group", "kill_noted", "owned_by"]

# In the environment of everything that a stack starts: the state folder of that stack.
OWNER_VARIABLE = "PDK_STACK_OWNER"
# Two processes with the same PID start at least this far apart.
SAME_BIRTH_S = 0.01


class ProcessGroup:
    """A child process and everything that it starts in its process group.

    Args:
        command: The program and its arguments.
        environment: The child's complete environment.
        folder: The working directory.
        stdin: Standard input; empty by default.
        stdout: Standard output.
        stderr: Standard error; merged into standard output by default.

    Raises:
        OSError: The program can't be started.
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
        # Not part of what callers choose: services pass only chosen variables to code of users.
        owner = {name: value for name, value in os.environ.items() if name == OWNER_VARIABLE}
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env={**owner, **environment},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            bufsize=0 if stdin == subprocess.DEVNULL else -1,
            # A new session makes a new group and shields it from a terminal's Ctrl-C: the parent decides when it ends.
            start_new_session=True,
        )
        self.stdin = self._process.stdin
        self.stdout = self._process.stdout
        self.stderr = self._process.stderr

    @property
    def pid(self) -> int:
        """The child's process ID, which is also its group's ID."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the child itself is still running."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The child's exit code; negative for a signal, None while it is running."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the child to exit.

        Args:
            timeout: Maximum time to wait, in seconds.

        Returns:
            The exit code, or None if the child is still running.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def signal(self, number: int) -> None:
        """Send a signal to the whole group, if it still exists."""
        _signal_group(self.pid, number)

    def kill(self) -> int:
        """Kill the whole group, including what the child left running; return the child's exit code."""
        self.signal(signal.SIGKILL)
        return self._process.wait()

    def stop(self, grace: float) -> int:
        """Stop the group: SIGTERM, then SIGKILL after ``grace`` seconds; return the child's exit code."""
        if self.running:
            self.signal(signal.SIGTERM)
            self.wait(grace)
        return self.kill()

    def note(self, path: Path) -> None:
        """Record this process in a file, for :func:`kill_noted` after a crash of the parent."""
        with contextlib.suppress(psutil.Error, OSError):
            born = psutil.Process(self.pid).create_time()
            path.write_text(json.dumps({"pid": self.pid, "born": born}))


def kill_group(pid: int) -> None:
    """Kill a process group, if it still exists."""
    _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def kill_noted(path: Path) -> bool:
    """Kill the group that :meth:`ProcessGroup.note` recorded, unless its PID now belongs to another process.

    Returns:
        Whether the group was still running.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, psutil.Error):
        content = json.loads(path.read_text())
        if abs(psutil.Process(content["pid"]).create_time() - content["born"]) < SAME_BIRTH_S:
            kill_group(content["pid"])
            return True
    return False


def owned_by(owner: str) -> list[psutil.Process]:
    """The processes that a stack started: by their environment, their process group, or their parents.

    Args:
        owner: The value of ``PDK_STACK_OWNER`` in their environment: the stack's state folder.

    Returns:
        The processes, without this one and its parents.
    """
    found: dict[int, psutil.Process] = {}
    others: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(OWNER_VARIABLE) == owner:
                found[process.pid] = process
                continue
        others.append(process)
    # A program can change its environment. It still belongs to its group, whose leader has the group's number.
    for process in others:
        with contextlib.suppress(OSError):
            if os.getpgid(process.pid) in found:
                found[process.pid] = process
    for process in list(found.values()):
        with contextlib.suppress(psutil.Error, OSError):
            found.update((child.pid, child) for child in process.children(recursive=True))
    mine = {os.getpid(), *(each.pid for each in psutil.Process().parents())}
    return [process for pid, process in found.items() if pid not in mine]
