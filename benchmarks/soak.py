"""Trials, jobs and roll-outs in a row, and what the stack's long-lived processes hold meanwhile.

    python -m benchmarks.soak [--count 100] [--only trials] [--state-dir DIR] [--json result.json]

Starts an embedded stack, and asks it for so many short trials, jobs of a pipeline, and roll-outs of a tiny model
server. In between it counts descriptors, threads and memory of the supervisor and of every service, and prints a slope
for each: what a hundred more would cost. A line is flat when that stays below ``LIMITS``; the program ends with 1 when
one grows. The default takes about 10 minutes on two busy cores, and ``--count 1000`` 10 times as long.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import kubernetes
import python_pachyderm

from pdk_stack import stack
from pdk_stack.kubernetes.store.objects import WATCH_HISTORY
from pdk_stack.paths import state_paths
from tests.support.vitals import Vitals, vitals

COUNT = 100
SAMPLES = 20
#: What a service needs before its numbers settle: pools of threads and connections, caches, the allocator.
WARM_UP = 0.3
#: What a hundred more may cost: less than one descriptor or thread, and what the allocator's own drift looks like.
LIMITS = Vitals(descriptors=1.0, threads=1.0, megabytes=3.0)
DONE_S = 180.0
QUIET_S = 1.0
NAMESPACE, NAME = "soak", "tiny"
KIND = ("serving.kserve.io", "v1beta1", NAMESPACE, "inferenceservices")
SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        text = os.environ["ROUND"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until a condition holds, and return its value.

    Raises:
        TimeoutError: It doesn't come true.
    """
    deadline = time.monotonic() + DONE_S
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {DONE_S:.0f} s")
        time.sleep(0.05)
    return found


class Trials:
    """Experiments with one trial that ends at once."""

    ENDED = ("STATE_COMPLETED", "STATE_ERROR", "STATE_CANCELED")

    def __init__(self, environment: dict[str, str]) -> None:
        self._master = environment["DET_MASTER"]
        login = {"username": environment["DET_USER"], "password": environment["DET_PASS"]}
        self._headers: dict[str, str] = {}
        self._headers = {"Authorization": f"Bearer {self._ask('/api/v1/auth/login', login)['token']}"}

    def _ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self._master + path, data, self._headers)) as answer:
            return json.load(answer)

    def once(self, number: int) -> None:
        """Run one trial to its end."""
        config = {
            "name": f"soak-{number}",
            "entrypoint": "true",
            "searcher": {"name": "single", "metric": "loss", "max_length": {"batches": 1}},
            "max_restarts": 0,
            "resources": {"slots_per_trial": 1},
        }
        request = {"config": json.dumps(config), "activate": True, "projectId": 1}
        made = self._ask("/api/v1/experiments", request)["experiment"]["id"]
        path = f"/api/v1/experiments/{made}"
        until(lambda: self._ask(path)["experiment"]["state"] in self.ENDED, f"the end of experiment {made}")


class Jobs:
    """Jobs of one pipeline with one datum each."""

    def __init__(self, environment: dict[str, str]) -> None:
        os.environ["PACH_CONFIG"] = environment["PACH_CONFIG"]
        self._client = python_pachyderm.Client()
        self._client.create_repo("soak")
        protocol = python_pachyderm.service.pps_proto
        self._client.create_pipeline(
            "soak-copy",
            protocol.Transform(image="python", cmd=["sh"], stdin=["cp /pfs/soak/* /pfs/out/"]),
            input=protocol.Input(pfs=protocol.PFSInput(repo="soak", glob="/")),
        )

    def once(self, number: int) -> None:
        """Add a file, and wait for the job."""
        self._client.put_file_bytes(("soak", "master"), "/number", str(number).encode())
        commit = next(self._client.inspect_commit(("soak", "master"))).commit.id
        job = next(self._client.inspect_job(commit, "soak-copy", wait=True))
        if job.state != python_pachyderm.service.pps_proto.JOB_SUCCESS:
            raise RuntimeError(f"a job ended with {job.state}: {job.reason}")


class RollOuts:
    """Roll-outs of an InferenceService with a server of a few lines."""

    def __init__(self, environment: dict[str, str], ingress: str) -> None:
        api = kubernetes.config.new_client_from_config(environment["KUBECONFIG"])
        core = kubernetes.client.CoreV1Api(api)
        if NAMESPACE not in [each.metadata.name for each in core.list_namespace().items]:
            core.create_namespace({"metadata": {"name": NAMESPACE}})
        _fill_watch_history(api)
        self._custom = kubernetes.client.CustomObjectsApi(api)
        self._ingress = ingress
        self._made = False

    def once(self, number: int) -> None:
        """Roll a new revision out, and wait until it alone answers."""
        container = {"name": "kserve-container", "image": "lab/own:1", "command": ["python", "-c", SERVER]}
        container |= {"env": [{"name": "ROUND", "value": str(number)}], "resources": {"requests": {"cpu": "100m"}}}
        spec = {"predictor": {"minReplicas": 1, "containers": [container]}}
        body = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "spec": spec}
        if self._made:
            self._custom.patch_namespaced_custom_object(*KIND, NAME, {"spec": spec})
        else:
            body["metadata"] = {"name": NAME, "namespace": NAMESPACE}
            self._custom.create_namespaced_custom_object(*KIND, body)
            self._made = True
        until(lambda: self._answers(number), f"roll-out {number}")

    def _answers(self, number: int) -> bool:
        call = urllib.request.Request(f"{self._ingress}/", b"{}", {"Host": f"{NAME}.{NAMESPACE}.example.com"})
        try:
            with urllib.request.urlopen(call, timeout=10) as answer:
                return bool(answer.read() == str(number).encode())
        except OSError:
            return False


def _fill_watch_history(api: Any) -> None:
    """Make so many changes that the API's history of changes, which is bounded, grows no more with the roll-outs."""
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]} for _ in range(14)]  # nested as theirs are
    roles = kubernetes.client.RbacAuthorizationV1Api(api)
    roles.create_namespaced_role(NAMESPACE, {"metadata": {"name": "filler"}, "rules": rules})
    for number in range(WATCH_HISTORY):
        roles.patch_namespaced_role("filler", NAMESPACE, {"metadata": {"labels": {"number": str(number)}}})


@dataclass(frozen=True)
class Line:
    """What one process held during one kind of work.

    Attributes:
        work: The kind of work.
        process: The process.
        first: What it held after the warm-up.
        last: What it held at the end.
        slope: What a hundred more cost.
    """

    work: str
    process: str
    first: Vitals
    last: Vitals
    slope: Vitals

    @property
    def grows(self) -> list[str]:
        """What grows; empty for a flat line. A slope alone isn't enough: one more descriptor in a short run is none."""
        gained, found = self.last - self.first, []
        for each in fields(Vitals):
            limit = getattr(LIMITS, each.name)
            if getattr(self.slope, each.name) > limit and getattr(gained, each.name) > 2 * limit:
                found.append(each.name)
        return found


def slope(numbers: list[int], values: list[float]) -> float:
    """Return what a hundred more cost: the median of the slopes between all samples, which a spike doesn't move."""
    pairs = [
        (values[after] - values[before]) / (numbers[after] - numbers[before])
        for before in range(len(numbers))
        for after in range(before + 1, len(numbers))
    ]
    return 100 * statistics.median(pairs) if pairs else 0.0


def watch(work: str, once: Callable[[int], None], count: int, processes: dict[str, int]) -> list[Line]:
    """Do one kind of work, and return a line for each process.

    Args:
        work: The kind of work.
        once: Does it once; gets its number.
        count: How often.
        processes: Process ids by name.
    """
    began = time.monotonic()
    samples: dict[str, list[tuple[int, Vitals]]] = {name: [] for name in processes}
    every = max(1, count // SAMPLES)
    for number in range(1, count + 1):
        once(number)
        if number >= WARM_UP * count and (number % every == 0 or number == count):
            time.sleep(QUIET_S)  # what the last one leaves goes first
            for name, pid in processes.items():
                samples[name].append((number, vitals(pid)))
    print(f"{count} {work} in {time.monotonic() - began:.0f} s", flush=True)
    lines = []
    for name, taken in samples.items():
        numbers = [number for number, _ in taken]
        slopes = [slope(numbers, [getattr(held, each.name) for _, held in taken]) for each in fields(Vitals)]
        lines.append(Line(work, name, taken[0][1], taken[-1][1], Vitals(*slopes)))
    return lines


def table(lines: list[Line]) -> str:
    """Return the lines as a table."""
    head = [f"{'':11}{'':12}", *(f"{each.name:>28}" for each in fields(Vitals))]
    rows = ["".join(head), f"{'':23}" + f"{'first':>9}{'last':>8}{'per 100':>11}" * len(fields(Vitals))]
    for line in lines:
        row = f"{line.work:11}{line.process:12}"
        for each in fields(Vitals):
            first, last, rise = (getattr(of, each.name) for of in (line.first, line.last, line.slope))
            row += f"{first:9.0f}{last:8.0f}{rise:+11.2f}"
        rows.append(f"{row}  {'grows: ' + ', '.join(line.grows) if line.grows else 'flat'}")
    return "\n".join(rows)


@contextmanager
def running(state_dir: Path) -> Iterator[dict[str, str]]:
    """Start a stack on free ports, yield its addresses, and remove it."""
    known, _ = stack.up(state_dir)
    try:
        yield known
    finally:
        stack.down(state_dir, purge=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=COUNT, help="of each kind (default: %(default)s)")
    parser.add_argument("--only", action="append", choices=("trials", "jobs", "roll-outs"), default=[])
    parser.add_argument("--state-dir", type=Path, help="state folder of the stack; a temporary one by default")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    options = parser.parse_args()
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="pdk-soak-") as scratch:
        state_dir = options.state_dir or Path(scratch) / "state"
        with running(state_dir) as known:
            environment = stack.environment(state_dir)
            _, rows = stack.status(state_dir)
            announced = json.loads(state_paths(state_dir).announcement.read_text())
            processes = {"supervisor": int(announced["supervisor_pid"]), **{row.name: row.pid for row in rows}}
            kinds: dict[str, Callable[[], Any]] = {
                "trials": lambda: Trials(environment),
                "jobs": lambda: Jobs(environment),
                "roll-outs": lambda: RollOuts(environment, known["ingress"]),
            }
            for work, make in kinds.items():
                if not options.only or work in options.only:
                    lines += watch(work, make().once, options.count, processes)
    print(table(lines))
    if options.json:
        options.json.write_text(json.dumps([{**asdict(line), "grows": line.grows} for line in lines], indent=1))
    return 1 if any(line.grows for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
