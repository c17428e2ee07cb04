"""Chapter 03: one id from commit to job, experiment, checkpoint and model version."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdk_nb import mlde, mldm, plots
from pdk_nb.errors import TrainingError
from pdk_nb.mldm import Job
from pdk_nb.report import Table

if TYPE_CHECKING:
    from pdk_nb.lab import Lab

REDRAW_S = 1.0


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


def trail(lab: Lab, commit: str) -> Trail:
    """Follow one id through the platforms, as far as it goes now."""
    from pdk_nb.chapters.deployment import served_commit

    names = lab.names
    train = mldm.job(lab.pachyderm, names.project, names.train_pipeline, commit)
    deploy = mldm.job(lab.pachyderm, names.project, names.deploy_pipeline, commit)
    found: dict[str, Any] = {"train": train, "deploy": deploy, "serving": served_commit(lab)}
    experiment = mlde.experiment_for_job(lab.determined, commit)
    if experiment is not None:
        found["experiment"] = experiment.id
        found["trial"] = mlde.progress(lab.determined, experiment.id).trial
    version = mlde.version_for_commit(lab.determined, names.model, commit)
    if version is not None:
        metadata = version.metadata or {}
        metric = metadata.get("metric") or {}
        found["version"] = version.model_version
        found["checkpoint"] = version.checkpoint.uuid if version.checkpoint else ""
        found["code"] = str((metadata.get("code") or {}).get("sha", ""))
        found["metrics"] = f"{metric['name']} {float(metric['value']):.3f}" if metric else ""
    return Trail(commit, **found)


def follow(lab: Lab, commit: str, timeout: float) -> Trail:
    """Watch a train job until it ends, with a curve that is updated in place.

    Raises:
        TrainingError: The job failed or did not end in time.
    """
    watcher = _Watcher(lab, commit)
    mldm.wait_job(
        lab.pachyderm,
        lab.names.project,
        lab.names.train_pipeline,
        commit,
        timeout=timeout,
        progress=watcher.look,
    )
    watcher.draw()
    return trail(lab, commit)


class _Watcher:
    """Draws the experiment of a job while it runs; the last picture stays in the notebook."""

    def __init__(self, lab: Lab, commit: str) -> None:
        self.lab = lab
        self.commit = commit
        self.experiment = 0
        self.trial = 0
        self.said = ""
        self.drawn_at = 0.0
        self.handle: Any = None

    def look(self, job: Job | None) -> None:
        """Called at each look at the job: says what is waited for, and redraws now and then."""
        if not self.experiment:
            found = mlde.experiment_for_job(self.lab.determined, self.commit)
            self.experiment = found.id if found else 0
        state = f"job {job.state.lower() if job else 'not created yet'}"
        if self.experiment:
            now = mlde.progress(self.lab.determined, self.experiment)
            self.trial = now.trial
            state += f", experiment {self.experiment} {now.state.lower()}"
        if state != self.said:
            print(f"Waiting for {self.lab.names.train_pipeline}: {state}")
            self.said = state
        if self.trial and time.monotonic() - self.drawn_at > REDRAW_S:
            self.draw()

    def draw(self) -> None:
        """Draw the curve, or update the picture that is there."""
        from IPython.display import display

        if not self.trial:
            return
        self.drawn_at = time.monotonic()
        figure = curve(self.lab, self.trial, f"experiment {self.experiment}, trial {self.trial}")
        if self.handle is None:
            self.handle = display(figure, display_id=True)
        else:
            self.handle.update(figure)


def curve(lab: Lab, trial: int, title: str) -> Any:
    """Loss and accuracy of a trial over batches."""
    points = []
    for point in mlde.metrics(lab.determined, trial):
        wanted = {"training": ("loss",), "validation": ("accuracy",)}.get(point.group, ())
        for name in wanted:
            if isinstance(point.values.get(name), (int, float)):
                points.append((point.batches, f"{point.group} {name}", float(point.values[name])))
    return plots.curve(points, title)


def log_tail(lab: Lab, commit: str, lines: int) -> str:
    """The end of the trial's log.

    Raises:
        TrainingError: The commit has no experiment.
    """
    experiment = mlde.experiment_for_job(lab.determined, commit)
    if experiment is None:
        raise TrainingError(
            "No experiment belongs to this commit yet.",
            where=commit,
            fix=f"pachctl logs --project {lab.names.project} --pipeline {lab.names.train_pipeline}",
        )
    trial = mlde.progress(lab.determined, experiment.id).trial
    return "\n".join(mlde.tail_logs(lab.determined, trial, lines))
