"""The replicas of one revision: as many as are wanted, each request to the least busy one."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable

from pdk_stack.common.polling import Deadline
from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Superseded
from pdk_stack.kubernetes.core.inference.revisions.replica import PodState, Replica

DRAIN_SECONDS = 30.0
START_SECONDS = 180.0
POLL_SECONDS = 0.1


class ReplicaPool:
    """A revision's replicas.

    Args:
        make: Makes and starts the replica of a number.
        on_change: Called when replicas were added or have gone.
    """

    def __init__(self, make: Callable[[int], Replica], on_change: Callable[[], None]) -> None:
        self.changed = threading.Condition()
        self.members: list[Replica] = []
        self._make = make
        self._on_change = on_change
        self._numbers = itertools.count()
        self._turns = itertools.count(1)
        self._closed = False

    def states(self) -> list[PodState]:
        """What the pods show."""
        with self.changed:
            return [each.state for each in self.members]

    @property
    def wanted(self) -> int:
        """How many there should be."""
        return len(self.members)

    @property
    def ready(self) -> int:
        """How many serve."""
        with self.changed:
            return sum(each.ready for each in self.members)

    def scale(self, count: int) -> None:
        """Have so many from here on; those that go end their requests first, in a thread."""
        with self.changed:
            if self._closed or count == len(self.members):
                return
            while len(self.members) < count:
                self.members.append(self._make(next(self._numbers)))
            # Those that do not serve go first, then the youngest (Kubernetes' order, as far as it applies).
            keep = sorted(self.members, key=lambda each: not each.ready)[:count]
            gone = [each for each in self.members if each not in keep]
            self.members = [each for each in self.members if each in keep]
        self._on_change()
        if gone:
            threading.Thread(target=self._drain, args=(gone,), daemon=True).start()

    def replace(self, pod: str) -> bool:
        """Take one away, whose requests end first, and start another; False when it is not here."""
        with self.changed:
            gone = [each for each in self.members if each.pod == pod]
            if self._closed or not gone:
                return False
            self.members = [each for each in self.members if each.pod != pod]
            self.members.append(self._make(next(self._numbers)))
        self._on_change()
        threading.Thread(target=self._drain, args=(gone,), daemon=True).start()
        return True

    def _drain(self, gone: list[Replica]) -> None:
        with self.changed:
            self.changed.wait_for(lambda: not any(each.inflight for each in gone), DRAIN_SECONDS)
        stop_all(gone)

    def stop(self, unless: Callable[[], bool] = lambda: False) -> bool:
        """Stop all at once; the next request may start some again.

        Args:
            unless: Asked while no request can get a replica; true leaves everything as it is.

        Returns:
            Whether they were stopped.
        """
        with self.changed:
            if unless():
                return False
            gone, self.members = self.members, []
        stop_all(gone)
        return True

    def halt(self) -> None:
        """Stop the servers of a revision that failed; its pods stay to be looked at, and keep their places."""
        with self.changed:
            self._closed = True
            members = list(self.members)
        for each in members:
            each.halt()

    def close(self) -> None:
        """Stop all for good."""
        with self.changed:
            self._closed = True
        self.stop()

    def wait_placed(self, given_up: Callable[[], bool], blocked: Callable[[str], None]) -> None:
        """Wait until one has a place on the node.

        Args:
            given_up: Whether the revision is not wanted any more.
            blocked: Told why none has one, each time this changes.

        Raises:
            Superseded: The revision is not wanted any more.
        """
        self._wait(lambda: any(each.step != "Unschedulable" for each in self.members), given_up, blocked)

    def wait_ready(self, given_up: Callable[[], bool], blocked: Callable[[str], None] = lambda _why: None) -> None:
        """Wait until all serve.

        Args:
            given_up: Whether the revision is not wanted any more.
            blocked: Told why one has no place, each time this changes.

        Raises:
            ModelServerError: One cannot serve.
            OSError: The same.
            Superseded: The revision is not wanted any more.
        """

        def done() -> bool:
            for each in self.members:
                if each.failure is not None:
                    raise each.failure
            return all(each.ready for each in self.members)

        self._wait(done, given_up, blocked)

    def _wait(self, done: Callable[[], bool], given_up: Callable[[], bool], blocked: Callable[[str], None]) -> None:
        said = ""
        while True:
            with self.changed:
                if done():
                    return
                self.changed.wait(POLL_SECONDS)
                reasons = (each.trouble.message for each in self.members if each.step == "Unschedulable")
                why = next(filter(None, reasons), "")
            if why and why != said:
                said = why
                blocked(why)
            if given_up():
                raise Superseded

    def ensure_one(self, count: int) -> None:
        """Wait until one serves; started again if none is there or all have died.

        Args:
            count: How many to start when there are none.

        Raises:
            ModelServerError: None can be started.
        """
        with self.changed:
            if any(each.ready for each in self.members):
                return
        if not self.members:
            self.scale(count)
        deadline = Deadline(START_SECONDS)
        with self.changed:
            # The end of a server that had served is no failed start; nor is what came before this request.
            starts = {each.pod: each.starts - (each.step == "Loading") for each in self.members}
            while True:
                if any(each.ready for each in self.members):
                    return
                if self._closed or not self.members:
                    raise ModelServerError("it has been taken away")
                failed = [each for each in self.members if each.failure and each.starts > starts.get(each.pod, 0)]
                if len(failed) == len(self.members):
                    raise ModelServerError(str(failed[0].failure))
                if all(each.step == "Unschedulable" and each.trouble.message for each in self.members):
                    raise ModelServerError(self.members[0].trouble.message)
                if deadline.over:
                    raise ModelServerError(f"it was not there within {START_SECONDS:.0f} s")
                for each in self.members:
                    if each.step == "Failed" and each not in failed:
                        each.kick()
                self.changed.wait(POLL_SECONDS)

    def take(self, limit: int, seconds: float, avoid: Iterable[Replica] = ()) -> Replica | None:
        """The least busy replica, with the request counted in.

        Args:
            limit: Requests that one works on at once; 0 for as many as come.
            seconds: How long to wait for a free place.
            avoid: Those that did not take it; ignored where there is no other.

        Returns:
            The replica; None when no place became free in time.
        """
        with self.changed:
            found = self.changed.wait_for(lambda: self._least_busy(limit, avoid), seconds)
            if found is not None:
                found.inflight += 1
                found.turn = next(self._turns)
            return found

    def _least_busy(self, limit: int, avoid: Iterable[Replica]) -> Replica | None:
        free = (
            each
            for each in self.members
            if each.ready and not (limit and each.inflight >= limit) and not (each in avoid and len(self.members) > 1)
        )
        return min(free, key=lambda each: (each.inflight, each.turn), default=None)

    def give(self, replica: Replica) -> None:
        """Count a request out."""
        with self.changed:
            replica.inflight -= 1
            self.changed.notify_all()


def stop_all(replicas: list[Replica]) -> None:
    """Stop replicas side by side."""
    threads = [threading.Thread(target=each.stop, daemon=True) for each in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
