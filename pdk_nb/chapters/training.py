"""Chapter 03: one id from commit to job, experiment, checkpoint and model version."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdk_nb.chapters import flow
from pdk_nb.chapters.flow import metric_of
from pdk_nb.display import charts
from pdk_nb.display.progress import Area, Lines, Progress
from pdk_nb.display.tables import Table
from pdk_nb.platforms import mlde, mldm
from pdk_nb.platforms.mldm import Job
from pdk_shared.errors import TrainingError

if TYPE_CHECKING:
    from pdk_nb.session import Session

REDRAW_S = 1.0
CURVE_S = 2.5
LOG_LINES = 8
# What the master puts before a trial's words: time, container, rank, level, process.
LOG_HEAD = re.compile(r"^\[\S+T(\d\d:\d\d:\d\d)\S*\][^|]*\|\| (?:\w+: )?(?:\[\d+\] )?")
CURVES = {"training": ("loss",), "validation": ("accuracy",)}


@dataclass(frozen=True)
class Trail:
    """Everything that carries one id.

    Attributes:
        commit: The commit of the data repo, and the id.
        train: The train job.
        experiment: Determined's experiment; 0 while there is none.
        trial: Its first trial.
        checkpoint: The registered checkpoint.
        version: Number of the model version whose name is the commit.
        metrics: Values of the registered checkpoint.
        code: The commit of the experiment's code.
        deploy: The deploy job.
        serving: The commit whose model the service answers with.
    """

    commit: str
    train: Job | None = None
    experiment: int = 0
    trial: int = 0
    checkpoint: str = ""
    version: int = 0
    metrics: str = ""
    code: str = ""
    deploy: Job | None = None
    serving: str = ""

    def rows(self) -> list[tuple[str, str, str]]:
        """One row per station."""

        def state(job: Job | None) -> str:
            return f"{job.state.lower()} after {job.seconds:.0f} s" if job else "not there yet"

        return [
            ("Pachyderm commit", self.commit, "what was committed"),
            ("Pachyderm job: train", self.commit, state(self.train)),
            (
                "Determined experiment",
                str(self.experiment or ""),
                f"trial {self.trial}" if self.trial else "not there yet",
            ),
            ("Experiment code", self.code, "commit or content hash of the code" if self.code else ""),
            ("Checkpoint", self.checkpoint, self.metrics),
            ("Model version", str(self.version or ""), f"named {self.commit}" if self.version else "not there yet"),
            ("Pachyderm job: deploy", self.commit, state(self.deploy)),
            ("InferenceService", self.serving, "the commit whose model answers" if self.serving else "not there yet"),
        ]

    def table(self) -> Table:
        """The trail as a table."""
        return Table(("Station", "Id", "State"), self.rows())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    def __str__(self) -> str:
        return str(self.table())


def trail(session: Session, commit: str) -> Trail:
    """Follow one id through the platforms, as far as it goes now."""
    from pdk_nb.chapters.deployment import served_commit

    names = session.names
    train = mldm.job(session.pachyderm, names.project, names.train_pipeline, commit)
    deploy = mldm.job(session.pachyderm, names.project, names.deploy_pipeline, commit)
    found: dict[str, Any] = {"train": train, "deploy": deploy, "serving": served_commit(session)}
    experiment = mlde.experiment_for_job(session.determined, commit)
    if experiment is not None:
        found["experiment"] = experiment.id
        found["trial"] = mlde.progress(session.determined, experiment.id).trial
    version = mlde.version_for_commit(session.determined, names.model, commit)
    if version is not None:
        found["version"] = version.model_version
        found["checkpoint"] = version.checkpoint.uuid if version.checkpoint else ""
        found["code"] = str(((version.metadata or {}).get("code") or {}).get("sha", ""))
        found["metrics"] = metric_of(version)
    return Trail(commit, **found)


def follow(session: Session, commit: str, timeout: float) -> Trail:
    """Watch a train job until it ends: what is waited for, graph, curve and log, all updated in place.

    Raises:
        TrainingError: The job failed or did not end in time.
    """
    names = session.names
    with Progress(f"Waiting for the train job of {commit[:12]}…") as progress:
        watcher = _Watcher(session, commit, progress)
        job = mldm.wait_job(
            session.pachyderm, names.project, names.train_pipeline, commit, timeout=timeout, progress=watcher.look
        )
        watcher.draw()
        progress.end(f"The train job succeeded after {job.seconds:.0f} s.")
    return trail(session, commit)


class _Watcher:
    """Draws a job and its experiment while they run; the last pictures stay in the notebook."""

    def __init__(self, session: Session, commit: str, progress: Progress) -> None:
        self.session = session
        self.commit = commit
        self.progress = progress
        self.drawn_at = 0.0
        self.points = -1
        self.curve_at = 0.0
        self.graph, self.curve, self.log = Area(), Area(), Area()

    def look(self, job: Job | None) -> None:
        """Called at each look at the job: now and then, looks at the rest too."""
        if time.monotonic() - self.drawn_at > REDRAW_S:
            self.draw()

    def draw(self) -> None:
        """Bring everything that is shown up to date."""
        now = flow.look(self.session, self.commit)
        self.progress.say(*self._said(now))
        self.graph.show(flow.graph(self.session, now).draw())
        if now.progress is not None and now.progress.trial:
            trial = now.progress.trial
            points = points_of(self.session, trial)
            # Drawing takes a quarter of a second of a core that the trial needs as well.
            due = now.progress.finished or time.monotonic() - self.curve_at > CURVE_S
            if len(points) != self.points and due:
                self.points = len(points)
                self.curve_at = time.monotonic()
                self.curve.show(charts.curve(points, f"experiment {now.experiment}, trial {trial}"))
            lines = mlde.tail_logs(self.session.determined, trial, LOG_LINES)
            self.log.show(Lines(f"log of trial {trial}", [LOG_HEAD.sub(r"\1 ", line) for line in lines]))
        self.drawn_at = time.monotonic()

    def _said(self, now: flow.Flow) -> tuple[str, float | None]:
        """What happens now, in words and as a share."""
        if now.train is None:
            return "no job yet", None
        if now.progress is None:
            return f"job {now.train.state.lower()}, it fetches and checks the code", None
        if now.progress.state == "COMPLETED":
            return "the experiment is done; its best checkpoint is being registered", None
        if not now.progress.batches:
            return f"experiment {now.experiment} is {now.progress.state.lower()}: the trial starts", None
        share = now.progress.fraction
        return f"experiment {now.experiment}: {now.progress.batches} batches, {share:.0%}", share


def points_of(session: Session, trial: int) -> list[tuple[int, str, float]]:
    """Loss and accuracy of a trial: batches, name of the metric, value."""
    points = []
    for point in mlde.metrics(session.determined, trial):
        for name in CURVES.get(point.group, ()):
            if isinstance(point.values.get(name), (int, float)):
                points.append((point.batches, f"{point.group} {name}", float(point.values[name])))
    return points


def log_tail(session: Session, commit: str, lines: int) -> str:
    """The end of the trial's log.

    Raises:
        TrainingError: The commit has no experiment.
    """
    experiment = mlde.experiment_for_job(session.determined, commit)
    if experiment is None:
        raise TrainingError(
            "No experiment belongs to this commit yet.",
            where=commit,
            fix=f"pachctl logs --project {session.names.project} --pipeline {session.names.train_pipeline}",
        )
    trial = mlde.progress(session.determined, experiment.id).trial
    return "\n".join(mlde.tail_logs(session.determined, trial, lines))
