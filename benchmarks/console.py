"""What the console costs and how soon it shows what has happened, with 20 pipelines on one stack.

    python -m benchmarks.console [--pipelines 20] [--seconds 30] [--json result.json]

Starts an embedded stack and ``pdk-nb ui``, and measures three things:

* the first paint: how long the server takes for the whole page Flow, against a bare page of the same server;
* the delay from a finished commit to the event that shows it in an open page;
* the processor time of the stack and of the console while one page is open, as a share of a core, against the same time
  with no page open.

The targets: 300 ms, 1 s, and 2 % of a core for the stack.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.running import console, stack
from pdk_nb import lab as pdk
from pdk_nb.platforms import mldm

PAINT_S, DELAY_S, SHARE = 0.3, 1.0, 0.02
COMMITS = 8


def add_pipelines(lab: pdk.Lab, count: int) -> None:
    """Pipelines that read the data repo's branch ``idle``, which never gets a commit."""
    for number in range(count):
        pfs = {"project": lab.names.project, "repo": lab.names.data_repo, "branch": "idle", "glob": "/", "name": "data"}
        mldm.ensure_pipeline(
            lab.pachyderm,
            {
                "pipeline": {"name": f"idle-{number}", "project": {"name": lab.names.project}},
                "input": {"pfs": pfs},
                "transform": {"cmd": ["true"], "image": "embedded.invalid/pdk-lab-train:0"},
                "autoscaling": True,
            },
        )


class Follower:
    """An open page: the texts of its events, each with the time of its arrival."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.seen: list[tuple[float, str]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        # The end of the console ends the stream.
        with contextlib.suppress(httpx.HTTPError), self._client.stream("GET", "/events/") as reply:
            text = ""
            for line in reply.iter_lines():
                if self._stop.is_set():
                    return
                text += line
                if not line:
                    self.seen.append((time.perf_counter(), text))
                    text = ""

    def wait(self, word: str, timeout: float = 30.0) -> float:
        """When the word was first in an event."""
        deadline = time.perf_counter() + timeout
        while time.perf_counter() < deadline:
            for moment, text in list(self.seen):
                if word in text:
                    return moment
            time.sleep(0.005)
        raise TimeoutError(f"{word} isn't shown after {timeout} s")

    def close(self) -> None:
        """Close the page at its next event."""
        self._stop.set()


def cpu(processes: list[psutil.Process]) -> float:
    """Processor seconds of processes so far."""
    total = 0.0
    for each in processes:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def paint(client: httpx.Client, path: str, rounds: int = 20) -> float:
    """Median seconds for a page."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        reply = client.get(path)
        found.append(time.perf_counter() - began)
        assert reply.status_code in (200, 404), reply.text
    return statistics.median(found)


def commit(lab: pdk.Lab, number: int) -> tuple[str, float]:
    """A commit with one small file; its id and when it was finished."""
    with lab.pachyderm.commit(lab.names.data_repo, "master", project_name=lab.names.project) as opened:
        lab.pachyderm.put_file_bytes(opened, f"/data1/cat.{number}.txt", b"x")
    return opened.id, time.perf_counter()


def measure(kubeconfig: str, state: Path, pipelines: int, seconds: float) -> dict[str, Any]:
    """All figures, on a running stack."""
    lab = pdk.connect(kubeconfig)
    lab.create_projects()
    add_pipelines(lab, pipelines)
    with console(kubeconfig) as (client, pid):
        result: dict[str, Any] = {"paint_s": paint(client, "/"), "bare_s": paint(client, "/nowhere")}
        services = [p for p in psutil.process_iter() if str(state) in " ".join(_command(p))]
        own = [psutil.Process(pid)]
        shares = {}
        page: Follower | None = None
        for name in ("closed", "open"):
            if name == "open":
                page = Follower(client)
                time.sleep(3)
            before = cpu(services), cpu(own)
            time.sleep(seconds)
            shares[name] = [(cpu(each) - b) / seconds for each, b in zip((services, own), before, strict=True)]
        assert page is not None
        delays = []
        for number in range(COMMITS):
            id, finished = commit(lab, number)
            delays.append(page.wait(id[:8]) - finished)
            time.sleep(0.7 + 0.13 * number)
        page.close()
        result |= {
            "delay_s": statistics.median(delays),
            "longest_delay_s": max(delays),
            "stack_share": shares["open"][0] - shares["closed"][0],
            "console_share": shares["open"][1] - shares["closed"][1],
            "closed": shares["closed"],
        }
        return result


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def main() -> int:
    """Measure and print; return 1 if a target is missed."""
    parser = argparse.ArgumentParser(description="Measure the console.")
    parser.add_argument("--pipelines", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pdk-console-") as folder:
        state = Path(folder)
        with stack(state) as kubeconfig:
            found = measure(kubeconfig, state, options.pipelines, options.seconds)
    rows = (
        ("first paint of Flow", found["paint_s"], PAINT_S, "s"),
        ("a commit is shown after (median)", found["delay_s"], DELAY_S, "s"),
        ("a commit is shown after (longest)", found["longest_delay_s"], DELAY_S, "s"),
        ("the stack's share of a core, one page", found["stack_share"], SHARE, ""),
    )
    for name, value, target, unit in rows:
        print(f"{name:40} {value:8.3f} {unit:2} target {target} {unit:2} ratio {value / target:.2f}")
    print(f"{'a bare page of the same server':40} {found['bare_s']:8.3f} s")
    print(f"{'the console itself, share of a core':40} {found['console_share']:8.3f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return int(any(value > target for _, value, target, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
