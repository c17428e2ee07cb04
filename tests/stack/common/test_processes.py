"""Process groups: ended whole, politely first, and found again after a crash of whoever started them."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pdk_stack.common.logs import rotate, tail
from pdk_stack.common.polling import Deadline, poll
from pdk_stack.common.processes import ProcessGroup, kill_noted

# A child that starts a grandchild, tells its number and waits.
FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""
POLITE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
print("ready", flush=True)
time.sleep(600)
"""
DEAF = POLITE.replace("lambda *_: sys.exit(7)", "signal.SIG_IGN")


Start = Callable[[str], tuple[ProcessGroup, str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python code and waits for its first line."""
    started = []

    def run(code: str) -> tuple[ProcessGroup, str]:
        group = ProcessGroup([sys.executable, "-c", code], dict(os.environ))
        started.append(group)
        assert group.stdout is not None
        return group, group.stdout.readline().decode().strip()

    yield run
    for group in started:
        group.kill()
        assert group.stdout is not None
        group.stdout.close()


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_group_ends_with_what_it_started(start: Start) -> None:
    group, said = start(FAMILY)
    assert group.running and group.exit_code is None
    assert group.kill() == -9
    assert poll(lambda: gone(int(said)), 5)
    assert not group.running and group.exit_code == -9


def test_a_polite_child_ends_by_itself(start: Start) -> None:
    group, _ = start(POLITE)
    assert group.stop(5) == 7


def test_a_deaf_child_is_killed_after_its_grace(start: Start) -> None:
    group, _ = start(DEAF)
    started = time.monotonic()
    assert group.stop(0.3) == -9
    assert 0.3 <= time.monotonic() - started < 5


def test_what_an_ended_child_left_running_is_ended_too(start: Start) -> None:
    group, said = start(FAMILY.rsplit("time.sleep", 1)[0])
    assert group.wait(5) == 0
    assert not gone(int(said))
    group.stop(1)
    assert poll(lambda: gone(int(said)), 5)


def test_a_program_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        ProcessGroup(["/nonexistent/program"], {})


def test_a_noted_process_is_killed_and_no_other(start: Start, tmp_path: Path) -> None:
    group, _ = start(POLITE)
    note = tmp_path / "pid.json"
    group.note(note)
    other = {**json.loads(note.read_text()), "born": 1.0}
    (tmp_path / "other.json").write_text(json.dumps(other))
    assert not kill_noted(tmp_path / "other.json"), "the number belongs to a process that was born at another time"
    assert group.running
    assert kill_noted(note)
    assert group.wait(5) == -9
    assert not kill_noted(note)
    assert not kill_noted(tmp_path / "absent.json")


def test_polling_ends_with_what_was_found_or_with_the_time() -> None:
    answers = iter([0, 0, "found"])
    assert poll(lambda: next(answers), 5, 0.001) == "found"
    started = time.monotonic()
    assert poll(lambda: "", 0.05, 0.01) is None
    assert 0.05 <= time.monotonic() - started < 2
    assert poll(lambda: "at once", 0) == "at once"
    assert poll(lambda: "", None, 0.001, stop=lambda: True) is None


def test_a_deadline_counts_down() -> None:
    deadline = Deadline(30)
    assert 29 < deadline.left <= 30 and not deadline.over
    assert Deadline(0).over
    assert not Deadline(None).over


def test_the_end_of_a_log_is_read_without_the_rest(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_bytes(b"x" * 5_000_000 + b"\nlast but one\nlast\n")
    assert tail(log, 2) == "last but one\nlast"
    assert tail(tmp_path / "absent.log", 2) == ""


def test_a_log_is_kept_to_its_size_while_it_is_written(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a" * 100)
        assert not rotate(log, 100)
        writer.write(b"b")
        assert rotate(log, 100)
        writer.write(b"new\n")
    assert log.read_bytes() == b"new\n"
    assert (tmp_path / "service.log.1").read_bytes() == b"a" * 99 + b"b"
    assert not rotate(tmp_path / "absent.log")
