"""Datums in progress, which clients can inspect or restart."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pdk_stack.pachyderm.core.pps.datums import Datum
from pdk_stack.pachyderm.core.pps.logs import fits_files
from pdk_stack.pachyderm.store.clock import now_ns


@dataclass(frozen=True)
class RunningDatum:
    """A datum in a worker.

    Attributes:
        job: The job's database key.
        worker: The worker's name.
        datum: The datum.
        started: Start time, in nanoseconds since the epoch.
        cancelled: When set, the worker stops the datum's code; this counts as a failed attempt.
    """

    job: int
    worker: str
    datum: Datum
    started: int
    cancelled: threading.Event = field(default_factory=threading.Event)

    def fits(self, filters: Sequence[str]) -> bool:
        """Whether each filter equals the path or the hash of one of the datum's files."""
        return fits_files(filters, ((each.found.path, each.found.entry.hash.hex()) for each in self.datum.inputs))


class RunningDatums:
    """All datums in progress."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[RunningDatum] = []

    @contextmanager
    def datum(self, job: int, worker: str, datum: Datum) -> Iterator[RunningDatum]:
        """Register a datum as in progress for the duration of the block."""
        found = RunningDatum(job, worker, datum, now_ns())
        with self._lock:
            self._active.append(found)
        try:
            yield found
        finally:
            with self._lock:
                self._active.remove(found)

    def of_job(self, job: int) -> list[RunningDatum]:
        """List a job's datums in progress."""
        with self._lock:
            return [each for each in self._active if each.job == job]

    def cancel(self, job: int, filters: Sequence[str]) -> int:
        """Stop the code of a job's datums that match the filters; return their number."""
        found = [each for each in self.of_job(job) if each.fits(filters)]
        for each in found:
            each.cancelled.set()
        return len(found)
