"""The replicas of one revision: keeps the wanted number, and routes each request to the least busy one."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable

from pdk_stack.common.polling import Deadline
from pdk_stack.kubernetes.core.inference.failures import ModelServerError, Reason, Superseded
from pdk_stack.kubernetes.core.inference.revisions.replica import PROGRESS_SECONDS, PodState, Replica

DRAIN_SECONDS = 30.0
START_SECONDS = 180.0
POLL_SECONDS = 0.1


class ReplicaPool:
    """A revision's replicas.

    Args:
        make: Creates and starts the replica with a given number.
        on_change: Called after replicas are added or removed.
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
        """Return the states of the pods."""
        with self.changed:
            return [each.state for each in self.members]

    @property
    def wanted(self) -> int:
        """The wanted number of replicas."""
        return len(self.members)

    @property
    def ready(self) -> int:
        """The number of ready replicas."""
        with self.changed:
            return sum(each.ready for each in self.members)

    def first_ready(self) -> str:
        """Return the pod of the oldest ready replica; empty without one."""
        with self.changed:
            return next((each.pod for each in self.members if each.ready), "")

    def scale(self, count: int) -> None:
        """Set the number of replicas; removed ones finish their requests first, in a thread."""
        with self.changed:
            if self._closed or count == len(self.members):
                return
            while len(self.members) < count:
                self.members.append(self._make(next(self._numbers)))
            # Remove unready replicas first, then the youngest (Kubernetes' order, as far as it applies).
            keep = sorted(self.members, key=lambda each: not each.ready)[:count]
            gone = [each for each in self.members if each not in keep]
            self.members = [each for each in self.members if each in keep]
        self._on_change()
        if gone:
            threading.Thread(target=self._drain, args=(gone,), daemon=True).start()

    def replace(self, pod: str) -> bool:
        """Replace a replica after its requests end; False when it isn't in the pool."""
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
        """Stop all replicas; the next request can start some again.

        Args:
            unless: Called while no request can get a replica; true cancels the stop.

        Returns:
            Whether the replicas were stopped.
        """
        with self.changed:
            if unless():
                return False
            gone, self.members = self.members, []
        stop_all(gone)
        return True

    def halt(self) -> None:
        """Stop the servers of a failed revision and release their places; its pods stay for inspection."""
        with self.changed:
            self._closed = True
            members = list(self.members)
        stop_all(members)

    def close(self) -> None:
        """Stop all replicas permanently."""
        with self.changed:
            self._closed = True
        self.stop()

    def wait_placed(self, given_up: Callable[[], bool], blocked: Callable[[str], None]) -> None:
        """Wait until one replica is placed on the node.

        Args:
            given_up: Returns whether the revision is no longer wanted.
            blocked: Called with the reason why none is placed, each time it changes.

        Raises:
            ModelServerError: No place became free in time.
            Superseded: The revision is no longer wanted.
        """
        self._wait(lambda: any(each.step != "Unschedulable" for each in self.members), given_up, blocked)

    def wait_ready(self, given_up: Callable[[], bool], blocked: Callable[[str], None] = lambda _why: None) -> None:
        """Wait until all replicas are ready.

        Args:
            given_up: Returns whether the revision is no longer wanted.
            blocked: Called with the reason why one is not placed, each time it changes.

        Raises:
            ModelServerError: A replica can't serve, or has no place in time.
            OSError: A replica can't start.
            Superseded: The revision is no longer wanted.
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
                waiting = [each.trouble for each in self.members if each.step == "Unschedulable"]
            why = next((each.message for each in waiting if each.message), "")
            if why and why != said:
                said = why
                blocked(why)
            if given_up():
                raise Superseded
            if any(each.final for each in waiting):
                text = f"no place became free within {PROGRESS_SECONDS:.0f} s: {why}"
                raise ModelServerError(text, reason=Reason.TIMEOUT)

    def ensure_one(
        self, count: int, given_up: Callable[[], bool] = lambda: False, blocked: Callable[[str], None] | None = None
    ) -> None:
        """Wait until one replica is ready; restart if none exists or all have died.

        Args:
            count: Number of replicas to start when there are none.
            given_up: Returns whether the revision is no longer wanted.
            blocked: Called with the reason why no replica is placed, each time it changes; without it, a request waits
                for the replicas and gets the reason at once.

        Raises:
            ModelServerError: No replica can start, or none has a place.
            Superseded: The revision is no longer wanted.
        """
        with self.changed:
            if any(each.ready for each in self.members):
                return
        if not self.members:
            self.scale(count)
        if blocked is not None:
            self.wait_placed(given_up, blocked)
        deadline = Deadline(START_SECONDS)
        with self.changed:
            # The end of a server that was ready is not a failed start; nor is a failure before this request.
            starts = {each.pod: each.starts - (each.step == "Loading") for each in self.members}
        while not given_up():
            with self.changed:
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
        raise Superseded

    def take(self, limit: int, seconds: float, avoid: Iterable[Replica] = ()) -> Replica | None:
        """Assign a request to the least busy replica.

        Args:
            limit: Maximum number of concurrent requests per replica; 0 means no limit.
            seconds: How long to wait for capacity, in seconds.
            avoid: Replicas that already failed the request; ignored when there is no other.

        Returns:
            The replica; None when no capacity became free in time.
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
        """Count a request as ended."""
        with self.changed:
            replica.inflight -= 1
            self.changed.notify_all()


def stop_all(replicas: list[Replica]) -> None:
    """Stop replicas in parallel."""
    threads = [threading.Thread(target=each.stop, daemon=True) for each in replicas]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
