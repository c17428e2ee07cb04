"""Which waiting trial gets which slots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Request", "Slots", "pick"]


@dataclass(frozen=True)
class Request:
    """A trial that wants to run.

    Attributes:
        priority: 1 is the most urgent, 99 the least.
        slots: How many slots it needs.
    """

    trial_id: int
    experiment_id: int
    priority: int
    slots: int


class Slots:
    """The machine's slots; slots are numbered from 0.

    Args:
        total: How many there are.
        disabled: Those that may not be used.
    """

    def __init__(self, total: int, disabled: Iterable[int] = ()) -> None:
        self.total = total
        self._free = set(range(total))
        self._disabled = set(disabled) & self._free

    @property
    def free(self) -> int:
        """How many may be taken."""
        return len(self._free - self._disabled)

    @property
    def available(self) -> int:
        """What a master counts as a pool's slots: enabled ones, and disabled ones that somebody still uses.

        Source: ``agentState.numSlots``, ``master/internal/rm/agentrm/agent_state.go`` of Determined 0.38.
        """
        return self.total - len(self._disabled & self._free)

    @property
    def disabled(self) -> list[int]:
        """Those that may not be used."""
        return sorted(self._disabled)

    def enabled(self, slot: int) -> bool:
        """Whether a slot may be used."""
        return slot not in self._disabled

    def enable(self, slots: Iterable[int], enabled: bool) -> None:
        """Let slots be used, or not; who uses one keeps it."""
        if enabled:
            self._disabled.difference_update(slots)
        else:
            self._disabled.update(slots)

    def take(self, count: int) -> tuple[int, ...]:
        """Use the lowest free slots.

        Raises:
            ValueError: So many are not free.
        """
        if count > self.free:
            raise ValueError(f"{count} slots wanted, {self.free} free")
        taken = tuple(sorted(self._free - self._disabled)[:count])
        self._free.difference_update(taken)
        return taken

    def give_back(self, slots: Iterable[int]) -> None:
        """Slots are free again."""
        self._free.update(slots)


def pick(waiting: Iterable[Request], free: int, total: int, in_use: Mapping[int, int]) -> Request | None:
    """The next trial to start, or None.

    More urgent ones first; among equals the experiment that holds the fewest slots, then the older one. A trial
    that does not fit yet holds back those behind it, so that small trials never starve a large one; a trial that
    never fits holds back no other.

    Args:
        free: Free slots.
        total: All slots.
        in_use: Slots in use by experiment id.
    """
    possible = [request for request in waiting if request.slots <= total]
    if not possible:
        return None
    first = min(possible, key=lambda r: (r.priority, in_use.get(r.experiment_id, 0), r.experiment_id, r.trial_id))
    return first if first.slots <= free else None
