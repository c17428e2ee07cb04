"""Metric reports: stored in order, all or nothing; and the database below them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdk_stack.common.errors import StorageFull
from pdk_stack.determined.core.master import Master
from pdk_stack.determined.store import documents
from pdk_stack.determined.store.documents import Store
from tests.stack.determined.wire import Wire, read_all, report, wired


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    with wired(tmp_path) as wire:
        yield wire


@pytest.fixture
def master(wire: Wire) -> Master:
    return wire.master


def test_reports_of_several_trials_are_stored(wire: Wire, master: Master) -> None:
    first, second = wire.trial(), wire.trial()
    for each in (report(first, 10, 0.9), report(second, 5, 0.1), report(first, 20, 0.7)):
        assert wire.post(*each).json() == {}
    assert [(row.steps, row.averages) for row in master.metrics.rows(first)] == [
        (10, {"loss": 0.9}),
        (20, {"loss": 0.7}),
    ]
    assert [(row.steps, row.averages) for row in master.metrics.rows(second)] == [(5, {"loss": 0.1})]
    entry = master.metrics.summary(first, "loss", True).groups["avg_metrics"]["loss"]
    assert (entry["count"], entry["min"], entry["last"]) == (2, 0.7, 0.7)


def test_reports_of_another_run_are_refused(wire: Wire, master: Master) -> None:
    trial = wire.trial()
    path, body = report(trial, 10)
    body["metrics"]["trialRunId"] = 7
    reply = wire.post(path, body)
    assert (reply.status_code, reply.json()["error"]["error"]) == (
        400,
        "invalid run id, 7 (reported) != 1 (expected): invalid arguments",
    )
    assert wire.post(f"/api/v1/trials/{trial}/start", {"trialId": trial, "resume": True}).json()["trialRunId"] == 2
    assert wire.post(*report(trial, 10)).status_code == 400
    assert list(master.metrics.rows(trial)) == []


def test_logs_are_searched_for_plain_text(wire: Wire) -> None:
    trial = wire.trial()
    task = wire.get(f"/api/v1/trials/{trial}").json()["trial"]["taskId"]
    lines = [{"task_id": task, "log": text, "stdtype": "stdout"} for text in ("end", "e.d")]
    wire.post("/api/v1/task/logs", {"logs": [*lines, {"task_id": task, "log": "bad", "stdtype": "stderr"}]})
    found = wire.get(f"/api/v1/trials/{trial}/logs?searchText=e.d&enableRegex=true").text.splitlines()
    assert [json.loads(line)["result"]["log"] for line in found] == ["e.d"]
    assert wire.get(f"/api/v1/tasks/{task}/logs?limit=-1").text == ""
    assert wire.get(f"/api/v1/tasks/{task}/logs/fields").json()["result"]["stdtypes"] == ["stdout", "stderr"]


def test_no_report_of_many_at_once_is_lost(wire: Wire, master: Master) -> None:
    trials, reports = [wire.trial() for _ in range(4)], 50

    def send(trial: int) -> None:
        with wire.connect() as client:
            for steps in range(reports):
                client.sendall(wire.raw(*report(trial, steps, float(steps))))
                reply = b""
                while not reply.endswith(b"\r\n\r\n{}"):
                    reply += client.recv(4096)

    senders = [threading.Thread(target=send, args=(trial,)) for trial in trials]
    for each in senders:
        each.start()
    for each in senders:
        each.join()
    for trial in trials:
        assert [row.steps for row in master.metrics.rows(trial)] == list(range(reports))
        entry = master.metrics.summary(trial, "loss", True).groups["avg_metrics"]["loss"]
        assert (entry["count"], entry["last"], entry["sum"]) == (50, 49.0, sum(range(50)))


def test_one_refused_report_does_not_keep_the_others_out(wire: Wire, master: Master) -> None:
    trial = wire.trial()
    path, _ = report(trial, 1)
    sent = [wire.raw(*report(trial, 1)), wire.raw(*report(999, 1)), wire.raw(path, {})]
    with wire.connect() as client:
        client.sendall(b"".join([*sent, wire.raw(*report(trial, 2), "Connection: close")]))
        replies = read_all(client).split(b"HTTP/1.1 ")[1:]
    assert [int(reply[:3]) for reply in replies] == [200, 404, 400, 200]
    assert [row.steps for row in master.metrics.rows(trial)] == [1, 2]


@contextlib.contextmanager
def full_disk(store: Store) -> Iterator[None]:
    """The database may not grow any more."""
    with store.write() as db:
        pages = int(db.execute("pragma page_count").fetchone()[0])
        db.execute(f"pragma max_page_count = {pages}")
    yield
    with store.write() as db:
        db.execute("pragma max_page_count = 1000000")


def test_on_a_full_disk_a_report_is_refused_and_does_not_count(wire: Wire, master: Master) -> None:
    trial = wire.trial()
    assert [wire.post(*report(trial, steps, float(steps))).status_code for steps in (1, 2)] == [200, 200]
    path, body = report(trial, 4)
    body["metrics"]["metrics"]["avgMetrics"] = {f"metric {number}": float(number) for number in range(5000)}
    with full_disk(master.store):
        reply = wire.post(path, body)
        assert (reply.status_code, reply.json()["error"]["code"], reply.json()["error"]["reason"]) == (
            500,
            13,
            "Internal",
        )
        assert "full" in reply.json()["error"]["error"]
    assert [row.steps for row in master.metrics.rows(trial)] == [1, 2]
    summary = master.metrics.summary(trial, "loss", True)
    assert (summary.total_batches, summary.groups["avg_metrics"]["loss"]["count"]) == (2, 2)
    assert list(summary.groups["avg_metrics"]) == ["loss"]
    # There is room again: it goes on.
    assert [wire.post(*report(trial, steps, float(steps))).status_code for steps in (3, 4)] == [200, 200]
    assert master.metrics.summary(trial, "loss", True).groups["avg_metrics"]["loss"]["count"] == 4


def test_what_is_undone_does_not_count(master: Master, wire: Wire) -> None:
    trial = wire.trial()
    with pytest.raises(RuntimeError), master.store.write():
        master.metrics.add(trial, 1, "training", 7, None, {"loss": 1.0}, None, metric="loss", smaller_is_better=True)
        raise RuntimeError("no")
    assert master.metrics.summary(trial, "loss", True).total_batches == 0
    assert list(master.metrics.rows(trial)) == []


def test_numbers_that_json_does_not_know_are_refused(wire: Wire, master: Master) -> None:
    trial = wire.trial()
    reply = wire.post(*report(trial, 1, float("nan")))
    assert reply.status_code == 400 and reply.json()["error"]["error"].startswith("invalid character 'N'")
    # The harness sends them as texts.
    assert [wire.post(*each).status_code for each in (report(trial, 1, "NaN"), report(trial, 2))] == [200, 200]
    assert [row.averages["loss"] for row in master.metrics.rows(trial)] == ["NaN", 0.5]


def test_who_waits_is_woken_when_the_change_can_be_seen(tmp_path: Path) -> None:
    store, seen = Store(tmp_path / "store.db"), []
    waits = threading.Event()

    def wait() -> None:
        count = store.bell.count
        waits.set()
        store.bell.wait(count, 30)
        seen.append(store.get("trial", 1))

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert waits.wait(10)
    with store.write():
        store.put("trial", 1, {"state": "one"})
        store.update("trial", 1, state="two")
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(10)
    assert seen == [{"state": "two"}]
    store.close()


def test_a_transaction_that_sqlite_gave_up_is_no_success(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    with pytest.raises(StorageFull, match="given up"), store.write() as db:
        store.put("trial", 1, {})
        db.execute("rollback")
    assert store.get("trial", 1) is None
    with store.write():
        store.put("trial", 2, {})
    assert store.get("trial", 2) == {}
    store.close()


def test_the_values_of_a_field_are_each_told_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    for key, body in enumerate([{"source": "a"}, {"source": "b"}, {"source": "a"}, {"source": None}, {"other": "c"}]):
        store.put("experiment", key, body)
    store.put("trial", 1, {"source": "d"})
    assert store.values("experiment", "source") == {"a", "b"} and store.values("model", "source") == set()


def test_a_file_of_an_earlier_release_opens(tmp_path: Path) -> None:
    path = tmp_path / "master.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as db:
        # Those releases wrote the same tables and no version.
        db.executescript(documents.SCHEMA.script)
        db.execute("""insert into documents values('trial', 1, null, '{"state": "ACTIVE"}')""")
        db.commit()
        assert db.execute("pragma user_version").fetchone() == (0,)
    store = Store(path)
    assert store.list("trial") == [{"state": "ACTIVE"}]
    with store.read() as db:
        assert db.execute("pragma user_version").fetchone()[0] == documents.SCHEMA.version
    store.close()
