"""How services are used, as far as open pages have seen it: readings of the last minutes, one reader for all pages."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pdk_nb.display.diagrams import Plot, Series
from pdk_nb.platforms import serving
from pdk_nb.platforms.cluster import Cluster
from pdk_shared.errors import PdkError

__all__ = ["Histories", "History"]

# Seconds between two readings of metrics and of logs, that are shown, that the figures cover, and of a point's rate.
METRICS_EVERY_S, LOG_EVERY_S = 2.0, 5.0
KEPT_S, RECENT_S, POINT_S = 300.0, 60.0, 10.0
UNTIL_NOW = "seconds; 0 is now"
#: Services that are remembered.
MOST = 50


@dataclass
class History:
    """The readings of one service.

    Attributes:
        readings: The readings of the last minutes, in order.
        errors: The last lines of its log that tell of an error.
        log_problem: Why its log can't be read; empty when it could.
    """

    readings: deque[serving.Reading] = field(default_factory=deque)
    errors: list[serving.ErrorLine] = field(default_factory=list)
    log_problem: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _log_read: float = float("-inf")

    def read(self, cluster: Cluster, pods: Sequence[serving.Pod], clock: Callable[[], float] = time.monotonic) -> None:
        """Read metrics and log again, unless that was done a moment ago.

        Args:
            cluster: The connection.
            pods: The service's pods.
            clock: Gives the time.
        """
        with self._lock:
            now = clock()
            if not self.readings or now - self.readings[-1].moment >= METRICS_EVERY_S:
                self.readings.append(serving.read_usage(cluster, pods, clock))
                while now - self.readings[0].moment > KEPT_S:
                    self.readings.popleft()
            if now - self._log_read >= LOG_EVERY_S:
                self._log_read = now
                try:
                    self.errors, self.log_problem = serving.error_lines(cluster, pods), ""
                except PdkError as error:
                    self.log_problem = error.what

    @property
    def problem(self) -> str:
        """Why there are no figures of some pod; empty when there are."""
        return self.readings[-1].problem if self.readings else ""

    @property
    def total(self) -> serving.Counts:
        """What its pods have counted since their starts."""
        return self.readings[-1].total if self.readings else serving.Counts()

    @property
    def recent(self) -> serving.Usage | None:
        """The last minute, or as much of it as a page was open for; None before the second reading."""
        return self._since(len(self.readings) - 1, RECENT_S)

    def _since(self, place: int, seconds: float) -> serving.Usage | None:
        """The usage of the seconds before a reading."""
        if place < 1:
            return None
        last = self.readings[place]
        start = next(each for each in self.readings if last.moment - each.moment <= seconds)
        if start is last:
            start = self.readings[place - 1]
        return serving.between(start, last)

    def plots(self) -> list[Plot]:
        """Requests a second, and latencies, over the last minutes; none before there are two points."""
        rates: list[tuple[float, float]] = []
        medians: list[tuple[float, float]] = []
        slowest: list[tuple[float, float]] = []
        for place in range(1, len(self.readings)):
            usage = self._since(place, POINT_S)
            assert usage is not None
            when = self.readings[place].moment - self.readings[-1].moment
            rates.append((when, usage.per_second))
            for points, share in ((medians, 0.5), (slowest, 0.99)):
                if (latency := usage.counts.quantile(share)) is not None:
                    points.append((when, latency))
        if len(rates) < 2:
            return []
        found = [Plot([Series("requests", rates, "running")], "Requests a second", UNTIL_NOW, "requests a second")]
        if medians:
            curves = [Series("p50", medians, "best"), Series("p99", slowest, "other")]
            found.append(Plot(curves, "Latency: p50, and p99 above it", UNTIL_NOW, "milliseconds"))
        return found


class Histories:
    """The histories of the services that pages have shown, the least recently shown forgotten first."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str, str], History] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, cluster: Cluster, service: str) -> History:
        """The history of a service.

        Args:
            cluster: The connection.
            service: The service.
        """
        key = (cluster.server, cluster.namespace, service)
        with self._lock:
            history = self._known.setdefault(key, History())
            self._known.move_to_end(key)
            if len(self._known) > MOST:
                self._known.popitem(last=False)
            return history
