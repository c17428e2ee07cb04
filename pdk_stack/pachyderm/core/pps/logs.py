"""Log lines of pipelines: one file of JSON lines each, read by filter, with follow."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pdk_stack.common.database import Bell
from pdk_stack.pachyderm.store.clock import now_ns

log = logging.getLogger("pdk_stack.pachyderm.logs")

POLL_S = 0.5
# Whose lines the daemon's own are; pipelines have keys from 1.
DAEMON = 0


@dataclass(frozen=True)
class LogLine:
    """A line.

    Attributes:
        ts: When, in nanoseconds since the epoch.
        message: The text.
        job: The job's id, or empty.
        datum: The datum's id, or empty.
        worker: Which worker wrote it, or empty.
        master: Whether the pipeline's master wrote it, not a worker.
        user: Whether the user's code wrote it.
        data: Paths of the datum's files.
    """

    ts: int
    message: str
    job: str = ""
    datum: str = ""
    worker: str = ""
    master: bool = False
    user: bool = False
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class LogFilter:
    """Which lines are wanted.

    Attributes:
        job: Only of this job.
        datum: Only of this datum.
        data: Only of datums that hold all these paths.
        master: Lines of the master, or else of the workers.
        since: Only from this moment on, in nanoseconds since the epoch.
    """

    job: str = ""
    datum: str = ""
    data: tuple[str, ...] = ()
    master: bool = False
    since: int = 0

    def fits(self, line: LogLine) -> bool:
        """Whether a line is wanted."""
        return (
            line.master == self.master
            and (not self.job or line.job == self.job)
            and (not self.datum or line.datum == self.datum)
            and all(path in line.data for path in self.data)
            and line.ts >= self.since
        )


@dataclass
class _Position:
    """Where in a file the reading has arrived."""

    offset: int = 0


class DaemonLog(logging.Handler):
    """Keeps the daemon's own log lines where clients can ask for them.

    Args:
        store: Where they go.
    """

    def __init__(self, store: LogStore) -> None:
        super().__init__()
        self._store = store

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line; the store's own lines would never end."""
        if record.name != log.name:
            self._store.write(DAEMON, self.format(record))


class LogStore:
    """All pipelines' lines.

    Args:
        folder: Where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._bell = Bell()

    def _path(self, pipeline_pk: int) -> Path:
        return self._folder / f"{pipeline_pk}.jsonl"

    def write(self, pipeline_pk: int, message: str, **fields: object) -> None:
        """Append a line; for the fields see :class:`LogLine`."""
        line = LogLine(now_ns(), message, **fields)  # type: ignore[arg-type]
        kept = {key: value for key, value in asdict(line).items() if value}
        data = (json.dumps(kept) + "\n").encode()
        try:
            with self._lock:
                # One write per line: readers never see half of one, and it survives this process.
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                descriptor = os.open(self._path(pipeline_pk), flags, 0o600)
                try:
                    os.write(descriptor, data)
                finally:
                    os.close(descriptor)
        except OSError as error:
            # A line less on a full disk must not end the job that wrote it.
            log.warning("a log line is lost: %s", error)
        self._bell.ring()

    def forget(self, pipeline_pk: int) -> None:
        """Remove a pipeline's lines."""
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
        """Lines in order.

        Args:
            pipeline_pk: Whose lines.
            wanted: Which of them.
            tail: Only so many of the last ones; all when 0.
            follow: Whether to wait for more.
            active: False ends the wait.
        """
        place = _Position()
        earlier = (line for line in self._since(pipeline_pk, place) if wanted.fits(line))
        yield from deque(earlier, maxlen=tail) if tail else earlier
        while follow and active():
            seen, before = self._bell.count, place.offset
            for line in self._since(pipeline_pk, place):
                if wanted.fits(line):
                    yield line
            if place.offset == before:
                self._bell.wait(seen, POLL_S)

    def _since(self, pipeline_pk: int, place: _Position) -> Iterator[LogLine]:
        """Whole lines from a place on; the place moves with them."""
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
                    continue  # cut short by a power failure
                content.setdefault("message", "")
                content["data"] = tuple(content.get("data", ()))
                yield LogLine(**content)
