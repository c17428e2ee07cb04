"""What a trial of the dog-cat example loses while the master takes in other trials' logs and metrics.

python -m benchmarks.determined.load [--rounds 8] [--seconds 4] [--lines 10000] [--reports 3000] [--threads 1 2]

One trial trains the whole time, and its batches are counted in short phases: alone, beside log lines, alone, beside
metric reports, alone, beside both, and so on. A process of its own sends lines and reports at a steady rate. Taking
them in needs processor time, and a trial that uses every core loses as much to any other work. So each load is followed
by its *control*: processes that only count, for as long and as often as master and sender ran. All of it runs twice:
with a trial that leaves one core free, and with a trial that has a thread for every core.

The result is two ratios against the phases alone before and after, as quartiles over the rounds:

* the time per batch, with the trial's reports, validations and checkpoints. It holds everything, also that a machine
  shared with others is faster one moment and slower the next, which can be more than what a load costs;
* how long the trial waited for a processor: the time per second of its own processor time. It does not depend on how
  fast the processor is.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import selectors
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import psutil

from benchmarks.determined.ingest import Reporter, new_trial, post_logs, session_of
from benchmarks.determined.trial import bench, start_on_master
from pdk_stack.determined.core.master import available_cores
from tests.stack.determined.conftest import connect, wait_end

#: A rate is kept in bursts: about so many a second of log lines, as a shipper collects them, and of reports.
LOG_BURSTS, REPORT_BURSTS = 20, 100
#: Metric reports come from so many trials at once; each waits for its reply.
REPORTERS = 16
#: Batches before anything is counted, and more batches than any benchmark gets to.
WARM, ENDLESS = 40, 1_000_000
START_SECONDS = 120.0
#: What a process that just started or ended takes to be quiet.
SETTLE_SECONDS = 0.5


def paced(ended: threading.Event, period: float, burst: Callable[[], Any]) -> int:
    """Call every ``period`` seconds, when late at once; how often it was."""
    count, due = 0, time.monotonic()
    while not ended.is_set():
        burst()
        count += 1
        due = max(due + period, time.monotonic() - 1.0)
        time.sleep(max(0.0, due - time.monotonic()))
    return count


def report_together(trials: list[Reporter], reports: int) -> None:
    """Several trials report so many times each, one at a time each, all at once together.

    One thread does it for all: threads would measure how Python changes between them.
    """
    steps = itertools.count()
    with selectors.DefaultSelector() as waiting:
        left = dict.fromkeys(trials, reports)
        for each in trials:
            waiting.register(each, selectors.EVENT_READ)
            each.send(next(steps))
        while left:
            for key, _ in waiting.select():
                trial: Reporter = key.fileobj  # type: ignore[assignment]
                trial.take()
                left[trial] -= 1
                if left[trial]:
                    trial.send(next(steps))
                else:
                    del left[trial]


def feed(address: str, lines: int, reports: int) -> None:
    """Send at a rate until the standard input closes; prints what was sent per second, as JSON."""
    ended, session = threading.Event(), session_of(address)
    sent = {"lines": 0, "reports": 0}
    task = new_trial(session, address)["taskId"]
    trials = [Reporter(session, address, new_trial(session, address)["id"]) for _ in range(REPORTERS)]

    def ship() -> None:
        burst = max(1, round(lines / LOG_BURSTS))
        times = paced(ended, burst / lines, lambda: post_logs(session, address, task, burst, batch=burst))
        sent["lines"] = times * burst

    def report() -> None:
        each = max(1, round(reports / REPORT_BURSTS / REPORTERS))
        times = paced(ended, each * REPORTERS / reports, lambda: report_together(trials, each))
        sent["reports"] = times * each * REPORTERS

    senders = [threading.Thread(target=job) for job, rate in ((ship, lines), (report, reports)) if rate]
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


def spin(share: float, often: float) -> None:
    """Only count, for a share of one core in so many pieces a second, until the standard input closes."""

    def count() -> None:
        end = time.process_time() + share / often
        while time.process_time() < end:
            sum(range(100))

    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    print("ready", flush=True)
    paced(ended, 1 / often, count)
    print("{}", flush=True)


class Helper:
    """A process beside the trial: this module with its own hidden arguments, until it is told to end."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "benchmarks.determined.load", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid
        assert self._process.stdout is not None and self._process.stdout.readline() == "ready\n"

    def end(self) -> dict[str, Any]:
        """End it; what it counted."""
        counted: dict[str, Any] = json.loads(self._process.communicate("")[0])
        return counted


@dataclass(frozen=True)
class Use:
    """What a process used: seconds of processor time, and how often it fell asleep."""

    processor: float
    sleeps: int

    @staticmethod
    def of(pid: int) -> Use:
        """Until now."""
        sleeps = 0
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            with contextlib.suppress(FileNotFoundError):  # a thread that ended
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                sleeps += int(fields["voluntary_ctxt_switches"])
        return Use(sum(psutil.Process(pid).cpu_times()[:2]), sleeps)

    def per_second(self, before: Use, seconds: float) -> tuple[float, float]:
        """Cores used and sleeps a second since an earlier reading."""
        return (self.processor - before.processor) / seconds, (self.sleeps - before.sleeps) / seconds


@dataclass
class Phase:
    """Some seconds of the trial.

    Attributes:
        rate: Batches done a second.
        cores: Processor time that the trial's processes got a second.
        used: Cores used and sleeps a second of the watched processes.
    """

    rate: float
    cores: float
    used: list[tuple[float, float]]


class Trial:
    """A trial that trains until it is told to end.

    Args:
        master: The number of the process that started it.
        times: The file that it writes each batch's time to.
        seconds: How long a phase is.
    """

    def __init__(self, master: int, times: Path, seconds: float) -> None:
        self._master = master
        self._times = times
        self._seconds = seconds

    def _processor(self) -> float:
        """Processor time of its processes, those that ended included."""
        total = 0.0
        for each in psutil.Process(self._master).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += sum(each.cpu_times()[:4])
        return total

    def _read(self) -> list[float]:
        return [float(line) for line in self._times.read_text().splitlines()] if self._times.exists() else []

    def wait_warm(self) -> None:
        """Wait until it trains steadily."""
        deadline = time.monotonic() + START_SECONDS
        while len(self._read()) < WARM:
            assert time.monotonic() < deadline, "the trial does not train"
            time.sleep(0.5)

    def phase(self, *watched: int) -> Phase:
        """Let a phase pass; processes are watched by their numbers."""
        time.sleep(SETTLE_SECONDS)
        before, processor, started = [Use.of(pid) for pid in watched], self._processor(), time.time()
        time.sleep(self._seconds)
        processor, ended = self._processor() - processor, time.time()
        used = [Use.of(pid).per_second(was, ended - started) for pid, was in zip(watched, before, strict=True)]
        # A batch is under way at either end: what is done of it counts.
        while (times := self._read())[-1] < ended:
            time.sleep(0.1)
        done = numpy.interp([started, ended], times, range(len(times)))
        return Phase(float(done[1] - done[0]) / (ended - started), processor / (ended - started), used)


@dataclass
class Round:
    """A load's phase, its control's, and what the phases alone around them were like."""

    beside: Phase
    control: Phase
    alone: tuple[Phase, Phase]
    sent: dict[str, int]

    def slower(self, phase: Phase) -> float:
        """Time per batch against that alone."""
        return sum(each.rate for each in self.alone) / 2 / phase.rate

    def kept_waiting(self, phase: Phase) -> float:
        """Time per second of its own processor time against that alone."""
        return sum(each.cores for each in self.alone) / 2 / phase.cores


@dataclass
class Load:
    """One kind of load, and its rounds.

    Attributes:
        lines: Log lines a second.
        reports: Metric reports a second.
    """

    lines: int
    reports: int
    rounds: list[Round] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """For people."""
        used = zip(*([cores for cores, _ in each.beside.used] for each in self.rounds), strict=True)
        sent = {name: min(each.sent[name] for each in self.rounds) for name in self.rounds[0].sent}
        return {
            "sent_per_second_at_least": {name: count for name, count in sent.items() if count},
            "cores_of_master_and_sender": [round(statistics.median(each), 2) for each in used],
            "time_per_batch": quartiles([each.slower(each.beside) for each in self.rounds]),
            "time_per_batch_control": quartiles([each.slower(each.control) for each in self.rounds]),
            "kept_waiting": quartiles([each.kept_waiting(each.beside) for each in self.rounds]),
            "kept_waiting_control": quartiles([each.kept_waiting(each.control) for each in self.rounds]),
        }


def quartiles(values: list[float]) -> list[float]:
    """Lower quartile, median, upper quartile."""
    return [round(each, 3) for each in statistics.quantiles(values, n=4, method="inclusive")]


def measure(loads: dict[str, Load], rounds: int, seconds: float, threads: int) -> dict[str, Any]:
    """All loads in turns, beside a trial with so many threads."""
    with bench(ENDLESS) as (master, config, folder):
        address, times = master.ready["determined"], folder / "times"
        assert master.process is not None
        pid = master.process.pid
        trial = Trial(pid, times, seconds)
        made = start_on_master(
            connect(master), config, folder, PDK_BATCH_TIMES=str(times), OMP_NUM_THREADS=str(threads)
        )
        trial.wait_warm()
        alone = [trial.phase()]
        for number, (name, load) in itertools.product(range(rounds), loads.items()):
            sender = Helper("--feed", address, "--lines", str(load.lines), "--reports", str(load.reports))
            beside = trial.phase(pid, sender.pid)
            sent = sender.end()
            counters = [Helper("--spin", str(share), "--often", str(often)) for share, often in beside.used]
            control = trial.phase()
            for each in counters:
                each.end()
            alone.append(trial.phase())
            done = Round(beside, control, (alone[-2], alone[-1]), sent)
            load.rounds.append(done)
            print(
                f"{threads} threads, round {number + 1}, {name}: {alone[-1].rate:.1f} batches/s alone, "
                f"time per batch {done.slower(beside):.3f} (control {done.slower(control):.3f}), "
                f"kept waiting {done.kept_waiting(beside):.3f} (control {done.kept_waiting(control):.3f})",
                file=sys.stderr,
            )
        made.kill()
        wait_end(made, 60)
    return {
        "batches_per_second_alone": quartiles([each.rate for each in alone]),
        "cores_of_trial_alone": quartiles([each.cores for each in alone]),
        **{name: load.summary() for name, load in loads.items()},
    }


def main() -> None:
    """Measure and print."""
    cores = available_cores()
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--reports", type=int, default=3_000)
    parser.add_argument("--threads", type=int, nargs="*", default=sorted({max(1, cores - 1), cores}))
    parser.add_argument("--feed", default="", help=argparse.SUPPRESS)
    parser.add_argument("--spin", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--often", type=float, default=1.0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.feed:
        feed(arguments.feed, arguments.lines, arguments.reports)
        return
    if arguments.spin is not None:
        spin(arguments.spin, arguments.often)
        return
    result: dict[str, Any] = {"cores": cores}
    for threads in arguments.threads:
        loads = {
            "logs": Load(arguments.lines, 0),
            "metrics": Load(0, arguments.reports),
            "both": Load(arguments.lines, arguments.reports),
        }
        result[f"{threads}_threads"] = measure(loads, arguments.rounds, arguments.seconds, threads)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
