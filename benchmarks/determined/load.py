"""What a trial of the dog-cat example loses while the master takes in other trials' logs and metrics.

python -m benchmarks.determined.load [--batches 200] [--rounds 3] [--lines 10000] [--reports 5000]

The same experiment on one slot, in turns: alone, beside log lines, beside metric reports, and beside both, each coming
in at a steady rate from a process of its own. Compared is the time from the first to the last training report.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.determined.ingest import new_trial, post_logs, post_metrics, session_of
from benchmarks.determined.trial import bench, on_master
from tests.local.determined.conftest import connect

#: A rate is kept in bursts: so many a second.
BURSTS = 20


def feed(address: str, lines: int, reports: int) -> None:
    """Send at a rate until the standard input closes; prints what was sent per second, as JSON."""
    ended = threading.Event()
    session = session_of(address)
    trial = new_trial(session, address)
    sent = {"lines": 0, "reports": 0}

    def keep(name: str, rate: int, send: Any) -> None:
        burst, due = rate // BURSTS, time.monotonic()
        while not ended.is_set():
            send(burst)
            sent[name] += burst
            due = max(due + 1 / BURSTS, time.monotonic() - 1.0)
            time.sleep(max(0.0, due - time.monotonic()))

    senders = {
        "lines": (lines, lambda count: post_logs(session, address, trial["taskId"], count, batch=count)),
        "reports": (reports, lambda count: post_metrics(session, address, trial["id"], count, 1)),
    }
    threads = [threading.Thread(target=keep, args=(name, rate, send)) for name, (rate, send) in senders.items() if rate]
    started = time.monotonic()
    for each in threads:
        each.start()
    print("ready", flush=True)
    sys.stdin.read()
    ended.set()
    for each in threads:
        each.join()
    seconds = time.monotonic() - started
    print(json.dumps({name: round(count / seconds) for name, count in sent.items()}), flush=True)


@contextlib.contextmanager
def load(address: str, lines: int, reports: int, achieved: dict[str, int]) -> Iterator[None]:
    """Send from another process while the block runs."""
    command = [sys.executable, "-m", "benchmarks.determined.load", "--feed", address]
    command += ["--lines", str(lines), "--reports", str(reports)]
    feeder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert feeder.stdout is not None and feeder.stdout.readline() == "ready\n"
    try:
        yield
    finally:
        said, _ = feeder.communicate("")
        achieved.update(json.loads(said))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--reports", type=int, default=5_000)
    parser.add_argument("--feed", default="", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.feed:
        feed(arguments.feed, arguments.lines, arguments.reports)
        return
    loads = {
        "alone": (0, 0),
        "logs": (arguments.lines, 0),
        "metrics": (0, arguments.reports),
        "both": (arguments.lines, arguments.reports),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loads}
    rates: dict[str, dict[str, int]] = {name: {} for name in loads}
    with bench(arguments.batches) as (master, config, folder):
        client, address = connect(master), master.ready["determined"]
        for number in range(arguments.rounds):
            for kind, (lines, reports) in loads.items():
                with load(address, lines, reports, rates[kind]):
                    seconds[kind].append(on_master(client, config, folder / "context")[1])
            print(f"round {number + 1}: { ({kind: each[-1] for kind, each in seconds.items()}) }", file=sys.stderr)
    result: dict[str, Any] = {"batches": arguments.batches, "training_s": round(statistics.median(seconds["alone"]), 2)}
    for kind in list(loads)[1:]:
        ratios = [loaded / alone for loaded, alone in zip(seconds[kind], seconds["alone"], strict=True)]
        result[kind] = {"ratio": round(statistics.median(ratios), 3), "per_second": rates[kind]}
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
