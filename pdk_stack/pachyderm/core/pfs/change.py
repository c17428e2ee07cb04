"""One atomic change of PFS: what it touched, and the one id that all its commits share."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from pdk_stack.pachyderm.names import new_id


@dataclass
class Change:
    """A change in progress.

    Attributes:
        connection: The open transaction of the database.
        set_id: Id of every commit that this change creates: the commit set, and later the job.
        touched: Branches whose heads moved; those that follow from them are propagated at the end.
        created: Commits made by this change.
        finished: Commits that it closed.
    """

    connection: sqlite3.Connection
    set_id: str = field(default_factory=new_id)
    touched: list[int] = field(default_factory=list)
    created: list[int] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)

    def touch(self, branch: int) -> None:
        """Note that a branch's head moved."""
        if branch not in self.touched:
            self.touched.append(branch)
