"""A journey in one sentence: the id with everything linked to it so far."""

from __future__ import annotations

from pdk_nb.display.tables import Note
from pdk_nb.journey.model import Journey


def recap(journey: Journey) -> Note:
    """The id and the stations linked to it, in the order of the journey.

    Args:
        journey: The journey.
    """
    if not journey.id:
        return Note("the id", "There is no id yet: it comes with the first commit of data.")
    tied = [f"commit in {journey.commit.repo}"]
    if journey.train.job:
        tied.append(f"train job ({journey.train.job.state.lower()})")
    if journey.experiment:
        tied.append(f"experiment {journey.experiment.id}")
    if journey.version:
        tied.append(f"model version {journey.version.number}")
    if journey.deploy.job:
        tied.append(f"deploy job ({journey.deploy.job.state.lower()})")
    if journey.service.has(journey.id):
        tied.append(f"service {journey.service.name}")
    return Note("the id", f"{journey.id} links: {' · '.join(tied)}")
