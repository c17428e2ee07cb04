"""A service's log stays small: repeated errors are counted, and a rotated log keeps its end."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pdk_stack.common.logs import BURST, WINDOW_S, Flood, rotate, tail

FULL = "socket.accept() out of system resource\nsocket: <socket fd={}>"


def record(text: str, level: int = logging.ERROR, name: str = "asyncio", *arguments: object) -> logging.LogRecord:
    return logging.LogRecord(name, level, "base_events.py", 1, text, arguments, None)


def test_a_flood_of_one_error_is_counted() -> None:
    clock = [0.0]
    flood = Flood(lambda: clock[0])
    passed = sum(flood.filter(record(FULL.format(number))) for number in range(5000))
    assert passed == BURST
    clock[0] = WINDOW_S
    told = record(FULL.format(7))
    assert flood.filter(told)
    assert told.getMessage() == FULL.format(7) + f" (and {5000 - BURST:,} times more before)"
    later = record(FULL.format(8))
    assert flood.filter(later) and later.getMessage() == FULL.format(8)


@pytest.mark.parametrize(
    "others",
    [
        [record("trial %s has begun", logging.INFO, "pdk_stack.determined", number) for number in range(50)],
        [record(f"{number} failed") for number in range(50)],
        [record("failed", name=f"pdk_stack.{number}") for number in range(50)],
    ],
    ids=["information", "other texts", "other loggers"],
)
def test_what_is_no_flood_passes(others: list[logging.LogRecord]) -> None:
    flood = Flood(lambda: 0.0)
    assert all(flood.filter(each) for each in others)


def test_many_texts_take_no_more_room() -> None:
    flood = Flood(lambda: 0.0)
    for number in range(2000):
        flood.filter(record(f"{number} failed"))
    assert len(flood._seen) < 300


@pytest.mark.parametrize(("size", "kept"), [(1000, None), (1001, 1000), (5000, 1000)])
def test_a_rotated_log_keeps_its_end(tmp_path: Path, size: int, kept: int | None) -> None:
    log = tmp_path / "service.log"
    content = bytes(number % 251 for number in range(size))
    log.write_bytes(content)
    assert rotate(log, 1000) == (kept is not None)
    assert log.stat().st_size == (0 if kept else size)
    old = tmp_path / "service.log.1"
    assert (old.read_bytes() if old.exists() else None) == (content[-kept:] if kept else None)


def test_the_tail_of_a_large_log(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_text("".join(f"line {number}\n" for number in range(200_000)))
    assert tail(log, 2) == "line 199998\nline 199999"
    assert tail(tmp_path / "none", 2) == ""
