"""Show a journey while its jobs run: progress, graph, curves, and log, all updated in place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from pdk_nb.display.progress import LogLines, OutputArea, Progress
from pdk_nb.journey import jobs, log_lines
from pdk_nb.journey.graph import graph
from pdk_nb.journey.model import Experiment, Journey
from pdk_nb.journey.reading import read
from pdk_nb.platforms import mlde, serving
from pdk_nb.platforms.mldm import Job

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["curve_points", "follow_deployment", "follow_training", "training_step"]

W = TypeVar("W", bound="_Watch")
REDRAW_S = 1.0
CURVE_S = 2.5
LOG_LINES = 8
CURVES = {"training": ("loss",), "validation": ("accuracy",)}


def follow_training(session: Session, commit: str, timeout: float) -> Journey:
    """Watch the train job of a commit until it ends; the notebook keeps the last state.

    Args:
        session: The session.
        commit: The commit's id.
        timeout: Seconds to wait.

    Returns:
        The journey at the end of the job.

    Raises:
        TrainingError: The job failed, didn't end in time, or no node can pull its image.
    """
    watch = _follow(_TrainingWatch, "train", session.names.train_pipeline, commit, session, commit, timeout)
    return watch.last


def follow_deployment(session: Session, commit: str, timeout: float, *, until_ready: bool = False) -> None:
    """Watch the deploy job of a commit until it ends; the graph shows its state.

    If the job has failed before, it is tried again first.

    Args:
        session: The session.
        commit: The commit's id.
        timeout: Seconds to wait for the job, and then for the service.
        until_ready: Whether to go on until the service answers with the commit's model.

    Raises:
        TrainingError: The job failed, didn't end in time, or no node can pull its image.
        DeploymentError: The service failed or wasn't ready in time.
    """
    job = jobs.deploy_job(session, commit)
    watch = _follow(_DeploymentWatch, "deploy", session.names.deploy_pipeline, job, session, commit, timeout)
    if until_ready:
        watch.wait_service(timeout)


def _follow(kind: type[W], title: str, pipeline: str, id: str, session: Session, commit: str, timeout: float) -> W:
    """Watch a job until it ends; the watch, which knows the journey at that moment."""
    with Progress(f"Waiting for the {title} job of {commit[:12]}…") as progress:
        watch = kind(session, commit, progress)
        job = jobs.wait_job(session, pipeline, id, timeout, watch.look)
        watch.draw()
        progress.end(f"The {title} job succeeded after {job.seconds:.0f} s.")
    return watch


class _Watch:
    """Redraws a journey, but not more often than a reader can follow."""

    def __init__(self, session: Session, commit: str, progress: Progress) -> None:
        self.session = session
        self.commit = commit
        self.progress = progress
        self.drawn_at = 0.0
        self.why = ""
        self.graph = OutputArea()
        self.last: Journey

    def look(self, job: Job | None, why: str) -> None:
        """Called each time the job is polled; redraws the journey from time to time.

        Args:
            job: The job; None while it doesn't exist.
            why: Why its worker doesn't start; empty when it does.
        """
        self.why = why
        if time.monotonic() - self.drawn_at > REDRAW_S:
            self.draw()

    def draw(self) -> Journey:
        """Update everything that is shown."""
        journey = read(self.session, self.commit)
        self.tell(journey)
        self.graph.show(graph(journey).draw())
        self.draw_more(journey)
        self.drawn_at = time.monotonic()
        self.last = journey
        return journey

    def tell(self, journey: Journey) -> None:
        """Show the progress above the graph."""

    def draw_more(self, journey: Journey) -> None:
        """Show further output below the graph."""


class _DeploymentWatch(_Watch):
    def look(self, job: Job | None, why: str) -> None:
        """Show the job's state."""
        state = f"the job is {job.state.lower()}" if job else "the train job's output doesn't exist yet"
        self.progress.say(f"{state}{why}")
        super().look(job, why)

    def wait_service(self, timeout: float) -> None:
        """Wait until the service answers with the commit's model; the same graph shows it.

        Args:
            timeout: Seconds to wait.
        """
        known, name = self.session.settings, self.session.names.service
        with Progress(f"{name} loads the model of {self.commit[:12]}…") as progress:

            def say(text: str) -> None:
                progress.say(text)
                if time.monotonic() - self.drawn_at > REDRAW_S:
                    self.draw()

            status = serving.wait_ready(known, name, timeout, version=self.commit, progress=say)
            self.draw()
            progress.end(f"{status.url} answers with the model of {self.commit}.")


class _TrainingWatch(_Watch):
    def __init__(self, session: Session, commit: str, progress: Progress) -> None:
        super().__init__(session, commit, progress)
        self.points = 0
        self.curve_at = 0.0
        self.curve, self.log = OutputArea(), OutputArea()

    def tell(self, journey: Journey) -> None:
        """Show the experiment's progress, or why its job doesn't start."""
        text, share = training_step(journey)
        if self.why and journey.train.job is not None:
            text = f"job {journey.train.job.state.lower()}{self.why}"
        self.progress.say(text, share)

    def draw_more(self, journey: Journey) -> None:
        """Update the curves and the log."""
        found = journey.experiment
        if found is not None and found.progress.trial:
            self._draw_curve(found)
            trial = found.progress.trial
            lines = mlde.tail_logs(self.session.determined, trial, LOG_LINES)
            self.log.show(LogLines(f"log of trial {trial}", [log_lines.short(line) for line in lines]))

    def _draw_curve(self, experiment: Experiment) -> None:
        trial = experiment.progress.trial
        points = curve_points(self.session, trial)
        # Drawing takes a quarter of a second on a core that the trial also needs.
        due = experiment.progress.finished or time.monotonic() - self.curve_at > CURVE_S
        # Before the first report, axes without a curve would only puzzle.
        if points and len(points) != self.points and due:
            self.points = len(points)
            self.curve_at = time.monotonic()
            from pdk_nb.display import charts  # matplotlib is slow to import

            self.curve.show(charts.curve(points, f"experiment {experiment.id}, trial {trial}"))


def training_step(journey: Journey) -> tuple[str, float | None]:
    """What happens now, and how much of it is done.

    Args:
        journey: A journey whose train job runs.

    Returns:
        A description, and a share from 0 to 1; None when the share is unknown.
    """
    if journey.train.job is None:
        return "no job yet", None
    found = journey.experiment
    if found is None:
        return f"job {journey.train.job.state.lower()}: it fetches and checks the code", None
    now = found.progress
    if now.state == "COMPLETED":
        return "the experiment is done; the job registers its best checkpoint", None
    if not now.batches:
        return f"experiment {found.id} is {now.state.lower()}: the trial starts", None
    return f"experiment {found.id}: {now.batches} batches, {now.fraction:.0%}", now.fraction


def curve_points(session: Session, trial: int) -> list[tuple[int, str, float]]:
    """Loss and accuracy of a trial.

    Args:
        session: The session.
        trial: Determined's number.

    Returns:
        Batches, name of the metric, value; in the order of batches.
    """
    points = []
    for point in mlde.metrics(session.determined, trial):
        for name in CURVES.get(point.group, ()):
            if isinstance(point.values.get(name), (int, float)):
                points.append((point.batches, f"{point.group} {name}", float(point.values[name])))
    return points
