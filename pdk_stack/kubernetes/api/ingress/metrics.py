"""Counters of the ingress in Prometheus' text format.

Names are those of Knative's queue-proxy (``revision_request_count``, ``revision_request_latencies``), which is what
a dashboard for KServe in serverless mode reads.
"""

from __future__ import annotations

import threading
from collections import defaultdict

# Milliseconds; Knative's own buckets up to a minute (knative.dev/serving/pkg/queue/stats).
BUCKETS: tuple[int, ...] = (5, 10, 20, 40, 60, 80, 100, 150, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 900)
BUCKETS += (1000, 2000, 5000, 10000, 20000, 50000, 100000)

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Requests and latencies by service, revision and status code."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[Labels, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self._sums: dict[Labels, float] = defaultdict(float)

    def observe(self, namespace: str, service: str, revision: str, code: int, milliseconds: float) -> None:
        """Count one answered request."""
        labels = (
            ("namespace_name", namespace),
            ("configuration_name", service),
            ("revision_name", revision),
            ("response_code", str(code)),
        )
        place = next((index for index, edge in enumerate(BUCKETS) if milliseconds <= edge), len(BUCKETS))
        with self._lock:
            self._counts[labels][place] += 1
            self._sums[labels] += milliseconds

    def text(self, inflight: dict[tuple[str, str, str], int]) -> str:
        """Everything, as Prometheus scrapes it.

        Args:
            inflight: Requests under way by namespace, service and revision.
        """
        with self._lock:
            counts = {labels: list(values) for labels, values in self._counts.items()}
            sums = dict(self._sums)
        lines = [
            "# HELP revision_request_count Requests that were answered.",
            "# TYPE revision_request_count counter",
            *(f"revision_request_count{_text(labels)} {sum(values)}" for labels, values in counts.items()),
            "# HELP revision_request_latencies Milliseconds from the request's head to the answer.",
            "# TYPE revision_request_latencies histogram",
        ]
        for labels, values in counts.items():
            total = 0
            for edge, count in zip([*map(str, BUCKETS), "+Inf"], values, strict=True):
                total += count
                lines.append(f"revision_request_latencies_bucket{_text((*labels, ('le', edge)))} {total}")
            lines.append(f"revision_request_latencies_sum{_text(labels)} {sums[labels]:.3f}")
            lines.append(f"revision_request_latencies_count{_text(labels)} {total}")
        lines += [
            "# HELP revision_queue_depth Requests that a revision works on or that wait for it.",
            "# TYPE revision_queue_depth gauge",
        ]
        for (namespace, service, revision), count in sorted(inflight.items()):
            labels = (("namespace_name", namespace), ("configuration_name", service), ("revision_name", revision))
            lines.append(f"revision_queue_depth{_text(labels)} {count}")
        return "\n".join(lines) + "\n"


def _text(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}"
