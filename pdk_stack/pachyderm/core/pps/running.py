"""Which datums are being processed right now, so that one can be looked at or started again."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pdk_stack.pachyderm.core.pps.datums import Datum
from pdk_stack.pachyderm.store.clock import now_ns


@dataclass(frozen=True)
class RunningDatum:
    """A datum in a worker.

    Attributes:
        job: The job's key in the database.
        worker: The worker's name.
        datum: The datum.
        started: Since when, in nanoseconds since the epoch.
        cancelled: When set, the worker ends the datum's code; it counts as a failed try.
    """

    job: int
    worker: str
    datum: Datum
    started: int
    cancelled: threading.Event = field(default_factory=threading.Event)

    def fits(self, filters: Sequence[str]) -> bool:
        """Whether each filter is the path or the hash of one of the datum's files (``common.MatchDatum``)."""
        known: set[str] = set()
        for each in self.datum.inputs:
            digest = each.found.entry.hash
            known |= {each.found.path, each.path, digest.hex(), base64.b64encode(digest).decode()}
        return known.issuperset(filters)


class RunningDatums:
    """All datums that are being processed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[RunningDatum] = []

    @contextmanager
    def datum(self, job: int, worker: str, datum: Datum) -> Iterator[RunningDatum]:
        """Names a datum as being processed for the length of the block."""
        found = RunningDatum(job, worker, datum, now_ns())
        with self._lock:
            self._active.append(found)
        try:
            yield found
        finally:
            with self._lock:
                self._active.remove(found)

    def of_job(self, job: int) -> list[RunningDatum]:
        """The datums of a job."""
        with self._lock:
            return [each for each in self._active if each.job == job]

    def cancel(self, job: int, filters: Sequence[str]) -> int:
        """End the code of a job's datums that fit the filters; how many they were."""
        found = [each for each in self.of_job(job) if each.fits(filters)]
        for each in found:
            each.cancelled.set()
        return len(found)
