"""Trial processes: each trial is a process group, read through pipes and ended with all its descendants.

Launchers (torchrun, mpirun) start sessions outside the process group. Those processes are found by the environment
variables that they inherit.
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
    """Start a trial and read its output.

    Args:
        on_output: Called with ``stdout`` or ``stderr`` and the bytes read; empty bytes mark the end.

    Returns:
        The process, and the reader threads, which end when every writer has closed the pipe.
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
    """Find the processes of this master's trials by their environment.

    Args:
        allocation_id: The allocation; None means all.
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
    """Read a process's environment; empty for other users' processes."""
    if _HAS_PROC:
        # Much faster than psutil, and this runs at the end of every run.
        return set((_PROC / str(pid) / "environ").read_bytes().split(b"\0"))
    return {f"{name}={value}".encode() for name, value in psutil.Process(pid).environ().items()}


def end_tree(group: ProcessGroup | None, cluster_id: str, allocation_id: str | None = None) -> None:
    """Kill every process of an allocation, or of all this master's trials.

    Args:
        group: The process that this master started, if any.
    """
    if group is not None:
        group.kill()
    # A process can start others while it is being killed, so repeat until none is left.
    for _ in range(10):
        left = processes_of(cluster_id, allocation_id)
        if not left:
            return
        for each in left:
            with contextlib.suppress(psutil.Error):
                each.kill()
        psutil.wait_procs(left, timeout=2)


def free_port_block(count: int, taken: set[int]) -> int:
    """Find ``count`` consecutive free ports on loopback and return the first.

    Args:
        taken: Ports that are reserved but not yet open.
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
