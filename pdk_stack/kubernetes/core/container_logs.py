"""Container logs: the lines as the process wrote them, and an index of when each part was written.

The kubelet writes a time before each line. Here the process writes its file directly, at no extra cost, and a small
index records the file's size over time, which dates lines to a tenth of a second.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from pdk_stack.common.polling import Deadline, poll
from pdk_stack.common.processes import ProcessGroup

POLL_SECONDS = 0.1
PIECE_BYTES = 64 << 10
# A disconnected client is noticed at the next line, or after this time if the log is silent.
FOLLOW_SECONDS = 1800.0


def times_path(log: Path) -> Path:
    """Return the path of a log's index."""
    return log.with_name(f"{log.name}.times")


def previous_path(log: Path) -> Path:
    """Return the path of the log of the container's previous process."""
    return log.with_name(f"{log.stem}.previous.log")


def rotate(log: Path) -> None:
    """Rename a log and its index to the previous ones."""
    for path, target in ((log, previous_path(log)), (times_path(log), times_path(previous_path(log)))):
        with contextlib.suppress(FileNotFoundError):
            path.replace(target)


def keep_times(log: Path, process: ProcessGroup) -> None:
    """Write a log's index in a separate thread until its process ends.

    Args:
        log: The log, which must exist.
        process: The process that writes it.
    """
    # Open the files here: by the time the thread runs, a new process can have taken the names.
    content, index = log.open("rb"), times_path(log).open("w")

    def run() -> None:
        size = 0

        def noted() -> bool:
            nonlocal size
            ended = not process.running
            grown = content.seek(0, os.SEEK_END)
            if grown > size:
                index.write(f"{grown} {time.time():.3f}\n")
                index.flush()
                size = grown
            return ended

        with content, index:
            poll(noted, None, POLL_SECONDS)

    threading.Thread(target=run, name=f"times-{log.parent.name}", daemon=True).start()


class Times:
    """Write times of a log's bytes.

    Args:
        log: The log.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._ends: list[int] = []
        self._moments: list[float] = []
        self.read()

    def read(self) -> None:
        """Read the current index."""
        entries: list[list[str]] = []
        with contextlib.suppress(FileNotFoundError):
            entries = [line.split() for line in times_path(self._log).read_text().splitlines()]
        whole = [each for each in entries if len(each) == 2]
        self._ends = [int(end) for end, _ in whole]
        self._moments = [float(moment) for _, moment in whole]

    def of(self, position: int) -> float:
        """Return when the byte at a position was written; the current time if not yet indexed."""
        place = bisect.bisect_right(self._ends, position)
        return self._moments[place] if place < len(self._moments) else time.time()

    def since(self, moment: float) -> int:
        """Return the position of the first byte written after a time."""
        place = bisect.bisect_left(self._moments, moment)
        return self._ends[place - 1] if place else 0


def start_of(log: Path, tail: int | None, since: float | None) -> int:
    """Return the position where reading begins.

    Args:
        log: The log.
        tail: Number of last lines; None for all.
        since: Seconds since the epoch; skips older lines. None for all.
    """
    content = log.read_bytes()
    start = 0
    if since is not None:
        start = Times(log).since(since)
        if start and content[start - 1 : start] != b"\n":
            # A line's time is when it began.
            end = content.find(b"\n", start)
            start = len(content) if end < 0 else end + 1
    if tail is not None:
        kept = content[start:].splitlines(keepends=True)[-tail:] if tail else []
        start = len(content) - sum(map(len, kept))
    return start


def stamped(position: int, line: bytes, times: Times) -> bytes:
    """Prefix a line with its time as the kubelet does: RFC 3339 with nanoseconds."""
    moment = datetime.fromtimestamp(times.of(position), timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z ").encode() + line


def lines_of(log: Path, start: int, *, with_times: bool) -> bytes:
    """Yield a log's lines from a position on."""
    content = log.read_bytes()[start:]
    if not with_times:
        return content
    times, position, found = Times(log), start, []
    for line in content.splitlines(keepends=True):
        found.append(stamped(position, line, times))
        position += len(line)
    return b"".join(found)


def follow(log: Path, start: int, wanted: Callable[[], bool], *, with_times: bool) -> Iterator[bytes]:
    """Yield complete lines of a log as it grows, until its container ends or the reader stops.

    Args:
        log: The log.
        start: The first position.
        wanted: Returns whether to continue.
        with_times: Whether to prefix each line with its time.
    """
    deadline, times, rest = Deadline(FOLLOW_SECONDS), Times(log), b""
    with log.open("rb") as content:
        position = content.seek(start)

        def last() -> bool:
            # A restarted container writes a new file of this name.
            return not wanted() or deadline.over or not _is_same(log, content.fileno())

        def grown() -> bool:
            return os.fstat(content.fileno()).st_size > content.tell()

        ended = False
        while not ended:
            ended = last()
            while piece := content.read(PIECE_BYTES):
                if not with_times:
                    yield piece
                    continue
                *whole, rest = (rest + piece).split(b"\n")
                times.read()
                for line in whole:
                    yield stamped(position, line + b"\n", times)
                    position += len(line) + 1
            if not ended:
                poll(lambda: grown() or last(), None, POLL_SECONDS)
        if rest:
            yield stamped(position, rest, times)


def _is_same(path: Path, number: int) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(number))
    return False
