"""Pipelines' log lines: one file of JSON lines per pipeline, read with filters and follow."""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pdk_stack.common.database import Bell
from pdk_stack.pachyderm.store.clock import now_ns

log = logging.getLogger("pdk_stack.pachyderm.logs")

POLL_S = 0.5
# The key of the daemon's own log; pipeline keys start at 1.
DAEMON = 0


@dataclass(frozen=True)
class LogLine:
    """A log line.

    Attributes:
        ts: Time, in nanoseconds since the epoch.
        message: The text.
        job: The job's ID, or empty.
        datum: The datum's ID, or empty.
        worker: The worker that wrote it, or empty.
        master: Whether the pipeline's master wrote it, instead of a worker.
        user: Whether user code wrote it.
        data: Path and hash, in hexadecimal digits, of each of the datum's files.
    """

    ts: int
    message: str
    job: str = ""
    datum: str = ""
    worker: str = ""
    master: bool = False
    user: bool = False
    data: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class LogFilter:
    """A filter for log lines.

    Attributes:
        job: Only lines of this job.
        datum: Only lines of this datum.
        data: Only lines of datums that have all these paths or hashes.
        master: Whether to select the master's lines instead of the workers'.
        since: Only lines from this time on, in nanoseconds since the epoch.
    """

    job: str = ""
    datum: str = ""
    data: tuple[str, ...] = ()
    master: bool = False
    since: int = 0

    def fits(self, line: LogLine) -> bool:
        """Whether a line matches."""
        return (
            line.master == self.master
            and (not self.job or line.job == self.job)
            and (not self.datum or line.datum == self.datum)
            and fits_files(self.data, line.data)
            and line.ts >= self.since
        )


def fits_files(filters: Iterable[str], files: Iterable[tuple[str, str]]) -> bool:
    """Whether each filter is the path or the hash of one of a datum's files (``common.MatchDatum``).

    Args:
        filters: Paths, or hashes in hexadecimal digits or base64.
        files: Each file's path, and its hash in hexadecimal digits.
    """
    known: set[str] = set()
    for path, digest in files:
        known |= {path, path.rstrip("/") or "/", digest, base64.b64encode(bytes.fromhex(digest)).decode()}
    return known.issuperset(filters)


@dataclass
class _Position:
    """A read position in a file."""

    offset: int = 0


class DaemonLog(logging.Handler):
    """Stores the daemon's own log lines, so that clients can read them.

    Args:
        store: The log store.
    """

    def __init__(self, store: LogStore) -> None:
        super().__init__()
        self._store = store

    def emit(self, record: logging.LogRecord) -> None:
        """Store a line; skip the store's own lines, which would cause infinite recursion."""
        if record.name != log.name:
            self._store.write(DAEMON, self.format(record))


class LogStore:
    """The log lines of all pipelines.

    Args:
        folder: The folder for the log files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._bell = Bell()

    def _path(self, pipeline_pk: int) -> Path:
        return self._folder / f"{pipeline_pk}.jsonl"

    def write(self, pipeline_pk: int, message: str, **fields: object) -> None:
        """Append a line; :class:`LogLine` describes the fields."""
        line = LogLine(now_ns(), message, **fields)  # type: ignore[arg-type]
        kept = {key: value for key, value in asdict(line).items() if value}
        data = (json.dumps(kept) + "\n").encode()
        try:
            with self._lock:
                # One write per line: readers never see a partial one, and it survives a crash of this process.
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                descriptor = os.open(self._path(pipeline_pk), flags, 0o600)
                try:
                    os.write(descriptor, data)
                finally:
                    os.close(descriptor)
        except OSError as error:
            # A line lost to a full disk must not end the job that wrote it.
            log.warning("lost a log line: %s", error)
        self._bell.ring()

    def forget(self, pipeline_pk: int) -> None:
        """Delete a pipeline's lines."""
        self._path(pipeline_pk).unlink(missing_ok=True)

    def read(
        self,
        pipeline_pk: int,
        wanted: LogFilter,
        *,
        tail: int = 0,
        follow: bool = False,
        active: Callable[[], bool] = lambda: True,
    ) -> Iterator[LogLine]:
        """Yield lines in order.

        Args:
            pipeline_pk: The pipeline's key.
            wanted: The filter.
            tail: Maximum number of last lines; 0 or less means all.
            follow: Whether to wait for more lines.
            active: Returns False to end the wait.
        """
        place = _Position()
        earlier = (line for line in self._since(pipeline_pk, place) if wanted.fits(line))
        yield from deque(earlier, maxlen=tail) if tail > 0 else earlier
        while follow and active():
            seen, before = self._bell.count, place.offset
            for line in self._since(pipeline_pk, place):
                if wanted.fits(line):
                    yield line
            if place.offset == before:
                self._bell.wait(seen, POLL_S)

    def _since(self, pipeline_pk: int, place: _Position) -> Iterator[LogLine]:
        """Yield complete lines from a position on, and advance the position."""
        try:
            handle = self._path(pipeline_pk).open("rb")
        except FileNotFoundError:
            return
        with handle:
            handle.seek(place.offset)
            for raw in handle:
                if not raw.endswith(b"\n"):
                    return
                place.offset += len(raw)
                try:
                    content = json.loads(raw)
                except ValueError:
                    continue  # truncated by a power failure
                content.setdefault("message", "")
                # A line of an older release has no hashes.
                files = content.get("data", ())
                content["data"] = tuple((each, "") if isinstance(each, str) else tuple(each) for each in files)
                yield LogLine(**content)
