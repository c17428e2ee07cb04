"""The states of the platforms as states of a drawing: Pachyderm's jobs and pipelines, and Determined's experiments.

KServe has no single state: :attr:`pdk_nb.journey.model.Journey.service_state` derives it from readiness and version.
"""

from __future__ import annotations

from pdk_nb.display.diagrams import State

DRAWN: dict[str, State] = {
    # Pachyderm: JobState in src/pps/pps.proto, without its prefix.
    "SUCCESS": "done",
    "FAILURE": "failed",
    "KILLED": "failed",
    "UNRUNNABLE": "failed",
    # Pachyderm: PipelineState; FAILURE as above.
    "CRASHING": "failed",
    # Determined: experimentv1.State, without its prefix.
    "COMPLETED": "done",
    "ERROR": "failed",
    "CANCELED": "failed",
}


# Pachyderm: DatumState in src/pps/pps.proto. A recovered datum has ended, but without its output.
DATUMS: dict[str, State] = {
    "SUCCESS": "done",
    "SKIPPED": "done",
    "RECOVERED": "missing",
    "FAILED": "failed",
    "STARTING": "running",
}
# States in which nothing happens until somebody or something acts.
IDLE = frozenset({"STANDBY", "PAUSED", "QUEUED", "CREATED", "DELETED", "PARTIALLY_DELETED"})


def drawn(state: str) -> State:
    """The drawing's state for a platform's state; ``running`` for any state that isn't final.

    Args:
        state: State of a job, pipeline, or experiment as the platform writes it, e.g. ``SUCCESS``.
    """
    return DRAWN.get(state, "running")
