"""What a process holds: descriptors, threads, memory."""

from __future__ import annotations

from dataclasses import dataclass, fields

import psutil

MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Vitals:
    """What a process holds.

    Attributes:
        descriptors: Open files, sockets and the like.
        threads: Threads.
        megabytes: Resident memory, in MiB.
    """

    descriptors: float
    threads: float
    megabytes: float

    def __sub__(self, other: Vitals) -> Vitals:
        return Vitals(*(getattr(self, each.name) - getattr(other, each.name) for each in fields(self)))

    def above(self, limits: Vitals) -> list[str]:
        """Return a phrase for everything that exceeds its limit."""
        return [
            f"{getattr(self, each.name):.0f} {each.name}"
            for each in fields(self)
            if getattr(self, each.name) > getattr(limits, each.name)
        ]


def vitals(pid: int) -> Vitals:
    """Return what a process holds now.

    Raises:
        psutil.NoSuchProcess: It has ended.
    """
    process = psutil.Process(pid)
    with process.oneshot():
        return Vitals(process.num_fds(), process.num_threads(), process.memory_info().rss / MEGABYTE)
