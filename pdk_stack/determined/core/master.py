"""Assembles the master's parts; independent of HTTP."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from pathlib import Path
from typing import Any

from pdk_stack.determined import VERSION
from pdk_stack.determined.core.access_tokens import AccessTokens
from pdk_stack.determined.core.accounts import Accounts
from pdk_stack.determined.core.checkpoints.removal import Removal
from pdk_stack.determined.core.cluster_messages import ClusterMessages
from pdk_stack.determined.core.experiments.control import Control
from pdk_stack.determined.core.experiments.life import Experiments
from pdk_stack.determined.core.groups import Groups
from pdk_stack.determined.core.master_log import MasterLog
from pdk_stack.determined.core.trials.gather import AllGather
from pdk_stack.determined.core.trials.launch import Cluster
from pdk_stack.determined.core.trials.processes import end_tree
from pdk_stack.determined.core.trials.runs import Runs
from pdk_stack.determined.core.trials.slots import Slots
from pdk_stack.determined.core.workspaces import Workspaces
from pdk_stack.determined.store.documents import Document, Store
from pdk_stack.determined.store.metrics import Metrics
from pdk_stack.determined.store.task_logs import Logs
from pdk_stack.determined.timestamps import now

__all__ = ["POOL", "Master", "available_cores"]

log = logging.getLogger(__name__)

#: The only resource pool.
POOL = "default"


def available_cores() -> int:
    """Return the number of CPU cores that this process can use."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # macOS has no affinity
        return max(1, os.cpu_count() or 1)


class Master:
    """The master behind the REST API.

    Args:
        state_dir: The state folder.
        slots: Slots of the agent; 0 means one per CPU core.
        python: Python interpreter for trials; empty means this process's.
    """

    def __init__(self, state_dir: Path, slots: int = 0, python: str = "") -> None:
        self.state_dir = state_dir
        self.log = MasterLog()
        logging.getLogger().addHandler(self.log)
        self.store = Store(state_dir / "master.sqlite")
        self.accounts = Accounts(self.store)
        self.tokens = AccessTokens(self.store, self.accounts)
        self.groups = Groups(self.store, self.accounts)
        self.logs = Logs(self.store)
        self.metrics = Metrics(self.store)
        self.workspaces = Workspaces(self.store)
        self.messages = ClusterMessages(self.store)
        self.slots = Slots(slots or available_cores(), (self.store.get("agent", POOL) or {}).get("disabled", ()))
        self.experiments = Experiments(self.store, self.metrics, self.logs, self.slots)
        self.gather = AllGather()
        self.control = Control(self.store, self.experiments)
        self.cluster_id = self._cluster_id()
        self.removal = Removal(self.store, self.metrics, self.logs, self.experiments, self.cluster_id)
        self.master_id = str(uuid.uuid4())
        self.started_at = now()
        self.port = 0
        self._python = python or sys.executable

    def _cluster_id(self) -> str:
        with self.store.write():
            found = self.store.get("cluster", 1)
            if found is None:
                found = {"id": str(uuid.uuid4())}
                self.store.put("cluster", 1, found)
        return str(found["id"])

    def ensure_accounts(self, admin_password: str, user_password: str) -> None:
        """Create the two users of a new cluster, and its default workspace and project."""
        admin = self.accounts.ensure("admin", admin_password, admin=True)
        self.accounts.ensure("determined", user_password, admin=False)
        self.workspaces.ensure_defaults(admin)

    def end_left_processes(self) -> None:
        """End trial processes left by a killed master; their experiments continue from their checkpoints."""
        end_tree(None, self.cluster_id)

    def start(self, port: int) -> None:
        """Continue unfinished experiments; their trials connect to ``port``."""
        self.port = port
        cluster = Cluster(
            cluster_id=self.cluster_id,
            master_id=self.master_id,
            port=port,
            folder=self.state_dir / "runs",
            python=self._python,
            cores=available_cores(),
        )
        runs = Runs(self.store, self.accounts, self.logs, cluster, self.experiments.run_ended)
        log.info("master %s (cluster %s) on port %s, %s slots", VERSION, self.cluster_id, port, self.slots.total)
        self.experiments.start(runs)

    def close(self) -> None:
        """Close the database, after all trials have ended."""
        logging.getLogger().removeHandler(self.log)
        self.store.close()

    def enable_slots(self, slots: set[int], enabled: bool) -> None:
        """Enable or disable slots; the setting survives a restart."""
        self.slots.enable(slots, enabled)
        self.store.put("agent", POOL, {"disabled": self.slots.disabled})

    @property
    def storage(self) -> dict[str, Any]:
        """The cluster's checkpoint storage."""
        folder = self.state_dir / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return {"type": "shared_fs", "host_path": str(folder)}

    def user(self, key: int) -> Document:
        """Return a user for display; a deleted user still has a name."""
        return self.store.get("user", key) or {"id": key, "username": "", "displayName": ""}
