"""Background maintenance of the store."""

from __future__ import annotations

import logging
import threading

from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs import filesets
from pdk_stack.pachyderm.store import garbage

log = logging.getLogger("pdk_stack.pachyderm.core.maintenance")

INTERVAL_S = 60.0
WAIT_S = 5.0


class Maintenance:
    """Deletes expired file sets, and collects garbage after removals.

    Args:
        engine: The store.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="maintenance", daemon=True)

    def start(self) -> None:
        """Quarantine packs that a killed daemon left behind, and start."""
        with self._engine.read() as connection:
            left = garbage.set_unknown_packs_aside(connection, self._engine.blobs)
        if left:
            log.warning("moved %d packs that are unknown to the database to %s", left, self._engine.blobs.quarantine)
        self._thread.start()

    def stop(self) -> None:
        """Stop the maintenance thread."""
        self._stopping.set()
        self._thread.join(2 * WAIT_S)

    def _loop(self) -> None:
        while not self._stopping.wait(INTERVAL_S):
            try:
                with self._engine.database.write() as connection:
                    filesets.drop_expired(connection)
                with self._engine.read() as connection:
                    due = garbage.is_due(connection)
                if due:
                    garbage.collect(self._engine.database, self._engine.blobs, WAIT_S)
            except Exception:
                log.exception("garbage collection failed")
