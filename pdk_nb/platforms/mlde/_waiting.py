"""Waiting for Determined's experiments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pdk_nb.platforms.mlde._experiments import Progress
from pdk_nb.platforms.mlde._experiments import progress as progress_of
from pdk_nb.platforms.waiting import changes, wait
from pdk_shared.errors import TrainingError

if TYPE_CHECKING:
    from determined.common.experimental.determined import Determined


def wait_experiment(
    client: Determined,
    experiment_id: int,
    *,
    timeout: float | None = None,
    interval: float = 0.4,
    progress: Callable[[Progress], None] | None = None,
) -> Progress:
    """Wait until an experiment ends, whatever its end.

    Args:
        client: A client.
        experiment_id: The experiment.
        timeout: Seconds; None waits for ever.
        interval: Seconds between two looks. A look that fails is repeated for a minute before it counts.
        progress: Called with every look that differs from the one before.

    Raises:
        TrainingError: It did not end in time.
        ServiceUnreachable: Determined did not answer for a minute.
    """

    def late(now: Progress) -> TrainingError:
        return TrainingError(
            f"Experiment {experiment_id} didn't end within {timeout:.0f} s; it is {now.state}.",
            fix="check the experiment's log; a QUEUED experiment waits for a free slot in its resource pool",
        )

    return wait(
        lambda: progress_of(client, experiment_id),
        lambda now: now.finished,
        timeout=timeout,
        reason=late,
        interval=interval,
        progress=changes(progress),
    )
