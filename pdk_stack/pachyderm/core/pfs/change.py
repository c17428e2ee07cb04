"""An atomic change to PFS: what it touched, and the ID that all its commits share."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from pdk_stack.pachyderm.names import new_id


@dataclass
class Change:
    """A change in progress.

    Attributes:
        connection: The open database transaction.
        set_id: The ID of every commit that this change creates: the commit set, and later the job.
        touched: Branches whose heads moved; at the end, the change propagates to the branches downstream.
        created: Commits made by this change.
        finished: Commits finished by this change.
        grown: Branches with new provenance; at the end, the change checks the graphs that they are part of.
    """

    connection: sqlite3.Connection
    set_id: str = field(default_factory=new_id)
    touched: list[int] = field(default_factory=list)
    created: list[int] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    grown: list[int] = field(default_factory=list)

    def touch(self, branch: int) -> None:
        """Record that a branch's head moved."""
        if branch not in self.touched:
            self.touched.append(branch)
