"""The engine: one store, atomic changes across PFS and PPS, and waiting for changes."""

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
    """The core behind the protocol.

    Args:
        state_dir: The folder for the database and the blobs.
    """

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.database = Database(state_dir / "pachyderm.db", SCHEMA, beside=[state_dir / "blobs"])
        self.blobs = BlobStore(state_dir / "blobs")
        # Runs at the end of every change, before the commit: PPS creates its jobs here.
        self.at_change_end: list[Callable[[Change], None]] = []
        with self.database.write() as connection:
            repos.ensure_default_project(connection)
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('cluster_id', ?)", (new_id(),))

    @property
    def cluster_id(self) -> str:
        """The ID of the installation."""
        with self.read() as connection:
            return str(connection.execute("SELECT value FROM meta WHERE key = 'cluster_id'").fetchone()[0])

    @contextmanager
    def change(self, set_id: str = "") -> Iterator[Change]:
        """Make an atomic change: at the end, propagate new commits and create their jobs; roll back on an error.

        Args:
            set_id: The ID of the commits that it creates; empty makes a new one.
        """
        with self.database.write() as connection:
            change = Change(connection, set_id or new_id())
            yield change
            self.settle(change)

    def settle(self, change: Change) -> None:
        """Propagate new heads, and create the resulting jobs."""
        for pk in change.finished:
            finished = find_by_pk(change.connection, pk)
            if finished is not None and not finished.error and finished.repo.type == USER_REPO:
                triggers.fire(change, finished)
        change.finished.clear()
        branches.check_graphs(change)
        branches.propagate(change)
        for hook in self.at_change_end:
            hook(change)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Open a snapshot of the committed state."""
        with self.database.read() as connection:
            yield connection

    def wait_for(self, probe: Callable[[sqlite3.Connection], T | None], active: Callable[[], bool]) -> T | None:
        """Wait until a probe returns a result.

        Args:
            probe: Reads a snapshot; any result other than None ends the wait.
            active: Returns False to end the wait, for example when the client disconnects.

        Returns:
            The probe's result, or None.
        """
        while True:
            seen = self.database.bell.count
            with self.read() as connection:
                found = probe(connection)
            if found is not None or not active():
                return found
            self.database.bell.wait(seen, WAIT_SLICE_S)

    def wait_commit(self, ref: CommitRef, state: int, active: Callable[[], bool]) -> Commit:
        """Wait until a commit reaches a state.

        Args:
            ref: The commit; resolved once.
            state: A ``CommitState``; every commit has reached ``STARTED``.
            active: Returns False to end the wait.

        Raises:
            NotFound: The commit doesn't exist, or was removed.
            Fault: ``active`` ended the wait.
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
        """Receive content for a change; an error in the block discards it.

        Args:
            lasting: Whether the block may run for long, as a job does. It then holds no snapshot open, which would
                block checkpoints of the write-ahead log.
        """

        def known(digest: bytes) -> bool:
            with self.read() as connection:
                return known_in(connection, digest)

        with ExitStack() as stack:
            # While the store is in use, no garbage is collected, so a known blob stays known.
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

    def modify(self, ref: CommitRef, upload: Upload, *, keep_invalid: bool = False) -> Commit:
        """Apply uploaded modifications to a commit, all or none.

        Args:
            ref: The commit, or the branch of a new one.
            upload: The modifications.
            keep_invalid: Whether a new commit whose files contradict each other stays, finished with an error.

        Raises:
            NotFound: The repo, branch, or commit doesn't exist.
            Fault: The commit isn't writable, or the new tree is invalid and isn't kept.
        """
        upload.seal()
        try:
            with self.change() as change:
                insert_locations(change.connection, upload.pack.locations)
                return self.write_files(change, ref, upload.changes, keep_invalid=keep_invalid)
        except BaseException:
            upload.pack.discard()
            raise

    def write_files(
        self, change: Change, ref: CommitRef, changes: list[TreeEdit], *, keep_invalid: bool = False
    ) -> Commit:
        """Apply file changes to the commit that a reference names, or to a new one on its branch."""
        commit, alone = commits.open_for_writing(change, ref)
        if not alone:
            commits.stage(change, commit, changes)
            return commit
        finished = commits.finish(change, commit, changes=changes)
        if finished.error and not keep_invalid:
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
