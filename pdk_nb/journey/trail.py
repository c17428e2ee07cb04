"""A journey as a table: all stations with one id."""

from __future__ import annotations

from dataclasses import dataclass

from pdk_nb.display.tables import Table
from pdk_nb.journey.model import Journey
from pdk_nb.platforms.mldm import Job


@dataclass(frozen=True)
class Trail:
    """The trail of an id; a notebook shows it as a table.

    Attributes:
        journey: The journey of the id.
    """

    journey: Journey

    def rows(self) -> list[tuple[str, str, str]]:
        """One row per station: station, id, state."""
        journey, known = self.journey, self.journey.provenance
        experiment = str(journey.experiment.id) if journey.experiment else ""
        trial = journey.experiment.progress.trial if journey.experiment else 0
        checkpoint, metric = journey.checkpoint, str(known.metric or "")
        deploy = journey.deploy.job
        version, serving = str(journey.version.number) if journey.version else "", journey.service.answers_with
        return [
            ("Pachyderm commit", journey.id, "the committed data"),
            ("Pachyderm job: train", journey.id, _job(journey.train.job)),
            ("Determined experiment", experiment, f"trial {trial}" if trial else "not yet"),
            ("Experiment code", known.code.sha, "commit or content hash of the code" if known.code.sha else ""),
            ("Checkpoint", checkpoint.uuid if checkpoint else "", metric),
            ("Model version", version, f"named {journey.id}" if version else "not yet"),
            ("Pachyderm job: deploy", deploy.id if deploy else journey.id, _job(deploy)),
            ("InferenceService", serving, "the commit whose model answers" if serving else "not yet"),
        ]

    def table(self) -> Table:
        """The trail as a table."""
        return Table(("Station", "Id", "State"), self.rows())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__


def _job(job: Job | None) -> str:
    return f"{job.state.lower()} after {job.seconds:.0f} s" if job else "not yet"
