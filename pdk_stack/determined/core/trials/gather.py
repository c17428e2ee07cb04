"""All-gather: every process of a trial sends one piece and receives all pieces."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from pdk_stack.common.polling import Deadline

__all__ = ["AllGather"]

LONGEST_SECONDS = 600.0
LOOK_SECONDS = 1.0


class AllGather:
    """Collects the pieces that the processes of each allocation send."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pieces: dict[str, dict[str, Any]] = {}

    def take_part(
        self, allocation_id: str, peer: str, peers: int, piece: Any, given_up: Callable[[], bool]
    ) -> list[Any] | None:
        """Send a piece and wait for the pieces from all peers.

        Args:
            peer: Identifies the sender.
            peers: Number of participants.
            given_up: Returns whether the caller has stopped waiting; checked about once a second.

        Returns:
            All pieces, or None when some are missing.
        """
        deadline = Deadline(LONGEST_SECONDS)
        with self._changed:
            pieces = self._pieces.setdefault(allocation_id, {})
            pieces[peer] = piece
            self._changed.notify_all()
            while len(pieces) < peers:
                if given_up() or deadline.over:
                    return None
                self._changed.wait(LOOK_SECONDS)
            if self._pieces.get(allocation_id) is pieces:  # unless a new round has already begun
                del self._pieces[allocation_id]
            return list(pieces.values())
