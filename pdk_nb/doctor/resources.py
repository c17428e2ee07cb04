"""What this machine has left: free disk, and memory that programs can get."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pdk_shared.errors import PdkError

CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """What this machine has left.

    Attributes:
        disk: Free bytes, by the folders that the lab writes to.
        memory: Bytes that programs can get without swapping.
    """

    disk: Mapping[Path, int]
    memory: int

    @classmethod
    def look(cls, folders: Sequence[Path]) -> Machine:
        """Look at this machine.

        Args:
            folders: Folders that the lab writes to; the nearest existing parent counts.

        Raises:
            PdkError: A folder's disk can't be read.
        """
        import psutil

        free = {}
        for folder in dict.fromkeys(folders):
            existing = next(each for each in (folder, *folder.parents) if each.exists())
            try:
                free[folder] = shutil.disk_usage(existing).free
            except OSError as error:
                raise PdkError(f"The free disk can't be read: {error.strerror}.", where=str(existing)) from error
        return cls(free, min([psutil.virtual_memory().available, *_container_memory()]))


def _container_memory() -> list[int]:
    """What a container's limit leaves of the memory, if there is one: psutil knows only the whole machine.

    Source: ``memory.max``, ``memory.current``, and ``memory.stat`` of the kernel's control groups, version 2.
    """
    with contextlib.suppress(OSError, ValueError, KeyError):
        most = int((CGROUP / "memory.max").read_text())
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        # Pages of files that nobody uses are given back at once.
        used = int((CGROUP / "memory.current").read_text()) - int(stat["inactive_file"])
        return [max(0, most - used)]
    return []
