"""Processes of trials: each trial a process group, read through pipes and ended with all that it started.

A process group is not all of a trial: launchers (torchrun, mpirun) start sessions of their own. Those processes are
found by the variables of the environment that they inherit.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil

from pdk_stack.common.processes import ProcessGroup
from pdk_stack.common.service import LOOPBACK

__all__ = ["end_tree", "free_port_block", "processes_of", "start"]

CHUNK = 65536
_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self" / "environ").exists()


def start(
    command: list[str], environment: dict[str, str], folder: Path, on_output: Callable[[str, bytes], None]
) -> tuple[ProcessGroup, list[threading.Thread]]:
    """Start a trial and read what it prints.

    Args:
        on_output: Called with ``stdout`` or ``stderr`` and what came; with empty bytes at the end.

    Returns:
        The process, and the threads that read; they end when every writer has closed the pipe.
    """
    group = ProcessGroup(command, environment, folder=folder, stderr=subprocess.PIPE)
    readers = []
    for name, pipe in (("stdout", group.stdout), ("stderr", group.stderr)):
        assert pipe is not None
        thread = threading.Thread(target=_read, args=(pipe, name, on_output), daemon=True)
        thread.start()
        readers.append(thread)
    return group, readers


def _read(pipe: IO[bytes], name: str, on_output: Callable[[str, bytes], None]) -> None:
    with contextlib.closing(pipe):
        while chunk := os.read(pipe.fileno(), CHUNK):
            on_output(name, chunk)
    on_output(name, b"")


def processes_of(cluster_id: str, allocation_id: str | None = None) -> list[psutil.Process]:
    """Processes of this master's trials, found by their environment: launchers start sessions of their own.

    Args:
        allocation_id: Only those of one allocation; of all when None.
    """
    wanted = {f"DET_CLUSTER_ID={cluster_id}".encode()}
    if allocation_id is not None:
        wanted.add(f"DET_ALLOCATION_ID={allocation_id}".encode())
    found = []
    for pid in psutil.pids():
        if pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error, OSError):
            if wanted <= _environment(pid):
                found.append(psutil.Process(pid))
    return found


def _environment(pid: int) -> set[bytes]:
    """The entries of a process's environment; empty for other users' processes."""
    if _HAS_PROC:
        # Much quicker than through psutil, and this is done at the end of every run.
        return set((_PROC / str(pid) / "environ").read_bytes().split(b"\0"))
    return {f"{name}={value}".encode() for name, value in psutil.Process(pid).environ().items()}


def end_tree(group: ProcessGroup | None, cluster_id: str, allocation_id: str | None = None) -> None:
    """Kill every process of an allocation, or of all trials of this master.

    Args:
        group: The process that was started, if this master started one.
    """
    if group is not None:
        group.kill()
    # A process may start while others are killed: look again until none is left.
    for _ in range(10):
        left = processes_of(cluster_id, allocation_id)
        if not left:
            return
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.kill()
        psutil.wait_procs(left, timeout=2)


def free_port_block(count: int, taken: set[int]) -> int:
    """The first of ``count`` neighbouring free ports on loopback.

    Args:
        taken: Ports that are reserved but not open yet.
    """
    for first in range(20000 + os.getpid() % 64 * 97, 32000, count):
        block = range(first, first + count)
        if not taken.intersection(block) and all(_is_free(port) for port in block):
            return first
    raise OSError("no free ports between 20000 and 32000")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
