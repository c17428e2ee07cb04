"""The parts put together: one store, atomic changes over PFS and PPS, waiting for what others do."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from pdk_stack.common.database import Database
from pdk_stack.pachyderm.core.pfs import branches, commits, repos, triggers
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.lookup import find_by_pk, get_commit
from pdk_stack.pachyderm.core.pfs.types import (
    STATE_FINISHED,
    STATE_FINISHING,
    STATE_READY,
    USER_REPO,
    Commit,
    CommitRef,
)
from pdk_stack.pachyderm.core.pfs.upload import Upload
from pdk_stack.pachyderm.errors import Fault
from pdk_stack.pachyderm.names import new_id
from pdk_stack.pachyderm.store.blobs import BlobStore, insert_locations, known_in
from pdk_stack.pachyderm.store.schema import SCHEMA
from pdk_stack.pachyderm.store.tree_edits import TreeEdit

log = logging.getLogger("pdk_stack.pachyderm")

WAIT_SLICE_S = 0.5

T = TypeVar("T")


class Engine:
    """Everything behind the protocol.

    Args:
        state_dir: The folder of the database and the blobs.
    """

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.database = Database(state_dir / "pachyderm.db", SCHEMA, beside=[state_dir / "blobs"])
        self.blobs = BlobStore(state_dir / "blobs")
        # Runs at the end of every change, before it is committed: PPS creates its jobs here.
        self.at_change_end: list[Callable[[Change], None]] = []
        with self.database.write() as connection:
            repos.ensure_default_project(connection)
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('cluster_id', ?)", (new_id(),))

    @property
    def cluster_id(self) -> str:
        """The installation's id."""
        with self.read() as connection:
            return str(connection.execute("SELECT value FROM meta WHERE key = 'cluster_id'").fetchone()[0])

    @contextmanager
    def change(self, set_id: str = "") -> Iterator[Change]:
        """An atomic change: at its end new commits are propagated and their jobs created, or nothing stays.

        Args:
            set_id: Id of the commits that it makes; a new one when empty.
        """
        with self.database.write() as connection:
            change = Change(connection, set_id or new_id())
            yield change
            self.settle(change)

    def settle(self, change: Change) -> None:
        """Propagate new heads and create the jobs that follow from them."""
        for pk in change.finished:
            finished = find_by_pk(change.connection, pk)
            if finished is not None and not finished.error and finished.repo.type == USER_REPO:
                triggers.fire(change, finished)
        change.finished.clear()
        branches.propagate(change)
        for hook in self.at_change_end:
            hook(change)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A snapshot of the committed state."""
        with self.database.read() as connection:
            yield connection

    def wait_for(self, probe: Callable[[sqlite3.Connection], T | None], active: Callable[[], bool]) -> T | None:
        """Wait until a probe finds something.

        Args:
            probe: Looks at a snapshot; anything but None ends the wait.
            active: False ends the wait, e.g. when the client is gone.

        Returns:
            What the probe found, or None.
        """
        while True:
            seen = self.database.bell.count
            with self.read() as connection:
                found = probe(connection)
            if found is not None or not active():
                return found
            self.database.bell.wait(seen, WAIT_SLICE_S)

    def wait_commit(self, ref: CommitRef, state: int, active: Callable[[], bool]) -> Commit:
        """Wait until a commit has reached a state.

        Args:
            ref: Which commit; resolved once.
            state: A ``CommitState``; any commit has reached ``STARTED``.
            active: False ends the wait.

        Raises:
            NotFound: There is no such commit, or it was removed.
            Fault: The wait was given up.
        """
        with self.read() as connection:
            commit = get_commit(connection, ref)
        exact = CommitRef(commit.repo, id=commit.id)

        def probe(connection: sqlite3.Connection) -> Commit | None:
            current = get_commit(connection, exact)
            return current if reached(connection, current, state) else None

        found = self.wait_for(probe, active)
        if found is None:
            raise Fault(f"waiting for commit {commit} was given up")
        return found

    @contextmanager
    def upload(self, lasting: bool = False) -> Iterator[Upload]:
        """A place for content that a change is going to use; discarded when an error leaves the block.

        Args:
            lasting: Whether the block may last long, as a job's does. It then holds no snapshot meanwhile, which
                would keep the write-ahead log from being emptied.
        """

        def known(digest: bytes) -> bool:
            with self.read() as connection:
                return known_in(connection, digest)

        with ExitStack() as stack:
            # While the store is in use no blob is collected, so what is known now stays known.
            stack.enter_context(self.blobs.in_use())
            check = known
            if not lasting:
                check = partial(known_in, stack.enter_context(self.read()))
            upload = Upload(self.blobs.writer(check))
            try:
                yield upload
            except BaseException:
                upload.pack.discard()
                raise

    def modify(self, ref: CommitRef, upload: Upload) -> Commit:
        """Write uploaded modifications to a commit, all or none.

        Raises:
            NotFound: The repo, branch or commit does not exist.
            Fault: It cannot be written, or the new tree is not valid.
        """
        upload.seal()
        try:
            with self.change() as change:
                insert_locations(change.connection, upload.pack.locations)
                return self.write_files(change, ref, upload.changes)
        except BaseException:
            upload.pack.discard()
            raise

    def write_files(self, change: Change, ref: CommitRef, changes: list[TreeEdit]) -> Commit:
        """Write file changes to the commit that a reference means, or to a new one on its branch."""
        commit, alone = commits.open_for_writing(change, ref)
        if not alone:
            commits.stage(change, commit, changes)
            return commit
        finished = commits.finish(change, commit, changes=changes)
        if finished.error:
            raise Fault(finished.error)
        return finished

    def close(self) -> None:
        """Close the store."""
        self.database.close()


def reached(connection: sqlite3.Connection, commit: Commit, state: int) -> bool:
    """Whether a commit has reached a state."""
    if state == STATE_FINISHED:
        return commit.finished != 0
    if state == STATE_FINISHING:
        return commit.finishing != 0
    if state == STATE_READY:
        row = connection.execute(
            "SELECT 1 FROM commit_provenance JOIN commits ON commits.pk = upstream"
            " WHERE commit_pk = ? AND finished = 0",
            (commit.pk,),
        ).fetchone()
        return row is None
    return True
