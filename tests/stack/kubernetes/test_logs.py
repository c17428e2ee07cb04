"""Logs with times, from a moment on, of a container before this one, and while they grow."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from pdk_stack.common.processes import ProcessGroup
from pdk_stack.kubernetes.core import container_logs
from tests.stack.kubernetes.serving import NAMESPACE, wait_for
from tests.stack.kubernetes.test_replicas import Own
from tests.support.processes import ServiceProcess

Kubectl = Callable[..., str]
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ")


def written(folder: Path, text: str, *entries: tuple[int, float]) -> Path:
    """A log with an index."""
    log = folder / "kserve-container.log"
    log.write_text(text)
    container_logs.times_path(log).write_text("".join(f"{end} {moment:.3f}\n" for end, moment in entries))
    return log


def test_lines_get_the_time_at_which_they_began(tmp_path: Path) -> None:
    # "two" began at 100 and was finished at 200.
    log = written(tmp_path, "one\ntwo\nthree\n", (6, 100), (8, 200), (14, 300.5))
    text = container_logs.lines_of(log, 0, with_times=True).decode()
    assert text == (
        "1970-01-01T00:01:40.000000000Z one\n1970-01-01T00:01:40.000000000Z two\n1970-01-01T00:05:00.500000000Z three\n"
    )
    assert container_logs.lines_of(log, 4, with_times=False) == b"two\nthree\n"


@pytest.mark.parametrize(
    ("tail", "since", "start"),
    [(None, None, 0), (1, None, 8), (0, None, 14), (9, None, 0), (None, 100, 0), (None, 150, 8), (None, 300, 8)]
    + [(None, 301, 14), (1, 100, 8), (2, 250, 8)],
)
def test_where_reading_begins(tmp_path: Path, tail: int | None, since: float | None, start: int) -> None:
    log = written(tmp_path, "one\ntwo\nthree\n", (6, 100), (8, 200), (14, 300.5))
    assert container_logs.start_of(log, tail, since) == start


def test_a_process_gets_an_index_and_a_second_one_a_new_file(tmp_path: Path) -> None:
    log = tmp_path / "kserve-container.log"
    before = time.time()
    for word in ("first", "second"):
        container_logs.rotate(log)
        code = f"import time; print('{word}', flush=True); time.sleep(0.3); print('end')"
        with log.open("wb") as sink:
            process = ProcessGroup([sys.executable, "-c", code], os.environ, stdout=sink)
        container_logs.keep_times(log, process)
        process.wait()
        # The thread notes the end.
        wait_for(lambda: len(container_logs.times_path(log).read_text().splitlines()) == 2, 5)
    assert container_logs.previous_path(log).read_text() == "first\nend\n"
    times = container_logs.Times(log)
    assert before < times.of(0) < times.of(7) <= time.time()
    assert times.of(7) - times.of(0) > 0.15


def test_a_followed_log_ends_when_its_file_is_another(tmp_path: Path) -> None:
    log = written(tmp_path, "one\nhalf", (8, 100))
    pieces: list[bytes] = []
    reader = threading.Thread(
        target=lambda: pieces.extend(container_logs.follow(log, 0, lambda: True, with_times=True))
    )
    reader.start()
    wait_for(lambda: bool(pieces), 5)
    container_logs.rotate(log)
    log.write_text("new\n")
    reader.join(5)
    assert [piece.split(b" ", 1)[1] for piece in pieces] == [b"one\n", b"half"]


def test_kubectl_logs_with_its_options(cluster: ServiceProcess, api: Any, kubectl: Kubectl) -> None:
    service = Own(cluster, api, "wordy")
    service.begin()
    service.wait_ready()
    there = ("-n", NAMESPACE)
    deployment = "deploy/wordy-predictor-00001-deployment"
    first = kubectl(*there, "logs", deployment, "-c", "kserve-container", "--timestamps").splitlines()
    assert all(STAMP.match(line) for line in first)
    assert first[0].endswith(f" serving as {service.ask()}")
    said = datetime.fromisoformat(first[0][:26]).replace(tzinfo=timezone.utc)
    assert abs(datetime.now(timezone.utc) - said).total_seconds() < 60
    time.sleep(1.5)

    def recent() -> bool:
        # Again, because kubectl can take longer than the second.
        service.ask()
        return "POST" in kubectl(*there, "logs", deployment, "--since=1s")

    wait_for(recent, 30)
    assert "serving as" not in kubectl(*there, "logs", deployment, "--since=1s")
    assert "serving as" in kubectl(*there, "logs", deployment, "--since-time=2020-01-01T00:00:00Z")
    assert "serving as" in kubectl(*there, "logs", "-l", "app=wordy-predictor-00001", "--prefix")
    name = kubectl(*there, "get", "pods", "-l", "app=wordy-predictor-00001", "-o", "name").strip()
    assert 'previous terminated container "kserve-container" in pod' in kubectl(
        *there, "logs", name, "--previous", code=1
    )
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name.removeprefix('pod/')}/log"
    told = kubectl("get", "--raw", f"{path}?sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z", code=1)
    assert "at most one of `sinceTime` or `sinceSeconds` may be specified" in told

    # It dies: the new container has a log of its own, and the old one's is the previous.
    os.kill(service.ask(), signal.SIGKILL)
    again = service.ask()
    assert f"serving as {again}" in kubectl(*there, "logs", name)
    assert first[0][31:] in kubectl(*there, "logs", name, "--previous")
    pod = json.loads(kubectl(*there, "get", name, "-o", "json"))
    state = pod["status"]["containerStatuses"][0]
    assert (state["restartCount"], state["lastState"]["terminated"]["reason"]) == (1, "OOMKilled")
    service.delete()


def test_before_it_starts_there_is_no_log_but_a_reason(
    cluster: ServiceProcess, api: Any, kubectl: Kubectl, tmp_path: Path
) -> None:
    service = Own(cluster, api, "silent")
    service.begin(requests={"cpu": "4096"})
    deployment = "deploy/silent-predictor-00001-deployment"
    wait_for(lambda: service.condition().get("status") == "False")
    told = kubectl("-n", NAMESPACE, "logs", deployment, "--pod-running-timeout=1s", code=1)
    assert "does not have a host assigned" in told or "timed out" in told
    service.delete()
