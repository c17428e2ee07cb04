"""Metric reports that arrive together: one transaction, all or nothing; and who waits is woken after it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdk_stack.determined.api.application import Application, Found, Reply, Sent
from pdk_stack.determined.core.master import Master
from pdk_stack.determined.store.documents import Store


class Caller:
    """Calls a master's application without a network."""

    def __init__(self, master: Master) -> None:
        self.app = Application(master)
        user = master.accounts.by_name("determined")
        assert user is not None
        self._headers = {b"authorization": f"Bearer {master.accounts.open_session(user['id'])}".encode()}

    def request(self, path: str, body: Any) -> tuple[Found, Sent]:
        """A POST as it arrives."""
        sent = Sent("POST", path, "", self._headers, json.dumps(body).encode(), lambda: False)
        return self.app.find(sent.method, sent.path), sent

    def post(self, path: str, body: Any) -> Any:
        """What a POST is answered with."""
        reply = self.app.answer(*self.request(path, body))
        assert reply.status == 200, reply.body
        assert isinstance(reply.body, bytes)
        return json.loads(reply.body)

    def trial(self) -> int:
        """A new trial that runs nowhere."""
        config = "name: reports\nsearcher: {name: single, metric: loss}\n"
        made = self.post("/api/v1/experiments", {"config": config, "unmanaged": True})["experiment"]
        return int(self.post("/api/v1/trials", {"experimentId": made["id"], "unmanaged": True})["trial"]["id"])

    def report(self, trial: int, steps: int, loss: Any = 0.5) -> tuple[Found, Sent]:
        """A training report as it arrives."""
        metrics = {
            "trialId": trial,
            "trialRunId": 1,
            "stepsCompleted": steps,
            "metrics": {"avgMetrics": {"loss": loss}},
        }
        return self.request(f"/api/v1/trials/{trial}/metrics", {"group": "training", "metrics": metrics})


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    master = Master(tmp_path, slots=1)
    master.ensure_accounts("admin's password", "user's password")
    master.start(port=0)
    yield master
    master.experiments.stop()
    master.store.close()


@pytest.fixture
def caller(master: Master) -> Caller:
    return Caller(master)


def statuses(replies: list[Reply]) -> list[int]:
    return [each.status for each in replies]


def test_reports_of_several_trials_are_stored_together(master: Master, caller: Caller) -> None:
    first, second = caller.trial(), caller.trial()
    calls = [caller.report(first, 10, 0.9), caller.report(second, 5, 0.1), caller.report(first, 20, 0.7)]
    assert statuses(caller.app.answer_together(calls)) == [200, 200, 200]
    assert [(row.steps, row.averages) for row in master.metrics.rows(first)] == [
        (10, {"loss": 0.9}),
        (20, {"loss": 0.7}),
    ]
    assert [(row.steps, row.averages) for row in master.metrics.rows(second)] == [(5, {"loss": 0.1})]
    entry = master.metrics.summary(first, "loss", True).groups["avg_metrics"]["loss"]
    assert (entry["count"], entry["min"], entry["last"]) == (2, 0.7, 0.7)


def test_one_refused_report_does_not_keep_the_others_out(master: Master, caller: Caller) -> None:
    trial = caller.trial()
    calls = [caller.report(trial, 1), caller.report(999, 1), caller.request(f"/api/v1/trials/{trial}/metrics", {})]
    replies = caller.app.answer_together([*calls, caller.report(trial, 2)])
    assert statuses(replies) == [200, 404, 400, 200]
    assert [row.steps for row in master.metrics.rows(trial)] == [1, 2]


def test_on_a_full_disk_none_of_them_counts_and_none_is_said_to_be_stored(master: Master, caller: Caller) -> None:
    trial = caller.trial()
    assert statuses(caller.app.answer_together([caller.report(trial, 1, 1.0), caller.report(trial, 2, 2.0)])) == [
        200,
        200,
    ]
    pages = int(master.store.db.execute("pragma page_count").fetchone()[0])
    master.store.db.execute(f"pragma max_page_count = {pages}")
    big = {f"metric {number}": float(number) for number in range(5000)}
    metrics = {"trialId": trial, "trialRunId": 1, "stepsCompleted": 4, "metrics": {"avgMetrics": big}}
    too_big = caller.request(f"/api/v1/trials/{trial}/metrics", {"group": "training", "metrics": metrics})
    replies = caller.app.answer_together([caller.report(trial, 3, 3.0), too_big, caller.report(trial, 5, 5.0)])
    assert statuses(replies) == [500, 500, 500]
    assert isinstance(replies[0].body, bytes)
    assert b"OperationalError" in replies[0].body
    assert [row.steps for row in master.metrics.rows(trial)] == [1, 2]
    summary = master.metrics.summary(trial, "loss", True)
    assert (summary.total_batches, summary.groups["avg_metrics"]["loss"]["count"]) == (2, 2)
    # There is room again: it goes on.
    master.store.db.execute("pragma max_page_count = 1000000")
    assert statuses(caller.app.answer_together([caller.report(trial, 3, 3.0), caller.report(trial, 4, 4.0)])) == [
        200,
        200,
    ]
    assert master.metrics.summary(trial, "loss", True).groups["avg_metrics"]["loss"]["count"] == 4


def test_numbers_that_json_does_not_know_are_refused(master: Master, caller: Caller) -> None:
    trial = caller.trial()
    found, sent = caller.report(trial, 1, float("nan"))
    reply = caller.app.answer(found, sent)
    assert reply.status == 400
    assert isinstance(reply.body, bytes)
    assert b"invalid JSON" in reply.body
    # The harness sends them as texts.
    assert statuses(caller.app.answer_together([caller.report(trial, 1, "NaN"), caller.report(trial, 2)])) == [200, 200]
    assert [row.averages["loss"] for row in master.metrics.rows(trial)] == ["NaN", 0.5]


def test_who_waits_is_woken_when_the_change_can_be_seen(tmp_path: Path) -> None:
    store, seen = Store(tmp_path / "store.db"), []
    waits = threading.Event()

    def wait() -> None:
        with store.changed:
            waits.set()
            store.changed.wait(30)
        seen.append(store.get("trial", 1))

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert waits.wait(10)
    with store.write():
        store.put("trial", 1, {"state": "one"})
        store.update("trial", 1, state="two")  # rings
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(10)
    assert seen == [{"state": "two"}]
    store.close()


def test_a_transaction_that_sqlite_gave_up_is_no_success(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.db")
    with pytest.raises(sqlite3.OperationalError, match="given up"), store.write() as db:
        store.put("trial", 1, {})
        db.execute("rollback")
    assert store.get("trial", 1) is None
    with store.write():
        store.put("trial", 2, {})
    assert store.get("trial", 2) == {}
    store.close()
