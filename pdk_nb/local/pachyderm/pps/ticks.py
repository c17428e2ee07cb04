"""Cron inputs: a commit with a file named after the time, whenever the schedule is due."""

from __future__ import annotations

from datetime import datetime, timezone

from python_pachyderm.proto.v2.pps import pps_pb2

from pdk_nb.local.pachyderm.engine import Engine
from pdk_nb.local.pachyderm.names import DEFAULT_TAG
from pdk_nb.local.pachyderm.pfs.changes import Change
from pdk_nb.local.pachyderm.pfs.types import CommitRef
from pdk_nb.local.pachyderm.pps.inputs import branch_of
from pdk_nb.local.pachyderm.store.changes import Add, Delete
from pdk_nb.local.pachyderm.store.changes import Change as FileChange


def tick(engine: Engine, change: Change, leaf: pps_pb2.CronInput, moment: datetime | None = None) -> None:
    """Commit a cron input's file.

    Args:
        engine: The store.
        change: The change in progress.
        leaf: The input.
        moment: The time that it is for; now when None.
    """
    when = (moment or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ")
    key = branch_of(leaf)
    changes: list[FileChange] = [Delete("/", None)] if leaf.overwrite else [Delete(f"/{when}", None)]
    changes.append(Add(f"/{when}", DEFAULT_TAG, (), 0))
    engine.write_files(change, CommitRef(key.repo, branch=key.name), changes)
