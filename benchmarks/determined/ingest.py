"""How fast the master takes logs and metrics in, and how a very long log is read and followed.

python -m benchmarks.determined.ingest [--lines 1000000]

The promise is 3,000 metric reports a second. What a machine does in one moment depends on what else it does, so two
references run in between: the same requests to a server that does nothing with them, through the same HTTP code, and
the same rows written straight into SQLite.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import requests

from tests.stack.determined.conftest import USER_PASSWORD, new_master

BATCH = 1000
CLIENTS = 4
PROMISED_REPORTS = 3000


def session_of(address: str) -> requests.Session:
    """A logged-in session."""
    from pdk_stack.determined.core.accounts import client_hash

    session = requests.Session()
    body = {"username": "determined", "password": client_hash(USER_PASSWORD), "isHashed": True}
    token = session.post(f"{address}/api/v1/auth/login", data=json.dumps(body), timeout=10).json()["token"]
    session.headers["Authorization"] = f"Bearer {token}"
    return session


def new_trial(session: requests.Session, address: str) -> dict[str, Any]:
    """A started trial that runs nowhere."""
    body = {"config": "name: bench\nsearcher: {name: single, metric: loss}\n", "unmanaged": True}
    experiment = session.post(f"{address}/api/v1/experiments", data=json.dumps(body), timeout=10).json()["experiment"]
    body = {"experimentId": experiment["id"], "unmanaged": True}
    trial: dict[str, Any] = session.post(f"{address}/api/v1/trials", data=json.dumps(body), timeout=10).json()["trial"]
    start = json.dumps({"trialId": trial["id"]})
    session.post(f"{address}/api/v1/trials/{trial['id']}/start", data=start, timeout=10).raise_for_status()
    return trial


def post_logs(session: requests.Session, address: str, task: str, lines: int, batch: int = BATCH) -> float:
    """Lines per second, posted in batches as the log shipper does."""
    entry = {"task_id": task, "log": "x" * 80 + "\n", "level": "LOG_LEVEL_INFO", "timestamp": "2025-01-01T00:00:00Z"}
    data = json.dumps({"logs": [entry] * batch})
    started = time.monotonic()
    for _ in range(lines // batch):
        session.post(f"{address}/api/v1/task/logs", data=data, timeout=30).raise_for_status()
    return lines / (time.monotonic() - started)


class Reporter:
    """One connection that reports metrics, one request each.

    The plainest client there is: on two cores a client that takes replies apart would measure itself.

    Args:
        session: A logged-in session.
        address: The master's.
        trial: Whose metrics.
    """

    def __init__(self, session: requests.Session, address: str, trial: int) -> None:
        host, port = address.removeprefix("http://").split(":")
        self._connection = socket.create_connection((host, int(port)), timeout=30)
        self._trial = trial
        self._head = (
            f"POST /api/v1/trials/{trial}/metrics HTTP/1.1\r\nHost: {host}:{port}\r\n"
            f"Authorization: {session.headers['Authorization']!s}\r\n"
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def fileno(self) -> int:
        """The connection's number, for those who wait for several."""
        return self._connection.fileno()

    def send(self, step: int) -> None:
        """Send a report."""
        data = (
            f'{{"group": "training", "metrics": {{"trialId": {self._trial}, "trialRunId": 1, "stepsCompleted": {step}, '
            '"metrics": {"avgMetrics": {"loss": 0.5}}}}'
        )
        self._connection.sendall(f"{self._head}Content-Length: {len(data)}\r\n\r\n{data}".encode())

    def take(self) -> None:
        """Wait for the reply."""
        reply = b""
        while not reply.endswith(b"\r\n\r\n{}"):
            reply += self._connection.recv(4096) or b"(closed)\r\n\r\n{}"
        assert reply.startswith(b"HTTP/1.1 200"), reply

    def report(self, step: int) -> None:
        """Report, and wait for the reply."""
        self.send(step)
        self.take()


def post_metrics(session: requests.Session, address: str, trial: int, reports: int, clients: int) -> float:
    """Reports per second from several clients."""

    def run(first: int) -> None:
        with contextlib.closing(Reporter(session, address, trial)) as reporter:
            for step in range(first, reports, clients):
                reporter.report(step)

    started = time.monotonic()
    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return reports / (time.monotonic() - started)


@contextlib.contextmanager
def empty_server() -> Iterator[str]:
    """The address of a server that answers every request with an empty map, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.determined.ingest", "--serve-nothing"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate("")


def serve_nothing() -> None:
    """Serve until the standard input closes."""
    from starlette.responses import Response

    from pdk_stack.common.http.exchange import endpoint
    from pdk_stack.common.http.server import Server
    from pdk_stack.common.limits import PORTS

    limits = PORTS["determined.master"]
    server = Server("benchmark.nothing", 0, limits)
    server.start(endpoint(lambda exchange: None, lambda exchange: Response(b"{}"), lambda *_: Response(b""), limits))
    print(f"http://127.0.0.1:{server.port}", flush=True)
    sys.stdin.read()
    server.stop()


def write_rows(folder: Path, lines: int) -> float:
    """Rows per second, written in batches straight into SQLite with the master's settings and tables."""
    from pdk_stack.determined.store.documents import SCHEMA

    rows = [("task", None, "2025-01-01T00:00:00Z", "INFO", None, None, None, None, None, "x" * 80 + "\n")] * BATCH
    with contextlib.closing(sqlite3.connect(folder / "reference.sqlite", isolation_level=None)) as db:
        db.executescript(f"pragma journal_mode = wal; pragma synchronous = normal; {SCHEMA.script}")
        started = time.monotonic()
        for _ in range(lines // BATCH):
            db.execute("begin")
            db.executemany(
                "insert into logs(task_id, allocation_id, timestamp, level, source, stdtype, rank_id, agent_id, "
                "container_id, log) values(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            db.execute("commit")
        return lines / (time.monotonic() - started)


def read_log(session: requests.Session, address: str, trial: int, **params: Any) -> tuple[int, float]:
    """Lines and seconds of one reading of a log."""
    started, lines = time.monotonic(), 0
    with session.get(f"{address}/api/v1/trials/{trial}/logs", params=params, stream=True, timeout=600) as reply:
        for chunk in reply.iter_content(1 << 16):
            lines += chunk.count(b"\n")
    return lines, time.monotonic() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--reports", type=int, default=15_000)
    parser.add_argument("--serve-nothing", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_nothing:
        serve_nothing()
        return
    with tempfile.TemporaryDirectory() as name, empty_server() as nothing:
        master = new_master(Path(name)).start()
        try:
            address, memory = master.ready["determined"], psutil.Process(master.process.pid)  # type: ignore[union-attr]
            session = session_of(address)
            trial = new_trial(session, address)
            result: dict[str, Any] = {
                "log_lines_per_second": round(post_logs(session, address, trial["taskId"], arguments.lines)),
                "rows_per_second_sqlite_alone": round(write_rows(Path(name), arguments.lines)),
            }
            # In turns, so that all three see the same machine.
            rates: dict[str, list[float]] = {address: [], nothing: []}
            cpu = 0.0
            for where in (address, nothing) * 3:
                before = sum(memory.cpu_times()[:2])
                rates[where].append(post_metrics(session, where, trial["id"], arguments.reports // 3, CLIENTS))
                cpu += sum(memory.cpu_times()[:2]) - before if where == address else 0.0
            reports, empty = (statistics.median(rates[where]) for where in (address, nothing))
            result |= {
                "metric_reports_per_second": round(reports),
                "requests_per_second_server_alone": round(empty),
                "reports_against_server_alone": round(reports / empty, 2),
                "master_cpu_us_per_report": round(1e6 * cpu / arguments.reports),
                "promise_of_reports_kept": reports >= PROMISED_REPORTS,
            }
            size = memory.memory_info().rss
            lines, seconds = read_log(session, address, trial["id"])
            result |= {"lines_read": lines, "lines_read_per_second": round(lines / seconds)}
            result["tail_of_100_ms"] = round(
                1000 * read_log(session, address, trial["id"], limit=100, orderBy="ORDER_BY_DESC")[1]
            )
            # Following ends with the task.
            ended = json.dumps({"state": "STATE_COMPLETED"})
            session.patch(f"{address}/api/v1/trials/{trial['id']}", data=ended, timeout=30).raise_for_status()
            lines, seconds = read_log(session, address, trial["id"], follow="true")
            result |= {"lines_followed": lines, "lines_followed_per_second": round(lines / seconds)}
            result["reading_grew_memory_mib"] = round((memory.memory_info().rss - size) / 2**20)
            print(json.dumps(result, indent=1))
        finally:
            master.stop()


if __name__ == "__main__":
    main()
