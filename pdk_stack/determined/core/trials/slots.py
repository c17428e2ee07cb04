"""Assigns slots to waiting trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Request", "Slots", "pick"]


@dataclass(frozen=True)
class Request:
    """A trial that waits for slots.

    Attributes:
        priority: From 1 (highest) to 99 (lowest).
        slots: Number of slots that it needs.
    """

    trial_id: int
    experiment_id: int
    priority: int
    slots: int


class Slots:
    """The machine's slots, numbered from 0.

    Args:
        total: Number of slots.
        disabled: Slots that can't be assigned.
    """

    def __init__(self, total: int, disabled: Iterable[int] = ()) -> None:
        self.total = total
        self._free = set(range(total))
        self._disabled = set(disabled) & self._free

    @property
    def free(self) -> int:
        """The number of free, enabled slots."""
        return len(self._free - self._disabled)

    @property
    def available(self) -> int:
        """The pool's slot count: enabled slots, and disabled ones that are still in use.

        Source: ``agentState.numSlots``, ``master/internal/rm/agentrm/agent_state.go`` of Determined 0.38.
        """
        return self.total - len(self._disabled & self._free)

    @property
    def disabled(self) -> list[int]:
        """Slots that can't be assigned."""
        return sorted(self._disabled)

    def enabled(self, slot: int) -> bool:
        """Return whether a slot can be assigned."""
        return slot not in self._disabled

    def enable(self, slots: Iterable[int], enabled: bool) -> None:
        """Enable or disable slots; running trials keep theirs."""
        if enabled:
            self._disabled.difference_update(slots)
        else:
            self._disabled.update(slots)

    def take(self, count: int) -> tuple[int, ...]:
        """Assign the lowest free slots.

        Raises:
            ValueError: Not enough slots are free.
        """
        if count > self.free:
            raise ValueError(f"{count} slots wanted, {self.free} free")
        taken = tuple(sorted(self._free - self._disabled)[:count])
        self._free.difference_update(taken)
        return taken

    def give_back(self, slots: Iterable[int]) -> None:
        """Release slots."""
        self._free.update(slots)


def pick(waiting: Iterable[Request], free: int, total: int, in_use: Mapping[int, int]) -> Request | None:
    """Return the next trial to start, or None.

    The highest priority comes first; among equals, the experiment that holds the fewest slots, then the oldest. A
    trial that doesn't fit yet blocks those behind it, so that small trials never starve a large one; a trial that
    can never fit blocks no other.

    Args:
        free: Number of free slots.
        total: Number of all slots.
        in_use: Number of slots in use by experiment id.
    """
    possible = [request for request in waiting if request.slots <= total]
    if not possible:
        return None
    first = min(possible, key=lambda r: (r.priority, in_use.get(r.experiment_id, 0), r.experiment_id, r.trial_id))
    return first if first.slots <= free else None
