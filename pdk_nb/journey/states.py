"""How the platforms' states are drawn: one map for Pachyderm's jobs and pipelines and Determined's experiments.

KServe has no single word for it: :attr:`pdk_nb.journey.model.Journey.service_state` decides by readiness and version.
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


def drawn(state: str) -> State:
    """How a state is drawn; one that is not in the map has not ended: ``running``.

    Args:
        state: A job's, pipeline's or experiment's state as the platform writes it, e.g. ``SUCCESS``.
    """
    return DRAWN.get(state, "running")
