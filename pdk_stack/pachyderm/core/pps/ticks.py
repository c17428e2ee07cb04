"""Scheduled work: commits a file named after the time to each cron input, and fires cron triggers."""

from __future__ import annotations

import logging
import sqlite3
import threading
from datetime import datetime, timezone

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_stack.pachyderm.core.cron import parse_cron, utc_now
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import triggers
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import find_branch
from pdk_stack.pachyderm.core.pfs.types import ORIGIN_USER, CommitRef
from pdk_stack.pachyderm.core.pps import pipelines
from pdk_stack.pachyderm.core.pps.inputs import branch_of, leaves
from pdk_stack.pachyderm.names import DEFAULT_TAG
from pdk_stack.pachyderm.store.tree_edits import Add, Delete, TreeEdit

log = logging.getLogger("pdk_stack.pachyderm.core.cron")

POLL_S = 1.0


def tick(engine: Engine, change: Change, leaf: pps_pb2.CronInput, moment: datetime | None = None) -> None:
    """Commit the file of a cron input.

    Args:
        engine: The store.
        change: The change in progress.
        leaf: The input.
        moment: The scheduled time; None means now.
    """
    when = (moment or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ")
    key = branch_of(leaf)
    changes: list[TreeEdit] = [Delete("/", None)] if leaf.overwrite else [Delete(f"/{when}", None)]
    changes.append(Add(f"/{when}", DEFAULT_TAG, (), 0))
    engine.write_files(change, CommitRef(key.repo, branch=key.name), changes)


class Ticker:
    """Ticks all cron inputs and fires all cron triggers on schedule.

    Args:
        engine: The store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Last firing time of each trigger, by branch key.
        self._fired: dict[int, datetime] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="cron", daemon=True)

    def start(self) -> None:
        """Start the ticker."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the ticker."""
        self._stopping.set()
        self._thread.join(5)

    def _loop(self) -> None:
        while not self._stopping.wait(POLL_S):
            try:
                self.run_due(utc_now())
                self.fire_due(utc_now())
            except Exception:
                log.exception("cron failed")

    def run_due(self, now: datetime) -> int:
        """Tick the cron inputs that are due; return their number."""
        with self._engine.read() as connection:
            due = [
                (pipeline, leaf)
                for pipeline in pipelines.list_pipelines(connection)
                if not pipeline.stopped
                for leaf in leaves(pipeline.details.input)
                if isinstance(leaf, pps_pb2.CronInput)
                and parse_cron(leaf.spec).after(self._last(connection, leaf)) <= now
            ]
        for _, leaf in due:
            with self._engine.change() as change:
                tick(self._engine, change, leaf, now)
        return len(due)

    def fire_due(self, now: datetime) -> int:
        """Fire the triggers that are due; return the number of branches that moved."""
        moved = 0
        with self._engine.read() as connection:
            known = triggers.with_schedule(connection)
        for branch, spec, started in known:
            # Fall back to the head's start time, so that a restart doesn't restart the interval.
            last = self._fired.get(branch.pk) or datetime.fromtimestamp(started / 1e9, timezone.utc)
            if parse_cron(spec).after(last) > now:
                continue
            self._fired[branch.pk] = now
            with self._engine.change() as change:
                moved += triggers.fire_scheduled(change, branch)
        return moved

    def _last(self, connection: sqlite3.Connection, leaf: pps_pb2.CronInput) -> datetime:
        """Return the input's last tick, or its start if it never ticked."""
        start = leaf.start.ToNanoseconds()
        branch = find_branch(connection, branch_of(leaf))
        row = None
        if branch is not None and branch.head is not None:
            row = connection.execute(
                "SELECT started FROM commits WHERE pk = ? AND origin = ?", (branch.head, ORIGIN_USER)
            ).fetchone()
        moment = max(start, row["started"] if row else 0)
        return datetime.fromtimestamp(moment / 1e9, timezone.utc)
