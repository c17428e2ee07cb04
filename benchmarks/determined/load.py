"""What a trial of the dog-cat example loses while the master takes in other trials' logs and metrics.

python -m benchmarks.determined.load [--batches 200] [--rounds 3] [--lines 10000] [--reports 5000]

The same experiment in turns: alone, beside log lines, beside metric reports, and beside both, each coming in at a
steady rate from a process of its own. Taking them in needs processor time, and a trial that uses every core loses as
much to any other work; so each load has a *control*: processes that only count, for as long and as often as master
and sender ran. Once with a thread for every core, and once with one core left over. Compared is the time from the
first to the last training report; ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil

from benchmarks.determined.ingest import Reporter, new_trial, post_logs, session_of
from benchmarks.determined.trial import bench, on_master
from pdk_nb.local.determined.master import available_cores
from tests.local.determined.conftest import connect

#: A rate is kept in bursts: about so many a second.
BURSTS = 20
#: Metric reports come from so many trials at once; each waits for its reply.
REPORTERS = 16


def paced(ended: threading.Event, period: float, burst: Callable[[], Any]) -> int:
    """Call every ``period`` seconds, when late at once; how often it was."""
    count, due = 0, time.monotonic()
    while not ended.is_set():
        burst()
        count += 1
        due = max(due + period, time.monotonic() - 1.0)
        time.sleep(max(0.0, due - time.monotonic()))
    return count


def feed(address: str, lines: int, reports: int) -> None:
    """Send at a rate until the standard input closes; prints what was sent per second, as JSON."""
    ended, lock = threading.Event(), threading.Lock()
    session = session_of(address)
    sent = {"lines": 0, "reports": 0}

    def ship(task: str, rate: float) -> None:
        burst = max(1, round(rate / BURSTS))
        count = paced(ended, burst / rate, lambda: post_logs(session, address, task, burst, batch=burst))
        with lock:
            sent["lines"] += count * burst

    def report(trial: int, rate: float) -> None:
        burst = max(1, round(rate / BURSTS))
        with contextlib.closing(Reporter(session, address, trial)) as reporter:
            steps = itertools.count()
            count = paced(
                ended, burst / rate, lambda: [reporter.report(step) for step in itertools.islice(steps, burst)]
            )
        with lock:
            sent["reports"] += count * burst

    jobs: list[tuple[Callable[..., None], Any, float]] = []
    if lines:
        jobs.append((ship, new_trial(session, address)["taskId"], float(lines)))
    if reports:
        jobs += [(report, new_trial(session, address)["id"], reports / REPORTERS) for _ in range(REPORTERS)]
    senders = [threading.Thread(target=target, args=(whose, rate)) for target, whose, rate in jobs]
    started = time.monotonic()
    for each in senders:
        each.start()
    print("ready", flush=True)
    sys.stdin.read()
    ended.set()
    for each in senders:
        each.join()
    seconds = time.monotonic() - started
    print(json.dumps({name: round(count / seconds) for name, count in sent.items()}), flush=True)


def spin(share: float) -> None:
    """Only count, for a share of one core, until the standard input closes."""

    def count() -> None:
        end = time.process_time() + share / BURSTS
        while time.process_time() < end:
            sum(range(200))

    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print("ready", flush=True)
    paced(ended, 1 / BURSTS, count)
    print("{}", flush=True)


class Helper:
    """A process beside the trial: this module with its own hidden arguments, until it is told to end."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "benchmarks.determined.load", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        assert self._process.stdout is not None and self._process.stdout.readline() == "ready\n"

    def end(self) -> dict[str, Any]:
        """What it says at its end."""
        said: dict[str, Any] = json.loads(self._process.communicate("")[0])
        return said


def processor(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    return sum(psutil.Process(pid).cpu_times()[:2])


@dataclass
class Load:
    """One kind of load, and what it did.

    Attributes:
        lines: Log lines a second.
        reports: Metric reports a second.
        ratios: Training time beside the load, against alone, of each round.
        controls: The same beside processes that only count.
        cores: Cores that master and sender used.
        reached: What was sent a second, in the last round.
    """

    lines: int
    reports: int
    ratios: list[float] = field(default_factory=list)
    controls: list[float] = field(default_factory=list)
    cores: list[tuple[float, float]] = field(default_factory=list)
    reached: dict[str, int] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """For people."""
        master, sender = (statistics.median(each) for each in zip(*self.cores, strict=True))
        against = [mine / other for mine, other in zip(self.ratios, self.controls, strict=True)]
        return {
            "sent_per_second": {name: count for name, count in self.reached.items() if count},
            "cores_of_master_and_sender": [round(master, 2), round(sender, 2)],
            "against_alone": round(statistics.median(self.ratios), 3),
            "control_against_alone": round(statistics.median(self.controls), 3),
            "against_control": round(statistics.median(against), 3),
        }


def measure(loads: dict[str, Load], batches: int, rounds: int, threads: int) -> dict[str, Any]:
    """All loads in turns, beside a trial with so many threads."""
    alone: list[float] = []
    with bench(batches) as (master, config, folder):
        client, address = connect(master), master.ready["determined"]
        assert master.process is not None
        pid = master.process.pid

        def train() -> float:
            return on_master(client, config, folder, OMP_NUM_THREADS=str(threads))[1]

        for number in range(rounds):
            used, started = processor(pid), time.monotonic()
            alone.append(train())
            idle = (processor(pid) - used) / (time.monotonic() - started)
            for name, load in loads.items():
                sender = Helper("--feed", address, "--lines", str(load.lines), "--reports", str(load.reports))
                used, started = (processor(pid), processor(sender.pid)), time.monotonic()
                load.ratios.append(train() / alone[-1])
                seconds = time.monotonic() - started
                # What the master does for the trial itself is no load.
                cores = (processor(pid) - used[0]) / seconds - idle, (processor(sender.pid) - used[1]) / seconds
                load.cores.append(cores)
                load.reached = sender.end()
                counters = [Helper("--spin", str(max(0.0, share))) for share in cores]
                load.controls.append(train() / alone[-1])
                for each in counters:
                    each.end()
                print(
                    f"{threads} threads, round {number + 1}: alone {alone[-1]:.2f} s, {name} {load.ratios[-1]:.3f}, "
                    f"control {load.controls[-1]:.3f}",
                    file=sys.stderr,
                )
    return {"training_s": round(statistics.median(alone), 2)} | {name: load.summary() for name, load in loads.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--reports", type=int, default=5_000)
    parser.add_argument("--feed", default="", help=argparse.SUPPRESS)
    parser.add_argument("--spin", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.feed:
        feed(arguments.feed, arguments.lines, arguments.reports)
        return
    if arguments.spin is not None:
        spin(arguments.spin)
        return
    cores = available_cores()
    result: dict[str, Any] = {"batches": arguments.batches, "cores": cores}
    for threads in sorted({max(1, cores - 1), cores}):
        loads = {
            "logs": Load(arguments.lines, 0),
            "metrics": Load(0, arguments.reports),
            "both": Load(arguments.lines, arguments.reports),
        }
        result[f"{threads}_threads"] = measure(loads, arguments.batches, arguments.rounds, threads)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
